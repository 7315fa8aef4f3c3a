"""A client's session: what a run asks is said until it is applied, and what it is told is handed on once, in order.

It must not know tuners, awaiting, sockets, or clocks. Whoever awaits answers gets them as `Deliver` effects:
`Opened`, `Told` and `ToldTime` (each number once, without gaps), `RunState`, `Refused`, and `Silence` for none."""

from __future__ import annotations

from dataclasses import dataclass

from hive.actors.actor import (
    SILENT_BEATS,
    Called,
    Deliver,
    Effect,
    Event,
    Received,
    Silence,
    StartTimer,
    TimerFired,
    Turn,
)
from hive.actors.messages import (
    Announce,
    AnnouncedTrial,
    Applied,
    Ask,
    AskedTrial,
    AskTime,
    CloseRun,
    Opened,
    OpenRun,
    Refused,
    Release,
    RunState,
    SessionBeat,
    Told,
    ToldTime,
)

__all__ = ["AnnounceCall", "AskCall", "AskTimeCall", "CloseCall", "ReleaseCall", "Session"]

COORDINATOR = "coordinator"

Numbered = Ask | AskTime | Announce | Release | CloseRun


@dataclass(frozen=True, slots=True)
class AskCall:
    """Ask for these trials, together."""

    requests: list[AskedTrial]


@dataclass(frozen=True, slots=True)
class AskTimeCall:
    """What time is it?"""


@dataclass(frozen=True, slots=True)
class AnnounceCall:
    """These may be asked for later."""

    trials: list[AnnouncedTrial]


@dataclass(frozen=True, slots=True)
class ReleaseCall:
    """These trials want nothing more. `done`: the script came to its end."""

    trials: list[int]
    done: bool = False


@dataclass(frozen=True, slots=True)
class CloseCall:
    """The run is over."""


class Session:
    """The actor. `opening`: the run's first message; `beat_s`: how often it says that it lives, in seconds."""

    def __init__(self, opening: OpenRun, beat_s: float = 1.0) -> None:
        self.opening = opening
        self.beat_s = beat_s
        self.number = opening.number
        self.unapplied: list[Numbered] = []
        self.said_before_beat = 0
        self.told = 0
        self.early: dict[int, Told | ToldTime] = {}
        self.opened = False
        self.unanswered = 0

    @property
    def run(self) -> str:
        """The run it speaks for."""
        return self.opening.run

    def start(self, now: float) -> list[Effect]:
        """Open the run; or come back to it over another connection, where it is opened again."""
        turn = Turn()
        self.opened, self.unanswered = False, 0
        self.beat(turn)
        return turn.effects()

    def handle(self, event: Event, now: float) -> list[Effect]:
        """A call is numbered and said; an answer is handed on when all before it were."""
        turn = Turn()
        if isinstance(event, Received):
            self.unanswered = 0
        match event:
            case TimerFired():
                self.beat(turn)
            case Called(AskCall(requests)):
                self.say(Ask(self.run, self.next_number(), requests), turn)
            case Called(AskTimeCall()):
                self.say(AskTime(self.run, self.next_number()), turn)
            case Called(AnnounceCall(trials)):
                self.say(Announce(self.run, self.next_number(), trials), turn)
            case Called(ReleaseCall(trials, done)):
                self.say(Release(self.run, self.next_number(), trials, done), turn)
            case Called(CloseCall()):
                self.say(CloseRun(self.run, self.next_number()), turn)
            case Received(_, Applied() as message) if message.run == self.run:
                self.on_applied(message, turn)
            case Received(_, Told() | ToldTime() as message) if message.run == self.run:
                self.on_told(message, turn)
            case Received(_, Opened() as message) if not self.opened:
                self.on_opened(message, turn)
            case Received(_, RunState() | Refused() as message):
                turn.do(Deliver(message))
            case _:
                pass
        return turn.effects()

    def next_number(self) -> int:
        """The next number."""
        self.number += 1
        return self.number

    def say(self, message: Numbered, turn: Turn) -> None:
        """Say a message until it is applied, from now on or from when the run is open."""
        self.unapplied.append(message)
        if self.opened:
            turn.send(COORDINATOR, message)

    def beat(self, turn: Turn) -> None:
        """Open the run; once it is, say which answers are here, and again what was said before the last beat and is
        not applied."""
        turn.send(COORDINATOR, SessionBeat(self.run, self.told, self.number) if self.opened else self.opening)
        for message in self.unapplied:
            if self.opened and message.number <= self.said_before_beat:
                turn.send(COORDINATOR, message)
        self.said_before_beat = self.number
        if self.unanswered == SILENT_BEATS:
            turn.do(Deliver(Silence()))
        self.unanswered += 1
        turn.do(StartTimer("beat", self.beat_s))

    def on_opened(self, message: Opened, turn: Turn) -> None:
        """The run is open: what was to be said until now can be said."""
        self.opened = True
        turn.do(Deliver(message))
        for said in self.unapplied:
            turn.send(COORDINATOR, said)

    def on_applied(self, message: Applied, turn: Turn) -> None:
        """What is applied need not be said again."""
        self.unapplied = [m for m in self.unapplied if m.number > message.number]

    def on_told(self, message: Told | ToldTime, turn: Turn) -> None:
        """Hand answers on, each once and in order."""
        if message.number > self.told:
            self.early[message.number] = message
        while (following := self.early.pop(self.told + 1, None)) is not None:
            self.told += 1
            turn.do(Deliver(following))
