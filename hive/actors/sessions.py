"""What sessions say to the coordinator: runs begin, ask, let go, end, and show that they live.

Each numbered message of a session is applied once, in order; the number is in the same commit as what it did. It must
not know trainers, leases, or who gets which batch."""

from __future__ import annotations

import msgspec

from hive.actors.actor import Turn
from hive.actors.books import Books
from hive.actors.messages import Applied, Ask, AskedTrial, CloseRun, Opened, OpenRun, Refused, Release, SessionBeat
from hive.actors.plans import LivePlan, path_to
from hive.actors.runs import Run
from hive.errors import UsageError
from hive.planner.search_plan import Place, Wanter
from hive.planner.sequences import sequence_from_descriptor
from hive.planner.space import Config
from hive.storage.records import PlanRecord, RunRecord, WantRecord

__all__ = ["Sessions"]

TOLD_MAX = 1_000
"""Answers repeated after one beat: enough to catch up within seconds, few enough not to crowd out everything else."""


class Sessions:
    """The coordinator's handlers of what sessions say. Each takes (sender, message, now, turn)."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def on_open_run(self, sender: str, message: OpenRun, now: float, turn: Turn) -> None:
        """A run begins; said again, it is told the same."""
        run = self.books.runs.get(message.run)
        note = ""
        if run is None:
            plan, note = self.plan_for(message, now, turn)
            record = RunRecord(message.run, message.study, plan.name, now, applied=1, weight=message.weight)
            run = self.books.add_run(record, now)
            turn.put(run.record)
        self.hear(run, sender, now, turn)
        turn.send(sender, Opened(run.name, run.record.plan, note))
        self.books.unacknowledged[sender] = Applied(run.name, run.record.applied)

    def plan_for(self, message: OpenRun, now: float, turn: Turn) -> tuple[LivePlan, str]:
        """The plan that a new run joins, or a new one, and what to tell the user about it."""
        same = [p for p in self.books.plans.values() if p.record.plan_key == message.plan_key]
        latest = max(same, key=lambda p: p.record.number, default=None)
        if latest is not None and not message.fresh:
            if latest.record.source != message.source:  # the file has moved, or a setting that is no part of the key
                latest.record = msgspec.structs.replace(latest.record, source=message.source)
                turn.put(latest.record)
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
        plan = self.books.add_plan(record)
        turn.put(record)
        return plan, note

    def what_changed(self, new: PlanRecord) -> str:
        """Why a study with an earlier plan begins anew: the code that its trainer can reach is not the same."""
        earlier = [
            p.record
            for p in self.books.plans.values()
            if (p.record.study, p.record.merge) == (new.study, new.merge)
            and (p.record.source.module, p.record.source.qualname) == (new.source.module, new.source.qualname)
        ]
        if not earlier:
            return ""
        old = max(earlier, key=lambda r: r.created_at)
        names = sorted(set(old.parts.items()) ^ set(new.parts.items()))
        changed = ", ".join(dict.fromkeys(name for name, _ in names))
        if not changed:
            return "the study's settings changed: a new plan begins; the earlier one is left as it is"
        return f"code that the trainer reaches changed ({changed}): a new plan begins; the earlier one is left as it is"

    def hear(self, run: Run, sender: str, now: float, turn: Turn) -> None:
        """A run's session speaks."""
        run.session, run.heard = sender, now
        if run.paused:
            self.books.resume(run, turn)

    def run_of(self, sender: str, message: Ask | Release | CloseRun, now: float, turn: Turn) -> Run | None:
        """The run of a session's message if it is the next one to apply; otherwise what to say is said."""
        run = self.books.runs.get(message.run)
        if run is None:
            turn.send(sender, Refused(f"run {message.run} is not open here", message.run))
            return None
        self.hear(run, sender, now, turn)
        if message.number != run.record.applied + 1:
            self.books.unacknowledged[sender] = Applied(run.name, run.record.applied)
            return None
        run.change(applied=message.number)
        self.books.unacknowledged[sender] = Applied(run.name, message.number)
        return run

    def on_ask(self, sender: str, message: Ask, now: float, turn: Turn) -> None:
        """A run asks: everything in the message, before anything is granted."""
        run = self.run_of(sender, message, now, turn)
        if run is None:
            return
        plan = self.books.plans[run.record.plan]
        for asked in message.requests:
            self.ask(run, plan, asked, turn)
        turn.put(run.record)
        self.books.unsettled = True

    def ask(self, run: Run, plan: LivePlan, asked: AskedTrial, turn: Turn) -> None:
        """Apply one request: a place in the plan, a want, and the answer if it stands already."""
        try:
            config = config_of(asked, plan.record.source.names)
        except UsageError as error:
            self.books.tell(run, asked.trial, Place(0, asked.step), f"trial {asked.trial}: {error}", turn)
            return
        place = plan.place(config, asked.step, None if plan.record.merge else asked.trial, turn)
        waits = plan.tree.want(place, Wanter(run.name, asked.trial), plan.wants_made)
        want = WantRecord(run.name, asked.trial, asked.step, plan.name, place.node, plan.wants_made, waits)
        plan.wants_made += 1
        run.asks(want, path_to(plan.tree.nodes[place.node], place.step))
        turn.put(want)
        if not waits:
            self.books.tell(run, asked.trial, place, None, turn)

    def on_release(self, sender: str, message: Release, now: float, turn: Turn) -> None:
        """Trials of a run want nothing more."""
        run = self.run_of(sender, message, now, turn)
        if run is not None:
            self.books.let_go(run, set(message.trials), turn)
            turn.put(run.record)
            turn.send(sender, self.books.run_state(run))

    def on_close_run(self, sender: str, message: CloseRun, now: float, turn: Turn) -> None:
        """A run is over."""
        run = self.run_of(sender, message, now, turn)
        if run is None:
            return
        self.books.close(run, turn)

    def on_session_beat(self, sender: str, message: SessionBeat, now: float, turn: Turn) -> None:
        """A session lives: it is told what it lacks, and how its run stands."""
        run = self.books.runs.get(message.run)
        if run is None:
            turn.send(sender, Refused(f"run {message.run} is not open here", message.run))
            return
        self.hear(run, sender, now, turn)
        for entry in run.journal[message.told : message.told + TOLD_MAX]:
            turn.send(sender, self.books.told(run, entry))
        self.books.unacknowledged[sender] = Applied(run.name, run.record.applied)
        turn.send(sender, self.books.run_state(run))


def config_of(asked: AskedTrial, names: tuple[str, ...]) -> Config:
    """The config that a request's descriptors say.

    Raises:
        UsageError: a name that the study does not have, a descriptor that is none, a step below 1.
    """
    if asked.step < 1:
        raise UsageError(f"step {asked.step} was asked for; the first that can be trained to is 1")
    unknown = sorted(set(asked.config) - set(names))
    if unknown or not asked.config:
        raise UsageError(
            f"{', '.join(unknown) or 'an empty config'}: the study's hyper-parameters are {', '.join(names)}"
        )
    return {name: sequence_from_descriptor(d, name) for name, d in asked.config.items()}
