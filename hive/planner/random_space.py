"""Random spaces: sequences some of whose parameters are drawn.

A draw is a pure function of the seed, the draw's number, the hyper-parameter and the parameter's place in its sequence.
So more draws, or another hyper-parameter, change none of those there were. Chance is a hash of that key, which is the
same on every machine. Must not know tuners, or how configs are run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from hive.errors import SequenceError, SpaceError
from hive.planner.sequence_base import Open, Sequence
from hive.planner.space import Config, check_config, checked_steps, conditioned, read_conditions
from hive.planner.values import rounded, shown

__all__ = ["RandomSpace", "choice", "randint", "uniform"]

Chance = float
"""A number in [0, 1)."""


class Distribution(Open):
    """What a parameter is drawn from."""

    def draw(self, chance: Chance) -> Any:
        """Return the value at this chance."""
        raise NotImplementedError


@dataclass(frozen=True)
class Uniform(Distribution):
    """See `uniform`."""

    a: float
    b: float
    log: bool = False

    def draw(self, chance: Chance) -> float:
        """Return a float; rounded, since logarithms differ in their last bits between machines."""
        low, high = (math.log(self.a), math.log(self.b)) if self.log else (self.a, self.b)
        value = low + chance * (high - low)
        return min(max(rounded(math.exp(value) if self.log else value), float(self.a)), float(self.b))

    def __repr__(self) -> str:
        return f"uniform({self.a!r}, {self.b!r}{', log=True' if self.log else ''})"


@dataclass(frozen=True)
class Choice(Distribution):
    """See `choice`."""

    options: tuple[Any, ...]

    def draw(self, chance: Chance) -> Any:
        """Return one of the options."""
        return self.options[int(chance * len(self.options))]

    def __repr__(self) -> str:
        return f"choice({list(self.options)!r})"


@dataclass(frozen=True)
class RandInt(Distribution):
    """See `randint`."""

    a: int
    b: int

    def draw(self, chance: Chance) -> int:
        """Return an int."""
        return self.a + int(chance * (self.b - self.a + 1))

    def __repr__(self) -> str:
        return f"randint({self.a!r}, {self.b!r})"


def uniform(a: float, b: float, log: bool = False) -> Any:
    """Return a parameter for `RandomSpace`: a float between a and b, every one as likely.

    Args:
        a: the least value.
        b: the greatest, above a.
        log: every order of magnitude as likely, in place of every value; a must be above 0.

    Raises:
        SpaceError: a bound breaks its rule.
    """
    for bound in (a, b):
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise SpaceError(f"uniform: a bound must be a finite number, got {shown(bound)}")
    if not a < b or not math.isfinite(b - a):
        raise SpaceError(f"uniform: the first bound must lie below the second, got {a!r} and {b!r}")
    if log and a <= 0:
        raise SpaceError(f"uniform: with log=True the first bound must be above 0, got {a!r}")
    return Uniform(a, b, bool(log))


def choice(options: Iterable[Any]) -> Any:
    """Return a parameter for `RandomSpace`: one of these, every one as likely. Options may be sequences, and hold
    distributions.

    Raises:
        SpaceError: options are no list of at least one.
    """
    if not isinstance(options, list | tuple) or not options:
        raise SpaceError(f"choice: must have a list of at least one option, got {shown(options)}")
    return Choice(tuple(options))


def randint(a: int, b: int) -> Any:
    """Return a parameter for `RandomSpace`: an int from a to b, both included, every one as likely.

    Raises:
        SpaceError: a bound is no int, or a lies above b.
    """
    for bound in (a, b):
        if isinstance(bound, bool) or not isinstance(bound, int) or abs(bound) >= 2**52:
            raise SpaceError(f"randint: a bound must be an int below 2**52, got {shown(bound)}")
    if a > b:
        raise SpaceError(f"randint: the first bound must not lie above the second, got {a} and {b}")
    return RandInt(a, b)


class RandomSpace:
    """`n` configs, drawn: `RandomSpace({"lr": Exponential(uniform(0.01, 1, log=True), 0.95)}, n=20, steps=100)`."""

    def __init__(
        self,
        space: Mapping[str, Any],
        n: int,
        steps: int,
        seed: int = 0,
        conditions: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Check the space and draw it.

        Args:
            space: hyper-parameter -> a sequence, any of whose parameters, those of sequences in it too, may be
                `uniform(...)`, `choice(...)` or `randint(...)`; or a choice among sequences.
            n: how many draws, at least 1. Draws that come out equal are one trial.
            steps: the last step a trial can reach, at least 1.
            seed: what the draws depend on; whole numbers from 0.
            conditions: as in `GridSpace`.

        Raises:
            SpaceError: an argument breaks its rule, or a draw breaks its sequence's.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise SpaceError(f"n must be a whole number of at least 1, got {shown(n)}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise SpaceError(f"seed must be a whole number from 0, got {shown(seed)}")
        self.n, self.seed = n, seed
        self.steps = checked_steps(steps)
        self.space = checked_space(space)
        self.conditions = read_conditions(conditions, self.space)
        self.drawn = list(conditioned((self.draw(number) for number in range(n)), self.conditions))

    @property
    def names(self) -> tuple[str, ...]:
        """All hyper-parameters, those under a condition too."""
        return tuple(self.space)

    def configs(self) -> list[Config]:
        """Return all trials' configs in the order of their draws, equal ones once."""
        return [dict(config) for config in self.drawn]

    def check(self, config: Config) -> None:
        """Raise SpaceError if a config has a name that the space lacks, or lacks one that is under no condition."""
        check_config(config, self.space, self.conditions)

    def draw(self, number: int) -> Config:
        """Return the config of a draw, before conditions."""
        return {name: self.sequence(name, number) for name in self.space}

    def sequence(self, name: str, number: int) -> Sequence:
        """Return a hyper-parameter's sequence in a draw."""
        where = f"space.{name}"
        try:
            sequence = filled(self.space[name], (self.seed, number, name), "")
            if not isinstance(sequence, Sequence):
                raise SequenceError(f"{shown(sequence)} is not a sequence: write Constant({shown(sequence)})")
            sequence(self.steps - 1)  # what grows without end is largest at the last step
        except SequenceError as error:
            raise SpaceError(f"{where}, draw {number}: {error}") from None
        return sequence


def filled(x: Any, key: tuple[int, int, str], place: str) -> Any:
    """Return a sequence or parameter with all that is open in it drawn. `place`: where it is in its sequence."""
    if isinstance(x, Distribution):
        return filled(x.draw(chance_of(*key, place)), key, f"{place}!")
    if isinstance(x, Sequence) and is_dataclass(x):
        values = {f.name: getattr(x, f.name) for f in fields(x) if f.init}
        return replace(x, **{name: filled(value, key, f"{place}.{name}") for name, value in values.items()})
    if isinstance(x, list | tuple):
        return [filled(item, key, f"{place}[{i}]") for i, item in enumerate(x)]
    return x


def chance_of(seed: int, number: int, name: str, place: str) -> Chance:
    """Return the chance of one parameter of one draw: 53 bits of a hash."""
    digest = hashlib.sha256(json.dumps([seed, number, name, place]).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def checked_space(space: object) -> dict[str, Any]:
    """Return hyper-parameter -> what it is drawn from."""
    if not isinstance(space, Mapping) or not space:
        raise SpaceError(f"space: must map at least one hyper-parameter to a sequence, got {shown(space)}")
    for name, drawn in space.items():
        if not isinstance(name, str) or not name:
            raise SpaceError(f"space: a hyper-parameter's name must be a text, got {shown(name)}")
        if isinstance(drawn, list | tuple):
            raise SpaceError(f"space.{name}: is a list; for one of several sequences write choice([...])")
        if not isinstance(drawn, Sequence | Choice):
            raise SpaceError(f"space.{name}: {shown(drawn)} is not a sequence: write Constant({shown(drawn)})")
    return dict(space)
