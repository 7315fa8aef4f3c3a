"""The node manager: trainers are started once, their ends told until noted, curves passed on."""

from __future__ import annotations

from hive.actors.actor import (
    SILENT_BEATS,
    Called,
    Deliver,
    Effect,
    Event,
    JobEnded,
    Leave,
    Received,
    Send,
    Silence,
    StartJob,
    StopJob,
    TimerFired,
)
from hive.actors.messages import (
    Curve,
    Message,
    NodeBeat,
    NodeWelcome,
    Noted,
    Point,
    RetireTrainer,
    Slot,
    StartTrainer,
    TrainerExited,
)
from hive.actors.node import NodeActor, TrainerOrder
from hive.simulation.clients import SOURCE
from hive.storage.records import CheckpointFolder

BEAT = TimerFired("beat")


def order(trainer: str, slot: int = 0, incarnation: str = "first") -> StartTrainer:
    return StartTrainer(slot, trainer, "key-1", SOURCE, "print", CheckpointFolder("folder", "root"), incarnation)


class Node:
    """An actor with two devices, and what it does."""

    def __init__(self) -> None:
        self.actor = NodeActor("node", "first", ["cpu", "cuda:0"])
        self.actor.start(0.0)

    def handle(self, event: Event) -> list[Effect]:
        return list(self.actor.handle(event, 0.0))

    def hear(self, message: Message) -> list[Effect]:
        return self.handle(Received("coordinator", message))

    def beat(self) -> list[Message]:
        return sent(self.handle(BEAT))

    def slots(self) -> list[str | None]:
        beat = self.beat()[-1]
        assert isinstance(beat, NodeBeat)
        return [slot.trainer for slot in beat.slots]


def sent(effects: list[Effect]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def jobs(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, StartJob | StopJob)]


def test_beats_are_numbered_and_say_what_runs_where() -> None:
    node = Node()
    node.hear(order("t1", slot=1))
    assert node.beat() == [NodeBeat("node", "first", [Slot("cpu"), Slot("cuda:0", "t1")], 2)]
    assert node.beat() == [NodeBeat("node", "first", [Slot("cpu"), Slot("cuda:0", "t1")], 3)]


def test_trainer_is_started_once_on_its_device() -> None:
    node = Node()
    assert node.hear(order("t1", slot=1)) == [StartJob("t1", TrainerOrder("node", "cuda:0", order("t1", slot=1)))]
    assert node.hear(order("t1", slot=1)) == []
    node.handle(JobEnded("t1", 0))
    assert node.hear(order("t1", slot=1)) == []


def test_slot_that_does_not_exist_is_let_be() -> None:
    node = Node()
    assert node.hear(order("t1", slot=2)) == []
    assert node.hear(order("t1", slot=-1)) == []


def test_new_trainer_waits_for_the_end_of_the_one_on_its_slot() -> None:
    node = Node()
    node.hear(order("t1"))
    assert jobs(node.hear(order("t2"))) == [StopJob("t1")]
    assert jobs(node.handle(JobEnded("t1", -15))) == [StartJob("t2", TrainerOrder("node", "cpu", order("t2")))]
    assert node.slots() == ["t2", None]


def test_retired_trainer_that_waits_for_its_slot_is_never_started() -> None:
    node = Node()
    node.hear(order("t1"))
    node.hear(order("t2"))
    node.hear(RetireTrainer("t2"))
    assert jobs(node.handle(JobEnded("t1", -15))) == []


def test_end_is_told_at_each_beat_until_just_that_one_is_noted() -> None:
    node = Node()
    node.hear(order("t1", 0))
    node.hear(order("t2", 1))
    first, second = TrainerExited("node", 1, "t1", -9, "words"), TrainerExited("node", 2, "t2", 3)
    assert sent(node.handle(JobEnded("t1", -9, "words")))[0] == first
    assert sent(node.handle(JobEnded("t2", 3)))[0] == second
    assert node.beat()[:-1] == [first, second]
    node.hear(Noted(2))
    assert node.beat()[:-1] == [first]
    node.hear(Noted(1))
    assert node.beat()[:-1] == []


def test_retired_trainer_s_end_is_no_crash() -> None:
    node = Node()
    node.hear(order("t1"))
    assert node.hear(RetireTrainer("t1")) == [StopJob("t1")]
    assert node.hear(RetireTrainer("unknown")) == []
    assert sent(node.handle(JobEnded("t1", -15)))[0] == TrainerExited("node", 1, "t1", 0)
    assert node.slots() == [None, None]


def test_end_of_what_it_does_not_run_is_let_be() -> None:
    assert Node().handle(JobEnded("t9", 1)) == []


def test_curves_go_to_the_aggregator_once_it_is_known() -> None:
    node, curve = Node(), Curve("key-1", [Point(0, 1, "train", {"loss": 1.0})])
    assert node.hear(curve) == []
    assert node.hear(NodeWelcome("at")) == [Deliver(NodeWelcome("at"))]
    assert node.hear(NodeWelcome("at")) == []
    assert node.hear(curve) == [Send("aggregator", curve)]
    assert node.hear(NodeWelcome("elsewhere")) == [Deliver(NodeWelcome("elsewhere"))]


def test_node_manager_starts_nothing_that_an_earlier_one_was_told_to_start() -> None:
    node = Node()
    assert node.hear(order("node/0/1", incarnation="before")) == []
    assert any(isinstance(effect, StartJob) for effect in node.hear(order("node/0/1")))


def test_node_manager_that_leaves_says_so_and_starts_nothing_more() -> None:
    node = Node()
    node.hear(order("node/0/1"))
    (beat,) = sent(node.handle(Called(Leave())))
    assert isinstance(beat, NodeBeat)
    assert beat.leaving
    assert node.hear(order("node/1/2", slot=1)) == []
    assert any(isinstance(m, TrainerExited) for m in sent(node.handle(JobEnded("node/0/1", 0))))


def test_silence_of_the_coordinator_is_handed_on_once_and_so_is_its_welcome_when_it_is_back() -> None:
    node = Node()
    node.hear(NodeWelcome("at"))
    handed = [[e.answer for e in node.handle(BEAT) if isinstance(e, Deliver)] for _ in range(2 * SILENT_BEATS + 2)]
    assert [each for each in handed if each] == [[Silence()]]
    assert node.hear(NodeWelcome("at")) == [Deliver(NodeWelcome("at"))]
    assert node.hear(NodeWelcome("at")) == []
