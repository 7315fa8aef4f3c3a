"""What a person sees of a run: a live table in a terminal, plain lines elsewhere, and at the end what it came to.

Progress goes to standard error, the end's table to standard output, so that a script's own prints stay readable. It
must not know how a run works; it is shown counts and trials. rich is loaded where there is a terminal only: it takes a
tenth of a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from hive.actors.messages import RunState
from hive.client import LiveStudy, Trial
from hive.storage.records import RunCounts

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from hive.result import StudyResult

__all__ = ["Display", "say"]

LINE_EVERY_S = 5.0
"""Without a terminal: often enough to see that it lives, seldom enough for a log."""

ERRORS_SHOWN_MAX = 5
"""Different errors that are told at the end; the summary (`--json`) has all."""

Row = tuple[str, str]


class Display:
    """Shows one run. `with display:` while it lasts, then `finish`."""

    def __init__(self, study: str, metric: str, live: LiveStudy) -> None:
        self.study = study
        self.metric = metric
        self.live = live
        self.screen: Live | None = None
        self.counts = RunCounts()
        self.busy = self.trainers = 0
        self.paused_by = ""
        self.shown_at = time.monotonic()
        self.first_step: tuple[float, int] | None = None

    def __enter__(self) -> Display:
        """Begin to show."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False)
            self.screen = Live(self.table(), console=console, refresh_per_second=4, transient=True)
            self.screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the live table."""
        if self.screen is not None:
            self.screen.stop()
            self.screen = None

    def say(self, text: str) -> None:
        """Something that stays to be read."""
        if self.screen is not None:
            self.screen.console.print(f"hive: {text}", markup=False, soft_wrap=True)
        else:
            say(text)

    def state(self, state: RunState) -> None:
        """The counts are these now."""
        self.counts, self.busy, self.trainers = state.counts, state.busy, state.trainers
        if state.paused_by != self.paused_by:
            self.paused_by = state.paused_by
            self.say(f"paused by {self.paused_by}" if self.paused_by else "resumed")
        if self.first_step is None and (self.busy or self.counts.steps_run):
            self.first_step = time.monotonic(), self.counts.steps_run
        self.update()

    def update(self) -> None:
        """Show what changed."""
        now = time.monotonic()
        if self.screen is not None:
            self.screen.update(self.table())
        elif now - self.shown_at >= LINE_EVERY_S:
            self.shown_at = now
            self.say("; ".join(f"{name} {value}" for name, value in self.rows()))

    def rows(self) -> list[Row]:
        """What is shown while the run lasts."""
        counts = self.counts
        trials = self.live.table
        answered = sum(trial.steps > 0 or trial.error is not None for trial in trials)
        failed = sum(trial.status == "failed" for trial in trials)
        rows = [
            ("trials", f"{answered} of {len(trials)} answered" + (f", {failed} failed" if failed else "")),
            ("steps", f"{counts.steps_asked} asked, {counts.steps_distinct} distinct, {counts.steps_run} run"),
            ("trainers", f"{self.busy} of {self.trainers} busy"),
            ("best", describe(self.live.best(), self.metric)),
            ("left", self.time_left()),
        ]
        return [(name, value) for name, value in rows if value]

    def time_left(self) -> str:
        """How long what is asked now will take at the rate since the first step; "" while that is unknown."""
        counts = self.counts
        ahead = counts.steps_distinct - counts.steps_reused + counts.late_branch + counts.failure + counts.evicted
        left = ahead - counts.steps_run
        if self.first_step is None or left <= 0:
            return ""
        since, steps = self.first_step
        if counts.steps_run <= steps:
            return ""
        left_s = left * (time.monotonic() - since) / (counts.steps_run - steps)
        return f"about {left_s:.0f} s for what is asked now"

    def table(self) -> Table:
        """The live table, as it stands."""
        return table(f"hive: {self.study}", self.rows())

    def finish(self, result: StudyResult) -> None:
        """What the run came to, and what sharing saved; then why trials failed, each reason once."""
        title, rows = f"hive: {result.study}", summary(result, self.metric)
        if sys.stdout.isatty():
            from rich.console import Console

            Console(highlight=False).print(table(title, rows))
        else:
            print("\n".join([title, *(f"  {name}: {value}" for name, value in rows)]), flush=True)
        self.tell_errors([trial for trial in result.trials if trial.status == "failed"])

    def tell_errors(self, failed: list[Trial]) -> None:
        """Each reason once, with the trials it befell."""
        by_error: dict[str, list[Trial]] = {}
        for trial in failed:
            by_error.setdefault(trial.error or "no reason is known", []).append(trial)
        for error, trials in list(by_error.items())[:ERRORS_SHOWN_MAX]:
            first = trials[0]
            others = f" and {len(trials) - 1} more" if len(trials) > 1 else ""
            self.say(f"trial {first.number}{others} failed {failed_where(first)} ({configured(first)}): {error}")
        if len(by_error) > ERRORS_SHOWN_MAX:
            self.say(f"{len(by_error) - ERRORS_SHOWN_MAX} more reasons are in the summary (--json)")


def say(text: str) -> None:
    """A line for whoever started this, where there is no live table."""
    print(f"hive: {text}", file=sys.stderr, flush=True)


def summary(result: StudyResult, metric: str) -> list[Row]:
    """What a run came to."""
    counts = result.counts
    repeated = counts.late_branch + counts.failure + counts.evicted
    saved = counts.steps_asked - counts.steps_distinct + counts.steps_reused - repeated
    states = {s: sum(t.status == s for t in result.trials) for s in ("complete", "stopped", "failed")}
    again = {"late branch": counts.late_branch, "failure": counts.failure, "eviction": counts.evicted}
    rows = [
        ("trials", f"{len(result.trials)}: " + ", ".join(f"{n} {s}" for s, n in states.items() if n)),
        ("steps asked for", f"{counts.steps_asked}"),
        ("distinct steps", f"{counts.steps_distinct} (merge rate {result.merge_rate:.2f})"),
        ("already trained", f"{counts.steps_reused}"),
        ("steps run", f"{counts.steps_run} ({saved} saved, {saved / max(1, counts.steps_asked):.0%})"),
        ("run again", ", ".join(f"{n} after {why}" for why, n in again.items() if n)),
        ("time", f"{result.wall_s:.1f} s, trainers busy {counts.trainer_busy_s:.1f} s"),
        ("best", describe(result.best_trial, metric)),
    ]
    return [(name, value) for name, value in rows if value]


def table(title: str, rows: Iterable[Row]) -> Table:
    """Rows of a name and a value, for a terminal."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, show_header=False, title_justify="left")
    for name, value in rows:
        shown.add_row(Text(name), Text(value))
    return shown


def describe(trial: Trial | None, metric: str) -> str:
    """The best trial in a line."""
    if trial is None or trial.metrics is None:
        return ""
    return f"trial {trial.number}: {metric} {trial.metrics[metric]:.4g} at step {trial.steps} ({configured(trial)})"


def failed_where(trial: Trial) -> str:
    """Between which steps a trial failed: it answered at the first, and was asked for the second."""
    return f"at step {trial.steps}" if trial.steps >= trial.asked else f"between steps {trial.steps} and {trial.asked}"


def configured(trial: Trial) -> str:
    """A trial's hyper-parameters."""
    return ", ".join(f"{name}={sequence!r}" for name, sequence in trial.config.items())
