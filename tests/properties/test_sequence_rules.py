"""Every parameter of every sequence: a value that breaks its rule is refused by both names. And sequences of a user's
own are what they lower themselves to, wherever they stand."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.errors import SequenceError
from hive.planner.search_plan import SearchPlan
from hive.planner.sequence_base import KNOWN, Sequence, parameters
from hive.planner.sequences import Chain, Constant, Warmup, sequence_from_descriptor
from hive.planner.space import segments
from tests.planner.strategies import sequences

GOOD: dict[str, dict[str, Any]] = {
    "Constant": {"value": 1},
    "Step": {"initial": 1, "step_size": 2, "gamma": 0.5},
    "MultiStep": {"initial": 1, "milestones": [2, 4], "gamma": 0.5},
    "Piecewise": {"values": [1, 2, 3], "milestones": [2, 4]},
    "Exponential": {"initial": 1, "gamma": 0.5},
    "Linear": {"initial": 1, "final": 0, "steps": 5},
    "Polynomial": {"initial": 1, "steps": 5, "power": 2},
    "Cosine": {"initial": 1, "steps": 5, "final": 0.5},
    "CosineWarmRestarts": {"initial": 1, "t_0": 5, "t_mult": 2, "final": 0.5},
    "Cyclic": {"base": 0, "max": 1, "step_size_up": 2, "step_size_down": 3},
    "OneCycle": {"max": 1, "steps": 10, "pct_start": 0.3, "div": 25, "final_div": 1e4},
    "Warmup": {"steps": 2, "target": 1, "then": Constant(1)},
    "Chain": {"parts": [(Constant(1), 2), (Constant(2), None)]},
    "Values": {"values": [1, 2]},
}

NAN, INF, HUGE = float("nan"), float("inf"), 2**64
NO_NUMBER: list[Any] = [None, "0.1", True, [1], {}, NAN, INF, -INF, HUGE, 1j]
NO_COUNT: list[Any] = [0, -3, 1.0, 2.5, True, "3", [1], NAN, HUGE]

NUMBER = (NO_NUMBER, "must be a number|must be finite|must fit in 64 bits")
POSITIVE = ([*NO_NUMBER, 0, -1, -0.5], f"{NUMBER[1]}|must be above 0")
COUNT = ([*NO_COUNT, None], "must be an int of at least 1|must fit in 64 bits")

BAD: dict[str, tuple[list[Any], str]] = {
    "value": ([NAN, INF, HUGE, {}, object(), b"x", [1, [NAN]], "\ud800"], "must"),
    "values": ([None, 5, "ab", [], {}, [NAN], [{}], [1, HUGE]], "must"),
    **dict.fromkeys(["initial", "gamma", "final", "base", "max", "target"], NUMBER),
    **dict.fromkeys(["step_size", "steps", "t_0", "t_mult", "step_size_up"], COUNT),
    "step_size_down": (NO_COUNT, COUNT[1]),
    "div": POSITIVE,
    "final_div": POSITIVE,
    "power": ([*NO_NUMBER, -1, -0.5], f"{NUMBER[1]}|must be at least 0"),
    "pct_start": ([*NO_NUMBER, -0.1, 1.1, 2], rf"{NUMBER[1]}|must lie in \[0, 1\]"),
    "milestones": (
        [None, 5, "5", [0], [-1, 2], [1.0, 2], [True, 2], [4, 2], [2, 2]],
        "must be a list of ints|must be ints of at least 1|must be strictly increasing",
    ),
    "then": ([None, 0.1, "Constant", [1], Constant], r"must be a sequence such as Constant\(0\.1\)"),
    "parts": (
        [None, 5, [], [3], [(Constant(1),)], [(Constant(1), 3)], [(0.1, None)]]
        + [[(Constant(1), steps), (Constant(2), None)] for steps in [None, *NO_COUNT]],
        "must|is the last part and holds for ever: its steps must be None",
    ),
}
"""By parameter: values that break its rule, and how that is said."""

CASES = [(fn, name, *BAD[name]) for fn, good in GOOD.items() for name in good]


def test_every_sequence_is_tried_with_all_its_parameters() -> None:
    assert {fn: list(good) for fn, good in GOOD.items()} == {
        fn: [item.name for item in parameters(kind)] for fn, kind in KNOWN.items()
    }
    for fn, good in GOOD.items():
        KNOWN[fn](**good)


@pytest.mark.parametrize(("fn", "name", "values", "message"), CASES, ids=[f"{fn}-{name}" for fn, name, *_ in CASES])
def test_value_that_breaks_its_rule_is_refused_with_sequence_parameter_and_rule(
    fn: str, name: str, values: list[Any], message: str
) -> None:
    for value in values:
        with pytest.raises(SequenceError) as refused:
            KNOWN[fn](**(GOOD[fn] | {name: value}))
        assert re.match(rf"{fn}: {name} (\[\d+\] )?({message})", str(refused.value)), (value, str(refused.value))


@pytest.mark.parametrize("fn", GOOD)
def test_parameter_that_lacks_or_is_not_known_is_named(fn: str) -> None:
    for item in parameters(KNOWN[fn]):
        left = {"fn": fn} | {key: value for key, value in described(fn).items() if key != item.name}
        if item.default is not MISSING:
            sequence_from_descriptor(left, "lr")
            continue
        with pytest.raises(SequenceError, match=rf"^lr: {fn} lacks its parameter {item.name}$"):
            sequence_from_descriptor(left, "lr")
    with pytest.raises(SequenceError, match=rf"^lr: {fn} has no parameter 'warmth'; it has: "):
        sequence_from_descriptor({"fn": fn} | described(fn) | {"warmth": 1}, "lr")


def described(fn: str) -> dict[str, Any]:
    return {key: value for key, value in KNOWN[fn](**GOOD[fn]).descriptor().items() if key != "fn"}


# -- a user's own ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Own(Sequence):
    """A user's own."""

    inner: Sequence

    def lower(self) -> Sequence:
        return self.inner


@settings(deadline=None)
@given(sequences(), st.integers(1, 30), st.integers(1, 9))
def test_user_s_own_sequence_shares_every_step_with_what_it_lowers_itself_to(
    sequence: Sequence, steps: int, first: int
) -> None:
    ways = [
        (sequence, Own(Own(sequence))),
        (Warmup(first, 1, sequence), Warmup(first, 1, Own(sequence))),
        (Chain([(sequence, first), (sequence, None)]), Own(Chain([(Own(sequence), first), (sequence, None)]))),
    ]
    for plain, own in ways:
        plan = SearchPlan()
        place, _ = plan.place(segments({"lr": plain}, steps))
        assert plan.place(segments({"lr": own}, steps)) == (place, [])
        assert own == plain
        assert sequence_from_descriptor(own.descriptor()) == plain
        assert [repr(own(step)) for step in range(steps)] == [repr(plain(step)) for step in range(steps)]
