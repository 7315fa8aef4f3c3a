"""The staff: who is there, who is coming, who is gone, and whom a plan gets."""

from __future__ import annotations

from hive.actors.actor import Send, Turn
from hive.actors.leases import LeaseTable
from hive.actors.messages import Message, NodeBeat, NodeWelcome, RetireTrainer, Slot, StartTrainer, TrainerBeat
from hive.actors.staff import Staff
from hive.simulation.clients import SOURCE
from hive.storage.records import CheckpointFolder, LeaseRecord, PlanRecord

FOLDER = CheckpointFolder("folder", "root")


def plan(name: str) -> PlanRecord:
    return PlanRecord(name, name, 1, "study", True, SOURCE, "print", {}, 0.0)


def order(slot: int, trainer: str, plan_name: str = "p") -> StartTrainer:
    return StartTrainer(slot, trainer, plan_name, SOURCE, "print", FOLDER, "first")


class Office:
    """A staff, its leases, and what it says."""

    def __init__(self) -> None:
        self.staff = Staff(FOLDER)
        self.leases = LeaseTable(30.0)
        self.now = 100.0
        self.beats = 0
        self.began = False
        self.started = 0

    def node_beat(self, *trainers: str | None, incarnation: str = "first", number: int | None = None) -> list[Message]:
        self.beats += 1
        slots = [Slot("cpu", trainer) for trainer in trainers]
        turn, beat = Turn(), NodeBeat("n", incarnation, slots, self.beats if number is None else number)
        self.began = self.staff.node_beat(beat, "at", "n", self.now, turn)
        return said(turn)

    def beat(self, trainer: str, plan_name: str = "p") -> bool:
        return self.staff.beat(TrainerBeat(trainer, "n", plan_name), trainer, self.now) is not None

    def hire(self, plan_name: str, count: int = 10) -> list[Message]:
        turn = Turn()
        places = self.staff.places_for(plan_name, self.leases)[:count]
        self.staff.hire(plan(plan_name), places, self.number, turn)
        return said(turn)

    def number(self) -> int:
        self.started += 1
        return self.started

    def lease(self, trainer: str) -> None:
        self.leases.add(LeaseRecord(1, "p", trainer, "n", "run", None, ((0, 0, 5),), None, 0.0), self.now)

    def slots(self) -> list[str | None]:
        return [slot.trainer if slot else None for slot in self.staff.nodes["n"].slots]

    def idle(self, plan_name: str = "p") -> list[str]:
        return [trainer.name for trainer in self.staff.idle(plan_name, self.leases)]


def said(turn: Turn) -> list[Message]:
    return [effect.message for effect in turn.others if isinstance(effect, Send)]


def test_trainers_are_started_on_free_devices_with_names_of_their_own() -> None:
    office = Office()
    office.node_beat(None, None)
    assert office.hire("p") == [order(0, "n/0/1"), order(1, "n/1/2")]
    assert office.slots() == ["n/0/1", "n/1/2"]
    assert office.staff.coming("p", office.leases) == 2
    assert office.hire("p") == []


def test_order_that_did_not_come_is_said_again_at_the_next_beat() -> None:
    office = Office()
    office.node_beat(None)
    office.hire("p")
    assert office.node_beat(None) == [NodeWelcome("at"), order(0, "n/0/1")]
    assert office.node_beat("n/0/1") == [NodeWelcome("at")]


def test_trainer_is_idle_once_it_has_spoken_and_has_no_lease() -> None:
    office = Office()
    office.node_beat(None)
    office.hire("p")
    assert office.idle() == []
    office.beat("n/0/1")
    assert office.idle() == ["n/0/1"]
    assert office.idle("q") == []
    office.lease("n/0/1")
    assert office.idle() == []


def test_idle_trainer_of_another_plan_is_replaced_but_not_one_that_trains_or_has_not_spoken() -> None:
    office = Office()
    office.node_beat(None, None, None)
    office.hire("p")
    office.beat("n/0/1")
    office.beat("n/1/2")
    office.lease("n/1/2")
    assert office.hire("q") == [order(0, "n/0/4", "q")]
    assert office.hire("p") == []


def test_free_devices_come_before_those_of_other_plans() -> None:
    office = Office()
    office.node_beat(None, None)
    office.hire("p", count=1)
    office.beat("n/0/1")
    assert office.hire("q", count=1) == [order(1, "n/1/2", "q")]


def test_replaced_trainer_s_last_beats_do_not_make_it_idle_again() -> None:
    office = Office()
    office.node_beat(None)
    office.hire("p")
    office.beat("n/0/1")
    office.hire("q")
    assert not office.beat("n/0/1")
    assert office.idle() == []


def test_ended_trainer_s_late_beats_say_nothing() -> None:
    office = Office()
    office.node_beat(None)
    office.hire("p")
    office.beat("n/0/1")
    assert office.staff.exited("n/0/1") is not None
    assert office.slots() == [None]
    assert not office.beat("n/0/1")
    office.node_beat("n/0/1")
    assert office.slots() == [None]
    assert office.staff.exited("n/0/1") is None


def test_trainer_from_before_the_coordinator_began_keeps_its_device() -> None:
    office = Office()
    office.node_beat("n/0/1")
    assert office.began
    assert office.hire("p") == []  # which plan it serves is not known yet
    office.beat("n/0/1", "q")
    assert office.staff.coming("q", office.leases) == 1
    assert office.hire("p") == [order(0, "n/0/1", "p")]


def test_trainer_that_spoke_before_its_node_did_is_known() -> None:
    office = Office()
    office.beat("n/0/1")
    office.node_beat("n/0/1")
    assert office.idle() == ["n/0/1"]
    assert office.staff.coming("p", office.leases) == 1


def test_device_whose_unordered_trainer_is_not_there_any_more_is_free() -> None:
    office = Office()
    office.node_beat("n/0/1")
    office.node_beat(None)
    assert office.hire("p") == [order(0, "n/0/1")]


def test_beat_that_comes_late_changes_nothing() -> None:
    office = Office()
    office.node_beat("n/0/1", number=5)
    assert office.node_beat(None, number=4) == []
    assert office.slots() == ["n/0/1"]
    assert not office.began


def test_new_incarnation_has_none_of_the_old_trainers() -> None:
    office = Office()
    office.node_beat(None)
    office.hire("p")
    office.beat("n/0/1")
    office.node_beat(None, incarnation="second", number=1)
    assert office.began
    assert office.slots() == [None]
    assert office.idle() == []
    office.node_beat(None, incarnation="second", number=2)
    assert not office.began


def test_silent_nodes_and_trainers_get_nothing_until_they_speak_again() -> None:
    office = Office()
    office.node_beat("n/0/1", None)
    office.beat("n/0/1")
    office.staff.forget_silent(since=100.0)
    assert office.idle() == ["n/0/1"]
    office.staff.forget_silent(since=100.1)
    assert office.idle() == []
    assert office.hire("p") == []
    office.now = 101.0
    office.node_beat("n/0/1", None)
    assert office.began
    office.beat("n/0/1")
    assert office.idle() == ["n/0/1"]


def test_retired_trainer_is_not_started_again() -> None:
    office = Office()
    office.node_beat(None)
    office.hire("p")
    turn = Turn()
    office.staff.retire("n/0/1", turn)
    assert said(turn) == [RetireTrainer("n/0/1")]
    assert office.node_beat("n/0/1") == [NodeWelcome("at")]
    assert office.node_beat(None) == [NodeWelcome("at")]
    assert office.slots() == [None]
