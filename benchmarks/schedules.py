"""How much longer than the optimum do schedules take?

Every space of hive/simulation/spaces.json and every set of spaces on one plan, all trials asked for at once and to
their last step; what a set's studies take together, and as studies that share trainer time fairly. Trainers are told
batches by the planner and meet their boundaries, in virtual time: there are no actors and no messages. A step takes
what the paper's do; a checkpoint that is saved takes 1 s, and one that is loaded 2 s; going on in the live model loads
nothing.

    optimum_h       the level rule's makespan, in hours: on 40 trainers (bert 10), with saves and loads for nothing
    paper           whole paths, as Hippo hands them out: makespan by the optimum
    hive            the first parts of paths where fewer than two wait for each trainer: makespan by the optimum
    batches, loads, saves   of either

Target: hive at most 1.03 everywhere.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from support.report import arguments, conclude, introduce

from hive.cli.plan import planned
from hive.cli.space_file import read_spaces
from hive.planner.critical_path import Crew
from hive.planner.estimates import Estimates
from hive.planner.fairness import FairShares
from hive.planner.level_rule import makespan
from hive.planner.search_plan import Place, SearchPlan, Standing
from hive.planner.shared_paths import SharedPaths
from hive.planner.space import GridSpace
from hive.planner.stage_tree import Stage, build

SPACES = Path(__file__).resolve().parent.parent / "hive" / "simulation" / "spaces.json"

STEP_S = {"resnet56": 107.1, "mobilenetv2": 113.3, "bert": 2.755 / 4}
"""Seconds of a step on one trainer; bert's have four devices each. Steps of a set's spaces: `STEP_S_OF_SETS`."""

STEP_S_OF_SETS = 36.0
TRAINERS = {"bert": 10}
TRAINERS_OF_OTHERS = 40
LOAD_S, SAVE_S = 2.0, 1.0


def one_study(run: str) -> str:  # noqa: ARG001  (it is asked about a run)
    """Every run is of the same study."""
    return "all"


@dataclass
class Schedule:
    """A plan that is trained in virtual time.

    Attributes:
        plan: the plan; all of its requests are answered in the end.
        trainers: how many there are.
        step_s: what a step takes.
        whole: whether every batch is a whole path.
        fair: whether each run is a study of its own, which gets its share.
        now: seconds since the beginning.
        held: by trainer, where its live model stands.
        out: by busy trainer, its lease and the stages that it has ahead.
        events: (when, trainer): the next boundary of each busy trainer.
    """

    plan: SearchPlan
    trainers: int
    step_s: float
    whole: bool
    fair: bool
    now: float = 0.0
    batches: int = 0
    loads: int = 0
    saves: int = 0
    held: dict[int, Place] = field(default_factory=dict)
    out: dict[int, tuple[int, deque[Stage]]] = field(default_factory=dict)
    granted_at: dict[int, float] = field(default_factory=dict)
    events: list[tuple[float, int]] = field(default_factory=list)
    shares: FairShares[str] = field(default_factory=FairShares)

    def __post_init__(self) -> None:
        estimates = Estimates(self.plan)
        estimates.step_s.add(self.step_s)
        estimates.load_s.add(LOAD_S)
        estimates.save_s.add(SAVE_S)
        self.paths = SharedPaths(self.plan, estimates, str if self.fair else one_study)

    def run(self) -> None:
        """From the first batch to the last answer."""
        self.settle()
        while self.events:
            self.now = self.events[0][0]
            while self.events and self.events[0][0] == self.now:
                self.meet(heappop(self.events)[1])
            self.settle()
        assert not self.plan.pending

    def meet(self, trainer: int) -> None:
        """A trainer meets the next boundary of its batch: what waited for it is told."""
        lease, ahead = self.out[trainer]
        while not (stage := ahead.popleft()).boundary:
            pass
        self.plan.record(stage.place, Standing("file", "digest", {"score": 1.0}))
        self.plan.keep(lease, stage.place)
        if stage.place in self.plan.pending:
            self.plan.take(stage.place)
        self.saves += 1
        self.held[trainer] = stage.place
        if ahead:
            self.go_on(trainer, ahead, 0.0)
        else:
            self.shares.settle(lease, self.now - self.granted_at[lease])
            del self.out[trainer]

    def go_on(self, trainer: int, ahead: deque[Stage], load_s: float) -> None:
        """A trainer trains to its next boundary."""
        steps = 0
        for stage in ahead:
            steps += stage.end - stage.start
            if stage.boundary:
                break
        heappush(self.events, (self.now + load_s + steps * self.step_s + SAVE_S, trainer))

    def settle(self) -> None:
        """Give every idle trainer a batch of the study that is served least."""
        idle = [trainer for trainer in range(self.trainers) if trainer not in self.out]
        self.shares.arrive(dict.fromkeys(self.paths.studies(), 1.0))
        while idle and (studies := self.paths.studies()):
            study = min(studies, key=lambda each: (self.shares.usage[each], each))
            self.grant(study, idle.pop(0), len(idle) + 1)
        self.shares.leave(self.paths.studies())

    def grant(self, study: str, trainer: int, idle: int) -> None:
        """Hand a trainer the next batch of a study."""
        crew = None if self.whole else Crew(self.trainers, idle)
        batch = self.paths.take(study, self.held.get(trainer), (), crew)
        costs = self.paths.costs(batch)
        self.batches += 1
        self.granted_at[self.batches] = self.now
        self.plan.promise(self.batches, [stage.place for stage in batch if stage.boundary])
        self.shares.charge(self.batches, study, costs, {each: 1.0 for _, wanting in costs for each in wanting})
        self.out[trainer] = self.batches, deque(batch)
        loads = batch[0].origin not in (None, self.held.get(trainer))
        self.loads += loads
        self.go_on(trainer, self.out[trainer][1], LOAD_S if loads else 0.0)


def cases() -> Iterator[tuple[str, list[GridSpace], bool]]:
    """Each space that is a search of its own, and each set: its name, its spaces, whether to share it fairly."""
    data = json.loads(SPACES.read_text(encoding="utf-8"))
    for name in STEP_S:
        yield name, read_spaces(SPACES, name, None), False
    for name, members in data["sets"].items():
        spaces = read_spaces(SPACES, None, name)
        yield name, spaces, False
        if len(members) > 1:
            yield name, spaces, True


def measure(name: str, spaces: list[GridSpace], fair: bool) -> dict[str, Any]:
    """The figures of one case."""
    trainers, step_s = TRAINERS.get(name, TRAINERS_OF_OTHERS), STEP_S.get(name, STEP_S_OF_SETS)
    optimum_s = makespan(build(planned(spaces)[0]), trainers) * step_s
    figures: dict[str, Any] = {"optimum_h": optimum_s / 3600}
    for rule, whole in (("paper", True), ("hive", False)):
        schedule = Schedule(planned(spaces)[0], trainers, step_s, whole, fair)
        schedule.run()
        figures[rule] = schedule.now / optimum_s
        figures |= {f"{rule}_{what}": getattr(schedule, what) for what in ("batches", "loads", "saves")}
    return figures


def main() -> None:
    """Each case under either rule."""
    given = arguments(__doc__)
    introduce(given.seed, ["hive-stage"])
    found: dict[str, Any] = {}
    for name, spaces, fair in cases():
        title = f"{name}, fair" if fair else name
        found[title] = figures = measure(name, spaces, fair)
        shown = ", ".join(
            f"{key} {each:.4g}" if key in ("optimum_h", "paper", "hive") else f"{key} {each}"
            for key, each in figures.items()
        )
        print(f"{title:14} {shown}", flush=True)
    worst = {f"worst_{rule}": max(figures[rule] for figures in found.values()) for rule in ("paper", "hive")}
    conclude({**found, **worst} if given.json else worst, as_json=given.json)


if __name__ == "__main__":
    main()
