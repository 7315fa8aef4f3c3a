"""Early stopping at milestones: what they mean, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from hive.errors import StudyError
from hive.tuners import EarlyStop
from tests.tuners.fake_study import FakeStudy, search, space_of


def test_milestones_say_how_many_trials_train_to_each_step() -> None:
    tuner = EarlyStop.from_milestones([(5, 8), (10, 4)], space_of(8))
    study = search(tuner, FakeStudy(lambda trial, step: -trial))
    assert study.asked == [[(trial, 5) for trial in range(8)], [(0, 10), (1, 10), (2, 10), (3, 10)]]
    assert sorted(study.released[0]) == [4, 5, 6, 7]
    assert tuner.steps == 10


def test_milestones_take_the_first_trials_when_the_space_has_more() -> None:
    study = search(EarlyStop.from_milestones([(5, 2)], space_of(8)), FakeStudy(lambda trial, step: 0.0))
    assert study.asked == [[(0, 5), (1, 5)]]


def test_milestones_may_keep_every_trial() -> None:
    study = search(EarlyStop.from_milestones([(5, 2), (9, 2)], space_of(2)), FakeStudy(lambda trial, step: 0.0))
    assert study.asked == [[(0, 5), (1, 5)], [(0, 9), (1, 9)]]
    assert study.released == {}


def test_best_trial_trains_further_when_told_to() -> None:
    tuner = EarlyStop.from_milestones([(5, 3), (9, 2)], space_of(3), extra_steps_for_best=100)
    study = search(tuner, FakeStudy(lambda trial, step: trial))
    assert study.asked[-1] == [(2, 109)]
    assert tuner.steps == 9


BAD = [
    ([], "at least one milestone"),
    ([(5, 9)], "the first milestone asks for 9 trials, but the space has 8"),
    ([(5, 8), (5, 4)], "steps of milestones must increase, but 5 follows 5"),
    ([(5, 4), (9, 5)], r"cannot gain trials, but 5 \(to step 9\) follows 4 \(to step 5\)"),
    ([(0, 4)], r"in milestone \(0, 4\) steps must be a whole number of at least 1, not 0"),
    ([(5, 0)], r"in milestone \(5, 0\) trials must be a whole number of at least 1, not 0"),
    ([(5, True)], "trials must be a whole number"),
    ([5], r"a milestone is a pair of \(steps, trials\), not 5"),
    ([(5, 8, 1)], "a milestone is a pair"),
]


@pytest.mark.parametrize(("milestones", "message"), BAD)
def test_milestones_are_refused_when_they_break_a_rule(milestones: list[Any], message: str) -> None:
    with pytest.raises(StudyError, match=f"EarlyStop: .*{message}|EarlyStop: {message}"):
        EarlyStop.from_milestones(milestones, space_of(8))


def test_early_stop_refuses_negative_extra_steps() -> None:
    with pytest.raises(StudyError, match="EarlyStop: extra_steps_for_best"):
        EarlyStop.from_milestones([(5, 8)], space_of(8), extra_steps_for_best=-2)
