"""Announced configs and the batches that are out: checkpoints where somebody may branch, and nothing else for it."""

from __future__ import annotations

from hive.actors.messages import Amend
from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import Config
from tests.actors.clients import assert_adds_up
from tests.actors.lockstep import OTHER, STRAIGHT, HandTrainer, Lockstep, opened, stages, told


def leaves(step: int) -> Config:
    return {"lr": MultiStep(1, [step], 0.1)}


def measured(*announced: tuple[int, Config]) -> tuple[Lockstep, HandTrainer]:
    """A coordinator that was told what may be asked for, and how long steps take, by one idle trainer."""
    lockstep, trainer = opened()
    trainer.step_s = 1.0
    lockstep.ask("run", (90, OTHER, 5))
    trainer.take()
    trainer.train()
    lockstep.announce("run", *announced)
    return lockstep, trainer


def promised(lockstep: Lockstep) -> list[tuple[int, int]]:
    return sorted(lockstep.books.plans["key-1"].tree.promises)


def test_announced_config_that_is_asked_for_late_starts_from_a_checkpoint_and_nothing_is_trained_twice() -> None:
    lockstep, trainer = measured((0, STRAIGHT), (1, leaves(10)))
    lockstep.ask("run", (0, STRAIGHT, 20))
    assert trainer.take()
    assert stages(trainer) == [(1, 0, 10, False), (1, 10, 20, True)]
    trainer.train(15)
    lockstep.ask("run", (1, leaves(10), 15))
    assert lockstep.heard(trainer.name, Amend) == []
    other = lockstep.trainer("node/0/2")
    assert stages(other) == [(2, 10, 15, True)]
    other.train()
    trainer.train()
    counts = lockstep.books.runs["run"].record.counts
    assert_adds_up(counts)
    assert (counts.late_branch, counts.steps_run, counts.checkpoint_count) == (0, 5 + 20 + 5, 4)


def test_what_is_only_announced_is_neither_trained_nor_measured_nor_told() -> None:
    lockstep, trainer = measured((0, STRAIGHT), (1, leaves(10)), (2, {"lr": Constant(7)}))
    lockstep.ask("run", (0, STRAIGHT, 20))
    trainer.take()
    trainer.train()
    trainer.beat()
    assert not trainer.take()
    assert told(lockstep) == [(90, 5, None), (0, 20, None)]
    assert [notice.metrics is None for notice in trainer.notices] == [False, True, False]
    assert len(lockstep.books.plans["key-1"].tree.nodes) == 2


def test_anticipated_boundary_survives_amendments_and_goes_when_its_config_is_released() -> None:
    lockstep, trainer = measured((0, STRAIGHT), (1, leaves(10)), (2, leaves(14)))
    lockstep.ask("run", (0, STRAIGHT, 20))
    trainer.take()
    trainer.train(2)
    lockstep.ask("run", (3, STRAIGHT, 17))
    assert promised(lockstep) == [(1, 10), (1, 14), (1, 17), (1, 20)]
    lockstep.release("run", 1)
    lockstep.ask("run", (4, STRAIGHT, 18))
    assert promised(lockstep) == [(1, 14), (1, 17), (1, 18), (1, 20)]
    assert trainer.heed()
    trainer.train()
    assert [(notice.step, notice.metrics is None) for notice in trainer.notices[1:]] == [
        (14, True),
        (17, False),
        (18, False),
        (20, False),
    ]


def test_batch_that_is_out_learns_of_what_was_announced_after_it_began_when_wishes_change() -> None:
    lockstep, trainer = measured()
    lockstep.ask("run", (0, STRAIGHT, 20))
    trainer.take()
    trainer.train(6)
    trainer.beat()
    lockstep.announce("run", (1, leaves(5)), (2, leaves(10)))
    assert promised(lockstep) == [(1, 20)]
    lockstep.ask("run", (3, STRAIGHT, 19))
    assert promised(lockstep) == [(1, 10), (1, 19), (1, 20)]


def test_coordinator_that_is_started_again_keeps_what_it_promised_though_it_knows_no_seconds_yet() -> None:
    lockstep, trainer = measured((0, STRAIGHT), (1, leaves(10)), (2, leaves(14)))
    lockstep.ask("run", (0, STRAIGHT, 20))
    trainer.take()
    trainer.train(2)
    lockstep.restart()
    trainer.beat()
    lockstep.ask("run", (3, STRAIGHT, 17))
    assert promised(lockstep) == [(1, 10), (1, 14), (1, 17), (1, 20)]
    lockstep.release("run", 1)
    assert trainer.heed()
    trainer.train(8)
    lockstep.ask("run", (4, STRAIGHT, 18))
    assert promised(lockstep) == [(1, 14), (1, 17), (1, 18), (1, 20)]


def test_batch_ends_where_the_last_wish_does_whatever_is_announced_before_that() -> None:
    lockstep, trainer = measured((0, STRAIGHT), (1, leaves(10)))
    lockstep.ask("run", (0, STRAIGHT, 20), (2, STRAIGHT, 4))
    trainer.take()
    lockstep.release("run", 0)
    (amend,) = lockstep.heard(trainer.name, Amend)
    assert [stage.end for stage in amend.stages] == [4]
    assert promised(lockstep) == [(1, 4)]


def test_coordinator_learns_from_its_answers_how_many_go_on_and_knows_it_when_it_is_started_again() -> None:
    configs: list[Config] = [{"lr": Constant(trial)} for trial in range(10, 14)]
    lockstep, trainer = measured(*enumerate(configs))
    for trial, steps in ((0, 5), (1, 5), (1, 20), (2, 5)):
        lockstep.ask("run", (trial, configs[trial], steps))
        trainer.take()
        trainer.train(5)
    for _ in range(2):
        anticipation = lockstep.books.plans["key-1"].anticipation
        assert anticipation.chance(10) == (1 + 1) / (4 + 2)
        lockstep.restart()


def test_trials_that_share_nothing_need_no_checkpoint_of_each_other() -> None:
    lockstep = Lockstep()
    lockstep.open(merge=False)
    trainer = lockstep.trainer()
    trainer.step_s = 1.0
    lockstep.ask("run", (90, OTHER, 5))
    trainer.take()
    trainer.train()
    lockstep.announce("run", (0, STRAIGHT), (1, leaves(10)))
    lockstep.ask("run", (0, STRAIGHT, 20))
    assert trainer.take()
    assert stages(trainer) == [(1, 0, 20, True)]


def test_announced_config_that_means_nothing_is_refused_when_it_is_asked_for_and_not_before() -> None:
    lockstep, trainer = measured((0, {"unknown": Constant(1)}), (1, leaves(10)))
    lockstep.restart()
    lockstep.ask("run", (0, {"unknown": Constant(1)}, 5), (1, leaves(10), 3))
    trainer.beat()
    trainer.train()
    (_, refused, fine) = told(lockstep)
    assert "the study's hyper-parameters are" in str(refused[2])
    assert fine == (1, 3, None)
