"""Default save and load: what a trainer's attributes are as a state, and how they are put back.

A walk over the attributes. Plain values, tensors and arrays stand for themselves; an object stands as a dict with the
key `hive:object`, which says how it is put back:

    {"hive:object": "state_dict", "state": ...}    has state_dict and load_state_dict
    {"hive:object": "generator", "state": ...}     a generator of torch, NumPy or random
    {"hive:object": "built"}                       cannot be captured, inside a list or dict; `build` makes it

Loading walks the attributes that `build` made beside the saved ones and fills them in place where it can, so that
whatever else refers to them (an optimizer to its model's parameters) still does.

This module must not know of files or stages, and loads neither torch nor NumPy.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from hive.errors import CheckpointError
from hive.storage.checkpoints import digest
from hive.training.isolation import MISSING, generator_state, is_module, is_tensor, set_generator_state

__all__ = ["load_attributes", "save_attributes"]

GIVEN = frozenset({"device", "seed", "fixed"})
"""Attributes that the executor sets; no state."""

MARK = "hive:object"
BUILT = {MARK: "built"}

PLAIN = (type(None), bool, int, float, complex, str, bytes)
MAPPINGS = (dict, OrderedDict, defaultdict, Counter)


def save_attributes(trainer: Any) -> dict[str, Any]:
    """The default state: every attribute that can be captured.

    Raises:
        CheckpointError: an attribute contains itself, or uses the key that marks captured objects.
    """
    state = {}
    for name, value in vars(trainer).items():
        if name in GIVEN:
            continue
        try:
            captured = capture(value, f"self.{name}")
        except RecursionError:
            raise CheckpointError(f"self.{name} contains itself, so the default save() cannot store it") from None
        if captured is not BUILT:
            state[name] = captured
    return state


def capture(value: Any, place: str) -> Any:
    """What stands for a value in a state; BUILT if it cannot be captured."""
    if isinstance(value, PLAIN) and type(value) in PLAIN:
        return value
    if is_tensor(value):
        return value if value.layout is sys.modules["torch"].strided else captured_object(value, place)
    if is_array(value) or is_numpy_scalar(value):
        return BUILT if value.dtype.hasobject or value.dtype.names else value
    if type(value) in MAPPINGS:
        return capture_mapping(value, place)
    if type(value) in (list, tuple, deque):
        elements = [capture(element, f"{place}[{index}]") for index, element in enumerate(value)]
        return deque(elements, value.maxlen) if type(value) is deque else type(value)(elements)
    if type(value) in (set, frozenset):
        return value if all(map(is_key, value)) else BUILT
    return captured_object(value, place)


def capture_mapping(value: dict[Any, Any], place: str) -> Any:
    if not all(map(is_key, value)):
        return BUILT
    if MARK in value:
        raise CheckpointError(f"{place} has the key {MARK!r}, which the default save() uses itself; rename it")
    captured = {key: capture(inner, f"{place}[{key!r}]") for key, inner in value.items()}
    return Counter(captured) if type(value) is Counter else captured


def captured_object(value: Any, place: str) -> Any:
    state = generator_state(value)
    if state is not MISSING:
        return {MARK: "generator", "state": state}
    if not isinstance(value, type) and hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return {MARK: "state_dict", "state": value.state_dict()}
    if is_tensor(value):
        raise CheckpointError(f"{place} is a sparse tensor, which a checkpoint cannot hold; write save() and load()")
    return BUILT


def is_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_key(value: object) -> bool:
    return type(value) in PLAIN or is_numpy_scalar(value) or (type(value) is tuple and all(map(is_key, value)))


def is_numpy_scalar(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def load_attributes(trainer: Any, state: dict[str, Any]) -> None:
    """Put a default state back into a trainer that was built.

    Raises:
        CheckpointError: an attribute is an object now of which the state cannot be put back.
    """
    loader = Loader()
    attributes = vars(trainer)
    for objects_first in (True, False):
        for name, saved in state.items():
            if is_marked(saved) is objects_first:
                setattr(trainer, name, loader.restore(attributes.get(name, MISSING), saved, f"self.{name}"))


def is_marked(saved: object) -> bool:
    return type(saved) is dict and MARK in saved


class Loader:
    """One load: fills what exists, in place, and remembers what it filled.

    Two names may lead to one object after `build` that had parted by the time of the save. Filling it twice would
    leave both names with the second value; so what was filled already is kept if the values are equal, and replaced
    if not.
    """

    def __init__(self) -> None:
        self.filled: dict[int, Any] = {}
        self.memories: set[int] = set()

    def restore(self, existing: Any, saved: Any, place: str) -> Any:
        """The value for that place: the existing one, filled, or the saved one."""
        if is_marked(saved):
            return self.restore_object(existing, saved, place)
        if is_tensor(saved):
            return self.restore_tensor(existing, saved)
        if is_array(saved):
            return self.restore_array(existing, saved)
        if isinstance(saved, (dict, list, deque, tuple)):
            return self.restore_container(existing, saved, place)
        if type(saved) is set and type(existing) is set and self.fresh(existing, saved):
            existing.clear()
            existing.update(saved)
            return existing
        return saved

    def restore_object(self, existing: Any, saved: dict[str, Any], place: str) -> Any:
        if saved[MARK] == "built":
            return None if existing is MISSING else existing
        if saved[MARK] == "generator":
            return self.restore_generator(existing, saved["state"], place)
        if not hasattr(existing, "load_state_dict"):
            now = "nothing" if existing is MISSING else f"a {type(existing).__qualname__}"
            raise CheckpointError(
                f"{place} was saved as an object with state_dict(), but build() made {now} there; "
                "make it in build(), or write save() and load()"
            )
        existing.load_state_dict(saved["state"])
        if is_module(existing):
            self.memories.update(each.data_ptr() for each in (*existing.parameters(), *existing.buffers()))
        return existing

    def restore_generator(self, existing: Any, state: Any, place: str) -> Any:
        if generator_state(existing) is MISSING:
            raise CheckpointError(
                f"{place} was saved as a random generator, but build() made none there; make it in build()"
            )
        set_generator_state(existing, state)
        return existing

    def restore_tensor(self, existing: Any, saved: Any) -> Any:
        if not is_tensor(existing) or existing.shape != saved.shape or existing.dtype != saved.dtype:
            return saved
        memory = existing.data_ptr()
        if memory in self.memories:
            return existing if same_items(existing, saved) else saved
        try:
            with sys.modules["torch"].no_grad():
                existing.copy_(saved)
        except RuntimeError:  # expanded: one item of memory stands for several
            return saved
        self.memories.add(memory)
        return existing

    def restore_array(self, existing: Any, saved: Any) -> Any:
        if not is_array(existing) or existing.shape != saved.shape or existing.dtype != saved.dtype:
            return saved
        if not existing.flags.writeable or not self.fresh(existing, saved):
            return existing if existing.tobytes() == saved.tobytes() else saved
        existing[...] = saved
        return existing

    def restore_container(self, existing: Any, saved: Any, place: str) -> Any:
        fits = isinstance(existing, dict) if isinstance(saved, dict) else type(existing) is type(saved)
        beside = existing if fits and self.fresh(existing, saved) else type(saved)()
        if isinstance(saved, dict):
            content = {
                key: self.restore(beside.get(key, MISSING), value, f"{place}[{key!r}]") for key, value in saved.items()
            }
            return refill(beside, content, dict.update) if content or fits else saved
        made = list(beside) + [MISSING] * len(saved)
        elements = [self.restore(made[index], value, f"{place}[{index}]") for index, value in enumerate(saved)]
        if isinstance(saved, tuple):
            return tuple(elements)
        if isinstance(saved, deque) and beside.maxlen != saved.maxlen:
            return deque(elements, saved.maxlen)
        return refill(beside, elements, type(saved).extend)

    def fresh(self, existing: Any, saved: Any) -> bool:
        """Whether this object may be filled: it was not, or with an equal value."""
        before = self.filled.setdefault(id(existing), saved)
        return before is saved or digest(before) == digest(saved)


def refill(container: Any, content: Any, put: Any) -> Any:
    container.clear()
    put(container, content)
    return container


def same_items(one: Any, other: Any) -> bool:
    return bool(digest(one) == digest(other))
