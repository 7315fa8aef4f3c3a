"""Grid search on a study that answers from a table."""

from __future__ import annotations

import pytest

from hive import Constant, RandomSpace, randint
from hive.errors import StudyError
from hive.tuners import Grid, RandomSearch
from tests.tuners.fake_study import FakeStudy, search, space_of


def test_grid_asks_for_every_trial_to_the_end_in_one_message() -> None:
    study = search(Grid(space_of(5, steps=7)), FakeStudy(lambda trial, step: 0.0))
    assert study.asked == [[(0, 7), (1, 7), (2, 7), (3, 7), (4, 7)]]
    assert study.released == {}


def test_grid_trains_the_best_further_when_told_to() -> None:
    table = {0: 0.3, 1: 0.1, 2: 0.1}
    study = search(Grid(space_of(3, steps=7), extra_steps_for_best=4), FakeStudy(lambda trial, _: table[trial], "min"))
    assert study.asked[1:] == [[(1, 11)]]


def test_grid_trains_nothing_further_when_every_trial_failed() -> None:
    study = search(Grid(space_of(3), extra_steps_for_best=4), FakeStudy(lambda trial, step: None))
    assert len(study.asked) == 1


def test_grid_knows_its_last_step_without_the_extra_ones() -> None:
    space = space_of(3, steps=7)
    tuner = Grid(space, extra_steps_for_best=4)
    assert (tuner.space, tuner.steps) == (space, 7)


def test_grid_refuses_negative_extra_steps() -> None:
    with pytest.raises(StudyError, match=r"Grid: extra_steps_for_best .* at least 0, not -1"):
        Grid(space_of(3), extra_steps_for_best=-1)


def test_random_search_trains_every_draw_to_the_end() -> None:
    drawn = RandomSpace({"number": Constant(randint(0, 9))}, n=6, steps=16)
    numbers = [config["number"](0) for config in drawn.configs()]
    study = search(RandomSearch(drawn), FakeStudy(lambda trial, step: 1.0))
    assert study.asked == [[(number, 16) for number in numbers]]
