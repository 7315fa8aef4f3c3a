"""Pieces: the canonical form of a sequence over a range of steps, and the only place where values are computed.

A form is a rule for the value at each absolute step; a piece is a form with the range it holds over. Two trials share
a step when their pieces are equal there, and because every value comes out of `Form.value`, equal pieces give equal
bits: sharing is sound by construction. (The naive way, each sequence by its own formula and a key of rounded
parameters beside it, gave different bits for almost half of the equal keys.) Three things keep that true:

* Parameters are taken by their decimal text. A line is two exact rationals, an exponential is computed in decimal
  arithmetic: a curve means the same wherever it begins, and on every machine.
* Values are rounded to 12 significant digits, last.
* Equality is that of the canonical text, which tells 1, 1.0 and true apart.

This module must not know which sequences exist, nor what a trial or a plan is.
"""

from __future__ import annotations

import abc
import decimal
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple

from hive.errors import SequenceError
from hive.planner.values import Frozen, Value, frozen, number, rational, rational_data, rounded, shown, thawed

__all__ = [
    "ConstantForm",
    "CosineForm",
    "CurveForm",
    "ExponentialForm",
    "Form",
    "LineForm",
    "Piece",
    "PolynomialForm",
    "Value",
    "canonical",
    "constant",
    "form_from_data",
    "joined",
]

DECIMAL = decimal.Context(prec=40, rounding=decimal.ROUND_HALF_EVEN, traps=[])
"""For exponentials: far more digits than are kept, and the same ones on every machine. Nothing traps: what is too
large becomes infinite, and `rounded` refuses it."""


CONSTANTS_MAX = 20_000
"""Constants remembered by their values, some 500 bytes each: a search says the same few again and again."""

write_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Made once: `json.dumps` makes one at each call, which takes longer than to write."""


class Form(abc.ABC):
    """A value as a function of the absolute step. Frozen, hashable; equal by kind, parameters and their types."""

    @cached_property
    def key(self) -> str:
        """Canonical text: equal if and only if the forms are equal."""
        return write_json(self.to_data())

    @abc.abstractmethod
    def value(self, step: int) -> Value:
        """Return the value in force during `step`: a number has 12 significant digits.

        Raises:
            SequenceError: the number is too large for a float there.
        """

    @abc.abstractmethod
    def shifted(self, steps: int) -> Form:
        """Return the same curve, beginning `steps` later."""

    @abc.abstractmethod
    def to_data(self) -> list[Value]:
        """Return the form as plain data, which `form_from_data` takes back."""

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Form) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, eq=False)
class ConstantForm(Form):
    """One value at every step: a number, string, bool, None or list of these; its floats have 12 digits."""

    constant: Frozen

    def __post_init__(self) -> None:
        object.__setattr__(self, "constant", rounded_within(frozen(self.constant)))

    def value(self, step: int) -> Value:  # noqa: ARG002 - it is the same at every step
        """Return the constant; lists as lists."""
        return thawed(self.constant)

    def shifted(self, steps: int) -> Form:  # noqa: ARG002 - it has no beginning
        """Return itself."""
        return self

    def to_data(self) -> list[Value]:
        """Return ["constant", value]."""
        return ["constant", thawed(self.constant)]


def constant(value: Frozen) -> ConstantForm:
    """Return the form of a constant; the same one as the last time, as far as they are remembered."""
    return ConstantForm(value) if isinstance(value, tuple) else plain_constant(value)


@lru_cache(CONSTANTS_MAX, typed=True)
def plain_constant(value: Frozen) -> ConstantForm:
    """Return the form of a constant that is no tuple: 1, 1.0 and True differ here, and inside tuples they would not."""
    return ConstantForm(value)


class CurveForm(Form):
    """A form whose value is a float that changes with the step."""

    def value(self, step: int) -> float:
        """Return the float in force during `step`, to 12 significant digits."""
        try:
            return rounded(self.at(step))
        except (ArithmeticError, ValueError):
            raise SequenceError(f"the value at step {step} is too large for a number: {self.key}") from None

    @abc.abstractmethod
    def at(self, step: int) -> float:
        """Return the number at `step`, before it is rounded."""


@dataclass(frozen=True, eq=False)
class LineForm(CurveForm):
    """slope * step + intercept, exactly, as a float."""

    slope: Fraction
    intercept: Fraction

    @classmethod
    def through(cls, start: int, first: Fraction, steps: int, last: Fraction) -> LineForm:
        """Return the line that is `first` at step `start` and would be `last` `steps` later."""
        slope = (last - first) / steps
        return cls(slope, first - slope * start)

    def at(self, step: int) -> float:
        """Return the float nearest to the exact value."""
        return float(self.slope * step + self.intercept)

    def shifted(self, steps: int) -> Form:
        """Return the line moved `steps` to the right."""
        return LineForm(self.slope, self.intercept - self.slope * steps)

    def to_data(self) -> list[Value]:
        """Return ["line", slope, intercept], both as text."""
        return ["line", str(self.slope), str(self.intercept)]


@dataclass(frozen=True, eq=False)
class ExponentialForm(CurveForm):
    """initial * gamma ** (step - origin)."""

    initial: float
    gamma: float
    origin: int

    def at(self, step: int) -> float:
        """Return the float nearest to the value in 40-digit decimal arithmetic."""
        if step == self.origin:
            return self.initial
        power = DECIMAL.power(Decimal(repr(self.gamma)), step - self.origin)
        return float(DECIMAL.multiply(Decimal(repr(self.initial)), power))

    def shifted(self, steps: int) -> Form:
        """Return the curve with a later origin."""
        return ExponentialForm(self.initial, self.gamma, self.origin + steps)

    def to_data(self) -> list[Value]:
        """Return ["exponential", initial, gamma, origin]."""
        return ["exponential", self.initial, self.gamma, self.origin]


@dataclass(frozen=True, eq=False)
class CosineForm(CurveForm):
    """Half a cosine wave from `initial` at `origin` to `final`, `length` (> 0) steps later; both may be fractions."""

    initial: float
    final: float
    length: Fraction
    origin: Fraction

    def at(self, step: int) -> float:
        """Return final + (initial - final) * (1 + cos(pi * share of the length)) / 2, each end by its own weight: no
        digit is lost where one end is far smaller than the other, or where the wave has almost come to 0."""
        share = (step - self.origin) / self.length
        begun, left = (math.sin(math.pi / 2 * float(part)) ** 2 for part in (share, 1 - share))
        return self.initial * left + self.final * begun

    def shifted(self, steps: int) -> Form:
        """Return the curve with a later origin."""
        return CosineForm(self.initial, self.final, self.length, self.origin + steps)

    def to_data(self) -> list[Value]:
        """Return ["cosine", initial, final, length, origin]."""
        return ["cosine", self.initial, self.final, rational_data(self.length), rational_data(self.origin)]


@dataclass(frozen=True, eq=False)
class PolynomialForm(CurveForm):
    """initial * (1 - share) ** power, where share is how much of `length` (> 0 steps) has passed since `origin`."""

    initial: float
    power: float
    length: Fraction
    origin: Fraction

    def at(self, step: int) -> float:
        """Return the value; what remains of the length is exact before the power is taken."""
        remaining = max(0.0, float(1 - (step - self.origin) / self.length))
        return self.initial * math.pow(remaining, self.power)

    def shifted(self, steps: int) -> Form:
        """Return the curve with a later origin."""
        return PolynomialForm(self.initial, self.power, self.length, self.origin + steps)

    def to_data(self) -> list[Value]:
        """Return ["polynomial", initial, power, length, origin]."""
        return ["polynomial", self.initial, self.power, rational_data(self.length), rational_data(self.origin)]


class Piece(NamedTuple):
    """A form and the half-open range [start, end) of absolute steps it holds over; end None is for ever."""

    start: int
    end: int | None
    form: Form

    def shifted(self, steps: int) -> Piece:
        """Return the same piece, `steps` later."""
        return Piece(self.start + steps, None if self.end is None else self.end + steps, self.form.shifted(steps))

    def until(self, end: int) -> Piece:
        """Return the piece's part before `end`, which must lie behind its start."""
        assert end > self.start
        return Piece(self.start, end if self.end is None else min(end, self.end), self.form)

    def settled(self) -> Piece:
        """Return the piece, with a constant for a curve of which it has one step only."""
        if self.end != self.start + 1 or isinstance(self.form, ConstantForm):
            return self
        try:
            return Piece(self.start, self.end, constant(frozen(self.form.value(self.start))))
        except SequenceError:  # too large for a number: whoever asks for the value is told, nobody else
            return self


def joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield consecutive pieces with equal neighbours as one piece.

    Lazy: looks one piece ahead. An endless stream of equal pieces would never yield, so who draws one must end it
    with an endless piece.
    """
    held: Piece | None = None
    for piece in pieces:
        if held is None:
            held = piece
        elif held.form.key == piece.form.key:
            held = Piece(held.start, piece.end, held.form)
        else:
            yield held
            held = piece
    if held is not None:
        yield held


def canonical(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield consecutive pieces as plans compare them: one-step curves as constants, then equal neighbours joined."""
    return joined(map(Piece.settled, pieces))


def form_from_data(data: object) -> Form:
    """Return the form that `to_data` wrote, from JSON or MessagePack.

    Raises:
        SequenceError: data is anything else.
    """
    try:
        match data:
            case ["constant", value]:
                return constant(frozen(value))
            case ["line", slope, intercept]:
                return LineForm(rational(slope), rational(intercept))
            case ["exponential", initial, gamma, origin]:
                return ExponentialForm(real(initial), real(gamma), integer(origin))
            case ["cosine", initial, final, length, origin]:
                return CosineForm(real(initial), real(final), positive(rational(length)), rational(origin))
            case ["polynomial", initial, power, length, origin]:
                return PolynomialForm(real(initial), real(power), positive(rational(length)), rational(origin))
    except SequenceError as error:
        raise SequenceError(f"{shown(data)} is not a form: a parameter {error}") from None
    raise SequenceError(f"{shown(data)} is not a form: want [kind, parameters ...] of a known kind")


def rounded_within(value: Frozen) -> Frozen:
    """Return a value with each float in it rounded."""
    if isinstance(value, tuple):
        return tuple(rounded_within(item) for item in value)
    return rounded(value) if isinstance(value, float) else value


def real(x: object) -> float:
    """Return a number as a float."""
    return float(number(x))


def integer(x: object) -> int:
    """Return a number that is an int."""
    plain = number(x)
    if not isinstance(plain, int):
        raise SequenceError(f"must be an int, got {shown(x)}")
    return plain


def positive(x: Fraction) -> Fraction:
    """Return a fraction above 0."""
    if x <= 0:
        raise SequenceError(f"must be above 0, got {x}")
    return x
