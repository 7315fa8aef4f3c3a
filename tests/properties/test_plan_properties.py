"""Random trials and histories: what is shared, what is left to train, what is counted, and what comes back.

The oracle of sharing is a trie of values, step by step; that of the stage tree walks down from each request one step at
a time; that of the counts adds up what the trainers did.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hive.actors.books import Books
from hive.actors.coordinator import CoordinatorSettings
from hive.actors.messages import Amend, Collect, Collected, SessionBeat, StudyCommand
from hive.actors.plans import LivePlan, path_to
from hive.planner.estimates import Estimates
from hive.planner.search_plan import Node, Place, SearchPlan, Standing, Wanter
from hive.planner.sequences import Constant, MultiStep, Piecewise
from hive.planner.shared_paths import SharedPaths
from hive.planner.space import Config, segments
from hive.planner.stage_tree import Stage, build
from hive.storage.records import NOWHERE
from tests.actors.clients import assert_adds_up, repeated
from tests.actors.lockstep import HandTrainer, Lockstep
from tests.planner.strategies import constant_sequences, often, trials

Trial = tuple[Config, int]


# -- sharing --------------------------------------------------------------------------------------------------------


def prefixes(config: Config, steps: int) -> list[str]:
    """By step: all values of all steps up to it, types included."""
    known, text = [], ""
    for step in range(steps):
        text += json.dumps({name: sequence(step) for name, sequence in sorted(config.items())}) + "\n"
        known.append(text)
    return known


def plan_of(asked: list[Trial], *, lanes: bool = False) -> tuple[SearchPlan, list[Place]]:
    plan = SearchPlan()
    places = []
    for trial, (config, steps) in enumerate(asked):
        place, _ = plan.place(segments(config, steps), trial if lanes else None)
        plan.want(place, Wanter("run", trial), trial)
        places.append(place)
    return plan, places


def steps_of(plan: SearchPlan, place: Place) -> list[tuple[int, int]]:
    """The (node, step) that a place's path goes through, in order."""
    path = list(path_to(plan.nodes[place.node], place.step))
    return [(node.number, step) for node, end in reversed(path) for step in range(node.start, end)]


@often
@given(trials())
def test_shared_steps_had_bitwise_equal_values_of_everything_before(asked: list[Trial]) -> None:
    plan, places = plan_of(asked)
    values_of: dict[tuple[int, int], str] = {}
    for (config, steps), place in zip(asked, places, strict=True):
        for step, prefix in zip(steps_of(plan, place), prefixes(config, steps), strict=True):
            assert values_of.setdefault(step, prefix) == prefix


@often
@given(trials(constant_sequences()))
def test_piecewise_constant_trials_share_every_step_that_can_be_shared(asked: list[Trial]) -> None:
    plan, places = plan_of(asked)
    distinct = {step for place in places for step in steps_of(plan, place)}
    assert len(distinct) == len({prefix for config, steps in asked for prefix in prefixes(config, steps)})


@often
@given(trials(), st.randoms(use_true_random=False))
def test_order_of_asking_does_not_change_what_is_shared(asked: list[Trial], random: Random) -> None:
    shuffled = list(asked)
    random.shuffle(shuffled)
    assert tree_shape(plan_of(asked)[0]) == tree_shape(plan_of(shuffled)[0])


def tree_shape(plan: SearchPlan) -> Counter[tuple[str, ...]]:
    """The nodes by their way from the root, and the steps wanted there."""

    def way(node: Node) -> tuple[str, ...]:
        forms = ",".join(f"{name}={form.key}" for name, form in sorted(node.forms.items()))
        here = f"{node.start} {forms}"
        return (here,) if node.parent is None else (*way(node.parent), here)

    wanted = [(*way(plan.nodes[place.node]), str(place.step)) for place in plan.pending]
    return Counter([way(node) for node in plan.nodes] + wanted)


@often
@given(trials())
def test_lanes_share_nothing(asked: list[Trial]) -> None:
    plan, places = plan_of(asked, lanes=True)
    assert len({step for place in places for step in steps_of(plan, place)}) == sum(steps for _, steps in asked)


# -- the stage tree -------------------------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> SearchPlan:
    """A plan with trials, and standings and promises wherever."""
    asked = draw(trials())
    plan, places = plan_of(asked)
    own = sorted({Place(n, step + 1) for place in places for n, step in steps_of(plan, place)})
    spots = st.lists(st.sampled_from(own), max_size=4)
    for place in draw(spots):
        metrics = draw(st.sampled_from([None, {"score": 1.0}]))
        plan.record(place, Standing("file", "digest", metrics))
        if metrics is not None:
            plan.take(place)
    for lease, place in enumerate(draw(spots)):
        plan.promise(lease, [place])
    return plan


def steps_left(plan: SearchPlan, place: Place) -> Iterator[tuple[int, int]]:
    """What must be trained for a request, one step at a time, downwards."""
    node: Node | None = plan.nodes[place.node]
    step = place.step
    while node is not None and not plan.reached(Place(node.number, step)):
        step -= 1
        yield node.number, step
        if step == node.start:
            node = node.parent


def starts_right(plan: SearchPlan, stage: Stage, stages: dict[Place, Stage]) -> bool:
    if stage.origin is None:
        return stage.ready and stage.start == 0 and stage.node.parent is None
    if stage.origin.step in plan.nodes[stage.origin.node].standings:
        return stage.ready
    if stage.origin in plan.promises:
        return stage.waiting and not stage.ready
    return stage.parent is stages[stage.origin] and stage in stage.parent.children


@often
@given(plans())
def test_each_wanted_step_is_in_one_stage_and_each_stage_starts_where_it_can(plan: SearchPlan) -> None:
    tree = build(plan)
    stages = {stage.place: stage for stage in tree}
    asked = [place for place in plan.pending if place not in plan.promises]
    wanted = {step for place in asked for step in steps_left(plan, place)}
    covered = [(s.node.number, step) for s in tree for step in range(s.start, s.end)]
    assert len(covered) == len(set(covered))
    assert set(covered) == wanted
    assert len(stages) == len(tree)
    assert set(asked) <= set(stages)
    assert all(starts_right(plan, stage, stages) for stage in tree)
    leaves = {stage.place for stage in tree if not stage.children}
    assert leaves <= set(asked)


@often
@given(plans())
def test_stages_end_at_every_branch_that_is_wanted_and_nowhere_else(plan: SearchPlan) -> None:
    tree = build(plan)
    asked = {place for place in plan.pending if place not in plan.promises}
    wanted = {step for place in asked for step in steps_left(plan, place)}
    branches = {
        Place(node.parent.number, node.start)
        for node in plan.nodes
        if node.parent is not None and (node.number, node.start) in wanted
    }
    trained = {branch for branch in branches if not plan.reached(branch)}
    assert {stage.place for stage in tree} == asked | trained


@often
@given(trials())
def test_plan_worked_to_the_end_leaves_a_checkpoint_at_each_request_and_branch_point_and_nowhere_else(
    asked: list[Trial],
) -> None:
    plan, places = plan_of(asked)
    paths = SharedPaths(plan, Estimates(plan), str)
    for lease in range(sum(steps for _, steps in asked)):
        batch = [stage.place for stage in paths.take("run") if stage.boundary]
        plan.promise(lease, batch)
        for place in batch:
            plan.record(place, Standing("file", "digest", {"score": 1.0}))
            plan.keep(lease, place)
            plan.take(place)
    steps = {step for place in places for step in steps_of(plan, place)}
    after = Counter(Place(n, step) for n, step in steps if step > plan.nodes[n].start)  # what starts under its own node
    after.update(Place(n.parent.number, n.start) for n in plan.nodes if n.parent is not None)
    branches = {place for place, ways in after.items() if ways > 1}
    assert {Place(n.number, step) for n in plan.nodes for step in n.standings} == branches | set(places)


# -- histories ------------------------------------------------------------------------------------------------------

RUNS = ("a", "b")
POOL: list[Config] = [
    {"lr": Constant(1)},
    {"lr": MultiStep(1, [3], 0.1)},
    {"lr": MultiStep(1, [3, 6], 0.1)},
    {"lr": MultiStep(1, [6], 0.1)},
    {"lr": Piecewise([1, 2], [6])},
    {"lr": Constant(2)},
]

requests = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=4)
asks = st.tuples(st.just("ask"), st.sampled_from(RUNS), requests)
releases = st.tuples(st.just("release"), st.sampled_from(RUNS), st.integers(0, 5))
announces = st.tuples(st.just("announce"), st.sampled_from(RUNS), st.sets(st.integers(0, 5), min_size=1))
trains = st.tuples(st.just("train"), st.integers(0, 2), st.integers(1, 6))
moves = st.tuples(st.sampled_from(["save", "lose", "beat", "deaf"]), st.integers(0, 2), st.none())
fails = st.tuples(st.just("fail"), st.integers(0, 2), st.none())
restarts = st.tuples(st.just("restart"), st.none(), st.none())
commands = st.tuples(st.sampled_from(["pause", "resume"]), st.sampled_from(RUNS), st.none())
harmless = st.lists(
    st.one_of(asks, asks, announces, trains, trains, trains, moves, restarts, commands), min_size=3, max_size=25
)
anything = st.lists(
    st.one_of(asks, asks, announces, trains, trains, trains, moves, releases, fails, restarts, commands), max_size=25
)


limits = st.sampled_from([0, 0, 1, 3])
"""Bytes that all checkpoints may take, of one byte each; 0 for no limit."""


class History:
    """A coordinator, three trainers moved by hand, two runs, and what they were told."""

    def __init__(self, bytes_max: int = 0) -> None:
        self.lockstep = Lockstep(CoordinatorSettings(attempts_max=1000, checkpoint_bytes_max=bytes_max))
        for run in RUNS:
            self.lockstep.open(run, study=f"study {run}")
        self.born = 0
        self.trainers = [self.birth() for _ in range(3)]
        self.wanted: set[tuple[str, int, int]] = set()

    def birth(self) -> HandTrainer:
        self.born += 1
        trainer = self.lockstep.trainer(f"node/0/{self.born}")
        trainer.step_s = 1.0
        return trainer

    def apply(self, op: tuple[str, object, object]) -> None:
        match op:
            case ("ask", str(run), list(wanted)):
                self.lockstep.ask(run, *[(trial, POOL[trial], step) for trial, step in wanted])
                self.wanted |= {(run, trial, step) for trial, step in wanted}
            case ("announce", str(run), set(announced)):
                self.lockstep.announce(run, *[(trial, POOL[trial]) for trial in sorted(announced)])
            case ("release", str(run), int(trial)):
                self.lockstep.release(run, trial)
                self.wanted = {w for w in self.wanted if w[:2] != (run, trial)}
            case ("restart", _, _):
                self.lockstep.restart()
            case ("pause" | "resume" as action, str(run), _):
                self.lockstep.say("person", StudyCommand(run, action))
                self.lockstep.say(run, SessionBeat(run, 0))
            case (what, int(number), steps):
                self.move(str(what), number, steps)

    def move(self, what: str, number: int, steps: object) -> None:
        trainer = self.trainers[number]
        if what == "deaf":
            self.lockstep.heard(trainer.name, Amend)  # lost on its way
        elif what == "beat" or not trainer.take():
            trainer.beat()
        elif what == "train" and isinstance(steps, int):
            if not trainer.stop_if_told() and trainer.heed():
                trainer.train(steps)
        elif what == "save" and trainer.steps_run > trainer.noted:
            trainer.reach()
        elif what == "fail":
            trainer.end(error="Boom")
        elif what == "lose":
            trainer.exit()
            self.trainers[number] = self.birth()

    def finish(self) -> None:
        """Every run is resumed, and all trainers train until nothing is left to do."""
        for run in RUNS:
            self.apply(("resume", run, None))
        for _ in range(200):
            for trainer in self.trainers:
                trainer.beat()
                if trainer.take() and not trainer.stop_if_told() and trainer.heed():
                    trainer.train()
            if not self.lockstep.books.leases.leases and not any(p.tree.pending for p in self.plans()):
                return
        raise AssertionError("the trainers never finish")

    def plans(self) -> list[LivePlan]:
        return list(self.lockstep.books.plans.values())

    def assert_same_when_loaded(self) -> None:
        """What the store says is what the coordinator knows."""
        live = self.lockstep.books
        loaded = Books(self.lockstep.store, self.lockstep.now, 30.0, NOWHERE)
        assert facts(loaded) == facts(live)


def facts(books: Books) -> object:
    """All that must not be forgotten."""
    trees = {
        name: (
            [(n.number, n.parent and n.parent.number, n.start, n.forms, n.lane, n.trained_to) for n in plan.tree.nodes],
            [(n.standings, n.requests) for n in plan.tree.nodes],
            [(step, request.order) for n in plan.tree.nodes for step, request in sorted(n.requests.items())],
            (plan.tree.roots.keys(), plan.tree.children.keys()),
            (set(plan.tree.pending), plan.tree.promises, plan.standings),
        )
        for name, plan in books.plans.items()
    }
    runs = {
        name: (
            (run.record, run.asked, run.reach, run.wants, run.journal, sorted(w.order for w in run.open)),
            (run.announced, {w: a.asked for w, a in books.plans[run.record.plan].anticipation.announced.items()}),
        )
        for name, run in books.runs.items()
    }
    leases = {number: lease.record for number, lease in books.leases.leases.items()}
    return trees, runs, leases, books.losses, books.counters


@often
@given(anything, limits)
def test_whatever_happened_the_store_knows_it_and_the_frontier_is_that_of_a_new_tree(
    ops: list[tuple[str, object, object]], bytes_max: int
) -> None:
    history = History(bytes_max)
    for op in ops:
        history.apply(op)
        history.assert_same_when_loaded()
        for plan in history.lockstep.books.plans.values():
            tree = build(plan.tree)
            assert sorted(plan.paths.all.stages()) == sorted((stage.place, stage.start) for stage in tree)
            assert plan.paths.ready == sum(stage.ready for stage in tree)


@often
@given(anything, limits)
def test_whatever_happened_all_that_is_still_wanted_is_answered_and_the_first_record_stands(
    ops: list[tuple[str, object, object]], bytes_max: int
) -> None:
    history = History(bytes_max)
    first: dict[tuple[int, int], str] = {}
    for op in ops:
        history.apply(op)
        for plan in history.lockstep.books.plans.values():
            for place, record in plan.standings.items():
                assert first.setdefault(place, record.digest) == record.digest
    history.finish()
    for run in RUNS:
        answers = history.lockstep.answers(run)
        assert [answer.number for answer in answers] == list(range(1, len(answers) + 1))
        told = {(run, answer.trial, answer.step) for answer in answers}
        assert {wanted for wanted in history.wanted if wanted[0] == run} <= told


@often
@given(harmless, limits)
def test_without_failures_the_counts_of_each_run_add_up_and_all_of_them_are_what_was_trained(
    ops: list[tuple[str, object, object]], bytes_max: int
) -> None:
    history = History(bytes_max)
    for op in ops:
        history.apply(op)
    history.finish()
    lockstep = history.lockstep
    counts = [lockstep.books.runs[run].record.counts for run in RUNS]
    for run, count in zip(RUNS, counts, strict=True):
        asked = {(trial, step) for name, trial, step in history.wanted if name == run}
        furthest = {trial: max(step for t, step in asked if t == trial) for trial, _ in asked}
        trie = {prefix for trial, steps in furthest.items() for prefix in prefixes(POOL[trial], steps)}
        assert (count.trials_asked, count.steps_asked) == (len(furthest), sum(furthest.values()))
        assert count.steps_distinct == len(trie)
        assert_adds_up(count)
    distinct = sum(plan.tree.trained_steps() for plan in lockstep.books.plans.values())
    assert sum(count.steps_run for count in counts) == lockstep.noted_steps + lockstep.lost_steps
    assert sum(count.failure for count in counts) == lockstep.lost_steps
    assert sum(repeated(count) for count in counts) == lockstep.noted_steps + lockstep.lost_steps - distinct


@often
@given(anything)
def test_whatever_is_given_up_each_trial_that_may_go_on_could_start_from_where_it_could_before(
    ops: list[tuple[str, object, object]],
) -> None:
    """The oracle walks down from each trial's last step, one step at a time."""
    history = History()
    for op in ops:
        history.apply(op)
    lockstep = history.lockstep
    (plan,) = history.plans()

    def beginnings() -> dict[tuple[str, int], Place | None]:
        return {
            (run, trial): next(
                (p for p in walked_down(plan, trial, step) if plan.tree.nodes[p.node].stands(p.step)), None
            )
            for run in RUNS
            for trial, step in lockstep.books.runs[run].asked.items()
            if trial not in lockstep.books.runs[run].released
        }

    def states() -> int:
        return sum(len(node.states()) for node in plan.tree.nodes)

    before, there = beginnings(), states()
    lockstep.say("person", Collect())
    lockstep.list_files()
    (found,) = lockstep.heard("person", Collected)
    assert beginnings() == before
    assert states() == there - found.files
    assert len(lockstep.delete_files()) == found.files + found.orphans
    named = {file.name for record in plan.standings.values() if (file := record.checkpoint) is not None}
    assert named <= lockstep.files.keys()


def walked_down(plan: LivePlan, trial: int, step: int) -> Iterator[Place]:
    """The places on the way of a trial, from its last step down."""
    place, _ = plan.tree.place(segments(POOL[trial], step))
    for node, end in path_to(plan.tree.nodes[place.node], place.step):
        yield from (Place(node.number, at) for at in range(end, node.start, -1))
