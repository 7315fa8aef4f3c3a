"""The coordinator's books: plans, runs, leases and staff, how they come back from the store, and how a run is told.

What sessions say (sessions.py) and what trainers say (dispatch.py) both end here. Every change leaves its record in
the turn. It must not know messages that come in, or who gets which batch."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress

from hive.actors.actor import Turn
from hive.actors.configs import config_of
from hive.actors.leases import LeaseTable
from hive.actors.messages import Applied, Noted, RunState, Told, ToldTime
from hive.actors.plans import LivePlan, path_to
from hive.actors.replay import Journal
from hive.actors.runs import Run
from hive.actors.staff import Staff
from hive.errors import UsageError
from hive.planner.search_plan import Node, Place, Wanter
from hive.storage.records import (
    AnnouncementRecord,
    AnswerRecord,
    CheckpointFolder,
    CounterRecord,
    HeldRecord,
    Key,
    LeaseRecord,
    LossRecord,
    MeasuredRecord,
    NodeRecord,
    PinRecord,
    PlanRecord,
    ReleasedRecord,
    RunRecord,
    StandingRecord,
    WantRecord,
)
from hive.storage.store import Store

__all__ = ["Books"]


class Books:
    """All that the coordinator knows.

    Attributes:
        plans: by identity.
        runs: by identity; of closed ones the record only.
        leases: the batches that are out.
        pins: what is never evicted, by key.
        counting: by plan and name, the runs whose counts are not final.
        staff: who can train; not in the store, everybody says so again.
        weights: by plan and study, what the study weighs there: the weight of its run that opened last.
        losses: by plan and place, how many leases in a row were lost while they trained on from there.
        counters: numbers that only grow.
        unacknowledged: by address, the last of what that peer said to be acknowledged: it covers all before it.
        unsettled: something happened after which somebody may get a batch.
    """

    def __init__(self, store: Store, now: float, lease_s: float, checkpoints: CheckpointFolder) -> None:
        self.plans: dict[str, LivePlan] = {}
        self.runs: dict[str, Run] = {}
        self.pins: dict[Key, PinRecord] = {pin.key(): pin for pin in store.scan(PinRecord)}
        self.counting: dict[str, dict[str, Run]] = defaultdict(dict)
        self.leases = LeaseTable(lease_s)
        self.staff = Staff(checkpoints)
        self.weights: dict[tuple[str, str], float] = {}
        self.losses: dict[tuple[str, Place], int] = {}
        self.counters = {c.name: c.value for c in store.scan(CounterRecord)}
        self.unacknowledged: dict[str, Applied | Noted] = {}
        self.unsettled = True  # what is out may be wanted no longer
        self.load_plans(store)
        self.load_runs(store, now)
        self.load_leases(store, now)

    # -- from the store -----------------------------------------------------------------------------------------

    def load_plans(self, store: Store) -> None:
        """Take the plans back."""
        for record in store.scan(PlanRecord):
            plan = self.add_plan(record)
            of = (record.plan,)
            plan.load(store.scan(NodeRecord, of), store.scan(StandingRecord, of), store.scan(MeasuredRecord, of))

    def add_plan(self, record: PlanRecord) -> LivePlan:
        """A plan that is new, or comes back."""
        plan = self.plans[record.plan] = LivePlan(record, study_of=lambda run: self.runs[run].record.study)
        return plan

    def add_run(self, record: RunRecord, now: float) -> Run:
        """A run that is new, or comes back."""
        run = self.runs[record.run] = Run(record, heard=now)
        if not record.closed:
            self.weights[record.plan, record.study] = record.weight
            self.counting[record.plan][record.run] = run
        return run

    def load_runs(self, store: Store, now: float) -> None:
        """Take the runs back, and what the open ones wait for, in the order in which they asked."""
        for record in sorted(store.scan(RunRecord), key=lambda r: r.opened_at):
            run = self.add_run(record, now)
            if not record.closed:
                entries, held = store.scan(AnswerRecord, (run.name,)), store.scan(HeldRecord, (run.name,))
                run.journal = Journal.of(entries, record.told, held)
                for announcement in store.scan(AnnouncementRecord, (run.name,)):
                    self.announce(run, announcement)
                run.released = {r.trial for r in store.scan(ReleasedRecord, (run.name,))}
                for entry in run.journal.told:
                    self.note_best(run, entry)
        wants = [w for run in self.runs.values() if not run.record.closed for w in store.scan(WantRecord, (run.name,))]
        for want in sorted(wants, key=lambda w: w.order):
            plan = self.plans[want.plan]
            plan.wants_made = want.order + 1
            run = self.runs[want.run]
            run.recall(want, path_to(plan.tree.nodes[want.node], want.step))
            plan.anticipation.asks(Wanter(run.name, want.trial), want.step)
            if not want.open:
                plan.anticipation.answers(Wanter(run.name, want.trial))
            if want.open and not self.want(want):
                run.paused = True  # it was, and what it waits for was found meanwhile: it is told when it speaks

    def load_leases(self, store: Store, now: float) -> None:
        """Take the leases back, each for a full new term, and the losses."""
        for loss in store.scan(LossRecord):
            self.losses[loss.plan, Place(loss.node, loss.step)] = loss.count
        for record in store.scan(LeaseRecord):
            lease = self.leases.add(record, now)
            self.plans[record.plan].tree.promise(record.lease, lease.ahead)

    def number(self, name: str, turn: Turn) -> int:
        """The next number of a counter that never goes back."""
        self.counters[name] = self.counters.get(name, 0) + 1
        turn.put(CounterRecord(name, self.counters[name]))
        return self.counters[name]

    def acknowledge(self, turn: Turn) -> None:
        """Tell each peer how far it was heard, in one message however much it said."""
        for address, message in self.unacknowledged.items():
            turn.send(address, message)
        self.unacknowledged.clear()

    def overlook(self, away_s: float) -> None:
        """For so many seconds nobody could be heard: each has as much longer to speak."""
        self.leases.extend(away_s)
        self.staff.overlook(away_s)
        for run in self.runs.values():
            run.heard += away_s

    # -- what runs want ----------------------------------------------------------------------------------------

    def pause(self, run: Run, turn: Turn) -> None:
        """Nobody speaks for a run: nobody would hear the answers."""
        run.paused = True
        self.withdraw(run, turn)

    def withdraw(self, run: Run, turn: Turn) -> None:
        """What only a run waits for is wanted no more, for now; a batch that nobody else waits for is left."""
        for want in run.open:
            self.plans[want.plan].tree.let_go(Place(want.node, want.step), Wanter(run.name, want.trial))
        self.unsettled = True

    def resume(self, run: Run, turn: Turn) -> None:
        """Somebody speaks for a run again: what others got meanwhile is told, and the rest is wanted again, unless a
        command holds it back."""
        run.paused = False
        self.unsettled = True
        for want in run.open:
            if not self.want(want):
                self.shut(run, want, turn)
                self.tell(run, want.trial, Place(want.node, want.step), None, turn)
                turn.put(run.record)

    def want(self, want: WantRecord) -> bool:
        """Let the plan know what a run waits for, unless a command holds the run back; false if it is answered
        already."""
        tree = self.plans[want.plan].tree
        if self.runs[want.run].record.command:
            return tree.answer(Place(want.node, want.step)) is None
        return tree.want(Place(want.node, want.step), Wanter(want.run, want.trial), want.order)

    def announce(self, run: Run, announcement: AnnouncementRecord) -> None:
        """A run may ask for a trial later. What means nothing is refused when it is asked for."""
        run.announced[announcement.trial] = announcement
        plan = self.plans[run.record.plan]
        if plan.record.merge:
            with suppress(UsageError):
                config = config_of(announcement.config, plan.record.source.names)
                wanter = Wanter(run.name, announcement.trial)
                plan.anticipation.announce(wanter, config, run.asked.get(announcement.trial, 0))

    def close(self, run: Run, turn: Turn) -> None:
        """The run wants nothing more, for good."""
        self.let_go(run, {*run.asked, *run.announced}, turn)
        self.hold_no_longer(run, list(run.journal.held), turn)
        run.change(closed=True)
        turn.put(run.record)
        self.settle_account(run, turn)

    def let_go(self, run: Run, trials: set[int], turn: Turn) -> None:
        """These trials of a run want nothing more."""
        plan = self.plans[run.record.plan]
        for want in [w for w in run.open if w.trial in trials]:
            plan.tree.let_go(Place(want.node, want.step), Wanter(run.name, want.trial))
            self.shut(run, want, turn)
        held = run.journal.held.values()
        self.hold_no_longer(run, [h.number for h in held if h.kind == "answer" and h.trial in trials], turn)
        for announcement in [run.announced.pop(trial) for trial in trials & run.announced.keys()]:
            plan.anticipation.forget(Wanter(run.name, announcement.trial))
            turn.delete(AnnouncementRecord, announcement.key())
        self.unsettled = True

    def hold_no_longer(self, run: Run, numbers: list[int], turn: Turn) -> None:
        """What was held for a run under these numbers is not wanted any more."""
        for number in numbers:
            turn.delete(HeldRecord, run.journal.let_go(number).key())

    def shut(self, run: Run, want: WantRecord, turn: Turn) -> None:
        """A want waits no longer."""
        closed = WantRecord(want.run, want.trial, want.step, want.plan, want.node, want.order, open=False)
        run.remember(closed)
        turn.put(closed)

    # -- what runs are told -------------------------------------------------------------------------------------

    def tell(self, run: Run, trial: int, place: Place, error: str | None, turn: Turn) -> None:
        """There is an answer for a run, or none to come: it is told in its turn."""
        self.plans[run.record.plan].anticipation.answers(Wanter(run.name, trial))
        self.ready(run, HeldRecord(run.name, run.journal.next_number, trial, place.node, place.step, error), turn)

    def tell_time(self, run: Run, now: float, turn: Turn) -> None:
        """A run asked for the time: it is told in its turn."""
        self.ready(run, HeldRecord(run.name, run.journal.next_number, 0, 0, 0, kind="time", time=now), turn)

    def ready(self, run: Run, ready: HeldRecord, turn: Turn) -> None:
        """Something can be told: at once, unless the run's replay says something else first."""
        if not run.journal.replay:
            self.enter(run, ready, turn)
            return
        run.journal.hold(ready)
        turn.put(ready)
        self.tell_due(run, turn)

    def tell_due(self, run: Run, turn: Turn) -> None:
        """Tell what is held and has its turn now."""
        replayed = bool(run.journal.replay)
        while (ready := run.journal.due()) is not None:
            turn.delete(HeldRecord, ready.key())
            self.enter(run, ready, turn)
            if replayed and not run.journal.replay:
                replayed = False
                run.change(note=f"all {run.record.told} answers of the run before were told again")
        turn.put(run.record)

    def enter(self, run: Run, ready: HeldRecord, turn: Turn) -> None:
        """Write an entry into the run's journal, and send it."""
        entry = run.journal.tell(ready)
        run.change(told=entry.number)
        turn.put(entry)
        if self.note_best(run, entry):
            self.pin(PinRecord(run.record.plan, entry.node, entry.step, "best", run.record.study), turn)
        if run.session:
            turn.send(run.session, self.told(run, entry))

    def note_best(self, run: Run, entry: AnswerRecord) -> bool:
        """Whether an entry is the best answer of its run so far."""
        if not run.record.metric or entry.kind != "answer" or entry.error is not None:
            return False
        place = Place(entry.node, entry.step)
        return run.better(place, self.plans[run.record.plan].standings[place].metrics or {})

    def pin(self, pin: PinRecord, turn: Turn, *, keep: bool = True) -> None:
        """Pin a state, or (not `keep`) pin it no longer."""
        if keep:
            self.pins[pin.key()] = pin
            turn.put(pin)
        elif self.pins.pop(pin.key(), None) is not None:
            turn.delete(PinRecord, pin.key())

    def ask_otherwise(self, run: Run, turn: Turn) -> None:
        """A run asks for something else than the one whose journal it took over: from here on it is told what is
        there."""
        left = run.journal.drop_replay()
        for entry in left:
            turn.delete(AnswerRecord, entry.key())
        run.change(note=other_way(run.record.told, left))
        self.tell_due(run, turn)

    def told(self, run: Run, entry: AnswerRecord) -> Told | ToldTime:
        """The message that says an entry of a run's journal."""
        if entry.kind == "time":
            return ToldTime(run.name, entry.number, entry.time)
        if entry.error is not None:
            return Told(run.name, entry.number, entry.trial, entry.step, error=entry.error)
        standing = self.plans[run.record.plan].standings[Place(entry.node, entry.step)]
        metrics = dict(standing.metrics or {})
        return Told(run.name, entry.number, entry.trial, entry.step, metrics, standing.digest)

    def answer(self, plan: LivePlan, place: Place, error: str | None, turn: Turn) -> None:
        """Everybody who waits for `place` is told: what stands there, or why nothing does. Lower trials first."""
        for wanter in sorted(plan.tree.take(place)):
            run = self.runs[wanter.run]
            self.shut(run, run.wants[wanter.trial, place.step], turn)
            self.tell(run, wanter.trial, place, error, turn)
            turn.put(run.record)

    def fail(self, plan: LivePlan, places: list[Place], error: str, turn: Turn) -> None:
        """These requests cannot be answered. That is no answer: whoever asks again starts a new attempt."""
        for place in places:
            self.answer(plan, place, error, turn)

    def charge(self, payer: Run, node: Node, begin: int, end: int, turn: Turn) -> None:
        """The steps [begin, end) were trained for the first time: each is run for one of those who asked for it, the
        payer of the batch before others, and reused by the rest. What nobody asks for any more is the payer's, as if it
        had asked: who did is closed, and its counts are final."""
        runs, paid = self.counting[payer.record.plan].values(), begin
        asking = [run for run in runs if begin < end and begin < run.reach.get(node.number, 0)]
        for run in sorted(asking, key=lambda run: (run is not payer, run.name)):
            paid = run.trained(node, begin, end, paid)
            turn.put(run.record)
        payer.count(steps_run=end - paid, steps_distinct=end - paid)

    def pays(self, run: Run) -> bool:
        """Whether a batch is out whose steps go to this run's counts."""
        return any(lease.record.payer == run.name for lease in self.leases.leases.values())

    def settle_account(self, run: Run, turn: Turn) -> None:
        """If a run's counts are final now, say so; of a closed run only the record stays in memory."""
        state = self.run_state(run)
        if state.settled and run.session:
            turn.send(run.session, state)
        if state.settled and run.record.closed:
            run.forget()
            self.counting[run.record.plan].pop(run.name, None)

    def run_state(self, run: Run) -> RunState:
        """How a run stands."""
        busy = sum(lease.record.plan == run.record.plan for lease in self.leases.leases.values())
        settled = not run.waiting and not run.journal.held and not self.pays(run)
        return RunState(
            run=run.name,
            counts=run.record.counts,
            busy=busy,
            trainers=len(self.staff.trainers),
            settled=settled,
            note=run.record.note,
            paused_by=run.record.commanded_by if run.record.command == "pause" else "",
        )


def other_way(told: int, left: list[AnswerRecord]) -> str:
    """What a user is told whose run leaves the way of the one before it."""
    following = left[0]
    what = "the time" if following.kind == "time" else f"trial {following.trial} at step {following.step}"
    return (
        f"asks for something else than the run before it, after {told} of its {told + len(left)} answers: the next one "
        f"there was {what}; what was trained is kept"
    )
