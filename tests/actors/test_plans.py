"""A plan in use: every change leaves its record, and a batch says all that a trainer must know."""

from __future__ import annotations

import msgspec

from hive.actors.actor import Turn
from hive.actors.messages import Grant, GrantedStage, Notice
from hive.actors.plans import LivePlan, path_to
from hive.planner.critical_path import LONG
from hive.planner.running import Way
from hive.planner.search_plan import Place, Wanter
from hive.planner.sequences import Constant, Exponential, MultiStep, Sequence, Values
from hive.planner.stage_tree import build
from hive.simulation.clients import SOURCE
from hive.storage.records import CheckpointFile, LeaseRecord, NodeRecord, PlanRecord, StandingRecord
from hive.storage.store import Put

STRAIGHT, DROPPED = Constant(1), MultiStep(1, [10], 0.1)
FILE = CheckpointFile("key-1/file", 1)


class Live:
    """A plan, and the records that it has left."""

    def __init__(self) -> None:
        self.plan = LivePlan(PlanRecord("key-1", "key", 1, "study", True, SOURCE, "print", {}, 0.0))
        self.asked = 0

    def ask(self, sequence: Sequence, step: int, run: str = "run", lane: int | None = None) -> Place:
        self.turn = Turn()
        place = self.plan.place({"lr": sequence}, step, lane, self.turn)
        self.plan.tree.want(place, Wanter(run, self.asked), self.asked)
        self.asked += 1
        return place

    def found(self, place: Place, digest: str = "digest", metrics: dict[str, float] | None = None) -> bool:
        self.turn = Turn()
        file = msgspec.structs.replace(FILE, name=f"of {digest}")
        return self.plan.found(Notice("t", 1, 1, *place, 1, digest, 1.0, 0.1, metrics, file), self.turn)

    @property
    def records(self) -> list[object]:
        return [write.record for write in self.turn.writes if isinstance(write, Put)]

    def grant(self) -> Grant:
        return self.plan.grant(self.plan.lease(7, self.plan.paths.take("run"), "trainer", "node", 5.0))


def test_new_nodes_leave_records_and_known_ones_none() -> None:
    live = Live()
    live.ask(DROPPED, 20)
    constant, dropped = ({"lr": ["constant", value]} for value in (1, 0.1))
    assert [r for r in live.records if isinstance(r, NodeRecord)] == [
        NodeRecord("key-1", 0, None, 0, constant),
        NodeRecord("key-1", 1, 0, 10, dropped),
    ]
    live.ask(DROPPED, 25)
    assert live.records == []


def test_lane_is_kept_at_the_root() -> None:
    live = Live()
    live.ask(DROPPED, 20, lane=4)
    assert [r.lane for r in live.records if isinstance(r, NodeRecord)] == [4, None]


def test_plan_loaded_from_its_records_finds_the_same_places() -> None:
    live, nodes = Live(), []
    for sequence in (Exponential(0.1, 0.9), DROPPED, STRAIGHT):
        live.ask(sequence, 20)
        nodes += [r for r in live.records if isinstance(r, NodeRecord)]
    loaded = LivePlan(live.plan.record)
    loaded.load(nodes, [StandingRecord("key-1", 0, 20, FILE, "digest", {"score": 1.0})])
    turn = Turn()
    for sequence in (Exponential(0.1, 0.9), DROPPED, STRAIGHT):
        assert loaded.place({"lr": sequence}, 20, None, turn) == live.plan.place({"lr": sequence}, 20, None, turn)
    assert turn.writes == []
    assert loaded.tree.answer(Place(0, 20)) is not None
    assert loaded.tree.trained_steps() == 20


def test_first_record_stands_and_only_metrics_are_added() -> None:
    live = Live()
    at = live.ask(STRAIGHT, 10)
    assert live.found(at, "first")
    assert not live.found(at, "second")
    assert live.records == []
    assert not live.found(at, "third", {"score": 1.0})
    file = msgspec.structs.replace(FILE, name="of first")
    assert live.records == [StandingRecord("key-1", *at, file, "first", {"score": 1.0})]
    assert not live.found(at, "fourth", {"score": 2.0})
    assert live.records == []


def test_measurement_of_a_state_without_a_file_stands_for_nothing() -> None:
    live = Live()
    at = live.ask(STRAIGHT, 10)
    turn = Turn()
    assert not live.plan.found(Notice("t", 1, 1, *at, 0, "digest", metrics={"score": 1.0}), turn)
    assert not turn.writes


def test_fresh_batch_is_built_with_the_values_of_step_zero() -> None:
    live = Live()
    live.ask(Exponential(1, 0.5), 3)
    stage = GrantedStage(0, 0, 3, {"lr": ["exponential", 1, 0.5, 0]}, metrics=True, run="run", trial=0)
    assert live.grant() == Grant("trainer", 7, [stage], {"lr": 1})


def test_batch_from_a_checkpoint_is_built_with_the_values_of_the_step_before() -> None:
    live = Live()
    live.ask(DROPPED, 20)
    live.found(Place(0, 10))
    grant = live.grant()
    assert (grant.origin, grant.checkpoint, grant.build_values) == ((0, 10), "of digest", {"lr": 1})
    assert [(s.node, s.start, s.end, s.metrics) for s in grant.stages] == [(1, 10, 20, True)]


def test_branch_points_are_not_measured_and_batch_and_promises_name_the_same_places() -> None:
    live = Live()
    live.ask(DROPPED, 20)
    live.ask(STRAIGHT, 12)
    grant = live.grant()
    assert [(s.node, s.start, s.end, s.metrics) for s in grant.stages] == [(0, 0, 10, False), (1, 10, 20, True)]
    assert live.plan.tree.promises == {Place(0, 10): 7, Place(1, 20): 7}


def test_payer_is_the_run_of_the_oldest_request_the_first_by_name() -> None:
    live = Live()
    live.ask(DROPPED, 20, run="c")
    live.ask(STRAIGHT, 10, run="b")
    live.ask(DROPPED, 20, run="a")
    assert live.plan.payer(live.plan.paths.take("a")) == "a"


def test_payer_of_a_batch_that_ends_before_anybody_s_request_is_who_waits_behind_it() -> None:
    live = Live()
    for leaves in range(LONG + 10):
        live.ask(Values([*range(leaves), -1 - leaves]), 2 * LONG + leaves)
    batch = live.plan.paths.take("run")
    assert not any(stage.wanted for stage in batch)
    assert {stage.first for stage in batch} == {Wanter("run", LONG + 9)}
    assert live.plan.payer(batch) == "run"


def test_paths_are_those_of_the_plan_as_it_stands() -> None:
    live = Live()
    live.ask(STRAIGHT, 20)
    assert live.plan.paths.ready == 1
    live.ask(Constant(2), 10)
    assert live.plan.paths.ready == 2
    live.ask(DROPPED, 15)
    live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    assert live.plan.paths.ready == 1
    live.plan.tree.keep(1, Place(0, 10))
    live.found(Place(0, 10))
    assert live.plan.paths.ready == 2


def amended(live: Live, record: LeaseRecord, step: int = 0) -> LeaseRecord:
    """The lease as the plan wants it now, with training known to be at `step`."""
    found = live.plan.amendments([record], [Way(record.lease, record.ends, step, record.passes)])
    return found[0] if found else record


def test_lease_is_as_it_was_while_what_follows_from_it_is_waited_for() -> None:
    live = Live()
    live.ask(STRAIGHT, 10)
    record = live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    live.ask(STRAIGHT, 15)
    assert amended(live, record) is record
    live.plan.tree.let_go(Place(0, 10), Wanter("run", 0))
    after = amended(live, record)
    assert (after.ends, after.measured, after.amendment) == (record.ends, (), 1)
    live.plan.tree.let_go(Place(0, 15), Wanter("run", 1))
    assert amended(live, after).ends == ()
    assert live.plan.tree.promises == {Place(0, 10): 1}, "what it leaves behind is known when it has left"


def test_boundary_asked_for_inside_a_running_stage_is_promised_unless_training_has_passed_it() -> None:
    live = Live()
    live.ask(STRAIGHT, 10)
    record = live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    live.ask(STRAIGHT, 8)
    late = live.ask(STRAIGHT, 3)
    after = amended(live, record, step=4)
    assert after.ends == ((0, 0, 8), (0, 8, 10))
    assert after.measured == ((0, 8), (0, 10))
    assert live.plan.tree.promises == {Place(0, 8): 1, Place(0, 10): 1}
    assert [stage.place for stage in build(live.plan.tree)] == [late]
    assert [(s.end, s.metrics) for s in live.plan.amend(after).stages] == [(8, True), (10, True)]


def test_branch_off_a_running_stage_makes_it_stop_there_unmeasured() -> None:
    live = Live()
    live.ask(STRAIGHT, 20)
    record = live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    live.ask(DROPPED, 15)
    after = amended(live, record)
    assert (after.ends, after.measured) == (((0, 0, 10), (0, 10, 20)), ((0, 20),))
    assert [(s.start, s.end, s.waiting) for s in build(live.plan.tree)] == [(10, 15, True)]


def test_batch_passes_where_nobody_else_starts_until_somebody_does() -> None:
    live = Live()
    live.ask(DROPPED, 20)
    record = live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    assert (record.ends, record.passes) == (((0, 0, 10), (1, 10, 20)), ((0, 10),))
    assert live.plan.tree.promises == {Place(1, 20): 1}
    assert [stage.boundary for stage in live.plan.granted(record)] == [False, True]
    live.ask(DROPPED, 15)
    after = amended(live, record)
    assert (after.ends, after.passes) == (((0, 0, 10), (1, 10, 15), (1, 15, 20)), ((0, 10),))
    live.ask(MultiStep(1, [10], 0.5), 15)
    branched = amended(live, after, step=10)
    assert (branched.ends, branched.passes, branched.amendment) == (after.ends, (), 2)
    assert live.plan.tree.promises == {Place(0, 10): 1, Place(1, 15): 1, Place(1, 20): 1}
    live.plan.tree.let_go(Place(2, 15), Wanter("run", 2))
    passing = amended(live, branched)
    assert (passing.ends, passing.passes) == (after.ends, ((0, 10),))
    assert Place(0, 10) not in live.plan.tree.promises


def test_pass_that_training_has_left_behind_is_no_boundary_for_who_branches_there() -> None:
    live = Live()
    live.ask(DROPPED, 20)
    record = live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    live.ask(MultiStep(1, [10], 0.5), 15)
    assert amended(live, record, step=12) is record
    assert [stage.place for stage in build(live.plan.tree) if stage.ready] == [Place(0, 10)]


def test_batch_is_left_where_nothing_follows_a_pass_that_training_has_left_behind() -> None:
    live = Live()
    asked = live.ask(DROPPED, 20)
    record = live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    live.ask(MultiStep(1, [10], 0.5), 15)
    live.plan.tree.let_go(asked, Wanter("run", 0))
    assert live.plan.needed(Place(0, 10))
    after = amended(live, record, step=12)
    assert (after.ends, after.passes) == ((), ())


def test_of_two_batches_the_one_that_only_passes_is_left_as_it_is_where_the_other_meets_what_is_asked() -> None:
    live = Live()
    live.ask(DROPPED, 20)
    first = live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    live.plan.tree.promise(2, [live.ask(DROPPED, 18)])
    second = msgspec.structs.replace(first, lease=2, ends=((0, 0, 10), (1, 10, 18)))
    wanted = live.ask(DROPPED, 15)
    ways = [Way(each.lease, each.ends, 0, each.passes) for each in (first, second)]
    (amended,) = live.plan.amendments([first, second], ways)
    assert (amended.lease, amended.ends) == (2, ((0, 0, 10), (1, 10, 15), (1, 15, 18)))
    assert live.plan.tree.promises == {Place(1, 20): 1, Place(1, 18): 2, wanted: 2}


def test_seconds_of_nodes_that_were_passed_become_their_estimates() -> None:
    live = Live()
    live.ask(DROPPED, 20)
    way = list(live.plan.tree.since(Place(1, 20), 0))
    live.plan.learn(Notice("t", 1, 1, 1, 20, 20, "digest", 5.0, 0.0, None, FILE, [20.0]), way, Turn())
    assert [live.plan.estimates.stage_s(node, 2) for node in (0, 1)] == [4.0, 1.0]


def test_batch_is_needed_where_it_is_asked_for_and_where_something_waits_to_start() -> None:
    live = Live()
    live.ask(STRAIGHT, 5)
    live.ask(STRAIGHT, 15)
    live.ask(DROPPED, 20)
    live.plan.tree.promise(1, [Place(0, 3), Place(0, 5), Place(0, 10), Place(0, 15)])
    assert [step for step in range(1, 20) if live.plan.needed(Place(0, step))] == [5, 10, 15]


def test_request_at_a_promised_place_that_nobody_measured_is_measured_there() -> None:
    live = Live()
    live.ask(DROPPED, 20)
    record = live.plan.lease(1, live.plan.paths.take("run"), "trainer", "node", 0.0)
    assert record.measured == ((1, 20),)
    live.ask(STRAIGHT, 10)
    assert amended(live, record).measured == ((0, 10), (1, 20))


def test_measured_seconds_become_estimates() -> None:
    live = Live()
    live.ask(STRAIGHT, 10)
    node = live.plan.tree.nodes[0]
    live.plan.learn(Notice("t", 1, 1, 0, 10, 10, "digest", 5.0, 0.5, None, FILE), [(node, 0, 10)], Turn())
    live.plan.learn(Notice("t", 2, 1, 0, 10, 10, "digest", 0.0, 9.0, None, None), [], Turn())
    assert live.plan.estimates.stage_s(0, 4) == 2.5


def test_path_goes_upwards_with_the_step_where_each_node_is_left() -> None:
    live = Live()
    at = live.ask(DROPPED, 20)
    assert [(node.number, step) for node, step in path_to(live.plan.tree.nodes[at.node], 20)] == [(1, 20), (0, 10)]
