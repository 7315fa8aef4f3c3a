"""What goes wrong in a simulation, piece by piece: ways that are cut, processes that stand still, clocks that are set,
commits that fail; and plans of all that, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from hive.actors.actor import Called, Commit, Deliver, Effect, Event, Received, StartTimer, TimerFired
from hive.actors.faults import FATAL, FULL, KINDS, TROUBLE_S, FaultPlan, Faults, FaultyStore, Storm
from hive.actors.messages import Noted
from hive.actors.simulator import BEGAN, Host, Simulator
from hive.errors import StoreError
from hive.storage.memory_store import MemoryStore
from hive.storage.records import CounterRecord
from hive.storage.store import Put
from tests.actors.test_drivers import Scripted

WRITE = Put(CounterRecord("n", 1))


def listening(simulator: Simulator, *names: str) -> list[Scripted]:
    actors = [Scripted(lambda event: ()) for _ in names]
    for name, actor in zip(names, actors, strict=True):
        simulator.add(Host(name, actor))
    return actors


def test_cut_way_loses_messages_one_way_until_it_is_open_again() -> None:
    faults = Faults()
    simulator = Simulator(0, faults)
    coordinator, trainer, other = listening(simulator, "coordinator", "node0/0", "node01")
    faults.cut("node0", "coordinator", simulator.now + 5.0)
    simulator.send("node0/0", "coordinator", Noted(1))
    simulator.send("coordinator", "node0/0", Noted(2))
    simulator.send("node01", "coordinator", Noted(3))
    simulator.run_for(5.0)
    simulator.send("node0/0", "coordinator", Noted(4))
    simulator.run_for(1.0)
    assert coordinator.heard == [Received("node01", Noted(3)), Received("node0/0", Noted(4))]
    assert trainer.heard == [Received("coordinator", Noted(2))]
    assert other.heard == []
    assert faults.happened["cut"] == faults.happened["message cut off"] == 1


def test_process_that_was_held_up_does_afterwards_in_order_what_was_to_happen_meanwhile() -> None:
    faults = Faults()
    simulator = Simulator(0, faults)
    log: list[tuple[float, Event]] = []

    def script(event: Event) -> Sequence[Effect]:
        log.append((simulator.now - BEGAN, event))
        return ()

    host = simulator.add(Host("a", Scripted(script, [StartTimer("beat", 1.0)])))
    faults.pause(simulator, ["a"], 10.0)
    simulator.post(host, Called("posted"), after_s=2.0)
    simulator.send("b", "a", Noted(1))
    simulator.run_for(20.0)
    expected = [Received("b", Noted(1)), TimerFired("beat"), Called("posted")]
    assert [
        event for at_s, event in log if at_s == 10.0 and isinstance(event, Received | TimerFired | Called)
    ] == expected
    assert {at_s for at_s, _ in log} == {10.0}
    assert faults.happened["pause"] == 1


def test_process_that_is_killed_while_it_is_held_up_does_nothing_more() -> None:
    faults = Faults()
    simulator = Simulator(0, faults)
    (actor,) = listening(simulator, "a")
    faults.pause(simulator, ["a"], 10.0)
    simulator.send("b", "a", Noted(1))
    simulator.run_for(5.0)
    simulator.remove("a")
    (another,) = listening(simulator, "a")
    simulator.run_for(20.0)
    assert actor.heard == another.heard == []


@pytest.mark.parametrize("seconds", [30.0, -30.0])
def test_clock_that_is_set_never_goes_back_for_an_actor_that_lives(seconds: float) -> None:
    faults = Faults()
    simulator = Simulator(0, faults)
    (actor,) = listening(simulator, "a")
    faults.jump(simulator, "a", seconds)
    for _ in range(50):
        simulator.send("b", "a", Noted(1))
        simulator.run_for(1.0)
    assert actor.times == sorted(actor.times)
    assert actor.times[-1] == pytest.approx(BEGAN + 49.0 + seconds, abs=0.1)
    listening(simulator, "b")
    assert simulator.clock("a") == simulator.now + seconds
    assert simulator.clock("b") == simulator.now


@pytest.mark.parametrize("kind", ["commit failed", "commit in doubt"])
def test_commit_fails_before_or_after_it_is_done_and_the_actor_is_given_up(kind: str) -> None:
    simulator, log, crashed = Simulator(), list[object](), list[str]()
    store = FaultyStore()
    failed, committed = list[str](), list[object]()
    store.failed, store.committed = failed.append, committed.append
    simulator.on_crash = crashed.append
    turn: list[Effect] = [Commit((WRITE,)), Deliver("told")]
    host = simulator.add(Host("a", Scripted(lambda event: turn if event == Called(1) else ()), store, None, log.append))
    store.fails = kind
    simulator.post(host, Called(1))
    simulator.run_for(1.0)
    done = kind == "commit in doubt"
    assert (log, crashed, failed) == ([], ["a"], [kind])
    assert len(list(store.scan(CounterRecord))) == len(committed) == done
    store.commit([WRITE])
    assert len(committed) == done + 1


def test_full_store_fails_each_commit_until_there_is_room_again() -> None:
    store, failed = FaultyStore(), list[str]()
    store.failed = failed.append
    store.fails = FULL
    for _ in range(2):
        with pytest.raises(StoreError, match=FULL):
            store.commit([WRITE])
    assert (failed, store.entries) == ([FULL] * 2, {})
    store.fails = ""
    store.commit([WRITE])
    assert len(store.entries) == 1


def test_timer_comes_late_by_what_is_drawn_for_it() -> None:
    simulator, late = Simulator(), iter([0.0, 4.0])
    simulator.lateness = lambda: next(late)
    actor = Scripted(lambda event: (), [StartTimer("beat", 1.0), StartTimer("other", 1.0)])
    simulator.add(Host("a", actor))
    simulator.run_for(4.0)
    assert actor.heard == [TimerFired("beat")]
    simulator.run_for(2.0)
    assert actor.heard == [TimerFired("beat"), TimerFired("other")]


def test_faulty_store_that_does_not_fail_is_a_store() -> None:
    stores: list[MemoryStore] = [FaultyStore(), MemoryStore()]
    for store in stores:
        store.commit([WRITE])
    assert stores[0].entries == stores[1].entries
    faulty = FaultyStore()
    faulty.fails = "commit failed"
    with pytest.raises(StoreError, match="simulated"):
        faulty.commit([WRITE])


def test_message_comes_again_when_the_storm_is_long_over() -> None:
    faults = Faults(Storm(again=1.0, again_s=1_000.0, until=BEGAN + 1.0))
    simulator = Simulator(3, faults)
    (actor,) = listening(simulator, "a")
    simulator.send("b", "a", Noted(1))
    simulator.run_for(1.0)
    simulator.send("b", "a", Noted(2))
    simulator.run_for(1_000.0)
    assert actor.heard == [Received("b", Noted(n)) for n in (1, 2, 1)]
    assert faults.happened["message much later"] == faults.happened["message repeated"] == 1


def test_messages_that_overtake_others_are_counted_with_those_that_are_late_or_lost() -> None:
    def counted(storm: Storm, kind: str) -> int:
        faults = Faults(storm)
        simulator = Simulator(1, faults)
        for _ in range(100):
            simulator.send("b", "a", Noted(1))
            simulator.run_for(0.5)
        return faults.happened[kind]

    kinds: list[tuple[str, Callable[[float], Storm]]] = [
        ("message dropped", lambda until: Storm(drop=0.5, until=until)),
        ("message repeated", lambda until: Storm(repeat=0.5, until=until)),
        ("message delayed", lambda until: Storm(late=0.5, until=until)),
        ("message overtaken", lambda until: Storm(late=0.5, until=until)),
    ]
    for kind, storm in kinds:
        assert 20 < counted(storm(BEGAN + 100.0), kind) < 80
        assert counted(storm(BEGAN), kind) == 0


def test_plan_is_the_same_for_the_same_seed_and_a_fifth_are_tame() -> None:
    plans = [FaultPlan.drawn(seed) for seed in range(500)]
    assert plans == [FaultPlan.drawn(seed) for seed in range(500)]
    assert 70 < sum(plan.tame for plan in plans) < 130
    assert {fault.kind for plan in plans for fault in plan.faults} == set(KINDS)
    for plan in plans:
        assert list(plan.faults) == sorted(plan.faults, key=lambda fault: fault.at_s)
        assert all(0 <= fault.at_s < TROUBLE_S and 0 <= fault.whom < 1 for fault in plan.faults)


def test_harmless_plan_has_nothing_that_makes_a_request_fail() -> None:
    plans = [FaultPlan.drawn(seed, harmless=True) for seed in range(500)]
    assert not {fault.kind for plan in plans for fault in plan.faults} & set(FATAL)
    assert all(plan.raises == plan.unwritten == plan.broken == 0 for plan in plans)
    assert all(plan.attempts_max == FaultPlan().attempts_max for plan in plans)
