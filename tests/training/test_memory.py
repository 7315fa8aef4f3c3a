"""What is kept in memory: within bytes, the last used first, and never a state whose file was not written."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hive.storage.checkpoints import IN_FLIGHT_MAX, Pool, Snapshot, snapshot
from hive.training.memory import BESIDES_BYTES, SNAPSHOTS_MAX, Kept, Memory

ITEMS = 1000
BYTES = BESIDES_BYTES + 4 * ITEMS
"""Of one state of these tests, but for its skeleton."""


class Desk:
    """A memory with room for so many states, and the pool they are taken from."""

    def __init__(self, states: float) -> None:
        self.pool = Pool()
        self.memory = Memory(int(states * (BYTES + 100)))

    def keep(self, step: int, *, written: bool = True) -> Snapshot:
        copied = snapshot({"w": torch.full((ITEMS,), float(step))}, self.pool)
        self.memory.keep(f"{step}", Kept((0, step), copied, {}))
        if written:
            copied.release()
        return copied

    def found(self, step: int) -> float | None:
        kept = self.memory.find(f"{step}")
        return None if kept is None else float(kept.snapshot.content("cpu")["w"].mean())

    def steps(self) -> list[int]:
        return [step for _, step in self.memory.places()]


def test_memory_gives_each_state_by_the_name_of_its_file() -> None:
    desk = Desk(3)
    for step in (1, 2, 3):
        desk.keep(step)
    assert [desk.found(step) for step in (1, 2, 3, 4)] == [1.0, 2.0, 3.0, None]
    assert desk.memory.find(None) is None
    assert desk.memory.bytes == sum(kept.bytes for kept in desk.memory.kept.values()) > 3 * BYTES


def test_memory_forgets_what_was_not_used_for_longest_when_bytes_are_short() -> None:
    desk = Desk(3)
    for step in (1, 2, 3):
        desk.keep(step)
    desk.found(1)
    desk.keep(4)
    assert desk.steps() == [4, 1, 3]
    desk.keep(5)
    assert desk.steps() == [5, 4, 1]
    assert [desk.found(step) for step in (1, 2, 3, 4, 5)] == [1.0, None, None, 4.0, 5.0]


@pytest.mark.parametrize("states", [0, 0.5])
def test_memory_keeps_no_state_that_is_too_large_for_it(states: float) -> None:
    desk = Desk(states)
    desk.keep(1)
    assert (desk.found(1), desk.memory.bytes) == (None, 0)
    assert len(desk.pool.idle) == 1


def test_memory_keeps_no_more_states_than_a_beat_may_name() -> None:
    desk = Desk(2 * SNAPSHOTS_MAX)
    for step in range(SNAPSHOTS_MAX + 2):
        desk.keep(step)
    assert desk.steps() == list(range(SNAPSHOTS_MAX + 1, 1, -1))


def test_memory_keeps_the_later_state_of_one_name() -> None:
    desk = Desk(2)
    desk.keep(1)
    again = snapshot({"w": torch.ones(ITEMS) * 7}, desk.pool)
    desk.memory.keep("1", Kept((0, 1), again, {}))
    assert desk.found(1) == 7.0
    assert desk.memory.bytes == again.bytes + BESIDES_BYTES


def test_memory_offers_a_state_once_its_file_is_written() -> None:
    desk = Desk(3)
    desk.keep(1)
    copied = desk.keep(2, written=False)
    assert desk.steps() == [1]
    copied.release()
    assert desk.steps() == [2, 1]


def test_memory_gives_back_what_it_forgets_once_the_file_is_written() -> None:
    desk = Desk(3)
    copied = desk.keep(1, written=False)
    desk.memory.forget("1")
    desk.memory.forget("1")
    desk.memory.forget(None)
    assert (desk.found(1), desk.memory.bytes, desk.pool.idle) == (None, 0, [])
    copied.release()
    assert desk.pool.idle == [copied.buffer]


def test_memory_is_empty_when_cleared() -> None:
    desk = Desk(3)
    for step in (1, 2, 3):
        desk.keep(step)
    desk.memory.clear()
    assert (desk.steps(), desk.memory.bytes) == ([], 0)


def test_kept_state_does_not_count_as_in_flight_and_is_not_written_over() -> None:
    desk = Desk(9)
    for step in range(2 * IN_FLIGHT_MAX + 1):
        desk.keep(step)  # would wait for ever
    assert [desk.found(step) for step in range(5)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert all(desk.pool.room.acquire(blocking=False) for _ in range(IN_FLIGHT_MAX))
    assert not desk.pool.room.acquire(blocking=False)


def test_copy_is_private_to_whoever_asks_for_it() -> None:
    desk = Desk(1)
    desk.keep(1)
    kept = desk.memory.find("1")
    assert kept is not None
    first: dict[str, Any] = kept.snapshot.content("cpu")
    first["w"].zero_()
    assert desk.found(1) == 1.0
