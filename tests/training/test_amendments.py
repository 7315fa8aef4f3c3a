"""What an executor does when what is ahead of it is cut anew: met from where it stands, and nothing done twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hive.training.reports import Amendment, AmendmentTaken, Ended, Evaluated, Reached, Report, StageOrder, Stepped
from tests.training.toys import RISING, Bench, Counter, batch, of_kind, stage


def amendment(*stages: StageOrder, number: int = 1, lease: int = 7) -> Amendment:
    return Amendment(lease, number, stages)


def boundaries(reports: list[Report]) -> list[tuple[int, int, bool, bool]]:
    """(node, step, whether it was measured, whether a file was written) of each boundary, in order."""
    return [(r.node, r.step, r.metrics is not None, r.checkpoint is not None) for r in of_kind(Reached, reports)]


def run(folder: Path, said: dict[int, Amendment], *stages: StageOrder) -> tuple[Bench, list[Report]]:
    """Run a batch; `said`: after the yield of that number, from 0, an amendment comes."""
    bench = Bench(Counter, folder)

    def between(count: int) -> None:
        if count in said:
            bench.executor.amend(said[count])

    return bench, bench.run(batch(*stages), between)


@pytest.mark.parametrize(("after", "step"), [(0, 1), (2, 3), (3, 4)])
def test_executor_stops_at_a_boundary_that_is_added_ahead_or_where_it_stands(
    after: int, step: int, tmp_path: Path
) -> None:
    said = {after: amendment(stage(0, 0, 4), stage(0, 4, 8))}
    bench, reports = run(tmp_path, said, stage(0, 0, 8))
    assert boundaries(reports) == [(0, 4, True, True), (0, 8, True, True)]
    assert of_kind(AmendmentTaken, reports) == [AmendmentTaken(7, 1, step)]
    assert of_kind(Ended, reports)[0].steps_run == 8
    assert bench.executor.held == (0, 8)


def test_executor_passes_a_boundary_that_is_added_behind_it_and_says_where_it_stood(tmp_path: Path) -> None:
    _, reports = run(tmp_path, {4: amendment(stage(0, 0, 4), stage(0, 4, 8))}, stage(0, 0, 8))
    assert boundaries(reports) == [(0, 8, True, True)]
    assert of_kind(AmendmentTaken, reports) == [AmendmentTaken(7, 1, 5)]
    assert of_kind(Ended, reports)[0].steps_run == 8


def test_executor_meets_a_boundary_that_is_asked_for_while_its_step_is_trained(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    said = amendment(stage(0, 0, 1), stage(0, 1, 3))
    train = Counter.train

    class Interrupted(Counter):
        def train(self) -> Mapping[str, float] | None:
            bench.executor.amend(said)
            return train(self)

    bench = Bench(Interrupted, tmp_path)
    reports = bench.run(batch(stage(0, 0, 3)))
    assert boundaries(reports) == [(0, 1, True, True), (0, 3, True, True)]
    assert of_kind(AmendmentTaken, reports) == [AmendmentTaken(7, 1, 1)]


def test_executor_says_that_it_took_an_amendment_behind_the_boundaries_before_it(tmp_path: Path) -> None:
    _, reports = run(tmp_path, {3: amendment(stage(0, 2, 5))}, stage(0, 0, 2), stage(0, 2, 8))
    kinds = [type(r) for r in reports if isinstance(r, Reached | AmendmentTaken)]
    assert kinds == [Reached, AmendmentTaken, Reached]
    assert boundaries(reports) == [(0, 2, True, True), (0, 5, True, True)]


def test_executor_ends_with_a_checkpoint_where_it_stands_when_all_that_is_wanted_lies_behind(tmp_path: Path) -> None:
    bench, reports = run(tmp_path, {4: amendment(stage(0, 2, 3))}, stage(0, 0, 2), stage(0, 2, 8))
    assert boundaries(reports) == [(0, 2, True, True), (0, 5, False, True)]
    assert of_kind(Ended, reports)[0].steps_run == 5
    assert bench.executor.held == (0, 5)


def test_executor_measures_the_state_it_has_just_saved_without_a_second_file(tmp_path: Path) -> None:
    said = {1: amendment(stage(0, 0, 2), stage(0, 2, 4))}
    _, reports = run(tmp_path, said, stage(0, 0, 2, metrics=False), stage(0, 2, 4))
    assert boundaries(reports) == [(0, 2, False, True), (0, 2, True, False), (0, 4, True, True)]


def test_executor_does_nothing_twice_when_an_amendment_names_where_it_stands_again(tmp_path: Path) -> None:
    said = {1: amendment(stage(0, 0, 2), stage(0, 2, 3), stage(0, 3, 4))}
    _, reports = run(tmp_path, said, stage(0, 0, 2), stage(0, 2, 4))
    assert boundaries(reports) == [(0, 2, True, True), (0, 3, True, True), (0, 4, True, True)]


def test_executor_measures_no_more_where_nobody_wants_it_any_more(tmp_path: Path) -> None:
    said = {0: amendment(stage(0, 0, 2, metrics=False), stage(0, 2, 4))}
    _, reports = run(tmp_path, said, stage(0, 0, 2), stage(0, 2, 4))
    assert boundaries(reports) == [(0, 2, False, True), (0, 4, True, True)]


def passing(node: int, start: int, end: int) -> StageOrder:
    return replace(stage(node, start, end, RISING, metrics=False), boundary=False)


def test_executor_leaves_no_checkpoint_where_it_merely_passes(tmp_path: Path) -> None:
    bench, reports = run(tmp_path / "a", {}, passing(0, 0, 2), passing(1, 2, 3), stage(2, 3, 5))
    assert boundaries(reports) == [(2, 5, True, True)]
    assert [(r.node, r.step) for r in of_kind(Stepped, reports)] == [(0, 1), (0, 2), (1, 3), (2, 4), (2, 5)]
    assert [each.name for each in (tmp_path / "a").iterdir()] == ["2-5-1.safetensors"]
    assert bench.executor.held == (2, 5)
    _, stopping = run(tmp_path / "b", {}, stage(0, 0, 2, RISING, metrics=False), stage(1, 2, 3, RISING), stage(2, 3, 5))
    assert of_kind(Reached, reports)[-1].digest == of_kind(Reached, stopping)[-1].digest


@pytest.mark.parametrize(("after", "met"), [(0, True), (1, True), (2, False)])
def test_executor_saves_where_it_would_have_passed_unless_it_has(after: int, met: bool, tmp_path: Path) -> None:
    said = {after: amendment(replace(passing(0, 0, 2), boundary=True), stage(1, 2, 4))}
    _, reports = run(tmp_path, said, passing(0, 0, 2), stage(1, 2, 4))
    assert boundaries(reports) == [(0, 2, False, True)] * met + [(1, 4, True, True)]


def test_executor_evaluates_where_it_passes_under_the_node_that_it_leaves(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path, eval_every=2)

    def between(count: int) -> None:
        if count == 0:
            bench.executor.amend(amendment(passing(0, 0, 2), stage(1, 2, 3), stage(1, 3, 4)))

    reports = bench.run(batch(passing(0, 0, 2), stage(1, 2, 4)), between)
    assert [(r.node, r.step) for r in of_kind(Evaluated, reports)] == [(0, 2)]
    assert boundaries(reports) == [(1, 3, True, True), (1, 4, True, True)]


def test_executor_that_must_leave_where_it_passes_saves_under_the_node_that_it_leaves(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)

    def between(count: int) -> None:
        if count == 1:
            bench.executor.stop()

    reports = bench.run(batch(passing(0, 0, 2), stage(1, 2, 4)), between)
    assert boundaries(reports) == [(0, 2, False, True)]


def test_executor_passes_from_node_to_node_as_the_amendment_says(tmp_path: Path) -> None:
    said = {0: amendment(stage(0, 0, 2, RISING, metrics=False), stage(1, 2, 3), stage(1, 3, 4))}
    _, reports = run(tmp_path, said, stage(0, 0, 2, RISING, metrics=False), stage(1, 2, 4))
    assert boundaries(reports) == [(0, 2, False, True), (1, 3, True, True), (1, 4, True, True)]


@pytest.mark.parametrize("other", [amendment(stage(0, 0, 1), number=1), amendment(stage(0, 0, 3), lease=6, number=9)])
def test_executor_heeds_no_amendment_of_another_lease_or_one_that_is_overtaken(
    other: Amendment, tmp_path: Path
) -> None:
    said = {0: amendment(stage(0, 0, 4), number=2), 1: other}
    _, reports = run(tmp_path, said, stage(0, 0, 8))
    assert boundaries(reports) == [(0, 4, True, True)]
    assert of_kind(AmendmentTaken, reports) == [AmendmentTaken(7, 2, 1)]


def test_executor_takes_an_amendment_that_came_before_it_began(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    bench.executor.amend(amendment(stage(0, 0, 3)))
    reports = bench.run(batch(stage(0, 0, 8)))
    assert of_kind(AmendmentTaken, reports) == [AmendmentTaken(7, 1, 0)]
    assert boundaries(reports) == [(0, 3, True, True)]


def test_added_boundary_leaves_the_same_state_as_one_that_was_there_from_the_start(tmp_path: Path) -> None:
    _, amended = run(tmp_path / "a", {1: amendment(stage(0, 0, 4), stage(0, 4, 8))}, stage(0, 0, 8))
    _, planned = run(tmp_path / "b", {}, stage(0, 0, 4), stage(0, 4, 8))
    assert [r.digest for r in of_kind(Reached, amended)] == [r.digest for r in of_kind(Reached, planned)]
