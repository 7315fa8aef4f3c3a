"""Where a batch should leave a checkpoint although nobody asks for it: announced configs could branch there.

    anticipation.announce(wanter, config)
    anticipation.boundaries(ends, passes, lease, done) -> places

A tuner that promotes one trial at a time asks for a branch when a batch may have passed it already, and then the steps
from the last checkpoint below are run again. (Hippo accepts that.) A tuner that announced its configs lets us know
where that could happen: wherever one of them leaves the way of a batch inside a stage, or where the batch merely passes
to the next node. A checkpoint there is worth it, if

    chance * seconds back to the last boundary below > seconds of a save

The chance is that of being asked for past the step, and is learned: of the announced configs that were answered at or
below it, how many were asked on from there past it. Before anything is known it is one in four, which is what halving
promotes, and that weighs as much as four configs. Steps count by doublings, as rungs do, so that little is kept. Where
several configs leave at one place, one of them is enough.

What is kept of a config is how far its way has been followed. It waits where it leaves the last node that it was
followed into, until a batch goes on the way that it would go. So a million of them cost little for each batch: of those
that wait on its way `FOLLOWED_MAX` are followed by a node, and of the places where they leave it `CONSIDERED_MAX` are
weighed.

It must not know messages, runs, trainers, or who announced.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from hive.planner.estimates import Estimates
from hive.planner.running import Ends
from hive.planner.search_plan import Node, Place, SearchPlan, Wanter
from hive.planner.sequences import Sequence
from hive.planner.space import forms_key

__all__ = ["FOLLOWED_MAX", "FOREVER", "Anticipation"]

FOLLOWED_MAX = 100
"""So many configs are followed when a batch is granted, some 2 ms; the others when the next one comes by."""

CONSIDERED_MAX = 100
"""So many places are weighed for one batch, from its beginning on."""

PRIOR_ASKED_ON, PRIOR_ANSWERED = 1, 4
"""What is taken for known of the chance before anything is."""

FOREVER = 1 << 62
"""In place of a step that never comes."""

START = Place(-1, 0)
"""What all configs leave first, as if it were a place: they wait there for the roots."""


@dataclass(slots=True)
class Announced:
    """A config that may be asked for.

    Attributes:
        config: its sequences.
        node: the number of the last node that it was followed into; that of START for none.
        step: where it leaves that; None if it never does.
        asked: the furthest step that it was asked for; 0 for none.
        first: the same when it was first answered; 0 if it was not.
    """

    config: Mapping[str, Sequence]
    node: int = START.node
    step: int | None = START.step
    asked: int = 0
    first: int = 0


@dataclass(slots=True)
class Leaving:
    """Where announced configs leave a node.

    Attributes:
        counts: by step, how many.
        steps: these, rising; nobody leaves any more at some.
    """

    counts: Counter[int] = field(default_factory=Counter)
    steps: list[int] = field(default_factory=list)

    def add(self, step: int) -> None:
        at = bisect_left(self.steps, step)
        if at == len(self.steps) or self.steps[at] != step:
            self.steps.insert(at, step)
        self.counts[step] += 1

    def remove(self, step: int) -> None:
        self.counts[step] -= 1
        if not self.counts[step]:
            del self.counts[step]

    def after(self, step: int) -> int | None:
        """The first step beyond `step` where one leaves."""
        first = last = bisect_right(self.steps, step)
        while last < len(self.steps) and self.steps[last] not in self.counts:
            last += 1
        del self.steps[first:last]
        return self.steps[first] if first < len(self.steps) else None


class Anticipation:
    """What is announced on a plan.

    Args:
        plan: what was asked for.
        estimates: what steps and saves should cost.

    Attributes:
        announced: by who announced it.
        waiting: by the place where they leave what they were followed into, and the key of the forms that hold there.
        leaving: by node.
        entered: by node, how many were followed into it.
        answered: by the doubling of their first answer, how many were answered.
        asked_on: how many were asked on from there, as changes from doubling to doubling of the steps that they passed.
    """

    def __init__(self, plan: SearchPlan, estimates: Estimates) -> None:
        self.plan = plan
        self.estimates = estimates
        self.announced: dict[Wanter, Announced] = {}
        self.waiting: dict[Place, dict[str, dict[Wanter, None]]] = {}
        self.leaving: dict[int, Leaving] = {}
        self.entered: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.asked_on: Counter[int] = Counter()

    # -- what is announced --------------------------------------------------------------------------------------

    def announce(self, wanter: Wanter, config: Mapping[str, Sequence], asked: int = 0) -> None:
        """A config may be asked for, or for more. `asked`: the furthest step that it was asked for so far."""
        self.forget(wanter)
        self.announced[wanter] = Announced(config)
        self.wait(wanter)
        if asked:
            self.asks(wanter, asked)
            self.answers(wanter)

    def forget(self, wanter: Wanter) -> None:
        """A config will not be asked for any more. What was learned from it stays."""
        announced = self.announced.get(wanter)
        if announced is None:
            return
        self.wait_no_longer(wanter)
        del self.announced[wanter]
        number, step = announced.node, announced.step
        while number != START.node:
            self.entered[number] -= 1
            if not self.entered[number]:
                del self.entered[number]
            if step is not None:
                self.leaving[number].remove(step)
                if not self.leaving[number].counts:
                    del self.leaving[number]
            node = self.plan.nodes[number]
            number, step = START.node if node.parent is None else node.parent.number, node.start

    def asks(self, wanter: Wanter, step: int) -> None:
        """A config is asked for to `step`; nothing happens if it was not announced."""
        announced = self.announced.get(wanter)
        if announced is None or step <= announced.asked:
            return
        if announced.first:
            counted = announced.asked > announced.first
            self.asked_on[announced.asked.bit_length() + counted] += 1
            self.asked_on[step.bit_length() + 1] -= 1
        announced.asked = step

    def answers(self, wanter: Wanter) -> None:
        """A config was answered; nothing happens if it was not announced."""
        announced = self.announced.get(wanter)
        if announced is not None and announced.asked and not announced.first:
            announced.first = announced.asked
            self.answered[announced.first.bit_length()] += 1

    def chance(self, step: int) -> float:
        """Of a config's being asked for past a step, to the doubling."""
        asked_on = sum(change for doubling, change in self.asked_on.items() if doubling <= step.bit_length())
        answered = sum(count for doubling, count in self.answered.items() if doubling <= step.bit_length())
        return (PRIOR_ASKED_ON + asked_on) / (PRIOR_ANSWERED + answered)

    # -- following ----------------------------------------------------------------------------------------------

    def wait(self, wanter: Wanter) -> None:
        """Let a config wait where it leaves what it was followed into."""
        announced = self.announced[wanter]
        if announced.step is not None:
            groups = self.waiting.setdefault(Place(announced.node, announced.step), {})
            groups.setdefault(key_at(announced.config, announced.step), {})[wanter] = None

    def wait_no_longer(self, wanter: Wanter) -> None:
        """A config goes on from where it waits, or is forgotten."""
        announced = self.announced[wanter]
        if announced.step is not None:
            place, key = Place(announced.node, announced.step), key_at(announced.config, announced.step)
            groups = self.waiting[place]
            del groups[key][wanter]
            self.tidy(place, key)

    def tidy(self, place: Place, key: str) -> None:
        """Keep no group of nobody."""
        groups = self.waiting[place]
        if not groups[key]:
            del groups[key]
            if not groups:
                del self.waiting[place]

    def follow(self, node: Node, most: int = FOLLOWED_MAX) -> int:
        """A batch goes into a node: follow the configs that go there too, or into nodes above it, so many at most.
        Returns how many it were."""
        left = most
        for each, place, key in self.waiting_above(node):
            left -= self.enter(each, place, key, left)
        return most - left

    def waiting_above(self, node: Node) -> Iterator[tuple[Node, Place, str]]:
        """Where configs wait that go through a node, or through one above: (the node that they go into, the place and
        the key that they wait under), from the root on."""
        path: list[Node] = []
        above = node if self.waiting else None
        while above is not None:
            path.append(above)
            above = above.parent
        for each in reversed(path):
            place = START if each.parent is None else Place(each.parent.number, each.start)
            groups = self.waiting.get(place)
            if groups is not None and (key := forms_key(each.forms)) in groups:
                yield each, place, key

    def enter(self, node: Node, place: Place, key: str, most: int) -> int:
        """Follow configs that wait under a place and a key into the node behind, so many at most; how many it were."""
        group = self.waiting[place][key]
        count = min(most, len(group))
        self.entered[node.number] += count
        for _ in range(count):
            wanter, _ = group.popitem()
            announced = self.announced[wanter]
            announced.node, announced.step = node.number, end_at(announced.config, node.start)
            if announced.step is not None:
                self.leaving.setdefault(node.number, Leaving()).add(announced.step)
                self.wait(wanter)
        self.tidy(place, key)
        return count

    # -- asking -------------------------------------------------------------------------------------------------

    def reached(self) -> Iterator[Place]:
        """Where the ways of announced configs end with the nodes that there are now, in no order; some more than once.
        The step is `FOREVER` if a config never leaves its last node."""
        for place, groups in self.waiting.items():
            for key, group in groups.items():
                if (node := self.behind(place, key)) is not None:
                    yield from (self.walked(node, self.announced[wanter].config) for wanter in group)
                elif place != START:
                    yield place
        yield from (Place(each.node, FOREVER) for each in self.announced.values() if each.step is None)

    def walked(self, node: Node, config: Mapping[str, Sequence]) -> Place:
        """Where the way of a config ends that goes through a node."""
        while (step := end_at(config, node.start)) is not None:
            child = self.behind(Place(node.number, step), key_at(config, step))
            if child is None:
                return Place(node.number, step)
            node = child
        return Place(node.number, FOREVER)

    def behind(self, place: Place, key: str) -> Node | None:
        """The node that those go into who wait under a place and a key; None if there is none yet."""
        return self.plan.child(None if place == START else self.plan.nodes[place.node], place.step, key)

    def boundaries(self, ends: Ends, passes: Collection[tuple[int, int]], lease: int, done: int = 0) -> list[Place]:
        """Where a batch should stop for a checkpoint besides where it must.

        Where it promised to, it does so further while that is worth it; and as long as not everything is known that
        speaks for it, such as seconds per step after a restart.

        Args:
            ends: its stages ahead, as they must be.
            passes: the (node, end) of those that it need not save.
            lease: its lease.
            done: the greatest step that it is known to have done.
        """
        if not self.announced or not ends:
            return []
        followed = next(self.waiting_above(self.plan.nodes[ends[-1][0]]), None) is None
        measured = self.estimates.step_s.count > 0 and self.estimates.save_s.count > 0
        places = self.worth_it(ends, passes, lease, done) if measured else []
        if followed and measured:
            return places
        return [*places, *(self.plan.promised_by.get(lease, set()) - set(places))]

    def worth_it(self, ends: Ends, passes: Collection[tuple[int, int]], lease: int, done: int) -> list[Place]:
        """The places inside of stages, and where they are merely passed, where a checkpoint is worth it, from the first
        on."""
        found: list[Place] = []
        left, save_s, saved = CONSIDERED_MAX, self.estimates.save_s.weight, True
        below = 0
        for at, (number, start, end) in enumerate(ends):
            leaving, step_s = self.leaving.get(number), self.estimates.step_weight(number)
            below, saved = start if saved else below, (number, end) not in passes
            step = leaving.after(start) if leaving is not None else None
            while step is not None and (step < end or (step == end and not saved)) and left:
                place = Place(number, step)
                own = self.plan.promises.get(place) == lease
                below = self.floor(place, below, lease)
                along = self.entered[ends[at + 1][0]] if step == end else 0
                worth_s = self.chance_of_any(place, along) * (step - below) * step_s
                if worth_s > save_s and (own or (step >= done and not self.plan.reached(place))):
                    found.append(place)
                    below = step
                step, left = self.leaving[number].after(max(step, below + skipped(save_s, step_s))), left - 1
        return found

    def chance_of_any(self, place: Place, along: int) -> float:
        """That one of those who leave at a place will be asked for past it, save those who go along."""
        return 1 - (1 - self.chance(place.step)) ** (self.leaving[place.node].counts[place.step] - along)

    def floor(self, place: Place, below: int, lease: int) -> int:
        """The greatest step between one below a place and that place, in its node, that stands or is promised by others
        than a lease; the one below for none."""
        node = self.plan.nodes[place.node]
        floor = self.plan.floor(node, place.step) or 0
        while floor > below and self.plan.promises.get(Place(place.node, floor)) == lease:
            floor = self.plan.floor(node, floor) or 0
        return max(below, floor)


def key_at(config: Mapping[str, Sequence], step: int) -> str:
    """The key of a config's forms at a step."""
    return forms_key({name: sequence.course.at(step).form for name, sequence in config.items()})


def end_at(config: Mapping[str, Sequence], step: int) -> int | None:
    """The step where the first of a config's forms ends that are in force at a step; None if they all hold for ever."""
    ends = (sequence.course.at(step).end for sequence in config.values())
    return min((end for end in ends if end is not None), default=None)


def skipped(save_s: float, step_s: float) -> int:
    """So near above a boundary no other is worth it, however likely it is."""
    return int(save_s / step_s) if step_s > 0 else 1 << 62
