"""The driver of what trainers write: each line gets the time and the trainer's name, and goes to its slot's log.

A trainer's standard output and error are one pipe, read by a thread of its node manager, so that nothing is lost that
the process wrote before it died: not the prints of C code, and not its last words. A line that Python code prints says
itself what it was printed for (hive/training/prints.py). A log is bounded: at `bytes_max` it becomes FILE.1, in place
of the one before, and a new one begins. It must not know what trainers do."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from hive.training import prints

__all__ = ["Output", "SlotLog"]

CONTEXT_END = prints.CONTEXT_END.encode()

TAIL_BYTES = 4_000
"""Of a process's last words: a traceback and what led to it."""

READ_BYTES = 65_536

LINE_BYTES_MAX = 65_536
"""A line that goes on for longer is cut: somebody writes without ever ending one."""


class SlotLog:
    """The log of the trainers that one slot runs, one after the other.

    Args:
        path: the file.
        bytes_max: its size at most; with the one before, twice as much lies on the disk.
    """

    def __init__(self, path: Path, bytes_max: int) -> None:
        self.path = path
        self.bytes_max = bytes_max
        self.lock = threading.Lock()

    def write(self, lines: Sequence[bytes]) -> None:
        """Add lines. What cannot be written (a full disk) is dropped: no training waits for its prints."""
        with self.lock, contextlib.suppress(OSError):
            size, fitting = self.path.stat().st_size if self.path.exists() else 0, list[bytes]()
            for line in lines:
                if size and size + len(line) > self.bytes_max:
                    self.add(fitting)
                    self.path.replace(self.path.with_name(self.path.name + ".1"))
                    size, fitting = 0, []
                fitting.append(line)
                size += len(line)
            self.add(fitting)

    def add(self, lines: Sequence[bytes]) -> None:
        """Add lines to the file as it is."""
        with self.path.open("ab") as file:
            file.write(b"".join(lines))


class Output:
    """What one trainer writes.

    Args:
        trainer: its name.
        log: where its lines go.

    Attributes:
        write_end: the descriptor that the process gets; close it once it has.
    """

    def __init__(self, trainer: str, log: SlotLog) -> None:
        self.trainer = trainer.encode()
        self.log = log
        self.read_end, self.write_end = os.pipe()
        self.last_words = b""
        self.thread = threading.Thread(target=self.read, name=f"output of {trainer}", daemon=True)
        self.thread.start()

    def read(self) -> None:
        """Until nobody can write any more."""
        rest = b""
        with os.fdopen(self.read_end, "rb", buffering=0) as pipe:
            while data := pipe.read(READ_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > LINE_BYTES_MAX:
                    lines, rest = [*lines, rest], b""
                self.take(lines)
        self.take([rest] if rest else [])

    def take(self, lines: list[bytes]) -> None:
        """Write lines down."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S").encode() + b" " + self.trainer
        written = []
        for line in lines:
            context, told, text = line.rpartition(CONTEXT_END)
            written.append(stamp + (b" " + context if told else b"") + b" | " + text + b"\n")
        self.log.write(written)
        words = b"\n".join(line.rpartition(CONTEXT_END)[2] for line in lines[-TAIL_BYTES:])
        if lines:
            self.last_words = (self.last_words + words + b"\n")[-TAIL_BYTES:]

    def tail(self, within_s: float) -> str:
        """Its last words, once all was read; a process that it left behind may keep the pipe open for longer than
        `within_s`, and is not waited for."""
        self.thread.join(within_s)
        return self.last_words.decode(errors="replace")
