"""What user code prints, with what it was printed for: "node 5 trial 3 step 42".

`sys.stdout` and `sys.stderr` of a trainer are replaced before the user's file is imported. Each line is written in one
piece when it ends. It must not know who reads the lines, or what a batch is."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Callable

__all__ = ["CONTEXT_END", "Prints", "tell_prints"]

CONTEXT_END = "\x1f"
"""Between what a line was printed for and the line itself: the ASCII unit separator, which nobody prints."""


class Prints(io.TextIOWrapper):
    """A text stream whose lines begin with a context.

    Args:
        descriptor: of standard output or error.
        context: what the program is at; "" for nothing in particular.
    """

    def __init__(self, descriptor: int, context: Callable[[], str]) -> None:
        raw = open(descriptor, "wb", closefd=False)  # noqa: SIM115  (it lives as long as the process)
        super().__init__(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self.context = context
        self.begun = False
        self.line = threading.RLock()

    def write(self, text: str) -> int:
        """Write text; where a line begins, its context comes first."""
        with self.line:
            told = self.context()
            prefix = told + CONTEXT_END if told else ""
            for piece in re.findall(r"[^\n]*\n|[^\n]+", text):
                super().write(piece if self.begun else prefix + piece)
                self.begun = not piece.endswith("\n")
        return len(text)


def tell_prints(context: Callable[[], str]) -> None:
    """From now on, what Python code prints says what it was printed for."""
    sys.stdout, sys.stderr = Prints(1, context), Prints(2, context)
