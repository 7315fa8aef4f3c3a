"""Configs as messages and records say them: a descriptor for each hyper-parameter.

It must not know runs, plans, or what a config is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from hive.errors import UsageError
from hive.planner.sequences import Sequence, sequence_from_descriptor
from hive.planner.space import Config

__all__ = ["config_of"]

encode = msgspec.msgpack.Encoder().encode

SEQUENCES_MAX = 10_000
"""Sequences remembered by their descriptors: a search is made of some hundred, asked for again and again."""


def config_of(descriptors: Mapping[str, object], names: tuple[str, ...]) -> Config:
    """The config that the descriptors of a request or an announcement say.

    Raises:
        UsageError: a name that the study does not have, a descriptor that is none.
    """
    unknown = descriptors.keys() - names
    if unknown or not descriptors:
        raise UsageError(
            f"{', '.join(sorted(unknown)) or 'an empty config'}: the study's hyper-parameters are {', '.join(names)}"
        )
    try:
        return {name: sequence_packed(encode(descriptor)) for name, descriptor in descriptors.items()}
    except UsageError:
        return {name: sequence_from_descriptor(d, name) for name, d in descriptors.items()}  # says of which name


@lru_cache(SEQUENCES_MAX)
def sequence_packed(data: bytes) -> Sequence:
    """The sequence that a packed descriptor says: 1, 1.0 and True differ there, as they do in a dict's keys not."""
    return sequence_from_descriptor(msgspec.msgpack.decode(data))
