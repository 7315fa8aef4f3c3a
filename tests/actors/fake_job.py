"""A training job without training: each step takes drawn virtual time, and the state is a digest of all values so far.

So a state says exactly which values were in force at which step; `expected_digest` is what it must be. Checkpoints lie
in a dictionary, and carry the values they were made under, which a start from them must name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hive.actors.actor import JobReported
from hive.planner.space import Config
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
from tests.actors.fake_wire import Host, Wire

IN_MEMORY_MAX = 2
"""States that a fake trainer can go back to without a file: few, so that some are gone when they are wanted."""


def no_error(where: str, values: dict[str, Any], step: int) -> str | None:
    """User code without a fault."""
    return None


def after(state: str, values: dict[str, Any]) -> str:
    """The state after a step with these values."""
    return hashlib.sha256((state + json.dumps(values, sort_keys=True)).encode()).hexdigest()


def expected_digest(config: Config, steps: int) -> str:
    """The state of a config trained alone."""
    state = ""
    for step in range(steps):
        state = after(state, {name: sequence(step) for name, sequence in config.items()})
    return state


@dataclass
class World:
    """What all jobs share: the disk, how long things take, and what user code does.

    Attributes:
        raises: (where, values, step) -> the user's traceback, or None.
        metrics: digest -> what `evaluate()` returns.
        checkpoint_every: a checkpoint besides boundaries after so many steps; None for none.
        written: the names of all checkpoints that ever were.
        trained: how often `train()` was called, counted from outside.
    """

    step_s: float = 0.1
    raises: Callable[[str, dict[str, Any], int], str | None] = no_error
    metrics: Callable[[str], dict[str, float]] = lambda digest: {"score": int(digest[:6], 16) / 1000}
    checkpoint_every: int | None = None
    eval_every: int | None = None
    checkpoints: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    trained: int = 0


@dataclass
class Running:
    """A lease while its batch runs."""

    order: BatchOrder
    state: str
    values: dict[str, Any]
    steps_run: int = 0
    measured: bool = False
    amendment: int = 0
    over: bool = False
    loaded: bool = False

    def __post_init__(self) -> None:
        self.ahead = list(self.order.stages)
        self.stage: StageOrder = self.ahead[0]
        self.step = self.stage.start
        self.saved = self.order.origin


@dataclass
class FakeJobs:
    """The training thread of one trainer."""

    wire: Wire
    world: World
    host: Host | None = None
    live: tuple[tuple[int, int], str] | None = None
    memory: dict[str, tuple[tuple[int, int], str]] = field(default_factory=dict)
    stopping: bool = False
    amendment: Amendment | None = None

    def start(self, job: str, order: BatchOrder) -> None:
        self.stopping = False
        self.drive(self.reports(order))

    def amend(self, job: str, order: Amendment) -> None:
        self.amendment = order

    def stop(self, job: str) -> None:
        self.stopping = True

    def drive(self, reports: Iterator[tuple[float, list[Report]]]) -> None:
        """Hand in what is reported now, and go on when it took its time; the next steps die with the host."""
        assert self.host is not None
        host, life = self.host, self.host.life
        after_s, said = next(reports, (0.0, None))
        if said is None:
            return

        def happen() -> None:
            now_there = self.wire.hosts.get(host.name)
            if now_there is not None and now_there.life == life:
                for report in said:
                    self.wire.turn(now_there, JobReported("", report))
                self.drive(reports)

        self.wire.later(after_s, happen)

    def reports(self, order: BatchOrder) -> Iterator[tuple[float, list[Report]]]:
        """What the executor would say; see hive/training/executor.py for the order of things."""
        if order.checkpoint is not None and order.checkpoint not in self.world.checkpoints:
            self.live = None  # the grant comes late: its lease is over, and its file was given up
            first = order.stages[0]
            failed = Failed(order.lease, first.node, first.start + 1, 0, "load", "the file is gone")
            yield 0.0, [failed, Ended(order.lease, 0, None, None, ())]
            return
        lease = self.begin(order)
        while True:
            yield 0.0, self.take_amendment(lease)
            if not lease.ahead or self.stopping:
                yield from self.leave(lease)
                return
            lease.stage = lease.ahead[0]
            yield from self.measure(lease) if lease.step == lease.stage.end else self.step(lease)
            if lease.over:
                return
            if lease.stage.end <= lease.step:
                del lease.ahead[0]

    def take_amendment(self, lease: Running) -> list[Report]:
        """Between two steps: what is ahead may have been cut anew."""
        new, done = self.amendment, lease.step
        if new is None or new.lease != lease.order.lease or new.number <= lease.amendment:
            return []
        lease.amendment = new.number
        saved = [s for s in new.stages if lease.saved == (s.node, s.end) and (lease.measured or not s.metrics)]
        passed = [s for s in new.stages if s.end == done and not s.boundary]
        ahead = [s for s in new.stages if s.end >= done and s not in saved and s not in passed]
        lease.ahead = [replace(s, start=max(s.start, done)) for s in ahead]
        return [AmendmentTaken(new.lease, new.number, done)]

    def ended(self, lease: Running) -> Ended:
        """The lease's last report; to load took as long as a step."""
        held = self.live[0] if self.live else None
        in_memory = tuple(place for place, _ in reversed(self.memory.values()))
        return Ended(lease.order.lease, lease.steps_run, held, self.world.step_s if lease.loaded else None, in_memory)

    def measure(self, lease: Running) -> Iterator[tuple[float, list[Report]]]:
        """A boundary where training stands already."""
        stage = lease.stage
        if stage.metrics and (error := self.world.raises("evaluate", lease.values, lease.step)) is not None:
            yield 0.0, self.fail(lease, "evaluate", lease.step, error)
        else:
            yield 0.0, [self.reached(lease, measured=stage.metrics)]

    def leave(self, lease: Running) -> Iterator[tuple[float, list[Report]]]:
        """The lease ends here, with a checkpoint if there is anything new to save."""
        said: list[Report] = []
        held = self.live[0] if self.live else None
        if lease.steps_run and lease.saved != held:
            said.append(self.reached(lease, measured=False))
        yield 0.0, [*said, self.ended(lease)]

    def step(self, lease: Running) -> Iterator[tuple[float, list[Report]]]:
        """One call of `train()`, and what is due after it."""
        world, stage, number = self.world, lease.stage, lease.order.lease
        lease.values = {name: form.value(lease.step) for name, form in stage.forms.items()}
        if (error := world.raises("train", lease.values, lease.step)) is not None:
            yield world.step_s, self.fail(lease, "train", lease.step + 1, error)
            return
        lease.state, lease.step, lease.steps_run = after(lease.state, lease.values), lease.step + 1, lease.steps_run + 1
        self.live = ((stage.node, lease.step), lease.state)
        world.trained += 1
        every = world.checkpoint_every
        said: list[Report] = [Stepped(number, stage.node, lease.step, lease.steps_run, world.step_s, {"loss": 1.0})]
        measured = stage.metrics and lease.step == stage.end
        if not measured and world.eval_every and lease.step % world.eval_every == 0:
            said.append(Evaluated(number, stage.node, lease.step, world.metrics(lease.state)))
        if measured and (error := world.raises("evaluate", lease.values, lease.step)) is not None:
            said += self.fail(lease, "evaluate", lease.step, error)
        elif (lease.step == stage.end and stage.boundary) or (every and lease.step % every == 0):
            said.append(self.reached(lease, measured=measured))
        yield world.step_s, said

    def fail(self, lease: Running, where: Where, step: int, error: str) -> list[Report]:
        """User code raised: the live model is gone, and the lease over."""
        self.live, lease.over = None, True
        failed = Failed(lease.order.lease, lease.stage.node, step, lease.steps_run, where, error)
        return [failed, self.ended(lease)]

    def begin(self, order: BatchOrder) -> Running:
        """A lease in the state its batch starts from: the live one if it stands there, else the named checkpoint's, out
        of the memory or the file."""
        if order.origin is None:
            self.live = None
            return Running(order, "", {})
        assert order.checkpoint is not None
        state, values = self.world.checkpoints[order.checkpoint]
        assert order.build_values == values, "a model is built with the values its state was saved under"
        going_on = self.live is not None and self.live[0] == order.origin
        if going_on:
            assert self.live == (order.origin, state), "the live model is what its checkpoint says"
        self.live = (order.origin, state)
        loaded = not going_on and order.checkpoint not in self.memory
        if not loaded and order.checkpoint in self.memory:
            assert self.memory[order.checkpoint] == self.live, "what is in memory is what the file says"
        return Running(order, state, values, loaded=loaded)

    def reached(self, lease: Running, *, measured: bool) -> Reached:
        """A checkpoint here, measured or not; a state that has its file gets no other."""
        number, place = lease.order.lease, (lease.stage.node, lease.step)
        metrics = self.world.metrics(lease.state) if measured else None
        file = None
        if lease.saved != place:
            name = lease.order.file_name(*place)
            assert name not in self.world.written, "a checkpoint's name is never written twice"
            self.world.written.add(name)
            self.world.checkpoints[name] = (lease.state, lease.values)
            self.memory[name] = (place, lease.state)
            while len(self.memory) > IN_MEMORY_MAX:
                del self.memory[next(iter(self.memory))]
            file = CheckpointFile(name, 100, lease.state, "cpu", 1, "")
        lease.saved, lease.measured = place, measured
        return Reached(number, *place, lease.steps_run, metrics, lease.state, file, 0.0, 0.01)
