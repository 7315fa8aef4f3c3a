"""What does it save to leave checkpoints where announced trials could branch, under asynchronous halving?

The real coordinator on a clock of its own: 40 trainers that train nothing, tuners that promote. The spaces are those of
the Hippo paper (hive/simulation/spaces.json); a step takes what it took there (107 s an epoch of ResNet-56, 114 of
MobileNetV2, 36 of ResNet-20, 0.7 s a step of BERT), a checkpoint 5 s, a start from one 5 s. The tuner is ASHA
(promotion, reduction 4, rungs at 15, 60 and 120 of 120 steps, alike for others) over the trials in drawn order; quality
is drawn, and optimizer and weight decay dominate it. It asks in two ways:

    at once      for all trials at the first rung, as examples/asha.py does; each answer decides who is promoted
    one by one   as many requests are out as there are trainers: a promotion if there is one, else a new trial, as the
                 paper's workers do

Several studies of one set ask at once on one plan, and share the trainers. For each, without announcements and with:

    distinct     steps that had to be trained
    late         steps run again because a branch was asked for too late (`late_branch`)
    checkpoints  written
    end_h        hours until all was answered

Means over five seeds: what is promoted depends on who is answered first, so `distinct` differs a little too. And for a
million announced configs of one plan, none of which was followed yet:

    announce_us  microseconds to take in one
    batch_p50_ms, batch_p99_ms  what a batch of 120,000 steps costs that passes all places where they leave
"""

from __future__ import annotations

import heapq
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path
from random import Random
from typing import Any

from support.report import arguments, conclude, introduce

from hive.actors.actor import Commit, Effect, Quiet, Received, Send
from hive.actors.coordinator import Coordinator, CoordinatorSettings
from hive.actors.messages import (
    Amend,
    Amended,
    Announce,
    AnnouncedTrial,
    Ask,
    AskedTrial,
    Grant,
    GrantedStage,
    LeaseEnded,
    Notice,
    OpenRun,
    StopLease,
    Told,
    TrainerBeat,
)
from hive.planner.anticipation import Anticipation
from hive.planner.estimates import Estimates
from hive.planner.search_plan import SearchPlan, Wanter
from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import Config, GridSpace, segments
from hive.storage.memory_store import MemoryStore
from hive.storage.records import CheckpointFile, RunCounts, TrainerSource

SPACES = json.loads((Path(__file__).parents[1] / "hive/simulation/spaces.json").read_text(encoding="utf-8"))

TRAINERS = 40
REDUCTION = 4
SEEDS = 5
CROWD = 1_000_000
CROWD_STEPS = 120_000
CROWD_BATCHES = 2_000
SAVE_S = 5.0
LOAD_S = 5.0
FOR_EVER_S = 1e12

CASES = {
    "resnet56": (["resnet56"], 107.0),
    "mobilenetv2": (["mobilenetv2"], 114.0),
    "bert": (["bert"], 0.7),
    "high-S1": (SPACES["sets"]["high-S1"], 36.0),
    "low-S1": (SPACES["sets"]["low-S1"], 36.0),
    "high-S4": (SPACES["sets"]["high-S4"], 36.0),
    "low-S4": (SPACES["sets"]["low-S4"], 36.0),
}

DOMINATE = {"optimizer": 10.0, "weight_decay": 10.0}
"""What a hyper-parameter's part of a trial's quality is multiplied by."""


class World:
    """The coordinator, a clock, and who hears what the coordinator says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = MemoryStore()
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.number = count()
        self.peers: dict[str, Callable[[Any], None]] = {}
        self.said: list[tuple[str, Any]] = []
        settings = CoordinatorSettings(session_lease_s=FOR_EVER_S, lease_s=FOR_EVER_S, beat_s=FOR_EVER_S)
        self.coordinator = Coordinator(self.store, self.now, settings)

    def at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (when, next(self.number), happen))

    def say(self, sender: str, message: Any) -> None:
        """The coordinator is told this, together with all else that is said in this instant."""
        self.said.append((sender, message))

    def run(self) -> float:
        """Until nothing is left to happen; the time."""
        while self.agenda or self.said:
            while self.agenda and (not self.said or self.agenda[0][0] <= self.now):
                self.now, _, happen = heapq.heappop(self.agenda)
                happen()
            said, self.said = self.said, []
            effects: list[Effect] = []
            for sender, message in said:
                effects += self.coordinator.handle(Received(sender, message), self.now)
            self.carry_out([*effects, *self.coordinator.handle(Quiet(), self.now)])
        return self.now

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Commit):
                self.store.commit(effect.writes)
            elif isinstance(effect, Send) and effect.to in self.peers:
                self.peers[effect.to](effect.message)


@dataclass
class Trainer:
    """A trainer that needs time and trains nothing.

    Attributes:
        step: the step that training was at, at `since`.
        alarm: what it waits for now; whatever else was on the agenda for it is void.
    """

    world: World
    name: str
    plan: str
    step_s: float
    grant: Grant | None = None
    ahead: list[GrantedStage] = field(default_factory=list)
    step: int = 0
    since: float = 0.0
    alarm: int = 0
    amendment: int = 0
    steps_run: int = 0
    number: int = 0
    held: tuple[int, int] | None = None

    def beat(self) -> None:
        """It lives, and says how far it is: as often as anybody asks for something, which is when it matters."""
        lease, done = (None, self.step) if self.grant is None else (self.grant.lease, self.done())
        run = self.steps_run + done - self.step
        self.world.say(
            self.name, TrainerBeat(self.name, "node", self.plan, lease, done, run, self.held, self.amendment)
        )

    def done(self) -> int:
        """The step that it has done by now; a boundary that is met in this instant is not passed."""
        steps = int((self.world.now - self.since) / self.step_s + 1e-6)
        return min(self.step + max(0, steps), self.boundary.end)

    @property
    def boundary(self) -> GrantedStage:
        """The stage at whose end it stops next."""
        return next(stage for stage in self.ahead if stage.boundary)

    def hear(self, message: Any) -> None:
        match message:
            case Grant() if self.grant is None:
                self.grant, self.ahead, self.amendment = message, list(message.stages), message.amendment
                self.number = self.steps_run = 0
                self.step = message.stages[0].start
                self.since = self.world.now + (0.0 if message.origin in (None, self.held) else LOAD_S)
                self.go_on()
            case Amend() if self.grant is not None and message.lease == self.grant.lease:
                self.amend(message)
            case StopLease():
                raise AssertionError("nobody lets go of anything here")

    def amend(self, message: Amend) -> None:
        """A boundary that lies behind is not met."""
        done = self.done()
        met = [stage for stage in message.stages if stage.end >= done]
        self.ahead = [stage for stage in met if stage.end > self.step or (stage.start == stage.end and stage.boundary)]
        self.amendment, self.number = message.amendment, self.number + 1
        self.world.say(self.name, Amended(self.name, self.number, message.lease, message.amendment, done))
        self.go_on()

    def go_on(self) -> None:
        """Train to the next boundary."""
        self.alarm += 1
        alarm, when = self.alarm, self.since + (self.boundary.end - self.step) * self.step_s
        self.world.at(max(when, self.world.now), lambda: self.meet() if alarm == self.alarm else None)

    def meet(self) -> None:
        """A boundary is met."""
        stage = self.boundary
        del self.ahead[: self.ahead.index(stage) + 1]
        self.save(stage.node, stage.end, {"score": 0.0} if stage.metrics else None)
        if self.ahead:
            self.go_on()
        else:
            self.end()

    def save(self, node: int, step: int, metrics: dict[str, float] | None) -> None:
        """A checkpoint, and what is found there; training goes on when it is written."""
        assert self.grant is not None
        steps, self.step, self.number = step - self.step, step, self.number + 1
        self.steps_run += steps
        self.held = node, step
        file = CheckpointFile(f"{self.plan}/{node}-{step}-{self.grant.lease}.safetensors", 1) if steps else None
        save_s = SAVE_S if steps else 0.0
        notice = Notice(
            self.name, self.number, self.grant.lease, node, step, self.steps_run, "digest", steps * self.step_s, save_s,
            metrics, file,
        )  # fmt: skip
        self.since = self.world.now + save_s
        self.world.say(self.name, notice)

    def end(self) -> None:
        """The batch is over; the next one begins when the last checkpoint is written."""
        assert self.grant is not None
        lease, self.grant, self.alarm = self.grant.lease, None, self.alarm + 1
        self.number += 1
        ended = LeaseEnded(self.name, self.number, lease, self.steps_run, held=self.held)
        self.world.at(max(self.since, self.world.now), lambda: self.world.say(self.name, ended))


@dataclass
class Asha:
    """Asynchronous halving, the kind that promotes, over a list of trials."""

    world: World
    run: str
    configs: list[Config]
    quality: list[float]
    rungs: list[int]
    at_once: bool
    out_max: int
    trainers: list[Trainer]
    answered: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    promoted: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    begun: int = 0
    out: int = 0
    number: int = 1

    def open(self, names: tuple[str, ...]) -> None:
        self.world.peers[self.run] = self.hear
        source = TrainerSource("study.py", "study", "Toy", (), "", names, 0, {}, 1, None, 60.0)
        self.world.say(self.run, OpenRun(self.run, 1, self.run, "key", True, False, source, "print", {}))

    def start(self, announce: bool) -> None:
        if announce:
            trials = [AnnouncedTrial(trial, described(config)) for trial, config in enumerate(self.configs)]
            self.say(Announce, trials)
        self.ask()

    def say(self, kind: Any, body: list[Any]) -> None:
        self.number += 1
        self.world.say(self.run, kind(self.run, self.number, body))

    def hear(self, message: Any) -> None:
        if isinstance(message, Told):
            self.out -= 1
            self.answered[message.step].append(message.trial)
            self.ask()

    def ask(self) -> None:
        """Ask for all that can be asked for now."""
        jobs = list(self.jobs())
        if jobs:
            for trainer in self.trainers:
                trainer.beat()
            self.say(Ask, [AskedTrial(trial, steps, described(self.configs[trial])) for trial, steps in jobs])

    def jobs(self) -> Iterator[tuple[int, int]]:
        """What the next workers would do: a promotion from the highest rung that has one, else a new trial."""
        while self.at_once or self.out < self.out_max:
            job = next(self.promotions(), None)
            if job is None and self.begun < len(self.configs):
                job = self.begun, self.rungs[0]
                self.begun += 1
            if job is None:
                return
            self.out += 1
            yield job

    def promotions(self) -> Iterator[tuple[int, int]]:
        """Those in the top of their rung that were not promoted yet, each promoted as it is taken."""
        for lower, upper in reversed(list(pairwise(self.rungs))):
            ranked = sorted(self.answered[lower], key=lambda trial: (-self.quality[trial], trial))
            for trial in ranked[: len(ranked) // REDUCTION]:
                if trial not in self.promoted[lower]:
                    self.promoted[lower].add(trial)
                    yield trial, upper


def described(config: Config) -> dict[str, dict[str, Any]]:
    return {name: sequence.descriptor() for name, sequence in config.items()}


def qualities(configs: list[Config], seed: int) -> list[float]:
    """A trial's quality is the sum of what its sequences are worth, drawn for each."""

    def worth(name: str, text: str) -> float:
        return Random(f"{seed} {name} {text}").gauss(0, DOMINATE.get(name, 1.0))

    return [sum(worth(name, sequence.canonical_text) for name, sequence in config.items()) for config in configs]


def search(spaces: list[str], step_s: float, at_once: bool, announce: bool, seed: int) -> dict[str, float]:
    """One search by all studies of a set: its figures."""
    world = World()
    trainers = [Trainer(world, f"trainer{number}", "key-1", step_s) for number in range(TRAINERS)]
    studies = []
    for name in spaces:
        space = GridSpace.from_json(SPACES["spaces"][name])
        configs, top = space.configs(), space.steps
        Random(f"{seed} {name}").shuffle(configs)
        quality, rungs = qualities(configs, seed), [top // 8, top // 2, top]
        studies.append(Asha(world, name, configs, quality, rungs, at_once, TRAINERS // len(spaces), trainers))
        studies[-1].open(space.names)
    world.run()
    for trainer in trainers:
        world.peers[trainer.name] = trainer.hear
        trainer.beat()
    for study in studies:
        study.start(announce)
    end_s = world.run()
    runs = [world.coordinator.books.runs[study.run].record.counts for study in studies]
    total = {name: sum(getattr(each, name) for each in runs) for name in RunCounts.__struct_fields__}
    assert total["steps_run"] == total["steps_distinct"] - total["steps_reused"] + total["late_branch"]
    return {
        "distinct": total["steps_distinct"] - total["steps_reused"],
        "late": total["late_branch"],
        "checkpoints": total["checkpoint_count"],
        "end_h": end_s / 3600,
    }


def crowd(seed: int) -> dict[str, float]:
    """A million configs are announced, and batches go by."""
    random, plan = Random(seed), SearchPlan()
    estimates = Estimates(plan)
    anticipation = Anticipation(plan, estimates)
    rates = [MultiStep(0.1, sorted(random.sample(range(1, CROWD_STEPS), 3)), 0.1) for _ in range(20_000)]
    sizes = [Constant(32), MultiStep(32, [CROWD_STEPS // 2], 2)]
    began = time.perf_counter()
    for trial in range(CROWD):
        anticipation.announce(Wanter("run", trial), {"lr": random.choice(rates), "batch_size": random.choice(sizes)})
    announce_us = (time.perf_counter() - began) * 1e6 / CROWD
    plan.place(segments({"lr": Constant(0.1), "batch_size": sizes[0]}, CROWD_STEPS))
    estimates.measured(0, 1, 0.7)
    estimates.saved(SAVE_S)
    taken = []
    for lease in range(CROWD_BATCHES):
        began = time.perf_counter()
        anticipation.follow(plan.nodes[0])
        anticipation.boundaries(((0, 0, CROWD_STEPS),), (), lease)
        taken.append(time.perf_counter() - began)
    cuts = statistics.quantiles(taken, n=100)
    return {"announce_us": announce_us, "batch_p50_ms": cuts[49] * 1000, "batch_p99_ms": cuts[98] * 1000}


def main() -> None:
    """Each space, asked in both ways, with and without announcements."""
    given = arguments(__doc__)
    introduce(given.seed, ["hive-stage", "msgspec"])
    found = {}
    for case, (spaces, step_s) in CASES.items():
        for at_once in (True, False):
            way = "at once" if at_once else "one by one"
            for announce in (False, True):
                each = [search(spaces, step_s, at_once, announce, given.seed + n) for n in range(SEEDS)]
                figures = {name: statistics.mean(one[name] for one in each) for name in each[0]}
                key = f"{case}, {way}, {'announced' if announce else 'not announced'}"
                found[key] = figures
                print(f"{key:44} " + ", ".join(f"{name} {figure:.5g}" for name, figure in figures.items()), flush=True)
    found["a million"] = figures = crowd(given.seed)
    print(f"{'a million':44} " + ", ".join(f"{name} {figure:.3g}" for name, figure in figures.items()), flush=True)
    conclude(found, as_json=given.json)


if __name__ == "__main__":
    main()
