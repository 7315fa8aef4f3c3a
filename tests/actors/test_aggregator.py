"""The aggregator: the first point stands, and outlives it."""

from __future__ import annotations

from hive.actors.actor import Commit, Effect, Received, Send
from hive.actors.aggregator import Aggregator
from hive.actors.messages import Curve, CurveQuery, Curves, Point, StatusQuery
from hive.storage.memory_store import MemoryStore


def hear(aggregator: Aggregator, store: MemoryStore, message: object) -> list[Effect]:
    effects = aggregator.handle(Received("someone", message), 0.0)
    for effect in effects:
        if isinstance(effect, Commit):
            store.commit(effect.writes)
    return [effect for effect in effects if not isinstance(effect, Commit)]


def point(step: int, kind: str = "train", value: float = 1.0, node: int = 0) -> Point:
    return Point(node, step, kind, {"loss": value})


def test_curve_is_told_by_step_with_the_first_point_at_each() -> None:
    store = MemoryStore()
    aggregator = Aggregator(store)
    assert aggregator.start(0.0) == []
    assert hear(aggregator, store, Curve("p", [point(2), point(1), point(1, "eval"), point(5, node=1)])) == []
    hear(aggregator, store, Curve("p", [point(2, value=9.0), point(3)]))
    hear(aggregator, store, Curve("other", [point(7)]))
    (answer,) = hear(aggregator, store, CurveQuery("p", 0))
    assert answer == Send("someone", Curves("p", [point(1, "eval"), point(1), point(2), point(3)]))
    (answer,) = hear(Aggregator(store), store, CurveQuery("p", 0))
    assert answer == Send("someone", Curves("p", [point(1, "eval"), point(1), point(2), point(3)]))


def test_points_said_again_are_not_written_again() -> None:
    store = MemoryStore()
    aggregator = Aggregator(store)
    curve = Curve("p", [point(1), point(1)])
    (commit,) = aggregator.handle(Received("node", curve), 0.0)
    assert isinstance(commit, Commit)
    assert len(commit.writes) == 1
    assert aggregator.handle(Received("node", curve), 0.0) == []


def test_unknown_node_has_an_empty_curve_and_other_messages_none() -> None:
    store = MemoryStore()
    assert hear(Aggregator(store), store, CurveQuery("p", 4)) == [Send("someone", Curves("p", []))]
    assert hear(Aggregator(store), store, StatusQuery()) == []
