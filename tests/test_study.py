"""`Study`: the rules of its arguments, what its plan key depends on, and the summary of a run."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import hive
from hive import Constant, GridSpace, Study, StudyError
from hive.client import Trial
from hive.result import StudyResult
from hive.storage.records import RunCounts
from hive.study import plan_key
from hive.tuners import Grid


class Toy(hive.Trainer):
    """A trainer that is never run."""

    def train(self) -> None:
        """Nothing."""

    def evaluate(self) -> Mapping[str, float]:
        """Nothing."""
        return {"score": 0.0}


class Unfinished(hive.Trainer):
    """A trainer that cannot be instantiated."""


def study(**changes: Any) -> Study:
    """A study with arguments of its own."""
    arguments: dict[str, Any] = {"name": "toy", "trainer": Toy, "metric": "score", "mode": "max"} | changes
    return Study(arguments.pop("name"), arguments.pop("trainer"), **arguments)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("name", ""),
        ("name", 3),
        ("trainer", Toy.train),
        ("trainer", Unfinished),
        ("metric", None),
        ("mode", "largest"),
        ("dataset", None),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", True),
        ("eval_every", 0),
        ("threads", 0),
        ("fixed", {"model": object()}),
        ("fixed", {"rate": math.nan}),
        ("checkpoint_every_s", 0),
        ("weight", 0),
        ("weight", math.nan),
        ("weight", "heavy"),
    ],
)
def test_study_names_the_argument_that_breaks_its_rule(argument: str, value: Any) -> None:
    with pytest.raises(StudyError, match=argument if value is not Unfinished else "train"):
        study(**{argument: value})


def test_fixed_settings_become_plain_values() -> None:
    assert study(fixed={"data": Path("/data"), "sizes": (1, 2)}).fixed == {"data": "/data", "sizes": [1, 2]}


def key(merge: bool = True, code: str = "code", **changes: Any) -> str:
    """The plan key of a study with arguments of its own."""
    source = study(**changes).opening(("lr",)).source
    return plan_key(source, code, merge)


def test_plan_key_is_shared_by_studies_that_train_alike() -> None:
    alike = [key(), key(name="other"), key(metric="loss", mode="min"), key(eval_every=3), key(checkpoint_every_s=5)]
    assert len(set(alike)) == 1
    assert key(fixed={"a": 1, "b": 2}) == key(fixed={"b": 2, "a": 1})


def test_plan_key_differs_where_training_may() -> None:
    different = [key(), key(merge=False), key(code="edited"), key(dataset="d"), key(seed=1), key(fixed={"a": 1})]
    assert len(set(different)) == len(different)


def test_plan_key_holds_no_path() -> None:
    source = study().opening(("lr",)).source
    moved = type(source)(**{**{f: getattr(source, f) for f in source.__struct_fields__}, "path": "/elsewhere/toy.py"})
    assert plan_key(source, "code", True) == plan_key(moved, "code", True)


def test_weight_is_said_when_the_run_opens_and_is_no_part_of_the_plan_key() -> None:
    heavy = study(weight=3).opening(("lr",))
    assert heavy.weight == 3
    assert heavy.plan_key == study().opening(("lr",)).plan_key


def test_study_refuses_to_run_inside_an_event_loop() -> None:
    async def search() -> None:
        study().run(Grid(GridSpace({"lr": [Constant(0.1)]}, steps=1)))

    with pytest.raises(StudyError, match="event loop"):
        asyncio.run(search())


SPACE = GridSpace({"lr": [Constant(0.1)]}, steps=4)


class Own:
    """A tuner of a user's own, which is never run."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update({"space": SPACE, "steps": 4} | attributes)

    async def tune(self, study: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("tuner", "named"),
    [
        (3, "async def tune"),
        (Grid, "call the class"),
        (Own(space=[Constant(0.1)]), "`space`"),
        (Own(steps="4"), "`steps`"),
        (Own(steps=True), "`steps`"),
        (Own(steps=0), "`steps`"),
        (Own(tune=lambda study: None), "async def tune"),
    ],
)
def test_study_says_what_a_tuner_lacks_when_it_is_none(tuner: Any, named: str) -> None:
    with pytest.raises(StudyError, match=f"tuner is .*{named}"):
        study().run(tuner)


def result(*trials: Trial, user_errors: int = 0) -> StudyResult:
    """What a run came to."""
    counts = RunCounts(steps_asked=30, steps_distinct=20, steps_run=22, late_branch=2)
    return StudyResult("toy", "key", True, trials[0] if trials else None, list(trials), counts, 1.5, user_errors)


COMPLETE = Trial(0, {"lr": Constant(0.1)}, 10, {"score": 1.0, "luck": math.inf}, "complete", None, "d")
STOPPED = Trial(1, {"lr": Constant(0.2)}, 5, {"score": 0.5}, "stopped")


def test_summary_has_the_words_of_its_contract_and_is_json() -> None:
    told = json.loads(json.dumps(result(COMPLETE, STOPPED).to_json(), allow_nan=False))
    assert list(told) == [
        *("study", "plan_key", "merge", "trials_asked", "steps_asked", "steps_distinct", "steps_reused", "steps_run"),
        *("steps_repeated", "merge_rate", "wall_s", "trainer_busy_s", "checkpoint_count", "best", "trials"),
    ]
    assert told["steps_repeated"] == {"late_branch": 2, "failure": 0, "evicted": 0}
    assert told["merge_rate"] == 1.5
    assert told["trials"][0] == told["best"]
    assert told["trials"][0] == {
        "number": 0,
        "config": {"lr": {"fn": "Constant", "value": 0.1}},
        "steps": 10,
        "status": "complete",
        "metrics": {"score": 1.0, "luck": None},
        "state_digest": "d",
        "error": None,
    }


@pytest.mark.parametrize(
    ("outcome", "succeeded"),
    [
        (result(COMPLETE, STOPPED), True),
        (result(STOPPED), False),
        (result(), False),
        (result(COMPLETE, user_errors=1), False),
    ],
)
def test_run_succeeds_when_a_trial_is_complete_and_no_code_raised(outcome: StudyResult, succeeded: bool) -> None:
    assert outcome.succeeded is succeeded
