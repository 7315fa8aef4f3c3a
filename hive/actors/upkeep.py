"""Keeps the checkpoints within bytes, and those that are pinned for good.

A checkpoint is given up in one commit: its record names no file from then on, and the file is doomed. Then the file is
deleted, and what says that it is doomed goes when that is done; so a restart forgets no file, and deletes none that a
record names. What was measured stands. What is asked for behind it is trained from further below, and counted as
evicted.

A trainer writes a file before it says so. Is its lease lost between the two, or is it killed while it writes, then the
file is an orphan. Whose a file is, is in its name: the number of a lease. Of a lease that is over nothing is written
down any more, whatever its trainer may still say (dispatch.py). So what no record names of such a lease is garbage and
will stay so, however long ago the files were listed. Files of a lease that is out are left, and so are those of numbers
that no lease has had yet.

It must not know which checkpoints are worth least (planner/retention.py), or where files lie.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from hive.actors.actor import DeleteFiles, Deliver, FilesDeleted, FilesListed, ListFiles, Turn
from hive.actors.books import Books
from hive.actors.messages import Collect, Collected, Pin, Pinned, Refused
from hive.actors.plans import LivePlan, path_to
from hive.actors.runs import Run
from hive.planner.retention import Holding, deepest_state, given_up
from hive.planner.search_plan import Place
from hive.storage.records import DoomedRecord, PinRecord
from hive.storage.store import Store
from hive.training.reports import written_by

__all__ = ["Upkeep"]

ENOUGH = 0.9
"""Once there are too many bytes, they are brought down to this part of what they may be: choosing looks at all."""

DIGEST_MIN = 6
"""Characters of a digest that a person must give at least."""


class Upkeep:
    """The coordinator's part that gives checkpoints up.

    Args:
        books: what the coordinator knows.
        store: for files that were doomed before it began.
        bytes_max: bytes that all checkpoints may take; 0 for no limit.

    Attributes:
        doomed: the files that are to be deleted, and are not yet.
        asking: by who asks it, the questions that wait until the files are listed.
        pins_told: whether it was said that what is pinned alone is too much.
    """

    def __init__(self, books: Books, store: Store, bytes_max: int) -> None:
        self.books = books
        self.bytes_max = bytes_max
        self.doomed = dict.fromkeys(record.name for record in store.scan(DoomedRecord))
        self.asking: dict[str, Collect] = {}
        self.pins_told = False

    def start(self, turn: Turn) -> None:
        """Delete what an earlier coordinator gave up and did not see deleted."""
        if self.doomed:
            turn.do(DeleteFiles(tuple(self.doomed)))

    @property
    def bytes(self) -> int:
        """What all checkpoints take."""
        return sum(plan.bytes for plan in self.books.plans.values())

    def settle(self, turn: Turn) -> None:
        """Give up what is too much, if any of it may go: to choose takes a look at all checkpoints and trials."""
        over = 0 < self.bytes_max < self.bytes
        pinned = self.size(self.pinned()) if over else 0
        if pinned > self.bytes_max and not self.pins_told:
            turn.do(Deliver(too_much_pinned(pinned, self.bytes_max)))
        self.pins_told = pinned > self.bytes_max
        if over and self.size(self.fixed()) < self.bytes:
            self.give_up(list(self.chosen(self.bytes - int(ENOUGH * self.bytes_max))), turn)

    def size(self, places: Iterable[tuple[str, Place]]) -> int:
        """Bytes of the checkpoints at these places of plans."""
        records = [self.books.plans[plan].standings.get(place) for plan, place in places]
        return sum(record.checkpoint.bytes for record in records if record is not None and record.checkpoint)

    def chosen(self, excess: int, *, useless_only: bool = False) -> Iterator[tuple[LivePlan, Place]]:
        """The checkpoints that should go, to come to so many bytes."""
        fixed: dict[str, set[Place]] = defaultdict(set)
        for name, place in self.fixed():
            fixed[name].add(place)
        holdings = {name: self.holding(plan, fixed[name]) for name, plan in self.books.plans.items()}
        for name, place in given_up(holdings, excess):
            if useless_only and place in holdings[name].useful:
                return  # those of no use go first
            yield self.books.plans[name], place

    def holding(self, plan: LivePlan, fixed: Collection[Place]) -> Holding:
        """What a plan has, what of it is of use, and what must stay."""
        sizes = {place: file.checkpoint.bytes for place, file in plan.standings.items() if file.checkpoint is not None}
        return Holding(plan.tree, plan.estimates, sizes, self.useful(plan), fixed)

    def useful(self, plan: LivePlan) -> set[Place]:
        """Where a trial could start from that a run has asked for or announced, and has not released."""
        found: set[Place] = set()
        for run in self.books.runs.values():
            if run.record.plan == plan.name and not run.record.closed:
                for place in self.asked(run):
                    found.update(deepest(plan, place), behind(plan, place))
        for place in set(plan.anticipation.reached()):
            found.update(deepest(plan, place))
        return found

    def asked(self, run: Run) -> Iterator[Place]:
        """How far each trial has come that might go on. How, is not known: it may stay under its node."""
        for trial, step in run.asked.items():
            want = run.wants.get((trial, step))
            if want is not None and trial not in run.released:
                yield Place(want.node, step)

    def pinned(self) -> set[tuple[str, Place]]:
        """What is pinned, on all plans."""
        return {(pin.plan, Place(pin.node, pin.step)) for pin in self.books.pins.values()}

    def fixed(self) -> set[tuple[str, Place]]:
        """What must stay: what is pinned, and what a batch that is out starts from or has just reached."""
        out = [lease.record for lease in self.books.leases.leases.values()]
        return self.pinned() | {(r.plan, Place(*place)) for r in out for place in (r.origin, r.reached) if place}

    def give_up(self, chosen: list[tuple[LivePlan, Place]], turn: Turn) -> None:
        """Let checkpoints go."""
        self.doom([plan.evict(place, turn) for plan, place in chosen], turn)
        self.books.unsettled |= bool(chosen)

    def doom(self, names: Collection[str], turn: Turn) -> None:
        """Files that no record names go."""
        for name in names:
            self.doomed[name] = None
            turn.put(DoomedRecord(name))
        if names:
            turn.do(DeleteFiles(tuple(names)))

    def on_files_deleted(self, sender: str, message: FilesDeleted, now: float, turn: Turn) -> None:
        """The driver has deleted files."""
        for name in message.names:
            self.doomed.pop(name, None)
            turn.delete(DoomedRecord, (name,))

    def orphans(self, files: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Of the files that there are, with their bytes, those that no record names or ever will."""
        plans, leases = self.books.plans, self.books.leases.leases
        named = {r.checkpoint.name for plan in plans.values() for r in plan.standings.values() if r.checkpoint}
        last = self.books.counters.get("leases", 0)
        found: dict[str, int] = {}
        for name, size in files:
            prefix, lease = written_by(name) or ("", 0)
            over = 0 < lease <= last and lease not in leases
            if over and prefix.removesuffix("/") in plans and name not in named and name not in self.doomed:
                found[name] = size
        return found

    # -- what people ask for ------------------------------------------------------------------------------------

    def on_collect(self, sender: str, message: Collect, now: float, turn: Turn) -> None:
        """A person wants checkpoints given up. That waits until it is known which files there are."""
        if not self.asking:
            turn.do(ListFiles())
        self.asking[sender] = message

    def on_files_listed(self, sender: str, message: FilesListed, now: float, turn: Turn) -> None:
        """The driver has looked: whoever waits for it is answered."""
        asking, self.asking = self.asking, {}
        for asker, question in asking.items():
            if message.error:
                turn.send(asker, Refused(message.error))
            else:
                self.collect(asker, question, self.orphans(message.files), turn)

    def collect(self, asker: str, message: Collect, orphans: dict[str, int], turn: Turn) -> None:
        """Give up what is of no use, or down to so many bytes, and delete orphans; and say so."""
        excess = self.bytes if message.bytes is None else max(0, self.bytes - message.bytes)
        chosen = list(self.chosen(excess, useless_only=message.bytes is None))
        sizes: dict[str, int] = defaultdict(int)
        for plan, place in chosen:
            file = plan.standings[place].checkpoint
            sizes[plan.name] += file.bytes if file is not None else 0
        freed = sum(sizes.values())
        left = self.bytes - freed
        turn.send(asker, Collected(len(chosen), freed, left, dict(sizes), len(orphans), sum(orphans.values())))
        if not message.dry_run:
            self.give_up(chosen, turn)
            self.doom(orphans, turn)

    def on_pin(self, sender: str, message: Pin, now: float, turn: Turn) -> None:
        """A person wants a state kept, or kept no longer."""
        states = [
            (plan, place, record)
            for plan in self.books.plans.values()
            for place, record in plan.standings.items()
            if record.digest.startswith(message.digest)
        ]
        if len(message.digest) < DIGEST_MIN or len({record.digest for _, _, record in states}) > 1:
            turn.send(sender, Refused(f"{message.digest!r} is not enough of a digest to tell states apart"))
        elif not states:
            turn.send(sender, Refused(f"no state has a digest that begins with {message.digest!r}"))
        elif message.keep and all(record.checkpoint is None for _, _, record in states):
            turn.send(sender, Refused(f"the state {message.digest} was evicted: ask for it again, then pin it"))
        else:
            for plan, place, record in states:
                self.books.pin(PinRecord(plan.name, *place, "user", message.by), turn, keep=message.keep)
                file = record.checkpoint.name if record.checkpoint is not None else ""
            turn.send(sender, Pinned(states[0][2].digest, message.keep, file))
            self.books.unsettled = True


def too_much_pinned(pinned: int, bytes_max: int) -> str:
    """What whoever owns the coordinator should know."""
    return (
        f"what is pinned takes {pinned / 1e6:,.1f} MB, more than checkpoint_bytes_max ({bytes_max / 1e6:,.1f} MB): "
        f"every other checkpoint is given up as soon as no batch needs it. Raise checkpoint_bytes_max, or pin less "
        f"(hive pins)"
    )


def deepest(plan: LivePlan, place: Place) -> Iterator[Place]:
    """The deepest state on the way to a place, if there is one."""
    for node, step in path_to(plan.tree.nodes[place.node], place.step):
        state = deepest_state(node, step)
        if state is not None:
            yield Place(node.number, state)
            return


def behind(plan: LivePlan, place: Place) -> Iterator[Place]:
    """The states behind a place under the same node."""
    return (Place(place.node, step) for step in plan.tree.nodes[place.node].states() if step > place.step)
