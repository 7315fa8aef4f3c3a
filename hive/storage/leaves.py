"""Tensors and arrays as bytes: what each one is, and where it lies in one flat piece of memory.

Problem: a small net's state is hundreds of tensors of a few hundred bytes, and what a checkpoint costs is the number
of tensors, not their bytes: clone, hash and write them one by one and training waits for tens of milliseconds.

Idea: a `Layout` says where each leaf lies in one buffer; it depends on types and shapes only, so it is made once and
kept. Copying a state is then one call, writing it another. Leaves are laid out by item size, greatest first, so that
each is aligned and no byte is wasted, as safetensors demands.

Tensors that share memory with one another stay shared: the memory they span is stored once, as a leaf of its own that
no skeleton mentions, and they are stored as views of it.

This module must not know of files. torch is loaded only if a leaf is a tensor.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgpack
import msgspec

__all__ = [
    "FROZEN",
    "GRAD",
    "PARAMETER",
    "PLAIN",
    "Layout",
    "Leaf",
    "Survey",
    "UnstorableLeafError",
    "survey",
    "torch_library",
]

ALIGN = 16
"""Bytes; the greatest item size (complex128)."""

LAYOUTS_READ_MAX = 4
"""Layouts of files that are remembered; a trainer reads files of one or a few."""

STORED_TYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "complex64": "C64", "bool": "BOOL",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
"""Item type -> its name in a safetensors file. Other types are stored as U8."""

ARRAY_KINDS = "biufcSUMm"
"""NumPy's kinds of plain items; not objects, records or padded long doubles."""

PLAIN, GRAD, PARAMETER, FROZEN = 0, 1, 2, 3
"""What a tensor was besides its values: nothing, requires_grad, an nn.Parameter, one without requires_grad."""


class UnstorableLeafError(Exception):
    """A tensor or array that has no plain memory.

    Attributes:
        leaf: which.
    """

    def __init__(self, leaf: object, why: str) -> None:
        super().__init__(why)
        self.leaf = leaf


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor or array.

    Attributes:
        library: "torch" or "numpy".
        dtype: torch's name ("float32"), or NumPy's with its byte order ("<f4").
        itemsize: bytes of one item.
        shape: its shape.
        strides: strides in items where they are not those of a contiguous tensor; None for contiguous, and for
            tensors that do not fill their memory, which come back contiguous.
        role: PLAIN, GRAD, PARAMETER or FROZEN.
        placed: whether it lived on an accelerator.
        base: number of the leaf whose memory it is a view of, or None.
        offset: bytes into the base's memory.
    """

    library: str
    dtype: str
    itemsize: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    role: int = PLAIN
    placed: bool = False
    base: int | None = None
    offset: int = 0

    @property
    def size(self) -> int:
        """Bytes of its items."""
        return self.itemsize * math.prod(self.shape)

    def to_data(self) -> list[Any]:
        """Plain form for the file."""
        shape, strides = list(self.shape), None if self.strides is None else list(self.strides)
        return [self.library, self.dtype, self.itemsize, shape, strides, self.role, self.placed, self.base, self.offset]

    @staticmethod
    def from_data(data: Any) -> Leaf:
        """The leaf of a plain form.

        Raises:
            ValueError, TypeError: it is none.
        """
        library, dtype, itemsize, shape, strides, role, placed, base, offset = data
        if library not in ("torch", "numpy") or min([itemsize - 1, offset, *shape]) < 0:
            raise ValueError(f"{data!r} is not a tensor's description")
        strides = None if strides is None else tuple(strides)
        return Leaf(library, dtype, itemsize, tuple(shape), strides, role, placed, base, offset)

    def form(self) -> bytes:
        """What stands for it in a canonical form: library, type, shape; never memory layout, sharing or device."""
        dtype = self.dtype.replace(">", "<")
        form: bytes = msgpack.packb([self.library, dtype, self.shape])
        return form

    def stored_as(self) -> tuple[str, list[int]]:
        """safetensors' type and shape."""
        name = self.dtype
        if self.library == "numpy":
            import numpy

            name = numpy.dtype(self.dtype).name
        if name in STORED_TYPES:
            return STORED_TYPES[name], list(self.shape)
        return "U8", [self.size]


@dataclass(frozen=True, slots=True)
class Shared:
    """Memory that several tensors share.

    Attributes:
        raw: all of it, as a uint8 tensor.
        offsets: number of each tensor -> where it begins in it, in bytes.
    """

    raw: Any
    offsets: dict[int, int]

    @property
    def size(self) -> int:
        """Bytes it takes in a buffer."""
        items: int = self.raw.numel()
        return -(-items // ALIGN) * ALIGN


@dataclass(frozen=True, slots=True)
class Survey:
    """What one state's leaves are, as far as it changes from one snapshot to the next.

    Attributes:
        key: equal for states of the same layout.
        sources: the tensors and arrays by number.
        shared: the memories that some of the tensors share.
    """

    key: tuple[Any, ...]
    sources: list[Any]
    shared: list[Shared]


def torch_library() -> Any:
    """torch, loaded now if it was not."""
    import torch

    return torch


def survey(values: list[Any]) -> Survey:
    """Look at a state's tensors and arrays, without copying. This is hot: it is part of what training waits for.

    Raises:
        UnstorableLeafError: one of them is of a subclass, or an array of objects.
    """
    tensor_kinds = plain_tensor_kinds()
    sources = list(values)
    keys: list[Any] = []
    spans: list[tuple[int, int, int]] = []
    for number, value in enumerate(values):
        if type(value) not in tensor_kinds:
            keys.append(array_key(value))
            continue
        try:
            contiguous = value.is_contiguous()
            keys.append(tensor_key(value, contiguous))
            begin = value.data_ptr()
        except RuntimeError:
            raise UnstorableLeafError(value, "a sparse tensor") from None
        if begin:
            spans.append((begin, begin + (value.nbytes if contiguous else extent(value)), number))
    shared = [memory(group, sources) for group in overlapping(spans)]
    views = tuple((each.size, *each.offsets.items()) for each in shared)
    return Survey((tuple(keys), views), sources, shared)


def plain_tensor_kinds() -> tuple[type, ...]:
    torch: Any = sys.modules.get("torch")
    return () if torch is None else (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


def tensor_key(tensor: Any, contiguous: bool) -> tuple[Any, ...]:
    role, requires_grad = PLAIN, tensor.requires_grad
    if type(tensor).__name__ == "Parameter":
        role = PARAMETER if requires_grad else FROZEN
    elif requires_grad and tensor.is_leaf:
        role = GRAD
    return (tensor.dtype, tensor.shape, None if contiguous else tensor.stride(), role, tensor.is_cpu)


def array_key(array: Any) -> tuple[Any, ...]:
    kind = type(array)
    if kind.__name__ != "ndarray":
        raise UnstorableLeafError(array, f"a tensor or array of the subclass {kind.__module__}.{kind.__qualname__}")
    dtype = array.dtype
    if dtype.kind not in ARRAY_KINDS or dtype.char in "gG":
        raise UnstorableLeafError(array, f"an array of {dtype}")
    return (dtype.str, array.shape)


def extent(tensor: Any) -> int:
    """Bytes from a tensor's first item to the end of its last."""
    if tensor.is_contiguous():
        return int(tensor.nbytes)
    if tensor.numel() == 0:
        return 0
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int((last + 1) * tensor.itemsize)


def overlapping(spans: list[tuple[int, int, int]]) -> list[list[int]]:
    """The groups of two and more tensors whose memories overlap, as lists of their numbers."""
    spans.sort()
    if all(one[1] <= other[0] for one, other in itertools.pairwise(spans)):  # as nearly always
        return []
    groups: list[list[int]] = []
    group: list[int] = []
    end = -1
    for begin, stop, number in spans:
        if begin >= end:
            if len(group) > 1:
                groups.append(group)
            group = []
        group.append(number)
        end = max(end, stop)
    if len(group) > 1:
        groups.append(group)
    return groups


def memory(group: list[int], sources: list[Any]) -> Shared:
    """The memory that a group of tensors spans."""
    torch = torch_library()
    for number in group:  # a lazily conjugated or negated view has other items than its memory: it stays apart
        sources[number] = sources[number].resolve_conj().resolve_neg()
    storage = sources[group[0]].untyped_storage()
    group = [number for number in group if sources[number].untyped_storage().data_ptr() == storage.data_ptr()]
    begins = {number: sources[number].storage_offset() * sources[number].itemsize for number in sorted(group)}
    begin = min(begins.values()) // ALIGN * ALIGN
    end = max(offset + extent(sources[number]) for number, offset in begins.items())
    raw: Any = torch.empty(0, dtype=torch.uint8, device=sources[group[0]].device)
    raw = raw.set_(storage, begin, (end - begin,), (1,))
    return Shared(raw, {number: offset - begin for number, offset in begins.items()})


@dataclass(frozen=True)
class Layout:
    """Where each leaf of a state lies in one buffer.

    Attributes:
        leaves: the state's leaves by number, then the shared memories.
        spans: for each leaf its first byte and the byte behind its last; views of a shared memory have that memory's.
        total: bytes of the buffer.
    """

    leaves: tuple[Leaf, ...]
    spans: tuple[tuple[int, int], ...] = field(init=False)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        spans = [(0, 0)] * len(self.leaves)
        begin = 0
        for number in self.order:
            end = begin + self.leaves[number].size
            spans[number] = (begin, end)
            begin = end
        for number, leaf in enumerate(self.leaves):
            if leaf.base is not None:
                spans[number] = spans[leaf.base]
        object.__setattr__(self, "spans", tuple(spans))
        object.__setattr__(self, "total", begin)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Numbers of the leaves with bytes of their own, as they follow in the buffer."""
        own = [number for number, leaf in enumerate(self.leaves) if leaf.base is None]
        bases = {leaf.base for leaf in self.leaves}
        return tuple(sorted(own, key=lambda number: (-ALIGN if number in bases else -self.alignment(number), number)))

    def alignment(self, number: int) -> int:
        """Bytes that the leaf's place must be a multiple of."""
        itemsize = self.leaves[number].itemsize
        return itemsize if itemsize in (1, 2, 4, 8, 16) else 1

    @cached_property
    def forms(self) -> list[bytes]:
        """Each leaf's part in a canonical form."""
        return [leaf.form() for leaf in self.leaves]

    @cached_property
    def entries(self) -> bytes:
        """Each entry of a safetensors header, with a comma before it."""
        entries = {}
        for number in self.order:
            dtype, shape = self.leaves[number].stored_as()
            entries[f"{number:06d}"] = {"dtype": dtype, "shape": shape, "data_offsets": self.spans[number]}
        return b"," + msgspec.json.encode(entries)[1:-1] if entries else b""

    @cached_property
    def packed(self) -> bytes:
        """Plain form for the file."""
        packed: bytes = msgpack.packb([leaf.to_data() for leaf in self.leaves])
        return packed

    @staticmethod
    @functools.lru_cache(maxsize=LAYOUTS_READ_MAX)
    def unpacked(packed: bytes) -> Layout:
        """The layout of a plain form.

        Raises:
            ValueError, TypeError: it is none.
        """
        return Layout(tuple(Leaf.from_data(each) for each in msgpack.unpackb(packed)))

    @cached_property
    def needs_torch(self) -> bool:
        """Whether any leaf is a tensor."""
        return any(leaf.library == "torch" for leaf in self.leaves)

    @staticmethod
    def of(found: Survey) -> Layout:
        """The layout of a surveyed state.

        Raises:
            UnstorableLeafError: a tensor has no plain memory: it is quantized, or on the meta device.
        """
        keys = found.key[0]
        leaves = [describe(source, key) for source, key in zip(found.sources, keys, strict=True)]
        for shared in found.shared:
            for number, offset in shared.offsets.items():
                strides = found.sources[number].stride()
                leaves[number] = replace(leaves[number], base=len(leaves), offset=offset, strides=strides)
            leaves.append(Leaf("torch", "uint8", 1, (shared.size,), placed=not shared.raw.is_cpu))
        return Layout(tuple(leaves))


def describe(value: Any, key: tuple[Any, ...]) -> Leaf:
    if len(key) == 2:
        return Leaf("numpy", key[0], value.dtype.itemsize, tuple(key[1]))
    if value.is_meta or value.is_quantized:
        raise UnstorableLeafError(value, f"a {'meta' if value.is_meta else 'quantized'} tensor")
    dtype, shape, strides, role, on_cpu = key
    kept = tuple(strides) if strides is not None and fills_memory(shape, strides) else None
    name = str(dtype).removeprefix("torch.")
    return Leaf("torch", name, dtype.itemsize, tuple(shape), kept, role, placed=not on_cpu)


def fills_memory(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether a tensor's items fill its memory without gap or overlap, in some order of its dimensions."""
    expected = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True
