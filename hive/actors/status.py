"""How things stand, as plain data: what `hive status --json` prints, of a live coordinator or of one made from a
stopped root.

It must not know sockets, stores, or how the data is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hive.planner.search_plan import Place

if TYPE_CHECKING:
    from hive.actors.books import Books
    from hive.actors.runs import Run
    from hive.actors.sharing import Sharing
    from hive.storage.records import PinRecord

__all__ = ["status"]


def status(books: Books, sharing: Sharing, now: float) -> dict[str, Any]:
    """Plans, runs, leases and nodes. Times are seconds before `now`."""
    charged_s = sharing.shares.charged_s
    total_s = sum(charged_s.values())
    return {
        "plans": [
            {
                "plan": p.name,
                "study": p.record.study,
                "merge": p.record.merge,
                "trainer": f"{p.record.source.module}.{p.record.source.qualname}",
                "file": p.record.source.path,
                "nodes": len(p.tree.nodes),
                "steps_trained": p.tree.trained_steps(),
                "requests_pending": len(p.tree.pending),
                "checkpoints": sum(s.checkpoint is not None for s in p.standings.values()),
                "checkpoint_bytes": p.bytes,
                "evicted": sum(s.checkpoint is None for s in p.standings.values()),
                "step_s": p.estimates.step_s.value if p.estimates.step_s.count else None,
            }
            for p in books.plans.values()
        ],
        "runs": [
            {
                "run": r.name,
                "study": r.record.study,
                "plan": r.record.plan,
                "state": state(r),
                "weight": r.record.weight,
                "share": charged_s.get((r.record.plan, r.record.study), 0.0) / total_s if total_s > 0 else 0.0,
                "trainers": len(sharing.shares.batches_of((r.record.plan, r.record.study))),
                "age_s": now - r.record.opened_at,
                "answered": r.record.told,
                "waiting": len(r.waiting),
                **msgspec.to_builtins(r.record.counts),
            }
            for r in books.runs.values()
        ],
        "pins": [pinned(books, pin) for pin in books.pins.values()],
        "leases": [
            {
                "lease": lease.number,
                "plan": lease.record.plan,
                "trainer": lease.record.trainer,
                "from_step": lease.record.origin[1] if lease.record.origin else 0,
                "steps_run": lease.steps_run,
                "boundaries_ahead": [list(place) for place in lease.ahead],
                "age_s": now - lease.record.granted_at,
            }
            for lease in books.leases.leases.values()
        ],
        "nodes": [
            {"node": name, "slots": [slot.trainer if slot else None for slot in node.slots]}
            for name, node in books.staff.nodes.items()
        ],
    }


def pinned(books: Books, pin: PinRecord) -> dict[str, Any]:
    """A pin, and what stands at its place."""
    standing = books.plans[pin.plan].standings[Place(pin.node, pin.step)]
    return {
        "kind": pin.kind,
        "name": pin.name,
        "plan": pin.plan,
        "step": pin.step,
        "digest": standing.digest,
        "metrics": standing.metrics,
        "file": standing.checkpoint.name if standing.checkpoint is not None else None,
        "bytes": standing.checkpoint.bytes if standing.checkpoint is not None else 0,
    }


def state(run: Run) -> str:
    """How a run stands, in a word: what people said of it comes first, then what its session does."""
    if run.record.closed:
        return "closed"
    if run.record.command:
        return {"pause": "paused", "cancel": "cancelled"}[run.record.command]
    if run.paused:
        return "silent"
    return "waiting" if run.open else "idle"
