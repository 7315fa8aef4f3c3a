"""A forecast as a picture: what each device does when. It must not know how that was found out."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hive.errors import StudyError
from hive.simulation.forecast import Expected, Forecast
from hive.simulation.jobs import Bar

__all__ = ["draw"]

COLORS = {"train": "#4477aa", "save": "#ee6677", "load": "#ccbb44", "evaluate": "#228833"}

HOUR_S = 3600.0


def draw(found: Forecast, out: Path) -> None:
    """Write both ways, one above the other, on one scale of time.

    Raises:
        StudyError: it cannot be written.
    """
    figure = Figure(figsize=(12, 2 + 0.3 * min(found.devices, 40)), layout="constrained")
    ways = figure.subplots(2, 1, sharex=True)
    for axes, (title, expected) in zip(
        ways, (("each trial apart", found.trial), ("shared beginnings trained once", found.stage)), strict=True
    ):
        bars(axes, expected)
        axes.set_title(f"{found.search}, {title}: {expected.hours:.3g} h, {expected.device_hours:.3g} device-hours")
    ways[-1].set_xlabel("hours")
    figure.legend(handles=[Patch(color=COLORS[what], label=what) for what in COLORS], loc="outside right upper")
    try:
        figure.savefig(out)
    except OSError as error:
        raise StudyError(f"cannot draw to {out} (--plot): {error.strerror}") from error


def bars(axes: Axes, expected: Expected) -> None:
    """A row for each device that did anything."""
    spans: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for bar in expected.bars:
        spans.setdefault((bar.what, device(bar)), []).append((bar.begin / HOUR_S, (bar.end - bar.begin) / HOUR_S))
    devices = sorted({each for _, each in spans})
    for (what, each), hours in spans.items():
        axes.broken_barh(hours, (devices.index(each) - 0.4, 0.8), facecolors=COLORS[what])
    axes.set_ylabel("devices")
    axes.set_yticks([])
    axes.set_ylim(max(len(devices), 1) - 0.5, -0.5)


def device(bar: Bar) -> int:
    """Which device did it: trainers are called node/device/number."""
    return int(bar.trainer.split("/")[1])
