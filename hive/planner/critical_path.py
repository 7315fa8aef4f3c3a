"""The next batch: the longest path of the stage tree that a trainer can begin now.

Hippo's rule (section 4.3): of all READY stages take the one from which the longest path hangs, and hand the whole
path to one trainer, which then needs no checkpoint to be loaded on the way. What branches off becomes ready as the
path passes. Ours adds one thing: a trainer that has the state a path starts from at hand, live or in memory, saves a
load, and that saving counts for the path.

It must not know leases, messages, or how seconds were measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from heapq import heapify, heappop

from hive.planner.estimates import Estimates
from hive.planner.search_plan import Place
from hive.planner.stage_tree import Stage

__all__ = ["CriticalPaths", "next_batch", "path_seconds"]


MEMORY_SAVES = 0.5
"""What part of a load is saved where the state is in the trainer's memory: nearly all of it where it is put back in
place, a third where the trainer is built anew (a ResNet-56: 80 ms from a file, 55 so). A live model saves all."""


def path_seconds(tree: Sequence[Stage], estimates: Estimates) -> dict[Stage, float]:
    """By stage: the seconds of the longest path within `tree` that begins with it. `tree`: parents before children."""
    seconds: dict[Stage, float] = {}
    for stage in reversed(tree):
        own = estimates.stage_s(stage.node.number, stage.end - stage.start)
        seconds[stage] = own + max((seconds[child] for child in stage.children if child in seconds), default=0.0)
    return seconds


def next_batch(
    tree: Sequence[Stage], estimates: Estimates, held: Place | None = None, in_memory: Collection[Place] = ()
) -> list[Stage]:
    """The stages of the batch that an idle trainer should get, in order; empty if none is ready. See
    `CriticalPaths`."""
    return CriticalPaths(tree, estimates).take(held, in_memory)


Rank = tuple[float, int, int, Place]


class CriticalPaths:
    """The ready stages of a tree, the longest path first.

    Taking a batch keeps it right: what branches off the batch waits for a promise from then on, and `waited` says for
    which. Anything else that changes the plan asks for a new tree.

    Ties go to the live model, then to a state in memory, then to more waiting trials, then to the older request, then
    to the lower node and step, so that the choice is the same wherever it is made.

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

    def take(self, held: Place | None = None, in_memory: Collection[Place] = ()) -> list[Stage]:
        """The stages of the batch that an idle trainer should get, in order; empty if none is ready.

        Args:
            held: the place where the trainer's live model stands, None if it has none.
            in_memory: the places whose states it can go back to without a file.
        """
        first = self.longest()
        if first is None:
            return []
        first = self.nearest(held, in_memory, first) or first
        path = [first]
        while children := [child for child in path[-1].children if child in self.seconds]:
            path.append(min(children, key=self.rank))
        self.taken.add(first)
        self.waited |= {stage.place for stage in path if len(stage.children) > (stage is not path[-1])}
        return path

    def nearest(self, held: Place | None, in_memory: Collection[Place], longest: Stage) -> Stage | None:
        """The stage that starts from a state at hand, if the load that this saves makes its path as long as the
        longest."""
        saved = dict.fromkeys(in_memory, MEMORY_SAVES)
        if held is not None:
            saved[held] = 1.0
        found: list[tuple[float, float, Rank, Stage]] = []
        for place, part in saved.items():
            ways = [stage for stage in self.from_origin.get(place, ()) if stage not in self.taken]
            if ways:
                best = min(ways, key=self.rank)
                found.append((-self.seconds[best] - part * self.load_s, -part, self.rank(best), best))
        seconds, _, _, stage = min(found, key=lambda each: each[:3], default=(0.0, 0.0, None, None))
        return stage if -seconds >= self.seconds[longest] else None
