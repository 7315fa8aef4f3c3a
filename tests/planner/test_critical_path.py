"""Critical paths: the longest first, the tie rules in turn, the held model, and batches handed out one after the other;
by the rule as it is written, and by the frontier."""

from __future__ import annotations

from hive.planner.critical_path import LONG, next_batch, ranks
from hive.planner.estimates import Estimates
from hive.planner.frontier import Frontier
from hive.planner.search_plan import Place, SearchPlan, Standing, Wanter
from hive.planner.sequences import Constant, MultiStep, Sequence, Values
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
) -> list[tuple[int, int, int]]:
    estimates = estimates or Estimates()
    batch = path(next_batch(build(plan), estimates, held, in_memory))
    assert path(Frontier(plan, estimates).next(held, in_memory)) == batch
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
