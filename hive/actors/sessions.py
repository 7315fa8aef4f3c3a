"""What sessions say to the coordinator: runs begin, ask, let go, end, and show that they live.

Each numbered message of a session is applied once, in order; the number is in the same commit as what it did. It must
not know trainers, leases, or who gets which batch."""

from __future__ import annotations

import msgspec

from hive.actors import notes
from hive.actors.actor import Turn
from hive.actors.books import Books
from hive.actors.configs import config_of
from hive.actors.messages import (
    Announce,
    Applied,
    Ask,
    AskedTrial,
    AskTime,
    CloseRun,
    Opened,
    OpenRun,
    Refused,
    Release,
    SessionBeat,
)
from hive.actors.plans import LivePlan, path_to
from hive.actors.runs import Run
from hive.actors.succession import Succession
from hive.errors import UsageError
from hive.planner.search_plan import Place, Wanter
from hive.planner.space import Config
from hive.storage.records import AnnouncementRecord, PlanRecord, ReleasedRecord, RunRecord, WantRecord

__all__ = ["Sessions"]

TOLD_MAX = 1_000
"""Answers repeated after one beat: enough to catch up within seconds, few enough not to crowd out everything else."""


class Sessions:
    """The coordinator's handlers of what sessions say. Each takes (sender, message, now, turn)."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.succession = Succession(books)

    def on_open_run(self, sender: str, message: OpenRun, now: float, turn: Turn) -> None:
        """A run begins, perhaps where one that did not end left off; said again, it is told the same."""
        if message.run not in self.books.runs:
            if not self.succession.known(message, now):
                return  # it is said again
            plan, note = self.plan_for(message, now, turn)
            self.books.staff.try_again(plan.name)
            record = RunRecord(
                run=message.run,
                study=message.study,
                plan=plan.name,
                opened_at=now,
                applied=1,
                weight=message.weight,
                note=note,
                metric=message.metric,
                maximize=message.maximize,
            )
            self.succession.begin(self.books.add_run(record, now), now, turn)
        run = self.hear(message.run, sender, now, turn)
        if run is not None:
            turn.send(sender, Opened(run.name, run.record.plan, run.record.note))
            self.books.unacknowledged[sender] = Applied(run.name, run.record.applied)

    def plan_for(self, message: OpenRun, now: float, turn: Turn) -> tuple[LivePlan, str]:
        """The plan that a new run joins, or a new one, and what to tell the user about it."""
        same = [p for p in self.books.plans.values() if p.record.plan_key == message.plan_key]
        latest = max(same, key=lambda p: p.record.number, default=None)
        if latest is not None and not message.fresh:
            if latest.record.source != message.source:  # the file has moved, or a setting that is no part of the key
                latest.record = msgspec.structs.replace(latest.record, source=message.source)
                turn.put(latest.record)
            return latest, notes.joins(self.books, latest, now)
        number = 1 if latest is None else latest.record.number + 1
        while plan_name(message.plan_key, number) in self.books.plans:  # another key may begin alike
            number += 1
        record = PlanRecord(
            plan=plan_name(message.plan_key, number),
            plan_key=message.plan_key,
            number=number,
            study=message.study,
            merge=message.merge,
            source=message.source,
            fingerprint=message.fingerprint,
            parts=message.parts,
            created_at=now,
        )
        note = "" if same else notes.begins_anew(self.books, record, now)
        plan = self.books.add_plan(record)
        turn.put(record)
        return plan, note

    def hear(self, name: str, sender: str, now: float, turn: Turn) -> Run | None:
        """A run's session speaks: its run, unless it has none to speak for."""
        run = self.books.runs.get(name)
        if run is None:
            turn.send(sender, Refused(f"run {name} is not open here", name))
            return None
        heir = self.succession.heir(run)
        if heir is not None:
            turn.send(sender, Refused(given_up(run, heir), name))
            return None
        if sender != run.session:
            speaks = self.succession.speaks(run, sender, now)
            if speaks is False:
                turn.send(sender, Refused(spoken_for(run), name))
            if not speaks:
                return None  # while it is not known it is not answered, and says the same again
        run.session, run.heard = sender, now
        if (run.paused or run.record.command == "pause") and not run.record.closed:
            self.books.resume(run, turn)
        return run

    def run_of(
        self, sender: str, message: Ask | AskTime | Announce | Release | CloseRun, now: float, turn: Turn
    ) -> Run | None:
        """The run of a session's message if it is the next one to apply; otherwise what to say is said."""
        run = self.hear(message.run, sender, now, turn)
        if run is None:
            return None
        if message.number != run.record.applied + 1:
            self.books.unacknowledged[sender] = Applied(run.name, run.record.applied)
            return None
        if run.record.closed:
            turn.send(sender, Refused(f"run {run.name} is over: start its script again", run.name))
            return None
        run.journal.quiet = 0
        run.change(applied=message.number, done=False)
        self.books.unacknowledged[sender] = Applied(run.name, message.number)
        if isinstance(message, Release | CloseRun):  # before the state that follows: what is final is applied
            turn.send(sender, self.books.unacknowledged.pop(sender))
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
        if run.record.command == "cancel":
            self.books.tell(run, asked.trial, Place(0, asked.step), run.cancelled, turn)
            return
        try:
            config = config_asked(asked, plan.record.source.names)
        except UsageError as error:
            place, wrong = Place(0, asked.step), f"trial {asked.trial}: {error}"
            self.error_again(run, asked, place, turn, means_nothing=True)
            self.books.tell(run, asked.trial, place, wrong, turn)
            return
        place = plan.place(config, asked.step, None if plan.record.merge else asked.trial, turn)
        failed = self.error_again(run, asked, place, turn)
        want = WantRecord(run.name, asked.trial, asked.step, plan.name, place.node, plan.wants_made)
        waits = failed is None and self.books.want(want)
        want = msgspec.structs.replace(want, open=waits)
        plan.wants_made += 1
        if asked.trial in run.released:
            run.released.remove(asked.trial)
            turn.delete(ReleasedRecord, (run.name, asked.trial))
        run.asks(want, path_to(plan.tree.nodes[place.node], place.step))
        plan.anticipation.asks(Wanter(run.name, asked.trial), asked.step)
        turn.put(want)
        if not waits:
            self.books.tell(run, asked.trial, place, failed, turn)

    def error_again(
        self, run: Run, asked: AskedTrial, place: Place, turn: Turn, *, means_nothing: bool = False
    ) -> str | None:
        """The failure that a run's replay says to a request, which is not tried again; None if it says none. If the
        replay knows another place, the run has left its way."""
        entry = run.journal.asked(asked.trial, asked.step)
        if entry is None:
            return None
        if entry.node != place.node or (means_nothing and entry.error is None):
            self.books.ask_otherwise(run, turn)
            return None
        return entry.error

    def on_ask_time(self, sender: str, message: AskTime, now: float, turn: Turn) -> None:
        """A run asks for the time."""
        run = self.run_of(sender, message, now, turn)
        if run is not None:
            self.books.tell_time(run, now, turn)
            turn.put(run.record)

    def on_announce(self, sender: str, message: Announce, now: float, turn: Turn) -> None:
        """A run says what it may ask for later."""
        run = self.run_of(sender, message, now, turn)
        if run is None:
            return
        for announced in message.trials:
            record = AnnouncementRecord(run.name, announced.trial, announced.config)
            self.books.announce(run, record)
            turn.put(record)
        turn.put(run.record)

    def on_release(self, sender: str, message: Release, now: float, turn: Turn) -> None:
        """Trials of a run want nothing more."""
        run = self.run_of(sender, message, now, turn)
        if run is not None:
            self.books.let_go(run, set(message.trials), turn)
            for trial in set(message.trials) - run.released:
                run.released.add(trial)
                turn.put(ReleasedRecord(run.name, trial))
            run.change(done=message.done)
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
        run = self.hear(message.run, sender, now, turn)
        if run is None:
            return
        if run.journal.beat(message.told, all_applied=message.said in (None, run.record.applied)):
            self.books.ask_otherwise(run, turn)
        for entry in run.journal.told[message.told : message.told + TOLD_MAX]:
            turn.send(sender, self.books.told(run, entry))
        self.books.unacknowledged[sender] = Applied(run.name, run.record.applied)
        turn.send(sender, self.books.run_state(run))


def given_up(run: Run, heir: Run) -> str:
    """Why a session is not heard any more."""
    return (
        f"run {run.name} was silent for so long that it was taken for dead when its script was started again, and run "
        f"{heir.name} goes on from it; what was trained is kept, and this script can be started again"
    )


def spoken_for(run: Run) -> str:
    """Why a session is not heard that speaks under the name of another's run."""
    return (
        f"another session speaks for run {run.name}, and what both ask would mix: end the other, or open a run with a "
        "name of its own"
    )


def config_asked(asked: AskedTrial, names: tuple[str, ...]) -> Config:
    """The config that a request says.

    Raises:
        UsageError: it says none, or a step below 1.
    """
    if asked.step < 1:
        raise UsageError(f"step {asked.step} was asked for; the first that can be trained to is 1")
    return config_of(asked.config, names)


def plan_name(plan_key: str, number: int) -> str:
    """What a plan is called: also the folder of its checkpoints."""
    return f"{plan_key[:16]}-{number}"
