"""What goes wrong in a simulation: how much of what is drawn from a seed, and the small pieces that do it.

    plan = FaultPlan.drawn(seed)
    faults = Faults(plan.storm)
    simulator = Simulator(seed, faults)

`Faults` is weather for a simulator's network: messages are lost, come again, perhaps much later, overtake each other,
and do not pass where a way is cut. It holds processes up, sets clocks, and counts what really happened. Then all must
be well again within a bound: only when everything is healed can something be demanded.

What hive does not promise to survive is not drawn: two coordinators on one store, a commit that was reported done and
is not there, a clock that goes back while an actor lives. A checkpoint that is damaged after it was durable is no
promise either; it is drawn, for whoever waits for what follows from it must be told.

It must not know what any message means.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from hive.actors.simulator import BEGAN, Simulator
from hive.errors import StoreError
from hive.storage.memory_store import MemoryStore
from hive.storage.store import Write

__all__ = [
    "FATAL",
    "FULL",
    "KINDS",
    "TROUBLE_S",
    "Cut",
    "Fault",
    "FaultPlan",
    "Faults",
    "FaultyStore",
    "Storm",
    "beneath",
]

TROUBLE_S = 60.0
"""How long things go wrong, before everything heals; seconds."""

MUCH_LATER_S = 30.0
"""A message that takes longer comes much later: leases and sessions may be over by then."""

FULL = "store full"
"""What becomes of every commit until there is room again."""

HARMLESS = (
    "coordinator killed",
    "coordinator killed in a turn",
    "trainer killed",
    "trainer killed in a turn",
    "trainer exits",
    "node killed",
    "node killed in a turn",
    "node lost",
    "node leaves",
    "trainer outlives its node",
    "script killed",
    "study paused",
    "commit failed",
    "commit in doubt",
    FULL,
    "cut",
    "swizzle",
    "pause",
    "clock jump",
    "clock drift",
    "job hangs",
    "job slow",
)
"""What may go wrong without that a request fails, as long as trainers may be lost often enough."""

FATAL = ("checkpoint torn", "checkpoint missing")
"""What may go wrong only with that: requests fail, with the reason."""

KINDS = HARMLESS + FATAL
"""All that happens at a moment; storms and what jobs do are drawn beside."""


@dataclass(frozen=True, slots=True)
class Storm:
    """Bad weather.

    Attributes:
        drop: how likely it is that a message does not come.
        repeat: that it comes once more.
        late: that it takes up to `late_s` seconds, so that others overtake it.
        again: that it comes once more up to `again_s` seconds later, perhaps when the storm is over.
        until: Unix time when the storm is over.
    """

    drop: float = 0.0
    repeat: float = 0.0
    late: float = 0.0
    late_s: float = 5.0
    until: float = 0.0
    again: float = 0.0
    again_s: float = 120.0

    def delays(self, sender: str, to: str, now: float, draw: random.Random) -> Iterable[float]:
        """After how many seconds a message arrives: once, not at all, or more than once."""
        if now >= self.until:
            return [0.001]
        copies = 1 + (draw.random() < self.repeat) - (draw.random() < self.drop)
        delays = [0.001 + draw.random() * (self.late_s if draw.random() < self.late else 0.01) for _ in range(copies)]
        if self.again and draw.random() < self.again:
            delays.append(draw.random() * self.again_s)
        return delays


CALM = Storm()
"""No storm."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A way that no message passes, from one machine to another; the way back may be open.

    Attributes:
        sender, to: names of hosts; with what runs beneath them ("node0" and "node0/1").
        until: Unix time when it is open again.
    """

    sender: str
    to: str
    until: float

    def closes(self, sender: str, to: str, now: float) -> bool:
        """Whether a message from one host to another is lost here."""
        return now < self.until and beneath(sender, self.sender) and beneath(to, self.to)


def beneath(name: str, machine: str) -> bool:
    """Whether a host is on a machine."""
    return name == machine or name.startswith(machine + "/")


@dataclass
class Faults:
    """The weather, and what is done to hosts.

    Attributes:
        storm: what becomes of messages.
        cuts: the ways that are closed, or were.
        happened: by kind, how often something really went wrong.
        arrives: by way, when the last message on it arrives that was sent so far.
    """

    storm: Storm = CALM
    cuts: list[Cut] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    arrives: dict[tuple[str, str], float] = field(default_factory=dict)

    def delays(self, sender: str, to: str, now: float, draw: random.Random) -> Iterable[float]:
        """After how many seconds a message arrives."""
        if any(cut.closes(sender, to, now) for cut in self.cuts):
            self.happened["message cut off"] += 1
            return ()
        delays = list(self.storm.delays(sender, to, now, draw))
        self.count(delays, (sender, to), now)
        return delays

    def count(self, delays: Sequence[float], way: tuple[str, str], now: float) -> None:
        """What became of a message."""
        last = max(delays, default=0.0)
        self.happened["message dropped"] += not delays
        self.happened["message repeated"] += len(delays) > 1
        self.happened["message delayed"] += MUCH_LATER_S >= last > 0.02
        self.happened["message much later"] += last > MUCH_LATER_S
        if delays:
            self.happened["message overtaken"] += now + min(delays) < self.arrives.get(way, 0.0)
            self.arrives[way] = max(self.arrives.get(way, 0.0), now + last)

    def cut(self, sender: str, to: str, until: float) -> None:
        """Close a way for a while."""
        self.cuts.append(Cut(sender, to, until))
        self.happened["cut"] += 1

    def pause(self, simulator: Simulator, names: Collection[str], lasts_s: float) -> None:
        """Hold processes up for a while, as SIGSTOP does."""
        for host in [simulator.hosts[name] for name in names]:
            if host.waiting is None:
                simulator.hold_up(host)
                simulator.later(lasts_s, lambda host=host: simulator.go_on(host))  # type: ignore[misc]
                self.happened["pause"] += 1

    def jump(self, simulator: Simulator, name: str, seconds: float) -> None:
        """Set a host's clock; what its actor sees never goes back."""
        simulator.shifts[name] = simulator.shifts.get(name, 0.0) + seconds
        self.happened["clock jump"] += 1


class FaultyStore(MemoryStore):
    """A store whose next commit may fail: before it, or after it is done. When the store is full, each fails.

    Attributes:
        fails: what the next commit does; `FULL` until somebody makes room.
        failed: called with that when it does.
        committed: called with the writes of each commit, before it is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fails = ""
        self.failed: Callable[[str], None] = lambda _: None
        self.committed: Callable[[Sequence[Write]], None] = lambda _: None

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all writes, or none; either may be reported as failed.

        Raises:
            StoreError: it was to fail.
        """
        fails = self.fails
        if fails != FULL:
            self.fails = ""
        if fails not in ("commit failed", FULL):
            self.committed(writes)
            super().commit(writes)
        if fails:
            self.failed(fails)
            raise StoreError(f"{fails}: simulated")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong at a moment.

    Attributes:
        at_s: seconds after the beginning.
        kind: one of `KINDS`.
        whom: in [0, 1): which of those that are there then.
        size: how long it lasts, or how far it goes; seconds.
    """

    at_s: float
    kind: str
    whom: float
    size: float


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that goes wrong in one simulation.

    Attributes:
        storm: what becomes of messages.
        faults: what happens at a moment, by time.
        attempts_max: leases that may be lost on one stage before requests fail.
        raises: how likely it is that a step of user code raises.
        late, twice: how likely it is that a job's report is heard late, or twice.
        tardy: that a timer comes late.
        unwritten: that a checkpoint cannot be written.
        broken: that a trainer's process finds no class that it could train, or ends at once.
        no_number: the part of all states whose metrics are NaN or infinite, for good: training went wrong there.
    """

    storm: Storm = CALM
    faults: tuple[Fault, ...] = ()
    attempts_max: int = 1000
    raises: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    tardy: float = 0.0
    unwritten: float = 0.0
    broken: float = 0.0
    no_number: float = 0.0

    @classmethod
    def drawn(cls, seed: int, *, harmless: bool = False) -> FaultPlan:
        """The plan of a seed: a fifth are tame, others have some of the kinds, all at once.

        Args:
            seed: the same one draws the same plan.
            harmless: nothing is to happen that makes a request fail.
        """
        draw = random.Random(f"faults {seed}")
        if draw.random() < 0.2:
            return cls()
        choice = draw.choice
        storm = Storm(
            choice([0, 0.1, 0.3]),
            choice([0, 0.2]),
            choice([0, 0.3, 0.8]),
            choice([0.5, 5, 20]),
            BEGAN + TROUBLE_S,
            choice([0, 0, 0.02]),
        )
        all_kinds = HARMLESS if harmless else KINDS
        kinds = draw.sample(all_kinds, draw.randint(1, len(all_kinds)))
        faults = [
            Fault(draw.random() * TROUBLE_S * 0.9, choice(kinds), draw.random(), size(draw))
            for _ in range(draw.randint(0, 20))
        ]
        faults.sort(key=lambda fault: fault.at_s)
        plan = cls(
            storm,
            tuple(faults),
            late=choice([0, 0, 0.1]),
            twice=choice([0, 0, 0.1]),
            tardy=choice([0, 0, 0.1]),
            no_number=choice([0, 0, 0.3]),
        )
        if harmless:
            return plan
        return replace(
            plan,
            attempts_max=choice([3, 1000]),
            raises=choice([0, 0, 0, 0.01]),
            unwritten=choice([0, 0, 0, 0.02]),
            broken=choice([0, 0, 0, 0.1]),
        )

    @property
    def tame(self) -> bool:
        """Whether nothing goes wrong."""
        return self == FaultPlan()


def size(draw: random.Random) -> float:
    """Seconds that something lasts: often short, sometimes longer than any lease."""
    return draw.random() * draw.choice([1.0, 10.0, 40.0])
