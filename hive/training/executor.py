"""The executor: runs one trainer through batches of stages, and reports.

It goes on in the live model where the batch starts at the place it holds, else builds and loads: a copy of what it has
in memory, or the checkpoint's file. At a boundary training waits for `save()`, the copy and `evaluate()`; digest and
file are made by the writer's thread, which also passes on, in order, every report that must not overtake a file:
Reached, AmendmentTaken, Failed, Ended. Between steps it yields to its driver, and looks whether it should stop or what
is ahead was amended.

It must not know where orders come from, how reports travel, or what a plan is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hive.storage.checkpoints import Pool, Snapshot, write_checkpoint
from hive.storage.folders import Folder
from hive.training.calls import Broken, call
from hive.training.live import Live, Settings
from hive.training.memory import SNAPSHOT_BYTES_MAX, Kept, Memory
from hive.training.reports import (
    Amendment,
    AmendmentTaken,
    BatchOrder,
    CheckpointFile,
    Ended,
    Evaluated,
    Failed,
    Metrics,
    Place,
    Reached,
    Report,
    StageOrder,
    Stepped,
)
from hive.training.tracebacks import user_traceback
from hive.training.writer import Writer

if TYPE_CHECKING:
    from hive.training.trainer import Trainer

__all__ = ["Executor"]

Copied = tuple[Snapshot, dict[str, Any], Metrics | None, tuple[float, float]]

ANY = -1
"""In place of a lease's number: whichever runs."""


@dataclass(slots=True)
class Lease:
    """What is known of the batch that runs.

    Attributes:
        batch: the order.
        began: clock when it was taken.
        ahead: the stages that are not done, the one that runs first.
        stage: the stage that runs, or ran last.
        done: steps done, absolute.
        steps_run: calls of `train()`.
        load_s: seconds until the state that it starts from was loaded; None unless from a file.
        saved: place of the last checkpoint.
        measured: whether the state there was measured, too.
        amendment: the number of the last amendment taken up.
        saved_at: clock of the last checkpoint, or of the beginning.
        unwritten: set by the writer when a file could not be written; nothing after it counts.
    """

    batch: BatchOrder
    began: float
    ahead: list[StageOrder]
    stage: StageOrder
    done: int
    steps_run: int = 0
    load_s: float | None = None
    saved: Place | None = None
    measured: bool = False
    amendment: int = 0
    saved_at: float = 0.0
    unwritten: threading.Event = field(default_factory=threading.Event)

    @staticmethod
    def of(batch: BatchOrder, now: float) -> Lease:
        """A lease that begins now."""
        first = batch.stages[0]
        return Lease(batch, now, list(batch.stages), first, first.start, saved=batch.origin, saved_at=now)

    def amend(self, stages: tuple[StageOrder, ...]) -> None:
        """Go on with these stages, as far as they are still ahead. One that ends where training stands is, unless
        nothing is left to do there."""
        rest = [stage for stage in stages if stage.end >= self.done and not self.finished(stage)]
        self.ahead = [replace(stage, start=max(stage.start, self.done)) for stage in rest]

    def finished(self, stage: StageOrder) -> bool:
        """Whether nothing is left to do at a stage's end: it was saved just now, and measured if it is to be, or
        training stands there and merely passes."""
        if not stage.boundary:
            return stage.end == self.done
        return self.saved == (stage.node, stage.end) and (self.measured or not stage.metrics)

    def failure(self, broken: Broken) -> Failed:
        """What is reported when a call of the user's code failed now."""
        answered = broken.where in ("evaluate", "save") or self.stage.start == self.stage.end
        step = self.done if answered else self.done + 1
        return Failed(self.batch.lease, self.stage.node, step, self.steps_run, broken.where, broken.text)


class Executor:
    """Runs batches, one at a time, in the thread that drives `run`.

    Attributes:
        held: where the live model stands; None if there is none.
        lease: the batch that runs, or ran last.
    """

    def __init__(
        self,
        trainer_class: type[Trainer],
        *,
        device: str,
        seed: int,
        fixed: dict[str, Any],
        threads: int,
        folder: Folder,
        report: Callable[[Report], None],
        metric: str | None = None,
        eval_every: int | None = None,
        checkpoint_every_s: float = 60.0,
        snapshot_bytes_max: int = SNAPSHOT_BYTES_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is built yet.

        Args:
            trainer_class: the user's class.
            device: where it trains, as torch names it.
            seed: the study's seed.
            fixed: the study's fixed settings; each instance gets a copy.
            threads: CPU threads for torch.
            folder: where checkpoints are.
            report: gets each report; called from two threads.
            metric: the study's metric, which `evaluate` must return; None for any.
            eval_every: evaluate whenever the step is a multiple of it, in steps; None for at boundaries only.
            checkpoint_every_s: seconds between checkpoints at most, save that one is made between steps.
            snapshot_bytes_max: host memory for states to go back to, in bytes; 0 for none.
            clock: seconds; for `checkpoint_every_s` and the durations in reports.
        """
        self.settings = Settings(trainer_class, device, seed, fixed, threads, metric)
        self.folder, self.report, self.clock = folder, report, clock
        self.eval_every, self.checkpoint_every_s = eval_every, checkpoint_every_s
        self.live: Live | None = None
        self.held: Place | None = None
        self.lease: Lease | None = None
        self.pool, self.writer, self.memory = Pool(), Writer(), Memory(snapshot_bytes_max)
        self.stop_wanted: int | None = None
        self.amendment: Amendment | None = None

    def run(self, batch: BatchOrder) -> Iterator[None]:
        """Run a batch; yields after each step. Ended may be reported shortly after the iterator is exhausted.

        Raises nothing of the user's but KeyboardInterrupt: all else is reported as Failed.
        """
        lease = self.lease = Lease.of(batch, self.clock())
        try:
            yield from self.stages(lease)
        except Broken as broken:
            self.drop()
            self.writer.put(partial(self.fail, lease, lease.failure(broken)))
        except BaseException:
            self.drop()
            raise
        finally:
            self.stop_wanted = None
        self.writer.put(partial(self.end, lease, self.held))

    def stop(self, lease: int | None = None) -> None:
        """Leave before the next step, with a checkpoint there. Any thread may call it.

        Args:
            lease: only if this lease runs, or is the next to run; None for whichever.
        """
        self.stop_wanted = ANY if lease is None else lease

    def amend(self, amendment: Amendment) -> None:
        """Cut anew what is ahead of a lease that runs, or is the next to run, as soon as training looks: between two
        steps. Of several, the last holds. Any thread may call it."""
        self.amendment = amendment

    def close(self) -> None:
        """Wait until all reports are out and forget the model and what is in memory. No batch may be running."""
        self.writer.close()
        self.drop()
        self.memory.clear()

    def drop(self) -> None:
        """Forget the live model."""
        self.live, self.held = None, None

    def context(self) -> str:
        """What it is at, in words: "node 5 trial 3 step 42". The step is how many are done. "" before any batch."""
        lease = self.lease
        if lease is None:
            return ""
        trial = "" if lease.stage.trial is None else f" trial {lease.stage.trial}"
        return f"node {lease.stage.node}{trial} step {lease.done}"

    # In the training thread:

    def stages(self, lease: Lease) -> Iterator[None]:
        """All stages in turn, or as far as it goes."""
        live: Live | None = None
        self.take_amendment(lease)
        while lease.ahead:
            stage = lease.stage = lease.ahead[0]
            if self.leaving(lease):
                return
            live = live or self.begin(lease)
            if lease.done == stage.end:  # a state that stands is measured, or a boundary was put where training stands
                self.checkpoint(lease, live, measured=stage.metrics)
            else:
                self.step(lease, live)
                self.take_amendment(lease)
                self.after_step(lease, live)
                yield
            if lease.ahead and lease.ahead[0].end <= lease.done:
                del lease.ahead[0]
            self.take_amendment(lease)
        if live is not None:
            self.save_before_leaving(lease, live)

    def take_amendment(self, lease: Lease) -> None:
        """Look whether what is ahead was cut anew."""
        amendment = self.amendment
        if amendment is not None and amendment.lease == lease.batch.lease and amendment.number > lease.amendment:
            lease.amendment = amendment.number
            lease.amend(amendment.stages)
            self.writer.put(partial(self.report, AmendmentTaken(amendment.lease, amendment.number, lease.done)))

    def leaving(self, lease: Lease) -> bool:
        """Whether the batch ends here. If it was told to stop, the state is saved first."""
        if lease.unwritten.is_set():
            return True
        if self.stop_wanted is None or self.stop_wanted not in (ANY, lease.batch.lease):
            return False
        if self.live is not None:
            self.save_before_leaving(lease, self.live)
        return True

    def save_before_leaving(self, lease: Lease, live: Live) -> None:
        """Leave no step of the lease without a checkpoint behind it."""
        if lease.steps_run and lease.saved != self.held:
            self.checkpoint(lease, live, measured=False)

    def begin(self, lease: Lease) -> Live:
        """The live trainer at the place the batch starts from: the one held, or one built and loaded."""
        batch, stage = lease.batch, lease.stage
        if self.live is not None and self.held is not None and self.held == batch.origin:
            return self.live
        self.drop()
        if batch.origin is not None and batch.checkpoint is None:
            raise Broken("load", f"this trainer does not hold the state at {batch.origin}, and no checkpoint is named")
        live = Live(self.settings, batch.build_values)
        if (kept := self.memory.find(batch.checkpoint)) is not None:
            live.load_copy(kept)
        elif batch.checkpoint is not None:
            live.load(call("load", self.folder.get, batch.checkpoint))
            lease.load_s = self.clock() - lease.began
        if stage.start == stage.end:
            live.put_in_force(dict(batch.build_values))
        self.live, self.held = live, batch.origin
        return live

    def step(self, lease: Lease, live: Live) -> None:
        """Put the values of the next step in force, and do it."""
        live.put_in_force({name: form.value(lease.done) for name, form in lease.stage.forms.items()})
        began = self.clock()
        lease.steps_run += 1  # before the call: one that raises was a call, too
        metrics = live.train()
        lease.done += 1
        self.held = (lease.stage.node, lease.done)
        self.report(Stepped(lease.batch.lease, *self.held, lease.steps_run, self.clock() - began, metrics))

    def after_step(self, lease: Lease, live: Live) -> None:
        """What is due now: a boundary, an evaluation between boundaries, a checkpoint because of the time."""
        stage, step = lease.ahead[0] if lease.ahead else lease.stage, lease.done
        measured = step == stage.end and stage.metrics
        if not measured and self.eval_every is not None and step % self.eval_every == 0:
            with live.isolated() as isolation:
                metrics = live.evaluate(step, isolation)
            self.report(Evaluated(lease.batch.lease, lease.stage.node, step, metrics))
        if (step == stage.end and stage.boundary) or self.clock() - lease.saved_at >= self.checkpoint_every_s:
            self.checkpoint(lease, live, measured=measured)

    def checkpoint(self, lease: Lease, live: Live, *, measured: bool) -> None:
        """Copy the state, evaluate if asked, and leave the rest to the writer. A state that has its file gets no other.

        The copy comes first, so that nothing `evaluate` does is in the checkpoint.
        """
        copied, extras, metrics, seconds = self.copy_and_measure(live, lease.done, measured)
        filed = lease.saved != self.held
        lease.saved, lease.measured, lease.saved_at = self.held, measured, self.clock()
        assert lease.saved is not None, "a live trainer stands somewhere"
        name = lease.batch.file_name(*lease.saved) if filed else None
        if name is not None:
            self.memory.keep(name, Kept(lease.saved, copied, extras))
        told = Reached(lease.batch.lease, *lease.saved, lease.steps_run, metrics, "", None, *seconds)
        self.writer.put(partial(self.write, lease, copied, extras, name, told))

    def copy_and_measure(self, live: Live, step: int, measured: bool) -> Copied:
        """The state's copy with its extras, the metrics if asked for, and the seconds that evaluation and copy took.

        Everything else is freed on return, before the writer has something to do and takes turns with this thread.
        """
        began = self.clock()
        with live.isolated() as isolation:
            copied, extras = live.snapshot(self.pool, isolation)
            copied_at = self.clock()
            try:
                metrics = live.evaluate(step, isolation) if measured else None
            except BaseException:
                copied.release()
                raise
        return copied, extras, metrics, (self.clock() - copied_at if measured else 0.0, copied_at - began)

    # In the writer's thread:

    def write(self, lease: Lease, copied: Snapshot, extras: dict[str, Any], name: str | None, told: Reached) -> None:
        """Make digest and file, then report the boundary; or report that the file could not be written."""
        try:
            if lease.unwritten.is_set():
                self.memory.forget(name)
                return
            if name is None:
                told = replace(told, digest=copied.digest())
            else:
                digest, size = self.folder.put(name, lambda path: write_checkpoint(path, copied, extras))
                file = CheckpointFile(name, size, digest, **extras["made_on"])
                told = replace(told, digest=digest, checkpoint=file)
        except Exception as error:  # any: nobody else would see it, and training must not go on as if it were saved
            lease.unwritten.set()
            self.memory.forget(name)
            text = user_traceback(error)
            self.report(Failed(told.lease, told.node, told.step, told.steps_run, "save", text))
            return
        finally:
            copied.release()
        self.report(told)

    def fail(self, lease: Lease, failed: Failed) -> None:
        """Report a failure, unless one that lies before it was."""
        if not lease.unwritten.is_set():
            lease.unwritten.set()
            self.report(failed)

    def end(self, lease: Lease, held: Place | None) -> None:
        """Report the lease's end."""
        held = None if lease.unwritten.is_set() else held
        self.report(Ended(lease.batch.lease, lease.steps_run, held, lease.load_s, self.memory.places()))
