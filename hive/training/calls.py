"""Calling the user's code: what it raised becomes text that shows the user's own frames, what it returned is checked.

It must not know when which method is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hive.errors import TrainingError
from hive.training.reports import Metrics, Where
from hive.training.tracebacks import user_traceback

__all__ = ["Broken", "call", "checked_metrics"]

R = TypeVar("R")


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
        if isinstance(error, SystemExit):
            text += f"\nthe trainer called sys.exit({'' if error.code is None else repr(error.code)})"
    raise Broken(where, text)


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
                return float(value.detach() if hasattr(value, "detach") else value)
        except (AttributeError, TypeError, ValueError, OverflowError):
            pass
    raise Broken(where, f"{where}() returned {name!r}: a {type(value).__qualname__}; metrics are name -> number")
