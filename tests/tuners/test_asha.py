"""Asynchronous halving, held against a slow oracle that starts anew at each answer; and some searches in full."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.actors.messages import Told
from hive.actors.session import AskCall
from hive.client import IDLE_TURNS, LiveStudy
from hive.errors import StudyError
from hive.tuners import ASHA
from tests.tuners.fake_study import FakeStudy, Score, search, space_of

Job = tuple[int, int]
"""(trial, step)"""

SOUND = st.one_of(st.sampled_from([0.1, 0.2, 0.3]), st.floats(0, 1))
SCORES = st.one_of(SOUND, st.none(), st.just(math.nan))
ORDERS = st.integers(0, 2**16)
"""Seeds of orders in which requests are answered."""


@dataclass(frozen=True)
class Case:
    """A search: its arguments, and a score for each trial on each rung."""

    rungs: list[int]
    reduction: int
    concurrency: int | None
    scores: list[list[Score]]
    mode: Literal["min", "max"]

    def table(self, trial: int, step: int) -> Score:
        return self.scores[trial][self.rungs.index(step)] if step in self.rungs else 0.5

    def tuner(self, extra: int = 0) -> ASHA:
        space, least, most = space_of(len(self.scores)), self.rungs[0], self.rungs[-1]
        return ASHA(space, least, most, self.reduction, concurrency=self.concurrency, extra_steps_for_best=extra)

    def searched(self, order: int, extra: int = 0) -> FakeStudy:
        return search(self.tuner(extra), FakeStudy(self.table, self.mode, order))


@st.composite
def cases(draw: st.DrawFn, scores: st.SearchStrategy[Score] = SCORES) -> Case:
    reduction, least = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    rungs = [least * reduction**level for level in range(draw(st.integers(1, 4)))]
    if len(rungs) > 1:
        rungs[-1] = draw(st.integers(rungs[-2] + 1, rungs[-1]))
    row = st.lists(scores, min_size=len(rungs), max_size=len(rungs))
    table = draw(st.lists(row, min_size=1, max_size=20))
    return Case(rungs, reduction, draw(st.none() | st.integers(1, 8)), table, draw(st.sampled_from(["min", "max"])))


def leaders(case: Case, jobs: Sequence[Job]) -> list[Job]:
    """These jobs, best first and without those that failed: picked one by one, by looking."""
    values = {job: case.table(*job) for job in jobs}
    left = {job: value for job, value in values.items() if value is not None and not math.isnan(value)}
    found: list[Job] = []
    while left:
        top = max(left.values()) if case.mode == "max" else min(left.values())
        found.append(min(job for job, value in left.items() if value == top))
        del left[found[-1]]
    return found


def get_job(case: Case, asked: Sequence[Job], answered: Sequence[Job]) -> Job | None:
    """The paper's `get_job`, from what was asked and answered so far."""
    for lower, upper in reversed(list(pairwise(case.rungs))):
        recorded = [job for job in answered if job[1] == lower]
        for trial, _ in leaders(case, recorded)[: len(recorded) // case.reduction]:
            if (trial, upper) not in asked:
                return trial, upper
    new = [(trial, case.rungs[0]) for trial in range(len(case.scores)) if (trial, case.rungs[0]) not in asked]
    return new[0] if new else None


def oracle(case: Case, answered: Sequence[Job]) -> list[Job]:
    """What should be asked, in turn, if requests are answered in this order."""
    asked: list[Job] = []
    for known in range(len(answered) + 1):
        while case.concurrency is None or len(asked) - known < case.concurrency:
            job = get_job(case, asked, answered[:known])
            if job is None:
                break
            asked.append(job)
    return asked


def winner(case: Case, asked: Sequence[Job]) -> Job | None:
    """Who came furthest, and is the best of those, when all that was asked was answered."""
    sound = leaders(case, list({trial: (trial, step) for trial, step in asked}.values()))
    furthest = max((step for _, step in sound), default=0)
    return next((job for job in sound if job[1] == furthest), None)


def jobs(study: FakeStudy) -> list[Job]:
    """What was asked, in turn."""
    return [job for message in study.asked for job in message]


@given(cases(), ORDERS)
def test_asha_asks_at_each_answer_for_what_the_oracle_does_in_any_order_of_answers(case: Case, order: int) -> None:
    study = case.searched(order)
    assert Counter(study.answered) == Counter(jobs(study)), "it ends when nothing is out"
    assert jobs(study) == oracle(case, study.answered)


@given(cases(), ORDERS)
def test_asha_has_as_many_requests_out_as_it_may_and_never_more(case: Case, order: int) -> None:
    trials = len(case.scores)
    assert case.searched(order).out_max == min(trials, case.concurrency or trials)


@given(cases(), ORDERS)
def test_asha_takes_every_trial_to_the_first_rung_and_on_rung_by_rung(case: Case, order: int) -> None:
    asked = jobs(case.searched(order))
    for trial in range(len(case.scores)):
        steps = [step for each, step in asked if each == trial]
        assert steps
        assert steps == case.rungs[: len(steps)]


@given(cases(SOUND), ORDERS)
def test_asha_takes_at_least_one_in_reduction_on_from_each_rung_when_none_fails(case: Case, order: int) -> None:
    trials = Counter(step for _, step in jobs(case.searched(order)))
    for lower, upper in pairwise(case.rungs):
        assert trials[upper] >= trials[lower] // case.reduction


@given(cases(), ORDERS, st.integers(1, 9))
def test_asha_trains_the_best_of_those_who_came_furthest_on_at_the_end(case: Case, order: int, extra: int) -> None:
    plain, further = jobs(case.searched(order)), jobs(case.searched(order, extra))
    best = winner(case, plain)
    assert further == plain + ([] if best is None else [(best[0], best[1] + extra)])


@given(cases(), ORDERS)
def test_asha_announces_all_trials_before_it_asks_and_releases_none(case: Case, order: int) -> None:
    study = case.searched(order)
    assert study.announced == [(trial, 0) for trial in range(len(case.scores))]
    assert study.released == {}


@given(cases(), ORDERS)
def test_asha_begins_anew_when_it_is_run_again(case: Case, order: int) -> None:
    tuner = case.tuner()
    one, other = (search(tuner, FakeStudy(case.table, case.mode, order)) for _ in range(2))
    assert one.asked == other.asked


def told(trials: int, table: Mapping[int, Score] | None = None, **arguments: Any) -> list[Job]:
    """What is asked on rungs 1, 2 and 4, or others, when a trial has one score on all of them."""
    tuner = ASHA(space_of(trials), **{"min_steps": 1, "max_steps": 4, "reduction": 2, **arguments})
    return jobs(search(tuner, FakeStudy(lambda trial, _: 0.5 if table is None else table[trial])))


SERIAL = [
    (0, 1),
    (1, 1),
    (0, 2),
    (2, 1),
    (3, 1),
    (1, 2),
    (0, 4),
    (4, 1),
    (5, 1),
    (2, 2),
    (6, 1),
    (7, 1),
    (3, 2),
    (1, 4),
]
"""Eight trials, one at a time, of which a lower number is better."""


def test_asha_asks_as_in_the_paper_when_one_request_is_out_at_a_time() -> None:
    assert told(8, {trial: -trial for trial in range(8)}, concurrency=1) == SERIAL


def test_asha_takes_lower_numbers_on_when_all_tie() -> None:
    assert told(8, concurrency=1) == SERIAL
    for order in range(8):
        study = search(ASHA(space_of(2), 1, 2, 2), FakeStudy(lambda trial, step: 0.5, arrival=order))
        assert jobs(study) == [(0, 1), (1, 1), (0, 2)]


def test_asha_keeps_those_who_went_on_when_better_ones_come() -> None:
    found = told(4, {trial: trial for trial in range(4)}, concurrency=1)
    assert found == [(0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (2, 4), (3, 1), (3, 2), (3, 4)]


def test_asha_promotes_nobody_when_a_rung_has_fewer_answers_than_the_reduction() -> None:
    assert told(3, reduction=4, extra_steps_for_best=3) == [(0, 1), (1, 1), (2, 1), (0, 4)]


def test_asha_counts_failed_trials_and_takes_none_of_them_on() -> None:
    assert told(4, {0: None, 1: math.nan, 2: None, 3: 0.1}, reduction=4)[4:] == [(3, 4)]
    assert told(4, {0: None, 1: math.nan, 2: None, 3: 0.1})[4:] == [(3, 2)]
    assert len(told(4, dict.fromkeys(range(4)), extra_steps_for_best=1)) == 4


def test_asha_leaves_the_best_that_failed_later_where_it_is() -> None:
    table: dict[Job, Score] = {(0, 1): 0.1, (1, 1): 0.2, (1, 2): None, (0, 4): 0.1}
    tuner = ASHA(space_of(2), 1, 2, 2, extra_steps_for_best=3)
    study = search(tuner, FakeStudy(lambda trial, step: table[trial, step]))
    assert jobs(study) == [(0, 1), (1, 1), (1, 2), (0, 4)]


def test_asha_trains_all_trials_to_the_end_when_there_is_one_rung() -> None:
    assert told(2, min_steps=4, extra_steps_for_best=1) == [(0, 4), (1, 4), (0, 5)]


def test_asha_has_the_rungs_of_successive_halving() -> None:
    tuner = ASHA(space_of(2), 15, 120, 4, extra_steps_for_best=9)
    assert tuner.steps_of_rungs == [15, 60, 120]
    assert tuner.steps == 120


class Desk:
    """The study that a run has, answered from a case's table."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.calls: list[Any] = []
        self.study = LiveStudy("accuracy", case.mode, self.calls.append)
        self.answered: list[Job] = []

    @property
    def asked(self) -> list[list[Job]]:
        """The (trial, step) pairs of each message."""
        return [[(each.trial, each.step) for each in call.requests] for call in self.calls if isinstance(call, AskCall)]

    def answer(self, trial: int, step: int) -> None:
        self.answered.append((trial, step))
        number, value = len(self.answered), self.case.table(trial, step)
        metrics, error = (None, "it broke") if value is None else ({"accuracy": value}, None)
        self.study.told(Told("run", number, trial, step, metrics, error=error))

    async def search(self, chance: random.Random) -> None:
        """A run: one answer whenever nothing else can go on, in a drawn order."""
        tuning = asyncio.ensure_future(self.case.tuner().tune(self.study))
        await idle()
        while not tuning.done():
            out = [job for message in self.asked for job in message if job not in self.answered]
            self.answer(*chance.choice(out))
            await idle()
        await tuning

    async def search_again(self, answers: Sequence[Job]) -> None:
        """A run that is told these as soon as it has asked for anything, faster than it can ask."""
        tuning = asyncio.ensure_future(self.case.tuner().tune(self.study))
        await idle()
        for job in answers:
            self.answer(*job)
        await tuning


async def idle() -> None:
    for _ in range(IDLE_TURNS + 2):
        await asyncio.sleep(0)


@given(cases(), ORDERS)
def test_asha_asks_for_the_same_in_the_same_messages_when_it_is_told_again_what_it_was_told(
    case: Case, order: int
) -> None:
    first, again = Desk(case), Desk(case)
    asyncio.run(first.search(random.Random(order)))
    asyncio.run(again.search_again(first.answered))
    assert again.asked == first.asked
    assert len(first.asked[0]) == min(len(case.scores), case.concurrency or len(case.scores))


BAD = [
    ({"min_steps": 0}, "min_steps must be a whole number of at least 1, not 0"),
    ({"max_steps": "16"}, "max_steps must be a whole number"),
    ({"min_steps": 17}, r"max_steps \(16\) must not be below min_steps \(17\)"),
    ({"reduction": 1}, "reduction must be a whole number of at least 2, not 1"),
    ({"concurrency": 0}, "concurrency must be a whole number of at least 1, not 0"),
    ({"concurrency": 2.5}, r"concurrency must be a whole number of at least 1, not 2\.5"),
    ({"extra_steps_for_best": -1}, "extra_steps_for_best must be a whole number of at least 0"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_asha_refuses_an_argument_that_breaks_its_rule(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=f"ASHA: {message}"):
        ASHA(space_of(4), **{"min_steps": 2, "max_steps": 16, **wrong})
