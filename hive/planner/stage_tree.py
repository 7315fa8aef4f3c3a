"""The stage tree: what is left to train, cut where training must stop, each step once.

    build(plan) -> stages

A stage is the steps [start, end) under one node. Its end is wanted: a request, or the branch point of something
behind it. It starts at the greatest checkpoint or promise below, else where its node leaves its parent. A stage is
READY if training can start there now, WAITING if that place is only promised, and otherwise follows its parent stage.

This is algorithm 1 of Hippo (section 3.2) with four repairs, each with a reason:

1. A request under a root gets a stage too. (The paper returns before looking for one.)
2. A running node is no wall. What a granted batch will reach is a promise, and what lies behind waits for just that.
   (The paper skips the node for a round, or trains its steps again.)
3. Two needed steps of one node are chained: 10-15-20, not 10-15 and 10-20.
4. A branch point is needed only if something behind it is.

Derived when needed, never stored. It must not know leases, trainers or time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from hive.planner.search_plan import Node, Place, SearchPlan, Wanter

__all__ = ["Stage", "all_count", "build"]


@dataclass(slots=True, eq=False)
class Stage:
    """The steps [start, end) under one node; start == end is a measurement of a state that stands already.

    Attributes:
        origin: the place whose state it starts from; None for a fresh start at step 0.
        parent: the stage that ends where this one starts; None if it starts at a standing, a promise, or fresh.
        waiting: whether its origin is only promised.
        wanted: how many wait for an answer at its end.
        order: the number of the oldest wish for its end; None if nobody wants it for itself.
        first: of a batch's stages: the lowest trial that waits for its end, or for that of a later one.
        children: the stages that start where this one ends.
        boundary: whether its end must be saved: somebody waits for it, or two start there. If not, one way goes on
            under another node, and training merely passes.
    """

    node: Node
    start: int
    end: int
    origin: Place | None
    parent: Stage | None = None
    waiting: bool = False
    wanted: int = 0
    order: int | None = None
    first: Wanter | None = None
    children: list[Stage] = field(default_factory=list)
    boundary: bool = True

    @property
    def place(self) -> Place:
        """Where it ends."""
        return Place(self.node.number, self.end)

    @property
    def ready(self) -> bool:
        """Whether a trainer could begin it now."""
        return self.parent is None and not self.waiting


def all_count(run: str) -> bool:  # noqa: ARG001  (it is asked about a run)
    """The wishes of every run count."""
    return True


def build(plan: SearchPlan, counts: Callable[[str], bool] = all_count) -> list[Stage]:
    """The stages of everything pending, parents before children.

    Args:
        plan: the plan.
        counts: whether the wishes of a run count; by default all do.

    Each pending request that no promise covers is the end of exactly one stage, and each step that must be trained
    for it is in exactly one stage. (A stage that starts at a promise waits; what the promise covers is not in the
    tree.)"""
    promised = promised_steps(plan)
    stages: dict[Place, Stage] = {}
    needed = needed_steps(plan, promised, counts)
    for number, ends in sorted(needed.items()):  # a parent's number is below its children's
        node = plan.nodes[number]
        floors = sorted({*node.states(), *promised[number], *ends})
        for end in sorted(ends):
            stages[Place(number, end)] = stage_to(plan, node, end, floors, stages)
    tree = list(stages.values())
    for stage in reversed(tree):
        settle(stage, counts)
    return tree


def promised_steps(plan: SearchPlan) -> dict[int, set[int]]:
    """By node: the steps that granted batches will reach."""
    promised: dict[int, set[int]] = defaultdict(set)
    for place in plan.promises:
        promised[place.node].add(place.step)
    return promised


def needed_steps(plan: SearchPlan, promised: dict[int, set[int]], counts: Callable[[str], bool]) -> dict[int, set[int]]:
    """By node: the steps where a stage must end. Each request's path is walked up to the first start or known path."""
    needed: dict[int, set[int]] = defaultdict(set)
    for place in plan.pending:
        wanters = plan.nodes[place.node].requests[place.step].wanters
        if place in plan.promises or not any(counts(wanter.run) for wanter in wanters):
            continue
        node, step = plan.nodes[place.node], place.step
        if node.stands(step):  # trained already, not measured
            needed[node.number].add(step)
            continue
        while step not in needed[node.number]:
            needed[node.number].add(step)
            below = any(s < step for s in node.states()) or any(s < step for s in promised[node.number])
            if below or node.parent is None:
                break
            node, step = node.parent, node.start
            if plan.reached(Place(node.number, step)):
                break
    return needed


def stage_to(plan: SearchPlan, node: Node, end: int, floors: list[int], stages: dict[Place, Stage]) -> Stage:
    """The stage that ends at `end`. `floors`: the node's standings, promises and needed steps, in order."""
    if node.stands(end):
        return Stage(node, end, end, Place(node.number, end))
    below = bisect_left(floors, end)
    if below:
        origin = Place(node.number, floors[below - 1])
    elif node.parent is not None:
        origin = Place(node.parent.number, node.start)
    else:
        return Stage(node, node.start, end, None)
    if plan.nodes[origin.node].stands(origin.step):
        return Stage(node, origin.step, end, origin)
    parent = stages.get(origin)
    return Stage(node, origin.step, end, origin, parent, waiting=parent is None)


def settle(stage: Stage, counts: Callable[[str], bool]) -> None:
    """Hang a stage on its parent, let the wishes at its end count for it, and see what its end is. Children come
    first."""
    request = stage.node.requests.get(stage.end)
    if request is not None:
        orders = {wanter: order for wanter, order in request.wanters.items() if counts(wanter.run)}
        stage.wanted, stage.order = len(orders), min(orders.values(), default=None)
    stage.boundary = bool(stage.wanted) or len(stage.children) != 1
    if stage.parent is not None:
        stage.parent.children.append(stage)
