"""Who goes on from whom: a run that begins takes over the journal of its study's latest run that did not end, and a
session the run of another that fell silent.

A run did not end if it is neither closed nor done, and nobody speaks for it. Whether somebody does is not known at
once: on a shared coordinator the first copy of a script may live on while a second one starts. So a run whose session
was heard a moment ago is given time to speak again, and the new one is opened when that is decided. It must not know
how a journal is told, or what a run wants."""

from __future__ import annotations

import msgspec

from hive.actors.actor import Turn
from hive.actors.books import Books
from hive.actors.messages import OpenRun
from hive.actors.replay import Journal
from hive.actors.runs import Run
from hive.storage.records import AnswerRecord

__all__ = ["ABANDONED_S", "Succession"]

ABANDONED_S = 3.0
"""A session that lives speaks every second: after three beats without a word nobody is there."""


class Succession:
    """Finds the run that a new one goes on from, and hands its journal over.

    Attributes:
        waiting: by name, since when a run waits to be opened; Unix time.
        rivals: by a run's name and an address, since when this wants to speak for it, for which another does.
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        self.waiting: dict[str, float] = {}
        self.rivals: dict[tuple[str, str], float] = {}

    def unfinished(self, study: str, plan: str) -> list[Run]:
        """The runs of a study on a plan that did not end, whether they live or not. A cancelled one is to be tried
        anew, not told again."""
        same = [r for r in self.books.runs.values() if (r.record.study, r.record.plan) == (study, plan)]
        return [r for r in same if not (r.record.closed or r.record.done or r.record.command == "cancel")]

    def overlook(self, away_s: float) -> None:
        """For so many seconds nobody could be heard: who spoke before a run began to wait has not spoken since."""
        self.waiting = {run: since + away_s for run, since in self.waiting.items()}
        self.rivals = {rival: since + away_s for rival, since in self.rivals.items()}

    def known(self, opening: OpenRun, now: float) -> bool:
        """Whether it is known of every earlier run of this study whether it lives."""
        since = self.waiting.setdefault(opening.run, now)
        plans = [p.record for p in self.books.plans.values() if p.record.plan_key == opening.plan_key]
        if plans and not opening.fresh:
            plan = max(plans, key=lambda record: record.number).plan
            if any(since >= run.heard > now - ABANDONED_S for run in self.unfinished(opening.study, plan)):
                return False
        del self.waiting[opening.run]
        return True

    def speaks(self, run: Run, sender: str, now: float) -> bool | None:
        """Whether a peer may speak for a run from now on, for which another did or nobody yet: once that is silent, as
        it is if both are the same session over two connections. None while that is not known."""
        if not run.session:
            return True
        since = self.rivals.setdefault((run.name, sender), now)
        if now - run.heard >= ABANDONED_S:
            self.rivals = {rival: at for rival, at in self.rivals.items() if rival[0] != run.name}
            return True
        return None if since >= run.heard else False

    def begin(self, run: Run, now: float, turn: Turn) -> None:
        """A new run takes over from the latest one that nobody speaks for; the others of these are closed."""
        silent = [
            other
            for other in self.unfinished(run.record.study, run.record.plan)
            if other is not run and other.heard <= now - ABANDONED_S
        ]
        if silent:
            self.inherit(run, max(silent, key=lambda other: (other.record.opened_at, other.name)), turn)
        for other in silent:
            self.books.close(other, turn)
        turn.put(run.record)

    def inherit(self, run: Run, before: Run, turn: Turn) -> None:
        """Move a journal: what was told to the earlier run is the replay of this one."""
        entries: list[AnswerRecord] = []
        for entry in (*before.journal.told, *before.journal.replay):
            turn.delete(AnswerRecord, entry.key())
            entries.append(msgspec.structs.replace(entry, run=run.name))
            turn.put(entries[-1])
        run.journal = Journal.of(entries, 0)
        answers = "1 answer is" if len(entries) == 1 else f"{len(entries)} answers are"
        note = f"goes on from a run that did not end: {answers} told again" if entries else ""
        run.change(replays=before.name, note=note)

    def heir(self, run: Run) -> Run | None:
        """The run that took a closed one's journal over."""
        if not run.record.closed:
            return None
        return next((r for r in self.books.runs.values() if r.record.replays == run.name), None)
