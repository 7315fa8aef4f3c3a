"""Sequences: one hyper-parameter as a function of the step, in the fourteen kinds that the wire knows.

A sequence does not compute its values. It draws itself as pieces (planner/pieces.py), and a call looks up the piece
and asks that. Names, parameters and values are those of the descriptors, `{"fn": NAME, parameter: value, ...}`; the
JSON form of a space and the wire know nothing else, so a user's own sequence *lowers* itself to the kinds here.

A constant that comes from an int `initial` or from a listed value is an int where it is whole; all other numbers are
floats. t below counts from 0 where the sequence starts.

This module must not know what a config, a trial or a plan is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache
from itertools import count as counting
from itertools import takewhile
from typing import Any, cast

from hive.errors import SequenceError
from hive.planner.pieces import (
    CosineForm,
    CurveForm,
    ExponentialForm,
    Form,
    LineForm,
    Piece,
    PolynomialForm,
    constant,
)
from hive.planner.sequence_base import (
    COUNT,
    COUNT_OR_NONE,
    COUNTS_RISING,
    ITEMS,
    KNOWN,
    NOT_NEGATIVE,
    NUMBER,
    PARTS,
    POSITIVE,
    SEQUENCE,
    SHARE,
    VALUE,
    BuiltIn,
    Sequence,
    parameters,
)
from hive.planner.values import NESTING_MAX, Frozen, Value, exact, listed, number, rounded, shown, whole

__all__ = [
    "Chain",
    "Constant",
    "Cosine",
    "CosineWarmRestarts",
    "Cyclic",
    "Exponential",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "Sequence",
    "Step",
    "Values",
    "Warmup",
    "decoded",
    "meant",
    "sequence_from_descriptor",
]

POWERS_MAX = 20_000
"""Powers remembered by their parameters: each takes 10 us in decimal arithmetic, and a search has the same few."""

Steps = list[int] | tuple[int, ...]
Items = list[Value] | tuple[Value, ...]
Parts = Iterable[tuple[Sequence, int | None]]


def one_value(first: float, last: float) -> bool:
    """Whether a curve between two ends is a constant: the ends are one value after rounding."""
    return rounded(float(first)) == rounded(float(last))


def powers(initial: float, gamma: float, starts: Iterable[int | None]) -> Iterator[Piece]:
    """Yield the constants initial * gamma ** n, each from the n-th of `starts` on, until one holds for ever.

    That is the one behind the last start, where `starts` says None; or any value that no power changes any more.
    """
    start = 0
    for exponent, end in enumerate(starts):
        form = power_of(initial, gamma, exponent, start)
        if end is None or gamma == 1 or isinstance(form, CurveForm) or form.value(start) == 0:
            yield Piece(start, None, form)
            return
        yield Piece(start, end, form)
        start = end


def power_of(initial: float, gamma: float, exponent: int, start: int) -> Form:
    """Return the constant initial * gamma ** exponent.

    Where that is too large for a number, return a curve that says so when it is asked for a value from `start` on:
    the trial may end before.
    """
    value = power(initial, gamma, exponent)
    return constant(value) if value is not None else ExponentialForm(float(initial), float(gamma), start - exponent)


@lru_cache(POWERS_MAX, typed=True)
def power(initial: float, gamma: float, exponent: int) -> float | None:
    """Return initial * gamma ** exponent: an int where it is whole and `initial` is an int; None where too large."""
    if exponent == 0 or gamma == 1:
        return initial
    try:
        value = ExponentialForm(float(initial), float(gamma), 0).value(exponent)
    except SequenceError:
        return None
    return whole(value) if isinstance(initial, int) else value


def plateaus(forms: Iterable[Form], starts: Iterable[int]) -> Iterator[Piece]:
    """Yield the forms, the first from step 0, each later one from the next of `starts` on; the last never ends."""
    edges = [0, *starts]
    for start, end, form in zip(edges, [*edges[1:], None], forms, strict=True):
        yield Piece(start, end, form)


def curve_to(steps: int, curve: Form, last: float) -> Iterator[Piece]:
    """Yield a curve over `steps` steps and then its last value, a float, for ever."""
    yield Piece(0, steps, curve)
    yield Piece(steps, None, constant(float(last)))


@dataclass(frozen=True, eq=False, repr=False)
class Constant(BuiltIn, fn="Constant"):
    """Always `value`: a number, string, bool, None or a list of these."""

    value: Value = field(metadata=VALUE)

    def draw(self) -> Iterator[Piece]:
        """Yield one constant."""
        yield Piece(0, None, constant(cast(Frozen, self.value)))


@dataclass(frozen=True, eq=False, repr=False)
class Step(BuiltIn, fn="Step"):
    """initial * gamma ** (t // step_size)."""

    initial: float = field(metadata=NUMBER)
    step_size: int = field(metadata=COUNT)
    gamma: float = field(metadata=NUMBER)

    def draw(self) -> Iterator[Piece]:
        """Yield constants, until the value is 0 or for ever."""
        yield from powers(self.initial, self.gamma, counting(self.step_size, self.step_size))


@dataclass(frozen=True, eq=False, repr=False)
class MultiStep(BuiltIn, fn="MultiStep"):
    """initial * gamma ** (number of milestones <= t)."""

    initial: float = field(metadata=NUMBER)
    milestones: Steps = field(metadata=COUNTS_RISING)
    gamma: float = field(metadata=NUMBER)

    def draw(self) -> Iterator[Piece]:
        """Yield constants."""
        yield from powers(self.initial, self.gamma, [*self.milestones, None])


@dataclass(frozen=True, eq=False, repr=False)
class Piecewise(BuiltIn, fn="Piecewise"):
    """values[number of milestones <= t]; one more value than milestones."""

    values: Items = field(metadata=ITEMS)
    milestones: Steps = field(metadata=COUNTS_RISING)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.values) != len(self.milestones) + 1:
            raise self.refusal(
                f"values must be one more than milestones, got {len(self.values)} values and "
                f"{len(self.milestones)} milestones"
            )

    def draw(self) -> Iterator[Piece]:
        """Yield constants."""
        yield from plateaus(map(constant, cast(Any, self.values)), self.milestones)


@dataclass(frozen=True, eq=False, repr=False)
class Exponential(BuiltIn, fn="Exponential"):
    """initial * gamma ** t."""

    initial: float = field(metadata=NUMBER)
    gamma: float = field(metadata=NUMBER)

    def draw(self) -> Iterator[Piece]:
        """Yield one curve, or the constants it consists of."""
        if self.gamma in (0, 1) or self.initial == 0:
            yield from Step(self.initial, 1, self.gamma).draw()
        else:
            yield Piece(0, None, ExponentialForm(float(self.initial), float(self.gamma), 0))


@dataclass(frozen=True, eq=False, repr=False)
class Linear(BuiltIn, fn="Linear"):
    """initial + (final - initial) * min(t, steps) / steps."""

    initial: float = field(metadata=NUMBER)
    final: float = field(metadata=NUMBER)
    steps: int = field(metadata=COUNT)

    def draw(self) -> Iterator[Piece]:
        """Yield a line and its end."""
        if one_value(self.initial, self.final):
            yield Piece(0, None, constant(self.initial))
        elif self.steps == 1:
            yield from curve_to(1, constant(self.initial), self.final)
        else:
            line = LineForm.through(0, exact(self.initial), self.steps, exact(self.final))
            yield from curve_to(self.steps, line, self.final)


@dataclass(frozen=True, eq=False, repr=False)
class Polynomial(BuiltIn, fn="Polynomial"):
    """initial * (1 - min(t, steps) / steps) ** power, power >= 0. With power 1 it is a line, and shares with one."""

    initial: float = field(metadata=NUMBER)
    steps: int = field(metadata=COUNT)
    power: float = field(default=1, metadata=NOT_NEGATIVE)

    def draw(self) -> Iterator[Piece]:
        """Yield a curve and its end."""
        if self.power == 0:
            yield Piece(0, None, constant(self.initial))
        elif self.power == 1 or self.steps == 1 or self.initial == 0:
            yield from Linear(self.initial, 0, self.steps).draw()
        else:
            curve = PolynomialForm(float(self.initial), float(self.power), Fraction(self.steps), Fraction(0))
            yield from curve_to(self.steps, curve, 0)


@dataclass(frozen=True, eq=False, repr=False)
class Cosine(BuiltIn, fn="Cosine"):
    """final + (initial - final) * (1 + cos(pi * min(t, steps) / steps)) / 2."""

    initial: float = field(metadata=NUMBER)
    steps: int = field(metadata=COUNT)
    final: float = field(default=0, metadata=NUMBER)

    def draw(self) -> Iterator[Piece]:
        """Yield half a wave and its end."""
        if one_value(self.initial, self.final):
            yield Piece(0, None, constant(self.initial))
        else:
            yield from curve_to(self.steps, half_wave(self.initial, self.final, self.steps, 0), self.final)


@dataclass(frozen=True, eq=False, repr=False)
class CosineWarmRestarts(BuiltIn, fn="CosineWarmRestarts"):
    """Cosine from `initial` to `final` over t_0 steps, then anew, each cycle t_mult (an int >= 1) times as long."""

    initial: float = field(metadata=NUMBER)
    t_0: int = field(metadata=COUNT)
    t_mult: int = field(default=1, metadata=COUNT)
    final: float = field(default=0, metadata=NUMBER)

    def draw(self) -> Iterator[Piece]:
        """Yield one half wave for each cycle, for ever."""
        if one_value(self.initial, self.final) or self.t_0 == self.t_mult == 1:
            yield Piece(0, None, constant(self.initial))
            return
        start, length = 0, self.t_0
        while True:
            yield Piece(start, start + length, half_wave(self.initial, self.final, length, start))
            start, length = start + length, length * self.t_mult


def half_wave(initial: float, final: float, steps: int, start: int) -> Form:
    """Return one cosine of so many steps; of a single step there is only the first value."""
    if steps == 1:
        return constant(initial)
    return CosineForm(float(initial), float(final), Fraction(steps), Fraction(start))


@dataclass(frozen=True, eq=False, repr=False)
class Cyclic(BuiltIn, fn="Cyclic"):
    """A triangle: up from `base` to `max` over step_size_up steps, down again over step_size_down (None: as many)."""

    base: float = field(metadata=NUMBER)
    max: float = field(metadata=NUMBER)
    step_size_up: int = field(metadata=COUNT)
    step_size_down: int | None = field(default=None, metadata=COUNT_OR_NONE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step_size_down == self.step_size_up:
            object.__setattr__(self, "step_size_down", None)

    def draw(self) -> Iterator[Piece]:
        """Yield lines up and down, for ever."""
        base, top = exact(float(self.base)), exact(float(self.max))
        if one_value(self.base, self.max):
            yield Piece(0, None, constant(float(self.base)))
            return
        halves = ((base, self.step_size_up, top), (top, self.step_size_down or self.step_size_up, base))
        start = 0
        while True:
            for first, steps, last in halves:
                yield Piece(start, start + steps, LineForm.through(start, first, steps, last))
                start += steps


@dataclass(frozen=True, eq=False, repr=False)
class OneCycle(BuiltIn, fn="OneCycle"):
    """A cosine from max / div up to `max`, then one down to max / div / final_div at step steps - 1.

    The two phases of torch's OneCycleLR: the rise ends at pct_start * steps - 1, which need not be whole. Where that
    is 0 or less there is no rise. pct_start lies in [0, 1]; div and final_div are above 0.
    """

    max: float = field(metadata=NUMBER)
    steps: int = field(metadata=COUNT)
    pct_start: float = field(default=0.3, metadata=SHARE)
    div: float = field(default=25, metadata=POSITIVE)
    final_div: float = field(default=1e4, metadata=POSITIVE)

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self.ends()
        except OverflowError:
            raise self.refusal("max / div / final_div is too large for a number") from None

    def ends(self) -> tuple[float, float]:
        """Return where the rise begins and where the fall ends."""
        low = exact(self.max) / exact(self.div)
        return float(low), float(low / exact(self.final_div))

    def draw(self) -> Iterator[Piece]:
        """Yield the rise, the fall, and the last value for ever."""
        peak = exact(self.pct_start) * self.steps - 1
        rise_end = math.floor(peak) + 1 if peak > 0 else 0
        top, (low, least) = float(self.max), self.ends()
        form: Form = constant(top)
        if rise_end > 0:
            form = wave_between(low, top, peak, Fraction(0))
            yield Piece(0, rise_end, form)
        if rise_end < self.steps:
            form = wave_between(top, least, self.steps - 1 - peak, peak)
            yield Piece(rise_end, self.steps, form)
        yield Piece(self.steps, None, constant(cast(float, form.value(self.steps - 1))))


def wave_between(first: float, last: float, length: Fraction, origin: Fraction) -> Form:
    """Return a cosine, or its first value where it would have no length or no slope."""
    if length == 0 or one_value(first, last):
        return constant(first)
    return CosineForm(first, last, length, origin)


@dataclass(frozen=True, eq=False, repr=False)
class Warmup(BuiltIn, fn="Warmup"):
    """target * (t + 1) / steps while t < steps; afterwards `then`, from its own step 0."""

    steps: int = field(metadata=COUNT)
    target: float = field(metadata=NUMBER)
    then: Sequence = field(metadata=SEQUENCE)

    def draw(self) -> Iterator[Piece]:
        """Yield the ramp and what follows."""
        slope = exact(self.target) / self.steps
        yield Piece(0, self.steps, LineForm(slope, slope) if slope else constant(0.0))
        for piece in self.then.pieces():
            yield piece.shifted(self.steps)


@dataclass(frozen=True, eq=False, repr=False)
class Chain(BuiltIn, fn="Chain"):
    """Sequences one after the other: (sequence, steps) each, from its own step 0; the last one's steps are None."""

    parts: Parts = field(metadata=PARTS)

    def draw(self) -> Iterator[Piece]:
        """Yield each part's pieces, the last one cut where the part ends."""
        start = 0
        for part, steps in cast("tuple[tuple[Sequence, int | None], ...]", self.parts):
            for piece in first_steps(part.pieces(), steps):
                yield piece.shifted(start)
            start += steps or 0


def first_steps(pieces: Iterator[Piece], steps: int | None) -> Iterator[Piece]:
    """Yield the pieces of the first `steps` steps; None: all of them."""
    if steps is None:
        return pieces
    limit = steps
    return (piece.until(limit) for piece in takewhile(lambda piece: piece.start < limit, pieces))


@dataclass(frozen=True, eq=False, repr=False)
class Values(BuiltIn, fn="Values"):
    """values[t]; the last one holds."""

    values: Items = field(metadata=ITEMS)

    def draw(self) -> Iterator[Piece]:
        """Yield a constant for each step."""
        yield from plateaus(map(constant, cast(Any, self.values)), range(1, len(self.values)))


def sequence_from_descriptor(d: object, where: str = "") -> Sequence:
    """Return the sequence that a descriptor names.

    Args:
        d: `{"fn": NAME, parameter: value, ...}` as JSON or MessagePack gives it. `{"float": 1}` stands for 1.0, for
            languages with one type of number.
        where: the descriptor's place in what is being read, such as `space.lr[0]`; messages begin with it.

    Raises:
        SequenceError: d is no descriptor; the message names place, parameter and rule.
    """
    return descriptor_read(d, where, 0)


def descriptor_read(d: object, where: str, depth: int) -> Sequence:
    """Return the sequence of a descriptor that lies `depth` deep in another one."""
    prefix = f"{where}: " if where else ""
    if not isinstance(d, dict) or not isinstance(d.get("fn"), str):
        raise SequenceError(f'{prefix}a descriptor is an object with a name in "fn", got {shown(d)}')
    name = d["fn"]
    if name not in KNOWN:
        hint = meant(name, KNOWN)
        raise SequenceError(f"{prefix}there is no sequence {shown(name)}{hint}; known: {listed(KNOWN)}")
    fitting = {item.name: item for item in parameters(KNOWN[name])}
    given = {key: value for key, value in d.items() if key != "fn"}
    for key in given:
        if key not in fitting:
            hint = meant(str(key), fitting)
            raise SequenceError(f"{prefix}{name} has no parameter {shown(key)}{hint}; it has: {listed(fitting)}")
    missing = [key for key, item in fitting.items() if item.default is MISSING and key not in given]
    if missing:
        raise SequenceError(f"{prefix}{name} lacks its parameter {listed(missing)}")
    inner = {key: decoded(value, f"{where}.{key}" if where else key, depth + 1) for key, value in given.items()}
    try:
        return KNOWN[name](**inner)
    except SequenceError as error:
        raise SequenceError(f"{prefix}{error}") from None


def decoded(value: object, where: str, depth: int) -> object:
    """Return a parameter as its class takes it: descriptors as sequences, marked floats as floats."""
    if depth > NESTING_MAX:
        raise SequenceError(f"{where}: lies more than {NESTING_MAX} deep")
    if isinstance(value, list | tuple):
        return [decoded(item, f"{where}[{place}]", depth + 1) for place, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if set(value) != {"float"}:
        return descriptor_read(value, where, depth)
    try:
        return float(number(value["float"]))
    except SequenceError as error:
        raise SequenceError(f'{where}: the number in {{"float": ...}} {error}') from None


def meant(name: str, names: Iterable[str]) -> str:
    """Return a hint at the name that was probably meant, or nothing."""
    lower = {known.lower(): known for known in names}
    close = get_close_matches(name.lower(), lower, n=1)
    return f" (did you mean {lower[close[0]]}?)" if close else ""
