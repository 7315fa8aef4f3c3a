"""A training job without training: each step takes drawn virtual time, and the state is a digest of all values so far.

So a state says exactly which values were in force at which step; `expected_digest` is what it must be. Checkpoints lie
in a dictionary, and carry the values they were made under, which a start from them must name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hive.actors.actor import JobReported
from hive.planner.space import Config
from hive.training.reports import BatchOrder, CheckpointFile, Ended, Evaluated, Failed, Reached, Report, Stepped
from tests.actors.fake_wire import Host, Wire

NO_ERROR: Callable[[str, dict[str, Any], int], str | None] = lambda where, values, step: None  # noqa: E731


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
        train_calls: how often `train()` was called, counted from outside, by (plan folder, node).
    """

    step_s: float = 0.1
    raises: Callable[[str, dict[str, Any], int], str | None] = NO_ERROR
    metrics: Callable[[str], dict[str, float]] = lambda digest: {"score": int(digest[:6], 16) / 1000}
    checkpoint_every: int | None = None
    eval_every: int | None = None
    checkpoints: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    train_calls: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def trained(self) -> int:
        return sum(self.train_calls.values())


@dataclass
class FakeJobs:
    """The training thread of one trainer."""

    wire: Wire
    world: World
    host: Host | None = None
    live: tuple[tuple[int, int], str] | None = None
    stopping: bool = False

    def start(self, job: str, order: BatchOrder) -> None:
        self.stopping = False
        self.drive(self.reports(order))

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
        lease, steps_run = order.lease, 0
        state, values = self.begin(order)
        for stage in order.stages:
            step, saved = stage.start, stage.start
            if stage.start == stage.end:
                if (error := self.world.raises("evaluate", values, step)) is not None:
                    self.live = None
                    yield 0.0, [Failed(lease, stage.node, step, 0, "evaluate", error), Ended(lease, 0, None)]
                    return
                metrics = self.world.metrics(state) if stage.metrics else None
                yield 0.0, [Reached(lease, stage.node, step, 0, metrics, state, None, 0.0, 0.0)]
            while step < stage.end:
                if self.stopping:
                    if steps_run and saved != step:
                        yield 0.0, [self.reached(order, stage.node, step, steps_run, state, values, measured=False)]
                    yield 0.0, [Ended(lease, steps_run, self.live[0] if self.live else None)]
                    return
                values = {name: form.value(step) for name, form in stage.forms.items()}
                if (error := self.world.raises("train", values, step)) is not None:
                    self.live = None
                    failed = Failed(lease, stage.node, step + 1, steps_run, "train", error)
                    yield self.world.step_s, [failed, Ended(lease, steps_run, None)]
                    return
                state, step, steps_run = after(state, values), step + 1, steps_run + 1
                self.live = ((stage.node, step), state)
                key = (order.file_prefix, stage.node)
                self.world.train_calls[key] = self.world.train_calls.get(key, 0) + 1
                said: list[Report] = [Stepped(lease, stage.node, step, steps_run, self.world.step_s, {"loss": 1.0})]
                if self.world.eval_every and step % self.world.eval_every == 0 and step < stage.end:
                    said.append(Evaluated(lease, stage.node, step, self.world.metrics(state)))
                if step == stage.end and stage.metrics and (error := self.world.raises("evaluate", values, step)):
                    self.live = None
                    said += [
                        Failed(lease, stage.node, step, steps_run, "evaluate", error),
                        Ended(lease, steps_run, None),
                    ]
                    yield self.world.step_s, said
                    return
                every = self.world.checkpoint_every
                if step == stage.end or (every is not None and step % every == 0):
                    measured = step == stage.end and stage.metrics
                    said.append(self.reached(order, stage.node, step, steps_run, state, values, measured=measured))
                    saved = step
                yield self.world.step_s, said
        yield 0.0, [Ended(lease, steps_run, self.live[0] if self.live else None)]

    def begin(self, order: BatchOrder) -> tuple[str, dict[str, Any]]:
        """The state a batch starts from: the live one if it stands there, else the named checkpoint's."""
        if order.origin is None:
            self.live = None
            return "", {}
        assert order.checkpoint is not None
        state, values = self.world.checkpoints[order.checkpoint]
        assert order.build_values == values, "a model is built with the values its state was saved under"
        if self.live is not None and self.live[0] == order.origin:
            assert self.live[1] == state, "the live model is what its checkpoint says"
        self.live = (order.origin, state)
        return state, values

    def reached(
        self,
        order: BatchOrder,
        node: int,
        step: int,
        steps_run: int,
        state: str,
        values: dict[str, Any],
        measured: bool,
    ) -> Reached:
        name = order.file_name(node, step)
        assert name not in self.world.checkpoints, "a checkpoint's name is never written twice"
        self.world.checkpoints[name] = (state, values)
        metrics = self.world.metrics(state) if measured else None
        file = CheckpointFile(name, 100, state, "cpu", 1, "")
        return Reached(order.lease, node, step, steps_run, metrics, state, file, 0.0, 0.01)
