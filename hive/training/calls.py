"""Calling the user's code: what it raised becomes text that shows the user's own frames, what it returned is checked.

It must not know when which method is called.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hive.errors import TrainingError
from hive.training.reports import Metrics, Where

__all__ = ["Broken", "call", "checked_metrics", "user_traceback"]

R = TypeVar("R")

OWN_FOLDER = str(Path(__file__).resolve().parents[1])
"""hive's own source; its frames are left out of users' tracebacks."""


class Broken(TrainingError):  # noqa: N818  (it is a report on its way, not an error of ours)
    """A call of the user's code failed.

    Attributes:
        where: which call.
        text: the traceback, with the user's frames only; it holds no reference to the trainer.
    """

    def __init__(self, where: Where, text: str) -> None:
        super().__init__(text)
        self.where: Where = where
        self.text = text


def call(where: Where, function: Callable[..., R], *arguments: Any) -> R:
    """Call the user's code.

    Raises:
        Broken: it raised anything but KeyboardInterrupt, which goes through.
    """
    try:
        return function(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        text = user_traceback(error)
    raise Broken(where, text)


def user_traceback(error: BaseException) -> str:
    """The error's traceback without hive's own frames."""
    told = traceback.TracebackException.from_exception(error, compact=True)
    drop_own_frames(told)
    text = "".join(told.format()).rstrip("\n")
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(error.code)
        text += f"\nthe trainer called sys.exit({code})"
    return text


def drop_own_frames(told: traceback.TracebackException) -> None:
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        each = waiting.pop()
        if each is None:
            continue
        frames = [frame for frame in each.stack or () if not frame.filename.startswith(OWN_FOLDER)]
        # No frame left: None keeps the header "Traceback ..." away too.
        each.stack = traceback.StackSummary.from_list(frames) if frames else None  # type: ignore[assignment]
        waiting += [each.__cause__, each.__context__, *(each.exceptions or ())]


def checked_metrics(where: Where, returned: object, metric: str | None = None) -> Metrics:
    """What `train` or `evaluate` returned, as floats.

    Args:
        where: which of the two.
        returned: what it returned.
        metric: a name that must be there; None for none.

    Raises:
        Broken: it is no dict of name -> number, or lacks the metric.
    """
    if not isinstance(returned, Mapping):
        raise Broken(where, f"{where}() returned a {type(returned).__qualname__}, not a dict of name -> number")
    metrics = {name: number(where, name, value) for name, value in returned.items()}
    if metric is not None and metric not in metrics:
        found = ", ".join(map(repr, metrics)) or "nothing"
        raise Broken(where, f"{where}() must return the study's metric {metric!r}; it returned {found}")
    return metrics


def number(where: Where, name: object, value: Any) -> float:
    if isinstance(name, str):
        try:
            if isinstance(value, (bool, int, float)) or getattr(value, "size", None) == 1 or value.numel() == 1:
                return float(value)
        except (AttributeError, TypeError, ValueError, OverflowError):
            pass
    raise Broken(where, f"{where}() returned {name!r}: a {type(value).__qualname__}; metrics are name -> number")
