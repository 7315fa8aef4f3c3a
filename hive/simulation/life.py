"""One search drawn from a seed, with all that goes wrong in it, and the promises it is held to.

    outcome = lived(seed)

First everything goes wrong, and no promise may break. Then everything heals, and what is wanted must come within a
bound. What happened is summed up in a digest, so that two runs of one seed can be compared: a line for each turn.

It must not know how many seeds are run, where, or how a report is printed.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from hive.actors.actor import DeleteFiles, Effect, Event, Received, Send
from hive.actors.books import Books
from hive.actors.coordinator import Coordinator
from hive.actors.faults import FATAL, TROUBLE_S, FaultPlan
from hive.actors.leases import Lease
from hive.actors.messages import Amended, Grant, Noted, Notice, Told
from hive.actors.simulator import BEGAN, Host, Simulator, StuckError, Weather
from hive.actors.traces import Trace, trace_file
from hive.actors.trainer import TrainerActor
from hive.planner.search_plan import Place
from hive.simulation.clients import Client
from hive.simulation.coverage import Delivered, state
from hive.simulation.promises import (
    BrokenError,
    adds_up,
    answered_once,
    as_if_alone,
    files_are_there,
    first_record_stands,
    goes_on,
    granted_once,
    known,
    no_start_is_given_up,
    noted_stands,
    old_notice_changes_nothing,
    promises_are_ahead,
    restart_changes_nothing,
    told_again,
)
from hive.simulation.swarm import HEALED_S, RestartedSearch, Swarm, told
from hive.simulation.trouble import BROKEN, RAISED, UNREADABLE, UNWRITTEN
from hive.simulation.values import expected_digest
from hive.storage.records import AnswerRecord, StandingRecord
from hive.storage.store import Put, Write

__all__ = ["Outcome", "lived"]

STEADY_S = 60.0
"""The T of P8, in seconds: longer than any lease, and than a new node manager and trainer take to begin."""

AFTER_S = 20.0
"""Seconds to go on for when everything is answered: what comes late must change nothing."""

COMPARED_EVERY = 25
"""Turns of the coordinator after which it is compared with one that is constructed from its store."""

FEW_ATTEMPTS = 3
"""With so many attempts, what is lost makes requests fail."""

SAID = {RAISED: "job raises", UNWRITTEN: "checkpoint not written", BROKEN: "trainer broken"}
"""The reasons of failures that are said as they are, with what must have happened for each."""

TURNS_MAX = 200_000
"""Turns of one search, of which there are a few thousand: with more, it never comes to rest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed.

    Attributes:
        broken: the promise that was broken, and what broke it; None if none was.
        faults: by kind, how often something really went wrong.
        delivered: the messages.
        digest: of all turns; "" if nobody asked for it.
        virtual_s: seconds that passed in the simulation.
        healed_s: of these, from when everything was healed until everything was answered; None if it was not.
    """

    seed: int
    broken: tuple[str, str] | None
    faults: Counter[str]
    delivered: Delivered
    digest: str
    virtual_s: float
    healed_s: float | None


class Watched(Simulator):
    """A simulator that holds each turn to what must hold at once."""

    def __init__(self, seed: int, weather: Weather) -> None:
        super().__init__(seed, weather)
        self.delivered: Delivered = Counter()
        self.notices: dict[tuple[int, int], Notice] = {}
        self.starts: dict[int, str | None] = {}

    def decided(self, host: Host, event: Event) -> list[Effect]:
        """What an actor wants, watched."""
        actor, message = host.actor, event.message if isinstance(event, Received) else None
        if message is not None:
            self.delivered[type(message).__name__, state(actor, message)] += 1
        leases = dict(actor.books.leases.leases) if isinstance(actor, Coordinator) else {}
        effects = super().decided(host, event)
        if isinstance(actor, Coordinator):
            if isinstance(message, Notice):
                old_notice_changes_nothing(message, leases, effects)
            if isinstance(message, Notice | Amended) and message.lease in actor.books.leases.leases:
                promises_are_ahead(message, actor.books.leases.leases[message.lease].record)
            self.judge_words(actor, leases, effects)
        elif isinstance(actor, TrainerActor):
            said = [e.message for e in effects if isinstance(e, Send) and isinstance(e.message, Notice)]
            self.notices |= {(notice.lease, notice.number): notice for notice in said}
        if self.turns > TURNS_MAX:
            raise BrokenError("P8", f"after {self.turns:,} turns it never comes to rest")
        return effects

    def judge_words(self, actor: Coordinator, before: Mapping[int, Lease], effects: Sequence[Effect]) -> None:
        """What the coordinator says, and has deleted. `before`: the batches that were out before this turn."""
        books = actor.books
        for effect in effects:
            if isinstance(effect, DeleteFiles):
                no_start_is_given_up(effect.names, [self.starts.get(number) for number in books.leases.leases])
        for message in [effect.message for effect in effects if isinstance(effect, Send)]:
            if isinstance(message, Noted) and message.lease in before:
                standings = books.plans[before[message.lease].record.plan].standings
                for number in range(message.number, 0, -1):
                    notice = self.notices.get((message.lease, number))
                    if notice is not None:
                        noted_stands(notice, standings.get(Place(notice.node, notice.step)))
            if isinstance(message, Grant) and message.lease not in before and message.lease in books.leases.leases:
                self.starts[message.lease] = message.checkpoint
                lease = books.leases.leases[message.lease]
                others = [each for each in books.leases.of_plan(lease.record.plan) if each is not lease]
                granted_once(lease.record.ends, [each.way for each in others if not each.stopping])


@dataclass
class Life:
    """A swarm that is held to the promises.

    Attributes:
        seed: of everything.
        trace: what its turns are written to; None for nowhere.
        searches: the scripts that may be killed.
        turns: of the coordinator.
        healed_s: from when everything was healed until everything was answered; seconds.
    """

    seed: int
    trace: Trace | None = None
    swarm: Swarm = field(init=False)
    simulator: Watched = field(init=False)
    searches: list[RestartedSearch] = field(default_factory=list)
    turns: int = 0
    healed_s: float | None = None

    def __post_init__(self) -> None:
        swarm = self.swarm = Swarm(self.seed, plan=FaultPlan.drawn(self.seed), simulator=self.watched)
        assert isinstance(swarm.cluster.simulator, Watched)
        self.simulator = swarm.cluster.simulator
        self.simulator.after_turn = self.after_turn
        swarm.store.committed = self.committed

    def watched(self, seed: int, weather: Weather) -> Watched:
        """The simulator, before there is anybody on it."""
        simulator = Watched(seed, weather)
        simulator.trace = self.trace
        return simulator

    # -- what happens -----------------------------------------------------------------------------------------------

    def live(self) -> None:
        """All of it."""
        self.ask()
        self.swarm.go_wrong()
        self.heal()
        self.simulator.run_for(AFTER_S)
        self.judge()

    def ask(self) -> None:
        """One to three runs on one plan, perhaps one that shares nothing, and perhaps a script that is killed."""
        swarm, draw = self.swarm, self.swarm.random
        for number in range(draw.randint(1, 3)):
            self.let_go(swarm.open(f"run{number}"))
        if draw.random() < 0.3:
            swarm.open("lanes", plan_key="other", merge=False)
        if draw.random() < 0.5:
            self.searches.append(RestartedSearch(swarm))

    def let_go(self, client: Client) -> None:
        """Some trials are released, and some runs closed."""
        draw = self.swarm.random
        if draw.random() < 0.3:
            trials = [trial for trial in range(5) if draw.random() < 0.5]
            self.swarm.sometime(lambda: client.release(*trials))
        elif draw.random() < 0.3:
            self.simulator.later(TROUBLE_S * (0.9 + 0.2 * draw.random()), client.close)  # when everything was asked

    def heal(self) -> None:
        """What is wanted comes within a bound, and never stands still on the way."""
        began = self.simulator.now
        while not self.done():
            before = self.progress()
            try:
                self.simulator.run(self.moved_since(before), STEADY_S)
            except StuckError:
                goes_on(not self.done(), before, self.progress(), STEADY_S)
            if self.simulator.now - began > HEALED_S:
                raise BrokenError("P8", f"not everything is answered {HEALED_S:g} s after all was healed")
        self.healed_s = self.simulator.now - began

    def done(self) -> bool:
        """Everything is answered, and every count is final."""
        cluster = self.swarm.cluster
        return all(map(cluster.settled, cluster.clients)) and all(search.over for search in self.searches)

    def progress(self) -> tuple[int, int]:
        """What grows when something is done."""
        return self.swarm.cluster.world.trained, sum(len(client.journal) for client in self.swarm.cluster.clients)

    def moved_since(self, before: tuple[int, int]) -> Callable[[], bool]:
        """Whether something was done since, or nothing is left to do."""
        return lambda: self.progress() != before or self.done()

    # -- what must hold at once -------------------------------------------------------------------------------------

    def committed(self, writes: Sequence[Write]) -> None:
        """The coordinator commits."""
        for write in writes:
            if isinstance(write, Put) and isinstance(write.record, StandingRecord):
                first_record_stands(self.swarm.store.get(StandingRecord, write.record.key()), write.record)
        files_are_there(writes, self.verified)

    def verified(self, record: StandingRecord) -> bool:
        """Whether the file that a record names is there, and holds the state that the record says."""
        world = self.swarm.cluster.world
        assert record.checkpoint is not None
        state, _ = world.checkpoints.get(record.checkpoint.name, (None, {}))
        return state is not None and world.model.digest(state) == record.digest

    def after_turn(self, name: str) -> None:
        """Now and then the coordinator is what its store says."""
        if name == "coordinator":
            self.turns += 1
            if self.turns % COMPARED_EVERY == 0:
                self.compare()

    def compare(self) -> None:
        """The coordinator that lives, and one made anew."""
        cluster = self.swarm.cluster
        again = Books(self.swarm.store, self.simulator.now, cluster.settings.lease_s, cluster.settings.checkpoints)
        restart_changes_nothing(known(cluster.books), known(again))

    # -- what must hold in the end ----------------------------------------------------------------------------------

    def judge(self) -> None:
        """Hold the whole history to the promises."""
        self.compare()
        files_are_there([Put(record) for record in self.swarm.store.scan(StandingRecord)], self.verified)
        for client in self.swarm.cluster.clients:
            self.judge_client(client)
        for search in self.searches:
            assert search.search is not None
            for journal in search.journals:
                told_again(search.runs[-1], journal, told(search.search.client))
        self.judge_counts()

    def judge_client(self, client: Client) -> None:
        """What one client was told."""
        if client.refused:
            raise BrokenError("P1", f"{client.run} is refused: {client.refused[0].reason}")
        answered_once(client.asked, client.released, client.answers, self.may_fail)
        record = self.swarm.cluster.books.runs[client.run].record
        journal = [e for e in self.swarm.store.scan(AnswerRecord, (client.run,)) if e.number <= record.told]
        said = [("time", e.time) if e.kind == "time" else (e.trial, e.step, e.error) for e in journal]
        heard = [(e.trial, e.step, e.error) if isinstance(e, Told) else ("time", e.time) for e in client.journal]
        told_again(client.run, heard, said)
        if not client.released and all(answer.error is None for answer in client.answers):
            adds_up(client.run, record.counts)
        model = self.swarm.cluster.world.model
        for answer in client.answers:
            digest = expected_digest(self.swarm.configs[client.run, answer.trial], answer.step)
            as_if_alone(client.run, answer, digest, model.metrics(digest, answer.step))

    def judge_counts(self) -> None:
        """What all runs count is what was trained: all of it where nothing was lost, else at most that."""
        cluster = self.swarm.cluster
        counts = [run.record.counts for run in cluster.books.runs.values()]
        counted, trained = sum(count.steps_run for count in counts), cluster.world.trained
        lost = sum(count.failure for count in counts)
        if counted > trained or (self.swarm.tame and (counted, lost) != (trained, 0)):
            raise BrokenError("P6", f"{trained} steps were trained, and {counted} are counted, {lost} of them as lost")

    def may_fail(self, error: str) -> bool:
        """Whether something went wrong that an answer without metrics names."""
        happened = self.swarm.faults.happened
        if error in UNREADABLE.values():
            return any(happened[kind] for kind in FATAL)
        if error in SAID:
            return happened[SAID[error]] > 0
        lost = " times in a row" in error or "before it was ready to train" in error
        return lost and not self.swarm.tame and self.swarm.plan.attempts_max <= FEW_ATTEMPTS


def lived(seed: int, *, digested: bool = False) -> Outcome:
    """What became of a seed. Whatever an actor raises is a promise broken, too.

    Args:
        seed: of everything.
        digested: whether its turns are summed up. Where traces are wanted (traces.py) they are also written to a file.
    """
    digest = hashlib.sha256()
    with trace_file(f"seed-{seed}") or nullcontext() as file:

        def write(line: str) -> None:
            digest.update(line.encode())
            if file is not None:
                file.write(line)

        life = Life(seed, Trace(write) if digested or file is not None else None)
        broken = held(life)
    happened = Counter({kind: count for kind, count in life.swarm.faults.happened.items() if count})
    simulator, summed = life.simulator, digest.hexdigest() if digested else ""
    return Outcome(seed, broken, happened, simulator.delivered, summed, simulator.now - BEGAN, life.healed_s)


def held(life: Life) -> tuple[str, str] | None:
    """Let it happen: the promise that was broken, and what broke it."""
    try:
        life.live()
    except BrokenError as error:
        return error.promise, error.what
    except Exception as error:  # any: an actor must raise nothing at all
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "none", f"{type(error).__name__} at {last.name}:{last.lineno}: {error}"
    return None
