"""What a store promises, and the bytes its keys and records become.

The problem: the coordinator is constructed from its store after a crash, so what a store gives back must be exactly
what was committed, in an order that does not depend on which store it is. Both stores therefore hold bytes only, made
here: a record that one of them could not give back is refused by the other too, and tests on the memory twin mean
something.

This module must not know where bytes are kept, or which kinds of record there are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec

from hive.errors import StoreError
from hive.storage.records import Key, Record, decode, encode

__all__ = ["KEY_BYTES_MAX", "Delete", "Put", "Store", "Write", "encode_key", "encode_writes"]

KEY_BYTES_MAX = 511
"""Longest encoded key, table name included: the limit of LMDB's usual build, kept by every store."""

KEY_INTEGER_MAX = 2**63 - 1

INTEGER_TAG = b"\x01"
STRING_TAG = b"\x02"
STRING_END = b"\x00"

STRINGS_KEPT = 4096
"""Strings whose bytes are kept: names of tables, plans and runs, which are in every key."""

R = TypeVar("R", bound=Record)


class Put(msgspec.Struct, frozen=True):
    """Write `record` at its key, in place of what stands there."""

    record: Record


class Delete(msgspec.Struct, frozen=True):
    """Remove the record at `key` of `table`; nothing happens if there is none."""

    table: str
    key: Key


Write = Put | Delete


class Store(Protocol):
    """Typed records by table and key, on which commits act whole.

    One thread uses a store. Every method raises StoreError on a store that is closed.
    """

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all writes in order, in one transaction that is durable when this returns; no writes, no transaction.

        Raises:
            StoreError: nothing was written; or, where the message says "in doubt", all or nothing was: then the store
                is closed, and opening it again tells.
        """

    def get(self, kind: type[R], key: Key) -> R | None:
        """The record at `key` of the kind's table; None if there is none.

        Raises:
            StoreError: what stands there is no record of this kind.
        """

    def scan(self, kind: type[R], prefix: Key = ()) -> Iterator[R]:
        """The records whose keys begin with `prefix`, as of this call: later commits change nothing in it.

        Element by element integers go before strings, integers by size, strings by their UTF-8 bytes; a key goes before
        those that continue it.

        Raises:
            StoreError: also while iterating, at something that is no record of this kind.
        """

    def close(self) -> None:
        """Give up the store. A second call does nothing."""


def encode_key(table: str, key: Key) -> bytes:
    """The bytes of a key: they compare as keys do, and begin with another key's bytes only if the key begins with it.

    An integer is a tag and 8 bytes, big end first. A string is a tag, its UTF-8 with bytes 0 and 1 written as 1 1 and
    1 2, and a closing 0, which is below all that a longer string could have there.

    Raises:
        StoreError: an element is neither a string nor an integer in [0, 2**63), or the key is longer than
            KEY_BYTES_MAX.
    """
    data = encode_string(table)
    for element in key:
        # type() and not isinstance(): True would be stored as 1, and two keys would be one.
        if type(element) is int and 0 <= element <= KEY_INTEGER_MAX:
            data += INTEGER_TAG + element.to_bytes(8, "big")
        elif isinstance(element, str):
            try:
                data += encode_string(element)
            except UnicodeEncodeError as error:
                raise StoreError(
                    f"table {table!r}: key {shorten(key)} holds text that is not Unicode: {error}"
                ) from error
        else:
            raise StoreError(f"table {table!r}: key {shorten(key)} may hold strings and integers in [0, 2**63) only")
    if len(data) > KEY_BYTES_MAX:
        raise StoreError(
            f"table {table!r}: key {shorten(key)} has {len(data)} bytes; at most {KEY_BYTES_MAX} can be stored"
        )
    return data


@functools.lru_cache(maxsize=STRINGS_KEPT)
def encode_string(text: str) -> bytes:
    """A string as an element of a key."""
    return STRING_TAG + text.encode().replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01") + STRING_END


def encode_writes(writes: Sequence[Write]) -> list[tuple[bytes, bytes | None]]:
    """The key and the bytes of what must be written; None for the bytes of a delete.

    Of several writes to one key only the last is left: many turns are committed together, and a run's record changes in
    most of them.

    Raises:
        StoreError: a key cannot be encoded, or a record would not come back from its own bytes.
    """
    last: dict[bytes, Write] = {}
    for write in writes:
        last[encode_key_of(write)] = write
    return [(key, encode_put(write.record) if isinstance(write, Put) else None) for key, write in last.items()]


def encode_key_of(write: Write) -> bytes:
    """The bytes of the key that is written to."""
    if not isinstance(write, Put):
        return encode_key(write.table, write.key)
    kind = type(write.record)
    if not kind.table:
        raise StoreError(f"{kind.__name__} names no table: set `table` on the class")
    return encode_key(kind.table, write.record.key())


def encode_put(record: Record) -> bytes:
    """The bytes of a record.

    They are read back here, for 1 us: constructing a record checks no types, and a record that is only found unreadable
    after a restart would make the whole store useless.
    """
    kind = type(record)
    try:
        data = encode(record)
        decode(kind, data)
    except (StoreError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StoreError(f"table {kind.table!r}: {kind.__name__} cannot be stored: {error}") from error
    return data


def shorten(key: Key) -> str:
    """A key for a message."""
    text = ascii(key)
    return text if len(text) <= 80 else text[:77] + "..."
