"""Estimates: what was measured, and what stands in for it until then."""

from __future__ import annotations

from hive.planner.estimates import Estimates, Mean


def test_mean_is_its_default_until_something_is_added() -> None:
    mean = Mean(2.0)
    assert mean.value == 2.0
    mean.add(9.0, 2)
    mean.add(0.0)
    assert mean.value == 3.0


def test_unmeasured_plan_takes_a_second_a_step() -> None:
    assert Estimates().stage_s(0, 7) == 7.0


def test_unmeasured_node_takes_the_mean_of_the_plan_and_a_measured_one_its_own() -> None:
    estimates = Estimates()
    estimates.measured(0, steps=10, seconds=20.0)
    estimates.measured(1, steps=30, seconds=15.0)
    estimates.measured(1, steps=10, seconds=15.0)
    assert estimates.stage_s(0, 5) == 10.0
    assert estimates.stage_s(1, 4) == 3.0
    assert estimates.stage_s(2, 4) == 4.0


def test_stage_costs_its_checkpoint_too() -> None:
    estimates = Estimates()
    estimates.save_s.add(0.5)
    assert estimates.stage_s(0, 0) == 0.5
    assert estimates.stage_s(0, 2) == 2.5
