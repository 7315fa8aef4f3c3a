"""The order of data: pure in (seed, epoch), the same from any place in it."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.errors import UsageError
from hive.training.data import ShuffledBatches


def taken(batches: ShuffledBatches, counts: list[int]) -> list[list[int]]:
    return [batches.take(count).tolist() for count in counts]


@given(st.integers(1, 40), st.integers(0, 2**64), st.lists(st.integers(1, 50), max_size=12))
def test_batches_are_the_epochs_orders_cut(size: int, seed: int, counts: list[int]) -> None:
    batches = ShuffledBatches(size, seed)
    found = taken(batches, counts)
    whole = [index for epoch in range(len(counts)) for index in ShuffledBatches(size, seed).order(epoch).tolist()]
    flat = [index for each in found for index in each]
    assert flat == whole[: len(flat)]
    assert len(flat) == batches.epoch * size + batches.offset
    position = 0
    for count, each in zip(counts, found, strict=True):
        assert len(each) == min(count, size - position % size)  # no batch mixes two epochs
        position += len(each)


@given(st.integers(1, 30), st.integers(0, 9), st.integers(0, 8))
def test_each_epoch_has_every_sample_once(size: int, seed: int, epoch: int) -> None:
    assert sorted(ShuffledBatches(size, seed).order(epoch).tolist()) == list(range(size))


def test_epochs_and_seeds_are_shuffled_apart() -> None:
    orders = {tuple(ShuffledBatches(50, seed).order(epoch).tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@given(
    st.integers(1, 30), st.lists(st.integers(1, 9), max_size=8), st.lists(st.integers(1, 9), min_size=1, max_size=20)
)
def test_batches_go_on_where_they_were_after_a_load(size: int, before: list[int], after: list[int]) -> None:
    one, other = ShuffledBatches(size, 1), ShuffledBatches(size, 1)
    taken(one, before)
    taken(other, after)  # wherever it is
    other.load_state_dict(one.state_dict())
    assert taken(one, after) == taken(other, after)


def test_taking_draws_from_no_global_generator() -> None:
    numpy.random.seed(1)
    first = numpy.random.rand()
    numpy.random.seed(1)
    ShuffledBatches(10, 0).take(4)
    assert numpy.random.rand() == first


def test_what_was_taken_may_be_changed() -> None:
    batches = ShuffledBatches(4, 0)
    batches.take(2)[:] = 9
    assert sorted(batches.order(0).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(("size", "seed"), [(0, 0), (-1, 0), (1, -1)])
def test_batches_refuse_sizes_and_seeds_out_of_range(size: int, seed: int) -> None:
    with pytest.raises(UsageError, match="size >= 1 and seed >= 0"):
        ShuffledBatches(size, seed)


def test_batches_refuse_an_empty_batch() -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        ShuffledBatches(3, 0).take(0)


def test_batches_refuse_a_place_that_is_not_there_any_more() -> None:
    with pytest.raises(UsageError, match="there are 2 samples now"):
        ShuffledBatches(2, 0).load_state_dict({"epoch": 0, "offset": 2})
