"""The next batch: the longest path of the stage tree that a trainer can begin now.

Hippo's rule (section 4.3): of all READY stages take the one from which the longest path hangs, and hand the whole
path to one trainer, which then needs no checkpoint to be loaded on the way. What branches off becomes ready as the
path passes. Ours adds one thing: a trainer that still holds the state a path starts from saves a load, and that
saving counts for the path.

It must not know leases, messages, or how seconds were measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from heapq import heapify, heappop

from hive.planner.estimates import Estimates
from hive.planner.search_plan import Place
from hive.planner.stage_tree import Stage

__all__ = ["CriticalPaths", "next_batch", "path_seconds"]


def path_seconds(tree: Sequence[Stage], estimates: Estimates) -> dict[Stage, float]:
    """By stage: the seconds of the longest path within `tree` that begins with it. `tree`: parents before children."""
    seconds: dict[Stage, float] = {}
    for stage in reversed(tree):
        own = estimates.stage_s(stage.node.number, stage.end - stage.start)
        seconds[stage] = own + max((seconds[child] for child in stage.children if child in seconds), default=0.0)
    return seconds


def next_batch(tree: Sequence[Stage], estimates: Estimates, held: Place | None = None) -> list[Stage]:
    """The stages of the batch that an idle trainer should get, in order; empty if none is ready. See
    `CriticalPaths`."""
    return CriticalPaths(tree, estimates).take(held)


Rank = tuple[float, int, int, Place]


class CriticalPaths:
    """The ready stages of a tree, the longest path first.

    Taking a batch keeps it right: what branches off the batch waits for a promise from then on, and `waited` says for
    which. Anything else that changes the plan asks for a new tree.

    Ties go to the model at hand, then to more waiting trials, then to the older request, then to the lower node and
    step, so that the choice is the same wherever it is made.

    Args:
        tree: the stages, parents before children: with a stage its parent. No path leaves it.
        estimates: what they should cost.
        taken: the stages that batches began with; shared where several look at one tree.

    Attributes:
        waited: the places that, once reached, make something ready.
    """

    def __init__(self, tree: Sequence[Stage], estimates: Estimates, taken: set[Stage] | None = None) -> None:
        self.load_s = estimates.load_s.value
        self.seconds = path_seconds(tree, estimates)
        self.queue = [(self.rank(stage), stage) for stage in tree if stage.ready]
        heapify(self.queue)
        self.taken: set[Stage] = set() if taken is None else taken
        self.from_origin: dict[Place, list[Stage]] = defaultdict(list)
        for _, stage in self.queue:
            if stage.origin is not None:
                self.from_origin[stage.origin].append(stage)
        self.waited = {stage.origin for stage in tree if stage.waiting}

    def rank(self, stage: Stage) -> Rank:
        """What ready stages, and the children on a path, are chosen by: the lowest first."""
        return -self.seconds[stage], -stage.wanted, stage.order, stage.place

    @property
    def ready(self) -> int:
        """How many stages could be begun now."""
        return len(self.queue) - sum(stage in self.taken for _, stage in self.queue)

    def longest(self) -> Stage | None:
        """The ready stage that the longest path begins with; None if none is ready."""
        while self.queue and self.queue[0][1] in self.taken:
            heappop(self.queue)
        return self.queue[0][1] if self.queue else None

    def take(self, held: Place | None = None) -> list[Stage]:
        """The stages of the batch that an idle trainer should get, in order; empty if none is ready.

        Args:
            held: the place whose state the trainer still holds, None if it holds none.
        """
        first = self.longest()
        if first is None:
            return []
        at_hand = [s for s in self.from_origin.get(held, ()) if s not in self.taken] if held is not None else []
        if at_hand:
            nearest = min(at_hand, key=self.rank)
            if self.seconds[nearest] + self.load_s >= self.seconds[first]:
                first = nearest
        path = [first]
        while children := [child for child in path[-1].children if child in self.seconds]:
            path.append(min(children, key=self.rank))
        self.taken.add(first)
        self.waited |= {stage.place for stage in path if len(stage.children) > (stage is not path[-1])}
        return path
