"""What the trees of the plans are drawn from: their records, out of a store or of a coordinator that lives.

A store has what every run ever asked for. A coordinator has forgotten what runs asked for that are closed; what was
trained for them it knows. It must not know how a tree is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hive.storage.records import LeaseRecord, NodeRecord, PlanRecord, RunRecord, StandingRecord, WantRecord

if TYPE_CHECKING:
    from hive.actors.books import Books
    from hive.planner.search_plan import Node
    from hive.storage.store import Store

__all__ = ["RECORDS_MAX", "TreeRecords", "known_trees", "stored_trees"]

RECORDS_MAX = 100_000
"""Of all trees in one message, which stays below the wire's limit with them; some 20,000 trials."""


class TreeRecords(msgspec.Struct, frozen=True):
    """One plan.

    Attributes:
        nodes: by number.
        wants: what was asked for on it, answered or not.
        leases: the batches that are out.
        studies: by run, the study's name.
    """

    plan: PlanRecord
    nodes: list[NodeRecord]
    standings: list[StandingRecord]
    wants: list[WantRecord]
    leases: list[LeaseRecord]
    studies: dict[str, str]


def stored_trees(store: Store) -> list[TreeRecords]:
    """The trees of a store, also while somebody writes to it: what records name is read after them."""
    leases, wants = list(store.scan(LeaseRecord)), list(store.scan(WantRecord))
    standings = list(store.scan(StandingRecord))
    studies = {run.run: run.study for run in store.scan(RunRecord)}
    return [
        TreeRecords(
            plan=plan,
            nodes=list(store.scan(NodeRecord, (plan.plan,))),
            standings=[record for record in standings if record.plan == plan.plan],
            wants=[record for record in wants if record.plan == plan.plan],
            leases=[record for record in leases if record.plan == plan.plan],
            studies=studies,
        )
        for plan in store.scan(PlanRecord)
    ]


def known_trees(books: Books) -> list[TreeRecords]:
    """The trees that a coordinator knows."""
    wants = [want for run in books.runs.values() for want in run.wants.values()]
    return [
        TreeRecords(
            plan=plan.record,
            nodes=[node_record(plan.name, node) for node in plan.tree.nodes],
            standings=list(plan.standings.values()),
            wants=[want for want in wants if want.plan == plan.name],
            leases=[lease.record for lease in books.leases.of_plan(plan.name)],
            studies={run.name: run.record.study for run in books.runs.values()},
        )
        for plan in books.plans.values()
    ]


def node_record(plan: str, node: Node) -> NodeRecord:
    """A node as its record."""
    parent = None if node.parent is None else node.parent.number
    forms = {name: form.to_data() for name, form in node.forms.items()}
    return NodeRecord(plan, node.number, parent, node.start, forms, node.lane)
