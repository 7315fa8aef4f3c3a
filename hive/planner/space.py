"""Spaces: the configs a study searches, and a config cut into the ranges over which none of its forms changes.

Must not know how configs are run, merged or stored, nor which tuner asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise, product
from typing import Any, NamedTuple, Protocol, runtime_checkable

from hive.errors import SequenceError, SpaceError
from hive.planner.pieces import ConstantForm, Form
from hive.planner.sequences import Sequence, decoded, meant, sequence_from_descriptor
from hive.planner.values import count, frozen, listed, shown

__all__ = ["Config", "GridSpace", "Segment", "Space", "config_key", "forms_key", "segments"]

Config = dict[str, Sequence]
"""Name -> sequence, for every hyper-parameter that the trial has."""


class Segment(NamedTuple):
    """A range [start, end) of steps over which each hyper-parameter of a config keeps its form.

    Attributes:
        key: of its forms.
    """

    start: int
    end: int
    forms: dict[str, Form]
    key: str


def forms_key(forms: Mapping[str, Form]) -> str:
    """Equal exactly where the forms are, name by name."""
    return ",".join([key_part(name, forms[name]) for name in sorted(forms)])


def key_part(name: str, form: Form) -> str:
    """What one hyper-parameter says in a key."""
    return f"{name}={form.key}"


def segments(config: Mapping[str, Sequence], steps: int) -> list[Segment]:
    """Return the segments of a config that cover [0, steps): cut wherever any hyper-parameter's piece changes."""
    if steps < 1:
        return []
    begun: dict[int, dict[str, Form]] = {0: {}}
    for name, sequence in config.items():
        for piece in sequence.course.before(steps):
            begun.setdefault(piece.start, {})[name] = piece.form
    forms: dict[str, Form] = {}
    texts = dict.fromkeys(sorted(config), "")
    cut: list[Segment] = []
    for start, end in pairwise([*sorted(begun), steps]):
        forms = forms | begun[start]
        for name, form in begun[start].items():
            texts[name] = key_part(name, form)
        cut.append(Segment(start, end, forms, ",".join(texts.values())))
    return cut


def config_key(config: Mapping[str, Sequence]) -> str:
    """Return canonical text: equal if and only if two configs have the same names and descriptors, by typed values."""
    return "{" + ",".join(f"{json.dumps(name)}:{config[name].canonical_text}" for name in sorted(config)) + "}"


@dataclass(frozen=True, slots=True)
class Condition:
    """`hp` is in a trial only if each hyper-parameter named in `active_if` is, with one of the forms listed there."""

    hp: str
    active_if: dict[str, frozenset[Form]]

    def holds(self, config: Config) -> bool:
        """Whether the condition is met: a sequence that is not constant counts with its value at step 0."""
        return all(
            name in config and ConstantForm(frozen(config[name](0))) in forms for name, forms in self.active_if.items()
        )


@runtime_checkable
class Space(Protocol):
    """What a tuner's trials come from.

    Attributes:
        steps: the last step a trial can reach.
    """

    steps: int

    @property
    def names(self) -> tuple[str, ...]:
        """All hyper-parameters."""

    def configs(self) -> list[Config]:
        """Return all trials' configs, each once, in an order that is always the same."""

    def check(self, config: Config) -> None:
        """Raise SpaceError for what is no config of the space."""


class GridSpace:
    """Every combination of the listed sequences, the first hyper-parameter varying slowest."""

    def __init__(
        self,
        space: Mapping[str, Iterable[Sequence]],
        steps: int,
        where: Callable[[Config], bool] | None = None,
        conditions: Iterable[Mapping[str, Any]] = (),
        *,
        name: str = "",
    ) -> None:
        """Check and take the grid.

        Args:
            space: hyper-parameter -> its sequences, at least one each.
            steps: the last step a trial can reach, at least 1.
            where: keeps the configs it is true for; None keeps all. Called with the config after conditions.
            conditions: `{"hp": name, "active_if": {other: [values]}}` each: where `other` is absent or has none of
                the values, `hp` is absent. Trials that are equal then are one trial.
            name: what the space is called in its JSON form.

        Raises:
            SpaceError: a name, list, condition or `steps` breaks its rule, or no config is left.
            SequenceError: a sequence's value overflows before `steps`.
        """
        self.name = name
        self.where = where
        self.steps = checked_steps(steps)
        self.options = checked_options(space, self.steps)
        self.conditions = [dict(condition) for condition in checked_list(conditions)]
        self._conditions = read_conditions(self.conditions, self.options)
        if next(self._distinct(), None) is None:
            raise SpaceError("where: it is true for no config of the space, so there is nothing to search")

    @property
    def names(self) -> tuple[str, ...]:
        """All hyper-parameters, those under a condition too."""
        return tuple(self.options)

    def configs(self) -> list[Config]:
        """Return all trials' configs, the first hyper-parameter varying slowest, equal ones once."""
        return list(self._distinct())

    def check(self, config: Config) -> None:
        """Raise SpaceError if a config has a name that the space lacks, or lacks one that is under no condition."""
        check_config(config, self.options, self._conditions)

    @classmethod
    def from_json(cls, d: Mapping[str, Any]) -> GridSpace:
        """Return the space of `{"name", "steps", "space": {hp: [descriptor, ...]}, "conditions"}`.

        Keys beside these are ignored.

        Raises:
            SpaceError: a key is missing or of the wrong type.
            SequenceError: a descriptor is wrong; the message names its place, such as `space.lr[0]`.
        """
        if not isinstance(d, Mapping) or not isinstance(d.get("space"), Mapping) or "steps" not in d:
            raise SpaceError(f'a space in JSON is an object with "steps" and "space", got {shown(d)}')
        space = {name: described_options(name, options) for name, options in d["space"].items()}
        return cls(space, d["steps"], conditions=d.get("conditions", ()), name=str(d.get("name", "")))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form.

        Raises:
            SpaceError: the space has a `where`: code has no JSON form.
        """
        if self.where is not None:
            raise SpaceError("a space with `where` has no JSON form: say it with conditions, or leave it out")
        space = {name: [sequence.descriptor() for sequence in options] for name, options in self.options.items()}
        return {"name": self.name, "steps": self.steps, "space": space, "conditions": self.conditions}

    def _distinct(self) -> Iterator[Config]:
        combined = (dict(zip(self.options, chosen, strict=True)) for chosen in product(*self.options.values()))
        for config in conditioned(combined, self._conditions):
            if self.where is None or self.where(dict(config)):
                yield config


def conditioned(configs: Iterable[Config], conditions: Iterable[Condition]) -> Iterator[Config]:
    """Yield the configs, each without the hyper-parameters whose condition does not hold, and equal ones once."""
    seen: set[str] = set()
    for config in configs:
        for condition in conditions:
            if not condition.holds(config):
                config.pop(condition.hp, None)
        key = config_key(config)
        if key not in seen:
            seen.add(key)
            yield config


def check_config(config: Config, names: Mapping[str, object], conditions: Iterable[Condition]) -> None:
    """Raise SpaceError if a config has a name that is none of `names`, or lacks one that is under no condition."""
    for name, sequence in config.items():
        if name not in names:
            raise SpaceError(
                f"the config's hyper-parameter {shown(name)} is not in the space{meant(str(name), names)}; "
                f"the space has: {listed(names)}"
            )
        checked_sequence(sequence, f"config.{name}")
    free = {condition.hp for condition in conditions}
    missing = [name for name in names if name not in config and name not in free]
    if missing:
        raise SpaceError(f"the config lacks {listed(missing)}, which every trial of the space has")


def checked_steps(steps: object) -> int:
    """Return a space's number of steps."""
    try:
        return count(steps)
    except SequenceError as error:
        raise SpaceError(f"steps {error}") from None


def checked_list(x: object, name: str | None = None) -> list[Any]:
    """Return a list or tuple as a list."""
    if not isinstance(x, list | tuple):
        raise SpaceError(f"{f'space.{name}' if name else 'conditions'}: must be a list, got {shown(x)}")
    return list(x)


def described_options(name: str, descriptors: object) -> list[Sequence]:
    """Return the sequences of a hyper-parameter's descriptors."""
    return [sequence_from_descriptor(d, f"space.{name}[{i}]") for i, d in enumerate(checked_list(descriptors, name))]


def checked_options(space: object, steps: int) -> dict[str, list[Sequence]]:
    """Return hyper-parameter -> its sequences, each of which has a value at the last step."""
    if not isinstance(space, Mapping) or not space:
        raise SpaceError(f"space: must map at least one hyper-parameter to a list of sequences, got {shown(space)}")
    checked: dict[str, list[Sequence]] = {}
    for name, options in space.items():
        if not isinstance(name, str) or not name:
            raise SpaceError(f"space: a hyper-parameter's name must be a text, got {shown(name)}")
        checked[name] = [checked_sequence(o, f"space.{name}[{i}]") for i, o in enumerate(checked_list(options, name))]
        if not checked[name]:
            raise SpaceError(f"space.{name}: the list is empty: give at least one sequence")
        for place, sequence in enumerate(checked[name]):
            finite_until(sequence, steps, f"space.{name}[{place}]")
    return checked


def checked_sequence(x: object, where: str) -> Sequence:
    """Return x, if it is a sequence."""
    if isinstance(x, type) and issubclass(x, Sequence):
        raise SpaceError(f"{where}: is the class {x.__name__}, not a sequence: give it its parameters")
    if not isinstance(x, Sequence):
        raise SpaceError(f"{where}: is not a sequence: write Constant({shown(x)})")
    return x


def finite_until(sequence: Sequence, steps: int, where: str) -> None:
    """Raise SequenceError if the sequence overflows: what grows without end is largest at the last step."""
    try:
        sequence(steps - 1)
    except SequenceError as error:
        raise SequenceError(f"{where}: {error}") from None


def read_conditions(conditions: object, names: Mapping[str, object]) -> list[Condition]:
    """Return conditions so that what each one looks at is decided before it."""
    return in_order([read_condition(c, i, names) for i, c in enumerate(checked_list(conditions))])


def read_condition(data: object, place: int, names: Mapping[str, object]) -> Condition:
    """Return a condition on hyper-parameters that exist."""
    where = f"conditions[{place}]"
    if not isinstance(data, Mapping) or set(data) != {"hp", "active_if"}:
        raise SpaceError(f'{where}: must be {{"hp": name, "active_if": {{other: [values]}}}}, got {shown(data)}')
    active_if = data["active_if"]
    if not isinstance(active_if, Mapping) or not active_if:
        raise SpaceError(f"{where}.active_if: must map hyper-parameters to lists of values, got {shown(active_if)}")
    for name in (data["hp"], *active_if):
        if name not in names:
            known = f"{meant(str(name), names)}; the space has: {listed(names)}"
            raise SpaceError(f"{where}: there is no hyper-parameter {shown(name)}{known}")
    return Condition(data["hp"], {name: value_forms(v, f"{where}.active_if.{name}") for name, v in active_if.items()})


def value_forms(values: object, where: str) -> frozenset[Form]:
    """Return the constants that a condition lists."""
    if not isinstance(values, list | tuple) or not values:
        raise SpaceError(f"{where}: must be a list of at least one value, got {shown(values)}")
    try:
        return frozenset(ConstantForm(frozen(decoded(value, where, 0))) for value in values)
    except SequenceError as error:
        raise SpaceError(f"{where}: a value {error}") from None


def in_order(conditions: list[Condition]) -> list[Condition]:
    """Return the conditions so that what each one looks at is decided before it."""
    needs: dict[str, set[str]] = {}
    for condition in conditions:
        needs.setdefault(condition.hp, set()).update(condition.active_if)
    try:
        order = {name: place for place, name in enumerate(TopologicalSorter(needs).static_order())}
    except CycleError as error:
        raise SpaceError(f"conditions: they go round in a circle: {' -> '.join(error.args[1])}") from None
    return sorted(conditions, key=lambda condition: order[condition.hp])
