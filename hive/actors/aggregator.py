"""The aggregator: keeps the curves, which is what is measured often and nobody waits for.

Losing it, or any message to it, loses no answer. It must not know runs, trials, leases, or the coordinator.
"""

from __future__ import annotations

from hive.actors.actor import Effect, Event, Received, Turn
from hive.actors.messages import Curve, CurveQuery, Curves, Point
from hive.storage.records import CurveRecord
from hive.storage.store import Store

__all__ = ["Aggregator"]


class Aggregator:
    """The actor. The first point at (node, step, kind) stands: the same steps trained again give the same figures."""

    def __init__(self, store: Store) -> None:
        self.points: dict[tuple[str, int], dict[tuple[int, str], dict[str, float]]] = {}
        for record in store.scan(CurveRecord):
            self.points.setdefault((record.plan, record.node), {})[record.step, record.kind] = record.metrics

    def start(self, now: float) -> list[Effect]:
        """Nothing to begin."""
        return []

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Points are kept; a query gets its node's points."""
        turn = Turn()
        match event:
            case Received(_, Curve() as curve):
                for point in curve.points:
                    self.keep(curve.plan, point, turn)
            case Received(sender, CurveQuery() as query):
                turn.send(sender, Curves(query.plan, self.curve(query.plan, query.node)))
            case _:
                pass
        return turn.effects()

    def keep(self, plan: str, point: Point, turn: Turn) -> None:
        """Keep a point unless one stands there."""
        curve = self.points.setdefault((plan, point.node), {})
        if (point.step, point.kind) not in curve:
            curve[point.step, point.kind] = point.metrics
            turn.put(CurveRecord(plan, point.node, point.step, point.kind, point.metrics))

    def curve(self, plan: str, node: int) -> list[Point]:
        """The points of a node by step."""
        points = self.points.get((plan, node), {})
        return [Point(node, step, kind, metrics) for (step, kind), metrics in sorted(points.items())]
