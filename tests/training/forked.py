"""A program: fork each trainer from a checkpoint, in a process that never trained its beginning.

`python -m tests.training.forked FOLDER` prints {name: [digest, digest with the generators' states left out]}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import hive.training.isolation
import hive.training.live
import hive.training.state
from hive.training.reports import Reached
from tests.training.toys import KINDS, RISING, Bench, batch, of_kind, stage

__all__ = ["FORK", "GENERATOR_RESTORERS", "forget_generators", "forked"]

FORK = batch(stage(0, 3, 8, RISING), origin=(0, 3), checkpoint="0-3-1.safetensors")
"""From step 3 to 8, from disk."""

GENERATOR_RESTORERS = (
    (hive.training.live, "restore_generators"),
    (hive.training.isolation, "restore_generators"),
    (hive.training.isolation, "set_generator_state"),
    (hive.training.state, "set_generator_state"),
)
"""Where hive puts generators back, global ones and attributes."""


def forget_generators() -> None:
    """Break hive: leave the generators' states out of what is restored."""
    for module, name in GENERATOR_RESTORERS:
        setattr(module, name, lambda states, seed: None)


def forked(folder: Path) -> dict[str, str]:
    """The digest of each trainer at step 8, forked from its checkpoint at step 3."""
    found = {}
    for name, kind in KINDS.items():
        bench = Bench(kind, folder / name)
        [reached] = of_kind(Reached, bench.run(FORK))
        found[name] = reached.digest
        bench.executor.close()
    return found


if __name__ == "__main__":
    whole = forked(Path(sys.argv[1]))
    forget_generators()
    stripped = forked(Path(sys.argv[1]))
    print(json.dumps({name: [whole[name], stripped[name]] for name in whole}))
