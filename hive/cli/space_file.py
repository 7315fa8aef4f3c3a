"""Search spaces from a JSON file: one space, or named spaces and sets of them.

    {"name", "steps", "space": {hp: [descriptor, ...]}, "conditions": [...]}
    {"spaces": {NAME: a space as above, ...}, "sets": {NAME: [names of spaces], ...}}

What is wrong is said with its place in the file. It must not know what is done with the spaces.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from hive.errors import SequenceError, SpaceError, UsageError
from hive.planner.sequences import Sequence, meant
from hive.planner.space import GridSpace, checked_steps, described_options
from hive.planner.values import listed, shown

__all__ = ["read_spaces"]

SPACE_KEYS = ("name", "steps", "space", "conditions")
FILE_KEYS = ("spaces", "sets")

NOTES = ("about", "model", "dataset", "unit", "paper_merge_rate")
"""Keys that tell people what a space is, and change nothing."""

PIECES_MAX = 100_000
"""Of one sequence: a hundred times what a cyclic one has in the longest of the papers' spaces."""

SEGMENTS_MAX = 10_000_000
"""Ranges of steps over all trials: some minutes. Beyond, a number in the file is rather a slip."""


def read_spaces(path: Path, space: str | None, set_name: str | None) -> list[GridSpace]:
    """The spaces of a file: its only one, the one named `space`, or those of the set `set_name`.

    Raises:
        SpaceError: the file cannot be read or is wrong (the message says where), or it has nothing of that name.
    """
    try:
        data = parsed(path)
        if isinstance(data, dict) and not data.keys() & set(FILE_KEYS):
            if space is not None or set_name is not None:
                raise SpaceError("holds one space, which needs no --space or --set")
            return [space_of(data, "")]
        spaces = keyed(data, "", FILE_KEYS)
        return [space_of(spaces["spaces"][name], f"spaces.{name}.") for name in chosen(spaces, space, set_name)]
    except UsageError as error:
        raise SpaceError(f"{path}: {error}") from None
    except RecursionError:
        raise SpaceError(f"{path}: lists or objects lie too deep in each other") from None


def parsed(path: Path) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
    except OSError as error:
        raise SpaceError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SpaceError(f"is no UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None
    except json.JSONDecodeError as error:
        raise SpaceError(f"line {error.lineno}, column {error.colno}: no JSON: {error.msg}") from None
    except UsageError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise SpaceError(f"no JSON: {error}") from None


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two values JSON readers keep one, which is seldom meant."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise SpaceError(f"the key {shown(key)} stands twice in one object")
        found[key] = value
    return found


def keyed(data: object, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    """An object that has no keys but the known ones, and notes."""
    if not isinstance(data, dict):
        raise SpaceError(f"{place(where)}must be an object with {listed(known)}, got {shown(data)}")
    for key in data:
        if key not in known and key not in NOTES:
            raise SpaceError(f"{place(where)}there is no key {shown(key)}{meant(key, known)}; known: {listed(known)}")
    return data


def place(where: str) -> str:
    """A prefix such as `spaces.lr.` as the place that a message begins with."""
    return f"{where.rstrip('.')}: " if where else ""


def chosen(data: dict[str, Any], space: str | None, set_name: str | None) -> list[str]:
    """The names of the spaces that are meant, all of which exist."""
    spaces, sets = named(data, "spaces"), named(data, "sets")
    if set_name is None:
        if space is None:
            raise SpaceError(f"which? Name one with --space ({listed(spaces)}) or --set ({listed(sets)})")
        return [existing(space, spaces, "--space: ", "space")]
    members = sets[existing(set_name, sets, "--set: ", "set")]
    where = f"sets.{set_name}"
    if not isinstance(members, list) or not members:
        raise SpaceError(f"{where}: must be a list of at least one space's name, got {shown(members)}")
    return [existing(name, spaces, f"{where}[{at}]: ", "space") for at, name in enumerate(members)]


def named(data: dict[str, Any], key: str) -> dict[str, Any]:
    """What stands under `key`, by names that can be printed."""
    found = data.get(key, {})
    if not isinstance(found, dict):
        raise SpaceError(f"{key}: must be an object of {key} by their names, got {shown(found)}")
    for name in found:
        printable(name, f"{key}: a name")
    return found


def existing(name: object, names: Mapping[str, Any], where: str, what: str) -> str:
    """The name, if there is something of that name."""
    if not isinstance(name, str) or name not in names:
        hint = meant(name, names) if isinstance(name, str) else ""
        raise SpaceError(f"{where}there is no {what} {shown(name)}{hint}; the file has: {listed(names) or 'none'}")
    return name


def printable(text: object, what: str) -> str:
    """A text that a line of output bears."""
    if not isinstance(text, str) or not text or not text.isprintable():
        raise SpaceError(f"{what} must be a text that can be printed, got {shown(text)}")
    return text


def space_of(data: object, where: str) -> GridSpace:
    """The space that an object says."""
    fields = keyed(data, where, SPACE_KEYS)
    for key in ("steps", "space"):
        if key not in fields:
            raise SpaceError(f"{place(where)}the key {shown(key)} is missing")
    try:
        name = "" if fields.get("name", "") == "" else printable(fields["name"], "name")
        steps = checked_steps(fields["steps"])
        options = read_options(fields["space"], steps)
        return GridSpace(options, steps, conditions=fields.get("conditions", ()), name=name)
    except UsageError as error:
        raise SpaceError(f"{where}{error}") from None


def read_options(space: object, steps: int) -> dict[str, list[Sequence]]:
    """Hyper-parameter -> its sequences, if their combinations are not too many to plan."""
    if not isinstance(space, dict):
        raise SpaceError(f"space: must be an object of lists of descriptors by hyper-parameter, got {shown(space)}")
    options = {
        printable(name, "space: a hyper-parameter's name"): described_options(name, descriptors)
        for name, descriptors in space.items()
    }
    pieces = sum(most_pieces(name, sequences, steps) for name, sequences in options.items())
    trials = math.prod(len(sequences) for sequences in options.values())
    if trials * pieces > SEGMENTS_MAX:
        raise SpaceError(f"space: {trials:,} combinations of up to {pieces:,} pieces are too many to plan here")
    return options


def most_pieces(name: str, sequences: Iterable[Sequence], steps: int) -> int:
    """How many pieces the sequence that has most begins before `steps`."""
    most = 0
    for at, sequence in enumerate(sequences):
        begun = takewhile(lambda piece: piece.start < steps, sequence.pieces())
        try:
            pieces = sum(1 for _ in islice(begun, PIECES_MAX + 1))
        except SequenceError as error:
            raise SequenceError(f"space.{name}[{at}]: {error}") from None
        if pieces > PIECES_MAX:
            raise SequenceError(f"space.{name}[{at}]: changes more than {PIECES_MAX:,} times in {steps:,} steps")
        most = max(most, pieces)
    return most
