"""Why two ways of training end in different states: what a fork lacks that the trainer it came from had.

A trainer is looked through at the fork twice: as it stands when it trained up to there, and as it stands after `load`,
with the same values in force. What `save()` leaves out shows as a difference: a generator in an object of the user's
own, an attribute that `build` makes anew. What cannot be looked into (how far an iterator is) is named as a suspicion.
Two names that lead to one tensor on one side only are told too: `load` has kept or parted a reference.

It must not know the ways, or what they ended in.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from types import ModuleType
from typing import Any

from hive.errors import CheckpointError
from hive.storage.checkpoints import digest
from hive.training.isolation import MISSING, generator_state, is_module, is_tensor
from hive.training.state import GIVEN, MARK
from hive.training.trainer import Trainer

__all__ = ["Portrait", "first_difference", "known_cause", "suspicion"]

ELEMENTS_MAX = 1000
"""Of a container that is looked through: nobody keeps more parts of a model in a list, but data are longer."""

DEPTH_MAX = 12
"""How deep objects are looked into; real trainers stay below five."""

PLAIN = (type(None), bool, int, float, complex, str, bytes)


# -- states ---------------------------------------------------------------------------------------------------


def first_difference(one: Any, other: Any, path: str = "") -> str | None:
    """The first key at which two states differ, such as `model.fc.weight`; None if they are equal."""
    if same(one, other):
        return None
    one, other = opened(one), opened(other)
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            inner = f"{path}.{key}" if path else str(key)
            if key not in one or key not in other:
                return inner
            if found := first_difference(one[key], other[key], inner):
                return found
    ordered = (list, tuple, deque)
    if isinstance(one, ordered) and isinstance(other, ordered) and len(one) == len(other):
        for place, (mine, its) in enumerate(zip(one, other, strict=True)):
            if found := first_difference(mine, its, f"{path}[{place}]"):
                return found
    return path or "state"


def same(one: Any, other: Any) -> bool:
    """Whether two parts of states are equal."""
    return digest(one) == digest(other)


def opened(saved: Any) -> Any:
    """What stands inside the mark of an object that the default `save` captured."""
    return saved.get("state", saved) if isinstance(saved, dict) and MARK in saved else saved


# -- trainers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """Something a trainer leads to. `kind`: "generator", "iterator" or "value"; `mark`: equal if it stands the same."""

    kind: str
    mark: str


@dataclass(slots=True)
class Portrait:
    """What a trainer leads to, by path (`self.sampler.rng`), at one moment.

    Attributes:
        found: generators, iterators and values.
        memories: for each path of a tensor, where its memory is.
    """

    found: dict[str, Found] = field(default_factory=dict)
    memories: dict[str, int] = field(default_factory=dict)
    seen: dict[int, Any] = field(default_factory=dict)  # holds what it saw, so that no identity is used again

    @staticmethod
    def of(trainer: Trainer) -> Portrait:
        """The portrait of a trainer as it stands now."""
        portrait = Portrait()
        for name, value in vars(trainer).items():
            if name not in GIVEN:
                portrait.look(f"self.{name}", value, values=True)
        return portrait

    def look(self, path: str, value: Any, *, values: bool, depth: int = 0) -> None:
        """Take in a value and what it leads to. `values`: plain values count; not inside what has `state_dict`."""
        if depth > DEPTH_MAX or isinstance(value, (type, ModuleType)) or callable_only(value):
            return
        if type(value) not in PLAIN and not is_tensor(value):
            if id(value) in self.seen:
                return
            self.seen[id(value)] = value
        if (state := generator_state(value)) is not MISSING:
            self.found[path] = Found("generator", mark(state))
        elif hasattr(type(value), "__next__"):
            self.found[path] = Found("iterator", str(operator.length_hint(value, -1)))
        elif is_tensor(value) or type(value) in PLAIN or hasattr(value, "dtype"):
            self.take(path, value, values)
        else:
            own_state = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
            if own_state:
                self.take(path, value.state_dict(), values)
            for inner, part in parts(value):
                self.look(path + inner, part, values=values and not own_state, depth=depth + 1)

    def take(self, path: str, value: Any, values: bool) -> None:
        """Take in a value that has no further parts."""
        if values:
            self.found[path] = Found("value", mark(value))
        tensors = value.items() if isinstance(value, dict) else [("", value)]
        for name, tensor in tensors:
            if is_tensor(tensor) and tensor.numel():
                self.memories[f"{path}.{name}" if name else path] = tensor.untyped_storage().data_ptr()

    def shared(self) -> set[tuple[str, str]]:
        """The pairs of paths whose tensors have one memory."""
        by_memory: dict[int, list[str]] = {}
        for path, memory in self.memories.items():
            by_memory.setdefault(memory, []).append(path)
        return {pair for paths in by_memory.values() for pair in combinations(sorted(paths), 2)}


def callable_only(value: Any) -> bool:
    """Whether it is a function or a method, which has no state of its own."""
    return (callable(value) and not hasattr(value, "__dict__")) or type(value).__name__ in ("function", "method")


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a container or an object leads to, with what stands behind its path."""
    if isinstance(value, dict):
        if len(value) <= ELEMENTS_MAX:
            yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, deque)):
        if len(value) <= ELEMENTS_MAX:
            yield from ((f"[{place}]", part) for place, part in enumerate(value))
    elif is_module(value):
        yield from module_parts(value)
    else:
        yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())


def module_parts(module: Any) -> Iterator[tuple[str, Any]]:
    """What a torch module's parts hold besides parameters and buffers."""
    for name, part in module.named_modules():
        for own, value in vars(part).items():
            if not own.startswith("_") and own != "training":
                yield f".{name}.{own}" if name else f".{own}", value


def mark(value: Any) -> str:
    """Equal for equal values."""
    try:
        return digest(value)
    except CheckpointError:
        return type(value).__qualname__


# -- causes ---------------------------------------------------------------------------------------------------


def known_cause(trained: Portrait, loaded: Portrait, saved: Any, own_load: bool) -> str | None:
    """What was seen to differ at the fork, in words; None if nothing was.

    Args:
        trained: the trainer that trained up to the fork.
        loaded: a trainer built and loaded there.
        saved: what `save()` returned there.
        own_load: whether the class has a `load` of its own.
    """
    apart = [path for path, found in trained.found.items() if loaded.found.get(path) != found]
    kept = sorted(loaded.shared() - trained.shared())
    if kept:
        return f"load() keeps references: {kept[0][0]} and {kept[0][1]} are one tensor after it, and were two before"
    for path in apart:
        if trained.found[path].kind == "generator":
            return f"generators not saved: {path} does not stand after load() where it stood when the state was saved"
    for path in sorted(apart, key=lambda path: trained.found[path].kind != "iterator"):
        name = path.removeprefix("self.").partition(".")[0].partition("[")[0]
        if own_load or (isinstance(saved, dict) and name in saved):
            return f"save() and load() do not bring {path} back as it was"
        return f"an attribute that build() makes anew and train() changes: {path}"
    parted = sorted(trained.shared() - loaded.shared())
    if parted:
        return (
            f"load() parts what was one: {parted[0][0]} and {parted[0][1]} were one tensor before it, and are two after"
        )
    return None


def suspicion(trained: Portrait) -> str | None:
    """What may differ though nobody can look into it; None if there is nothing of the kind."""
    for path, found in trained.found.items():
        if found.kind == "iterator":
            return (
                f"an attribute that build() makes anew and train() changes: {path}, an iterator; "
                "no checkpoint holds how far it was (see hive.training.data.ShuffledBatches)"
            )
    return None
