"""Pieces and forms: equality by type, values to twelve digits, plain data, joining."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import pytest

from hive.errors import SequenceError
from hive.planner.pieces import (
    ConstantForm,
    CosineForm,
    ExponentialForm,
    Form,
    LineForm,
    Piece,
    PolynomialForm,
    canonical,
    form_from_data,
    joined,
)

RAMP = LineForm(Fraction(1, 50), Fraction(1, 50))
DECAY = ExponentialForm(0.1, 0.95, 5)
WAVE = CosineForm(0.1, 0.0, Fraction(59, 2), Fraction(10))
POWER = PolynomialForm(0.1, 2.0, Fraction(8), Fraction(0))

DATA: list[tuple[Form, list[object], str]] = [
    (ConstantForm(1), ["constant", 1], '["constant",1]'),
    (ConstantForm((1, "a", None)), ["constant", [1, "a", None]], '["constant",[1,"a",null]]'),
    (RAMP, ["line", "1/50", "1/50"], '["line","1/50","1/50"]'),
    (DECAY, ["exponential", 0.1, 0.95, 5], '["exponential",0.1,0.95,5]'),
    (WAVE, ["cosine", 0.1, 0.0, "59/2", 10], '["cosine",0.1,0.0,"59/2",10]'),
    (POWER, ["polynomial", 0.1, 2.0, 8, 0], '["polynomial",0.1,2.0,8,0]'),
]


@pytest.mark.parametrize(("form", "data", "key"), DATA)
def test_form_is_written_as_plain_data_and_read_back(form: Form, data: list[object], key: str) -> None:
    assert form.to_data() == data
    assert form.key == key
    assert form_from_data(data) == form
    assert hash(form_from_data(tuple(data))) == hash(form)


@pytest.mark.parametrize(("one", "two"), list(combinations([1, 1.0, True, "1", None, (1,), (1.0,), ()], 2)))
def test_constants_differ_when_their_types_do(one: object, two: object) -> None:
    assert form_from_data(["constant", one]) != form_from_data(["constant", two])


def test_constant_that_was_read_before_is_the_same_object() -> None:
    assert form_from_data(["constant", 0.1]) is form_from_data(["constant", 0.1])


def test_form_is_not_equal_to_what_is_no_form() -> None:
    assert RAMP != '["line","1/50","1/50"]'


def test_constant_has_twelve_digits_and_no_negative_zero() -> None:
    assert ConstantForm(0.1 * 3) == ConstantForm(0.3)
    assert ConstantForm((0.1 * 0.1,)) == ConstantForm((0.01,))
    assert repr(ConstantForm(-0.0).value(0)) == "0.0"
    assert ConstantForm(2**53 + 1).value(0) == 2**53 + 1


def test_constant_gives_a_list_that_its_reader_may_change() -> None:
    form = ConstantForm(((1, 2), 3))
    value = form.value(0)
    assert value == [[1, 2], 3]
    assert isinstance(value, list)
    value.clear()
    assert form.value(0) == [[1, 2], 3]


def test_line_is_computed_exactly_and_rounded_last() -> None:
    assert RAMP.value(4) == 0.1
    assert [RAMP.value(step) for step in range(3)] == [0.02, 0.04, 0.06]
    assert LineForm(Fraction(1, 3), Fraction(0)).value(1) == 0.333333333333


def test_line_through_two_points_does_not_depend_on_where_it_is_said_to_begin() -> None:
    whole = LineForm.through(0, Fraction(0), 10, Fraction(1))
    assert LineForm.through(5, Fraction(1, 2), 5, Fraction(1)) == whole
    assert LineForm.through(0, Fraction(1, 2), 5, Fraction(1)).shifted(5) == whole


def test_curves_have_the_values_of_their_formulas() -> None:
    assert DECAY.value(5) == 0.1
    assert DECAY.value(7) == 0.09025
    assert CosineForm(1.0, 0.5, Fraction(4), Fraction(2)).value(4) == 0.75
    assert POWER.value(4) == 0.025
    assert POWER.value(8) == 0.0


def test_cosine_has_all_digits_where_an_end_is_far_smaller_than_the_other() -> None:
    assert CosineForm(1e-08, 0.51, Fraction(2), Fraction(0)).value(0) == 1e-08
    tail = CosineForm(0.1, 0.0, Fraction(30_000), Fraction(0))
    assert tail.value(29_998) == 1.09662270722e-09  # 0.1 * sin(pi / 30,000) ** 2
    assert tail.value(30_000) == 0.0


def test_polynomial_stays_at_its_end_behind_it() -> None:
    assert PolynomialForm(0.1, 0.5, Fraction(8), Fraction(0)).value(9) == 0.0


@pytest.mark.parametrize("form", [RAMP, DECAY, WAVE, POWER, ConstantForm("sgd")])
def test_shifted_form_has_the_same_bits_later(form: Form) -> None:
    for step in range(12):
        assert repr(form.shifted(7).value(step + 7)) == repr(form.value(step))
    assert form.shifted(7).shifted(-7) == form


@pytest.mark.parametrize(
    "form",
    [
        ExponentialForm(1.0, 10.0, 0),
        ExponentialForm(-1.0, 1e300, 0),
        LineForm(Fraction(10**306), Fraction(0)),
        PolynomialForm(1.0, -1.0, Fraction(400), Fraction(0)),
    ],
)
def test_form_refuses_a_value_that_is_too_large_and_names_the_step(form: Form) -> None:
    with pytest.raises(SequenceError, match=r"the value at step 400 is too large"):
        form.value(400)


def test_exponential_that_becomes_too_small_is_zero() -> None:
    assert repr(ExponentialForm(0.1, 0.5, 0).value(10**6)) == "0.0"
    assert repr(ExponentialForm(-0.1, 0.5, 0).value(10**6)) == "0.0"


@pytest.mark.parametrize(
    "data",
    [
        None,
        "constant",
        [],
        ["constant"],
        ["constant", 1, 2],
        ["constant", float("nan")],
        ["constant", {"a": 1}],
        ["constant", 2**63],
        ["spline", 1],
        ["line", "1/0", "0"],
        ["line", "0.5", "0"],
        ["line", "1e999999999", "0"],
        ["line", 0.5, 0],
        ["line", True, 0],
        ["exponential", 0.1, 0.9, 1.5],
        ["exponential", "0.1", 0.9, 1],
        ["exponential", 0.1, True, 1],
        ["cosine", 0.1, 0.0, 0, 0],
        ["cosine", 0.1, 0.0, -4, 0],
        ["polynomial", float("inf"), 2, 4, 0],
    ],
)
def test_data_that_is_no_form_is_refused(data: object) -> None:
    with pytest.raises(SequenceError, match=r"is not a form"):
        form_from_data(data)


def test_data_that_nests_too_deep_is_refused() -> None:
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(SequenceError, match=r"more than 32 deep"):
        form_from_data(["constant", deep])


def test_numbers_of_another_language_make_the_same_form() -> None:
    assert form_from_data(["exponential", 1, 2, 0]) == form_from_data(["exponential", 1.0, 2.0, 0])
    assert form_from_data(["line", "2/100", 0]) == form_from_data(["line", "1/50", "0"])


def test_joined_makes_equal_neighbours_one_piece() -> None:
    pieces = [Piece(0, 3, RAMP), Piece(3, 5, RAMP), Piece(5, 6, ConstantForm(1)), Piece(6, None, ConstantForm(1.0))]
    assert list(joined(pieces)) == [Piece(0, 5, RAMP), *pieces[2:]]
    assert list(joined([])) == []


def test_canonical_makes_a_curve_of_one_step_a_constant_before_it_joins() -> None:
    pieces = [Piece(0, 1, RAMP), Piece(1, None, ConstantForm(0.02))]
    assert list(canonical(pieces)) == [Piece(0, None, ConstantForm(0.02))]


def test_curve_of_one_step_stays_one_where_its_value_is_too_large() -> None:
    piece = Piece(400, 401, ExponentialForm(1.0, 10.0, 0))
    assert piece.settled() == piece


def test_piece_is_shifted_and_cut_with_its_form() -> None:
    assert Piece(0, 4, RAMP).shifted(3) == Piece(3, 7, RAMP.shifted(3))
    assert Piece(0, None, DECAY).shifted(3) == Piece(3, None, DECAY.shifted(3))
    assert Piece(0, None, DECAY).until(4) == Piece(0, 4, DECAY)
    assert Piece(0, 2, DECAY).until(4) == Piece(0, 2, DECAY)
