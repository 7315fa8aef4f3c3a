"""A state's skeleton: nested plain values as MessagePack, with a numbered place for each tensor and array.

Problem: a state must come back as it was (tuples, int keys, NumPy scalars, integers of 128 bits), it must be walked
in well under a millisecond while training waits, and it must have one canonical form that does not depend on the
order of a dict.

Idea: MessagePack's own packer walks the state, in C; what MessagePack has no type for goes through one hook, which
turns it into an extension type or, for tensors and arrays, into a number. Only when something cannot be stored is the
state walked again, slowly, to name the place. The canonical form is made from the packed bytes, later and in another
thread: dicts sorted by their packed keys, tensors as their type and shape. None, True, 1, 1.0, "1", b"1", [1] and
(1,) all pack differently.

This module must not know how tensors' bytes are stored, nor import torch or NumPy.
"""

from __future__ import annotations

import enum
import functools
import struct
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from hive.errors import CheckpointError

__all__ = ["Packer", "canonical", "is_leaf", "pack_plain", "place_of", "unpack"]


class Code(enum.IntEnum):
    """The extension types. Their numbers are part of the file's format: never reuse one."""

    LEAF = 1
    TUPLE = 2
    SET = 3
    FROZENSET = 4
    DEQUE = 5
    COMPLEX = 6
    INTEGER = 7
    SCALAR = 8
    COUNTER = 9


NESTED = (Code.TUPLE, Code.DEQUE, Code.COUNTER)
"""Extension types whose payload is a packed value that may hold leaves."""

NUMBER = struct.Struct("<I")
PAIR = struct.Struct("<dd")


def is_leaf(value: object) -> bool:
    """Whether the value is a torch tensor or a NumPy array; loads neither library."""
    kind: Any = type(value)
    return is_leaf_class(kind)


@functools.lru_cache(maxsize=1024)
def is_leaf_class(kind: type) -> bool:
    """Whether a class's instances are tensors or arrays. (A class of a library exists only once that is imported.)"""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    return (torch is not None and issubclass(kind, torch.Tensor)) or (
        numpy is not None and issubclass(kind, numpy.ndarray)
    )


class Packer:
    """Packs one state and gathers its tensors and arrays, each object once.

    Attributes:
        leaves: the tensors and arrays, in the order they were met; a leaf's number is its index.
    """

    def __init__(self) -> None:
        self.leaves: list[Any] = []
        self.numbers: dict[int, int] = {}

    def pack(self, state: object) -> bytes:
        """The state's skeleton.

        Raises:
            CheckpointError: something in it cannot be stored; the message names the place and the type.
        """
        try:
            return self.nested(state)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise CheckpointError(explain(state, error)) from None

    def nested(self, value: object) -> bytes:
        """Pack a part of the state."""
        packed: bytes = msgpack.packb(value, default=self.special, strict_types=True)
        return packed

    def special(self, value: object) -> Any:
        """MessagePack's hook: what to pack instead of a value it has no type for. (Hot: once for each leaf.)"""
        kind: Any = type(value)
        if not is_leaf_class(kind):
            return extension(value, self.nested)
        number = self.numbers.setdefault(id(value), len(self.leaves))
        if number == len(self.leaves):
            self.leaves.append(value)
        return mark(number)


@functools.lru_cache(maxsize=1 << 16)
def mark(number: int) -> Any:
    """What stands for a leaf. Kept, since making one costs as much as all else about a leaf."""
    return msgpack.ExtType(Code.LEAF, NUMBER.pack(number))


def pack_plain(value: object) -> bytes:
    """The packed form of a value without tensors and arrays.

    Raises:
        TypeError, ValueError: it holds something else.
    """
    packed: bytes = msgpack.packb(value, default=lambda inner: extension(inner, pack_plain), strict_types=True)
    return packed


def extension(value: Any, nested: Callable[[object], bytes]) -> Any:
    """The extension type, or the plain value, that stands for a value MessagePack has no type for."""
    kind = type(value)
    if kind is tuple or (kind.__name__ == "Size" and kind.__module__ == "torch"):
        return msgpack.ExtType(Code.TUPLE, nested(list(value)))
    if kind is OrderedDict:
        return dict(value)
    if kind is int:
        return msgpack.ExtType(Code.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    if kind is set or kind is frozenset:
        code = Code.SET if kind is set else Code.FROZENSET
        return msgpack.ExtType(code, msgpack.packb(sorted(pack_plain(element) for element in value)))
    if kind is deque:
        return msgpack.ExtType(Code.DEQUE, nested([value.maxlen, list(value)]))
    if kind is Counter:
        return msgpack.ExtType(Code.COUNTER, nested(dict(value)))
    if kind is complex:
        return msgpack.ExtType(Code.COMPLEX, PAIR.pack(value.real, value.imag))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in "biufcSUMm":
        little = value.dtype.newbyteorder("<")
        return msgpack.ExtType(Code.SCALAR, msgpack.packb([little.str, numpy.asarray(value, little).tobytes()]))
    raise TypeError(f"cannot store {kind.__qualname__}")


def unpack(data: bytes, leaf: Callable[[int], Any]) -> Any:
    """The state whose skeleton `data` is; `leaf(number)` gives its tensors and arrays.

    Raises:
        ValueError, TypeError, KeyError, IndexError, struct.error: `data` is not a skeleton.
    """

    def value_of(code: int, payload: bytes) -> Any:
        if code == Code.LEAF:
            return leaf(NUMBER.unpack(payload)[0])
        if code in NESTED:
            return rebuild(code, loads(payload, value_of))
        return plain_value(code, payload, value_of)

    return loads(data, value_of)


def loads(data: bytes, ext_hook: Callable[[int, bytes], Any], **options: Any) -> Any:
    return msgpack.unpackb(data, ext_hook=ext_hook, strict_map_key=False, **options)


def rebuild(code: int, inner: Any) -> Any:
    if code == Code.TUPLE:
        return tuple(inner)
    if code == Code.COUNTER:
        return Counter(inner)
    return deque(inner[1], inner[0])


def plain_value(code: int, payload: bytes, value_of: Callable[[int, bytes], Any]) -> Any:
    if code == Code.INTEGER:
        return int.from_bytes(payload, "little", signed=True)
    if code == Code.COMPLEX:
        return complex(*PAIR.unpack(payload))
    if code in (Code.SET, Code.FROZENSET):
        elements = [loads(element, value_of) for element in msgpack.unpackb(payload)]
        return set(elements) if code == Code.SET else frozenset(elements)
    if code == Code.SCALAR:
        import numpy

        dtype, raw = msgpack.unpackb(payload)
        return numpy.frombuffer(raw, dtype)[0]
    raise ValueError(f"unknown extension type {code}")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What stands for an extension type between the two passes of `canonical`."""

    code: int
    content: Any


def canonical(data: bytes, forms: list[bytes]) -> tuple[bytes, list[int]]:
    """The canonical form of a skeleton, equal for states that are equal, whatever the order of their dicts.

    Args:
        data: the skeleton.
        forms: what stands for each leaf, by its number: its type and shape.

    Returns:
        The form, and the leaves' numbers in the order in which they stand in it.
    """
    order: list[int] = []

    def part(code: int, payload: bytes) -> Any:
        if code == Code.LEAF:
            return Part(code, NUMBER.unpack(payload)[0])
        if code in NESTED:
            return Part(code, loads(payload, part, object_pairs_hook=in_order))
        return msgpack.ExtType(code, payload)

    def emit(value: Any) -> Any:
        if value.code == Code.LEAF:
            order.append(value.content)
            return msgpack.ExtType(Code.LEAF, forms[value.content])
        return msgpack.ExtType(value.code, packed(value.content))

    def packed(value: object) -> bytes:
        form: bytes = msgpack.packb(value, default=emit, strict_types=True)
        return form

    return packed(loads(data, part, object_pairs_hook=in_order)), order


def in_order(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return dict(sorted(pairs, key=lambda pair: text_form(pair[0]) if type(pair[0]) is str else key_form(pair[0])))


@functools.lru_cache(maxsize=1 << 14)
def text_form(key: str) -> bytes:
    """As `key_form`; kept, since the same names come in every state."""
    return key_form(key)


def key_form(key: object) -> bytes:
    form: bytes = msgpack.packb(key, default=key_extension)
    return form


def key_extension(part: Part) -> Any:
    if part.code == Code.LEAF:
        raise CheckpointError("a key of a dict in the state is a tensor or array; keys must be plain values")
    return msgpack.ExtType(part.code, key_form(part.content))


def place_of(state: object, leaf: object) -> str:
    """Where in the state a leaf stands, as an expression: `state['model']['weight']`."""
    return next((place for place, value in leaves_of(state, "state") if value is leaf), "state")


def leaves_of(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if is_leaf(value):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves_of(inner, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple, deque)):
        for index, inner in enumerate(value):
            yield from leaves_of(inner, f"{place}[{index}]")


def explain(state: object, error: BaseException) -> str:
    """What in the state cannot be stored, and where."""
    try:
        place, value = next(unstorable(state, "state"), ("state", None))
    except RecursionError:
        return "the state contains itself, or is nested too deep; save() must return a tree of plain values"
    if value is None:
        return f"the state cannot be stored: {error}"
    kind = type(value)
    return (
        f"{place} is a {kind.__module__}.{kind.__qualname__}, which a checkpoint cannot hold; save() may return "
        "tensors, arrays, None, bool, int, float, complex, str, bytes, and dicts, lists, tuples, sets, deques of these"
    )


def unstorable(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The places, in order, whose value cannot be stored."""
    kind = type(value)
    if kind in (dict, OrderedDict, Counter):
        for key, inner in value.items():
            yield from unstorable_plain(key, f"a key of {place}")
            yield from unstorable(inner, f"{place}[{key!r}]")
    elif kind in (list, tuple, deque):
        for index, inner in enumerate(value):
            yield from unstorable(inner, f"{place}[{index}]")
    elif kind in (set, frozenset):
        for inner in value:
            yield from unstorable_plain(inner, f"an element of {place}")
    elif not is_leaf(value):
        yield from unstorable_plain(value, place)


def unstorable_plain(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    try:
        pack_plain(value)
    except (TypeError, ValueError, OverflowError):
        yield place, value
