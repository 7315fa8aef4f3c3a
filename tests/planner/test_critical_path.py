"""Critical paths: the longest first, the tie rules in turn, the held model, and batches handed out one after the other;
by the rule as it is written, and by the frontier."""

from __future__ import annotations

from heapq import heappop, heappush

import pytest

from hive.planner.critical_path import LONG, ROUND_S, WORTH, Crew, next_batch, part_of_path, ranks
from hive.planner.estimates import Estimates
from hive.planner.frontier import Frontier
from hive.planner.search_plan import Place, SearchPlan, Standing, Wanter
from hive.planner.sequences import Constant, MultiStep, Sequence, Values
from hive.planner.shared_paths import SharedPaths
from hive.planner.space import segments
from hive.planner.stage_tree import Stage, build


class Asked:
    """A plan, and how many asked so far."""

    def __init__(self) -> None:
        self.plan = SearchPlan()
        self.count = 0

    def ask(self, sequence: Sequence, steps: int) -> Place:
        place, _ = self.plan.place(segments({"lr": sequence}, steps))
        self.plan.want(place, Wanter("run", self.count), self.count)
        self.count += 1
        return place


def path(stages: list[Stage]) -> list[tuple[int, int, int]]:
    return [(stage.node.number, stage.start, stage.end) for stage in stages]


def next_path(
    plan: SearchPlan,
    held: Place | None = None,
    estimates: Estimates | None = None,
    in_memory: tuple[Place, ...] = (),
    part: float = 1.0,
) -> list[tuple[int, int, int]]:
    estimates = estimates or Estimates()
    batch = path(next_batch(build(plan), estimates, held, in_memory, part))
    assert path(Frontier(plan, estimates).next(held, in_memory, part)) == batch
    return batch


def stands(plan: SearchPlan, *places: Place) -> None:
    for place in places:
        plan.record(place, Standing("file", "digest"))


def test_nothing_ready_gives_no_batch() -> None:
    asked = Asked()
    assert next_path(asked.plan) == []
    asked.ask(Constant(1), 20)
    asked.plan.promise(1, [Place(0, 10)])
    assert next_path(asked.plan) == []


def test_batch_is_the_longest_path_down_to_a_leaf() -> None:
    asked = Asked()
    asked.ask(MultiStep(1, [10], 0.1), 15)
    asked.ask(Constant(1), 30)
    asked.ask(MultiStep(1, [20], 0.1), 35)
    assert next_path(asked.plan) == [(0, 0, 10), (0, 10, 20), (2, 20, 35)]


def test_length_is_in_seconds_not_steps() -> None:
    asked = Asked()
    asked.ask(Constant(1), 30)
    asked.ask(Constant(2), 20)
    estimates = Estimates()
    estimates.measured(0, steps=1, seconds=1.0)
    estimates.measured(1, steps=1, seconds=2.0)
    assert next_path(asked.plan, estimates=estimates) == [(1, 0, 20)]
    assert sorted(-rank[0] for rank in ranks(build(asked.plan), estimates).values()) == [30.0, 40.0]


def test_tie_goes_to_more_waiting_trials() -> None:
    asked = Asked()
    asked.ask(Constant(1), 20)
    asked.ask(Constant(2), 20)
    asked.ask(Constant(2), 20)
    assert next_path(asked.plan) == [(1, 0, 20)]


def test_tie_goes_to_more_trials_that_wait_anywhere_on_the_path() -> None:
    asked = Asked()
    asked.ask(Constant(1), 20)
    asked.ask(Constant(2), 20)
    asked.ask(Constant(2), 10)
    assert next_path(asked.plan) == [(1, 0, 10), (1, 10, 20)]


def test_path_that_two_trials_begin_with_is_no_worse_for_it() -> None:
    asked = Asked()
    asked.ask(MultiStep(1, [10], 0.1), 20)
    asked.ask(MultiStep(1, [10], 0.5), 20)
    asked.ask(Constant(2), 20)
    assert next_path(asked.plan) == [(0, 0, 10), (1, 10, 20)]


def test_batch_of_very_many_stages_ends_at_the_next_boundary_and_the_rest_follows() -> None:
    asked = Asked()
    asked.ask(Values([*range(200)]), 200)
    asked.ask(Values([*range(LONG + 30), 1]), 200)
    first = next_path(asked.plan)
    assert first[-1] == (LONG + 29, LONG + 29, LONG + 30)
    stands(asked.plan, Place(*first[-1][::2]))
    rest = next_path(asked.plan, held=Place(*first[-1][::2]))
    assert rest[0][1] == LONG + 30
    assert rest[-1][2] == 200


LEAST_S = int(WORTH * ROUND_S)
"""What a part takes at least where saves and loads take no time."""


def measured(step_s: float = 1.0) -> Estimates:
    estimates = Estimates()
    estimates.step_s.add(step_s)
    return estimates


@pytest.mark.parametrize(
    ("ready", "trainers", "idle", "part"),
    [(1, 40, 1, 1.0), (30, 40, 30, 1.0), (57, 40, 40, 57 / 80), (17, 40, 1, 17 / 80), (80, 40, 1, 1.0), (9, 1, 1, 1.0)],
)
def test_batch_is_a_part_while_more_paths_wait_than_trainers_but_fewer_than_two_for_each(
    ready: int, trainers: int, idle: int, part: float
) -> None:
    assert part_of_path(ready, Crew(trainers, idle)) == part
    assert part_of_path(ready, None) == 1.0


def test_part_ends_on_the_way_and_the_rest_follows_from_there() -> None:
    asked = Asked()
    asked.ask(Constant(1), 100)
    assert next_path(asked.plan, estimates=measured(), part=0.25) == [(0, 0, 25)]
    asked.plan.promise(1, [Place(0, 25)])
    assert next_path(asked.plan, estimates=measured()) == []
    stands(asked.plan, Place(0, 25))
    assert next_path(asked.plan, estimates=measured()) == [(0, 25, 100)]


def test_part_goes_by_seconds_not_steps() -> None:
    asked = Asked()
    asked.ask(MultiStep(1, [40], 0.1), 80)
    estimates = Estimates(asked.plan)
    estimates.measured(0, steps=1, seconds=1.0)
    estimates.measured(1, steps=1, seconds=3.0)
    assert next_path(asked.plan, estimates=estimates, part=0.5) == [(0, 0, 40), (1, 40, 53)]


def test_part_goes_on_to_a_boundary_that_is_near_or_stops_where_the_values_change() -> None:
    asked = Asked()
    asked.ask(MultiStep(1, [50], 0.1), 100)
    assert next_path(asked.plan, estimates=measured(), part=0.5) == [(0, 0, 50)], "a pass"
    asked.ask(Constant(1), 52)
    asked.ask(Constant(1), 53 + LEAST_S)
    assert next_path(asked.plan, estimates=measured(), part=0.51) == [(0, 0, 50), (1, 50, 51)]
    asked.ask(MultiStep(1, [50], 0.1), 51 + LEAST_S)
    assert next_path(asked.plan, estimates=measured(), part=0.51) == [(0, 0, 50), (1, 50, 51 + LEAST_S)]


def test_batch_is_the_whole_path_where_too_little_would_be_done_or_left() -> None:
    asked = Asked()
    asked.ask(Constant(1), 10 * LEAST_S)
    whole, estimates = [(0, 0, 10 * LEAST_S)], measured()
    assert next_path(asked.plan, estimates=estimates, part=0.01) == [(0, 0, LEAST_S)]
    assert next_path(asked.plan, estimates=estimates, part=0.89) == [(0, 0, 8.9 * LEAST_S // 1)]
    assert next_path(asked.plan, estimates=estimates, part=0.91) == whole
    estimates.save_s.add(ROUND_S)
    estimates.load_s.add(ROUND_S)
    assert next_path(asked.plan, estimates=estimates, part=0.01) == [(0, 0, 3 * LEAST_S)]
    assert next_path(asked.plan, estimates=estimates, part=0.71) == whole
    passing = Asked()
    passing.ask(MultiStep(1, [10 * LEAST_S - 2], 0.1), 10 * LEAST_S)
    assert next_path(passing.plan, estimates=measured(), part=0.91)[-1] == (1, 10 * LEAST_S - 2, 10 * LEAST_S)
    estimates.load_s.add(9 * ROUND_S)
    assert next_path(asked.plan, estimates=estimates, part=0.5) == whole


def test_part_goes_by_what_waits_of_all_studies() -> None:
    asked = Asked()
    for value in (1, 2, 3):
        asked.plan.want(asked.ask(Constant(value), 1_000), Wanter(f"run {value}", 0), value)
        asked.plan.let_go(Place(value - 1, 1_000), Wanter("run", value - 1))
    shared = SharedPaths(asked.plan, measured(), str)
    assert shared.studies() == ["run 1", "run 2", "run 3"]
    assert path(shared.take("run 2", crew=Crew(2, 1))) == [(1, 0, 750)]
    assert path(shared.take("run 2")) == [(1, 0, 1_000)]


def test_batch_is_the_whole_path_while_nobody_knows_what_a_step_takes() -> None:
    asked = Asked()
    asked.ask(Constant(1), 1_000)
    assert next_path(asked.plan, part=0.5) == [(0, 0, 1_000)]


def makespan_s(paths: int, steps: int, trainers: int, crew: bool) -> float:
    """Seconds in which so many trainers train so many paths that are equally long, by parts or whole."""
    asked, now = Asked(), 0.0
    for value in range(paths):
        asked.ask(Constant(value), steps)
    shared = SharedPaths(asked.plan, measured(), str)
    busy: list[tuple[float, int, Place]] = []
    while shared.studies() or busy:
        while len(busy) < trainers and (
            batch := shared.take("run", None, (), Crew(trainers, trainers - len(busy)) if crew else None)
        ):
            asked.plan.promise(asked.count, [stage.place for stage in batch])
            heappush(busy, (now + sum(stage.end - stage.start for stage in batch), asked.count, batch[-1].place))
            asked.count += 1
        now, lease, place = heappop(busy)
        asked.plan.record(place, Standing("file", "digest", {"score": 1.0}))
        asked.plan.keep(lease, place)
        asked.plan.take(place)
    return now


def test_trainers_end_together_where_paths_are_few_and_long() -> None:
    assert makespan_s(57, 1_000, 40, crew=False) == 2_000
    assert makespan_s(57, 1_000, 40, crew=True) < 1.03 * 57_000 / 40


def test_further_tie_goes_to_the_older_request() -> None:
    asked = Asked()
    first, second = asked.ask(Constant(1), 20), asked.ask(Constant(2), 20)
    asked.plan.take(first)
    asked.plan.want(first, Wanter("run", 0), 7)
    assert (first.node, second.node) == (0, 1)
    assert next_path(asked.plan) == [(1, 0, 20)]


def test_last_tie_goes_to_the_lower_node() -> None:
    plan = SearchPlan()
    for trial, value in enumerate((1, 2)):
        place, _ = plan.place(segments({"lr": Constant(value)}, 20))
        plan.want(place, Wanter("run", trial), 0)
    assert next_path(plan) == [(0, 0, 20)]


def test_equal_paths_go_to_the_trainer_that_holds_the_model() -> None:
    asked = Asked()
    asked.ask(Constant(1), 20)
    asked.ask(Constant(2), 20)
    stands(asked.plan, Place(0, 10), Place(1, 10))
    assert next_path(asked.plan) == [(0, 10, 20)]
    assert next_path(asked.plan, held=Place(1, 10)) == [(1, 10, 20)]
    assert next_path(asked.plan, held=Place(1, 9)) == [(0, 10, 20)]


def test_held_model_outweighs_as_many_seconds_as_a_load_takes() -> None:
    asked = Asked()
    asked.ask(Constant(1), 23)
    asked.ask(Constant(2), 20)
    stands(asked.plan, Place(0, 10), Place(1, 10))
    estimates = Estimates()
    estimates.load_s.add(2.9)
    assert next_path(asked.plan, Place(1, 10), estimates) == [(0, 10, 23)]
    estimates.load_s.add(3.3)
    assert next_path(asked.plan, Place(1, 10), estimates) == [(1, 10, 20)]


def test_equal_paths_go_to_the_live_model_then_to_a_state_in_memory() -> None:
    asked = Asked()
    for value in (1, 2, 3):
        asked.ask(Constant(value), 20)
    places = [Place(node, 10) for node in range(3)]
    stands(asked.plan, *places)
    assert next_path(asked.plan, in_memory=(Place(1, 10),)) == [(1, 10, 20)]
    assert next_path(asked.plan, in_memory=(Place(2, 10), Place(1, 10))) == [(1, 10, 20)]
    assert next_path(asked.plan, in_memory=(Place(1, 9), Place(7, 10))) == [(0, 10, 20)]
    assert next_path(asked.plan, held=Place(2, 10), in_memory=(Place(1, 10), Place(2, 10))) == [(2, 10, 20)]


def test_state_in_memory_outweighs_half_the_seconds_that_a_live_model_does() -> None:
    asked = Asked()
    asked.ask(Constant(1), 23)
    asked.ask(Constant(2), 20)
    stands(asked.plan, Place(0, 10), Place(1, 10))
    estimates = Estimates()
    estimates.load_s.add(5.9)
    assert next_path(asked.plan, None, estimates, (Place(1, 10),)) == [(0, 10, 23)]
    assert next_path(asked.plan, Place(1, 10), estimates, (Place(1, 10),)) == [(1, 10, 20)]
    estimates.load_s.add(6.3)
    assert next_path(asked.plan, None, estimates, (Place(1, 10),)) == [(1, 10, 20)]


def test_state_in_memory_with_the_longest_path_is_taken_before_the_live_model() -> None:
    asked = Asked()
    asked.ask(Constant(1), 30)
    asked.ask(Constant(2), 21)
    asked.ask(Constant(3), 20)
    stands(asked.plan, *(Place(node, 10) for node in range(3)))
    estimates = Estimates()
    estimates.load_s.add(4.0)
    assert next_path(asked.plan, Place(2, 10), estimates, (Place(0, 10), Place(1, 10))) == [(0, 10, 30)]


def test_of_two_ways_on_from_the_held_model_the_longer_is_taken() -> None:
    asked = Asked()
    asked.ask(MultiStep(1, [10], 0.1), 15)
    asked.ask(Constant(1), 20)
    stands(asked.plan, Place(0, 10))
    assert next_path(asked.plan, Place(0, 10)) == [(0, 10, 20)]
    asked.plan.promise(1, [Place(0, 20)])
    assert next_path(asked.plan, Place(0, 10)) == [(1, 10, 15)]
    asked.plan.promise(2, [Place(1, 15)])
    assert next_path(asked.plan, Place(0, 10)) == []


def test_batches_handed_out_in_turn_leave_what_branches_off_to_wait() -> None:
    asked = Asked()
    asked.ask(MultiStep(1, [10], 0.1), 15)
    asked.ask(Constant(1), 30)
    asked.ask(Constant(2), 25)
    assert next_path(asked.plan) == [(0, 0, 10), (0, 10, 30)]
    asked.plan.promise(1, [Place(0, 10), Place(0, 30)])
    assert next_path(asked.plan) == [(2, 0, 25)]
    asked.plan.promise(2, [Place(2, 25)])
    assert next_path(asked.plan) == []
