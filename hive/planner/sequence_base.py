"""What every sequence is: a thing that draws itself as pieces, can be called with a step, and has a descriptor.

`Sequence` is what users subclass; `BuiltIn` is what the kinds of planner/sequences.py have in common: parameters that
are checked and made canonical by the rule in their dataclass field, and a name in the registry `KNOWN`.

This module must not know any one kind of sequence.
"""

from __future__ import annotations

import json
import operator
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import Field, fields
from functools import cached_property
from typing import Any, ClassVar, cast

from hive.errors import SequenceError
from hive.planner import values as check
from hive.planner.pieces import Piece, canonical
from hive.planner.values import Value, shown

__all__ = [
    "COUNT",
    "COUNTS_RISING",
    "COUNT_OR_NONE",
    "ITEMS",
    "KNOWN",
    "NOT_NEGATIVE",
    "NUMBER",
    "PARTS",
    "POSITIVE",
    "SEQUENCE",
    "SHARE",
    "VALUE",
    "BuiltIn",
    "Open",
    "Sequence",
    "parameters",
]

LOWERINGS_MAX = 100
"""A user's sequence may lower itself to another user's; more in a row than this is taken for a circle."""

KNOWN: dict[str, type[BuiltIn]] = {}
"""The sequences that a descriptor can name, filled as their classes are defined."""

CHECKED: dict[type[BuiltIn], tuple[Field[Any], ...]] = {}
"""Their checked fields, found once: each sequence that is made asks for them several times."""

REMEMBERED = ("course", "canonical_text")
"""Attributes that are only computed once; a half-drawn course cannot be copied or pickled."""


class Open:
    """A parameter that is not chosen yet: a sequence that holds one is good for a random space only."""


class Sequence:
    """One hyper-parameter as a function of the step.

    To write your own, subclass this (a frozen dataclass is the easiest) and override `lower`. Sequences must not
    change once made. Two are equal if their descriptors are, typed: Constant(1) is not Constant(1.0).
    """

    def lower(self) -> Sequence:
        """Return the same function said with hive's own sequences."""
        raise SequenceError(f"{type(self).__name__}: override lower() to return one of {check.listed(KNOWN)}")

    def __call__(self, step: int) -> Value:
        """Return the value in force during `step` (>= 0).

        Raises:
            SequenceError: `step` is not an int, is negative, or the value there is too large for a number.
        """
        return self.course.at(step).form.value(step)

    def pieces(self) -> Iterator[Piece]:
        """Yield the canonical pieces from step 0 on: no two neighbours are equal.

        Lazy, and endless for a sequence that never settles; otherwise the last piece's end is None.
        """
        return canonical(lowered(self).draw())

    def descriptor(self) -> dict[str, Any]:
        """Return {"fn": name, parameter: value, ...} of the lowered sequence, without parameters at their default."""
        return lowered(self).described()

    @cached_property
    def course(self) -> Course:
        """The pieces drawn so far."""
        return Course(self.pieces())

    @cached_property
    def canonical_text(self) -> str:
        """The descriptor as compact JSON with sorted keys: equal if and only if the sequences are."""
        return json.dumps(self.descriptor(), sort_keys=True, separators=(",", ":"))

    def __eq__(self, other: object) -> bool:
        return self.canonical_text == other.canonical_text if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.canonical_text)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in REMEMBERED}


class Course:
    """The pieces of one sequence, kept as far as anyone has looked, so that a look-up is a bisection."""

    def __init__(self, source: Iterator[Piece]) -> None:
        """Take the sequence's own, fresh pieces."""
        self._source = source
        self._pieces = [next(source)]

    def at(self, step: int) -> Piece:
        """Return the piece that holds at `step`."""
        return self._pieces[self.begun(step_number(step) + 1) - 1]

    def before(self, steps: int) -> list[Piece]:
        """Return the pieces that begin before step `steps` (>= 1)."""
        return self._pieces[: self.begun(steps)]

    def begun(self, steps: int) -> int:
        """Return how many pieces begin before step `steps` (>= 1); they are drawn then."""
        pieces = self._pieces
        while (end := pieces[-1].end) is not None and end < steps:
            pieces.append(next(self._source))
        return bisect_left(pieces, (steps,))  # a piece is a tuple that begins with its start


def step_number(step: object) -> int:
    """Return a step as an int."""
    try:
        place = operator.index(cast(int, step))
    except TypeError:
        raise SequenceError(f"a step is an int, got {shown(step)}") from None
    if place < 0:
        raise SequenceError(f"steps count from 0, got {place}")
    return place


def lowered(sequence: Sequence) -> BuiltIn:
    """Return hive's own sequence that a user's one stands for."""
    place = sequence
    for _ in range(LOWERINGS_MAX):
        lower = place.lower()
        if lower is place and isinstance(lower, BuiltIn):
            if any(is_open(getattr(lower, item.name)) for item in parameters(type(lower))):
                raise SequenceError(f"{lower!r} has parameters that are not drawn: put it into a hive.RandomSpace")
            return lower
        if not isinstance(lower, Sequence):
            raise SequenceError(f"{type(place).__name__}: lower() must return a sequence, got {shown(lower)}")
        place = lower
    raise SequenceError(f"{type(sequence).__name__}: lower() goes round in a circle: it must end in one of hive's own")


class BuiltIn(Sequence):
    """What hive's own sequences have in common: checked parameters, a descriptor, and that they draw themselves."""

    fn: ClassVar[str]
    """The name in descriptors; a user's subclass has the one of its base."""

    def __init_subclass__(cls, fn: str | None = None) -> None:
        if fn is not None:
            cls.fn = fn
            KNOWN[fn] = cls

    def __post_init__(self) -> None:
        for item in parameters(type(self)):
            if is_open(getattr(self, item.name)):
                continue  # its rule is for what is chosen
            try:
                object.__setattr__(self, item.name, item.metadata["rule"](getattr(self, item.name)))
            except SequenceError as error:
                raise self.refusal(f"{item.name} {error}") from None

    def lower(self) -> Sequence:
        """Return itself."""
        return self

    def draw(self) -> Iterator[Piece]:
        """Yield pieces from step 0 on that need not be canonical; an endless run of equal ones must be one piece."""
        raise SequenceError(f"{type(self).__name__} does not say what it draws")

    def __repr__(self) -> str:
        """As it would be written in Python, without parameters at their default."""
        words, named = [], False
        for item in parameters(type(self)):
            value = getattr(self, item.name)
            if value == item.default:
                named = True  # what follows can no longer go by its place
            else:
                text = repr(as_lists(value))
                words.append(f"{item.name}={text}" if named else text)
        return f"{type(self).__name__}({', '.join(words)})"

    def described(self) -> dict[str, Any]:
        """Return the descriptor."""
        given = [item for item in parameters(type(self)) if getattr(self, item.name) != item.default]
        return {"fn": self.fn} | {item.name: encoded(getattr(self, item.name)) for item in given}

    def refusal(self, message: str) -> SequenceError:
        """Return the error about this sequence's parameters."""
        return SequenceError(f"{self.fn}: {message}")


def parameters(kind: type[BuiltIn]) -> tuple[Field[Any], ...]:
    """Return the checked fields of a built-in class, in their order."""
    if kind not in CHECKED:
        CHECKED[kind] = tuple(item for item in fields(cast(Any, kind)) if "rule" in item.metadata)
    return CHECKED[kind]


def is_open(x: object) -> bool:
    """Return whether a parameter is not chosen yet, or something in its list is not."""
    return isinstance(x, Open) or (isinstance(x, list | tuple) and any(is_open(item) for item in x))


def as_lists(x: object) -> object:
    """Return a parameter as its user would write it: in lists."""
    return [as_lists(item) for item in x] if isinstance(x, tuple) else x


def encoded(x: object) -> object:
    """Return a parameter as plain data."""
    if isinstance(x, Sequence):
        return x.descriptor()
    return [encoded(item) for item in x] if isinstance(x, tuple) else x


# Rules: each returns what it is given in canonical form, or raises SequenceError with the rule and what was given.


def count_or_none(x: object) -> int | None:
    """Return None, or a count."""
    return None if x is None else check.count(x)


def not_negative(x: object) -> int | float:
    """Return a number of at least 0."""
    plain = check.number(x)
    if plain < 0:
        raise SequenceError(f"must be at least 0, got {plain!r}")
    return plain


def positive(x: object) -> int | float:
    """Return a number above 0."""
    plain = check.number(x)
    if plain <= 0:
        raise SequenceError(f"must be above 0, got {plain!r}")
    return plain


def share(x: object) -> int | float:
    """Return a number in [0, 1]."""
    plain = check.number(x)
    if not 0 <= plain <= 1:
        raise SequenceError(f"must lie in [0, 1], got {plain!r}")
    return plain


def items(x: object) -> tuple[check.Frozen, ...]:
    """Return a tuple of at least one value."""
    if not isinstance(x, list | tuple) or not x:
        raise SequenceError(f"must be a list of at least one value, got {shown(x)}")
    return cast("tuple[check.Frozen, ...]", check.frozen(x))


def sequence(x: object) -> Sequence:
    """Return x, if it is a sequence."""
    if not isinstance(x, Sequence):
        raise SequenceError(f"must be a sequence such as Constant(0.1), got {shown(x)}")
    return x


def parts(x: object) -> tuple[tuple[Sequence, int | None], ...]:
    """Return a chain's parts: (sequence, steps) each, None for the last one's steps alone."""
    if not isinstance(x, list | tuple) or not x:
        raise SequenceError(f"must be a list of (sequence, steps), got {shown(x)}")
    return tuple(part_checked(part, f"[{i}]", i == len(x) - 1) for i, part in enumerate(x))


def part_checked(part: object, where: str, last: bool) -> tuple[Sequence, int | None]:
    """Return one part of a chain; a part's place stands directly behind the parameter's name."""
    if not isinstance(part, list | tuple) or len(part) != 2:
        raise SequenceError(f"{where} must be a pair (sequence, steps), got {shown(part)}")
    if last and part[1] is not None:
        raise SequenceError(
            f"{where} is the last part and holds for ever: its steps must be None, got {shown(part[1])}"
        )
    try:
        return sequence(part[0]), None if last else check.count(part[1])
    except SequenceError as error:
        raise SequenceError(f"{where} {error}") from None


VALUE = {"rule": check.frozen}
NUMBER = {"rule": check.number}
NOT_NEGATIVE = {"rule": not_negative}
POSITIVE = {"rule": positive}
SHARE = {"rule": share}
COUNT = {"rule": check.count}
COUNT_OR_NONE = {"rule": count_or_none}
COUNTS_RISING = {"rule": check.counts_rising}
ITEMS = {"rule": items}
SEQUENCE = {"rule": sequence}
PARTS = {"rule": parts}
