"""Buffers: the memory that states are copied into, kept for the next copy, and tensors made out of it again.

This module must not know of skeletons or files. torch is loaded only if a leaf is a tensor.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from typing import Any

from hive.storage.leaves import FROZEN, GRAD, PARAMETER, Layout, Survey, torch_library

__all__ = ["IN_FLIGHT_MAX", "BorrowedBuffer", "Buffer", "Pool", "Values"]

IN_FLIGHT_MAX = 2
"""Copies of one pool that may be in flight at a time: one being written while the next is filled."""

IDLE_MAX = 2
"""Buffers that wait for the next copies; what is given back beyond that is freed."""

LAYOUTS_MAX = 4
"""Layouts a pool remembers; a trainer has one, or a few if its state grows at its first steps."""


class Buffer:
    """Memory for one state of one layout, and each leaf's view into it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.pinned = any(leaf.placed for leaf in layout.leaves)
        self.memory: Any = bytearray(layout.total)
        self.bytes = memoryview(self.memory)
        if layout.needs_torch:
            torch = torch_library()
            self.memory = torch.zeros(layout.total, dtype=torch.uint8, pin_memory=self.pinned)
            self.bytes = memoryview(self.memory.numpy())
        self.views = leaf_views(self.memory, self.bytes, layout)
        own = set(layout.order)
        self.tensors = [n for n, leaf in enumerate(layout.leaves) if n in own and leaf.library == "torch"]
        self.arrays = [n for n, leaf in enumerate(layout.leaves) if n in own and leaf.library == "numpy"]

    def fill(self, found: Survey) -> None:
        """Copy the surveyed state in; the training thread waits for this."""
        for number in self.arrays:
            self.views[number][...] = found.sources[number]
        if not self.tensors:
            return
        torch = torch_library()
        sources = found.sources + [shared.raw for shared in found.shared]
        into = [self.views[number] for number in self.tensors]
        if found.shared:  # such a place is rounded up
            into = [
                view[: len(sources[n])] if n >= len(found.sources) else view
                for n, view in zip(self.tensors, into, strict=True)
            ]
        with torch.no_grad():
            torch._foreach_copy_(into, [sources[number] for number in self.tensors], non_blocking=self.pinned)
        if self.pinned:
            torch.cuda.synchronize()

    def leaf_bytes(self, number: int) -> memoryview:
        """A leaf's items, contiguous and little-endian."""
        leaf = self.layout.leaves[number]
        if leaf.base is None:
            begin, end = self.layout.spans[number]
            return self.bytes[begin:end]
        torch = torch_library()
        items = self.views[number].contiguous().flatten().view(torch.uint8)
        return memoryview(items.numpy())


def leaf_views(memory: Any, raw: memoryview, layout: Layout) -> list[Any]:
    """Each leaf's place in the buffer; tensors of one type, which lie together, are cut apart in one call."""
    leaves, views = layout.leaves, [None] * len(layout.leaves)
    for (library, dtype), run in itertools.groupby(layout.order, lambda n: (leaves[n].library, leaves[n].dtype)):
        numbers = list(run)
        begin, end = layout.spans[numbers[0]][0], layout.spans[numbers[-1]][1]
        if library == "torch" and begin < end:
            items = memory[begin:end].view(getattr(torch_library(), dtype))
            pieces = items.split([math.prod(leaves[number].shape) for number in numbers])
            for number, piece in zip(numbers, pieces, strict=True):
                views[number] = piece.view(leaves[number].shape)
    return [leaf_view(memory, raw, layout, n) if view is None else view for n, view in enumerate(views)]


def leaf_view(memory: Any, raw: memoryview, layout: Layout, number: int) -> Any:
    """A leaf's place in the buffer as a tensor or array of its type and shape; what shares memory has its strides."""
    leaf, (begin, end) = layout.leaves[number], layout.spans[number]
    if leaf.library == "numpy":
        import numpy

        dtype = numpy.dtype(leaf.dtype).newbyteorder("<")
        if not leaf.size:
            return numpy.empty(leaf.shape, dtype)
        return numpy.frombuffer(raw[begin:end], dtype).reshape(leaf.shape)
    torch = torch_library()
    dtype = getattr(torch, leaf.dtype)
    if leaf.base is not None:
        items = memory[begin:end].view(dtype)
        return items.as_strided(leaf.shape, leaf.strides, (begin + leaf.offset) // leaf.itemsize)
    return memory[begin:end].view(dtype).view(leaf.shape) if leaf.size else torch.empty(leaf.shape, dtype=dtype)


class Pool:
    """Buffers that snapshots take turns in, so that a copy allocates nothing once warm. Any thread may use it.

    Attributes:
        room: how many more copies may be in flight: taken by `take`, released by whoever has dealt with the copy. A
            buffer may be kept for longer than that.
    """

    def __init__(self) -> None:
        self.room = threading.BoundedSemaphore(IN_FLIGHT_MAX)
        self.lock = threading.Lock()
        self.layouts: OrderedDict[tuple[Any, ...], Layout] = OrderedDict()
        self.idle: list[Buffer] = []

    def take(self, found: Survey) -> Buffer:
        """A buffer for the surveyed state; waits while IN_FLIGHT_MAX are in flight.

        Raises:
            UnstorableLeafError: a tensor has no plain memory.
        """
        layout = self.layout(found)
        self.room.acquire()
        try:
            with self.lock:
                fitting = [buffer for buffer in self.idle if buffer.layout is layout]
                self.idle = fitting[1:]
            return fitting[0] if fitting else Buffer(layout)
        except BaseException:
            self.room.release()
            raise

    def layout(self, found: Survey) -> Layout:
        """The layout of a surveyed state, from memory if it is known."""
        with self.lock:
            layout = self.layouts.get(found.key)
            if layout is None:
                layout = self.layouts[found.key] = Layout.of(found)
                if len(self.layouts) > LAYOUTS_MAX:
                    self.layouts.popitem(last=False)
            return layout

    def give_back(self, buffer: Buffer) -> None:
        """Return a buffer that `take` gave, and that nobody reads any more."""
        with self.lock:
            self.idle = [*self.idle[1 - IDLE_MAX :], buffer]


class BorrowedBuffer(Buffer):
    """A buffer over bytes that were read, in writable memory, since torch warns of any other."""

    def __init__(self, layout: Layout, raw: memoryview) -> None:
        self.layout, self.bytes, self.memory = layout, raw, raw
        if layout.needs_torch and layout.total:
            self.memory = torch_library().frombuffer(raw, dtype=torch_library().uint8)
        self.views = leaf_views(self.memory, raw, layout)


class Values:
    """Makes a state's tensors and arrays out of a buffer, each once."""

    def __init__(self, buffer: Buffer, device: str) -> None:
        self.buffer, self.device = buffer, device
        self.made: dict[int, Any] = {}

    def __call__(self, number: int) -> Any:
        """The leaf of that number."""
        if number not in self.made:
            self.made[number] = self.make(number)
        return self.made[number]

    def make(self, number: int) -> Any:
        """A private copy of the leaf."""
        leaf, view = self.buffer.layout.leaves[number], self.buffer.views[number]
        if leaf.library == "numpy":
            return view.astype(leaf.dtype)
        torch = torch_library()
        if leaf.base is not None:
            whole = self(leaf.base).view(view.dtype)
            tensor = whole.as_strided(leaf.shape, leaf.strides, leaf.offset // leaf.itemsize)
        elif leaf.strides is not None:
            tensor = torch.empty_strided(leaf.shape, leaf.strides, dtype=view.dtype).copy_(view)
        else:
            tensor = view.clone()
        if leaf.placed and leaf.base is None:
            tensor = tensor.to(self.device)
        return with_role(tensor, leaf.role, torch)


def with_role(tensor: Any, role: int, torch: Any) -> Any:
    if role == GRAD:
        return tensor.requires_grad_()
    if role in (PARAMETER, FROZEN):
        return torch.nn.Parameter(tensor, requires_grad=role == PARAMETER)
    return tensor
