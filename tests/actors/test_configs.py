"""Configs as messages say them: what is wrong is said by name, and a sequence is read once."""

from __future__ import annotations

import pytest

from hive.actors.configs import config_of
from hive.errors import UsageError
from hive.planner.sequences import Constant, MultiStep

NAMES = ("lr", "size")
LR = {"fn": "MultiStep", "initial": 0.1, "milestones": [10], "gamma": 0.1}
SIZE = {"fn": "Constant", "value": 4}


def test_config_has_the_sequences_of_its_descriptors_each_read_once() -> None:
    config = config_of({"lr": LR, "size": SIZE}, NAMES)
    assert config == {"lr": MultiStep(0.1, [10], 0.1), "size": Constant(4)}
    assert config_of({"lr": dict(LR)}, NAMES)["lr"] is config["lr"]
    assert config_of({"size": SIZE | {"value": 4.0}}, NAMES)["size"] == Constant(4.0)


@pytest.mark.parametrize(
    ("descriptors", "message"),
    [
        ({"lr": LR, "size": {"fn": "Constant"}}, "size: Constant lacks its parameter value"),
        ({"lr": LR, "size": 4}, "size: a descriptor is an object"),
        ({"lr": LR, "depth": SIZE, "age": SIZE}, "age, depth: the study's hyper-parameters are lr, size"),
        ({}, "an empty config: the study's hyper-parameters are lr, size"),
    ],
)
def test_config_that_means_nothing_is_refused_by_the_name_that_is_wrong(
    descriptors: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        config_of(descriptors, NAMES)
