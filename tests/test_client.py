"""`LiveStudy`: what a tuner asks becomes calls, what comes back becomes results and the table of trials."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Literal

import pytest

from hive import Constant, GridSpace, Linear, SpaceError
from hive.actors.messages import AnnouncedTrial, Told, ToldTime
from hive.actors.session import AnnounceCall, AskCall, AskTimeCall, ReleaseCall
from hive.client import IDLE_TURNS, LiveStudy
from hive.display import failed_where
from hive.planner.space import Config
from hive.tuners.tuner import Result

SLOW: Config = {"lr": Constant(0.1)}
FAST: Config = {"lr": Constant(0.5)}


def config(lr: float) -> Config:
    """A config of one constant."""
    return {"lr": Constant(lr)}


class Desk:
    """A study whose calls are kept, and the coordinator that answers them."""

    def __init__(self, mode: Literal["min", "max"] = "max", complete_at: int = 8) -> None:
        self.calls: list[Any] = []
        self.study = LiveStudy("score", mode, self.calls.append)
        self.study.complete_at = complete_at
        self.number = 0

    async def answer(self, trial: int, step: int, score: float | None = None, error: str | None = None) -> None:
        """Tell an answer, and let it have its effect; `score` None for metrics without it."""
        self.number += 1
        metrics = {"loss": 1.0} | ({} if score is None else {"score": score})
        told = Told("run", self.number, trial, step, metrics, f"digest {trial} {step}")
        if error is not None:
            told = Told("run", self.number, trial, step, error=error)
        self.study.told(told)
        await idle()


async def idle() -> None:
    """Until whoever waited for an answer has reacted to it."""
    for _ in range(IDLE_TURNS + 2):
        await asyncio.sleep(0)


async def asked(desk: Desk, *requests: tuple[Config, int]) -> asyncio.Task[list[Result]]:
    """A tuner that waits for all of these."""
    waiting = asyncio.ensure_future(desk.study.train_all(requests))
    await idle()
    return waiting


def test_study_asks_in_one_call_and_returns_results_in_the_order_asked_for() -> None:
    async def search(desk: Desk) -> list[Result]:
        waiting = await asked(desk, (FAST, 4), (SLOW, 4))
        await desk.answer(1, 4, 0.25)
        assert not waiting.done()
        await desk.answer(0, 4, 0.75)
        return await waiting

    desk = Desk()
    results = asyncio.run(search(desk))
    (call,) = desk.calls
    assert isinstance(call, AskCall)
    assert [(request.trial, request.step) for request in call.requests] == [(0, 4), (1, 4)]
    assert call.requests[0].config == {"lr": {"fn": "Constant", "value": 0.5}}
    assert [(result.trial, result.steps, result.status) for result in results] == [
        (0, 4, "complete"),
        (1, 4, "complete"),
    ]
    assert [result.metrics and result.metrics["score"] for result in results] == [0.75, 0.25]


def test_study_yields_results_as_they_are_answered() -> None:
    async def search(desk: Desk) -> list[int]:
        answers = desk.study.as_answered([(SLOW, 4), (FAST, 4)])
        first = asyncio.ensure_future(anext(answers))
        await idle()
        await desk.answer(1, 4, 0.1)
        await desk.answer(0, 4, 0.2)
        return [(await first).trial, (await anext(answers)).trial]

    assert asyncio.run(search(Desk())) == [1, 0]


def test_study_knows_a_config_by_its_values_when_it_is_asked_for_again() -> None:
    async def search(desk: Desk) -> None:
        await asked(desk, (SLOW, 4))
        await asked(desk, ({"lr": Constant(0.1)}, 8))
        desk.study.release(SLOW)

    desk = Desk()
    asyncio.run(search(desk))
    assert len(desk.study.trials) == 1
    assert desk.calls[-1] == ReleaseCall([0])


@pytest.mark.parametrize(
    ("score", "error", "named"),
    [
        (math.nan, None, "nan at step 8"),
        (math.inf, None, "inf at step 8"),
        (None, None, "'score'"),
        (1.0, "ValueError: bad", "ValueError: bad"),
    ],
)
def test_trial_fails_when_its_answer_cannot_rank_it(score: float | None, error: str | None, named: str) -> None:
    async def search(desk: Desk) -> Result:
        waiting = await asked(desk, (SLOW, 8))
        await desk.answer(0, 8, score, error)
        return (await waiting)[0]

    desk = Desk()
    result = asyncio.run(search(desk))
    (trial,) = desk.study.trials
    assert (result.status, result.metrics) == (trial.status, trial.metrics) == ("failed", None)
    assert named in str(result.error) == str(trial.error)
    assert desk.study.user_errors == (score is None or error is not None), "what is not finite is no error of the code"


def test_trial_is_complete_where_its_tuner_ends_and_stopped_before() -> None:
    async def search(desk: Desk) -> None:
        await asked(desk, (SLOW, 4), (FAST, 8))
        await desk.answer(0, 4, 0.9)
        await desk.answer(1, 8, 0.1)

    desk = Desk()
    asyncio.run(search(desk))
    assert [(trial.status, trial.steps) for trial in desk.study.trials] == [("stopped", 4), ("complete", 8)]
    assert desk.study.best() is desk.study.trials[1], "a complete trial stands before a better one that was stopped"


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 0)])
def test_best_is_the_lower_number_among_equals(mode: Literal["min", "max"], best: int) -> None:
    async def search(desk: Desk) -> None:
        await asked(desk, *[(config(float(i)), 8) for i in range(4)])
        for trial, score in [(2, 0.7), (1, 0.7), (3, 0.5), (0, 0.5)]:
            await desk.answer(trial, 8, score)

    desk = Desk(mode)
    asyncio.run(search(desk))
    assert desk.study.best() is desk.study.trials[best]


def test_trial_that_was_measured_before_a_tuner_is_not_complete_when_that_begins() -> None:
    async def search(desk: Desk) -> None:
        waiting = asyncio.ensure_future(desk.study.eval(SLOW, 2))
        await idle()
        await desk.answer(0, 2, 0.9)
        assert (await waiting).status == desk.study.trials[0].status == "complete"
        desk.study.serve(GridSpace({"lr": [Constant(0.5)]}, steps=8), 8)
        await asked(desk, (FAST, 8))
        await desk.answer(1, 8, 0.1)

    desk = Desk(complete_at=0)
    asyncio.run(search(desk))
    assert [trial.status for trial in desk.study.trials] == ["stopped", "complete"]
    assert desk.study.best() is desk.study.trials[1]


def test_trial_that_completed_under_a_tuner_stays_complete_when_a_longer_one_begins() -> None:
    async def search(desk: Desk) -> None:
        await asked(desk, (SLOW, 8))
        await desk.answer(0, 8, 0.9)

    desk = Desk()
    asyncio.run(search(desk))
    desk.study.serve(GridSpace({"lr": [Constant(0.5)]}, steps=16), 16)
    assert desk.study.trials[0].status == "complete"


@pytest.mark.parametrize(("answered", "error", "where"), [(0, "bad", "between steps 0 and 8"), (8, None, "at step 8")])
def test_trial_is_shown_to_fail_where_it_was_asked_for_when_it_fails(
    answered: int, error: str | None, where: str
) -> None:
    async def search(desk: Desk) -> None:
        await asked(desk, (SLOW, 8))
        await desk.answer(0, 8, math.nan, error)

    desk = Desk()
    asyncio.run(search(desk))
    assert desk.study.trials[0].steps == answered
    assert failed_where(desk.study.trials[0]) == where


def test_eval_leaves_a_trained_trial_as_it_stands() -> None:
    async def search(desk: Desk) -> Result:
        await asked(desk, (SLOW, 8))
        await desk.answer(0, 8, 0.8)
        waiting = asyncio.ensure_future(desk.study.eval(SLOW, 2))
        await idle()
        await desk.answer(0, 2, 0.2)
        return await waiting

    desk = Desk()
    result = asyncio.run(search(desk))
    assert result.metrics is not None
    assert result.metrics["score"] == 0.2
    assert (desk.study.trials[0].steps, desk.study.trials[0].state_digest) == (8, "digest 0 8")


@pytest.mark.parametrize("steps", [0, -1, True, 1.5])
def test_study_refuses_steps_that_are_no_whole_number(steps: Any) -> None:
    with pytest.raises(SpaceError, match="whole number"):
        asyncio.run(Desk().study.train(SLOW, steps))


def test_study_refuses_a_config_that_is_not_of_its_space() -> None:
    desk = Desk()
    desk.study.space = GridSpace({"lr": [Constant(0.1), Linear(0.1, 0.0, 5)]}, steps=8)
    with pytest.raises(SpaceError, match="momentum"):
        asyncio.run(desk.study.train({"lr": Constant(0.1), "momentum": Constant(0.9)}, 4))
    with pytest.raises(SpaceError, match=r"Constant\(0\.1\)"):
        asyncio.run(desk.study.train({"lr": 0.1}, 4))  # type: ignore[dict-item]
    assert desk.calls == []


def test_requests_of_one_turn_leave_as_one_message_before_what_is_said_after_them() -> None:
    async def search(desk: Desk) -> None:
        async with asyncio.TaskGroup() as group:
            for lr in (0.1, 0.2):
                group.create_task(desk.study.train(config(lr), 4))
            await asyncio.sleep(0)
            desk.study.release(config(0.2))
            await desk.answer(0, 4, 0.1)
            await desk.answer(1, 4, 0.1)

    desk = Desk()
    asyncio.run(search(desk))
    first, second = desk.calls
    assert [request.trial for request in first.requests] == [0, 1]
    assert second == ReleaseCall([1])


def test_answer_is_handed_on_when_the_one_before_has_had_its_effect() -> None:
    """Two answers that come together are, for the tuner, two answers one after the other."""

    async def climb(desk: Desk, lr: float) -> None:
        await asyncio.gather(desk.study.train(config(lr), 4))
        (result,) = await asyncio.gather(asyncio.ensure_future(desk.study.train(config(lr), 8)))
        assert result.steps == 8

    async def search(desk: Desk) -> None:
        climbs = [asyncio.ensure_future(climb(desk, lr)) for lr in (0.1, 0.2)]
        await idle()
        for number, trial in enumerate((1, 0)):
            desk.study.told(Told("run", number + 1, trial, 4, {"score": 1.0}, "d"))
        await idle()
        await idle()
        desk.number = 2
        for trial in (0, 1):
            await desk.answer(trial, 8, 1.0)
        await asyncio.gather(*climbs)

    desk = Desk()
    asyncio.run(search(desk))
    assert [[(r.trial, r.step) for r in call.requests] for call in desk.calls] == [[(0, 4), (1, 4)], [(1, 8)], [(0, 8)]]


def test_times_are_told_in_the_order_in_which_they_were_asked() -> None:
    async def search(desk: Desk) -> list[float]:
        times = asyncio.gather(desk.study.now(), desk.study.now())
        await idle()
        for number, time in enumerate((5.0, 6.0)):
            desk.study.told(ToldTime("run", number + 1, time))
        return list(await times)

    desk = Desk()
    assert asyncio.run(search(desk)) == [5.0, 6.0]
    assert desk.calls == [AskTimeCall(), AskTimeCall()]


def test_announced_trial_has_its_number_and_is_no_row_of_the_table_before_it_is_asked_for() -> None:
    async def search(desk: Desk) -> None:
        await desk.study.announce([FAST])
        await asked(desk, (SLOW, 4))
        assert [trial.number for trial in desk.study.table] == [1]
        await asked(desk, (FAST, 4))

    desk = Desk()
    asyncio.run(search(desk))
    assert desk.calls[0] == AnnounceCall([AnnouncedTrial(0, {"lr": {"fn": "Constant", "value": 0.5}})])
    assert [trial.number for trial in desk.study.table] == [0, 1]


def test_what_came_is_in_the_table_when_the_loop_ends() -> None:
    async def search(desk: Desk) -> None:
        await asked(desk, (SLOW, 8), (FAST, 8))
        for number, trial in enumerate((0, 1)):
            desk.study.told(Told("run", number + 1, trial, 8, {"score": 1.0}, "d"))
        desk.study.drain()

    desk = Desk()
    asyncio.run(search(desk))
    assert [trial.status for trial in desk.study.trials] == ["complete", "complete"]
