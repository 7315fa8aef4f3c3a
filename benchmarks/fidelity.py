"""Does the simulator do what real processes do?

One study, `hive run` with 2 trainers on real processes, and then in virtual time: halving over 9 configs, whose steps
take 0.2 to 0.39 s, and what goes on depends on what was measured. Both write traces, and these are compared. Trainers
ask for work at moments that are a second apart, or both at once after a rung.

    grants          batches that were handed out by the real coordinator
    grants_equal    how many of them, from the first on, are those of the simulated one: the same stages in the same
                    order to the same one of the two trainers; target: all
    real_s          seconds from the first grant to the last answer
    simulated_s     the same in virtual time
    finish_ratio    one by the other; target: within 10 % of 1
    answers_worst   the largest such deviation among all answers, each from the first grant on
    turns           of the real processes, gone through again by actors made anew
    turns_differ    those of them in which these want something else; target: 0
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from studies.fidelity import METRIC, STEP_S, study, tuner
from support.report import arguments, conclude, hive_run, introduce, scratch

from hive.actors.simulator import Simulator
from hive.actors.traces import Line, Trace
from hive.planner.pieces import Form, Value
from hive.simulation.jobs import World
from hive.simulation.retrace import lines_of, retraced
from hive.simulation.root import SimulatedRoot
from hive.simulation.scripts import Script, SimulatedStudy, play

Granted = tuple[int, tuple[tuple[int, int, int], ...]]
"""Which trainer, by the order in which they had their first; and (node, start, end) of each stage."""


class SleeperModel:
    """What the study's trainer does, without sleeping."""

    def begin(self) -> float:
        """Nothing is added up yet."""
        return 0.0

    def train(self, state: float, forms: Mapping[str, Form], start: int, end: int) -> float:
        """Learning rates are added up."""
        for step in range(start, end):
            state += number(forms["lr"].value(step))
        return state

    def digest(self, state: float) -> str:
        """The sum says it all."""
        return repr(state)

    def metrics(self, state: float, step: int) -> dict[str, float]:  # noqa: ARG002  (the state knows)
        """The sum."""
        return {METRIC: state}

    def step_s(self, forms: Mapping[str, Form], step: int) -> float:
        """By batch size."""
        return STEP_S[int(number(forms["batch_size"].value(step)))]


def number(value: Value) -> float:
    """A value that is one."""
    assert isinstance(value, int | float)
    return value


@dataclass
class History:
    """What a coordinator's trace tells.

    Attributes:
        granted: the batches, in order.
        told: by (trial, step), Unix time in seconds when its answer was told first.
        began: the same of the first grant.
    """

    granted: list[Granted] = field(default_factory=list)
    told: dict[tuple[int, int], float] = field(default_factory=dict)
    began: float = 0.0
    trainers: dict[str, int] = field(default_factory=dict)
    leases: set[int] = field(default_factory=set)

    def take(self, line: Line) -> None:
        """Take in a turn."""
        for effect in line.effects:
            message = effect.get("message", {})
            match message.get("type"):
                case "Grant" if message["lease"] not in self.leases:
                    self.leases.add(message["lease"])
                    self.began = self.began or line.at
                    trainer = self.trainers.setdefault(message["trainer"], len(self.trainers))
                    stages = tuple((stage["node"], stage["start"], stage["end"]) for stage in message["stages"])
                    self.granted.append((trainer, stages))
                case "Told":
                    self.told.setdefault((message["trial"], message["step"]), line.at)

    @property
    def answered_s(self) -> dict[tuple[int, int], float]:
        """By (trial, step), seconds from the first grant until it was answered."""
        return {place: at - self.began for place, at in self.told.items()}


def main() -> None:
    """On real processes, and then in virtual time."""
    given = arguments(__doc__)
    introduce(given.seed, ["hive-stage", "torch"])
    with scratch() as folder:
        traces = Path(folder) / "traces"
        os.environ["HIVE_TRACE"] = str(traces)
        hive_run("fidelity.py", Path(folder), seed=given.seed)
        del os.environ["HIVE_TRACE"]
        real = History()
        for path in traces.glob("coordinator-*"):
            for line in lines_of(path):
                real.take(line)
        again = [retraced(path) for path in traces.iterdir()]
    simulated = simulate()
    equal = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(real.granted, simulated.granted, strict=False))
    )
    ratios = [real.answered_s[place] / simulated.answered_s[place] for place in real.told if place in simulated.told]
    real_s, simulated_s = (max(each.answered_s.values()) for each in (real, simulated))
    figures = {
        "grants": len(real.granted),
        "grants_simulated": len(simulated.granted),
        "grants_equal": equal,
        "answers": len(real.told),
        "answers_equal": len(ratios),
        "real_s": real_s,
        "simulated_s": simulated_s,
        "finish_ratio": real_s / simulated_s,
        "answers_worst": max((abs(ratio - 1) for ratio in ratios), default=0.0),
        "turns": sum(each.turns for each in again),
        "turns_differ": sum(len(each.differences) for each in again),
    }
    conclude(figures, as_json=given.json)


def simulate() -> History:
    """The same study with the same tuner on two simulated trainers."""
    history, simulator = History(), Simulator()
    simulator.trace = Trace(
        lambda text: history.take(line) if (line := Line.read(text)).actor == "coordinator" else None
    )
    root = SimulatedRoot(simulator, World(SleeperModel(), memory_max=100), devices=2)
    play(root, [Script(SimulatedStudy(study.name, study.name, metric=METRIC), tuner)])
    return history


if __name__ == "__main__":
    main()
