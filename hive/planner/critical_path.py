"""The next batch: the longest path of the stage tree that a trainer can begin now.

Hippo's rule (section 3.4): of all READY stages take the one from which the longest path hangs, and hand the whole
path to one trainer, which then needs no checkpoint to be loaded on the way. What branches off becomes ready as the
path passes. Ours adds one thing: a trainer that still holds the state a path starts from saves a load, and that
saving counts for the path.

It must not know leases, messages, or how seconds were measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from hive.planner.estimates import Estimates
from hive.planner.search_plan import Place
from hive.planner.stage_tree import Stage

__all__ = ["next_batch", "path_seconds"]


def path_seconds(tree: Sequence[Stage], estimates: Estimates) -> dict[Stage, float]:
    """By stage: the seconds of the longest path that begins with it. `tree`: parents before children."""
    seconds: dict[Stage, float] = {}
    for stage in reversed(tree):
        own = estimates.stage_s(stage.node.number, stage.end - stage.start)
        seconds[stage] = own + max((seconds[child] for child in stage.children), default=0.0)
    return seconds


def next_batch(tree: Sequence[Stage], estimates: Estimates, held: Place | None = None) -> list[Stage]:
    """The stages of the batch that an idle trainer should get, in order; empty if none is ready.

    Ties go to more waiting trials, then to the older request, then to the lower node and step, so that the choice is
    the same wherever it is made.

    Args:
        tree: the stages, parents before children.
        estimates: what they should cost.
        held: the place whose state the trainer still holds, None if it holds none.
    """
    seconds = path_seconds(tree, estimates)

    def rank(stage: Stage, saved: float = 0.0) -> tuple[float, int, int, Place]:
        return -(seconds[stage] + saved), -stage.wanted, stage.order, stage.place

    def first(stage: Stage) -> tuple[float, int, int, Place]:
        return rank(stage, estimates.load_s.value if held is not None and stage.origin == held else 0.0)

    ready = [stage for stage in tree if stage.ready]
    if not ready:
        return []
    path = [min(ready, key=first)]
    while path[-1].children:
        path.append(min(path[-1].children, key=rank))
    return path
