"""`Study`: what a user's file defines and runs.

A study names the search, its trainer and its metric; a tuner says which trials to train. Everything that a run needs
besides comes from `RunOptions`, which `hive run` sets and `python FILE` leaves at their defaults. It must not know
how processes are started or messages written.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal, cast

from hive.actors.messages import WEIGHT_MAX, WEIGHT_MIN, OpenRun
from hive.actors.runtime import Runtime
from hive.actors.session import ReleaseCall, Session
from hive.display import Display, say
from hive.errors import StudyError
from hive.launch import RunOptions, connect
from hive.link import Link, first_of
from hive.planner.space import Config, Space
from hive.result import StudyResult
from hive.storage.records import TrainerSource
from hive.training.fingerprint import fingerprint
from hive.training.source import importing_for_trainer, trainer_location
from hive.training.trainer import Trainer
from hive.tuners.tuner import Result, Tuner

__all__ = ["Study", "run_options"]

CHECKPOINT_EVERY_S = 60.0
"""Besides boundaries: what a crash may cost."""

NAME_LENGTH_MAX = 80
"""A run's name is its study's and 17 characters more, and has 100 at most on the wire."""

run_options = RunOptions()
"""How studies of this process are run; `hive run` sets it before it executes the file."""


class Study:
    """A named search over one trainer.

    Args:
        name: what people call it; also where its results are found again, with everything else that makes up the plan
            key.
        trainer: the class that trains: a subclass of `hive.Trainer`, defined at the top of a file.
        metric: the metric of `evaluate()` that ranks trials.
        mode: "max" or "min": which is better.
        dataset: a name for the data; results are shared only where it is equal.
        seed: what all random numbers start from.
        eval_every: also measure every so many steps, for the curves; None for where an answer is wanted only.
        fixed: settings (paths, sizes) given to the trainer as `self.fixed`: plain values.
        threads: CPU threads for each trainer, >= 1. Other counts give other bits.
        checkpoint_every_s: besides where it must, a trainer leaves a checkpoint after so many seconds.
        weight: on a coordinator of several studies, the study's share of trainer time in proportion to those of others
            that wait; from 0.001 to 1000.

    Raises:
        StudyError: an argument breaks its rule.
    """

    def __init__(
        self,
        name: str,
        trainer: type[Trainer],
        *,
        metric: str,
        mode: Literal["min", "max"],
        dataset: str = "",
        seed: int = 0,
        eval_every: int | None = None,
        fixed: Mapping[str, Any] | None = None,
        threads: int = 1,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
        weight: float = 1.0,
    ) -> None:
        self.name = text(name, "name")
        self.trainer = trainer
        self.metric = text(metric, "metric")
        self.mode: Literal["min", "max"] = mode
        self.dataset = dataset
        self.seed = seed
        self.eval_every = eval_every
        self.fixed = plain(fixed or {})
        self.threads = threads
        self.checkpoint_every_s = checkpoint_every_s
        self.weight = weight
        self.link: Link | None = None
        check(self)

    # -- what users call ----------------------------------------------------------------------------------------

    def run(self, tuner: Tuner) -> StudyResult:
        """Run a tuner to its end. Called again, with this or another tuner, it goes on with the same trials.

        A script that was killed and is started again is told what it was told before, in the same order, and goes on.

        Raises:
            StudyError: it was reached while a trainer imports the file, or from a running event loop; the root is held
                by another run; the space's names are not those of the study's earlier tuner; the tuner is none.
            KeyboardInterrupt: Ctrl-C; what was trained is kept, and the next run goes on from there.
        """
        self.check_place(f"study.run({type(tuner).__name__}(...))")
        link = self.begin()
        serve(link, tuner)
        return self.drive(link, lambda: tuner.tune(link.live))[1]

    def eval(self, config: Config, step: int) -> Result:
        """Measure a config after `step` steps. Nothing is trained where that step was trained already and left a
        checkpoint."""
        self.check_place("study.eval(...)")
        link = self.begin()
        link.open(tuple(config))
        result: Result = self.drive(link, lambda: link.live.eval(config, step))[0]
        return result

    def check_place(self, call: str) -> None:
        """Refuse to start a study where none can be.

        Raises:
            StudyError: a trainer is importing the file, or an event loop runs here.
        """
        check_not_importing(call)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise StudyError(
            f"{call} was called inside a running event loop: call it from plain code, or use hive.connect(url)"
        )

    # -- a run --------------------------------------------------------------------------------------------------

    def begin(self) -> Link:
        """This process's run of the study; the first call makes it."""
        if self.link is None:
            self.link = Link(self, say)
        return self.link

    def opening(self, names: tuple[str, ...]) -> OpenRun:
        """The run's first message: who it is, and the plan that it belongs to."""
        location, code = trainer_location(self.trainer), fingerprint(self.trainer)
        source = TrainerSource(
            path=location.path,
            module=location.module,
            qualname=location.qualname,
            search=location.search,
            dataset=self.dataset,
            names=tuple(sorted(names)),
            seed=self.seed,
            fixed=self.fixed,
            threads=self.threads,
            eval_every=self.eval_every,
            checkpoint_every_s=self.checkpoint_every_s,
        )
        key = plan_key(source, code.digest, run_options.merge)
        run = f"{self.name}-{secrets.token_hex(8)}"
        return OpenRun(
            run=run,
            number=1,
            study=self.name,
            plan_key=key,
            merge=run_options.merge,
            fresh=run_options.fresh,
            source=source,
            fingerprint=code.digest,
            parts=code.parts,
            weight=self.weight,
            metric=self.metric,
            maximize=self.mode == "max",
        )

    def drive(self, link: Link, work: Callable[[], Awaitable[Any]]) -> tuple[Any, StudyResult]:
        """Run a coroutine against the coordinator, show it, and write the summary."""
        display = Display(self.name, self.metric, link.live)
        execution = Execution(self, link, display)
        with display:
            outcome = asyncio.run(execution.run(work))
        result = execution.result()
        if not execution.interrupted:
            display.finish(result)
        if run_options.json_path is not None:
            run_options.json_path.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
        results.append(result)
        if execution.interrupted:
            raise KeyboardInterrupt
        return outcome, result


results: list[StudyResult] = []
"""What the runs of this process came to, in order; `hive run` takes its exit code from it."""


class Execution:
    """One call of `run` or `eval`: the work, and what came of it."""

    def __init__(self, study: Study, link: Link, display: Display) -> None:
        self.study = study
        self.link = link
        self.display = display
        self.interrupted = False
        link.say, link.shown, link.live.changed = display.say, display.state, display.update

    async def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do the work, or stop it at Ctrl-C: at the next step first, at once when pressed again."""
        link, url = self.link, run_options.url
        where = "the coordinator of this run" if url is None else f"the coordinator at {url}"
        task = asyncio.ensure_future(work())
        async with link.speaking(self.way, where, task) as runtime:
            with interrupts(lambda: self.interrupt(task)):
                outcome = await first_of(task, runtime.failed)
                trials = [trial.number for trial in link.live.trials]
                await link.end(ReleaseCall(trials, done=not self.interrupted), runtime)
        return outcome

    def way(
        self, opening: OpenRun, session: Session, deliver: Callable[[Any], None]
    ) -> contextlib.AbstractAsyncContextManager[Runtime]:
        """How the options say that the coordinator is reached."""
        return connect(run_options, opening, self.study.trainer, session, deliver)

    def interrupt(self, task: asyncio.Future[Any]) -> None:
        """Ctrl-C was pressed: what is asked is asked no more."""
        self.interrupted = True
        self.display.say("stopping at the next step, with a checkpoint; press Ctrl-C again to stop at once")
        task.get_loop().call_soon_threadsafe(task.cancel)  # wakes the loop, which may be waiting

    def result(self) -> StudyResult:
        """What the run has come to."""
        live, opening = self.link.live, self.link.opening
        assert opening is not None, "a run that was driven was opened"
        return StudyResult(
            study=self.study.name,
            plan_key=opening.plan_key,
            merge=opening.merge,
            best_trial=live.best(),
            trials=live.table,
            counts=self.link.counts,
            wall_s=time.monotonic() - self.link.began,
            user_errors=live.user_errors,
        )


@contextlib.contextmanager
def interrupts(first: Callable[[], None]) -> Iterator[None]:
    """While in it, Ctrl-C calls `first`; pressed again, it raises KeyboardInterrupt where the program stands.

    `first` runs at once, in the middle of whatever the main thread does: inline, that is the user's training step. The
    handler is Python's, not the loop's, which would hear of nothing before that step ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pressed(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        first()

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# -- arguments ------------------------------------------------------------------------------------------------


def check_not_importing(call: str) -> None:
    """Refuse to start anything while a trainer imports the file.

    Raises:
        StudyError: one does.
    """
    if importing_for_trainer():
        raise StudyError(
            f"{call} was reached while a trainer imports the file that holds it; put it under "
            "`if __name__ == '__main__':`, so that importing the file starts nothing"
        )


def serve(link: Link, tuner: Tuner) -> None:
    """A run begins to serve a tuner.

    Raises:
        StudyError: it is none, or its space has other hyper-parameters than the study.
    """
    check_tuner(tuner)
    space = getattr(tuner, "space", None)
    if space is not None:
        link.open(space.names)
    link.live.serve(space, getattr(tuner, "steps", None))


def plan_key(source: TrainerSource, code: str, merge: bool) -> str:
    """What studies must have in common to share a search plan. No path is in it."""
    parts = [source.module, source.qualname, code, source.dataset, list(source.names), source.fixed, source.seed]
    canonical = json.dumps(parts if merge else [*parts, "unmerged"], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def text(value: object, what: str) -> str:
    """A non-empty string."""
    if not isinstance(value, str) or not value:
        raise StudyError(f"Study: {what} is {value!r}; it must be a non-empty string")
    return value


def plain(fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they travel: paths become strings, tuples lists.

    Raises:
        StudyError: something in them is no plain value.
    """
    try:
        settings = json.loads(json.dumps(dict(fixed), default=os.fspath, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise StudyError(
            f"Study: fixed holds something that is no plain value (text, number, list, dict, path): {error}"
        ) from None
    return cast("dict[str, Any]", settings)


def check_tuner(tuner: object) -> None:
    """The rules of a tuner, which may be a class of the user's own.

    Raises:
        StudyError: it lacks something of `hive.tuners.Tuner`.
    """
    steps = getattr(tuner, "steps", None)
    rules = [
        (not isinstance(tuner, type), "be made: call the class"),
        (
            isinstance(getattr(tuner, "space", None), Space | None),
            "have a hive.GridSpace or hive.RandomSpace for its `space`, or none",
        ),
        (
            steps is None or (isinstance(steps, int) and not isinstance(steps, bool) and steps >= 1),
            "have a whole number from 1 for its `steps`, the last step that a trial can reach, or none",
        ),
        (inspect.iscoroutinefunction(getattr(tuner, "tune", None)), "have `async def tune(self, study)`"),
    ]
    for holds, rule in rules:
        if not holds:
            raise StudyError(f"study.run(tuner): tuner is {tuner!r}; it must {rule}")


def check(study: Study) -> None:
    """The rules of a study's arguments."""

    def whole(value: object, least: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    rules = [
        (
            isinstance(study.trainer, type) and issubclass(study.trainer, Trainer),
            "trainer",
            "a subclass of hive.Trainer",
        ),
        (study.mode in ("min", "max"), "mode", '"min" or "max"'),
        (len(study.name) <= NAME_LENGTH_MAX, "name", f"at most {NAME_LENGTH_MAX} characters"),
        (isinstance(study.dataset, str), "dataset", "a string"),
        (whole(study.seed, 0) and study.seed < 2**63, "seed", "a whole number from 0"),
        (study.eval_every is None or whole(study.eval_every, 1), "eval_every", "a whole number from 1, or None"),
        (whole(study.threads, 1), "threads", "a whole number from 1"),
        (
            isinstance(study.checkpoint_every_s, int | float) and study.checkpoint_every_s > 0,
            "checkpoint_every_s",
            "above 0",
        ),
        (
            isinstance(study.weight, int | float) and WEIGHT_MIN <= study.weight <= WEIGHT_MAX,
            "weight",
            f"a number from {WEIGHT_MIN:g} to {WEIGHT_MAX:g}",
        ),
    ]
    for holds, name, rule in rules:
        if not holds:
            raise StudyError(f"Study({study.name!r}): {name} is {getattr(study, name)!r}; it must be {rule}")
    missing = sorted(getattr(study.trainer, "__abstractmethods__", ()))
    if missing:
        raise StudyError(f"Study({study.name!r}): {study.trainer.__name__} does not define {', '.join(missing)}")
