"""The search plan: every step that anybody asked for, told apart by the values that were in force before it.

A node is a set of forms, one for each hyper-parameter, from a step on, after a parent. It is open-ended: children
hang on the step where they leave it. A *place* is (node, step): the state of training after the steps [0, step) of
that node's path. A request is a place that somebody wants measured, with the set of those who want it; a standing is
what was found there.

(Hippo, section 3.2. The paper's plan also keeps which node runs; ours keeps promises, which say up to where.)

It must not know messages, trainers, stores, or clocks. Its only callers are the stage tree, which reads it, and the
coordinator, which changes it and writes each change down.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hive.planner.pieces import Form, Value
from hive.planner.space import Segment, forms_key

__all__ = ["Node", "Place", "Request", "SearchPlan", "Standing", "Wanter"]


class Place(NamedTuple):
    """The state of training after the steps [0, step) along a node's path. A node's own places have step > start."""

    node: int
    step: int


class Wanter(NamedTuple):
    """Who wants a request answered: a trial of a run."""

    run: str
    trial: int


@dataclass(slots=True)
class Standing:
    """What stands at a place: a checkpoint to start from, and the metrics, once somebody wanted them.

    Attributes:
        checkpoint: the checkpoint's file name; None once the file was evicted: then what was measured still stands,
            and training cannot start from there.
        digest: SHA-256 of the state.
        metrics: what `evaluate()` returned; None if nobody asked yet.
    """

    checkpoint: str | None
    digest: str
    metrics: Mapping[str, float] | None = None


@dataclass(slots=True)
class Request:
    """A step asked for on a node.

    Attributes:
        wanters: who waits for the answer, each with the number of its asking; empty once all have it or let go.
    """

    wanters: dict[Wanter, int] = field(default_factory=dict)

    @property
    def order(self) -> int:
        """Its age: the lowest number of those who wait."""
        return min(self.wanters.values())


@dataclass(slots=True)
class Node:
    """These forms from `start` on, after `parent`.

    Attributes:
        number: its identity within the plan, from 0 in order of creation.
        parent: the node it leaves; None at the plan's roots, which start at step 0.
        like: the first node of the plan with the same forms.
        lane: the trial a root is kept apart for when nothing may be shared; None where equal beginnings merge.
        requests: by step; only those that somebody still waits for.
        standings: by step.
        floors: the steps where a state stands or is promised, rising: where training can start, now or soon.
        trained_to: the greatest step up to which this node's steps were ever trained; `start` if none was.
    """

    number: int
    parent: Node | None
    start: int
    forms: Mapping[str, Form]
    lane: int | None = None
    like: int = 0
    requests: dict[int, Request] = field(default_factory=dict)
    standings: dict[int, Standing] = field(default_factory=dict)
    floors: tuple[int, ...] = ()
    trained_to: int = 0

    def stands(self, step: int) -> bool:
        """Whether a state stands at a step, for training to start from."""
        standing = self.standings.get(step)
        return standing is not None and standing.checkpoint is not None

    def states(self) -> list[int]:
        """The steps where a state stands, rising."""
        return [step for step in self.floors if self.stands(step)]

    def values(self, step: int) -> dict[str, Value]:
        """Every hyper-parameter's value at an absolute step of this node."""
        return {name: form.value(step) for name, form in self.forms.items()}


def in_lane(key: str, lane: int | None) -> str:
    """The key of a root's forms in a lane."""
    return key if lane is None else f"lane {lane}: {key}"


class SearchPlan:
    """One durable tree of what was asked and what was found, shared by all studies of one plan key.

    Attributes:
        nodes: by number.
        roots: by the key of their forms (and lane).
        children: by (parent, step where they leave it, the first node with the same forms), all that are no roots.
        first: by the key of its forms, the first node that has them. Later ones share its forms.
        others: by the first node, the later ones with the same forms.
        promises: the places that granted batches will reach, with the lease that will.
        promised_by: the same, by lease.
        pending: the places of all requests, in order of first asking.
        waiting: by run, the places of its wishes, in order of first asking, and how many of its trials wait there.
        listeners: lists to which the place of every change is added, for those who keep account of what is left.
        version: grows when what is left to train, or for which runs, may have changed in a way that a granted batch
            does not account for.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.roots: dict[str, Node] = {}
        self.children: dict[tuple[int, int, int], Node] = {}
        self.first: dict[str, Node] = {}
        self.others: dict[int, list[int]] = {}
        self.promises: dict[Place, int] = {}
        self.promised_by: dict[int, set[Place]] = {}
        self.pending: dict[Place, None] = {}
        self.waiting: dict[str, dict[Place, int]] = {}
        self.listeners: list[list[Place]] = []
        self.version = 0

    # -- growing ------------------------------------------------------------------------------------------------

    def add_node(self, parent: int | None, start: int, forms: Mapping[str, Form], lane: int | None = None) -> Node:
        """Create a node, or take one back from its record; numbers must come in order."""
        return self.grow(None if parent is None else self.nodes[parent], start, forms, forms_key(forms), lane)

    def grow(self, above: Node | None, start: int, forms: Mapping[str, Form], key: str, lane: int | None) -> Node:
        """Create a node. `key`: of its forms."""
        number, first = len(self.nodes), self.first.get(key)
        if first is None:
            node = self.first[key] = Node(number, above, start, forms, lane, number, trained_to=start)
        else:
            node = Node(number, above, start, first.forms, lane, first.number, trained_to=start)
            self.others.setdefault(first.number, []).append(number)
        self.nodes.append(node)
        if above is None:
            self.roots[in_lane(key, lane)] = node
        else:
            self.children[above.number, start, node.like] = node
        return node

    def alike(self, node: int) -> list[int]:
        """The nodes with the same forms, itself among them, in order."""
        first = self.nodes[node].like
        return [first, *self.others.get(first, ())]

    def place(self, segments: Sequence[Segment], lane: int | None = None) -> tuple[Place, list[Node]]:
        """The place at the end of a config's segments, and the nodes that had to be created on the way.

        Args:
            segments: they cover [0, steps), steps >= 1.
            lane: a trial to keep apart from all others; None to share.
        """
        node: Node | None = None
        created: list[Node] = []
        for segment in segments:
            child = self.child(node, segment.start, segment.key, lane)
            if child is None:
                child = self.grow(node, segment.start, segment.forms, segment.key, lane if node is None else None)
                created.append(child)
            node = child
        assert node is not None, "a config has at least one segment"
        return Place(node.number, segments[-1].end), created

    def child(self, node: Node | None, step: int, key: str, lane: int | None = None) -> Node | None:
        """The node with the forms of this key that leaves `node` at a step, or a root if that is None; None if nobody
        asked for it yet."""
        if node is None:
            return self.roots.get(in_lane(key, lane))
        first = self.first.get(key)
        return None if first is None else self.children.get((node.number, step, first.number))

    # -- asking -------------------------------------------------------------------------------------------------

    def want(self, place: Place, wanter: Wanter, order: int) -> bool:
        """Add a wanter to the request at `place`; false if it is answered already and nothing was added.

        Args:
            place: what is wanted.
            wanter: who wants it.
            order: the number of this asking among all of the plan.
        """
        node = self.nodes[place.node]
        if self.answer(place) is not None:
            return False
        request = node.requests.get(place.step)
        if request is None:
            request = node.requests[place.step] = Request()
            self.pending[place] = None
        places = self.waiting.setdefault(wanter.run, {})
        self.version += place not in places
        if wanter not in request.wanters:
            places[place] = places.get(place, 0) + 1
        request.wanters[wanter] = order
        self.touch(place)
        return True

    def let_go(self, place: Place, wanter: Wanter) -> None:
        """Remove a wanter; the request goes with the last one. Nothing that was found is forgotten."""
        request = self.nodes[place.node].requests.get(place.step)
        if request is not None and request.wanters.pop(wanter, None) is not None:
            self.no_longer(wanter.run, place)
            self.version += place not in self.waiting.get(wanter.run, ())
            self.touch(place)
            if not request.wanters:
                self.take(place)

    def take(self, place: Place) -> set[Wanter]:
        """Remove the request at `place`: those who waited for it."""
        request = self.nodes[place.node].requests.pop(place.step, None)
        self.pending.pop(place, None)
        if self.answer(place) is None:
            self.version += 1
        self.touch(place)
        wanters = set(request.wanters) if request is not None else set()
        for wanter in wanters:
            self.no_longer(wanter.run, place)
        return wanters

    def no_longer(self, run: str, place: Place) -> None:
        """One wish of a run waits no longer."""
        places = self.waiting[run]
        places[place] -= 1
        if not places[place]:
            del places[place]
            if not places:
                del self.waiting[run]

    def touch(self, place: Place) -> None:
        """Something changed at a place."""
        for heard in self.listeners:
            heard.append(place)

    # -- finding ------------------------------------------------------------------------------------------------

    def answer(self, place: Place) -> Standing | None:
        """What stands at `place`, if it holds metrics."""
        standing = self.nodes[place.node].standings.get(place.step)
        return standing if standing is not None and standing.metrics is not None else None

    def record(self, place: Place, standing: Standing) -> Standing:
        """Write down what was found at a place: what stands there afterwards.

        The first record stands; a later one can only add metrics where nobody had measured, and a checkpoint where the
        first one's was evicted.
        """
        node = self.nodes[place.node]
        self.trained(node, place.step)
        if place not in self.promises or (place in self.pending and standing.metrics is None):
            self.version += 1
        first = node.standings.setdefault(place.step, standing)
        if first.metrics is None:
            first.metrics = standing.metrics
        if first.checkpoint is None:
            first.checkpoint = standing.checkpoint
        self.renew_floor(place)
        return first

    def trained(self, node: Node, step: int) -> None:
        """The steps [0, step) of a node's path are trained, also under the nodes that training passed."""
        above: Node | None = node
        while above is not None and above.trained_to < step:
            above.trained_to = step
            step, above = above.start, above.parent

    def evict(self, place: Place) -> None:
        """The checkpoint at a place is given up. What was measured there stands; what starts from there is trained from
        further below."""
        self.nodes[place.node].standings[place.step].checkpoint = None
        self.version += 1
        self.renew_floor(place)

    def promise(self, lease: int, places: Iterable[Place]) -> None:
        """A granted batch will reach these places."""
        for place in places:
            self.forget_promise(place)
            self.promises[place] = lease
            self.promised_by.setdefault(lease, set()).add(place)
            self.renew_floor(place)

    def withdraw(self, lease: int) -> None:
        """Forget what is left of a lease's promises: it ended, or was lost."""
        left = list(self.promised_by.get(lease, ()))
        for place in left:
            self.forget_promise(place)
        self.version += bool(left)

    def take_back(self, lease: int, places: Iterable[Place]) -> None:
        """These promises of a lease will not be kept: its batch has passed them, or stops before."""
        for place in places:
            if self.promises.get(place) == lease:
                self.forget_promise(place)
                self.version += 1

    def keep(self, lease: int, place: Place) -> None:
        """A lease's promise is kept (or was never made)."""
        if self.promises.get(place) == lease:
            self.forget_promise(place)

    def forget_promise(self, place: Place) -> None:
        """Nobody promises a place any more."""
        lease = self.promises.pop(place, None)
        if lease is not None:
            self.promised_by[lease].discard(place)
            if not self.promised_by[lease]:
                del self.promised_by[lease]
            self.renew_floor(place)

    def renew_floor(self, place: Place) -> None:
        """Let a step be among its node's floors if it is one."""
        node = self.nodes[place.node]
        at = bisect_left(node.floors, place.step)
        there = at < len(node.floors) and node.floors[at] == place.step
        if self.reached(place) and not there:
            node.floors = (*node.floors[:at], place.step, *node.floors[at:])
        elif there and not self.reached(place):
            node.floors = (*node.floors[:at], *node.floors[at + 1 :])
        self.touch(place)

    # -- reading ------------------------------------------------------------------------------------------------

    def since(self, place: Place, begin: int) -> Iterator[tuple[Node, int, int]]:
        """The steps [begin, place.step) of a place's path: (node, from, to), from the place upwards."""
        node: Node | None = self.nodes[place.node]
        step = place.step
        while node is not None and begin < step:
            yield node, max(begin, node.start), step
            step, node = min(step, node.start), node.parent

    def floor(self, node: Node, step: int) -> int | None:
        """The greatest step below `step` where the node has a standing or a promise; None if there is none."""
        below = bisect_left(node.floors, step)
        return node.floors[below - 1] if below else None

    def way(self, place: Place) -> Iterator[tuple[Node, int, int]]:
        """What must be trained for a place as things stand: (node, from, to), from the place upwards."""
        node: Node | None = self.nodes[place.node]
        step = place.step
        while node is not None and not self.reached(Place(node.number, step)):
            floor = self.floor(node, step)
            yield node, node.start if floor is None else floor, step
            if floor is not None:
                return
            step, node = node.start, node.parent

    def reached(self, place: Place) -> bool:
        """Whether training can start from `place`, now or when a promise is kept."""
        return place in self.promises or self.nodes[place.node].stands(place.step)

    def blocked(self, place: Place) -> list[Place]:
        """The pending places that cannot be answered if `place`, the first of its node that failed, cannot be reached.

        Where the state stands already, it is only its measurement that failed.
        """
        if self.nodes[place.node].stands(place.step):
            return [place] if place in self.pending else []
        return [
            wanted
            for wanted in self.pending
            if any(n.number == place.node and a < place.step <= b for n, a, b in self.way(wanted))
        ]

    def trained_steps(self) -> int:
        """How many distinct steps were ever trained."""
        return sum(node.trained_to - node.start for node in self.nodes)
