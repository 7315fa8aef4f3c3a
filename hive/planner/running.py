"""Batches that are out: where they must stop, as things stand now.

While a batch runs, others ask and let go. A step that is asked for now may lie on the way of a batch that has not come
that far: then the batch is to stop there too, and nobody trains its steps again. (Hippo trains them again, from the
last checkpoint below.) And what nobody waits for any more is cut off its end.

How far training has come is known only roughly, so a boundary that is added may come too late. Until that is known the
batch promises it like any other.

It must not know leases, trainers, messages, or who asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from hive.planner.frontier import Frontier
from hive.planner.search_plan import Place

__all__ = ["Ends", "Way", "cut", "on_the_way"]

Ends = tuple[tuple[int, int, int], ...]
"""The (node, start, end) of consecutive stages."""


class Way(NamedTuple):
    """What a batch has ahead.

    Attributes:
        lease: the batch's lease.
        ends: its stages that are not done.
        step: the greatest step that it is known to have done.
        passes: the (node, end) of those where it goes on without a checkpoint.
    """

    lease: int
    ends: Ends
    step: int
    passes: tuple[tuple[int, int], ...] = ()


def on_the_way(frontier: Frontier, ways: Iterable[Way]) -> dict[int, list[Place]]:
    """By lease, the ends of stages that lie where a batch merely trains on, and may still be ahead there: inside its
    stages, and where it passes to the next node.

    Where two batches come by, the one that ends sooner is meant: it was sent for what lies just below.
    """
    passing: dict[Place, list[tuple[int, int]]] = defaultdict(list)
    for way in ways:
        for node, start, end in way.ends:
            upto = end + ((node, end) in way.passes)
            for step in frontier.ends_within(node, max(start, way.step - 1), upto):
                passing[Place(node, step)].append((end, way.lease))
    found: dict[int, list[Place]] = defaultdict(list)
    for place, batches in passing.items():
        found[min(batches)[1]].append(place)
    return found


def all_wanted(place: Place) -> bool:  # noqa: ARG001  (it is asked about a place)
    """Every place is wanted."""
    return True


def cut(
    ends: Sequence[tuple[int, int, int]], added: Iterable[Place], wanted: Callable[[Place], bool] = all_wanted
) -> Ends:
    """The stages of a way, cut at the places that are added and nowhere that is not wanted, up to the last that is.

    Where the way passes from a node to its child it stays cut, wanted or not: other values are in force from there.
    """
    pieces: list[tuple[int, int, int]] = []
    added_to: dict[int, set[int]] = defaultdict(set)
    for place in added:
        added_to[place.node].add(place.step)
    for node, start, end in ends:
        steps = {step for step in added_to.get(node, ()) if start < step < end}
        for step in sorted({*steps, end}):
            pieces.append((node, start, step))
            start = step
    while pieces and not wanted(Place(pieces[-1][0], pieces[-1][2])):
        pieces.pop()
    kept: list[tuple[int, int, int]] = []
    for node, start, end in pieces:
        if kept and kept[-1][0] == node and not wanted(Place(node, kept[-1][2])):
            start = kept.pop()[1]
        kept.append((node, start, end))
    return tuple(kept)
