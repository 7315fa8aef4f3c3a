"""Memory: the states that a trainer can go back to without a file.

A boundary's copy is made for its file in any case; here it is kept for a while longer, as long as there is room. It
goes by the name of that file, so that a start from memory is a start from what the file holds, whoever else may have
reached the same place.

It must not know how a state is put into a trainer, or what a batch is. Any thread may use it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hive.storage.checkpoints import Snapshot
    from hive.training.reports import Place

__all__ = ["SNAPSHOTS_MAX", "SNAPSHOT_BYTES_MAX", "Kept", "Memory"]

SNAPSHOT_BYTES_MAX = 1 << 30
"""Default of `snapshot_bytes_max`, in bytes of host memory for each trainer: 150 states of a ResNet-56, or one of 90
million parameters with momentum; eight trainers of one machine take 8 GiB at most."""

SNAPSHOTS_MAX = 256
"""Snapshots that are kept at most, however small: each beat of a trainer names them all."""

BESIDES_BYTES = 32 << 10
"""What a snapshot takes besides its state: the states of three global generators, as Python's objects."""


@dataclass(slots=True)
class Kept:
    """A state in memory.

    Attributes:
        place: where it stands.
        snapshot: the state.
        extras: what a checkpoint carries besides.
    """

    place: Place
    snapshot: Snapshot
    extras: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Bytes of memory that it takes."""
        return self.snapshot.bytes + BESIDES_BYTES


class Memory:
    """Keeps the snapshots that were used last, within a number of bytes.

    Args:
        bytes_max: bytes of host memory they may take together; 0 for none.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self.kept: OrderedDict[str, Kept] = OrderedDict()
        self.lock = threading.Lock()

    def keep(self, name: str, kept: Kept) -> None:
        """Keep a snapshot that is in flight, under its file's name; others make room. One too large is not kept."""
        with self.lock:
            self.remove(name)
            if kept.bytes > self.bytes_max:
                return
            kept.snapshot.keep()
            self.kept[name] = kept
            self.bytes += kept.bytes
            while self.bytes > self.bytes_max or len(self.kept) > SNAPSHOTS_MAX:
                self.remove(next(iter(self.kept)))

    def find(self, name: str | None) -> Kept | None:
        """What a file's name stands for, which counts as a use; None if it is not in memory."""
        with self.lock:
            if name is None or name not in self.kept:
                return None
            self.kept.move_to_end(name)
            return self.kept[name]

    def forget(self, name: str | None) -> None:
        """A file was not written: its snapshot must never be used."""
        with self.lock:
            self.remove(name)

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            for name in list(self.kept):
                self.remove(name)

    def places(self) -> tuple[Place, ...]:
        """The places of all states whose files are written, the last used first."""
        with self.lock:
            return tuple(kept.place for kept in reversed(self.kept.values()) if not kept.snapshot.in_flight)

    def remove(self, name: str | None) -> None:
        """Let go of a snapshot, with the lock held."""
        kept = None if name is None else self.kept.pop(name, None)
        if kept is not None:
            self.bytes -= kept.bytes
            kept.snapshot.forget()
