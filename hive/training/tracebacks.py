"""A user's error as text: the traceback with the frames that mean something to them.

It must not know what was called, or who will read it.
"""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

__all__ = ["user_traceback"]

OWN_FOLDER = str(Path(__file__).resolve().parents[1])
LIBRARY_FOLDERS = (str(Path(importlib.__file__).parent), str(Path(importlib.__file__).parents[1] / "asyncio"))


def user_traceback(error: BaseException) -> str:
    """The traceback of an error as text, without hive's frames, the import system's and the event loop's."""
    shown = traceback.TracebackException.from_exception(error, compact=True)
    drop_frames(shown)
    return "".join(shown.format()).rstrip("\n")


def drop_frames(shown: traceback.TracebackException) -> None:
    """Take such frames out of an error, its causes, and its parts."""
    waiting: list[traceback.TracebackException | None] = [shown]
    while waiting:
        each = waiting.pop()
        if each is None:
            continue
        frames = [frame for frame in each.stack or () if is_user_frame(frame.filename)]
        # No frame left: None keeps the header "Traceback ..." away too.
        each.stack = traceback.StackSummary.from_list(frames) if frames else None  # type: ignore[assignment]
        waiting += [each.__cause__, each.__context__, *(each.exceptions or ())]


def is_user_frame(filename: str) -> bool:
    """Whether a frame of this file means something to the user."""
    return not filename.startswith(("<frozen importlib", OWN_FOLDER, *LIBRARY_FOLDERS))
