"""Training without training: what a trainer's job reports, at the virtual times at which it would.

    SimulatedJobs(simulator, world)

A job goes through its batch in the order of hive/training/executor.py, which is its real counterpart: values are put in
force, steps take their time, boundaries are saved and measured, amendments are taken up between two steps. What a state
is, and what is measured there, says a `Model`; how long things take, and which files there are, the `World` that all
jobs share. Steps pass many at a time: nothing happens between two boundaries unless somebody asks for it.

It must not know the coordinator, or why anybody simulates.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hive.actors.actor import JobReported
from hive.actors.simulator import Host, Simulator
from hive.planner.pieces import Form, Value
from hive.simulation.values import ValuesModel
from hive.training.reports import (
    Amendment,
    AmendmentTaken,
    BatchOrder,
    CheckpointFile,
    Ended,
    Evaluated,
    Failed,
    Reached,
    Report,
    StageOrder,
    Stepped,
    Where,
)

__all__ = ["Bar", "Model", "SimulatedJobs", "World"]

CHECKPOINT_BYTES = 100
"""What each file takes, unless the world says otherwise."""

Forms = Mapping[str, Form]
Place = tuple[int, int]
Pause = tuple[int, float]
"""What a job waits for: so many steps, or, where that is 0, so many seconds."""


class Model(Protocol):
    """What training does to a state. Whatever it is called with, equal beginnings come to equal states."""

    def begin(self) -> Any:
        """The state before the first step."""
        ...

    def train(self, state: Any, forms: Forms, start: int, end: int) -> Any:
        """The state after the steps [start, end) with the values of these forms."""
        ...

    def digest(self, state: Any) -> str:
        """What tells states apart."""
        ...

    def metrics(self, state: Any, step: int) -> dict[str, float]:
        """What `evaluate()` returns."""
        ...

    def step_s(self, forms: Forms, step: int) -> float:
        """Seconds that a step takes."""
        ...


@dataclass(frozen=True, slots=True)
class Bar:
    """What a trainer did from one moment to another.

    Attributes:
        trainer: its name.
        what: "train", "save", "load" or "evaluate".
        begin, end: in seconds.
        node: under which node of the plan; -1 for none.
    """

    trainer: str
    what: str
    begin: float
    end: float
    node: int

    def since(self, moment: float) -> Bar:
        """The same, counted from a moment."""
        return replace(self, begin=self.begin - moment, end=self.end - moment)


def no_error(where: str, values: dict[str, Any], step: int) -> str | None:  # noqa: ARG001
    """User code without a fault."""
    return None


@dataclass
class World:
    """What all jobs share: the disk, how long things take, and what user code does.

    Attributes:
        model: what training does.
        load_s, save_s: seconds that a checkpoint takes to load, and that training waits for one.
        evaluate_s: seconds that an evaluation at a boundary takes.
        memory_max: states that a trainer can go back to without a file; to go back to one takes half of `load_s`.
        every_step: whether each step is reported; if not, only where something happens.
        raises: (where, values, step) -> the user's traceback, or None. Needs `every_step`.
        heard: after how many seconds each copy of a report is heard; none overtakes one that was said before.
        checkpoint_every_s: after so many seconds of training without one, there is a checkpoint between boundaries.
        eval_every: an evaluation between boundaries after so many steps; None for none.
        bytes: what a checkpoint takes.
        checkpoints: by file name, the state and the values that it was made under.
        damaged: by file name, why it cannot be read any more.
        written: the names of all checkpoints that ever were.
        trained: steps trained by all jobs, counted from outside.
        saves, loads: the same of checkpoints.
        bars: what each trainer did when, if anybody wants to know.
    """

    model: Model = field(default_factory=ValuesModel)
    load_s: float = 0.0
    save_s: float = 0.0
    evaluate_s: float = 0.0
    memory_max: int = 2
    every_step: bool = True
    raises: Callable[[str, dict[str, Any], int], str | None] = no_error
    heard: Callable[[Report], Sequence[float]] = lambda _: (0.0,)
    checkpoint_every_s: float = math.inf
    eval_every: int | None = None
    bytes: int = CHECKPOINT_BYTES
    checkpoints: dict[str, tuple[Any, dict[str, Value]]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    trained: int = 0
    saves: int = 0
    loads: int = 0
    bars: list[Bar] | None = None


class Running:
    """A lease while its batch runs."""

    def __init__(self, order: BatchOrder, state: Any, values: dict[str, Value], *, loaded: bool) -> None:
        self.order = order
        self.state = state
        self.values = values
        self.loaded = loaded
        self.ahead = list(order.stages)
        self.stage: StageOrder = self.ahead[0]
        self.step = self.stage.start
        self.saved = order.origin
        self.unsaved_s = 0.0
        self.steps_run = 0
        self.measured = False
        self.amendment = 0
        self.over = False

    @property
    def place(self) -> Place:
        """Where it stands, once it has trained."""
        return self.stage.node, self.step


class SimulatedJobs:
    """The training thread of one trainer.

    Args:
        simulator: where time passes.
        world: what it shares with others.

    Attributes:
        host: the trainer's process; set by whoever starts it.
        hung: whether its job hangs.
        slowness: a step takes so many times as long as it should.
    """

    def __init__(self, simulator: Simulator, world: World) -> None:
        self.simulator = simulator
        self.world = world
        self.host: Host | None = None
        self.live: tuple[Place, Any] | None = None
        self.memory: dict[str, tuple[Place, Any]] = {}
        self.stopping = False
        self.amendment: Amendment | None = None
        self.training: Iterator[Pause] | None = None
        self.lease: Running | None = None
        self.alarm = 0
        self.since = 0.0
        self.step_s = 0.0
        self.steps = 0
        self.unheard: deque[Report] = deque()
        self.heard_at = 0.0
        self.hung = False
        self.slowness = 1.0

    # -- what the driver calls --------------------------------------------------------------------------------------

    def start(self, job: str, order: BatchOrder) -> None:
        """Begin a batch."""
        self.stopping = False
        self.training = self.run(order)
        self.go_on()

    def amend(self, job: str, order: Amendment) -> None:
        """What is ahead is cut anew, after the step that runs."""
        self.amendment = order
        self.interrupt()

    def stop(self, job: str) -> None:
        """Leave after the step that runs."""
        self.stopping = True
        self.interrupt()

    def hang(self) -> bool:
        """User code never returns: nothing more is reported until its process ends. Whether any was running."""
        hangs, self.training = self.training is not None, None
        self.hung |= hangs
        return hangs

    def slow_down(self, slowness: float) -> bool:
        """From now on a step takes so many times as long as it should, what is left of the one that runs, too. Whether
        any was running."""
        faster, self.slowness = self.slowness, slowness
        runs, now = self.training is not None and self.steps > 0, self.simulator.now
        if runs and slowness != faster:
            left_s = max(0.0, self.since + self.steps * self.step_s - now) * slowness / faster
            self.step_s *= slowness / faster
            self.since = now + left_s - self.steps * self.step_s
            self.wait(self.steps * self.step_s)
        return runs

    # -- time -------------------------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Let the job do what it does at this moment, and come back when it has waited."""
        assert self.training is not None
        pause = next(self.training, None)
        if pause is None or not self.alive():
            self.training, self.steps = None, 0
            return
        self.steps, seconds = pause
        self.since = self.simulator.now
        self.wait(self.steps * self.step_s if self.steps else seconds)

    def wait(self, seconds: float) -> None:
        """Come back then, instead of when it was said before."""
        self.alarm += 1
        alarm = self.alarm
        self.simulator.later(max(0.0, self.since + seconds - self.simulator.now), lambda: self.ring(alarm))

    def ring(self, alarm: int) -> None:
        """The wait is over, unless its process stands still."""

        def happen() -> None:
            if alarm == self.alarm and self.training is not None:
                self.go_on()

        if self.host is not None:
            self.simulator.within(self.host, happen)

    def interrupt(self) -> None:
        """Let the step that runs be the last before the job looks up."""
        if self.steps > 1:
            begun = math.ceil((self.simulator.now - self.since) / self.step_s) if self.step_s else self.steps
            if max(1, begun) < self.steps:
                self.steps = max(1, begun)
                self.wait(self.steps * self.step_s)

    def alive(self) -> bool:
        """Whether its process is there."""
        return self.host is not None and self.simulator.alive(self.host)

    def bar(self, what: str, began: float, node: int) -> None:
        """Note what was done until now."""
        if self.world.bars is not None and self.host is not None:
            self.world.bars.append(Bar(self.host.name, what, began, self.simulator.now, node))

    def say(self, *reports: Report) -> None:
        """Hand reports in."""
        for report in reports:
            for after_s in self.world.heard(report):
                self.unheard.append(report)
                self.heard_at = max(self.heard_at, self.simulator.now + after_s)
                if after_s or len(self.unheard) > 1:
                    self.simulator.later(max(0.0, self.heard_at - self.simulator.now), self.hear)
                else:
                    self.hear()

    def hear(self) -> None:
        """The report that was said first of those not heard yet."""
        report = self.unheard.popleft()
        if self.host is not None:
            host = self.host
            self.simulator.within(host, lambda: self.simulator.turn(host, JobReported("", report)))

    # -- a batch ----------------------------------------------------------------------------------------------------

    def run(self, order: BatchOrder) -> Iterator[Pause]:
        """A batch, as hive/training/executor.py goes through it; yields what it waits for."""
        unreadable = self.unreadable(order)
        if unreadable is not None:
            self.live = None
            first = order.stages[0]
            step = first.start if first.start == first.end else first.start + 1
            self.say(Failed(order.lease, first.node, step, 0, "load", unreadable))
            self.say(Ended(order.lease, 0, None, None, ()))
            return
        lease = self.lease = yield from self.begin(order)
        while True:
            self.take_amendment(lease)
            if not lease.ahead or self.stopping:
                yield from self.leave(lease)
                return
            lease.stage = lease.ahead[0]
            if lease.step == lease.stage.end:
                yield from self.measure(lease)
            else:
                yield from self.train(lease)
            if lease.over:
                return
            if lease.ahead and lease.ahead[0].end <= lease.step:
                del lease.ahead[0]

    def unreadable(self, order: BatchOrder) -> str | None:
        """Why the file that a batch starts from cannot be read; None if it can, or need not be."""
        file = order.checkpoint
        if file is None:
            return None
        if file not in self.world.checkpoints:
            return "the file is gone"  # the grant comes late: its lease is over, and its file was given up
        if file in self.memory or (self.live is not None and self.live[0] == order.origin):
            return None
        return self.world.damaged.get(file)

    def begin(self, order: BatchOrder) -> Generator[Pause, None, Running]:
        """A lease in the state its batch starts from: the live one if it stands there, else the named checkpoint's, out
        of the memory or the file."""
        if order.origin is None:
            self.live = None
            return Running(order, self.world.model.begin(), {}, loaded=False)
        assert order.checkpoint is not None
        state, values = self.world.checkpoints[order.checkpoint]
        assert order.build_values == values, "a model is built with the values its state was saved under"
        going_on = self.live is not None and self.live[0] == order.origin
        kept = self.memory.get(order.checkpoint)
        assert not going_on or self.live == (order.origin, state), "the live model is what its checkpoint says"
        assert kept is None or kept == (order.origin, state), "what is in memory is what the file says"
        if not going_on:
            self.world.loads += 1
            began = self.simulator.now
            yield 0, self.world.load_s * (1.0 if kept is None else 0.5)
            self.bar("load", began, order.origin[0])
        self.live = (order.origin, state)
        return Running(order, state, values, loaded=not going_on and kept is None)

    def take_amendment(self, lease: Running) -> None:
        """Between two steps: what is ahead may have been cut anew."""
        new, done = self.amendment, lease.step
        if new is None or new.lease != lease.order.lease or new.number <= lease.amendment:
            return
        lease.amendment = new.number
        saved = [s for s in new.stages if lease.saved == (s.node, s.end) and (lease.measured or not s.metrics)]
        passed = [s for s in new.stages if s.end == done and not s.boundary]
        ahead = [s for s in new.stages if s.end >= done and s not in saved and s not in passed]
        lease.ahead = [replace(s, start=max(s.start, done)) for s in ahead]
        self.say(AmendmentTaken(new.lease, new.number, done))

    def train(self, lease: Running) -> Iterator[Pause]:
        """Calls of `train()`, and what is due after the last of them."""
        world, model, stage, began, step = self.world, self.world.model, lease.stage, self.simulator.now, lease.step
        self.step_s = model.step_s(stage.forms, step) * self.slowness
        yield self.until(lease), 0.0
        values = {name: form.value(step) for name, form in stage.forms.items()}
        if (error := world.raises("train", values, step)) is not None:
            self.fail(lease, "train", step + 1, error)
            return
        lease.values = {name: form.value(step + self.steps - 1) for name, form in stage.forms.items()}
        lease.state = model.train(lease.state, stage.forms, step, step + self.steps)
        lease.step, lease.steps_run = step + self.steps, lease.steps_run + self.steps
        lease.unsaved_s += self.steps * self.step_s
        self.live = (lease.place, lease.state)
        world.trained += self.steps
        seconds = self.simulator.now - began
        self.bar("train", began, stage.node)
        self.say(Stepped(lease.order.lease, *lease.place, lease.steps_run, seconds, {"loss": 1.0}))
        self.take_amendment(lease)
        yield from self.after_step(lease)

    def until(self, lease: Running) -> int:
        """How many steps it is to where something happens next."""
        world, steps = self.world, lease.stage.end - lease.step
        if world.every_step:
            return 1
        if world.eval_every is not None:
            steps = min(steps, world.eval_every - lease.step % world.eval_every)
        if self.step_s and world.checkpoint_every_s < math.inf:
            steps = min(steps, max(1, math.ceil((world.checkpoint_every_s - lease.unsaved_s) / self.step_s)))
        return steps

    def after_step(self, lease: Running) -> Iterator[Pause]:
        """A boundary, an evaluation between boundaries, a checkpoint because of the time."""
        world, step, number = self.world, lease.step, lease.order.lease
        stage = lease.ahead[0] if lease.ahead else lease.stage
        measured = step == stage.end and stage.metrics
        if not measured and world.eval_every is not None and step % world.eval_every == 0:
            self.say(Evaluated(number, lease.stage.node, step, world.model.metrics(lease.state, step)))
        if (step == stage.end and stage.boundary) or lease.unsaved_s >= world.checkpoint_every_s:
            yield from self.checkpoint(lease, measured=measured)

    def measure(self, lease: Running) -> Iterator[Pause]:
        """A boundary where training stands already."""
        yield from self.checkpoint(lease, measured=lease.stage.metrics)

    def checkpoint(self, lease: Running, *, measured: bool) -> Iterator[Pause]:
        """A checkpoint here, measured or not; a state that has its file gets no other."""
        world, order = self.world, lease.order
        if measured and (error := world.raises("evaluate", lease.values, lease.step)) is not None:
            self.fail(lease, "evaluate", lease.step, error)
            return
        place = self.live[0] if self.live is not None else lease.place
        metrics = world.model.metrics(lease.state, lease.step) if measured else None
        digest, file, lease.measured, lease.unsaved_s = world.model.digest(lease.state), None, measured, 0.0
        if lease.saved != place:
            lease.saved = place
            if (error := world.raises("save", lease.values, lease.step)) is not None:
                self.fail(lease, "save", lease.step, error)
                return
            yield from self.spend(world.save_s, "save", place[0])
            file = self.save(order.file_name(*place), place, lease)
        evaluate_s = world.evaluate_s if measured else 0.0
        yield from self.spend(evaluate_s, "evaluate", place[0])
        self.say(Reached(order.lease, *place, lease.steps_run, metrics, digest, file, evaluate_s, world.save_s))

    def spend(self, seconds: float, what: str, node: int) -> Iterator[Pause]:
        """Something takes its time, if it takes any."""
        if seconds:
            began = self.simulator.now
            yield 0, seconds
            self.bar(what, began, node)

    def save(self, name: str, place: Place, lease: Running) -> CheckpointFile:
        """Write a file, and keep its state in memory."""
        world = self.world
        assert name not in world.written, "a checkpoint's name is never written twice"
        world.written.add(name)
        world.checkpoints[name] = (lease.state, lease.values)
        world.saves += 1
        self.memory[name] = (place, lease.state)
        while len(self.memory) > world.memory_max:
            del self.memory[next(iter(self.memory))]
        return CheckpointFile(name, world.bytes, world.model.digest(lease.state), "cpu", 1, "")

    def leave(self, lease: Running) -> Iterator[Pause]:
        """The lease ends here, with a checkpoint if there is anything new to save."""
        if lease.steps_run and self.live is not None and lease.saved != self.live[0]:
            yield from self.checkpoint(lease, measured=False)
        if not lease.over:
            self.end(lease)

    def fail(self, lease: Running, where: Where, step: int, error: str) -> None:
        """User code raised: the live model is gone, and the lease over."""
        self.live, lease.over = None, True
        self.say(Failed(lease.order.lease, lease.stage.node, step, lease.steps_run, where, error))
        self.end(lease)

    def end(self, lease: Running) -> None:
        """The lease's last report."""
        lease.over = True
        held = self.live[0] if self.live else None
        in_memory = tuple(place for place, _ in reversed(self.memory.values()))
        load_s = self.world.load_s if lease.loaded else None
        self.say(Ended(lease.order.lease, lease.steps_run, held, load_s, in_memory))
