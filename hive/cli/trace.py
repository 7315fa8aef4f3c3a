"""`hive trace`: do the actors of a trace, made anew, want the same again? It must not know how they are made."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator, Sequence
from pathlib import Path

from hive.errors import UsageError
from hive.simulation.retrace import Retraced, retraced

__all__ = ["main"]


def main(paths: Sequence[Path], json: bool) -> int:
    """Go through traces again, and say where something else is wanted; 1 if it is.

    Raises:
        UsageError: there is no trace, or one cannot be read.
    """
    found = {path: retraced(path) for path in files(paths)}
    differences = [difference for each in found.values() for difference in each.differences]
    if json:
        print(json_text.dumps(to_json(found), indent=1))
        return 1 if differences else 0
    for path, each in found.items():
        print(f"{path}: {each.actors} actors, {each.turns:,} turns, {len(each.differences)} differ")
    for difference in differences:
        print(difference)
    return 1 if differences else 0


def files(paths: Sequence[Path]) -> Iterator[Path]:
    """The traces that are named, and those in folders that are.

    Raises:
        UsageError: a folder has none.
    """
    for path in paths:
        there = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not there:
            raise UsageError(f"{path} has no trace (*.jsonl): HIVE_TRACE={path} before a command writes them there")
        yield from there


def to_json(found: dict[Path, Retraced]) -> dict[str, object]:
    """The report as plain values."""
    return {
        "files": len(found),
        "actors": sum(each.actors for each in found.values()),
        "turns": sum(each.turns for each in found.values()),
        "differences": [
            {
                "file": str(each.path),
                "line": each.line,
                "at": each.at,
                "actor": each.actor,
                "event": each.event,
                "told": each.told,
                "wanted": each.wanted,
            }
            for retraced in found.values()
            for each in retraced.differences
        ],
    }
