"""The coordinator: owns the search plans, hands out batches, writes down what comes back, and tells each run its answers.

    a session asks    -> requests in the plan -> answered already? told at once : pending
    a trainer is idle -> the critical path of the stage tree -> lease + Grant
    a Notice comes    -> a standing -> everybody who waited for it is told
    a trainer is lost -> its lease's promises are withdrawn -> the same steps become stages again

Whatever it decides is in the turn's commit before anybody hears of it; to restart is to construct it from the store. Messages may
come twice, late or never: each handler below says nothing new when it is called again with the same message.

It must not know sockets, files, clocks, processes, or torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hive.actors.actor import Called, Effect, Event, Received, StartTimer, TimerFired, Turn
from hive.actors.leases import Lease, LeaseTable
from hive.actors.messages import (
    Applied,
    Ask,
    AskedTrial,
    CloseRun,
    LeaseEnded,
    NodeBeat,
    Noted,
    Notice,
    Opened,
    OpenRun,
    Refused,
    Release,
    RunState,
    SessionBeat,
    Status,
    StatusQuery,
    StopLease,
    Told,
    TrainerBeat,
    TrainerBroken,
    TrainerExited,
)
from hive.actors.plans import LivePlan, path_to
from hive.actors.runs import Run
from hive.actors.staff import Staff
from hive.actors.status import status
from hive.errors import UsageError
from hive.planner.search_plan import Place, Wanter
from hive.planner.sequences import sequence_from_descriptor
from hive.planner.space import Config
from hive.storage.records import (
    AnswerRecord,
    CounterRecord,
    LeaseRecord,
    LossRecord,
    NodeRecord,
    PlanRecord,
    RunRecord,
    StandingRecord,
    WantRecord,
)
from hive.storage.store import Store

__all__ = ["AggregatorAt", "Coordinator", "CoordinatorSettings"]

TOLD_MAX = 1_000
"""Answers repeated after one beat: enough to catch up within seconds, few enough not to crowd out everything else."""


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    """What the coordinator's owner may choose.

    Attributes:
        session_lease_s: how long a run may go without a word from its session before what only it wants is paused; seconds.
        lease_s: how long a trainer may go without a sign of life before its batch is given to another; seconds.
        beat_s: how often leases are looked at; seconds.
        attempts_max: leases lost on one stage (>= 1) before the requests behind it fail.
        checkpoints: the folder of the checkpoint files, for trainers; "" where they know it.
        close_runs: runs left open in the store are over: nobody who could speak for them is alive.
    """

    session_lease_s: float = 60.0
    lease_s: float = 30.0
    beat_s: float = 1.0
    attempts_max: int = 3
    checkpoints: str = ""
    close_runs: bool = False


@dataclass(frozen=True, slots=True)
class AggregatorAt:
    """The driver says where the aggregator listens now."""

    address: str


class Coordinator:
    """The actor. One for a root; the only one that writes to its store."""

    def __init__(self, store: Store, now: float, settings: CoordinatorSettings | None = None) -> None:
        self.settings = settings or CoordinatorSettings()
        self.plans: dict[str, LivePlan] = {}
        self.runs: dict[str, Run] = {}
        self.leases = LeaseTable(self.settings.lease_s)
        self.staff = Staff(self.settings.checkpoints)
        self.losses: dict[tuple[str, Place], int] = {}
        self.counters: dict[str, int] = {}
        self.unsettled = False
        self.aggregator = ""
        self.load(store, now)
        self.handlers: dict[type, Callable[[str, Any, float, Turn], None]] = {
            OpenRun: self.on_open_run,
            Ask: self.on_ask,
            Release: self.on_release,
            CloseRun: self.on_close_run,
            SessionBeat: self.on_session_beat,
            TrainerBeat: self.on_trainer_beat,
            Notice: self.on_notice,
            LeaseEnded: self.on_lease_ended,
            TrainerBroken: self.on_trainer_broken,
            NodeBeat: self.on_node_beat,
            TrainerExited: self.on_trainer_exited,
            StatusQuery: self.on_status_query,
            AggregatorAt: self.on_aggregator_at,
        }

    # -- from the store -----------------------------------------------------------------------------------------

    def load(self, store: Store, now: float) -> None:
        self.counters = {c.name: c.value for c in store.scan(CounterRecord)}
        for record in store.scan(PlanRecord):
            plan = self.plans[record.plan] = LivePlan(record)
            plan.load(store.scan(NodeRecord, (record.plan,)), store.scan(StandingRecord, (record.plan,)))
        for run_record in store.scan(RunRecord):
            run = self.runs[run_record.run] = Run(run_record, heard=now)
            if not run_record.closed:
                run.journal = list(store.scan(AnswerRecord, (run.name,)))
        wants = [w for run in self.runs.values() if not run.record.closed for w in store.scan(WantRecord, (run.name,))]
        for want in sorted(wants, key=lambda w: w.order):  # so that ties fall as they fell before
            plan = self.plans[want.plan]
            plan.wants_made = want.order + 1
            self.runs[want.run].recall(want, path_to(plan.tree.nodes[want.node], want.step))
            if want.open:
                plan.tree.want(Place(want.node, want.step), Wanter(want.run, want.trial))
        for loss in store.scan(LossRecord):
            self.losses[loss.plan, Place(loss.node, loss.step)] = loss.count
        for lease in store.scan(LeaseRecord):
            self.leases.add(lease, now)
            self.plans[lease.plan].tree.promise(lease.lease, (Place(n, e) for n, _, e in lease.ends))

    def number(self, name: str, turn: Turn) -> int:
        """The next number of a counter that never goes back."""
        self.counters[name] = self.counters.get(name, 0) + 1
        turn.put(CounterRecord(name, self.counters[name]))
        return self.counters[name]

    # -- events -------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Begin to look at the leases; close the runs that nobody can speak for."""
        turn = Turn()
        if self.settings.close_runs:
            for run in self.runs.values():
                if not run.record.closed:
                    self.close(run, turn)
        turn.do(StartTimer("beat", self.settings.beat_s))
        return turn.effects()

    def handle(self, event: Event, now: float) -> list[Effect]:
        """See the class of the event's message for what each says."""
        turn = Turn()
        if isinstance(event, TimerFired):
            for lease in self.leases.expired(now):
                self.lose(lease, f"was not heard of for {self.settings.lease_s:g} s", now, turn)
            for run in self.runs.values():
                if not run.paused and now - run.heard > self.settings.session_lease_s:
                    self.pause(run, turn)
            turn.do(StartTimer("beat", self.settings.beat_s))
        elif isinstance(event, Received | Called):
            sender, message = (event.sender, event.message) if isinstance(event, Received) else ("", event.call)
            handler = self.handlers.get(type(message))
            if handler is None:
                turn.send(sender, Refused(f"a coordinator takes no {type(message).__name__}"))
            else:
                handler(sender, message, now, turn)
        if self.unsettled:
            self.unsettled = False
            self.settle(now, turn)
        return turn.effects()

    # -- sessions -----------------------------------------------------------------------------------------------

    def on_open_run(self, sender: str, message: OpenRun, now: float, turn: Turn) -> None:
        run = self.runs.get(message.run)
        note = ""
        if run is None:
            plan, note = self.plan_for(message, now, turn)
            run = self.runs[message.run] = Run(RunRecord(message.run, message.study, plan.name, now, applied=1))
            turn.put(run.record)
        self.hear(run, sender, now)
        turn.send(sender, Opened(run.name, run.record.plan, note))
        turn.send(sender, Applied(run.name, run.record.applied))

    def plan_for(self, message: OpenRun, now: float, turn: Turn) -> tuple[LivePlan, str]:
        """The plan that a new run joins, or a new one, and what to tell the user about it."""
        same = [p for p in self.plans.values() if p.record.plan_key == message.plan_key]
        latest = max(same, key=lambda p: p.record.number, default=None)
        if latest is not None and not message.fresh:
            return latest, ""
        number = 1 if latest is None else latest.record.number + 1
        record = PlanRecord(
            plan=f"{message.plan_key[:16]}-{number}",
            plan_key=message.plan_key,
            number=number,
            study=message.study,
            merge=message.merge,
            source=message.source,
            fingerprint=message.fingerprint,
            parts=message.parts,
            created_at=now,
        )
        note = "" if same else self.what_changed(record)
        plan = self.plans[record.plan] = LivePlan(record)
        turn.put(record)
        return plan, note

    def what_changed(self, new: PlanRecord) -> str:
        """Why a study with an earlier plan begins anew: the code that its trainer can reach is not the same."""
        earlier = [
            p.record
            for p in self.plans.values()
            if (p.record.study, p.record.merge) == (new.study, new.merge)
            and (p.record.source.module, p.record.source.qualname) == (new.source.module, new.source.qualname)
        ]
        if not earlier:
            return ""
        old = max(earlier, key=lambda r: r.created_at)
        names = sorted(set(old.parts.items()) ^ set(new.parts.items()))
        changed = ", ".join(dict.fromkeys(name for name, _ in names))
        if not changed:
            return "the study's settings changed: this run begins a new plan; the earlier one is left as it is"
        return f"code that the trainer reaches changed ({changed}): this run begins a new plan; the earlier one is left as it is"

    def hear(self, run: Run, sender: str, now: float) -> None:
        """A run's session speaks: what it waits for is wanted again if it was paused."""
        run.session, run.heard = sender, now
        if run.paused:
            run.paused = False
            self.unsettled = True
            for want in run.open:
                self.plans[want.plan].tree.want(Place(want.node, want.step), Wanter(run.name, want.trial))

    def pause(self, run: Run, turn: Turn) -> None:
        """Nobody speaks for a run: nobody would hear the answers."""
        run.paused = True
        for want in run.open:
            self.plans[want.plan].tree.let_go(Place(want.node, want.step), Wanter(run.name, want.trial))
        self.stop_unwanted(self.plans[run.record.plan], turn)

    def run_of(self, sender: str, message: Ask | Release | CloseRun, now: float, turn: Turn) -> Run | None:
        """The run of a session's message if it is the next one to apply; otherwise what to say is said."""
        run = self.runs.get(message.run)
        if run is None:
            turn.send(sender, Refused(f"run {message.run} is not open here", message.run))
            return None
        self.hear(run, sender, now)
        if message.number != run.record.applied + 1:
            turn.send(sender, Applied(run.name, run.record.applied))
            return None
        run.change(applied=message.number)
        turn.send(sender, Applied(run.name, message.number))
        return run

    def on_ask(self, sender: str, message: Ask, now: float, turn: Turn) -> None:
        run = self.run_of(sender, message, now, turn)
        if run is None:
            return
        plan = self.plans[run.record.plan]
        for asked in message.requests:
            self.ask(run, plan, asked, turn)
        turn.put(run.record)
        self.unsettled = True

    def ask(self, run: Run, plan: LivePlan, asked: AskedTrial, turn: Turn) -> None:
        try:
            config = config_of(asked, plan.record.source.names)
        except UsageError as error:
            self.tell(run, asked.trial, Place(0, asked.step), f"trial {asked.trial}: {error}", turn)
            return
        place = plan.place(config, asked.step, None if plan.record.merge else asked.trial, turn)
        waits = plan.tree.want(place, Wanter(run.name, asked.trial))
        want = WantRecord(run.name, asked.trial, asked.step, plan.name, place.node, plan.wants_made, waits)
        plan.wants_made += 1
        run.asks(want, path_to(plan.tree.nodes[place.node], place.step))
        turn.put(want)
        if not waits:
            self.tell(run, asked.trial, place, None, turn)

    def on_release(self, sender: str, message: Release, now: float, turn: Turn) -> None:
        run = self.run_of(sender, message, now, turn)
        if run is not None:
            self.let_go(run, set(message.trials), turn)
            turn.put(run.record)
            turn.send(sender, self.run_state(run))

    def on_close_run(self, sender: str, message: CloseRun, now: float, turn: Turn) -> None:
        run = self.run_of(sender, message, now, turn)
        if run is None:
            return
        self.close(run, turn)

    def close(self, run: Run, turn: Turn) -> None:
        """The run wants nothing more, for good."""
        self.let_go(run, set(run.asked), turn)
        run.change(closed=True)
        turn.put(run.record)
        self.settle_account(run, turn)

    def let_go(self, run: Run, trials: set[int], turn: Turn) -> None:
        """These trials of a run want nothing more; a batch that nobody waits for is left."""
        plan = self.plans[run.record.plan]
        for want in [w for w in run.open if w.trial in trials]:
            plan.tree.let_go(Place(want.node, want.step), Wanter(run.name, want.trial))
            self.shut(run, want, turn)
        self.stop_unwanted(plan, turn)

    def stop_unwanted(self, plan: LivePlan, turn: Turn) -> None:
        """Leave the batches that nobody waits for any more."""
        for lease in self.leases.leases.values():
            if lease.record.plan == plan.name and not lease.stopping and not plan.wanted_behind(lease.record):
                lease.stopping = True
                turn.send(lease.record.trainer, StopLease(lease.record.trainer, lease.number))

    def shut(self, run: Run, want: WantRecord, turn: Turn) -> None:
        """A want waits no longer."""
        closed = WantRecord(want.run, want.trial, want.step, want.plan, want.node, want.order, open=False)
        run.remember(closed)
        turn.put(closed)

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

    def on_session_beat(self, sender: str, message: SessionBeat, now: float, turn: Turn) -> None:
        run = self.runs.get(message.run)
        if run is None:
            turn.send(sender, Refused(f"run {message.run} is not open here", message.run))
            return
        self.hear(run, sender, now)
        for entry in run.journal[message.told : message.told + TOLD_MAX]:
            turn.send(sender, self.told(run, entry))
        turn.send(sender, Applied(run.name, run.record.applied))
        turn.send(sender, self.run_state(run))

    def run_state(self, run: Run) -> RunState:
        busy = sum(lease.record.plan == run.record.plan for lease in self.leases.leases.values())
        settled = not run.open and not self.pays(run)
        return RunState(run.name, run.record.counts, busy, len(self.staff.trainers), settled)

    # -- answers ------------------------------------------------------------------------------------------------

    def tell(self, run: Run, trial: int, place: Place, error: str | None, turn: Turn) -> None:
        """Write an answer into the run's journal, and send it."""
        entry = run.answer(trial, place, error)
        turn.put(entry)
        if run.session:
            turn.send(run.session, self.told(run, entry))

    def told(self, run: Run, entry: AnswerRecord) -> Told:
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

    # -- trainers -----------------------------------------------------------------------------------------------

    def on_trainer_beat(self, sender: str, message: TrainerBeat, now: float, turn: Turn) -> None:
        trainer = self.staff.beat(message, sender)
        plan = self.plans.get(message.plan)
        if plan is None:
            return
        plan.start_failures = 0
        self.leases.renew(message.trainer, now)
        lease = self.leases.of_trainer(message.trainer)
        if message.lease is not None and (lease is None or lease.number != message.lease):
            turn.send(sender, StopLease(message.trainer, message.lease))
        elif message.lease is not None and lease is not None:
            lease.steps_run = max(lease.steps_run, message.steps_run)
            if lease.stopping:
                turn.send(sender, StopLease(message.trainer, lease.number))
        elif lease is not None:  # it does not know: the grant was lost, or is on its way
            turn.send(sender, plan.grant(lease.record))
        else:
            trainer.held = None if message.held is None else Place(*message.held)
            self.unsettled = True

    def on_notice(self, sender: str, message: Notice, now: float, turn: Turn) -> None:
        turn.send(sender, Noted(message.number))
        lease = self.leases.leases.get(message.lease)
        if lease is None or lease.record.trainer != message.trainer:
            turn.send(sender, StopLease(message.trainer, message.lease))
            return
        plan = self.plans[lease.record.plan]
        place = Place(message.node, message.step)
        if place not in lease.ahead and message.steps_run <= lease.record.steps_noted:
            return  # said before
        self.account(lease, plan, message, turn)
        self.leases.renew(message.trainer, now)
        plan.tree.keep(lease.number, place)
        lease.record = passed(lease.record, message)
        turn.put(lease.record)
        if plan.tree.answer(place) is not None:
            self.answer(plan, place, None, turn)
        if not lease.stopping and lease.record.ends and not plan.wanted_behind(lease.record):
            lease.stopping = True
            turn.send(sender, StopLease(message.trainer, lease.number))
        self.unsettled = True

    def account(self, lease: Lease, plan: LivePlan, notice: Notice, turn: Turn) -> None:
        """Count the steps that a notice makes durable, and write down what it found.

        The steps from the last boundary to here were trained for the payer; those that somebody had trained before are repeated, for
        want of a checkpoint where a branch was asked for too late.
        """
        node = plan.tree.nodes[notice.node]
        steps = notice.steps_run - lease.record.steps_noted
        begin = notice.step - steps
        repeated = max(0, min(notice.step, node.trained_to) - begin)
        payer = self.runs[lease.record.payer]
        for run in self.runs.values():
            if run is not payer and run.record.plan == plan.name and steps > repeated:
                run.shares(node, begin + repeated, notice.step)
                turn.put(run.record)
        new = plan.found(notice, turn)
        plan.learn(notice, steps)
        payer.count(steps_run=steps, late_branch=repeated, checkpoint_count=int(new))
        turn.put(payer.record)
        if self.losses.pop((plan.name, Place(notice.node, begin)), None) is not None:
            turn.delete(LossRecord, (plan.name, notice.node, begin))

    def on_lease_ended(self, sender: str, message: LeaseEnded, now: float, turn: Turn) -> None:
        turn.send(sender, Noted(message.number))
        lease = self.leases.leases.get(message.lease)
        if lease is None or lease.record.trainer != message.trainer:
            return
        plan = self.plans[lease.record.plan]
        lease.steps_run = message.steps_run
        if message.load_s is not None:
            plan.estimates.load_s.add(message.load_s)
        self.end(lease, now, turn)
        trainer = self.staff.trainers.get(message.trainer)
        if trainer is not None:
            trainer.held = None if message.held is None else Place(*message.held)
        if message.error is not None and message.failed_node is not None and message.failed_step is not None:
            self.fail(plan, plan.tree.blocked(Place(message.failed_node, message.failed_step)), message.error, turn)

    def end(self, lease: Lease, now: float, turn: Turn) -> None:
        """A lease is over: what it ran without a checkpoint to show for it is lost, and will be run again."""
        record = lease.record
        del self.leases.leases[record.lease]
        turn.delete(LeaseRecord, record.key())
        self.plans[record.plan].tree.withdraw(record.lease)
        lost = max(0, lease.steps_run - record.steps_noted)
        payer = self.runs[record.payer]
        payer.count(steps_run=lost, failure=lost, trainer_busy_s=max(0.0, now - record.granted_at))
        turn.put(payer.record)
        self.unsettled = True
        self.settle_account(payer, turn)

    def lose(self, lease: Lease, why: str, now: float, turn: Turn) -> None:
        """A trainer is gone with its lease. After `attempts_max` on one stage, the requests behind it fail."""
        record, plan = lease.record, self.plans[lease.record.plan]
        self.end(lease, now, turn)
        self.staff.trainers.pop(record.trainer, None)
        if not record.ends:
            return
        place = lease.next_place
        start = Place(place.node, lease.from_step)
        count = self.losses[plan.name, start] = self.losses.get((plan.name, start), 0) + 1
        if count < self.settings.attempts_max:
            turn.put(LossRecord(plan.name, start.node, start.step, count))
            return
        del self.losses[plan.name, start]
        turn.delete(LossRecord, (plan.name, start.node, start.step))
        error = f"the trainer {why}, {count} times in a row, while it trained on from step {start.step}"
        self.fail(plan, plan.tree.blocked(place), error, turn)

    def on_trainer_broken(self, sender: str, message: TrainerBroken, now: float, turn: Turn) -> None:
        """The plan's trainer class cannot be had: nothing that is pending can be answered."""
        self.staff.trainers.pop(message.trainer, None)
        plan = self.plans.get(message.plan)
        if plan is not None:
            self.fail(plan, list(plan.tree.pending), message.error, turn)
        self.staff.retire(message.trainer, turn)

    # -- nodes --------------------------------------------------------------------------------------------------

    def on_node_beat(self, sender: str, message: NodeBeat, now: float, turn: Turn) -> None:
        self.staff.node_beat(message, self.aggregator, sender, turn)
        present = {slot.trainer for slot in message.slots}
        for lease in self.leases.of_node(message.node):
            if lease.record.trainer in present:
                lease.until = now + self.settings.lease_s
            else:
                self.lose(lease, "was gone when its node manager came back", now, turn)
        self.unsettled = True

    def on_trainer_exited(self, sender: str, message: TrainerExited, now: float, turn: Turn) -> None:
        turn.send(sender, Noted(message.number))
        lease = self.leases.of_trainer(message.trainer)
        assigned = self.staff.exited(message.trainer)
        why = exit_text(message.code, message.tail)
        if lease is not None:
            self.lose(lease, why, now, turn)
        elif assigned is not None and not assigned.heard and message.code != 0:
            self.start_failed(self.plans[assigned.plan], why, turn)
        self.unsettled = True

    def start_failed(self, plan: LivePlan, why: str, turn: Turn) -> None:
        plan.start_failures += 1
        if plan.start_failures >= self.settings.attempts_max:
            self.fail(plan, list(plan.tree.pending), f"the trainer {why}, before it was ready to train", turn)
            plan.start_failures = 0

    # -- deciding -----------------------------------------------------------------------------------------------

    def settle(self, now: float, turn: Turn) -> None:
        """Give every idle trainer a batch, and every device that is free a trainer that could use one."""
        for plan in self.plans.values():
            if not plan.tree.pending:
                continue
            for trainer in self.staff.idle(plan.name, self.leases):
                stages = plan.batch(trainer.held)
                if not stages:
                    break
                record = plan.lease(self.number("leases", turn), stages, trainer.name, trainer.node, now)
                self.leases.add(record, now)
                turn.put(record)
                turn.send(trainer.address, plan.grant(record))
        needy = [plan for plan in self.plans.values() if plan.ready_count()]
        for plan in needy:
            self.staff.hire(plan.record, plan.ready_count(), self.leases, lambda: self.number("trainers", turn), turn)

    def on_aggregator_at(self, sender: str, message: AggregatorAt, now: float, turn: Turn) -> None:
        self.aggregator = message.address

    def on_status_query(self, sender: str, message: StatusQuery, now: float, turn: Turn) -> None:
        turn.send(sender, Status(status(self, now)))


def config_of(asked: AskedTrial, names: tuple[str, ...]) -> Config:
    """The config that a request's descriptors say.

    Raises:
        UsageError: a name that the study does not have, a descriptor that is none, a step below 1.
    """
    if asked.step < 1:
        raise UsageError(f"step {asked.step} was asked for; the first that can be trained to is 1")
    unknown = sorted(set(asked.config) - set(names))
    if unknown or not asked.config:
        raise UsageError(f"{', '.join(unknown) or 'an empty config'}: the study's hyper-parameters are {', '.join(names)}")
    return {name: sequence_from_descriptor(d, name) for name, d in asked.config.items()}


def passed(lease: LeaseRecord, notice: Notice) -> LeaseRecord:
    """The lease after a notice: the boundary is no longer ahead, and what was run up to it is accounted for."""
    return LeaseRecord(
        lease=lease.lease,
        plan=lease.plan,
        trainer=lease.trainer,
        node=lease.node,
        payer=lease.payer,
        origin=lease.origin,
        ends=tuple(e for e in lease.ends if (e[0], e[2]) != (notice.node, notice.step)),
        reached=(notice.node, notice.step),
        granted_at=lease.granted_at,
        steps_noted=notice.steps_run,
    )


def exit_text(code: int, tail: str) -> str:
    """What a process's end means, for the person whose trainer it was."""
    if code == -9:
        text = "was killed by signal 9 (the kernel does that when memory runs out)"
    elif code < 0:
        text = f"was killed by signal {-code}"
    else:
        text = f"exited with code {code}"
    return f"{text}; its last words:\n{tail}\n" if tail.strip() else text
