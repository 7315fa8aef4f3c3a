"""Successive halving: its rungs, its arguments, and one search told in full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.errors import StudyError
from hive.tuners import SuccessiveHalving
from tests.tuners.fake_study import FakeStudy, search, space_of


def test_rungs_are_hippos_when_its_study_is_asked_for() -> None:
    tuner = SuccessiveHalving(space_of(2), min_steps=15, max_steps=120, reduction=4)
    assert tuner.rungs(448) == [(15, 448), (60, 112), (120, 28)]
    assert tuner.steps == 120


def test_rungs_reach_a_power_that_logarithms_miss() -> None:
    assert SuccessiveHalving(space_of(2), 1, 243, 3).rungs(243)[-1] == (243, 1)


def test_rungs_keep_one_trial_when_there_are_fewer_than_the_reduction() -> None:
    assert SuccessiveHalving(space_of(2), 2, 16, 4).rungs(3) == [(2, 3), (8, 1), (16, 1)]


@given(st.integers(1, 9), st.integers(0, 200), st.integers(2, 5), st.integers(1, 500))
def test_rungs_follow_the_rule_step_by_step(least: int, more: int, reduction: int, trials: int) -> None:
    rungs = SuccessiveHalving(space_of(1), least, least + more, reduction).rungs(trials)
    assert rungs[0] == (least, trials)
    assert rungs[-1].steps == least + more
    for level, rung in enumerate(rungs):
        assert rung.steps == min(least * reduction**level, least + more)
        assert rung.trials == max(1, trials // reduction**level)
    assert all(rung.steps < least + more for rung in rungs[:-1])


def test_search_is_as_told_in_the_paper_when_scores_rise_with_the_number() -> None:
    tuner = SuccessiveHalving(space_of(8), 2, 8, 2, extra_steps_for_best=3)
    study = search(tuner, FakeStudy(lambda trial, step: trial / 10))
    assert study.asked == [
        [(trial, 2) for trial in range(8)],
        [(4, 4), (5, 4), (6, 4), (7, 4)],
        [(6, 8), (7, 8)],
        [(7, 11)],
    ]
    assert {at: sorted(lost) for at, lost in study.released.items()} == {0: [0, 1, 2, 3], 1: [4, 5]}


def test_search_keeps_exactly_the_lowest_numbers_when_all_tie() -> None:
    study = search(SuccessiveHalving(space_of(9), 1, 4, 4), FakeStudy(lambda trial, step: 0.5, arrival=3))
    assert study.asked[1:] == [[(0, 4), (1, 4)]]


def test_search_goes_on_with_fewer_when_too_few_came_through() -> None:
    study = search(SuccessiveHalving(space_of(8), 1, 4, 4), FakeStudy(lambda trial, _: 0.1 if trial == 5 else None))
    assert study.asked[1:] == [[(5, 4)]]


def test_search_ends_when_a_whole_rung_failed() -> None:
    study = search(SuccessiveHalving(space_of(4), 1, 4, 2), FakeStudy(lambda trial, step: None if step == 2 else 0.1))
    assert len(study.asked) == 2
    assert sorted(study.released[1]) == [0, 1]


BAD = [
    ({"min_steps": 0}, "min_steps must be a whole number of at least 1, not 0"),
    ({"min_steps": 2.0}, r"min_steps must be a whole number of at least 1, not 2\.0"),
    ({"max_steps": "16"}, "max_steps must be a whole number"),
    ({"min_steps": 17}, r"max_steps \(16\) must not be below min_steps \(17\)"),
    ({"reduction": 1}, "reduction must be a whole number of at least 2, not 1"),
    ({"extra_steps_for_best": -1}, "extra_steps_for_best must be a whole number of at least 0"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_successive_halving_refuses_an_argument_that_breaks_its_rule(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(StudyError, match=f"SuccessiveHalving: {message}"):
        SuccessiveHalving(space_of(4), **{"min_steps": 2, "max_steps": 16, **wrong})
