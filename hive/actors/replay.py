"""The journal of a run, and how a run that goes on from one that did not end is told the same in the same order.

    told     entries 1 to n: what the run was told
    replay   the entries after those: what the earlier run was told next
    held     what could be told, and has to wait because the replay says something else first

While there is a replay, what is ready is told only when it is the replay's next entry. What the replay names stands
already, so it is ready as soon as it is asked for: nobody waits for training. The tuner asks for something else than
its predecessor did if it asks for a place that the replay does not know under that trial and step, or if it falls
silent while it could be told something and has not asked for what the replay names next. Then the replay is dropped,
and everything held is told.

It must not know messages, stores, plans, or how an entry travels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from hive.storage.records import AnswerRecord, HeldRecord

__all__ = ["QUIET_BEATS", "Journal"]

QUIET_BEATS = 5
"""Beats of a session that has all it was told and says nothing new, after which its tuner will ask for nothing more. A
tuner that keeps its loop busy sends no beats, so that thinking for long is not taken for silence."""


@dataclass(slots=True)
class Journal:
    """What a run was told, will be told again, and could be told.

    Attributes:
        held: by number, in order of becoming ready.
        held_by: the numbers of those that the same entry would tell, in order.
        unasked: by trial and step, the entries of the replay that were not asked for yet.
        quiet: beats in a row that brought nothing new while something was held.
    """

    told: list[AnswerRecord] = field(default_factory=list)
    replay: deque[AnswerRecord] = field(default_factory=deque)
    held: dict[int, HeldRecord] = field(default_factory=dict)
    held_by: dict[Subject, deque[int]] = field(default_factory=dict)
    unasked: dict[tuple[int, int], deque[AnswerRecord]] = field(default_factory=dict)
    quiet: int = 0

    @classmethod
    def of(cls, entries: Iterable[AnswerRecord], told: int, held: Iterable[HeldRecord] = ()) -> Journal:
        """The journal of these entries, by number, the first `told` of which were told."""
        entries = list(entries)
        journal = cls(entries[:told], deque(entries[told:]))
        for entry in journal.replay:
            if entry.kind == "answer":
                journal.unasked.setdefault((entry.trial, entry.step), deque()).append(entry)
        for ready in held:
            if ready.kind == "answer":
                journal.asked(ready.trial, ready.step)
            journal.hold(ready)
        return journal

    def asked(self, trial: int, step: int) -> AnswerRecord | None:
        """A trial is asked for at a step: what the replay answers; None if it does not know of it."""
        entries = self.unasked.get((trial, step))
        return entries.popleft() if entries else None

    @property
    def next_number(self) -> int:
        """The number of what is held next."""
        return next(reversed(self.held), 0) + 1

    def hold(self, ready: HeldRecord) -> None:
        """Something could be told."""
        self.held[ready.number] = ready
        self.held_by.setdefault(subject(ready), deque()).append(ready.number)

    def due(self) -> HeldRecord | None:
        """What is to be told now, and is held no longer; None if nothing is."""
        if self.replay:
            numbers = self.held_by.get(subject(self.replay[0]))
            return self.let_go(numbers[0]) if numbers else None
        return self.let_go(next(iter(self.held))) if self.held else None

    def let_go(self, number: int) -> HeldRecord:
        """Hold something no longer."""
        ready = self.held.pop(number)
        self.held_by[subject(ready)].remove(number)
        return ready

    def tell(self, ready: HeldRecord) -> AnswerRecord:
        """Tell something: it is the replay's next entry, or a new one."""
        if self.replay:
            entry = self.replay.popleft()
        else:
            number = len(self.told) + 1
            entry = AnswerRecord(
                ready.run, number, ready.trial, ready.node, ready.step, ready.error, ready.kind, ready.time
            )
        self.told.append(entry)
        self.quiet = 0
        return entry

    def beat(self, told: int, *, all_applied: bool) -> bool:
        """The session lives, and has the entries up to `told`; whether its tuner waits for what is held. `all_applied`:
        nothing that the session said is still on its way."""
        waits = bool(self.replay and self.held) and told == len(self.told) and all_applied
        self.quiet = self.quiet + 1 if waits else 0
        return self.quiet >= QUIET_BEATS

    def drop_replay(self) -> list[AnswerRecord]:
        """The tuner asks for something else: what was left of the replay."""
        left = list(self.replay)
        self.replay.clear()
        self.unasked.clear()
        return left


Subject = tuple[str, int, int, int]


def subject(entry: AnswerRecord | HeldRecord) -> Subject:
    """Equal for what one entry tells. All questions for the time are alike."""
    return ("time", 0, 0, 0) if entry.kind == "time" else ("answer", entry.trial, entry.node, entry.step)
