"""Sequences: the fourteen kinds, their types and canonical pieces, users' own, and what is refused."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pytest

from hive.errors import SequenceError
from hive.planner.pieces import ConstantForm, Piece
from hive.planner.sequences import (
    Chain,
    Constant,
    Cosine,
    CosineWarmRestarts,
    Cyclic,
    Exponential,
    Linear,
    MultiStep,
    OneCycle,
    Piecewise,
    Polynomial,
    Sequence,
    Step,
    Values,
    Warmup,
    sequence_from_descriptor,
)

VALUES: list[tuple[Sequence, list[Any]]] = [
    (Constant("sgd"), ["sgd", "sgd"]),
    (Constant([3, [1.5, None]]), [[3, [1.5, None]]]),
    (Step(0.1, 2, 0.5), [0.1, 0.1, 0.05, 0.05, 0.025]),
    (MultiStep(0.1, [2, 3], 0.1), [0.1, 0.1, 0.01, 0.001, 0.001]),
    (MultiStep(128, [1, 2], 2), [128, 256, 512]),
    (MultiStep(32, [1], 0.5), [32, 16]),
    (MultiStep(32.0, [1], 0.5), [32.0, 16.0]),
    (MultiStep(3, [1, 2], 0.5), [3, 1.5, 0.75]),
    (MultiStep(0.1, [], 0.5), [0.1, 0.1]),
    (MultiStep(-0.1, [1], 0), [-0.1, 0.0]),
    (Step(128, 1, 0), [128, 0, 0]),
    (Step(1, 1, -1), [1, -1, 1, -1]),
    (Piecewise([1, 1.0, True, "a"], [1, 2, 3]), [1, 1.0, True, "a", "a"]),
    (Exponential(0.1, 0.5), [0.1, 0.05, 0.025]),
    (Exponential(128, 0.5), [128.0, 64.0]),
    (Exponential(128, 1), [128, 128]),
    (Exponential(0.1, 0), [0.1, 0.0, 0.0]),
    (Linear(0, 10, 4), [0.0, 2.5, 5.0, 7.5, 10.0, 10.0]),
    (Linear(8, 10, 1), [8, 10.0]),
    (Linear(7, 7.0, 3), [7, 7, 7, 7]),
    (Polynomial(1, 4), [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
    (Polynomial(1, 4, 2), [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]),
    (Polynomial(5, 4, 0), [5, 5, 5, 5, 5, 5]),
    (Cosine(1, 2), [1.0, 0.5, 0.0, 0.0]),
    (Cosine(1, 2, 0.5), [1.0, 0.75, 0.5]),
    (Cosine(3, 1), [3, 0.0, 0.0]),
    (Cosine(3, 5, 3), [3, 3]),
    (CosineWarmRestarts(1, 2), [1.0, 0.5, 1.0, 0.5]),
    (CosineWarmRestarts(1, 1, 2), [1, 1.0, 0.5, 1.0, 0.853553390593, 0.5, 0.146446609407, 1.0]),
    (CosineWarmRestarts(1, 1), [1, 1, 1]),
    (Cyclic(0, 1, 2), [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]),
    (Cyclic(0, 1, 1, 2), [0.0, 1.0, 0.5, 0.0]),
    (Cyclic(0, 1, 1, 1), [0.0, 1.0, 0.0, 1.0]),
    (Cyclic(1, 1, 3), [1.0, 1.0]),
    (OneCycle(1, 5, 0.6, 4, 10), [0.25, 0.625, 1.0, 0.5125, 0.025, 0.025]),
    (OneCycle(1, 4, 0.25, 4, 10), [1.0, 0.75625, 0.26875, 0.025, 0.025]),
    (OneCycle(1, 3, 1, 4), [0.25, 0.625, 1.0, 1.0]),
    (OneCycle(1, 1, 1), [1.0, 1.0]),
    (OneCycle(1, 1), [4e-6, 4e-6]),
    (Warmup(4, 1, Constant(3)), [0.25, 0.5, 0.75, 1.0, 3, 3]),
    (Warmup(1, 1, Exponential(1, 0.5)), [1.0, 1.0, 0.5]),
    (Warmup(2, 0, Constant(3)), [0.0, 0.0, 3]),
    (Chain([(Linear(0, 10, 10), 2), (Exponential(1, 0.5), 2), (Constant("end"), None)]), [0.0, 1.0, 1.0, 0.5, "end"]),
    (Values([1, 1, "b"]), [1, 1, "b", "b"]),
]


@pytest.mark.parametrize(("sequence", "wanted"), VALUES, ids=str)
def test_sequence_has_these_values_of_these_types(sequence: Sequence, wanted: list[Any]) -> None:
    got = [sequence(step) for step in range(len(wanted))]
    assert repr(got) == repr(wanted)


def test_power_is_an_int_for_an_int_alone_whichever_was_asked_for_first() -> None:
    for initial in (3, 3.0, 3):
        sequence = MultiStep(initial, [1, 2], 7)
        assert repr([sequence(step) for step in range(3)]) == repr([initial * 7**step for step in range(3)])


def pieces(sequence: Sequence, n: int = 10) -> list[tuple[int, int | None, str]]:
    return [(piece.start, piece.end, piece.form.key) for piece in islice(sequence.pieces(), n)]


PIECES: list[tuple[Sequence, list[tuple[int, int | None, str]]]] = [
    (
        Warmup(5, 0.1, Exponential(0.1, 0.95)),
        [(0, 5, '["line","1/50","1/50"]'), (5, None, '["exponential",0.1,0.95,5]')],
    ),
    (Warmup(1, 0.1, MultiStep(0.1, [4], 0.1)), [(0, 5, '["constant",0.1]'), (5, None, '["constant",0.01]')]),
    (
        Linear(2e-05, 0.0, 30000),
        [(0, 30000, '["line","-1/1500000000","1/50000"]'), (30000, None, '["constant",0.0]')],
    ),
    (
        Chain([(Linear(0, 10, 10), 5), (Linear(5, 10, 5), None)]),
        [(0, 10, '["line","1","0"]'), (10, None, '["constant",10.0]')],
    ),
    (
        Chain([(Cosine(1, 8), 1), (Constant(1.0), 3), (Constant(1), None)]),
        [(0, 4, '["constant",1.0]'), (4, None, '["constant",1]')],
    ),
    (
        Chain([(CosineWarmRestarts(0.1, 4), 6), (Constant(0), None)]),
        [(0, 4, '["cosine",0.1,0.0,4,0]'), (4, 6, '["cosine",0.1,0.0,4,4]'), (6, None, '["constant",0]')],
    ),
    (Values([1, 1, 2, 2]), [(0, 2, '["constant",1]'), (2, None, '["constant",2]')]),
    (Piecewise([1, 1], [5]), [(0, None, '["constant",1]')]),
    (MultiStep(0.1, [3, 6], 1), [(0, None, '["constant",0.1]')]),
    (Polynomial(0.1, 8), [(0, 8, '["line","-1/80","1/10"]'), (8, None, '["constant",0.0]')]),
    (
        OneCycle(1, 10, 0.25),
        [
            (0, 2, '["cosine",0.04,1.0,"3/2",0]'),
            (2, 10, '["cosine",1.0,4e-06,"15/2","3/2"]'),
            (10, None, '["constant",4e-06]'),
        ],
    ),
]


@pytest.mark.parametrize(("sequence", "wanted"), PIECES, ids=str)
def test_sequence_breaks_into_these_pieces(sequence: Sequence, wanted: list[tuple[int, int | None, str]]) -> None:
    assert pieces(sequence) == wanted


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Linear(1, 0, 8), Polynomial(1.0, 8)),
        (Step(0.1, 3, 0.5), Chain([(Constant(0.1), 3), (Step(0.05, 3, 0.5), None)])),
        (MultiStep(0.1, [5], 0.1), Piecewise([0.1, 0.1 * 0.1], [5])),
        (Exponential(1, 0.5), Exponential(1.0, 0.5)),
        (Warmup(4, 1, Constant(1.0)), Chain([(Linear(0.25, 1.25, 4), 4), (Constant(1.0), None)])),
    ],
    ids=str,
)
def test_what_is_said_in_two_ways_has_one_form(one: Sequence, two: Sequence) -> None:
    assert pieces(one) == pieces(two)


@pytest.mark.parametrize(
    "sequence",
    [Cyclic(0.1, 0.1 + 1e-15, 1), Step(0.1, 1, 0.5), Step(0, 1, 3), CosineWarmRestarts(0.1, 1), Exponential(1, 0)],
    ids=str,
)
def test_endless_sequence_whose_values_settle_has_a_last_piece(sequence: Sequence) -> None:
    *_, last = sequence.pieces()
    assert last.end is None


def test_endless_sequence_is_drawn_as_far_as_somebody_looks() -> None:
    assert len(pieces(Cyclic(0, 1, 1), 1000)) == 1000
    assert Cyclic(0, 1, 3)(10**4) == Cyclic(0, 1, 3)(10**4 % 6)
    assert CosineWarmRestarts(1, 1, 2)(2**20 - 1) == 1.0
    assert Exponential(0.1, 0.999999)(10**6) == pytest.approx(0.1 * 0.999999**10**6)


def test_sequence_is_known_by_types_and_values() -> None:
    assert Constant(1) != Constant(1.0)
    assert Constant(1) != Constant(True)
    assert Constant(1) != 1
    assert Cosine(0.1, 10) == Cosine(0.1, 10, 0.0)
    assert Cyclic(0, 1, 2) == Cyclic(0, 1, 2, 2)
    assert len({MultiStep(0.1, [1], 0.1), MultiStep(0.1, (1,), 0.1), MultiStep(0.1, [2], 0.1)}) == 2


def test_descriptor_leaves_out_what_is_at_its_default() -> None:
    assert CosineWarmRestarts(0.1, 20).descriptor() == {"fn": "CosineWarmRestarts", "initial": 0.1, "t_0": 20}
    assert Cyclic(0, 1, 2, 3).descriptor()["step_size_down"] == 3
    chain = Chain([(Constant(1), 2), (Warmup(3, 0.1, Constant(0.1)), None)])
    warmup = {"fn": "Warmup", "steps": 3, "target": 0.1, "then": {"fn": "Constant", "value": 0.1}}
    assert chain.descriptor() == {"fn": "Chain", "parts": [[{"fn": "Constant", "value": 1}, 2], [warmup, None]]}


def test_sequence_takes_numpy_numbers_and_enums_as_plain_ones() -> None:
    class Optimizer(enum.StrEnum):
        SGD = "sgd"

    numpy: Any = np
    assert Linear(numpy.float64(0.1), numpy.float32(0), numpy.int64(4)) == Linear(0.1, 0.0, 4)
    assert Constant([numpy.int64(3), numpy.float64(0.5), Optimizer.SGD]) == Constant([3, 0.5, "sgd"])
    assert type(Constant(Optimizer.SGD)(0)) is str


def test_sequence_does_not_change_with_the_lists_it_was_made_of() -> None:
    milestones = [3]
    sequence = MultiStep(0.1, milestones, 0.1)
    milestones.append(5)
    assert sequence.milestones == (3,)


@dataclass(frozen=True)
class Halving(Sequence):
    """A user's own: the initial value, halved every `every` steps."""

    initial: float
    every: int

    def lower(self) -> Sequence:
        return Step(self.initial, self.every, 0.5)


@dataclass(frozen=True)
class Late(Sequence):
    """A user's own on top of another one."""

    def lower(self) -> Sequence:
        return Warmup(2, 8, Halving(8, 2))


def test_user_s_own_sequence_is_what_it_lowers_itself_to() -> None:
    assert [Late()(step) for step in range(7)] == [4.0, 8.0, 8, 8, 4, 4, 2]
    assert Late().descriptor() == Warmup(2, 8, Step(8, 2, 0.5)).descriptor()
    assert pieces(Late()) == pieces(Warmup(2, 8, Step(8, 2, 0.5)))


def test_user_s_own_sequence_may_refine_one_of_hive_s() -> None:
    class Gentle(MultiStep):
        pass

    class Blunt(MultiStep):
        def lower(self) -> Sequence:
            return Constant(self.initial)

    assert Gentle(0.1, [5], 0.1).descriptor() == MultiStep(0.1, [5], 0.1).descriptor()
    assert Blunt(0.1, [5], 0.1)(6) == 0.1
    assert Blunt(0.1, [5], 0.1).descriptor() == {"fn": "Constant", "value": 0.1}


class Forgetful(Sequence):
    """Overrides nothing."""


class Circular(Sequence):
    """Never ends in one of hive's own."""

    def lower(self) -> Sequence:
        return Circular()


class Numeric(Sequence):
    """Returns what is no sequence."""

    def lower(self) -> Any:
        return 0.1


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (Forgetful(), r"Forgetful: override lower\(\) to return one of Constant, "),
        (Circular(), r"Circular: lower\(\) goes round in a circle"),
        (Numeric(), r"Numeric: lower\(\) must return a sequence, got 0\.1"),
    ],
)
def test_user_s_own_sequence_that_does_not_lower_itself_is_told_so(sequence: Sequence, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        sequence(0)


@pytest.mark.parametrize(("step", "message"), [(-1, "steps count from 0, got -1"), (0.5, "a step is an int, got 0.5")])
def test_call_refuses_what_is_no_step(step: Any, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        Constant(1)(step)


def test_value_too_large_is_refused_each_time_it_is_asked_for_and_only_there() -> None:
    for sequence in (Step(1, 1, 10), MultiStep(1, list(range(1, 400)), 10), Warmup(1, 1, Step(10, 1, 10))):
        assert sequence(308) == 1e308
        for _ in range(2):
            with pytest.raises(SequenceError, match="the value at step 309 is too large"):
                sequence(309)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"fn": "Constant", "value": float("nan")}, "Constant: value must be finite, got nan"),
    ({"fn": "Constant", "value": 2**64}, "Constant: value must fit in 64 bits"),
    ({"fn": "Constant", "value": "\ud800"}, "Constant: value must be text that UTF-8 can write"),
    ({"fn": "Step", "initial": "0.1", "step_size": 1, "gamma": 1}, "Step: initial must be a number, got '0.1'"),
    ({"fn": "Step", "initial": True, "step_size": 1, "gamma": 1}, "Step: initial must be a number, got True"),
    ({"fn": "Step", "initial": 1, "step_size": 0, "gamma": 1}, "Step: step_size must be an int of at least 1, got 0"),
    ({"fn": "Step", "initial": 1, "step_size": 1.0, "gamma": 1}, "step_size must be an int of at least 1, got 1.0"),
    ({"fn": "Step", "initial": 1, "step_size": True, "gamma": 1}, "step_size must be an int of at least 1, got True"),
    (
        {"fn": "MultiStep", "initial": 1, "milestones": [90, 60], "gamma": 1},
        "MultiStep: milestones must be strictly increasing, got [90, 60]",
    ),
    ({"fn": "MultiStep", "initial": 1, "milestones": [5, 5], "gamma": 1}, "milestones must be strictly increasing"),
    (
        {"fn": "MultiStep", "initial": 1, "milestones": [0], "gamma": 1},
        "milestones must be ints of at least 1, got [0]",
    ),
    ({"fn": "MultiStep", "initial": 1, "milestones": 5, "gamma": 1}, "milestones must be a list of ints, got 5"),
    (
        {"fn": "Piecewise", "values": [1, 2], "milestones": [5, 6]},
        "Piecewise: values must be one more than milestones, got 2 values and 2 milestones",
    ),
    ({"fn": "Values", "values": []}, "Values: values must be a list of at least one value, got []"),
    ({"fn": "Exponential", "initial": 1, "gamma": float("inf")}, "Exponential: gamma must be finite, got inf"),
    ({"fn": "Polynomial", "initial": 1, "steps": 5, "power": -1}, "Polynomial: power must be at least 0, got -1"),
    ({"fn": "CosineWarmRestarts", "initial": 1, "t_0": 5, "t_mult": 1.5}, "t_mult must be an int of at least 1"),
    ({"fn": "OneCycle", "max": 1, "steps": 5, "pct_start": 1.5}, "OneCycle: pct_start must lie in [0, 1], got 1.5"),
    ({"fn": "OneCycle", "max": 1, "steps": 5, "div": 0}, "OneCycle: div must be above 0, got 0"),
    ({"fn": "OneCycle", "max": 1e308, "steps": 5, "div": 1e-9}, "OneCycle: max / div / final_div is too large"),
    ({"fn": "Warmup", "steps": 5, "target": 1, "then": 0.1}, "Warmup: then must be a sequence such as Constant(0.1)"),
    ({"fn": "Chain", "parts": []}, "Chain: parts must be a list of (sequence, steps), got []"),
    ({"fn": "Chain", "parts": [3]}, "Chain: parts [0] must be a pair (sequence, steps), got 3"),
    ({"fn": "Chain", "parts": [[3, None]]}, "Chain: parts [0] must be a sequence"),
    (
        {"fn": "Chain", "parts": [[{"fn": "Constant", "value": 1}, 3]]},
        "Chain: parts [0] is the last part and holds for ever: its steps must be None, got 3",
    ),
    (
        {"fn": "Chain", "parts": [[{"fn": "Constant", "value": 1}, None], [{"fn": "Constant", "value": 1}, None]]},
        "Chain: parts [0] must be an int of at least 1, got None",
    ),
    (
        {"fn": "Multistep", "initial": 1},
        "there is no sequence 'Multistep' (did you mean MultiStep?); known: Constant, ",
    ),
    ({"fn": "Zigzag"}, "there is no sequence 'Zigzag'; known: Constant, Step, MultiStep"),
    (
        {"fn": "Linear", "initial": 1, "final": 0, "step": 5},
        "Linear has no parameter 'step' (did you mean steps?); it has: initial, final, steps",
    ),
    ({"fn": "Linear", "initial": 1}, "Linear lacks its parameter final, steps"),
    ({"value": 1}, 'a descriptor is an object with a name in "fn", got {'),
]


@pytest.mark.parametrize(("descriptor", "message"), REFUSED, ids=str)
def test_descriptor_that_breaks_a_rule_is_refused_with_place_and_rule(descriptor: dict[str, Any], message: str) -> None:
    with pytest.raises(SequenceError, match=rf"^space\.lr\[0\]: .*{re.escape(message)}"):
        sequence_from_descriptor(descriptor, "space.lr[0]")


def test_refusal_names_the_place_inside_another_descriptor() -> None:
    inner = {"fn": "Warmup", "steps": 1, "target": 1, "then": {"fn": "Steps"}}
    chain = {"fn": "Chain", "parts": [[inner, None]]}
    with pytest.raises(
        SequenceError, match=r"^lr\.parts\[0\]\[0\]\.then: there is no sequence 'Steps' \(did you mean Step\?"
    ):
        sequence_from_descriptor(chain, "lr")
    with pytest.raises(SequenceError, match=r'^lr\.value: the number in \{"float": \.\.\.\} must be a number'):
        sequence_from_descriptor({"fn": "Constant", "value": {"float": "x"}}, "lr")
    with pytest.raises(SequenceError, match=r"^there is no sequence"):
        sequence_from_descriptor({"fn": "Zigzag"})


def test_python_call_is_refused_with_the_same_words_and_no_place() -> None:
    with pytest.raises(SequenceError, match=r"^MultiStep: milestones must be strictly increasing, got \[90, 60\]$"):
        MultiStep(0.1, [90, 60], 0.1)


def test_descriptors_too_deep_in_each_other_are_refused() -> None:
    descriptor: dict[str, Any] = {"fn": "Constant", "value": 1}
    for _ in range(5000):
        descriptor = {"fn": "Warmup", "steps": 1, "target": 1, "then": descriptor}
    with pytest.raises(SequenceError, match="lies more than 32 deep"):
        sequence_from_descriptor(descriptor)


def test_marked_float_is_a_float_wherever_a_number_may_stand() -> None:
    descriptor = {"fn": "Piecewise", "values": [{"float": 1}, [1, {"float": 2}]], "milestones": [3]}
    assert sequence_from_descriptor(descriptor) == Piecewise([1.0, [1, 2.0]], [3])


def test_pieces_of_a_constant_are_one() -> None:
    assert list(Constant(0.1).pieces()) == [Piece(0, None, ConstantForm(0.1))]
