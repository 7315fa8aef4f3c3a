"""What people say about studies from outside their scripts: pause, resume, cancel.

A command is a state of a run, kept in its record beside what its session does: a pause outlives restarts and is not
undone by a beat. Each command says how things should be, so one that comes twice changes nothing the second time. It
must not know trainers, leases, or who gets which batch."""

from __future__ import annotations

from hive.actors.actor import Turn
from hive.actors.books import Books
from hive.actors.messages import Refused, StudyCommand, StudyDone
from hive.actors.runs import Run
from hive.planner.search_plan import Place

__all__ = ["Commands"]


class Commands:
    """The coordinator's handler of commands."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def on_study_command(self, sender: str, message: StudyCommand, now: float, turn: Turn) -> None:
        """Apply a command to every open run of a study, or to one run by its name."""
        open_runs = [run for run in self.books.runs.values() if not run.record.closed]
        named = [run for run in open_runs if message.name in (run.record.study, run.name)]
        if not named:
            there = ", ".join(sorted({run.record.study for run in open_runs})) or "none"
            turn.send(sender, Refused(f"no open study or run is called {message.name!r}; open studies: {there}"))
            return
        runs = [run for run in named if message.action == "cancel" or run.record.command != "cancel"]
        if not runs:
            turn.send(sender, Refused(f"{message.name} was cancelled, which is for good: start its script again"))
            return
        act = {"pause": self.pause, "resume": self.resume, "cancel": self.cancel}[message.action]
        for run in runs:
            act(run, message.by, turn)
        turn.send(sender, StudyDone(message.name, message.action, [run.name for run in runs]))

    def pause(self, run: Run, by: str, turn: Turn) -> None:
        """What only this run wants is not trained until it is resumed."""
        if run.record.command == "":
            run.change(command="pause", commanded_by=by)
            turn.put(run.record)
            self.books.withdraw(run, turn)

    def resume(self, run: Run, by: str, turn: Turn) -> None:
        """What it waits for is trained again, if its session speaks."""
        if run.record.command == "pause":
            run.change(command="", commanded_by="")
            turn.put(run.record)
            if not run.paused:
                self.books.resume(run, turn)

    def cancel(self, run: Run, by: str, turn: Turn) -> None:
        """The run gets nothing more, and is told so for all that it waits for."""
        if run.record.command != "cancel":
            self.books.withdraw(run, turn)
            run.change(command="cancel", commanded_by=by)
            if run.journal.replay:  # which says other things than that it was cancelled
                self.books.ask_otherwise(run, turn)
            for want in run.open:
                self.books.shut(run, want, turn)
                self.books.tell(run, want.trial, Place(want.node, want.step), run.cancelled, turn)
            turn.put(run.record)
            self.books.settle_account(run, turn)
