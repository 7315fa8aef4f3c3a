"""Checkpoints beyond the bytes: which go, what is told and counted then, and that no file is lost or left behind.

Every checkpoint here is of one byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from hive.actors import upkeep
from hive.actors.coordinator import CoordinatorSettings
from hive.actors.messages import Collect, Collected, Pin, Pinned, Refused, TrainerExited
from hive.actors.plans import evicted_to
from hive.planner.retention import Holding, given_up
from hive.planner.search_plan import Place
from hive.planner.sequences import Constant, MultiStep, Sequence
from hive.storage.records import DoomedRecord, PinRecord, StandingRecord
from tests.actors.clients import assert_adds_up
from tests.actors.lockstep import DROPPED, OTHER, STRAIGHT, HandTrainer, Lockstep, stages, told


def bounded(bytes_max: int, **opened: str) -> tuple[Lockstep, HandTrainer]:
    """A coordinator with one open run and one idle trainer."""
    lockstep = Lockstep(CoordinatorSettings(checkpoint_bytes_max=bytes_max))
    lockstep.open(**opened)
    return lockstep, lockstep.trainer()


def train(trainer: HandTrainer) -> None:
    """Until nothing is left to do."""
    while trainer.take():
        trainer.train()


def states(lockstep: Lockstep) -> list[tuple[int, int]]:
    """The places whose records name a file."""
    return sorted((r.node, r.step) for r in lockstep.store.scan(StandingRecord) if r.checkpoint is not None)


def trained(bytes_max: int, *steps: int, **opened: str) -> tuple[Lockstep, HandTrainer]:
    """One trial, trained to these steps in turn."""
    lockstep, trainer = bounded(bytes_max, **opened)
    for step in steps:
        lockstep.ask("run", (0, STRAIGHT, step))
        train(trainer)
    return lockstep, trainer


def collected(lockstep: Lockstep, to: int | None = None, *, dry_run: bool = False) -> Collected:
    """What a person is answered."""
    lockstep.say("person", Collect(to, dry_run))
    lockstep.list_files()
    (found,) = lockstep.heard("person", Collected)
    return found


def collect(lockstep: Lockstep, to: int | None = None, *, dry_run: bool = False) -> tuple[int, int, int]:
    found = collected(lockstep, to, dry_run=dry_run)
    return found.files, found.freed, found.left


def orphans(lockstep: Lockstep, *, dry_run: bool = False) -> tuple[int, int]:
    """How many files nobody names, and their bytes."""
    found = collected(lockstep, dry_run=dry_run)
    assert found.files == 0, "no record lost its file"
    return found.orphans, found.orphan_bytes


def test_nothing_goes_while_there_is_room() -> None:
    for bytes_max in (0, 3):
        lockstep, _ = trained(bytes_max, 5, 10, 15)
        assert states(lockstep) == [(0, 5), (0, 10), (0, 15)]
        assert lockstep.delete_files() == []


def test_states_from_which_no_trial_could_go_on_make_room_for_others() -> None:
    lockstep, _ = trained(3, 5, 10, 15, 20)
    assert states(lockstep) == [(0, 15), (0, 20)]
    assert sorted(lockstep.delete_files()) == ["key-1/0-10-2.safetensors", "key-1/0-5-1.safetensors"]
    assert told(lockstep) == [(0, 5, None), (0, 10, None), (0, 15, None), (0, 20, None)]


def test_what_was_measured_at_a_state_that_went_is_told_without_training() -> None:
    lockstep, trainer = trained(0, 5, 10, 15)
    collect(lockstep)
    lockstep.open("second")
    lockstep.ask("second", (0, STRAIGHT, 10))
    assert told(lockstep, "second") == [(0, 10, None)]
    assert not trainer.take()


def test_branch_where_a_state_went_is_trained_from_further_below_and_counted_as_evicted() -> None:
    lockstep, trainer = trained(0, 5, 10, 15)
    collect(lockstep)
    lockstep.ask("run", (1, DROPPED, 12))
    assert trainer.take()
    assert stages(trainer) == [(0, 0, 10, False), (1, 10, 12, True)]
    train(trainer)
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.evicted, counts.late_branch, counts.steps_run) == (10, 0, 27)
    assert_adds_up(counts)
    assert (0, 10) not in states(lockstep), "nobody else starts there"
    halved, fifth = (dict[str, Sequence](lr=MultiStep(1, [10], factor)) for factor in (0.5, 0.2))
    lockstep.ask("run", (2, halved, 12), (3, fifth, 12))
    train(trainer)
    assert (0, 10) in states(lockstep), "there is one again"


def test_released_trial_needs_its_state_no_more_until_it_is_asked_for_again() -> None:
    lockstep, trainer = bounded(0)
    lockstep.ask("run", (0, STRAIGHT, 10), (1, OTHER, 10))
    train(trainer)
    lockstep.release("run", 0, 1)
    lockstep.ask("run", (1, OTHER, 10))
    lockstep.restart()
    assert collect(lockstep) == (1, 1, 1)
    assert states(lockstep) == [(1, 10)]


def test_announced_trial_needs_the_state_that_it_could_start_from() -> None:
    lockstep, trainer = bounded(0)
    lockstep.announce("run", (7, DROPPED))
    for step in (10, 15):
        lockstep.ask("run", (0, STRAIGHT, step))
        train(trainer)
    lockstep.release("run", 0)
    assert collect(lockstep) == (1, 1, 1)
    assert states(lockstep) == [(0, 10)]
    lockstep.release("run", 7)
    assert collect(lockstep) == (1, 1, 0)


def test_announced_config_that_means_nothing_needs_no_state() -> None:
    lockstep, _ = trained(0, 5, 10, 15)
    lockstep.announce("run", (7, {"unknown": Constant(1)}))
    assert collect(lockstep) == (2, 2, 1)


def test_state_that_a_batch_starts_from_or_has_just_reached_stays() -> None:
    lockstep, trainer = trained(1, 5)
    lockstep.ask("run", (0, STRAIGHT, 10), (0, STRAIGHT, 15))
    assert trainer.take()
    trainer.train(5)
    trainer.beat()
    lockstep.release("run", 0)
    assert states(lockstep) == [(0, 5), (0, 10)]


def test_file_is_doomed_in_the_commit_that_drops_its_record_and_until_it_is_deleted() -> None:
    lockstep, _ = trained(0, 5, 10, 15)
    collect(lockstep)
    doomed = {record.name for record in lockstep.store.scan(DoomedRecord)}
    assert len(doomed) == 2
    lockstep.restart()
    assert set(lockstep.to_delete) == doomed, "a coordinator that did not see them deleted has them deleted again"
    lockstep.delete_files()
    assert list(lockstep.store.scan(DoomedRecord)) == []
    lockstep.restart()
    assert lockstep.delete_files() == []


def test_plan_is_the_same_after_a_restart() -> None:
    lockstep, _ = trained(0, 5, 10, 15)
    collect(lockstep)
    before = lockstep.books.plans["key-1"]
    lockstep.restart()
    after = lockstep.books.plans["key-1"]
    assert (after.standings, after.bytes, after.tree.nodes[0].floors) == (before.standings, 1, (15,))
    assert after.tree.nodes[0].trained_to == before.tree.nodes[0].trained_to == 15


# Pins


def test_best_trial_of_a_study_stays_whatever_it_takes() -> None:
    lockstep, trainer = bounded(1, metric="score")
    lockstep.ask("run", (0, STRAIGHT, 10))
    train(trainer)
    lockstep.ask("run", (1, OTHER, 10))
    train(trainer)
    assert states(lockstep) == [(0, 10)], "the first of two that are equal"
    lockstep.restart()
    lockstep.ask("run", (1, OTHER, 12))
    train(lockstep.trainer("node/0/2"))
    assert [(pin.kind, pin.name, pin.node, pin.step) for pin in lockstep.store.scan(PinRecord)] == [
        ("best", "run", 1, 12)
    ]
    assert (1, 12) in states(lockstep)


def pin(lockstep: Lockstep, digest: str, *, keep: bool = True) -> str:
    """What is answered."""
    lockstep.say("person", Pin(digest, keep, "ann@here"))
    refused = lockstep.heard("person", Refused)
    return refused[0].reason if refused else lockstep.heard("person", Pinned)[0].file


def test_pinned_state_stays_until_it_is_pinned_no_longer() -> None:
    lockstep, trainer = trained(2, 5)
    assert pin(lockstep, "0-5 by l") == "key-1/0-5-1.safetensors"
    for step in (10, 15, 20):
        lockstep.ask("run", (0, STRAIGHT, step))
        train(trainer)
    assert (0, 5) in states(lockstep)
    lockstep.restart()
    assert pin(lockstep, "0-5 by l", keep=False) == "key-1/0-5-1.safetensors"
    lockstep.ask("run", (0, STRAIGHT, 25))
    train(lockstep.trainer("node/0/2"))
    assert (0, 5) not in states(lockstep)


def test_pin_says_what_is_wrong_with_a_digest() -> None:
    lockstep, _ = trained(0, 5, 10, 15)
    collect(lockstep)
    assert "not enough of a digest" in pin(lockstep, "0-5")
    assert "no state has a digest" in pin(lockstep, "99-5 by lease")
    assert "was evicted" in pin(lockstep, "0-5 by lease")


class Looks:
    """Counts how often all checkpoints are looked at for what could go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(upkeep, "given_up", self.given_up)

    def given_up(self, holdings: Mapping[str, Holding], excess: int) -> Iterator[tuple[str, Place]]:
        self.count += 1
        return given_up(holdings, excess)

    def since(self) -> int:
        count, self.count = self.count, 0
        return count


def test_nothing_is_looked_through_while_all_that_is_there_must_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    lockstep, trainer = trained(2, 5, 10)
    pin(lockstep, "0-5 by lease")
    pin(lockstep, "0-10 by lease")
    looks = Looks(monkeypatch)
    lockstep.ask("run", (0, STRAIGHT, 15), (0, STRAIGHT, 20))
    assert trainer.take()
    trainer.train(5)
    for number in range(20):
        trainer.beat()
        lockstep.node_beat(number + 1, trainer.name)
    assert (looks.since(), states(lockstep)) == (0, [(0, 5), (0, 10), (0, 15)]), "pinned, or just reached"
    train(trainer)
    assert (looks.since(), states(lockstep)) == (2, [(0, 5), (0, 10)]), "for each state that a lease let go of"
    for _ in range(20):
        trainer.beat()
    assert looks.since() == 0
    pin(lockstep, "0-10 by lease", keep=False)
    trainer.beat()
    assert states(lockstep) == [(0, 5), (0, 10)], "no more than they may be"
    lockstep.ask("run", (0, STRAIGHT, 25))
    train(trainer)
    assert states(lockstep) == [(0, 5)]


def test_owner_is_told_once_each_time_that_what_is_pinned_becomes_too_much() -> None:
    lockstep, trainer = trained(2, 5, 10)
    for digest in ("0-5 by lease", "0-10 by lease"):
        pin(lockstep, digest)
    assert lockstep.warnings == []
    lockstep.ask("run", (0, STRAIGHT, 15), (0, STRAIGHT, 20))
    assert trainer.take()
    trainer.train(5)
    pin(lockstep, "0-15 by lease")
    for number in range(3):
        lockstep.node_beat(number + 1, trainer.name)
    (warning,) = lockstep.warnings
    assert "more than checkpoint_bytes_max" in warning
    pin(lockstep, "0-15 by lease", keep=False)
    pin(lockstep, "0-15 by lease")
    assert len(lockstep.warnings) == 2


# Asked for by people


def test_collecting_takes_what_is_of_no_use_and_with_a_number_what_it_takes() -> None:
    lockstep, _ = trained(0, 5, 10, 15)
    assert collect(lockstep, dry_run=True) == (2, 2, 1)
    assert len(states(lockstep)) == 3
    assert collect(lockstep) == (2, 2, 1)
    assert states(lockstep) == [(0, 15)]
    assert collect(lockstep) == (0, 0, 1)
    assert collect(lockstep, 1) == (0, 0, 1)
    assert collect(lockstep, 0) == (1, 1, 0)
    assert len(lockstep.delete_files()) == 3


def test_evicted_steps_are_those_that_lead_to_a_state_that_went() -> None:
    lockstep, _ = trained(0, 5, 10, 15)
    collect(lockstep)
    plan = lockstep.books.plans["key-1"]
    node = plan.tree.nodes[0]
    assert [evicted_to([(node, begin, 12)]) for begin in (0, 5, 9, 10)] == [10, 10, 10, 0]
    assert evicted_to([(node, 0, 7)]) == 7
    assert Place(0, 15) in plan.standings


# Files that no record names


def lost(lockstep: Lockstep, trainer: HandTrainer) -> tuple[str, str]:
    """A trainer is killed between a file and its notice, and another one on the way: what is left of lease 1."""
    lockstep.ask("run", (0, STRAIGHT, 10))
    assert trainer.take()
    trainer.exit()
    file, draft = "key-1/0-10-1.safetensors", "key-1/0-7-1.safetensors.4711.tmp"
    lockstep.files |= {file: 30, draft: 12}
    return file, draft


def test_files_of_a_trainer_that_was_killed_before_it_said_so_are_deleted() -> None:
    lockstep, trainer = bounded(0)
    left = lost(lockstep, trainer)
    train(lockstep.trainer("node/0/2"))
    assert states(lockstep) == [(0, 10)]
    assert orphans(lockstep, dry_run=True) == (2, 42)
    assert lockstep.delete_files() == []
    assert orphans(lockstep) == (2, 42)
    assert lockstep.delete_files() == list(left)
    assert list(lockstep.files) == ["key-1/0-10-2.safetensors"]
    assert orphans(lockstep) == (0, 0)


def test_notice_that_comes_after_its_lease_was_lost_names_no_file() -> None:
    lockstep, trainer = bounded(0)
    lockstep.ask("run", (0, STRAIGHT, 10))
    assert trainer.take()
    lockstep.say("node", TrainerExited("node", 1, trainer.name, -9))
    assert orphans(lockstep) == (0, 0)
    trainer.step = trainer.steps_run = 10
    trainer.reach({"score": 1.0})
    assert states(lockstep) == []
    assert orphans(lockstep) == (1, 1)


def test_file_stays_whose_lease_is_out_or_not_granted_yet() -> None:
    lockstep, trainer = bounded(0)
    lockstep.ask("run", (0, STRAIGHT, 10))
    assert trainer.take()
    lockstep.files |= {f"key-1/0-5-{lease}.safetensors": 1 for lease in (0, 1, 2, 10)}
    assert orphans(lockstep) == (0, 0)
    lockstep.restart()
    assert orphans(lockstep) == (0, 0)
    lockstep.say("node", TrainerExited("node", 1, trainer.name, -9))
    assert orphans(lockstep) == (1, 1)


def test_file_that_is_none_of_a_trainer_stays() -> None:
    lockstep, _ = trained(0, 5)
    lockstep.files |= dict.fromkeys(
        ("root-id", "notes/0-5-1.txt", "other-1/0-4-1.safetensors", "0-4-1.safetensors", "key-1/0-4-1.safetensors.bak",
         "key-1/mine/0-4-1.safetensors", "key-1/0-4-1.safetensors.tmp", "key-1/0-4.safetensors"),
        1,
    )  # fmt: skip
    assert orphans(lockstep) == (0, 0)


def test_file_stays_whose_record_was_made_while_somebody_looked() -> None:
    lockstep, trainer = bounded(0)
    lockstep.ask("run", (0, STRAIGHT, 5))
    assert trainer.take()
    lockstep.say("person", Collect())
    seen = [("key-1/0-5-1.safetensors", 1)]
    trainer.train()
    assert not lockstep.books.leases.leases
    lockstep.list_files(seen)
    (found,) = lockstep.heard("person", Collected)
    assert found.orphans == 0


def test_file_that_is_to_be_deleted_anyhow_is_no_orphan() -> None:
    lockstep, _ = trained(0, 5, 10, 15)
    assert collect(lockstep) == (2, 2, 1)
    assert orphans(lockstep) == (0, 0)
    lockstep.restart()
    assert orphans(lockstep) == (0, 0)
    assert len(lockstep.delete_files()) == 2


def test_files_are_looked_at_once_for_all_who_ask_and_counted_for_the_first() -> None:
    lockstep, trainer = bounded(0)
    lost(lockstep, trainer)
    for person in ("ann", "bob", "ann"):
        lockstep.say(person, Collect())
    assert lockstep.to_list == 1
    lockstep.list_files()
    assert [[found.orphans for found in lockstep.heard(person, Collected)] for person in ("ann", "bob")] == [[2], [0]]
    assert len(lockstep.delete_files()) == 2


def test_person_is_told_why_the_files_cannot_be_looked_at_and_may_ask_again() -> None:
    lockstep, _ = trained(0, 5, 10)
    lockstep.say("person", Collect())
    lockstep.list_files(error="cannot list the files in s3://bucket: no route to host")
    (refused,) = lockstep.heard("person", Refused)
    assert refused.reason == "cannot list the files in s3://bucket: no route to host"
    assert states(lockstep) == [(0, 5), (0, 10)]
    assert collect(lockstep) == (1, 1, 1)
