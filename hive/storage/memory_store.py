"""A store in memory: the twin of the LMDB store for runs in one process, for the simulator, and for tests.

It outlives the actor that uses it, not the process. This module must not know what its bytes mean.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TypeVar

from hive.errors import StoreError
from hive.storage.records import Key, Record, decode
from hive.storage.store import Write, encode_key, encode_writes

__all__ = ["MemoryStore"]

R = TypeVar("R", bound=Record)


class MemoryStore:
    """Records in a dictionary of bytes; see `Store` for what the methods promise."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.order: list[bytes] | None = []  # the sorted keys; None: to be made by the next scan
        self.closed = False

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all writes, or none if one of them cannot be stored."""
        self.check_open()
        for key, data in encode_writes(writes):
            if (data is None) == (key in self.entries):
                self.order = None
            if data is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = data

    def get(self, kind: type[R], key: Key) -> R | None:
        """The record at `key`, or None."""
        self.check_open()
        data = self.entries.get(encode_key(kind.table, key))
        return None if data is None else decode(kind, data)

    def scan(self, kind: type[R], prefix: Key = ()) -> Iterator[R]:
        """The records under `prefix` in key order, as of this call."""
        self.check_open()
        start = encode_key(kind.table, prefix)
        if self.order is None:
            self.order = sorted(self.entries)
        first = bisect_left(self.order, start)
        keys = takewhile(lambda key: key.startswith(start), self.order[first:])
        found = [self.entries[key] for key in keys]
        return (decode(kind, data) for data in found)

    def close(self) -> None:
        """Refuse all further use."""
        self.closed = True

    def check_open(self) -> None:
        """Refuse to work when closed."""
        if self.closed:
            raise StoreError("the store in memory is closed: construct a new one")
