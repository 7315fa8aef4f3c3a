"""The frontier: the stage tree kept as it changes, and the longest path that a trainer can begin now.

    frontier = Frontier(plan, estimates)
    ...the plan changes...
    frontier.next() -> stages of one batch

Built anew, the stage tree (stage_tree.py, which says what a stage is) costs time by the size of the plan at every
decision. Here each change of the plan is worked into what is known, along the path from its place to the root, when
somebody asks: as far up as what hangs there weighs otherwise than before. The answer is the same.

What is kept, for each node that has something to train:

    ends     the steps where a stage must end and none does yet: requests, and branch points of what is behind them
    seconds  for each of these, what the longest path takes that begins where it ends; and who waits along it
    ways     for each step where children leave that need training: the best of them

Between two floors of a node, which are standings and promises, its ends are one chain: each stage starts where the one
before ends. So a change at a step weighs on the ends below it down to the next floor, and if there is none, on the
place where the node leaves its parent.

It must not know leases, trainers, studies, or how seconds were measured.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from hive.planner.critical_path import MEMORY_SAVES, NEVER, NOTHING, Rank, first_part, long_enough
from hive.planner.estimates import Estimates
from hive.planner.search_plan import Node, Place, SearchPlan, Wanter
from hive.planner.stage_tree import Stage

__all__ = ["Frontier"]

FRESH = Place(-1, 0)
"""Where all begins that starts from nothing, as if it were a place that all roots leave."""

FEW = 8
"""So many ways are compared one by one; of more, the best is kept on top of a heap."""


class Ways:
    """What leads on from one place: of each child, the rank of its first stage."""

    __slots__ = ("heap", "ranks")

    def __init__(self) -> None:
        self.ranks: dict[int, Rank] = {}
        self.heap: list[Rank] | None = None

    def put(self, child: int, rank: Rank) -> None:
        """A child's first stage, new or otherwise than before."""
        self.ranks[child] = rank
        if self.heap is not None and len(self.heap) < 2 * len(self.ranks):
            heappush(self.heap, rank)
        else:
            self.heap = None

    def drop(self, child: int) -> None:
        """A child needs nothing more."""
        self.ranks.pop(child, None)

    def best(self) -> Rank | None:
        """The rank that goes first."""
        ranks = self.ranks
        if len(ranks) <= FEW:
            return min(ranks.values(), default=None)
        if self.heap is None:
            self.heap = list(ranks.values())
            heapify(self.heap)
        while ranks.get(self.heap[0][3].node) != self.heap[0]:
            heappop(self.heap)
        return self.heap[0]


@dataclass(slots=True)
class Front:
    """What is left to train under one node. `ends`, `seconds`, `waiting` and `orders` are parallel, by rising step.

    Attributes:
        ends: steps where a stage must end.
        seconds: minus what the longest path behind each end takes.
        waiting: minus how many wait at each end and along that path.
        orders: the oldest request at each end and on that path.
        ways: by step where children leave: those that need training.
        measured: steps where a state stands that somebody wants measured.
        head: the rank of the first stage, where no floor lies below it: what the parent knows of it.
    """

    node: Node
    ends: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    ways: dict[int, Ways] = field(default_factory=dict)
    measured: frozenset[int] = frozenset()
    head: Rank | None = None

    def chained(self, at: int, step: int) -> bool:
        """Whether the end number `at` is there, and no floor lies between `step` and it: its stage starts at `step`."""
        if at >= len(self.ends):
            return False
        floors = self.node.floors
        above = bisect_right(floors, step)
        return above == len(floors) or floors[above] > self.ends[at]

    def add(self, at: int, end: int) -> None:
        self.ends.insert(at, end)
        self.seconds.insert(at, 0.0)
        self.waiting.insert(at, 0)
        self.orders.insert(at, NEVER)

    def remove(self, at: int) -> None:
        del self.ends[at], self.seconds[at], self.waiting[at], self.orders[at]


class Frontier:
    """What is left to train of a plan.

    Args:
        plan: the plan.
        estimates: what stages should cost. Whoever changes a weight says so to `reweigh`.
        counts: whether the wishes of a run count; None for all of them.
        wished: where they wait now; None for wherever anybody does.
        at: by node, the frontiers that have something there to train, this one among them; whoever keeps several tells
            each change of the plan to those that it matters to (`touched`). Without it, every change is heard of.

    Attributes:
        touched: the places of changes that are not worked in yet.
        ready: how many stages could be begun now.
    """

    def __init__(
        self,
        plan: SearchPlan,
        estimates: Estimates,
        counts: Callable[[str], bool] | None = None,
        wished: Iterable[Place] | None = None,
        at: dict[int, set[Frontier]] | None = None,
    ) -> None:
        self.plan = plan
        self.estimates = estimates
        self.counts = counts
        self.fronts: dict[int, Front] = {}
        self.roots = Ways()
        self.best: dict[Place, Rank] = {}
        self.ways_on: dict[Place, int] = {}
        self.ready = 0
        self.heap: list[tuple[Rank, Place]] = []
        self.dirty: dict[int, set[int]] = {}
        self.touched: list[Place] = list(plan.pending if wished is None else wished)
        self.at = at
        if at is None:
            plan.listeners.append(self.touched)

    def close(self) -> None:
        """It is not needed any more."""
        for number in list(self.fronts):
            self.drop(number)

    # -- asking -------------------------------------------------------------------------------------------------

    def longest(self) -> Rank | None:
        """The rank of the stage that the longest path begins with; None if nothing can be begun."""
        self.settle()
        while self.heap and self.best.get(self.heap[0][1]) != self.heap[0][0]:
            heappop(self.heap)
        return self.heap[0][0] if self.heap else None

    def next(self, held: Place | None = None, in_memory: Collection[Place] = (), part: float = 1.0) -> list[Stage]:
        """The stages of the batch that an idle trainer should get, in order; empty if none is ready.

        Args:
            held: the place where the trainer's live model stands, None if it has none.
            in_memory: the places whose states it can go back to without a file.
            part: what part of its path, by seconds, the batch should be.
        """
        longest = self.longest()
        if longest is None:
            return []
        rank, origin = self.nearest(held, in_memory, -longest[0]) or self.heap[0]
        path = self.path(None if origin == FRESH else origin, rank)
        return first_part(path, -rank[0], part, self.estimates)

    def nearest(self, held: Place | None, in_memory: Collection[Place], longest_s: float) -> tuple[Rank, Place] | None:
        """The stage that starts from a state at hand, if the load that this saves makes its path as long as the
        longest."""
        saved = dict.fromkeys(in_memory, MEMORY_SAVES)
        if held is not None:
            saved[held] = 1.0
        load_s = self.estimates.load_s.value
        found = [
            (rank[0] - part * load_s, -part, rank, place)
            for place, part in saved.items()
            if (rank := self.best.get(place)) is not None
        ]
        seconds, _, rank, place = min(found, default=(0.0, 0.0, None, FRESH))
        return (rank, place) if rank is not None and -seconds >= longest_s else None

    def waits_at(self, place: Place) -> bool:
        """Whether something starts where a promise will be kept."""
        self.settle()
        front = self.fronts.get(place.node)
        if front is None or front.node.stands(place.step):
            return False
        return place.step in front.ways or front.chained(bisect_right(front.ends, place.step), place.step)

    def is_boundary(self, place: Place) -> bool:
        """Whether a batch whose way ends or goes on at a place must save it. To be asked before it is promised."""
        self.settle()
        front = self.fronts.get(place.node)
        if front is None:
            return True
        at = bisect_left(front.ends, place.step)
        return at == len(front.ends) or front.ends[at] != place.step or self.boundary(front, at)

    def ends_within(self, node: int, start: int, end: int) -> list[int]:
        """The steps of (start, end) under a node where a stage must end."""
        self.settle()
        front = self.fronts.get(node)
        return [] if front is None else front.ends[bisect_right(front.ends, start) : bisect_left(front.ends, end)]

    def leads_on(self, place: Place) -> bool:
        """Whether a stage that must be trained ends at a place, or passes it."""
        self.settle()
        front = self.fronts.get(place.node)
        if front is None:
            return False
        at = bisect_left(front.ends, place.step)
        return at < len(front.ends) and (front.ends[at] == place.step or front.chained(at, place.step))

    def stages(self) -> Iterator[tuple[Place, int]]:
        """Where each stage that is left ends, and the step where it starts; in no order."""
        self.settle()
        for number, front in self.fronts.items():
            for end in front.ends:
                starts = [front.node.start, *front.node.floors, *front.ends]
                yield Place(number, end), max(step for step in starts if step < end)
            for step in front.measured:
                yield Place(number, step), step

    # -- paths --------------------------------------------------------------------------------------------------

    def path(self, origin: Place | None, rank: Rank | None) -> list[Stage]:
        """The longest path that begins with the stage of this rank."""
        stages: list[Stage] = []
        while rank is not None:
            place = rank[3]
            node = self.plan.nodes[place.node]
            start = origin.step if origin is not None and origin.node == place.node else node.start
            stages.append(Stage(node, start, place.step, origin))
            if start == place.step:
                break
            front = self.fronts[place.node]
            at = bisect_left(front.ends, place.step)
            stages[-1].boundary = self.boundary(front, at)
            if long_enough(stages):
                break
            rank, origin = self.behind(front, at), place
        waiting = [self.wanters(stage.node, stage.end) for stage in stages]
        first = None if any(waiting) else self.nearest_wanter(stages[-1])
        for stage, wanters in zip(reversed(stages), reversed(waiting), strict=True):
            first = min([*wanters, *([first] if first else [])], key=lambda w: (w.trial, w.run), default=None)
            stage.wanted, stage.first = len(wanters), first
        return stages

    def nearest_wanter(self, stage: Stage) -> Wanter | None:
        """Who waits nearest behind a stage on its path."""
        place, wanters = stage.place, self.wanters(stage.node, stage.end)
        while not wanters:
            front = self.fronts[place.node]
            rank = self.behind(front, bisect_left(front.ends, place.step))
            if rank is None:
                return None
            place = rank[3]
            wanters = self.wanters(self.plan.nodes[place.node], place.step)
        return min(wanters, key=lambda w: (w.trial, w.run))

    def behind(self, front: Front, at: int) -> Rank | None:
        """The best stage that starts where the end number `at` is: the node's next one, or a child's first."""
        end = front.ends[at]
        ways = front.ways.get(end)
        best = ways.best() if ways is not None else None
        if front.chained(at + 1, end):
            own = self.rank(front, at + 1, end)
            best = own if best is None or own < best else best
        return best

    def rank(self, front: Front, at: int, start: int) -> Rank:
        """What the stage from `start` to the end number `at` is chosen by."""
        node, end = front.node, front.ends[at]
        cost_s = self.estimates.stage_s(node.number, end - start, saved=self.boundary(front, at))
        return front.seconds[at] - cost_s, front.waiting[at], front.orders[at], Place(node.number, end)

    def boundary(self, front: Front, at: int) -> bool:
        """Whether the end number `at` must be saved: it is no mere pass into the one child that goes on from it."""
        end = front.ends[at]
        ways = front.ways.get(end)
        return ways is None or len(ways.ranks) != 1 or front.chained(at + 1, end) or bool(self.wanters(front.node, end))

    def measurement(self, node: Node, step: int) -> Rank | None:
        """The rank of a stage without steps: a state stands there that somebody wants measured."""
        place = Place(node.number, step)
        if not node.stands(step) or place in self.plan.promises:
            return None
        wanters = self.wanters(node, step)
        if not wanters:
            return None
        return -self.estimates.stage_s(node.number, 0), -len(wanters), self.order(node, step), place

    def wanters(self, node: Node, step: int) -> Collection[Wanter]:
        """Those who wait for a place and count."""
        request = node.requests.get(step)
        if request is None:
            return ()
        counts = self.counts
        return request.wanters if counts is None else [wanter for wanter in request.wanters if counts(wanter.run)]

    def order(self, node: Node, step: int) -> int:
        """The age of the request at a place, as far as it counts."""
        wanters = self.wanters(node, step)
        asked = node.requests[step].wanters if wanters else {}
        return min((asked[wanter] for wanter in wanters), default=NEVER)

    # -- taking changes in --------------------------------------------------------------------------------------

    def reweigh(self, node: int | None) -> None:
        """The weight of a node's steps is otherwise than before; None for all weights."""
        for number in list(self.fronts) if node is None else [node]:
            front = self.fronts.get(number)
            if front is not None:
                self.dirty.setdefault(number, set()).update(front.ends, front.node.floors)

    def settle(self) -> None:
        """Work in all changes, children before parents: what a node's parent knows of it is passed on if it is new."""
        for place in self.touched:
            self.dirty.setdefault(place.node, set()).add(place.step)
        self.touched.clear()
        queue = [-number for number in self.dirty]
        heapify(queue)
        while queue:
            node = self.plan.nodes[-heappop(queue)]
            before = self.fronts.get(node.number)
            known, head = before.head if before is not None else None, self.renew(node, self.dirty.pop(node.number))
            if head == known:
                continue
            if node.parent is None:
                pass_on(self.roots, node.number, head)
                self.offer(FRESH)
                continue
            above = node.parent.number
            pass_on(self.ways_at(node.parent, node.start), node.number, head)
            if above not in self.dirty:
                heappush(queue, -above)
            self.dirty.setdefault(above, set()).add(node.start)

    def ways_at(self, node: Node, step: int) -> Ways:
        """What leads on from a place of a node."""
        front = self.front(node)
        ways = front.ways.get(step)
        if ways is None:
            ways = front.ways[step] = Ways()
        return ways

    def front(self, node: Node) -> Front:
        """What is left to train under a node."""
        front = self.fronts.get(node.number)
        if front is None:
            front = self.fronts[node.number] = Front(node)
            if self.at is not None:
                self.at.setdefault(node.number, set()).add(self)
        return front

    def drop(self, number: int) -> None:
        """Nothing is left to train under a node."""
        del self.fronts[number]
        if self.at is not None:
            self.at[number].discard(self)
            if not self.at[number]:
                del self.at[number]

    def renew(self, node: Node, steps: set[int]) -> Rank | None:
        """Work the changes at these steps of a node in. Returns what its parent should know of it."""
        front = self.front(node)
        chains: dict[int, int] = {}
        origins: set[int] = set()
        for step in steps:
            floor = self.renew_end(front, step)
            chains[floor] = max(step, chains.get(floor, 0))
            origins.add(step)
        for floor, top in chains.items():
            self.weigh(front, floor, top)
        for step in origins.union(chains) - {node.start}:
            self.offer(Place(node.number, step))
        front.head = self.rank(front, 0, node.start) if front.chained(0, node.start) else None
        if not (front.ends or front.ways or front.measured):
            self.drop(node.number)
        return front.head

    def renew_end(self, front: Front, step: int) -> int:
        """Let a step be an end if a stage must end there. Returns the floor below it, or the node's start."""
        node, ways = front.node, front.ways.get(step)
        if ways is not None and not ways.ranks:
            del front.ways[step]
            ways = None
        below = bisect_left(node.floors, step)
        reached = below < len(node.floors) and node.floors[below] == step
        at = bisect_left(front.ends, step)
        there = at < len(front.ends) and front.ends[at] == step
        wanted = not reached and (ways is not None or bool(self.wanters(node, step)))
        if wanted and not there:
            front.add(at, step)
        elif there and not wanted:
            front.remove(at)
        if reached and self.measurement(node, step) is not None:
            front.measured |= {step}
        elif front.measured:
            front.measured -= {step}
        return node.floors[below - 1] if below else node.start

    def weigh(self, front: Front, floor: int, top: int) -> None:
        """Weigh the ends in (floor, top], which are one chain, anew."""
        for at in range(bisect_right(front.ends, top) - 1, bisect_right(front.ends, floor) - 1, -1):
            node, end = front.node, front.ends[at]
            front.seconds[at], waiting, oldest, _ = self.behind(front, at) or NOTHING
            front.waiting[at] = waiting - len(self.wanters(node, end))
            front.orders[at] = min(self.order(node, end), oldest)

    def offer(self, place: Place) -> None:
        """What can be begun from a place is otherwise than before."""
        best, count = self.beginnings(place)
        self.ready += count - self.ways_on.get(place, 0)
        if best is None:
            self.best.pop(place, None)
            self.ways_on.pop(place, None)
            return
        self.ways_on[place] = count
        if self.best.get(place) != best:
            self.best[place] = best
            if len(self.heap) > 4 * len(self.best) + FEW:
                self.heap = [(rank, origin) for origin, rank in self.best.items()]
                heapify(self.heap)
            else:
                heappush(self.heap, (best, place))

    def beginnings(self, place: Place) -> tuple[Rank | None, int]:
        """The best stage that could be begun from a place now, and how many there are."""
        if place == FRESH:
            return self.roots.best(), len(self.roots.ranks)
        node = self.plan.nodes[place.node]
        if not node.stands(place.step):
            return None, 0
        measured = self.measurement(node, place.step)
        found = [] if measured is None else [measured]
        count = len(found)
        front = self.fronts.get(place.node)
        if front is not None:
            at = bisect_right(front.ends, place.step)
            if front.chained(at, place.step):
                found.append(self.rank(front, at, place.step))
                count += 1
            ways = front.ways.get(place.step)
            if ways is not None and (best := ways.best()) is not None:
                found.append(best)
                count += len(ways.ranks)
        return min(found, default=None), count


def pass_on(ways: Ways, child: int, head: Rank | None) -> None:
    """Tell what leads on from a place what a child's first stage is now."""
    if head is None:
        ways.drop(child)
    else:
        ways.put(child, head)
