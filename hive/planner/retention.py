"""Which checkpoints to give up when there are too many bytes of them.

First go those that no trial could start from any more that might go on. Then, and among those too, whichever costs the
fewest seconds to train again for each byte that it takes: from the next state below it that stays. What must stay is
the caller's to say.

It must not know runs, leases, pins by their reasons, files, or how large is too large.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from hive.planner.estimates import Estimates
from hive.planner.search_plan import Node, Place, SearchPlan

__all__ = ["Holding", "deepest_state", "given_up", "recompute_s"]


@dataclass(frozen=True, slots=True)
class Holding:
    """The checkpoints of one plan.

    Attributes:
        plan: the plan.
        estimates: what its steps should cost.
        sizes: by place where a state stands, the bytes of its file.
        useful: the places from which a trial that might go on could start.
        fixed: the places that must stay.
    """

    plan: SearchPlan
    estimates: Estimates
    sizes: Mapping[Place, int]
    useful: Collection[Place]
    fixed: Collection[Place]


Cost = tuple[bool, float, str, Place]
"""What decides, the lowest goes first: useful or not, seconds per byte, and then the plan's name and the place, so that
the choice is the same wherever it is made."""


def given_up(holdings: Mapping[str, Holding], excess: int) -> Iterator[tuple[str, Place]]:
    """The checkpoints to give up, in order, until they come to so many bytes or nothing is left that may go.

    Each costs what it costs after those before it are gone.

    Args:
        holdings: by name, the plans.
        excess: bytes.
    """
    gone: dict[str, set[Place]] = {name: set() for name in holdings}
    queue = [
        cost(name, holding, place, gone[name])
        for name, holding in holdings.items()
        for place in holding.sizes
        if place not in holding.fixed
    ]
    heapify(queue)
    while queue and excess > 0:
        first = heappop(queue)
        _, _, name, place = first
        now = cost(name, holdings[name], place, gone[name])  # what it stood on may be gone since
        if queue and now > queue[0]:
            heappush(queue, now)
            continue
        gone[name].add(place)
        excess -= holdings[name].sizes[place]
        yield name, place


def cost(name: str, holding: Holding, place: Place, gone: Collection[Place]) -> Cost:
    """What it costs to give up a checkpoint when those in `gone` are."""
    seconds = recompute_s(holding.plan, holding.estimates, place, gone)
    return place in holding.useful, seconds / max(1, holding.sizes[place]), name, place


def recompute_s(plan: SearchPlan, estimates: Estimates, place: Place, gone: Collection[Place] = ()) -> float:
    """The seconds to train up to a place again, from the next state below it that is not in `gone`, or from nothing."""
    node: Node | None = plan.nodes[place.node]
    step, seconds = place.step, 0.0
    while node is not None:
        number, start = node.number, node.start
        floor = deepest_state(node, step - 1, lambda below, number=number: Place(number, below) not in gone)  # type: ignore[misc]
        seconds += (step - (start if floor is None else floor)) * estimates.step_weight(number)
        if floor is not None:
            return seconds
        step, node = start, node.parent
        if node is not None and node.stands(step) and Place(node.number, step) not in gone:
            return seconds
    return seconds


def deepest_state(node: Node, step: int, counts: Callable[[int], bool] = bool) -> int | None:
    """The greatest step up to `step` where a state stands under a node and counts; None if there is none."""
    for at in range(bisect_right(node.floors, step) - 1, -1, -1):
        if node.stands(node.floors[at]) and counts(node.floors[at]):
            return node.floors[at]
    return None
