"""Virtual time: the order of events, lives that end, crashes between two effects, and an asyncio loop on one heap."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hive.actors.actor import Called, Commit, Deliver, Effect, Event, Send, StartTimer
from hive.actors.faults import Storm
from hive.actors.messages import Noted
from hive.actors.simulator import BEGAN, Host, SimulatedLoop, Simulator, StuckError
from hive.storage.memory_store import MemoryStore
from hive.storage.records import CounterRecord
from hive.storage.store import Put
from tests.actors.test_drivers import Scripted


async def virtual(seconds: float) -> None:
    """Let virtual time pass."""
    loop = asyncio.get_running_loop()
    passed: asyncio.Future[None] = loop.create_future()
    loop.call_later(seconds, passed.set_result, None)
    await passed


def test_events_happen_by_time_and_those_of_one_time_in_the_order_they_were_made() -> None:
    simulator, log = Simulator(), list[str]()
    for name, after_s in (("late", 2.0), ("first", 1.0), ("second", 1.0), ("now", 0.0)):
        simulator.later(after_s, lambda name=name: log.append(f"{name} at {simulator.now - BEGAN:g}"))  # type: ignore[misc]
    simulator.run_for(10.0)
    assert log == ["now at 0", "first at 1", "second at 1", "late at 2"]
    assert simulator.now == BEGAN + 10.0


def test_timers_and_events_of_a_process_end_with_it_also_where_another_takes_its_name() -> None:
    simulator, log = Simulator(), list[object]()

    def script(event: Event) -> Sequence[Effect]:
        log.append(event)
        return ()

    first = simulator.add(Host("a", Scripted(script, [StartTimer("beat", 1.0)])))
    simulator.post(first, Called("late"), after_s=1.0)
    simulator.remove("a")
    assert not simulator.alive(first)
    simulator.add(Host("a", Scripted(script)))
    simulator.run_for(5.0)
    assert log == []


@pytest.mark.parametrize("effects", [0, 1, 2, 3])
def test_process_that_crashes_has_carried_out_so_many_effects_of_its_turn(effects: int) -> None:
    simulator, log = Simulator(), list[object]()
    turn: list[Effect] = [Deliver("first"), Commit((Put(CounterRecord("n", 1)),)), Deliver("second")]
    store, crashed = MemoryStore(), list[str]()
    simulator.on_crash = crashed.append
    host = simulator.add(Host("a", Scripted(lambda event: turn if event == Called(1) else ()), store, None, log.append))
    simulator.crash_next["a"] = effects
    simulator.post(host, Called(1))
    simulator.run_for(1.0)
    assert crashed == ["a"]
    assert len(list(store.scan(CounterRecord))) == (effects >= 1), "the commit comes first"
    assert log == ["first", "second"][: max(0, effects - 1)]


def test_storm_loses_repeats_and_delays_messages_until_it_is_over() -> None:
    for drop, repeat, copies in ((1.0, 0.0, {0}), (0.0, 1.0, {2}), (0.5, 0.5, {0, 1, 2})):
        simulator = Simulator(7, Storm(drop, repeat, late=0.5, late_s=9.0, until=BEGAN + 100.0))
        heard = Scripted(lambda event: ())
        simulator.add(Host("a", heard))
        arrived = []
        for number in range(60):
            before = len(heard.heard)
            simulator.send("b", "a", Noted(number))
            simulator.run_for(10.0)
            arrived.append(len(heard.heard) - before)
        assert set(arrived[:9]) <= copies
        assert set(arrived[10:]) == {1}


def test_same_seed_gives_the_same_storm() -> None:
    storm = Storm(0.3, 0.3, 0.5, until=2_000.0)
    drawn = [[list(storm.delays("a", "b", 0.0, Simulator(seed).random)) for _ in range(3)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_waiting_for_what_does_not_happen_says_so() -> None:
    simulator = Simulator()
    with pytest.raises(StuckError, match="nothing will happen any more"):
        simulator.run(lambda: False)
    simulator.later(100.0, lambda: None)
    with pytest.raises(StuckError, match="not done after 10 s"):
        simulator.run(lambda: False, limit_s=10.0)
    loop = SimulatedLoop(Simulator())
    with pytest.raises(StuckError, match="nothing will happen any more"):
        loop.run_until_complete(asyncio.Event().wait())
    loop.close()


def test_loop_waits_in_virtual_time_and_takes_turns_with_the_simulation() -> None:
    simulator, log = Simulator(), list[str]()
    loop = SimulatedLoop(simulator)

    async def sleeper(name: str, seconds: float) -> None:
        await virtual(seconds)
        log.append(f"{name} at {simulator.now - BEGAN:g}")

    async def work() -> None:
        heard = loop.create_future()
        simulator.later(2.5, lambda: heard.set_result(None))
        await asyncio.gather(sleeper("one", 3600.0), sleeper("two", 2.0), heard)

    simulator.later(3.0, lambda: log.append(f"event at {simulator.now - BEGAN:g}"))
    loop.run_until_complete(work())
    loop.close()
    assert log == ["two at 2", "event at 3", "one at 3600"]


def test_loop_lets_what_is_ready_react_before_the_next_event_happens() -> None:
    simulator, log = Simulator(), list[str]()
    loop = SimulatedLoop(simulator)
    heard: asyncio.Future[None] = loop.create_future()
    simulator.later(1.0, lambda: heard.set_result(None))
    simulator.later(1.0, lambda: log.append("next event"))

    async def work() -> None:
        await heard
        await asyncio.sleep(0)
        log.append("reaction")
        await virtual(1.0)

    loop.run_until_complete(work())
    loop.close()
    assert log == ["reaction", "next event"]


def test_actor_s_messages_reach_another_after_the_weather_s_delay() -> None:
    simulator = Simulator()
    actor = Scripted(lambda event: ())
    simulator.add(Host("b", actor))
    simulator.add(Host("a", Scripted(lambda event: (), [Send("b", Noted(1))])))
    simulator.run_for(0.0005)
    assert actor.heard == []
    simulator.run_for(0.001)
    assert len(actor.heard) == 1
