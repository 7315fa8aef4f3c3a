"""What surrounds a call of the user's code so that it leaves no trace: generators, training flags, buffers.

Two runs of the same steps give the same bits only if nothing else draws from a generator or turns a flag between
them, and `evaluate()` and `save()` do, more or less often from run to run. So what they may touch beside their
purpose is put back.

This module must not know when which method is called, and loads neither torch nor NumPy.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import random
import sys
from collections import deque
from collections.abc import Iterator
from types import ModuleType
from typing import Any

__all__ = [
    "MISSING",
    "Isolation",
    "capture_generators",
    "generator_state",
    "is_module",
    "is_tensor",
    "restore_flags",
    "restore_generators",
    "seed_for",
    "seed_generators",
    "set_generator_state",
]

MISSING: Any = object()
"""In place of a value where there is none; None is a value."""

SEARCHED_MAX = 1000
"""Elements of a container that is searched for modules; nobody keeps more in a list, but data sets are longer."""

PLAIN = (type(None), bool, int, float, complex, str, bytes)


def seed_for(seed: int, step: int) -> int:
    """The seed of `evaluate()` after `step` steps: 63 bits out of the study's seed and the step."""
    return int.from_bytes(hashlib.sha256(f"{seed} {step}".encode()).digest()[:8], "little") >> 1


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, and of NumPy, torch and CUDA where they are imported."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        # Not torch.manual_seed where nothing but the CPU is: it notes its whole call stack for devices still to come.
        (torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed)(seed)


def capture_generators() -> dict[str, Any]:
    """States of the global generators, as plain values."""
    states: dict[str, Any] = {"python": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        name, key, *rest = numpy.random.get_state()
        states["numpy"] = (name, key.tobytes(), *rest)
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state().numpy().tobytes()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    return states


def restore_generators(states: dict[str, Any], seed: int) -> None:
    """Put the global generators back; one whose library was not imported at capture is seeded from the study's seed."""
    if any(library in sys.modules and library not in states for library in ("numpy", "torch")):
        seed_generators(seed)
    random.setstate(states["python"])
    if "numpy" in states:
        import numpy

        name, key, *rest = states["numpy"]
        numpy.random.set_state((name, numpy.frombuffer(key, numpy.uint32), *rest))
    if "torch" in states:
        import torch

        torch.set_rng_state(bytes_tensor(states["torch"]))
        if "cuda" in states and torch.cuda.is_available():
            for index, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(bytes_tensor(state), index)


def bytes_tensor(data: bytes) -> Any:
    import torch

    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def generator_state(value: Any) -> Any:
    """State of a generator object as plain values and arrays; MISSING if the value is none."""
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return value.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, numpy.random.Generator):
        return value.bit_generator.state
    if numpy is not None and isinstance(value, numpy.random.RandomState):
        return value.get_state(legacy=False)
    if torch is not None and isinstance(value, torch.Generator):
        return value.get_state()
    return MISSING


def set_generator_state(generator: Any, state: Any) -> None:
    """Put a generator object into a state that `generator_state` gave."""
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


def inner_objects(trainer: Any) -> Iterator[Any]:
    """Every module and generator that the trainer's attributes lead to, each once, modules' own parts not entered."""
    seen: set[int] = set()
    waiting = list(vars(trainer).values())[::-1]
    while waiting:
        value = waiting.pop()
        cls: Any = type(value)
        kind = kind_of(cls)
        if kind is Kind.CLOSED or id(value) in seen:
            continue
        seen.add(id(value))
        if kind is Kind.SOUGHT:
            yield value
        elif kind is Kind.OBJECT:
            waiting.extend(inner.values() if isinstance(inner := getattr(value, "__dict__", None), dict) else ())
        elif len(value) <= SEARCHED_MAX:
            waiting.extend(value.values() if kind is Kind.MAPPING else value)


class Kind(enum.Enum):
    """What the search for modules and generators does with a value: stop, yield it, or look at what it holds."""

    CLOSED = enum.auto()
    SOUGHT = enum.auto()
    MAPPING = enum.auto()
    SERIES = enum.auto()
    OBJECT = enum.auto()


@functools.lru_cache(maxsize=1024)
def kind_of(cls: type) -> Kind:
    """The kind of a class's instances. (A class of torch's exists only once torch is imported: so it stays true.)"""
    if issubclass(cls, (*PLAIN, type, ModuleType)):
        return Kind.CLOSED
    if issubclass(cls, (*classes("torch", "nn.Module"), *generator_classes())):
        return Kind.CLOSED if issubclass(cls, random.SystemRandom) else Kind.SOUGHT
    if issubclass(cls, dict):
        return Kind.MAPPING
    if issubclass(cls, (list, tuple, deque)):
        return Kind.SERIES
    return Kind.CLOSED if issubclass(cls, classes("torch", "Tensor", "optim.Optimizer")) else Kind.OBJECT


def is_module(value: object) -> bool:
    """Whether it is a torch module."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def is_tensor(value: object) -> bool:
    """Whether it is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def classes(library: str, *names: str) -> tuple[type, ...]:
    """A library's classes by their names; none if the library is not imported."""
    module: Any = sys.modules.get(library)
    return () if module is None else tuple(functools.reduce(getattr, name.split("."), module) for name in names)


def generator_classes() -> tuple[type, ...]:
    """The classes whose instances `generator_state` knows."""
    return (random.Random, *classes("numpy", "random.Generator", "random.RandomState"), *classes("torch", "Generator"))


def modules_of(trainer: Any) -> list[Any]:
    return [part for value in inner_objects(trainer) if is_module(value) for part in value.modules()]


def restore_flags(trainer: Any, flags: bytes) -> None:
    """Put the flags back, if the modules are as many as they were."""
    modules = modules_of(trainer)
    if len(modules) == len(flags):
        for module, flag in zip(modules, flags, strict=True):
            module.training = bool(flag)


class Isolation:
    """A context that undoes what calls of the user's code in it do beside their purpose.

    Put back are the generators, global and the trainer's own, torch's grad mode, every module's training flag, and,
    from `keep_buffers` on, every module's buffers: batch normalization in a model that was not put in eval mode goes
    on averaging.

    Attributes:
        generators: the global generators' states when it was made.
        flags: every module and its training flag then.
    """

    def __init__(self, trainer: Any, seed: int) -> None:
        found = list(inner_objects(trainer))
        self.seed = seed
        self.generators = capture_generators()
        self.own = [(each, generator_state(each)) for each in found if not is_module(each)]
        self.flags = [(part, part.training) for each in found if is_module(each) for part in each.modules()]
        self.torch: Any = sys.modules.get("torch")
        self.grad = self.torch is not None and self.torch.is_grad_enabled()
        self.buffers: list[tuple[dict[str, Any], str, Any]] = []
        self.items: list[Any] = []

    def keep_buffers(self) -> None:
        """Let the buffers be put back, too, to what they are now."""
        homes = [module._buffers for module, _ in self.flags]
        self.buffers = [(home, name, each) for home in homes if home for name, each in home.items() if each is not None]
        if self.buffers:
            with self.torch.no_grad():
                self.items = [buffer.clone() for _, _, buffer in self.buffers]

    def put_back(self) -> None:
        """Put back all but the global generators: as between two calls, if the second one's are seeded."""
        for generator, state in self.own:
            set_generator_state(generator, state)
        for module, flag in self.flags:
            module.training = flag
        if self.buffers:
            # All: batch normalization writes its averages without counting up the tensors' versions.
            with self.torch.no_grad():
                self.torch._foreach_copy_([buffer for _, _, buffer in self.buffers], self.items)
        for home, name, buffer in self.buffers:
            home[name] = buffer
        if self.torch is not None:
            self.torch.set_grad_enabled(self.grad)

    def __enter__(self) -> Isolation:
        return self

    def __exit__(self, *error: object) -> None:
        restore_generators(self.generators, self.seed)
        self.put_back()
