"""What messages are made of: names, numbers, and the maps within them.

It must not know which message holds which part."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

__all__ = [
    "WEIGHT_MAX",
    "WEIGHT_MIN",
    "AnnouncedTrial",
    "AskedTrial",
    "Count",
    "GrantedStage",
    "Message",
    "Name",
    "Part",
    "Point",
    "Slot",
    "Stages",
    "Weight",
]


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
"""What becomes part of a key in the store. A key has 511 bytes at most, and a character up to four."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A step, a number, or an identity: from 0, and no larger than a key in the store can hold."""


WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0
"""Between these, sums and quotients of weights are exact enough, and a study of the least still gets a turn."""

Weight = Annotated[float, msgspec.Meta(ge=WEIGHT_MIN, le=WEIGHT_MAX)]
"""How much of the trainer time a study gets, in proportion to the others that wait."""


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The base of all messages: a map whose "type" is the class's name."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """The base of what messages are made of."""


class AskedTrial(Part, frozen=True):
    """A trial and the step up to which it should be trained (>= 1). `config`: its sequences' descriptors by name."""

    trial: Count
    step: Count
    config: dict[str, dict[str, Any]]


class AnnouncedTrial(Part, frozen=True):
    """A trial that may be asked for later. `config`: its sequences' descriptors by name."""

    trial: Count
    config: dict[str, dict[str, Any]]


class GrantedStage(Part, frozen=True):
    """The steps [start, end) under a node.

    Attributes:
        forms: the node's, as data.
        metrics: whether to measure at the end.
        boundary: whether to leave a checkpoint at the end; if not, training goes on with the next stage.
        run: with `trial`, whom it is trained for: the lowest trial that waits for its end or something behind it.
    """

    node: Count
    start: Count
    end: Count
    forms: dict[str, list[Any]]
    metrics: bool
    run: str = ""
    trial: Count | None = None
    boundary: bool = True


Stages = Annotated[list[GrantedStage], msgspec.Meta(min_length=1)]
"""Consecutive: each begins where the one before ended."""


class Slot(Part, frozen=True):
    """A device and the trainer process that runs on it, None for none."""

    device: Name
    trainer: Name | None = None


class Point(Part, frozen=True):
    """Metrics at a step of a node. `kind`: "train" for what `train()` returned, "eval" for `evaluate()`."""

    node: Count
    step: Count
    kind: Name
    metrics: dict[str, float]
