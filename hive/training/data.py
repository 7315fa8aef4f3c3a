"""Data in an order that a checkpoint can hold in two integers.

This module must not know what the data are, nor draw from any generator but its own. NumPy is loaded when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hive.errors import UsageError

if TYPE_CHECKING:
    import numpy

__all__ = ["ShuffledBatches"]


class ShuffledBatches:
    """Indices of samples, shuffled anew each epoch, taken in batches of any size.

    The order of an epoch is a pure function of (seed, epoch): it depends on nothing that happened before. So (epoch,
    offset) is the whole state, and training that resumes in the middle of an epoch sees the same samples then and in
    all later epochs. The offset counts samples, not batches: the batch size may change at any step, and no sample is
    seen twice or left out.

    As an attribute of a trainer it is covered by the default `save`.

    Example:
        self.batches = ShuffledBatches(len(self.images), self.seed)    # in build
        chosen = self.batches.take(self.batch_size)                    # in train

    Attributes:
        size: samples of the data set.
        seed: with the epoch, what the order depends on.
        epoch: epochs that are over.
        offset: samples of the current epoch that were taken, in [0, size).
    """

    def __init__(self, size: int, seed: int) -> None:
        """Begin at the first epoch.

        Args:
            size: samples of the data set, at least 1.
            seed: any non-negative integer.

        Raises:
            UsageError: one of them is out of its range.
        """
        if size < 1 or seed < 0:
            raise UsageError(f"ShuffledBatches needs size >= 1 and seed >= 0, not size={size} and seed={seed}")
        self.size, self.seed = size, seed
        self.epoch, self.offset = 0, 0
        self.known: tuple[int, Any] | None = None

    def order(self, epoch: int) -> numpy.ndarray[Any, numpy.dtype[numpy.int64]]:
        """The order of an epoch: a permutation of range(size), shape (size,)."""
        import numpy

        if self.known is None or self.known[0] != epoch:
            generator = numpy.random.Generator(numpy.random.PCG64(numpy.random.SeedSequence([self.seed, epoch])))
            self.known = (epoch, generator.permutation(self.size))
        found: numpy.ndarray[Any, numpy.dtype[numpy.int64]] = self.known[1]
        return found

    def take(self, count: int) -> numpy.ndarray[Any, numpy.dtype[numpy.int64]]:
        """The next samples' indices.

        Args:
            count: how many, at least 1.

        Returns:
            `count` indices; fewer where the epoch ends, for a batch never mixes two epochs.

        Raises:
            UsageError: `count` is less than 1.
        """
        if count < 1:
            raise UsageError(f"ShuffledBatches.take needs a count of at least 1, not {count}")
        taken = self.order(self.epoch)[self.offset : self.offset + count].copy()
        self.offset += len(taken)
        if self.offset == self.size:
            self.epoch, self.offset = self.epoch + 1, 0
        return taken

    def state_dict(self) -> dict[str, int]:
        """The place: epoch and offset."""
        return {"epoch": self.epoch, "offset": self.offset}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a place.

        Raises:
            UsageError: it lies behind the end of the data, which have become fewer.
        """
        if not 0 <= state["offset"] < self.size:
            raise UsageError(f"sample {state['offset']} of an epoch was next, but there are {self.size} samples now")
        self.epoch, self.offset = state["epoch"], state["offset"]
