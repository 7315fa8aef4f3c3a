"""What a person sees of a run: a live table in a terminal, plain lines elsewhere, and at the end what it came to.

Progress goes to standard error, the end's table to standard output, so that a script's own prints stay readable. It
must not know how a run works; it is shown counts and trials."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hive.actors.messages import RunState
from hive.client import LiveStudy, Trial
from hive.storage.records import RunCounts

if TYPE_CHECKING:
    from hive.study import StudyResult

__all__ = ["Display"]

LINE_EVERY_S = 5.0
"""Without a terminal: often enough to see that it lives, seldom enough for a log."""


class Display:
    """Shows one run. `with display:` while it lasts, then `finish`."""

    def __init__(self, study: str, metric: str, live: LiveStudy) -> None:
        self.study = study
        self.metric = metric
        self.live = live
        self.console = Console(stderr=True, highlight=False)
        self.screen: Live | None = None
        self.counts = RunCounts()
        self.busy = self.trainers = 0
        self.began = self.shown_at = time.monotonic()
        self.first_counts: RunCounts | None = None

    def __enter__(self) -> Display:
        """Begin to show."""
        if self.console.is_terminal:
            self.screen = Live(self.table(), console=self.console, refresh_per_second=4, transient=True)
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
        """One line that stays."""
        self.console.print(Text(f"hive: {text}"))

    def state(self, state: RunState) -> None:
        """The counts are these now."""
        self.counts, self.busy, self.trainers = state.counts, state.busy, state.trainers
        self.update()

    def update(self) -> None:
        """Show what changed."""
        now = time.monotonic()
        if self.screen is not None:
            self.screen.update(self.table())
        elif now - self.shown_at >= LINE_EVERY_S:
            self.shown_at = now
            print("hive: " + "; ".join(f"{name} {value}" for name, value in self.rows()), file=sys.stderr, flush=True)

    def rows(self) -> list[tuple[str, str]]:
        """What is shown while the run lasts."""
        counts = self.counts
        answered = sum(trial.steps > 0 or trial.error is not None for trial in self.live.trials)
        failed = sum(trial.status == "failed" for trial in self.live.trials)
        best = self.live.best()
        rows = [
            ("trials", f"{answered} of {len(self.live.trials)} answered" + (f", {failed} failed" if failed else "")),
            ("steps", f"{counts.steps_asked} asked, {counts.steps_distinct} distinct, {counts.steps_run} run"),
            ("trainers", f"{self.busy} of {self.trainers} busy"),
            ("best", describe(best, self.metric)),
            ("left", time_left(counts, time.monotonic() - self.began)),
        ]
        return [(name, value) for name, value in rows if value]

    def table(self) -> Table:
        table = Table(title=f"hive: {self.study}", show_header=False, title_justify="left")
        for name, value in self.rows():
            table.add_row(name, value)
        return table

    def finish(self, result: StudyResult) -> None:
        """What the run came to, and what sharing saved."""
        counts, out = result.counts, Console(highlight=False)
        saved = counts.steps_asked - counts.steps_run
        share = f"{saved / counts.steps_asked:.0%}" if counts.steps_asked else "0%"
        table = Table(title=f"hive: {result.study}", show_header=False, title_justify="left")
        states = {s: sum(t.status == s for t in result.trials) for s in ("complete", "stopped", "failed")}
        table.add_row("trials", f"{len(result.trials)}: " + ", ".join(f"{n} {s}" for s, n in states.items() if n))
        table.add_row("steps asked for", f"{counts.steps_asked}")
        table.add_row("distinct steps", f"{counts.steps_distinct} (merge rate {result.merge_rate:.2f})")
        table.add_row("already trained", f"{counts.steps_reused}")
        table.add_row("steps run", f"{counts.steps_run} ({saved} saved, {share})")
        again = {"late branch": counts.late_branch, "failure": counts.failure, "eviction": counts.evicted}
        if any(again.values()):
            table.add_row("run again", ", ".join(f"{n} after {why}" for why, n in again.items() if n))
        table.add_row("time", f"{result.wall_s:.1f} s, trainers busy {counts.trainer_busy_s:.1f} s")
        table.add_row("best", describe(result.best_trial, self.metric))
        out.print(table)
        for trial in [t for t in result.trials if t.status == "failed"][:3]:
            self.say(f"trial {trial.number} failed: {trial.error}")


def describe(trial: Trial | None, metric: str) -> str:
    """The best trial in a line."""
    if trial is None or trial.metrics is None:
        return ""
    config = ", ".join(f"{name}={sequence!r}" for name, sequence in trial.config.items())
    return f"trial {trial.number}: {metric} {trial.metrics[metric]:.4g} at step {trial.steps} ({config})"


def time_left(counts: RunCounts, passed_s: float) -> str:
    """How long what is asked now will take at the rate so far; "" while that is unknown."""
    ahead = counts.steps_distinct - counts.steps_reused + counts.late_branch + counts.failure + counts.evicted
    left = ahead - counts.steps_run
    if counts.steps_run <= 0 or left <= 0:
        return ""
    return f"about {left * passed_s / counts.steps_run:.0f} s for what is asked now"
