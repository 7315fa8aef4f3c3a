"""`hive keys`: makes the keys of a coordinator and of those it lets in. It must not know what keys look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hive.actors.keys import COORDINATOR, make_keys

__all__ = ["main"]


def main(folder: Path, names: Sequence[str]) -> int:
    """Make what is missing, and say where each folder belongs."""
    for name, is_new in make_keys(folder, names or ["client"]).items():
        if not is_new:
            print(f"{folder / name}: has keys already; they are left as they are")
        elif name == COORDINATOR:
            print(f"{folder / name}: for hive-coordinator --keys; it never leaves the coordinator's machine")
        else:
            print(f"{folder / name}: for --keys or HIVE_KEYS of {name}; copy it there, and keep it from others")
    return 0
