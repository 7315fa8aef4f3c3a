"""What is anticipated, after random histories of announcing, asking and letting go, beside plain oracles.

One walks each announced config down the plan as far as nodes go; the other looks at every step of a way in turn.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hive.planner.anticipation import FOREVER, Anticipation
from hive.planner.estimates import Estimates
from hive.planner.running import Ends
from hive.planner.search_plan import Node, Place, SearchPlan, Standing, Wanter
from hive.planner.space import Config, segments
from tests.planner.strategies import STEPS_MAX, trials

BEYOND = 4 * STEPS_MAX
LEASE = 1

acts = st.lists(st.tuples(st.sampled_from(["announce", "ask", "forget", "follow"]), st.integers(0, 9)), max_size=20)


def left_at(plan: SearchPlan, config: Config) -> list[tuple[int, int]]:
    """The (node, step) where a config leaves each node of the plan that it goes through."""
    found = []
    node: Node | None = None
    for segment in segments(config, BEYOND):
        node = plan.child(node, segment.start, segment.key)
        if node is None:
            break
        if segment.end < BEYOND:
            found.append((node.number, segment.end))
    return found


def after(pool: list[tuple[Config, int]], history: list[tuple[str, int]]) -> Anticipation:
    """What is known after a history."""
    plan = SearchPlan()
    anticipation = Anticipation(plan, Estimates(plan))
    for what, number in history:
        config, steps = pool[number % len(pool)]
        if what == "announce":
            anticipation.announce(Wanter("run", number), config)
        elif what == "ask":
            plan.place(segments(config, steps))
        elif what == "forget":
            anticipation.forget(Wanter("run", number))
        elif plan.nodes:
            anticipation.follow(plan.nodes[number % len(plan.nodes)])
    return anticipation


@given(trials(), acts)
def test_whatever_happened_it_is_known_how_many_leave_each_node_where(
    pool: list[tuple[Config, int]], history: list[tuple[str, int]]
) -> None:
    anticipation = after(pool, history)
    for node in anticipation.plan.nodes:
        anticipation.follow(node)
    expected = Counter(
        place for each in anticipation.announced.values() for place in left_at(anticipation.plan, dict(each.config))
    )
    known = {(n, step): count for n, leaving in anticipation.leaving.items() for step, count in leaving.counts.items()}
    assert {place: count for place, count in known.items() if place[1] < BEYOND} == expected
    assert all(leaving.steps == sorted({*leaving.steps}) for leaving in anticipation.leaving.values())
    for wanter in list(anticipation.announced):
        anticipation.forget(wanter)
    assert (anticipation.leaving, anticipation.waiting, anticipation.entered) == ({}, {}, {})


def end_of(plan: SearchPlan, config: Config) -> set[Place]:
    """Where the way of a config ends with the nodes that there are; nothing if there is none."""
    node: Node | None = None
    end: set[Place] = set()
    for segment in segments(config, BEYOND):
        node = plan.child(node, segment.start, segment.key)
        if node is None:
            break
        end = {Place(node.number, FOREVER if segment.end == BEYOND else segment.end)}
    return end


@given(trials(), acts)
def test_whatever_happened_it_is_known_where_the_ways_of_announced_configs_end(
    pool: list[tuple[Config, int]], history: list[tuple[str, int]]
) -> None:
    anticipation = after(pool, history)
    announced = anticipation.announced.values()
    ends = set().union(*(end_of(anticipation.plan, dict(each.config)) for each in announced))
    assert set(anticipation.reached()) == ends


@given(trials(), acts, st.data())
def test_each_checkpoint_is_worth_its_save_and_no_other_would_be(
    pool: list[tuple[Config, int]], history: list[tuple[str, int]], data: st.DataObject
) -> None:
    anticipation = after(pool, [*history, ("ask", 0)])
    plan, step_s, save_s = anticipation.plan, data.draw(st.sampled_from([0.5, 2.0])), data.draw(st.integers(0, 4)) / 2
    anticipation.estimates.measured(0, 1, step_s)
    anticipation.estimates.saved(save_s)
    place, _ = plan.place(segments(*pool[0]))
    anticipation.follow(plan.nodes[place.node])
    spots = [Place(node, step) for node, start, end in way(plan, place) for step in range(start + 1, end)]
    for spot in data.draw(st.lists(st.sampled_from(spots), max_size=2)) if spots else []:
        plan.record(spot, Standing("file", "digest"))
    promised = data.draw(st.lists(st.sampled_from(spots), max_size=2)) if spots else []
    plan.promise(LEASE, promised)
    done, ends = data.draw(st.integers(0, 10)), way(plan, place)
    passes = data.draw(st.sets(st.sampled_from([(node, end) for node, _, end in ends]))) - {tuple(place)}

    expected, saved, below = [], True, 0
    for at, (node, start, end) in enumerate(ends):
        below, saved = start if saved else below, (node, end) not in passes
        for step in range(start + 1, end + (not saved)):
            spot = Place(node, step)
            leaving = anticipation.leaving.get(node)
            count = leaving.counts[step] if leaving is not None else 0
            if step == end:
                count -= gone_into(anticipation, ends[at + 1][0])
            chance = 1 - (1 - anticipation.chance(step)) ** count
            own = spot in plan.promises
            ahead = own or (step >= done and step not in plan.nodes[node].standings)
            if ahead and chance * (step - below) * step_s > save_s:
                expected.append(spot)
                below = step
            elif step in plan.nodes[node].standings and not own:
                below = step
    assert anticipation.boundaries(ends, passes, LEASE, done) == expected


def gone_into(anticipation: Anticipation, number: int) -> int:
    """How many configs were followed into a node."""
    nodes = anticipation.plan.nodes
    return sum(number in above(nodes[each.node]) for each in anticipation.announced.values() if each.node >= 0)


def above(node: Node | None) -> list[int]:
    """The numbers of a node and all above it."""
    return [] if node is None else [node.number, *above(node.parent)]


def way(plan: SearchPlan, place: Place) -> Ends:
    """The stages of a batch from the beginning to a place."""
    node, step, ends = plan.nodes[place.node], place.step, []
    while True:
        ends.append((node.number, node.start, step))
        if node.parent is None:
            return tuple(reversed(ends))
        node, step = node.parent, node.start
