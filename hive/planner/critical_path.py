"""The next batch: the longest path of the stage tree that a trainer can begin now, or its first part.

Hippo's rule (section 4.3): of all READY stages take the one from which the longest path hangs, and hand the whole
path to one trainer, which then needs no checkpoint to be loaded on the way. What branches off becomes ready as the
path passes. Ours adds three things.

1. A trainer that has the state a path starts from at hand, live or in memory, saves a load, and that saving counts for
   the path.
2. While more paths wait than trainers, but fewer than two for each, a batch is the first part of its path only. Whole
   paths would come out uneven: of 57 that are equally long 40 trainers do 40, and then 17, where all could be done in
   three quarters of the time. Parts shrink as paths get fewer, down to what is worth its saves and loads.
3. A batch of very many stages ends before its path does.

Ties go to the live model, then to a state in memory, then to more trials that wait along the path, then to the oldest
request on it, then to the lower node and step, so that the choice is the same wherever it is made.

This is the rule written plainly on the tree as it was built; frontier.py gives the same answer without building it. It
must not know leases, messages, or how seconds were measured.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from hive.planner.estimates import Estimates
from hive.planner.search_plan import Place
from hive.planner.stage_tree import Stage

__all__ = [
    "LONG",
    "MEMORY_SAVES",
    "NEVER",
    "NOTHING",
    "Crew",
    "Rank",
    "first_part",
    "long_enough",
    "next_batch",
    "part_of_path",
    "ranks",
]

LONG = 64
"""Stages after which a batch ends at the next boundary: the rest of its path is decided on when it is there. Its model
is live then, so nothing is lost, and a path of thousands of stages makes no endless message."""

MEMORY_SAVES = 0.5
"""What part of a load is saved where the state is in the trainer's memory: nearly all of it where it is put back in
place, a third where the trainer is built anew (a ResNet-56: 80 ms from a file, 55 so). A live model saves all."""

WORTH = 100
"""How many times as long as ending a batch early costs, a part of a path must train: what is lost is 1 % at most."""

ROUND_S = 0.05
"""Of that cost, what is neither a save nor a load: a trainer's news, a decision, a grant."""

NEVER = 1 << 62
"""The order of no request."""

Rank = tuple[float, int, int, Place]
"""What stages are chosen by, the lowest first: minus the seconds of the longest path that begins with it, minus how
many wait along it, the oldest request on it, where the stage ends."""

NOTHING: Rank = (0.0, 0, NEVER, Place(-1, 0))
"""What stands for the path behind a stage behind which nothing is left."""


class Crew(NamedTuple):
    """The trainers of a plan: how many, and how many of them wait for a batch, with the one that is to get it."""

    trainers: int
    idle: int


def part_of_path(ready: int, crew: Crew | None) -> float:
    """What part of its path a batch should be. `crew`: None for whole paths always, as in Hippo.

    If all lengths are alike, this is half of what is left for each trainer, so that what remains can even out."""
    if crew is None or ready <= crew.idle:
        return 1.0
    return min(1.0, ready / (2 * crew.trainers))


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
    tree: Sequence[Stage],
    estimates: Estimates,
    held: Place | None = None,
    in_memory: Collection[Place] = (),
    part: float = 1.0,
) -> list[Stage]:
    """The stages of the batch that an idle trainer should get, in order; empty if none is ready.

    Args:
        tree: the stages, parents before children.
        estimates: what they should cost.
        held: the place where the trainer's live model stands, None if it has none.
        in_memory: the places whose states it can go back to without a file.
        part: what part of its path, by seconds, the batch should be.
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
    return first_part(path, -rank[path[0]][0], part, estimates)


def long_enough(path: Sequence[Stage]) -> bool:
    """Whether a batch ends here although more follows."""
    return len(path) >= LONG and path[-1].boundary


def first_part(path: list[Stage], path_s: float, part: float, estimates: Estimates) -> list[Stage]:
    """So much of a path, or a little more if that is a boundary; all of it where too little would be done or left.

    Args:
        path: its stages, the first at least.
        path_s: the seconds that the whole of it should take.
        part: in (0, 1].
    """
    least_s = WORTH * (ROUND_S + estimates.save_s.weight + estimates.load_s.value)
    wanted_s = max(part * path_s, least_s)
    if not estimates.step_s.count or wanted_s > path_s - least_s:
        return path
    begun_s = 0.0
    for at, stage in enumerate(path):
        done_s = begun_s + estimates.stage_s(stage.node.number, stage.end - stage.start, saved=stage.boundary)
        if stage.boundary and wanted_s <= done_s <= wanted_s + least_s:
            return path[: at + 1]
        if done_s >= wanted_s:
            steps = max(1, int((wanted_s - begun_s) / estimates.step_weight(stage.node.number)))
            return [*path[:at], stopped(stage, stage.start + steps)]
        begun_s = done_s
    return path


def stopped(stage: Stage, step: int) -> Stage:
    """A stage that ends with a checkpoint, at a step if that is before its end."""
    if step < stage.end:
        return replace(stage, end=step, wanted=0, order=None, children=[], boundary=True)
    return replace(stage, boundary=True)
