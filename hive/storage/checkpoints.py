"""Checkpoints: copying a state, its digest, and files of it.

A file is a safetensors file that any reader of that format opens: one entry for each tensor and array, and an entry
`skeleton` of bytes, which holds the rest as MessagePack (skeleton.py) and says what each entry is (leaves.py). No
pickle: reading runs no code. The file's metadata carry the digest of the state and of the skeleton, and reading
verifies both.

This module must not know what a trainer, a stage or a lease is. torch is loaded only if a state holds tensors.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgpack
import msgspec

from hive.errors import CheckpointError
from hive.storage.buffers import IN_FLIGHT_MAX, BorrowedBuffer, Buffer, Pool, Values
from hive.storage.durable import write_durably
from hive.storage.leaves import Layout, UnstorableLeafError, survey
from hive.storage.skeleton import Packer, canonical, pack_plain, place_of, unpack

__all__ = ["IN_FLIGHT_MAX", "Pool", "Snapshot", "digest", "read_checkpoint", "snapshot", "write_checkpoint"]

HEADER_ALIGN = 64
"""Bytes; where the data begin in a file, so that every tensor is aligned in memory too."""

HEADER_BYTES_MAX = 100_000_000
"""Greatest header that is believed; the limit of safetensors itself."""

FORMAT = "1"
"""Version of the file's form; another one is refused."""


@dataclass(slots=True)
class Snapshot:
    """A private copy of a state in host memory. Whoever takes one must release it.

    Attributes:
        tree: the skeleton, packed.
        buffer: the tensors and arrays.
        in_flight: whether it is not released yet.
        kept: whether the memory outlives the release.
    """

    tree: bytes
    buffer: Buffer
    pool: Pool
    in_flight: bool = field(default=True)
    kept: bool = field(default=False)

    @property
    def bytes(self) -> int:
        """Bytes of memory that it takes."""
        return len(self.tree) + self.buffer.layout.total

    def digest(self) -> str:
        """SHA-256, in hex, of the state's canonical form. The interpreter is free while it is computed."""
        form, order = canonical(self.tree, self.buffer.layout.forms)
        total = hashlib.sha256(struct.pack("<Q", len(form)))
        total.update(form)
        for number in order:
            total.update(self.buffer.leaf_bytes(number))
        return total.hexdigest()

    def content(self, device: str) -> Any:
        """The state, its tensors and arrays private to the caller; those of an accelerator go to `device`."""
        return unpack(self.tree, Values(self.buffer, device))

    def keep(self) -> None:
        """Let the memory outlive the release, until `forget`. Only while in flight."""
        self.kept = True

    def release(self) -> None:
        """No longer in flight: another copy may be taken, into this memory unless it is kept. A second call does
        nothing."""
        if self.leave("in_flight"):
            self.pool.room.release()

    def forget(self) -> None:
        """No longer kept: the memory goes back to the pool once nobody writes it to a file. A second call does
        nothing."""
        self.leave("kept")

    def leave(self, mark: Literal["in_flight", "kept"]) -> bool:
        """Take a mark away; whether it was set. The memory goes back with the last one."""
        with self.pool.lock:
            was: bool = getattr(self, mark)
            setattr(self, mark, False)
            last = was and not (self.in_flight or self.kept)
        if last:
            self.pool.give_back(self.buffer)
        return was


def snapshot(state: Any, pool: Pool) -> Snapshot:
    """Copy a state: the one part of a checkpoint that training waits for.

    Args:
        state: nested dicts, lists, tuples, sets and deques of tensors, arrays and plain values.
        pool: where the copy is kept; waits while IN_FLIGHT_MAX snapshots of it are not released.

    Raises:
        CheckpointError: something in the state cannot be stored; names the place and the type.
    """
    packer = Packer()
    tree = packer.pack(state)
    try:
        found = survey(packer.leaves)
        buffer = pool.take(found)
    except UnstorableLeafError as error:
        place = place_of(state, error.leaf)
        text = f"{place} is {error}, which a checkpoint cannot hold; return its parts as plain tensors"
        raise CheckpointError(text) from None
    try:
        buffer.fill(found)
    except BaseException:
        pool.give_back(buffer)
        pool.room.release()
        raise
    return Snapshot(tree, buffer, pool)


def digest(state: Any) -> str:
    """SHA-256, in hex, of a state's canonical form.

    Equal for states that are equal: types count (1, 1.0 and True differ, so do a list and a tuple); the order of
    dicts, memory layout, sharing and device do not.

    Raises:
        CheckpointError: something in the state cannot be stored.
    """
    return state.digest() if isinstance(state, Snapshot) else snapshot(state, Pool()).digest()


def write_checkpoint(path: Path, snapshot: Snapshot, extras: dict[str, Any]) -> tuple[str, int]:
    """Write a snapshot to a file that is durable, whole, or not there.

    Args:
        path: where; its folder is made if it is missing.
        snapshot: the state.
        extras: plain values that belong to the checkpoint but not to the state or its digest.

    Returns:
        The state's digest and the file's bytes.

    Raises:
        CheckpointError: the file cannot be written.
    """
    layout = snapshot.buffer.layout
    skeleton = pack_plain([snapshot.tree, layout.packed, extras])
    name = snapshot.digest()
    parts = [file_header(layout, skeleton, name), snapshot.buffer.bytes, skeleton]
    try:
        write_durably(path, parts)
    except OSError as error:
        raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror or error}") from None
    return name, sum(len(part) for part in parts)


def file_header(layout: Layout, skeleton: bytes, state_digest: str) -> bytes:
    """A file's first bytes: the header's length, the header, padding."""
    marks = {
        "hive_checkpoint": FORMAT,
        "skeleton_sha256": hashlib.sha256(skeleton).hexdigest(),
        "state_sha256": state_digest,
    }
    ends = [layout.total, layout.total + len(skeleton)]
    entry = {"dtype": "U8", "shape": [len(skeleton)], "data_offsets": ends}
    own = msgspec.json.encode({"__metadata__": marks, "skeleton": entry})
    header = own[:-1] + layout.entries + b"}"
    header += b" " * (-(8 + len(header)) % HEADER_ALIGN)
    return struct.pack("<Q", len(header)) + header


def read_checkpoint(path: Path, device: str = "cpu") -> tuple[Any, dict[str, Any]]:
    """Read a checkpoint and verify it.

    Args:
        path: the file.
        device: where tensors go that lived on an accelerator when they were saved.

    Returns:
        The state, its tensors and arrays private to the caller, and the extras.

    Raises:
        CheckpointError: the file is missing, damaged, cut off, or not a checkpoint; names it.
    """
    try:
        with path.open("rb", buffering=0) as file:
            raw = bytearray(os.fstat(file.fileno()).st_size)
            del raw[file.readinto(raw) :]
        return Reader(raw, device).read()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror or error}") from None
    except DAMAGE as error:
        raise CheckpointError(f"the checkpoint {path} is damaged: {error}") from None


DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError, struct.error, CheckpointError,
    msgspec.MsgspecError, msgpack.exceptions.UnpackException,
)  # fmt: skip
"""What reading wrong bytes can raise."""


class Entry(msgspec.Struct):
    """Where one entry lies in a file."""

    data_offsets: tuple[int, int]


class Header(msgspec.Struct):
    """What must be known of a header before the skeleton is read; the rest follows from the skeleton."""

    skeleton: Entry
    marks: dict[str, str] = msgspec.field(name="__metadata__")


class Reader:
    """Reads one file's bytes.

    It makes the header anew from what it read, and compares: so a byte that is damaged anywhere is found.
    """

    def __init__(self, raw: bytearray, device: str) -> None:
        self.raw = memoryview(raw)
        self.device = device

    def read(self) -> tuple[Any, dict[str, Any]]:
        """The state and the extras."""
        header, data = self.header()
        told = msgspec.json.decode(header[8:], type=Header)
        if told.marks.get("hive_checkpoint") != FORMAT:
            raise ValueError(f"not a checkpoint of form {FORMAT}")
        begin, end = told.skeleton.data_offsets
        skeleton = bytes(data[begin:end])
        if hashlib.sha256(skeleton).hexdigest() != told.marks.get("skeleton_sha256"):
            raise ValueError("its skeleton is not what was written")
        tree, packed, extras = unpack(skeleton, no_leaf)
        layout = Layout.unpacked(packed)
        buffer = BorrowedBuffer(layout, data[: layout.total])
        if file_header(layout, skeleton, Snapshot(tree, buffer, Pool()).digest()) != header or end != len(data):
            raise ValueError("its state is not what was written")
        return unpack(tree, Values(buffer, self.device)), extras

    def header(self) -> tuple[bytes, memoryview]:
        """The header with its length, as it was written, and the bytes behind it."""
        (length,) = struct.unpack_from("<Q", self.raw)
        if length > min(HEADER_BYTES_MAX, len(self.raw) - 8):
            raise ValueError("it is cut off")
        return bytes(self.raw[: 8 + length]), self.raw[8 + length :]


def no_leaf(number: int) -> Any:
    raise ValueError(f"a tensor ({number}) where none may be")
