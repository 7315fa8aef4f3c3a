"""How results are ranked."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.tuners import Result, best, rank
from tests.tuners.fake_study import FakeStudy, Score

SCORES = st.one_of(st.none(), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 0.5, 1.0, -3.0]))


def result(trial: int, value: Score, name: str = "accuracy") -> Result:
    if value is None:
        return Result(trial, {}, 2, None, "failed", "it broke")
    return Result(trial, {}, 2, {name: value}, "complete")


def trials(results: list[Result]) -> list[int]:
    return [each.trial for each in results]


def study(mode: Literal["min", "max"] = "max") -> FakeStudy:
    return FakeStudy(lambda trial, step: 0.0, mode)


@pytest.mark.parametrize(("mode", "order"), [("max", [2, 0, 1]), ("min", [1, 0, 2])])
def test_rank_puts_the_best_first_in_either_mode(mode: Literal["min", "max"], order: list[int]) -> None:
    assert trials(rank([result(0, 0.5), result(1, 0.1), result(2, 0.9)], study(mode))) == order


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("broken", [None, math.nan, math.inf, -math.inf])
def test_rank_puts_failed_and_unmeasurable_trials_last_in_either_mode(
    mode: Literal["min", "max"], broken: Score
) -> None:
    assert trials(rank([result(0, broken), result(1, -7.0), result(2, 7.0)], study(mode)))[-1] == 0


def test_rank_puts_a_trial_without_the_metric_last() -> None:
    assert trials(rank([result(0, 9.0, "loss"), result(1, 0.1)], study())) == [1, 0]


def test_best_is_none_when_all_failed_or_nothing_was_asked() -> None:
    assert best([result(0, None), result(1, math.nan)], study()) is None
    assert best([], study()) is None


def test_best_is_the_lowest_trial_when_all_tie() -> None:
    found = best([result(3, 0.5), result(1, 0.5), result(2, 0.5)], study())
    assert found is not None
    assert found.trial == 1


def beats(one: tuple[int, Score], other: tuple[int, Score], mode: str) -> bool:
    """The oracle: whether one (trial, score) stands before another, told case by case."""
    sound = [each[1] is not None and math.isfinite(each[1]) for each in (one, other)]
    if sound[0] != sound[1]:
        return sound[0]
    if sound[0] and one[1] != other[1]:
        assert one[1] is not None
        assert other[1] is not None
        return one[1] > other[1] if mode == "max" else one[1] < other[1]
    return one[0] < other[0]


@given(st.lists(SCORES, max_size=12), st.sampled_from(["min", "max"]), st.randoms(use_true_random=False))
def test_rank_is_the_one_order_in_which_everyone_beats_all_behind(scores, mode, chance) -> None:  # type: ignore[no-untyped-def]
    results = [result(trial, value) for trial, value in enumerate(scores)]
    chance.shuffle(results)
    ranked = trials(rank(results, study(mode)))
    assert sorted(ranked) == list(range(len(scores)))
    for at, one in enumerate(ranked):
        assert all(beats((one, scores[one]), (other, scores[other]), mode) for other in ranked[at + 1 :])
