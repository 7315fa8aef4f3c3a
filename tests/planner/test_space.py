"""Spaces: the grid, conditions, JSON, what is refused; and the papers' spaces, counted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hive.errors import HiveError, SequenceError, SpaceError
from hive.planner.pieces import ConstantForm
from hive.planner.sequences import Constant, Exponential, Linear, MultiStep, Piecewise, Sequence, Warmup
from hive.planner.space import Config, GridSpace, Segment, config_key, segments

PAPERS = Path(__file__).parents[2] / "hive" / "simulation" / "spaces.json"


def plain(config: Config) -> dict[str, Any]:
    return {name: sequence(0) for name, sequence in config.items()}


def constants(*values: Any) -> list[Sequence]:
    return [Constant(value) for value in values]


def optimizer_space(**settings: Any) -> GridSpace:
    """Momentum is there for one optimizer, Nesterov only where momentum is 0.9."""
    space = {
        "optimizer": constants("adam", "sgd"),
        "momentum": constants(0.5, 0.9),
        "nesterov": constants(True, False),
    }
    conditions = [
        {"hp": "nesterov", "active_if": {"momentum": [0.9]}},
        {"hp": "momentum", "active_if": {"optimizer": ["sgd", "rmsprop"]}},
    ]
    return GridSpace(space, 10, conditions=conditions, **settings)


def test_grid_has_every_combination_with_the_first_name_slowest() -> None:
    space = GridSpace({"a": constants(1, 2), "b": constants("x", "y")}, 5)
    assert [plain(config) for config in space.configs()] == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert space.names == ("a", "b")
    assert space.steps == 5


def test_condition_removes_a_name_and_trials_that_become_equal_are_one() -> None:
    assert [plain(config) for config in optimizer_space().configs()] == [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": False},
    ]


def test_condition_tells_values_apart_by_type() -> None:
    space: dict[str, list[Sequence]] = {"depth": constants(1, 1.0, True), "width": constants(8)}
    grid = GridSpace(space, 5, conditions=[{"hp": "width", "active_if": {"depth": [1]}}])
    assert ["width" in config for config in grid.configs()] == [True, False, False]


def test_condition_looks_at_a_sequence_s_first_value() -> None:
    space: dict[str, list[Sequence]] = {
        "batch": [Piecewise([32, 64], [3]), Piecewise([64, 32], [3])],
        "b": constants(1),
    }
    grid = GridSpace(space, 5, conditions=[{"hp": "b", "active_if": {"batch": [32]}}])
    assert ["b" in config for config in grid.configs()] == [True, False]


def test_two_conditions_on_one_name_must_both_hold() -> None:
    space = {"a": constants(1, 2), "b": constants(1, 2), "c": constants(0)}
    conditions = [{"hp": "c", "active_if": {"a": [1]}}, {"hp": "c", "active_if": {"b": [2]}}]
    grid = GridSpace(space, 5, conditions=conditions)
    assert ["c" in config for config in grid.configs()] == [False, True, False, False]
    joint = GridSpace(space, 5, conditions=[{"hp": "c", "active_if": {"a": [1], "b": [2]}}])
    assert joint.configs() == grid.configs()


def test_where_keeps_the_configs_it_is_true_for_and_sees_them_after_conditions() -> None:
    grid = optimizer_space(where=lambda config: "momentum" not in config or config["momentum"](0) == 0.9)
    assert [config.get("momentum") for config in grid.configs()] == [None, Constant(0.9), Constant(0.9)]


def test_equal_sequences_in_a_list_are_one_trial() -> None:
    grid = GridSpace({"a": [Constant(1), Constant(1), Constant(1.0)]}, 5)
    assert [config["a"](0) for config in grid.configs()] == [1, 1.0]


def test_config_that_fits_the_space_passes_the_check() -> None:
    space = optimizer_space()
    for config in space.configs():
        space.check(config)
    space.check({"optimizer": Constant("lamb"), "momentum": Exponential(0.9, 0.99)})


def test_config_key_tells_types_apart_and_not_the_order_of_names() -> None:
    one = {"a": Constant(1), "b": Exponential(0.1, 0.9)}
    assert config_key(one) == config_key(dict(reversed(one.items())))
    assert config_key(one) != config_key(one | {"a": Constant(1.0)})
    assert json.loads(config_key(one)) == {"a": {"fn": "Constant", "value": 1}, "b": one["b"].descriptor()}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"optimizer": Constant("sgd"), "momentun": Constant(0.9)}, "'momentun' is not in the space (did you mean mom"),
        ({"momentum": Constant(0.9)}, "the config lacks optimizer"),
        ({"optimizer": "sgd"}, "config.optimizer: is not a sequence: write Constant('sgd')"),
    ],
)
def test_config_that_does_not_fit_is_refused(config: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        optimizer_space().check(config)


ONE = {"a": constants(1)}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"space": ONE, "steps": 0}, "steps must be an int of at least 1, got 0"),
    ({"space": ONE, "steps": True}, "steps must be an int of at least 1, got True"),
    ({"space": ONE, "steps": 5.0}, "steps must be an int of at least 1, got 5.0"),
    ({"space": {}, "steps": 5}, "space: must map at least one hyper-parameter"),
    ({"space": [1], "steps": 5}, "space: must map at least one hyper-parameter"),
    ({"space": {"a": []}, "steps": 5}, "space.a: the list is empty"),
    ({"space": {"a": Constant(1)}, "steps": 5}, "space.a: must be a list"),
    ({"space": {1: constants(1)}, "steps": 5}, "a hyper-parameter's name must be a text, got 1"),
    ({"space": {"a": [Constant(1), 32]}, "steps": 5}, "space.a[1]: is not a sequence: write Constant(32)"),
    ({"space": {"a": [Constant]}, "steps": 5}, "space.a[0]: is the class Constant, not a sequence"),
    ({"space": ONE, "steps": 5, "where": lambda config: False}, "where: it is true for no config"),
    ({"space": {"a": [Exponential(1, 10)]}, "steps": 310}, "space.a[0]: the value at step 309 is too large"),
    ({"space": ONE, "steps": 5, "conditions": {"hp": "a"}}, "conditions: must be a list"),
    ({"space": ONE, "steps": 5, "conditions": [{"hp": "a"}]}, "conditions[0]: must be {"),
    (
        {"space": ONE, "steps": 5, "conditions": [{"hp": "b", "active_if": {"a": [1]}}]},
        "conditions[0]: there is no hyper-parameter 'b'",
    ),
    (
        {"space": ONE, "steps": 5, "conditions": [{"hp": "a", "active_if": {"lr": [1]}}]},
        "there is no hyper-parameter 'lr'; the space has: a",
    ),
    (
        {"space": ONE, "steps": 5, "conditions": [{"hp": "a", "active_if": {"a": [1]}}]},
        "conditions: they go round in a circle: a -> a",
    ),
    (
        {"space": ONE | {"b": constants(1)}, "steps": 5, "conditions": [{"hp": "a", "active_if": {"b": 1}}]},
        "conditions[0].active_if.b: must be a list of at least one value, got 1",
    ),
    (
        {"space": ONE | {"b": constants(1)}, "steps": 5, "conditions": [{"hp": "a", "active_if": {"b": [{}]}}]},
        "conditions[0].active_if.b",
    ),
    ({"space": ONE, "steps": 5, "conditions": [{"hp": "a", "active_if": {}}]}, "conditions[0].active_if: must map"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=lambda x: x if isinstance(x, str) else "")
def test_space_that_breaks_a_rule_is_refused_with_its_place(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(HiveError, match=re.escape(message)):
        GridSpace(**arguments)


def test_space_comes_back_from_json() -> None:
    space = optimizer_space(name="optimizers")
    back = GridSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert back.to_json() == space.to_json()
    assert back.configs() == space.configs()
    assert (back.name, back.steps) == ("optimizers", 10)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        ([], SpaceError, 'a space in JSON is an object with "steps" and "space"'),
        ({"space": {"a": []}}, SpaceError, 'a space in JSON is an object with "steps" and "space"'),
        ({"space": {"a": {}}, "steps": 1}, SpaceError, "space.a: must be a list"),
        ({"space": {"lr": [{"fn": "Expo"}]}, "steps": 1}, SequenceError, "space.lr[0]: there is no sequence 'Expo'"),
    ],
)
def test_json_that_is_no_space_is_refused(data: Any, kind: type[HiveError], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        GridSpace.from_json(data)


def test_space_with_where_has_no_json_form() -> None:
    with pytest.raises(SpaceError, match="has no JSON form"):
        optimizer_space(where=bool).to_json()


def test_marked_float_in_a_condition_is_a_float() -> None:
    data = {
        "steps": 1,
        "space": {"a": [{"fn": "Constant", "value": {"float": 1}}], "b": [{"fn": "Constant", "value": 2}]},
        "conditions": [{"hp": "b", "active_if": {"a": [{"float": 1}]}}],
    }
    assert plain(GridSpace.from_json(data).configs()[0]) == {"a": 1.0, "b": 2}


def test_segments_are_cut_wherever_a_form_changes() -> None:
    config: Config = {"lr": Warmup(2, 0.1, MultiStep(0.1, [3], 0.1)), "batch": Piecewise([32, 64], [5])}
    cut = segments(config, 8)
    assert [(segment.start, segment.end) for segment in cut] == [(0, 2), (2, 5), (5, 8)]
    assert cut[2].forms == {"lr": ConstantForm(0.01), "batch": ConstantForm(64)}
    assert [(segment.start, segment.end) for segment in segments(config, 3)] == [(0, 2), (2, 3)]
    assert segments(config, 2) == cut[:1]


def test_trial_of_one_step_has_the_form_of_a_longer_one() -> None:
    config: Config = {"lr": Linear(1, 0, 10)}
    first = segments(config, 5)[0]
    assert segments(config, 1) == [Segment(0, 1, first.forms, first.key)]
    assert segments(config, 0) == []
    assert segments({}, 4) == [Segment(0, 4, {}, "")]


@cache
def papers() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(PAPERS.read_text())
    return data


@cache
def paper_space(name: str) -> GridSpace:
    return GridSpace.from_json(papers()["spaces"][name])


def distinct_steps(spaces: Iterable[GridSpace]) -> int:
    """Steps of the trie of segments: a node is (parent, start, forms), and as long as its longest trial."""
    lengths: dict[Any, int] = {}
    for space in spaces:
        for config in space.configs():
            node: Any = 0
            for segment in segments(config, space.steps):
                node = hash((node, segment.start, frozenset(segment.forms.items())))
                lengths[node] = max(lengths.get(node, 0), segment.end - segment.start)
    return sum(lengths.values())


@pytest.mark.parametrize(
    ("names", "trials", "asked", "distinct"),
    [
        (["resnet56"], 448, 53_760, 21_920),
        (["mobilenetv2"], 240, 28_800, 9_180),
        (["bert"], 40, 1_080_000, 528_000),
        ("high-S2", 288, 34_560, 15_330),
        ("low-S1", 144, 17_280, 14_525),
    ],
)
def test_papers_space_has_this_many_distinct_steps(
    names: list[str] | str, trials: int, asked: int, distinct: int
) -> None:
    spaces = [paper_space(name) for name in (papers()["sets"][names] if isinstance(names, str) else names)]
    counts = [(len(space.configs()), space.steps) for space in spaces]
    assert sum(count for count, _ in counts) == trials
    assert sum(count * steps for count, steps in counts) == asked
    assert distinct_steps(spaces) == distinct


def test_papers_spaces_come_back_from_json() -> None:
    for name, data in papers()["spaces"].items():
        wanted = {
            "name": name,
            "steps": data["steps"],
            "space": data["space"],
            "conditions": data.get("conditions", []),
        }
        assert paper_space(name).to_json() == wanted
