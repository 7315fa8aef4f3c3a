"""A forecast as a picture: what each device does when. It must not know how that was found out."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hive.errors import StudyError
from hive.simulation.forecast import Expected, Forecast
from hive.simulation.jobs import Bar

__all__ = ["draw"]

COLORS = {"train": "#4477aa", "save": "#ee6677", "load": "#ccbb44", "evaluate": "#228833"}

HOUR_S = 3600.0


def draw(found: Forecast, out: Path) -> None:
    """Write both ways, one above the other, on one scale of time.

    Raises:
        StudyError: nothing can be written there, or not in that format.
    """
    figure = Figure(figsize=(12, 2 + 0.3 * min(found.devices, 40)), layout="constrained")
    ways = figure.subplots(2, 1, sharex=True)
    for axes, (title, expected) in zip(
        ways, (("each trial apart", found.trial), ("shared beginnings trained once", found.stage)), strict=True
    ):
        bars(axes, expected)
        axes.set_title(f"{found.search}, {title}: {expected.hours:.2f} h, {expected.device_hours:.2f} device-hours")
    ways[-1].set_xlabel("hours")
    try:
        figure.savefig(out)
    except (OSError, ValueError) as error:
        raise StudyError(f"cannot draw to {out} (--plot): {error}") from error


def bars(axes: Axes, expected: Expected) -> None:
    """A row for each device."""
    devices = sorted({device(bar) for bar in expected.bars})
    for what, color in COLORS.items():
        for row, each in enumerate(devices):
            spans = [
                (bar.begin / HOUR_S, (bar.end - bar.begin) / HOUR_S)
                for bar in expected.bars
                if device(bar) == each and bar.what == what and bar.end > bar.begin
            ]
            axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=color, label=what if row == 0 else None)
    axes.set_ylabel("devices")
    axes.set_ylim(max(len(devices), 1) - 0.5, -0.5)
    axes.legend(loc="lower right", fontsize="small")


def device(bar: Bar) -> int:
    """Which device did it: trainers are called node/device/number."""
    return int(bar.trainer.split("/")[1])
