"""Climbing rungs, held against a slow oracle over drawn tables, and in drawn orders of arrival."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.errors import StudyError
from hive.tuners import EarlyStop
from hive.tuners.rungs import Rung, at_least
from tests.tuners.fake_study import FakeStudy, Score, search, space_of

SCORES = st.one_of(st.none(), st.just(math.nan), st.sampled_from([0.1, 0.2, 0.3]))


@dataclass(frozen=True)
class Case:
    """A search: rungs, a score for each trial on each rung (few values, so that ties are common), and extra steps."""

    rungs: list[Rung]
    scores: list[list[Score]]
    mode: str
    extra: int

    def table(self, trial: int, step: int) -> Score:
        steps = [rung.steps for rung in self.rungs]
        return self.scores[trial][steps.index(step)] if step in steps else 0.5


@st.composite
def cases(draw: st.DrawFn) -> Case:
    counts = sorted(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)), reverse=True)
    steps = draw(st.lists(st.integers(1, 40), min_size=len(counts), max_size=len(counts), unique=True).map(sorted))
    trials = counts[0] + draw(st.integers(0, 2))
    row = st.lists(SCORES, min_size=len(counts), max_size=len(counts))
    scores = draw(st.lists(row, min_size=trials, max_size=trials))
    rungs = [Rung(*each) for each in zip(steps, counts, strict=True)]
    return Case(rungs, scores, draw(st.sampled_from(["min", "max"])), draw(st.sampled_from([0, 5])))


def oracle(case: Case) -> tuple[list[list[tuple[int, int]]], dict[int, list[int]]]:
    """What should be asked, message by message, and released after each: survivors picked one by one, by looking."""
    asked: list[list[tuple[int, int]]] = []
    released: dict[int, list[int]] = {}
    members = list(range(case.rungs[0].trials))
    for at, rung in enumerate(case.rungs):
        asked.append([(trial, rung.steps) for trial in members])
        last = at == len(case.rungs) - 1
        count = 1 if last else case.rungs[at + 1].trials
        chosen: list[int] = []
        for _ in range(count):
            sound = [t for t in members if t not in chosen and is_sound(case.scores[t][at])]
            if sound:
                top = (max if case.mode == "max" else min)(case.scores[t][at] or 0.0 for t in sound)
                chosen.append(min(t for t in sound if case.scores[t][at] == top))
        if last and chosen and case.extra:
            asked.append([(chosen[0], rung.steps + case.extra)])
        if last:
            break
        if lost := sorted(set(members) - set(chosen)):
            released[at] = lost
        members = sorted(chosen)
        if not members:
            break
    return asked, released


def is_sound(value: Score) -> bool:
    return value is not None and not math.isnan(value)


def climbed(case: Case, arrival: int) -> FakeStudy:
    tuner = EarlyStop(case.rungs, space_of(len(case.scores)), extra_steps_for_best=case.extra)
    return search(tuner, FakeStudy(case.table, "max" if case.mode == "max" else "min", arrival))


@given(cases(), st.integers(0, 2**16))
def test_climb_asks_and_releases_what_the_oracle_does_in_any_order_of_arrival(case: Case, arrival: int) -> None:
    study = climbed(case, arrival)
    asked, released = oracle(case)
    assert study.asked == asked
    assert {at: sorted(lost) for at, lost in study.released.items()} == released


@given(cases(), st.integers(0, 2**16))
def test_climb_decides_nothing_before_all_of_a_rung_has_answered(case: Case, arrival: int) -> None:
    assert climbed(case, arrival).early == []


@given(cases())
def test_climb_does_the_same_in_two_orders_of_arrival(case: Case) -> None:
    one, other = climbed(case, 1), climbed(case, 2)
    assert (one.asked, one.released) == (other.asked, other.released)


def test_climb_announces_who_may_go_on_before_it_asks_and_nobody_where_there_is_one_rung() -> None:
    rungs = [(4, 3), (8, 1)]
    several, one = FakeStudy(lambda trial, step: 0.5), FakeStudy(lambda trial, step: 0.5)
    search(EarlyStop.from_milestones(rungs, space_of(5)), several)
    search(EarlyStop.from_milestones(rungs[:1], space_of(5)), one)
    assert several.announced == [(0, 0), (1, 0), (2, 0)]
    assert one.announced == []


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_at_least_refuses_what_is_not_a_whole_number_from_there(value: object) -> None:
    with pytest.raises(StudyError, match="Grid: steps must be a whole number of at least 1, not"):
        at_least(1, value, "Grid: steps")
