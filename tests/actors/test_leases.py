"""Leases: what is ahead of one, what is lost with it, and until when it holds."""

from __future__ import annotations

import msgspec

from hive.actors.leases import Lease, LeaseTable
from hive.planner.search_plan import Place
from hive.storage.records import LeaseRecord


def record(
    number: int = 1,
    *,
    trainer: str = "node/0/1",
    ends: tuple[tuple[int, int, int], ...] = ((0, 0, 10), (1, 10, 15)),
    reached: tuple[int, int] | None = None,
) -> LeaseRecord:
    return LeaseRecord(number, "key-1", trainer, trainer.split("/")[0], "run", None, ends, reached, 0.0)


def test_boundaries_ahead_are_the_ends_of_its_stages_that_it_does_not_merely_pass() -> None:
    lease = Lease(record(), 0.0, 0.0)
    assert (lease.number, lease.ahead) == (1, [Place(0, 10), Place(1, 15)])
    assert Lease(msgspec.structs.replace(record(), passes=((0, 10),)), 0.0, 0.0).ahead == [Place(1, 15)]


def test_fresh_lease_that_is_lost_leaves_nothing_behind() -> None:
    lease = Lease(record(), 0.0, 0.0)
    assert lease.from_step == 0


def test_lease_lost_on_its_second_stage_leaves_what_its_last_boundary_has() -> None:
    lease = Lease(record(ends=((1, 10, 15),), reached=(0, 10)), 0.0, 0.0)
    assert lease.from_step == 10


def test_lease_lasts_a_full_term_from_the_last_sign_of_life() -> None:
    table = LeaseTable(30.0)
    lease = table.add(record(), now=100.0)
    assert table.expired(130.0) == []
    assert table.expired(130.1) == [lease]
    table.renew("node/0/1", 120.0)
    table.renew("unknown", 200.0)
    assert table.expired(150.0) == []
    assert table.expired(150.1) == [lease]


def test_lease_stands_still_from_the_last_step_that_its_trainer_tells_of() -> None:
    table = LeaseTable(30.0)
    lease = table.add(record(), now=100.0)
    assert table.standing_still(100.0) == []
    assert table.standing_still(100.1) == [lease]
    lease.came_to(3, 3, 200.0)
    lease.came_to(3, 3, 300.0)
    lease.came_to(2, 2, 400.0)
    assert (lease.steps_run, lease.step, lease.moved) == (3, 3, 200.0)
    table.extend(50.0)
    assert table.standing_still(250.0) == []
    assert table.standing_still(250.1) == [lease]


def test_leases_are_found_by_trainer_and_by_node() -> None:
    table = LeaseTable(30.0)
    first = table.add(record(1, trainer="a/0/1"), 0.0)
    second = table.add(record(2, trainer="a/1/2"), 0.0)
    third = table.add(record(3, trainer="b/0/3"), 0.0)
    assert table.of_trainer("a/1/2") is second
    assert table.of_trainer("b/0/9") is None
    assert table.of_node("a") == [first, second]
    assert table.of_node("b") == [third]
