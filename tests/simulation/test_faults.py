"""Seeds that draw what goes wrong: every promise holds, everything really happens, and each check fires when it should.

`HIVE_FAULT_SEEDS=100 pytest tests/simulation/test_faults.py` runs fewer; `make faults` 20,000.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hive.actors.actor import Commit, Effect, Send
from hive.actors.faults import KINDS
from hive.actors.messages import MESSAGES, Amended, Noted, Notice, Told
from hive.planner.running import Way
from hive.simulation import promises
from hive.simulation.campaign import Report, Violation, campaign
from hive.simulation.coverage import IMPOSSIBLE, RARE, cells
from hive.simulation.life import Outcome
from hive.simulation.promises import BrokenError
from hive.storage.records import CheckpointFile, LeaseRecord, RunCounts, StandingRecord
from hive.storage.store import Put

SEEDS = int(os.environ.get("HIVE_FAULT_SEEDS", "1000"))

WEATHER = ("dropped", "repeated", "delayed", "overtaken", "much later", "cut off")

JOBS = ("report late", "report twice", "job raises", "checkpoint not written", "metrics no number")

HAPPENS = {
    *KINDS,
    *(f"message {what}" for what in WEATHER),
    *JOBS,
    "timer late",
    "trainer broken",
    "trainer does not start",
}
"""All kinds of faults."""

REACHED = [
    ("Notice", "coordinator, lease over"),
    ("LeaseEnded", "coordinator, lease over"),
    ("Amended", "coordinator, lease out"),
    ("Grant", "trainer, busy"),
    ("Grant", "trainer, idle"),
    ("Amend", "trainer, busy"),
    ("StopLease", "trainer, idle"),
    ("Grant", "trainer, leaving"),
    ("Ask", "coordinator, run open"),
    ("OpenRun", "coordinator, run open"),
    ("OpenRun", "coordinator, run unknown"),
    ("Opened", "session, open"),
    ("StartTrainer", "node, welcomed"),
    ("Curve", "aggregator"),
]
"""Deliveries that are rare, or matter."""


@pytest.fixture(scope="module")
def report() -> Report:
    return campaign(range(SEEDS))


def test_no_seed_breaks_a_promise(report: Report) -> None:
    assert [str(violation) for violation in report.violations] == []
    assert report.seeds == SEEDS == len(report.healed_s)


def test_same_seed_gives_the_same_turns_in_another_process(report: Report) -> None:
    assert report.differed == []
    assert report.repeated >= SEEDS // 20


def test_each_kind_of_fault_really_happens(report: Report) -> None:
    assert report.faults.keys() >= HAPPENS
    assert all(report.hit[kind] <= report.faults[kind] for kind in HAPPENS)


def test_messages_reach_actors_in_the_states_that_matter(report: Report) -> None:
    table = report.coverage
    assert [cell for cell in REACHED if not table.get(cell[0], {}).get(cell[1])] == []


def test_each_message_reaches_each_state_of_whom_it_is_for_or_it_is_said_why_not(report: Report) -> None:
    assert {cell for cell, why in report.unreached.items() if not why} == set()
    assert report.delivered.keys() <= set(cells())
    assert report.delivered.keys() & IMPOSSIBLE.keys() == set()
    assert IMPOSSIBLE.keys() | RARE.keys() <= set(cells())
    assert not IMPOSSIBLE.keys() & RARE.keys()


def test_cells_are_of_all_that_travels_between_actors_save_what_people_are_answered() -> None:
    answers = {"Curves", "Status", "StudyDone", "Collected", "Pinned"}
    assert {kind for kind, _ in cells()} == {message.__name__ for message in MESSAGES} - answers


def test_report_is_plain_values_with_a_count_of_each_kind(report: Report) -> None:
    said = report.to_json()
    assert (said["seeds"], said["violations"], said["differed"]) == (SEEDS, 0, 0)
    assert said["repeated"] == report.repeated
    assert said["faults"]["pause"] == report.faults["pause"]
    assert all(cell["why"] for cell in said["unreached"])
    assert said["messages"]["Notice"] == sum(said["coverage"]["Notice"].values())
    assert said["virtual_s"] > 60.0 * SEEDS
    assert said["wall_s"] > 0


def outcome(seed: int, broken: tuple[str, str] | None = None, digest: str = "") -> Outcome:
    return Outcome(seed, broken, Counter({"pause": 2}), Counter({("Ask", "coordinator"): 3}), digest, 60.0, None)


def test_violation_says_which_promise_what_broke_it_and_the_command_that_repeats_it() -> None:
    report = Report()
    report.add(outcome(7, ("P3", "told twice")))
    report.compare(outcome(7, digest="one"), outcome(7, digest="other"))
    assert report.violations == [Violation(7, "P3", "told twice")]
    assert "hive simulate faults --seeds 7-7" in str(report.violations[0])
    said = report.to_json()
    assert (said["violations"], said["repeated"], said["differed"]) == (1, 1, 1)
    assert said["broken"][0]["command"] == "hive simulate faults --seeds 7-7"


def test_campaign_of_no_seeds_is_empty() -> None:
    assert campaign(range(0)).to_json()["seeds"] == 0


# -- each check fires when it should ----------------------------------------------------------------------------------


FILE = CheckpointFile("a", 1)
STANDING = StandingRecord("plan", 0, 3, FILE, "digest", {"score": 1.0})
NOTICE = Notice("trainer", 1, 7, 0, 3, 3, "digest")
COUNTS = RunCounts(steps_distinct=10, steps_reused=2, steps_run=9, failure=1)


NAN = float("nan")


def told(step: int = 3, error: str | None = None, score: float = 1.0) -> Told:
    if error is not None:
        return Told("run", 1, 0, step, error=error)
    return Told("run", 1, 0, step, {"score": score}, "digest")


def standing(**changes: Any) -> StandingRecord:
    fields = {name: getattr(STANDING, name) for name in STANDING.__struct_fields__}
    return StandingRecord(**{**fields, **changes})


def answers(told: Sequence[Told], asked: int = 1, released: Sequence[int] = ()) -> Callable[[], None]:
    return lambda: promises.answered_once({(0, 3): asked}, released, told, lambda error: error == "Boom")


def old_notice(lease: int, *effects: Effect) -> Callable[[], None]:
    return lambda: promises.old_notice_changes_nothing(NOTICE, {lease}, effects)


def stands(before: StandingRecord | None, after: StandingRecord) -> Callable[[], None]:
    return lambda: promises.first_record_stands(before, after)


def files(there: bool) -> Callable[[], None]:
    return lambda: promises.files_are_there([Put(STANDING)], lambda record: there)


def noted(notice: Notice, standing: StandingRecord | None) -> Callable[[], None]:
    return lambda: promises.noted_stands(notice, standing)


def granted(way: Way) -> Callable[[], None]:
    return lambda: promises.granted_once(((0, 2, 6),), [way])


def ahead(noted: int, *ends: tuple[int, int, int]) -> Callable[[], None]:
    lease = LeaseRecord(7, "plan", "trainer", "node", "run", None, ends, None, 0.0, noted=noted)
    return lambda: promises.promises_are_ahead(Amended("trainer", 2, 7, 1, 5), lease)


FOUND = Commit((Put(STANDING),))
WRITTEN = Notice("trainer", 1, 7, 0, 3, 3, "digest", metrics={"score": 1.0}, checkpoint=FILE)

KEPT: list[Callable[[], None]] = [
    answers([told()]),
    answers([told(error="Boom")]),
    answers([told(), told()], asked=2),
    answers([told()], asked=2),
    answers([], released=[0]),
    stands(None, STANDING),
    stands(STANDING, STANDING),
    stands(STANDING, standing(checkpoint=None)),
    stands(standing(metrics=None, checkpoint=None), STANDING),
    stands(standing(metrics={"score": float("nan")}), standing(metrics={"score": float("nan")})),
    old_notice(7, FOUND),
    old_notice(8, Send("trainer", Noted(1, 7))),
    old_notice(8, Commit((Put(standing(checkpoint=None)),))),
    noted(WRITTEN, STANDING),
    noted(WRITTEN, standing(checkpoint=None)),
    noted(NOTICE, None),
    granted(Way(1, ((0, 0, 3), (1, 3, 9)), 1, ((0, 3),))),
    granted(Way(1, ((0, 0, 3), (0, 3, 9)), 3)),
    granted(Way(1, ((0, 0, 2), (1, 2, 5)), 0)),
    ahead(2, (0, 2, 5), (0, 5, 9)),
    ahead(1, (0, 2, 4), (0, 4, 9)),
    lambda: promises.told_in_order("run", 2, 3),
    lambda: promises.told_again("run", [1, 2], [1, 2, 3]),
    lambda: promises.restart_changes_nothing({"wants": 1}, {"wants": 1}),
    files(there=True),
    lambda: promises.no_start_is_given_up(["a", "b"], ["c", None]),
    lambda: promises.adds_up("run", COUNTS),
    lambda: promises.as_if_alone("run", told(), "digest", {"score": 1.0}),
    lambda: promises.as_if_alone("run", told(score=NAN), "digest", {"score": float("nan")}),
    lambda: promises.as_if_alone("run", told(error="Boom"), "other", {}),
    lambda: promises.goes_on(wanted=True, done_before=1, done_after=2, seconds=60.0),
    lambda: promises.goes_on(wanted=False, done_before=1, done_after=1, seconds=60.0),
]

BROKEN: list[tuple[str, Callable[[], None]]] = [
    ("P1", answers([])),
    ("P1", answers([told(), told()])),
    ("P1", answers([told(), told(4)])),
    ("P1", answers([told(error="the trainer was lost")])),
    ("P1", answers([Told("run", 1, 0, 3)])),
    ("P1", noted(WRITTEN, None)),
    ("P1", noted(WRITTEN, standing(metrics=None))),
    ("P2", stands(STANDING, standing(digest="other"))),
    ("P2", stands(STANDING, standing(metrics={"score": 2.0}))),
    ("P2", stands(STANDING, standing(metrics=None))),
    ("P2", stands(STANDING, standing(checkpoint=CheckpointFile("b", 1)))),
    ("P2", old_notice(8, FOUND)),
    ("P3", lambda: promises.told_in_order("run", 2, 4)),
    ("P3", lambda: promises.told_in_order("run", 2, 2)),
    ("P3", lambda: promises.told_again("run", [1, 2], [2, 1, 3])),
    ("P3", lambda: promises.told_again("run", [1, 2], [1])),
    ("P4", lambda: promises.restart_changes_nothing({"wants": 1}, {"wants": 2})),
    ("P5", files(there=False)),
    ("P5", lambda: promises.no_start_is_given_up(["a", "b"], ["b", None])),
    ("P6", lambda: promises.adds_up("run", RunCounts(steps_distinct=10, steps_run=11, evicted=2))),
    ("P6", granted(Way(1, ((0, 0, 3), (0, 3, 9)), 2))),
    ("P6", granted(Way(1, ((0, 2, 6),), 2))),
    ("P7", lambda: promises.as_if_alone("run", told(), "other", {"score": 1.0})),
    ("P7", lambda: promises.as_if_alone("run", told(), "digest", {"score": 2.0})),
    ("P7", lambda: promises.as_if_alone("run", told(score=NAN), "digest", {"score": 1.0})),
    ("P7", lambda: promises.as_if_alone("run", told(), "digest", {"score": NAN})),
    ("P8", ahead(2, (0, 2, 4), (0, 4, 9))),
    ("P8", lambda: promises.goes_on(wanted=True, done_before=1, done_after=1, seconds=60.0)),
]


@pytest.mark.parametrize("check", KEPT)
def test_check_passes_what_keeps_the_promise(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(("promise", "check"), BROKEN)
def test_check_finds_what_breaks_the_promise(promise: str, check: Callable[[], None]) -> None:
    with pytest.raises(BrokenError) as caught:
        check()
    assert caught.value.promise == promise
