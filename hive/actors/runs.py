"""Runs: what each asked, what it was told, and the honest count of what was trained for it.

    steps_run = steps_distinct - steps_reused + late_branch + failure + evicted

holds at every moment at which nothing a run asked is still ahead. The counts are kept as events come, never derived
afterwards. It must not know trainers, leases, or the stage tree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from hive.actors.replay import Journal
from hive.planner.search_plan import Node, Place
from hive.storage.records import AnnouncementRecord, RunRecord, WantRecord

__all__ = ["Run"]


@dataclass(slots=True)
class Run:
    """One execution of a study's script.

    Attributes:
        record: what the store knows of it, its counts included.
        session: the peer that speaks for it; "" until it has spoken since this coordinator began.
        asked: by trial, the largest step it asked for.
        reach: by node, the largest step any of its trials passes there.
        wants: by (trial, step), what it still waits for or was told.
        waiting: of these, what it still waits for.
        journal: what it was told, in order, and will be told again.
        released: the trials that it released, and has not asked for since.
        best: the steps, the metric (more is better) and the place of its best trial; None while none has an answer.
        announced: by trial, what it may ask for later.
        heard: Unix time of its session's last word.
        paused: nobody speaks for it: what only it wants is not trained, until somebody does.
    """

    record: RunRecord
    session: str = ""
    asked: dict[int, int] = field(default_factory=dict)
    reach: dict[int, int] = field(default_factory=dict)
    wants: dict[tuple[int, int], WantRecord] = field(default_factory=dict)
    waiting: dict[tuple[int, int], WantRecord] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)
    released: set[int] = field(default_factory=set)
    best: tuple[int, float, Place] | None = None
    announced: dict[int, AnnouncementRecord] = field(default_factory=dict)
    heard: float = 0.0
    paused: bool = False

    @property
    def open(self) -> list[WantRecord]:
        """What it waits for."""
        return list(self.waiting.values())

    @property
    def name(self) -> str:
        """The run's identity."""
        return self.record.run

    @property
    def cancelled(self) -> str:
        """What a cancelled run is told in place of answers."""
        return f"the run was cancelled by {self.record.commanded_by or 'somebody'} (hive studies cancel)"

    def change(self, **fields: object) -> None:
        """Replace fields of the record."""
        self.record = msgspec.structs.replace(self.record, **fields)

    def count(self, **more: float) -> None:
        """Add to the counts."""
        counts = self.record.counts
        self.change(counts=msgspec.structs.replace(counts, **{k: getattr(counts, k) + v for k, v in more.items()}))

    def asks(self, want: WantRecord, path: Iterable[tuple[Node, int]]) -> None:
        """A trial asks for a place. `path`: the nodes it passes, with the step where it leaves each (or ends)."""
        self.remember(want)
        counts = self.record.counts
        distinct = reused = 0
        for node, begin, end in self.reaches(path):
            distinct += end - begin
            reused += max(0, min(end, node.trained_to) - begin)
        before = self.asked.get(want.trial, 0)
        self.asked[want.trial] = max(before, want.step)
        self.change(
            counts=msgspec.structs.replace(
                counts,
                trials_asked=len(self.asked),
                steps_asked=counts.steps_asked + self.asked[want.trial] - before,
                steps_distinct=counts.steps_distinct + distinct,
                steps_reused=counts.steps_reused + reused,
            )
        )

    def reaches(self, path: Iterable[tuple[Node, int]]) -> list[tuple[Node, int, int]]:
        """A trial goes a path, given from its end upwards: (node, from, to) of what none has gone before."""
        new = []
        for node, end in path:
            known = self.reach.get(node.number)
            begin = node.start if known is None else known
            if end > begin:
                self.reach[node.number] = end
                new.append((node, begin, end))
            if known is not None:
                break  # who was here has gone all that lies above
        return new

    def remember(self, want: WantRecord) -> None:
        """Keep what a trial asked for; also how a want comes back from the store."""
        place = (want.trial, want.step)
        self.wants[place] = want
        if want.open:
            self.waiting[place] = want
        else:
            self.waiting.pop(place, None)

    def recall(self, want: WantRecord, path: Iterable[tuple[Node, int]]) -> None:
        """Take a want back from the store: what it counted is counted already."""
        self.remember(want)
        self.asked[want.trial] = max(self.asked.get(want.trial, 0), want.step)
        self.reaches(path)

    def trained(self, node: Node, begin: int, end: int, paid: int) -> int:
        """The steps [begin, end) of a node were trained for the first time: what this run asked of them it reuses up to
        `paid`, which others count, and counts as run from there. Returns up to where they are counted now."""
        asked = min(end, self.reach.get(node.number, 0))
        if asked > begin:
            run = max(0, asked - paid)
            self.count(steps_run=run, steps_reused=asked - begin - run)
        return max(paid, asked)

    def better(self, place: Place, metrics: Mapping[str, float]) -> bool:
        """Whether an answer is the best that it was told, and if so, remember it. More steps count before the metric,
        as they do where trials are stopped on the way."""
        value = metrics.get(self.record.metric)
        if value is None or not math.isfinite(value):
            return False
        score = (place.step, value if self.record.maximize else -value)
        if self.best is not None and score <= self.best[:2]:
            return False
        self.best = (*score, place)
        return True

    def forget(self) -> None:
        """The run is over: keep its record only."""
        self.asked.clear()
        self.reach.clear()
        self.wants.clear()
        self.waiting.clear()
        self.journal = Journal()
