"""What a store promises, and the bytes its keys and records become.

The problem: the coordinator is constructed from its store after a crash, so what a store gives back must be exactly
what was committed, in an order that does not depend on which store it is. Both stores therefore hold bytes only, made
here: a record that one of them could not give back is refused by the other too, and tests on the memory twin mean
something.

This module must not know where bytes are kept, or which kinds of record there are.
"""

from __future__ import annotations

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
    data = b"".join(encode_element(table, key, element) for element in (table, *key))
    if len(data) > KEY_BYTES_MAX:
        raise StoreError(
            f"table {table!r}: key {shorten(key)} has {len(data)} bytes; at most {KEY_BYTES_MAX} can be stored"
        )
    return data


def encode_element(table: str, key: Key, element: str | int) -> bytes:
    """One element of a key, which with its table is there for the message."""
    if isinstance(element, str):
        try:
            text = element.encode()
        except UnicodeEncodeError as error:
            raise StoreError(f"table {table!r}: key {shorten(key)} holds text that is not Unicode: {error}") from error
        return STRING_TAG + text.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01") + STRING_END
    # type() and not isinstance(): True would be stored as 1, and two keys would be one.
    if type(element) is not int or not 0 <= element <= KEY_INTEGER_MAX:
        raise StoreError(f"table {table!r}: key {shorten(key)} may hold strings and integers in [0, 2**63) only")
    return INTEGER_TAG + element.to_bytes(8, "big")


def encode_writes(writes: Sequence[Write]) -> list[tuple[bytes, bytes | None]]:
    """The key and the bytes of each write, in order; None for the bytes of a delete.

    Raises:
        StoreError: a key cannot be encoded, or a record would not come back from its own bytes.
    """
    return [
        encode_put(write.record) if isinstance(write, Put) else (encode_key(write.table, write.key), None)
        for write in writes
    ]


def encode_put(record: Record) -> tuple[bytes, bytes]:
    """Key and bytes of a record.

    The bytes are read back here, for 1 us: constructing a record checks no types, and a record that is only found
    unreadable after a restart would make the whole store useless.
    """
    kind = type(record)
    if not kind.table:
        raise StoreError(f"{kind.__name__} names no table: set `table` on the class")
    try:
        data = encode(record)
        decode(kind, data)
    except (StoreError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StoreError(f"table {kind.table!r}: {kind.__name__} cannot be stored: {error}") from error
    return encode_key(kind.table, record.key()), data


def shorten(key: Key) -> str:
    """A key for a message."""
    text = ascii(key)
    return text if len(text) <= 80 else text[:77] + "..."
