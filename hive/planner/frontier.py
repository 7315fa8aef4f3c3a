"""The frontier: the stage tree kept as it changes, and the longest path that a trainer can begin now.

    frontier = Frontier(plan, estimates)
    ...the plan changes...
    frontier.next() -> stages of one batch

Built anew, the stage tree (stage_tree.py, which says what a stage is) costs time by the size of the plan at every
decision. Here each change of the plan is worked into what is known, along the path from its place to the root, when
somebody asks: as far up as what hangs there weighs otherwise than before. The answer is the same.

What is kept, for each node that has something to train:

    ends     the steps where a stage must end and none does yet: requests, and branch points of what is behind them
    stops    for each of these, the rank of the stage that ends there, and of the best one that starts there
    ways     for each step where children leave that need training: the best of them

Between two floors of a node, which are standings and promises, its ends are one chain: each stage starts where the one
before ends. So a change at a step weighs on the ends below it down to the next floor, and if there is none, on the
place where the node leaves its parent. Of the ends above it, it weighs on the next one only, whose stage may start
elsewhere now.

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


class Ways(dict[int, Rank]):
    """What leads on from one place: of each child, the rank of its first stage."""

    __slots__ = ("heap",)

    def __init__(self) -> None:
        self.heap: list[Rank] | None = None

    def put(self, child: int, rank: Rank | None) -> None:
        """A child's first stage, new or otherwise than before; None if it needs nothing more."""
        if rank is None:
            self.pop(child, None)
            return
        self[child] = rank
        if self.heap is not None:
            if len(self.heap) < 2 * len(self):
                heappush(self.heap, rank)
            else:
                self.heap = None

    def best(self) -> Rank | None:
        """The rank that goes first."""
        if len(self) <= FEW:
            return min(self.values()) if self else None
        if self.heap is None:
            self.heap = list(self.values())
            heapify(self.heap)
        while self.get(self.heap[0][3].node) != self.heap[0]:
            heappop(self.heap)
        return self.heap[0]


class Stop:
    """An end under a node, as it was weighed last.

    Attributes:
        rank: of the stage that ends there.
        behind: of the best stage that starts there: the node's next one, or a child's first. None if none does.
        boundary: whether it must be saved: it is no mere pass into the one child that goes on from it.
    """

    __slots__ = ("behind", "boundary", "rank")

    def __init__(self, place: Place) -> None:
        self.rank: Rank = (0.0, 0, NEVER, place)
        self.behind: Rank | None = None
        self.boundary = True


@dataclass(slots=True)
class Front:
    """What is left to train under one node.

    Attributes:
        ends: steps where a stage must end, rising.
        stops: what is known of each.
        ways: by step where children leave: those that need training.
        measured: steps where a state stands that somebody wants measured.
        head: the rank of the first stage, where no floor lies below it: what the parent knows of it.
    """

    node: Node
    ends: list[int] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    ways: dict[int, Ways] = field(default_factory=dict)
    measured: frozenset[int] = frozenset()
    head: Rank | None = None

    def start(self, at: int) -> int:
        """Where the stage starts that ends at the end number `at`."""
        below = self.ends[at - 1] if at else self.node.start
        floors = self.node.floors
        floor = bisect_left(floors, self.ends[at])
        return max(below, floors[floor - 1]) if floor else below

    def chained(self, at: int, step: int) -> bool:
        """Whether the end number `at` is there, and no floor lies between `step` and it: its stage starts at `step`."""
        if at >= len(self.ends):
            return False
        floors = self.node.floors
        above = bisect_right(floors, step)
        return above == len(floors) or floors[above] > self.ends[at]

    def first(self, step: int) -> Rank | None:
        """The rank of the stage that starts at `step`, which is an end, a floor or the node's start, if one does."""
        at = bisect_right(self.ends, step)
        return self.stops[at].rank if self.chained(at, step) else None


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
        return place.step in front.ways or front.first(place.step) is not None

    def is_boundary(self, place: Place) -> bool:
        """Whether a batch whose way ends or goes on at a place must save it. To be asked before it is promised."""
        self.settle()
        front = self.fronts.get(place.node)
        if front is None:
            return True
        at = bisect_left(front.ends, place.step)
        return at == len(front.ends) or front.ends[at] != place.step or front.stops[at].boundary

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
            stage = Stage(node, start, place.step, origin)
            stages.append(stage)
            if start == place.step:
                break
            stop = self.stop(place)
            stage.boundary = stop.boundary
            if long_enough(stages):
                break
            rank, origin = stop.behind, place
        self.name_wanters(stages)
        return stages

    def name_wanters(self, stages: list[Stage]) -> None:
        """Say of each stage of a path how many wait for its end, and who waits first there or further on."""
        first = None
        if not any(self.wanters(stage.node, stage.end) for stage in stages):
            first = self.nearest_wanter(stages[-1].place)
        for stage in reversed(stages):
            wanters = self.wanters(stage.node, stage.end)
            if wanters:
                stage.wanted = len(wanters)
                first = min(wanters if first is None else (*wanters, first), key=by_trial)
            stage.first = first

    def nearest_wanter(self, place: Place) -> Wanter | None:
        """Who waits nearest behind a place on the path from there."""
        while (rank := self.stop(place).behind) is not None:
            place = rank[3]
            if wanters := self.wanters(self.plan.nodes[place.node], place.step):
                return min(wanters, key=by_trial)
        return None

    def stop(self, place: Place) -> Stop:
        """What is known of a place where a stage ends."""
        front = self.fronts[place.node]
        return front.stops[bisect_left(front.ends, place.step)]

    def measurement(self, node: Node, step: int) -> Rank | None:
        """The rank of a stage without steps: a state stands there that somebody wants measured."""
        place = Place(node.number, step)
        if not node.stands(step) or place in self.plan.promises:
            return None
        count, oldest = self.wishes(node, step)
        return (-self.estimates.stage_s(node.number, 0), -count, oldest, place) if count else None

    def wanters(self, node: Node, step: int) -> Collection[Wanter]:
        """Those who wait for a place and count."""
        request = node.requests.get(step)
        if request is None:
            return ()
        counts = self.counts
        return request.wanters if counts is None else [wanter for wanter in request.wanters if counts(wanter.run)]

    def wishes(self, node: Node, step: int) -> tuple[int, int]:
        """How many wait for a place and count, and the oldest of these requests."""
        request = node.requests.get(step)
        if request is None:
            return 0, NEVER
        if self.counts is None:
            return len(request.wanters), request.order
        orders = [order for wanter, order in request.wanters.items() if self.counts(wanter.run)]
        return len(orders), min(orders, default=NEVER)

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
            front = self.front(node)
            known = front.head
            head = front.head = self.renew(front, self.dirty.pop(node.number))
            if not (front.ends or front.ways or front.measured):
                self.drop(node.number)
            if head == known:
                continue
            if node.parent is None:
                self.roots.put(node.number, head)
                self.offer(FRESH)
                continue
            above = node.parent.number
            self.ways_at(node.parent, node.start).put(node.number, head)
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

    def renew(self, front: Front, steps: set[int]) -> Rank | None:
        """Work the changes at these steps of a node in. Returns what its parent should know of it."""
        node = front.node
        chains: dict[int, int] = {}
        for step in steps:
            floor = self.renew_end(front, step)
            chains[floor] = max(step, chains.get(floor, 0))
        for floor, top in chains.items():
            self.weigh(front, floor, top)
        if node.standings:  # there alone can anything be begun
            for step in steps.union(chains):
                if step in node.standings:
                    self.offer(Place(node.number, step))
        return front.first(node.start)

    def renew_end(self, front: Front, step: int) -> int:
        """Let a step be an end if a stage must end there. Returns the floor below it, or the node's start."""
        node, ways = front.node, front.ways.get(step)
        if ways is not None and not ways:
            del front.ways[step]
            ways = None
        below = bisect_left(node.floors, step)
        reached = below < len(node.floors) and node.floors[below] == step
        at = bisect_left(front.ends, step)
        there = at < len(front.ends) and front.ends[at] == step
        wanted = not reached and (ways is not None or bool(self.wanters(node, step)))
        if wanted and not there:
            front.ends.insert(at, step)
            front.stops.insert(at, Stop(Place(node.number, step)))
        elif there and not wanted:
            del front.ends[at], front.stops[at]
        if reached and self.measurement(node, step) is not None:
            front.measured |= {step}
        elif front.measured:
            front.measured -= {step}
        return node.floors[below - 1] if below else node.start

    def weigh(self, front: Front, floor: int, top: int) -> None:
        """Weigh the ends in (floor, top], which are one chain, and the next one above, from the last on."""
        ends, stops, node = front.ends, front.stops, front.node
        step_s, save_s = self.estimates.step_weight(node.number), self.estimates.save_s.weight
        for at in range(min(bisect_right(ends, top), len(ends) - 1), bisect_right(ends, floor) - 1, -1):
            end, stop = ends[at], stops[at]
            ways = front.ways.get(end)
            best = None if ways is None else ways.best()
            own = stops[at + 1].rank if front.chained(at + 1, end) else None
            behind = stop.behind = own if best is None or (own is not None and own < best) else best
            count, order = self.wishes(node, end)
            stop.boundary = bool(count) or own is not None or ways is None or len(ways) != 1
            seconds, waiting, oldest, _ = behind or NOTHING
            seconds -= (end - front.start(at)) * step_s + (save_s if stop.boundary else 0.0)
            stop.rank = seconds, waiting - count, min(order, oldest), stop.rank[3]

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
            return self.roots.best(), len(self.roots)
        node = self.plan.nodes[place.node]
        if not node.stands(place.step):
            return None, 0
        measured = self.measurement(node, place.step)
        found = [] if measured is None else [measured]
        count = len(found)
        front = self.fronts.get(place.node)
        if front is not None:
            own = front.first(place.step)
            if own is not None:
                found.append(own)
                count += 1
            ways = front.ways.get(place.step)
            if ways is not None and (best := ways.best()) is not None:
                found.append(best)
                count += len(ways)
        return min(found, default=None), count


def by_trial(wanter: Wanter) -> tuple[int, str]:
    """Lower trials go first."""
    return wanter.trial, wanter.run
