"""Faults planted in the product, one at a time: do seeds catch them?

    python -m tests.simulation.canaries 0-99        how many of these seeds catch each, and by which promise

A mutant is one function whose source is changed in one place. It is put in force in this process only.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hive.actors.books import Books
from hive.actors.coordinator import Coordinator
from hive.actors.dispatch import Dispatch
from hive.actors.plans import LivePlan
from hive.actors.runs import Run
from hive.actors.session import Session
from hive.actors.sessions import Sessions
from hive.actors.simulator import Simulator
from hive.actors.staff import Staff
from hive.actors.succession import Succession
from hive.actors.trainer import TrainerActor
from hive.actors.upkeep import Upkeep
from hive.planner.search_plan import SearchPlan
from hive.simulation.life import lived

__all__ = ["MUTANTS", "Mutant", "in_force"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault in the product.

    Attributes:
        name: what is wrong.
        owner, method: the function.
        old, new: what its source says once, and says instead.
        reason: why few seeds catch it, or none; "" if any forty do.
    """

    name: str
    owner: type
    method: str
    old: str
    new: str
    reason: str = ""


MUTANTS = [
    Mutant(
        "says before it commits",
        Simulator,
        "carry_out",
        "host.store.commit(writes)",
        "self.later(0.5, lambda: host.store.commit(writes))",
    ),
    Mutant("applies what was applied", Sessions, "run_of", "!= run.record.applied + 1", "> run.record.applied + 1"),
    Mutant("applies what comes too early", Sessions, "run_of", "!= run.record.applied + 1", "<= run.record.applied"),
    Mutant("stores no session number", Sessions, "on_ask", "turn.put(run.record)", "pass"),
    Mutant(
        "takes a message for that of the next attempt",
        Dispatch,
        "next_of",
        "self.books.leases.leases.get(message.lease)",
        "self.books.leases.of_trainer(message.trainer)",
    ),
    Mutant("applies a notice twice", Dispatch, "next_of", "message.number == lease", "message.number <= lease"),
    Mutant(
        "applies notices out of order",
        Dispatch,
        "next_of",
        "message.number == lease",
        "message.number >= lease",
    ),
    Mutant("writes no notice down", Dispatch, "on_notice", "turn.put(lease.record)", "pass"),
    Mutant(
        "tells one of those who wait",
        Books,
        "answer",
        "sorted(plan.tree.take(place))",
        "sorted(plan.tree.take(place))[:1]",
    ),
    Mutant("keeps a promise that came too late", Dispatch, "passed_by", "if behind:", "if False:"),
    Mutant("never withdraws promises", SearchPlan, "withdraw", "self.forget_promise(place)", "pass"),
    Mutant("promises nothing", SearchPlan, "promise", "for place in places:", "for place in ():"),
    Mutant("forgets the cause of a loss", Dispatch, "end", "failure=lost", "failure=0"),
    Mutant(
        "keeps the lease that is over in its store", Dispatch, "end", "turn.delete(LeaseRecord, record.key())", "pass"
    ),
    Mutant("counts what others trained as run", Run, "trained", "asked - paid)", "asked - begin)"),
    Mutant(
        "lets the last file stand",
        LivePlan,
        "found",
        "notice.checkpoint if first.checkpoint is None else first.checkpoint",
        "notice.checkpoint or first.checkpoint",
        "two batches seldom save at one place: 2 of 600 seeds; tests/actors/test_plans.py catches it",
    ),
    Mutant("stores no eviction", LivePlan, "evict", "turn.put(record)", "pass"),
    Mutant("gives up what a batch starts from", Upkeep, "fixed", "(r.origin, r.reached) if place", "()"),
    Mutant("stores no journal", Books, "enter", "turn.put(entry)", "pass"),
    Mutant("stores no answered wants", Books, "shut", "turn.put(closed)", "pass"),
    Mutant("comes back without promises", Books, "load_leases", "tree.promise(record.lease, lease.ahead)", "tree"),
    Mutant("comes back without losses", Books, "load_leases", "] = loss.count", "] = 0"),
    Mutant("comes back without what was measured", Books, "load_plans", "store.scan(MeasuredRecord, of)", "()"),
    Mutant("tells a replay in another order", Succession, "inherit", "of(entries, 0)", "of(entries[::-1], 0)"),
    Mutant(
        "forgets who spoke before it was suspended",
        Succession,
        "overlook",
        "{run: since + away_s for run",
        "{run: since for run",
        "a script must start again in the seconds before its coordinator is held up; test_succession.py catches it",
    ),
    Mutant("hands answers on as they come", Session, "on_told", "self.told + 1, None", "message.number, None"),
    Mutant("repeats no question", Session, "beat", "for message in self.unapplied:", "for message in ():"),
    Mutant("repeats no notice", TrainerActor, "beat", "for message in self.unnoted:", "for message in ():"),
    Mutant("trains a batch again", TrainerActor, "on_grant", "grant.lease <= self.last_lease", "False"),
    Mutant("repeats no grant", Dispatch, "on_trainer_beat", "turn.send(sender, plan.grant(lease.record))", "pass"),
    Mutant("repeats no order to a node", Staff, "node_beat", "turn.send(sender, assigned.order)", "pass"),
    Mutant("never gives a lease up", Coordinator, "beat", "self.books.leases.expired(now)", "()"),
]


def mutated(mutant: Mutant) -> Any:
    """The mutant's function."""
    function = getattr(mutant.owner, mutant.method)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(mutant.old) == 1, f"{mutant.name}: {source.count(mutant.old)} times in the source"
    names: dict[str, Any] = {}
    exec(source.replace(mutant.old, mutant.new), function.__globals__, names)
    return names[mutant.method]


@contextmanager
def in_force(mutant: Mutant) -> Iterator[None]:
    """While it lasts the product is wrong."""
    right = getattr(mutant.owner, mutant.method)
    setattr(mutant.owner, mutant.method, mutated(mutant))
    try:
        yield
    finally:
        setattr(mutant.owner, mutant.method, right)


def main(seeds: range) -> None:
    """Print for each mutant how many of the seeds catch it, after how many the first does, and by which promises."""
    print("| planted fault | caught by | seeds | after | reason |\n|---|---|---|---|---|")
    for mutant in MUTANTS:
        with in_force(mutant):
            broken = {seed: outcome.broken for seed in seeds if (outcome := lived(seed)).broken is not None}
        counts = Counter(promise for promise, _ in broken.values())
        promises = ", ".join(f"{promise} {count}" for promise, count in sorted(counts.items()))
        after = min(broken) - seeds[0] + 1 if broken else "-"
        print(f"| {mutant.name} | {promises} | {len(broken)} of {len(seeds)} | {after} | {mutant.reason} |", flush=True)


if __name__ == "__main__":
    begin, _, end = sys.argv[1].partition("-")
    main(range(int(begin), int(end) + 1))
