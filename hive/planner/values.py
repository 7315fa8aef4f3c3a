"""What a hyper-parameter's value and a sequence's parameter may be, and how numbers are made canonical.

Must not know what a sequence or a piece is: it looks at plain values only.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

from hive.errors import SequenceError

__all__ = [
    "DIGITS",
    "NESTING_MAX",
    "Frozen",
    "Value",
    "count",
    "counts_rising",
    "exact",
    "frozen",
    "listed",
    "number",
    "rational",
    "rational_data",
    "rounded",
    "shown",
    "thawed",
    "whole",
]

Value = None | bool | int | float | str | list["Value"]
"""A hyper-parameter's value, as `setup()` gets it."""

Frozen = None | bool | int | float | str | tuple["Frozen", ...]
"""The same inside sequences and forms: tuples for lists."""

DIGITS = 12
"""Significant decimal digits of a value: few enough to swallow the error of a short float computation, so that
0.1 * 0.1 and 0.01 are one learning rate."""

NESTING_MAX = 32
"""How deep lists in a value, or descriptors in a descriptor, may lie in each other; real ones stay below five."""

INTEGER_MAX = 2**63 - 1
"""Integers travel as signed 64-bit."""

RATIONAL = re.compile(r"-?[0-9]{1,1000}(/[0-9]{1,1000})?")
"""Fraction() alone would also read "1e999999999", and fill the memory with it."""


def rounded(x: float) -> float:
    """Return x to DIGITS significant digits, with 0.0 for -0.0.

    Raises:
        SequenceError: x is infinite or not a number.
    """
    if not math.isfinite(x):
        raise SequenceError(f"a value must be a finite number, got {x!r}")
    return float(f"{x:.{DIGITS}g}") + 0.0


def exact(x: float) -> Fraction:
    """Return the number that x's decimal text says: 1/10 for 0.1, not the binary fraction nearest to it."""
    return Fraction(repr(x))


def rational(x: object) -> Fraction:
    """Return the fraction in `rational_data` form.

    Raises:
        SequenceError: x is neither an int nor a text such as "-3/50".
    """
    if isinstance(x, int) and not isinstance(x, bool):
        return Fraction(x)
    if isinstance(x, str) and RATIONAL.fullmatch(x):
        numerator, _, denominator = x.partition("/")
        if int(denominator or 1) != 0:
            return Fraction(int(numerator), int(denominator or 1))
    raise SequenceError(f'must be an int or a fraction such as "-3/50", got {shown(x)}')


def rational_data(x: Fraction) -> int | str:
    """Return a fraction as plain data: an int where it is whole, else a text such as "-3/50"."""
    return int(x) if x.denominator == 1 and abs(x) <= INTEGER_MAX else str(x)


def number(x: object) -> int | float:
    """Return x as a plain int or float, with 0.0 for -0.0; NumPy's scalars are numbers, bool is not.

    Raises:
        SequenceError: x is no number, infinite, not a number, or an integer beyond 64 bits.
    """
    if type(x) is float:  # most are, and to ask for an abstract type takes ten times as long
        plain = x
    elif isinstance(x, bool) or not isinstance(x, numbers.Real):
        raise SequenceError(f"must be a number, got {shown(x)}")
    elif isinstance(x, numbers.Integral):
        return fitting(int(x))
    else:
        plain = float(x)
    if not math.isfinite(plain):
        raise SequenceError(f"must be finite, got {plain!r}")
    return plain + 0.0


def fitting(x: int) -> int:
    """Return x, if it fits in signed 64 bits."""
    if not -INTEGER_MAX - 1 <= x <= INTEGER_MAX:
        raise SequenceError(f"must fit in 64 bits, got an integer of {x.bit_length()} bits")
    return x


def count(x: object) -> int:
    """Return x as an int that is at least 1.

    Raises:
        SequenceError: it is not one.
    """
    if type(x) is int and x >= 1:  # most are, and to ask for an abstract type takes ten times as long
        return fitting(x)
    if isinstance(x, bool) or not isinstance(x, numbers.Integral) or int(x) < 1:
        raise SequenceError(f"must be an int of at least 1, got {shown(x)}")
    return fitting(int(x))


def counts_rising(x: object) -> tuple[int, ...]:
    """Return x as a tuple of ints, each at least 1 and greater than the one before.

    Raises:
        SequenceError: x is no list, or breaks that rule.
    """
    if not isinstance(x, list | tuple):
        raise SequenceError(f"must be a list of ints, got {shown(x)}")
    try:
        steps = tuple(count(item) for item in x)
    except SequenceError:
        raise SequenceError(f"must be ints of at least 1, got {shown(x)}") from None
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise SequenceError(f"must be strictly increasing, got {shown(x)}")
    return steps


def frozen(value: object, depth: int = 0) -> Frozen:
    """Return a value's immutable form, each part of a plain type: lists become tuples, NumPy's scalars Python's.

    Raises:
        SequenceError: it is not a value: another type, a number that is not finite, nested too deep.
    """
    if depth > NESTING_MAX:
        raise SequenceError(f"lists lie more than {NESTING_MAX} deep in each other")
    if type(value) is float:
        return number(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list | tuple):
        return tuple(frozen(item, depth + 1) for item in value)
    if isinstance(value, numbers.Real):
        return number(value)
    raise SequenceError(f"must be a number, a string, a bool, None or a list of these, got {shown(value)}")


def text(value: str) -> str:
    """Return a plain str (an enum's member may be one too) that can be written as UTF-8."""
    plain = str.__str__(value)
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise SequenceError(f"must be text that UTF-8 can write, got {shown(plain)}") from None
    return plain


def thawed(value: Frozen) -> Value:
    """Return a value as users see it: tuples become lists again."""
    return [thawed(item) for item in value] if isinstance(value, tuple) else value


def whole(x: float) -> int | float:
    """Return x as an int where it is one that fits in 64 bits, else as it is."""
    return int(x) if x.is_integer() and abs(x) < INTEGER_MAX else x


def shown(x: object, length_max: int = 100) -> str:
    """Return how a message quotes what the user gave, cut to a length that a terminal bears."""
    quoted = repr(x)
    return quoted if len(quoted) <= length_max else quoted[: length_max - 3] + "..."


def listed(names: Iterable[str]) -> str:
    """Return names as a message lists them."""
    return ", ".join(names)
