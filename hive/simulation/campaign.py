"""Many seeds, in several processes: which promises were broken, and what really happened.

    report = campaign(range(1000))
    report.to_json()

A part of the seeds is run twice, in two processes that order sets and texts otherwise: what is not the same byte for
byte is counted. It must not know what a seed draws, or what is promised.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from hive.simulation.coverage import Cell, Delivered, unreached
from hive.simulation.life import Outcome, lived
from hive.simulation.processes import processes

__all__ = ["Report", "Violation", "campaign"]

REPEATED_EVERY = 20
"""Each such seed is run twice: 5 %."""

CHUNK = 20
"""Seeds that a process is given at once."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that a seed broke.

    Attributes:
        promise: "P1" to "P8"; "none" where an actor raised an error.
        what: what broke it.
    """

    seed: int
    promise: str
    what: str

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"hive simulate faults --seeds {self.seed}-{self.seed}"

    def __str__(self) -> str:
        return f"seed {self.seed} breaks {self.promise}: {self.what}\n  {self.command}"


@dataclass
class Report:
    """What became of a campaign.

    Attributes:
        seeds: how many were run.
        violations: the promises that were broken, by seed.
        faults: by kind, how often something really went wrong.
        hit: by kind, in how many seeds.
        delivered: how often a kind of message was delivered to an actor in a state.
        repeated: how many seeds were run twice.
        differed: those of them whose two runs were not the same.
        healed_s: of each seed, the seconds from healing until everything was answered.
        virtual_s, wall_s: seconds that passed in the simulations, and outside.
    """

    seeds: int = 0
    violations: list[Violation] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    delivered: Delivered = field(default_factory=Counter)
    repeated: int = 0
    differed: list[int] = field(default_factory=list)
    healed_s: list[float] = field(default_factory=list)
    virtual_s: float = 0.0
    wall_s: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Take a seed in."""
        self.seeds += 1
        if outcome.broken is not None:
            self.violations.append(Violation(outcome.seed, *outcome.broken))
        self.faults += outcome.faults
        self.hit.update(outcome.faults.keys())
        self.delivered += outcome.delivered
        self.virtual_s += outcome.virtual_s
        if outcome.healed_s is not None:
            self.healed_s.append(outcome.healed_s)

    def compare(self, first: Outcome, second: Outcome) -> None:
        """A seed was run twice."""
        self.repeated += 1
        if first != second:
            self.differed.append(first.seed)

    @property
    def messages(self) -> Counter[str]:
        """By kind, how many were delivered."""
        counts: Counter[str] = Counter()
        for (kind, _), count in self.delivered.items():
            counts[kind] += count
        return counts

    @property
    def coverage(self) -> dict[str, dict[str, int]]:
        """By kind of message and by whom it reached in which state, how many were delivered."""
        table: dict[str, dict[str, int]] = {}
        for (kind, state), count in sorted(self.delivered.items()):
            table.setdefault(kind, {})[state] = count
        return table

    @property
    def unreached(self) -> dict[Cell, str]:
        """The kinds of messages that did not reach an actor in a state, and why."""
        return unreached(self.delivered)

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        healed_s = sorted(self.healed_s) or [0.0]
        return {
            "seeds": self.seeds,
            "violations": len(self.violations),
            "faults": dict(sorted(self.faults.items())),
            "messages": dict(sorted(self.messages.items())),
            "repeated": self.repeated,
            "differed": len(self.differed),
            "virtual_s": round(self.virtual_s, 3),
            "wall_s": round(self.wall_s, 3),
            "broken": [
                {"seed": each.seed, "promise": each.promise, "what": each.what, "command": each.command}
                for each in self.violations
            ],
            "differed_seeds": self.differed,
            "seeds_hit": dict(sorted(self.hit.items())),
            "healed_s": {
                "median": round(healed_s[len(healed_s) // 2], 3),
                "p99": round(healed_s[len(healed_s) * 99 // 100], 3),
                "max": round(healed_s[-1], 3),
            },
            "coverage": self.coverage,
            "unreached": [{"kind": kind, "state": state, "why": why} for (kind, state), why in self.unreached.items()],
        }


def campaign(seeds: Sequence[int], workers: int = 2, told: Callable[[Outcome], None] = lambda _: None) -> Report:
    """Run these seeds.

    Args:
        seeds: in this order they are reported.
        workers: how many processes (>= 1) run them. A seed that is run twice is run in two others.
        told: called with what became of each seed, in order.
    """
    began, report = time.monotonic(), Report()
    workers = min(max(1, workers), -(-len(seeds) // CHUNK) or 1)
    with ExitStack() as stack:
        # new ones, not forked: each has its own order of sets
        context = multiprocessing.get_context("spawn")
        pools = [stack.enter_context(processes(1, context)) for _ in range(max(2, workers))]
        chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
        repeated = [chunk[::REPEATED_EVERY] for chunk in chunks]
        first = [pools[n % workers].submit(outcomes, chunk, repeated[n]) for n, chunk in enumerate(chunks)]
        second = [pools[(n + 1) % len(pools)].submit(outcomes, chunk, chunk) for n, chunk in enumerate(repeated)]
        for chunk, again in zip(first, second, strict=True):
            take(report, chunk, again, told)
    report.wall_s = time.monotonic() - began
    return report


def take(
    report: Report, first: Future[list[Outcome]], second: Future[list[Outcome]], told: Callable[[Outcome], None]
) -> None:
    """Take a chunk of seeds in, and those of them that were run twice."""
    by_seed = {}
    for outcome in first.result():
        by_seed[outcome.seed] = outcome
        report.add(outcome)
        told(outcome)
    for outcome in second.result():
        report.compare(by_seed[outcome.seed], outcome)


def outcomes(seeds: Sequence[int], repeated: Collection[int]) -> list[Outcome]:
    """What became of each seed; with a digest of those that are run twice."""
    return [lived(seed, digested=seed in repeated) for seed in seeds]
