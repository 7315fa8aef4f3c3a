"""The next batch: the longest path of the stage tree that a trainer can begin now.

Hippo's rule (section 4.3): of all READY stages take the one from which the longest path hangs, and hand the whole
path to one trainer, which then needs no checkpoint to be loaded on the way. What branches off becomes ready as the
path passes. Ours adds one thing: a trainer that has the state a path starts from at hand, live or in memory, saves a
load, and that saving counts for the path.

Ties go to the live model, then to a state in memory, then to more trials that wait along the path, then to the oldest
request on it, then to the lower node and step, so that the choice is the same wherever it is made.

A batch of very many stages ends before its path does.

This is the rule written plainly on the tree as it was built; frontier.py gives the same answer without building it. It
must not know leases, messages, or how seconds were measured.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hive.planner.estimates import Estimates
from hive.planner.search_plan import Place
from hive.planner.stage_tree import Stage

__all__ = ["LONG", "MEMORY_SAVES", "NEVER", "NOTHING", "Rank", "long_enough", "next_batch", "ranks"]

LONG = 64
"""Stages after which a batch ends at the next boundary: the rest of its path is decided on when it is there. Its model
is live then, so nothing is lost, and a path of thousands of stages makes no endless message."""

MEMORY_SAVES = 0.5
"""What part of a load is saved where the state is in the trainer's memory: nearly all of it where it is put back in
place, a third where the trainer is built anew (a ResNet-56: 80 ms from a file, 55 so). A live model saves all."""

NEVER = 1 << 62
"""The order of no request."""

Rank = tuple[float, int, int, Place]
"""What stages are chosen by, the lowest first: minus the seconds of the longest path that begins with it, minus how
many wait along it, the oldest request on it, where the stage ends."""

NOTHING: Rank = (0.0, 0, NEVER, Place(-1, 0))
"""What stands for the path behind a stage behind which nothing is left."""


def ranks(tree: Sequence[Stage], estimates: Estimates) -> dict[Stage, Rank]:
    """By stage: its rank. `tree`: parents before children."""
    found: dict[Stage, Rank] = {}
    for stage in reversed(tree):
        seconds, waiting, oldest, _ = min((found[child] for child in stage.children), default=NOTHING)
        cost_s = estimates.stage_s(stage.node.number, stage.end - stage.start, saved=stage.boundary)
        order = NEVER if stage.order is None else stage.order
        found[stage] = (seconds - cost_s, waiting - stage.wanted, min(order, oldest), stage.place)
    return found


def next_batch(
    tree: Sequence[Stage], estimates: Estimates, held: Place | None = None, in_memory: Collection[Place] = ()
) -> list[Stage]:
    """The stages of the batch that an idle trainer should get, in order; empty if none is ready.

    Args:
        tree: the stages, parents before children.
        estimates: what they should cost.
        held: the place where the trainer's live model stands, None if it has none.
        in_memory: the places whose states it can go back to without a file.
    """
    rank = ranks(tree, estimates)
    ready = sorted((stage for stage in tree if stage.ready), key=lambda stage: rank[stage])
    if not ready:
        return []
    saved = dict.fromkeys(in_memory, MEMORY_SAVES) | ({} if held is None else {held: 1.0})
    at_hand = [
        (rank[stage][0] - part * estimates.load_s.value, -part, rank[stage], stage)
        for place, part in saved.items()
        for stage in ready
        if stage.origin == place
    ]
    path = [ready[0]]
    if at_hand and (nearest := min(at_hand, key=lambda each: each[:3]))[0] <= rank[ready[0]][0]:
        path = [nearest[3]]
    while path[-1].children and not long_enough(path):
        path.append(min(path[-1].children, key=lambda stage: rank[stage]))
    return path


def long_enough(path: Sequence[Stage]) -> bool:
    """Whether a batch ends here although more follows."""
    return len(path) >= LONG and path[-1].boundary
