"""The trainer: grants are run once, what came of them is said until it is noted."""

from __future__ import annotations

from hive.actors.actor import (
    AmendJob,
    Called,
    Deliver,
    Effect,
    Event,
    JobReported,
    Leave,
    Received,
    Send,
    StartJob,
    StopJob,
    TimerFired,
)
from hive.actors.messages import (
    Amend,
    Amended,
    Curve,
    Grant,
    GrantedStage,
    LeaseEnded,
    Message,
    Noted,
    Notice,
    Point,
    StopLease,
    TrainerBeat,
    TrainerBroken,
)
from hive.actors.trainer import POINTS_MAX, Left, TrainerActor
from hive.planner.pieces import ConstantForm
from hive.storage.records import CheckpointFile
from hive.training.reports import (
    Amendment,
    AmendmentTaken,
    BatchOrder,
    Ended,
    Evaluated,
    Failed,
    Reached,
    Report,
    StageOrder,
    Stepped,
)
from hive.training.reports import CheckpointFile as Written

BEAT = TimerFired("beat")
NAME = "node/0/1"


def grant(lease: int = 7, origin: tuple[int, int] | None = None, trainer: str = NAME) -> Grant:
    stages = [GrantedStage(3, 0 if origin is None else origin[1], 10, {"lr": ["constant", 1]}, metrics=True)]
    return Grant(trainer, lease, stages, {"lr": 1}, origin, None if origin is None else "file")


def reached(lease: int = 7, step: int = 10) -> Reached:
    file = Written("key-1/3-10-7.safetensors", 100, "digest", "cpu", 2, "AVX2")
    return Reached(lease, 3, step, step, {"score": 0.5}, "digest", file, 0.2, 0.1)


class Trainer:
    """An actor, and what it says."""

    def __init__(self, broken: str | None = None) -> None:
        self.actor = TrainerActor(NAME, "node", "key-1", broken=broken)
        self.actor.start(0.0)

    def handle(self, event: Event) -> list[Effect]:
        return self.actor.handle(event, 0.0)

    def hear(self, message: Message) -> list[Effect]:
        return self.handle(Received("coordinator", message))

    def report(self, report: Report) -> list[Message]:
        return sent(self.handle(JobReported("", report)))

    def beat(self) -> list[Message]:
        return sent(self.handle(BEAT))


def sent(effects: list[Effect]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def test_it_says_that_it_is_here_as_it_starts() -> None:
    assert sent(TrainerActor(NAME, "node", "key-1").start(0.0)) == [TrainerBeat(NAME, "node", "key-1")]


def test_grant_becomes_a_batch_for_the_executor() -> None:
    trainer = Trainer()
    form = ConstantForm(1)
    stage = StageOrder(3, 4, 10, {"lr": form}, metrics=True)
    order = BatchOrder(7, 7, (3, 4), "file", {"lr": 1}, (stage,), "key-1/")
    assert trainer.hear(grant(origin=(3, 4))) == [StartJob("7", order)]


def test_grant_is_run_once_and_none_while_another_runs() -> None:
    trainer = Trainer()
    assert len(trainer.hear(grant(7))) == 1
    assert trainer.hear(grant(7)) == []
    assert trainer.hear(grant(8)) == []
    trainer.report(Ended(7, 0, None))
    assert trainer.hear(grant(7)) == []
    assert trainer.hear(grant(6)) == []
    assert trainer.hear(grant(9, trainer="node/0/2")) == []
    assert len(trainer.hear(grant(8))) == 1


def test_stop_reaches_the_job_of_that_lease_alone() -> None:
    trainer = Trainer()
    trainer.hear(grant(7))
    assert trainer.hear(StopLease(NAME, 6)) == []
    assert trainer.hear(StopLease(NAME, 7)) == [StopJob("7")]


def test_boundary_becomes_a_notice_with_the_seconds_since_the_last() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    trainer.report(Stepped(7, 3, 9, 9, 2.0, None))
    trainer.report(Stepped(7, 3, 10, 10, 3.0, None))
    file = CheckpointFile("key-1/3-10-7.safetensors", 100, "cpu", 2, "AVX2")
    (notice,) = trainer.report(reached())
    assert notice == Notice(NAME, 1, 7, 3, 10, 10, "digest", 5.0, 0.1, {"score": 0.5}, file, [], 0.2)
    (second,) = trainer.report(reached(step=11))
    assert isinstance(second, Notice)
    assert (second.number, second.train_s) == (2, 0.0)


def test_notice_tells_the_seconds_of_each_node_that_was_passed() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    for node, seconds in ((1, 1.0), (1, 1.5), (2, 4.0), (3, 8.0)):
        trainer.report(Stepped(7, node, 9, 9, seconds, None))
    (notice,) = trainer.report(reached())
    assert isinstance(notice, Notice)
    assert (notice.train_s, notice.passed_s) == (8.0, [4.0, 2.5])
    (second,) = trainer.report(reached(step=11))
    assert isinstance(second, Notice)
    assert (second.train_s, second.passed_s) == (0.0, [])


def test_end_says_what_failed_and_where_the_model_stands() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    assert trainer.report(Failed(7, 3, 5, 4, "train", "Boom")) == []
    (ended,) = trainer.report(Ended(7, 4, None))
    assert ended == LeaseEnded(NAME, 1, 7, 4, None, None, 3, 5, "Boom")
    trainer.hear(grant(8))
    (ended,) = trainer.report(Ended(8, 10, (3, 10)))
    assert ended == LeaseEnded(NAME, 1, 8, 10, None, (3, 10))
    assert trainer.beat()[-1] == TrainerBeat(NAME, "node", "key-1", None, 0, 0, (3, 10))


def test_end_says_how_long_a_load_took_and_each_beat_what_is_in_memory() -> None:
    trainer = Trainer()
    trainer.hear(grant(7, (3, 4)))
    (ended,) = trainer.report(Ended(7, 6, (3, 10), 0.5, ((3, 10), (3, 4))))
    assert ended == LeaseEnded(NAME, 1, 7, 6, 0.5, (3, 10), in_memory=[(3, 10), (3, 4)])
    idle = TrainerBeat(NAME, "node", "key-1", None, 4, 0, (3, 10), in_memory=[(3, 10), (3, 4)])
    assert trainer.beat()[-1] == idle
    trainer.hear(grant(8, (3, 4)))
    (ended,) = trainer.report(Ended(8, 1, None))
    assert ended == LeaseEnded(NAME, 1, 8, 1)
    assert trainer.beat()[-1] == TrainerBeat(NAME, "node", "key-1", step=4)


def test_what_is_not_noted_is_said_again_in_order_from_the_second_beat_on() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    (notice,), (ended,) = trainer.report(reached()), trainer.report(Ended(7, 10, (3, 10)))
    state = TrainerBeat(NAME, "node", "key-1", None, 0, 0, (3, 10))
    assert [m for m in trainer.beat() if not isinstance(m, Curve)] == [state]
    assert trainer.beat() == [notice, ended, state]
    trainer.hear(Noted(1, lease=7))
    assert trainer.beat() == [ended, state]
    trainer.hear(Noted(2, lease=7))
    assert trainer.beat() == [state]


def test_note_of_an_earlier_lease_covers_nothing_of_a_later_one() -> None:
    trainer = Trainer()
    trainer.hear(grant(7))
    trainer.report(Ended(7, 0, None))
    trainer.hear(grant(8))
    (ended,) = trainer.report(Ended(8, 0, None))
    trainer.hear(Noted(1, lease=7))
    trainer.beat()
    assert trainer.beat()[0] == ended
    trainer.hear(Noted(1, lease=8))
    assert len(trainer.beat()) == 1


def test_broken_trainer_says_so_at_each_beat_and_nothing_else() -> None:
    trainer = Trainer(broken="no module named toy")
    broken = TrainerBroken(NAME, "key-1", "no module named toy")
    assert trainer.beat() == [broken]
    assert trainer.beat() == [broken]


def test_curves_go_to_the_node_with_the_beat_or_when_there_are_many() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    trainer.report(Stepped(7, 3, 1, 1, 0.1, {"loss": 2.0}))
    trainer.report(Stepped(7, 3, 2, 2, 0.1, None))
    trainer.report(Evaluated(7, 3, 2, {"score": 0.1}))
    points = [Point(3, 1, "train", {"loss": 2.0}), Point(3, 2, "eval", {"score": 0.1})]
    assert trainer.beat()[-1] == Curve("key-1", points)
    assert len(trainer.beat()) == 1
    said = [trainer.report(Evaluated(7, 3, step, {"score": 0.1})) for step in range(POINTS_MAX)]
    assert [len(messages) for messages in said] == [0] * (POINTS_MAX - 1) + [1]


def test_what_means_nothing_to_it_changes_nothing() -> None:
    assert Trainer().hear(TrainerBeat(NAME, "node", "key-1")) == []


def amend(number: int, lease: int = 7) -> Amend:
    return Amend(NAME, lease, number, [GrantedStage(3, 0, 5, {"lr": ["constant", 1]}, metrics=False)])


def test_trainer_hands_on_an_amendment_once_and_none_that_is_overtaken_or_of_another_lease() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    stage = StageOrder(3, 0, 5, {"lr": ConstantForm(1)}, metrics=False)
    assert trainer.hear(amend(2)) == [AmendJob("7", Amendment(7, 2, (stage,)))]
    assert trainer.hear(amend(2)) == trainer.hear(amend(1)) == trainer.hear(amend(3, lease=6)) == []


def test_trainer_shows_in_its_beat_which_amendment_it_has_heard_of() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    trainer.hear(amend(2))
    assert [m.amendment for m in trainer.beat() if isinstance(m, TrainerBeat)] == [2]
    trainer.report(Ended(7, 0, None))
    trainer.hear(grant(lease=8))
    assert [m.amendment for m in trainer.beat() if isinstance(m, TrainerBeat)] == [0]


def test_trainer_says_that_an_amendment_was_taken_up_until_it_is_noted() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    trainer.report(reached(step=4))
    said = trainer.report(AmendmentTaken(7, 1, 6))
    assert said == [Amended(NAME, 2, 7, 1, 6)]
    trainer.beat()
    assert said[0] in trainer.beat()
    trainer.hear(Noted(2, 7))
    assert said[0] not in trainer.beat()


def test_trainer_shows_the_first_step_of_a_new_batch_before_any_is_trained() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    trainer.report(Stepped(7, 3, 9, 9, 0.1, None))
    trainer.report(Ended(7, 9, None))
    trainer.hear(grant(lease=8, origin=(3, 4)))
    assert [m.step for m in trainer.beat() if isinstance(m, TrainerBeat)] == [4]


def test_trainer_that_is_told_to_leave_stops_its_batch_and_has_left_once_all_is_noted() -> None:
    trainer = Trainer()
    trainer.hear(grant())
    assert trainer.handle(Called(Leave())) == [StopJob("7")]
    trainer.report(reached(step=4))
    trainer.report(Ended(7, 4, (3, 4)))
    assert trainer.hear(grant(lease=8)) == []
    assert trainer.hear(Noted(1, 7)) == []
    assert trainer.hear(Noted(2, 7)) == [Deliver(Left())]


def test_idle_trainer_that_is_told_to_leave_has_left() -> None:
    assert Trainer().handle(Called(Leave())) == [Deliver(Left())]
