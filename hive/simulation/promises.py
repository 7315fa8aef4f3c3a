"""What hive promises, each as a check that a history keeps or breaks.

A check takes plain facts, says the promise's sentence in its docstring, and raises `BrokenError` where they break it.
It must not know how the facts came about, or what went wrong on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hive.actors.actor import Commit, Effect
from hive.actors.books import Books
from hive.actors.messages import Amended, Notice, Told
from hive.planner.running import Ends, Way
from hive.storage.records import LeaseRecord, RunCounts, StandingRecord
from hive.storage.store import Put, Write

__all__ = [
    "BrokenError",
    "adds_up",
    "answered_once",
    "as_if_alone",
    "files_are_there",
    "first_record_stands",
    "goes_on",
    "granted_once",
    "known",
    "no_start_is_given_up",
    "noted_stands",
    "old_notice_changes_nothing",
    "promises_are_ahead",
    "restart_changes_nothing",
    "told_again",
    "told_in_order",
]


class BrokenError(AssertionError):
    """A promise is broken. `promise`: "P1" to "P8"."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise
        self.what = what


def demand(holds: object, promise: str, what: str) -> None:
    """Raise `BrokenError` unless it holds."""
    if not holds:
        raise BrokenError(promise, what)


def answered_once(
    asked: Mapping[tuple[int, int], int],
    released: Collection[int],
    told: Sequence[Told],
    may_fail: Callable[[str], bool],
) -> None:
    """P1: an accepted request is never lost and gets exactly one final answer per run that wants it: metrics, or a
    failure with its reason.

    Asked for again before it was answered it is the same request; afterwards it is another one. What was released may
    be answered or not. `may_fail`: whether something went wrong that a reason names.
    """
    answers = Counter((answer.trial, answer.step) for answer in told)
    for place, count in answers.items():
        demand(count <= asked.get(place, 0), "P1", f"trial and step {place} answered {count} times")
    for place in asked:
        demand(place in answers or place[0] in released, "P1", f"trial and step {place} not answered")
    for answer in told:
        final = answer.metrics is not None if answer.error is None else may_fail(answer.error)
        demand(final, "P1", f"trial {answer.trial} at step {answer.step} is told {answer.error or 'nothing'}")


def first_record_stands(before: StandingRecord | None, after: StandingRecord) -> None:
    """P2: at most one record stands at (node, step).

    A later one may add what the first lacks, metrics or a checkpoint; and a checkpoint may be given up."""
    if before is None:
        return
    what = f"{before} became {after}"
    demand(after.digest == before.digest, "P2", what)
    demand(before.metrics is None or repr(after.metrics) == repr(before.metrics), "P2", what)
    demand(None in (before.checkpoint, after.checkpoint) or after.checkpoint == before.checkpoint, "P2", what)


def old_notice_changes_nothing(notice: Notice, leases: Collection[int], effects: Sequence[Effect]) -> None:
    """P2: a notice of an old attempt changes nothing.

    `leases`: the numbers of the batches that are out. What the quiet moment after it brings may be written."""
    if notice.lease in leases:
        return
    writes = [write for effect in effects if isinstance(effect, Commit) for write in effect.writes]
    for write in writes:
        found = isinstance(write, Put) and isinstance(record := write.record, StandingRecord) and record.checkpoint
        demand(not found, "P2", f"a notice of the old lease {notice.lease} brought {write}")


def noted_stands(notice: Notice, standing: StandingRecord | None) -> None:
    """P1: what a trainer is told is noted stands, for it will not be said again."""
    lost = notice.checkpoint is not None and standing is None
    unmeasured = notice.metrics is not None and standing is not None and standing.metrics is None
    demand(not (lost or unmeasured), "P1", f"{notice} is noted, and {standing} stands")


def granted_once(ends: Ends, ways: Sequence[Way]) -> None:
    """P6: each repeated step with its cause. That one batch is granted what another will leave a checkpoint of is none.

    `ends`: the stages of a batch when it is granted; `ways`: what others that are out have ahead."""
    for node, begin, end in ends:
        for way in ways:
            stops = [stop for other, _, stop in way.ends if other == node and (node, stop) not in way.passes]
            both = any(max(begin, way.step) < stop <= end for stop in stops)
            demand(not both, "P6", f"steps {begin} to {end} of node {node} are granted, and {way} has them ahead")


def told_in_order(run: str, told: int, number: int) -> None:
    """P3: a run is told its answers in one order, the journal's, each once."""
    demand(number == told + 1, "P3", f"{run} was told its answer {number} after {told} others")


def told_again(run: str, before: Sequence[Any], after: Sequence[Any]) -> None:
    """P3: also over restarts of anything. `before`: what was told until then; `after`: what is told by now."""
    same = list(after[: len(before)]) == list(before)
    demand(same, "P3", f"{run} was told {list(before)} before and {list(after)} after a restart")


def restart_changes_nothing(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """P4: the plan after a restart equals the plan after the last commit. Both as `known` says them."""
    for part, value in before.items():
        demand(value == after[part], "P4", f"{part} was {value} and is {after[part]} after a restart")


def known(books: Books) -> dict[str, Any]:
    """What a coordinator knows and its store should, in parts that can be compared.

    Who lives is not in the store; neither is which runs are paused because nobody speaks for them, so what they wait
    for is left out."""
    plans, found = books.plans, dict[str, Any]()
    found["counters"] = dict(books.counters)
    found["losses"] = {key: count for key, count in books.losses.items() if count}
    found["pins"] = dict(books.pins)
    found["leases"] = {number: lease.record for number, lease in books.leases.leases.items()}
    for name, plan in plans.items():
        nodes = plan.tree.nodes
        found[f"nodes of {name}"] = [(n.parent and n.parent.number, n.start, str(n.forms), n.lane) for n in nodes]
        found[f"standings of {name}"] = sorted((key, repr(record)) for key, record in plan.standings.items())
        found[f"steps trained of {name}"] = [node.trained_to for node in nodes]
        found[f"promises of {name}"] = dict(plan.tree.promises)
        measured = [*plan.estimates.by_node.items(), *plan.means.items()]  # sums over nodes are made in another order
        found[f"seconds measured of {name}"] = {of: (mean.total, mean.count) for of, mean in measured}
    for name, run in books.runs.items():
        found[f"run {name}"] = run.record
        if not run.record.closed:
            found[f"wants of {name}"] = dict(run.wants)
            found[f"journal of {name}"] = [repr(e) for e in (*run.journal.told, None, *run.journal.replay)]
            found[f"held for {name}"] = list(run.journal.held.values())
            found[f"released by {name}"] = set(run.released)
            found[f"announced by {name}"] = dict(run.announced)
    return found


def files_are_there(writes: Sequence[Write], verified: Callable[[StandingRecord], bool]) -> None:
    """P5: every checkpoint named by a committed record exists and verifies.

    A file that was damaged after it was durable is the disk's lie, which is no promise."""
    for write in writes:
        if isinstance(write, Put) and isinstance(write.record, StandingRecord) and write.record.checkpoint is not None:
            demand(verified(write.record), "P5", f"{write.record} names what is not there")


def no_start_is_given_up(names: Collection[str], starts: Collection[str | None]) -> None:
    """P5: every checkpoint that a batch starts from is there as long as the batch is out.

    `names`: files that are to be deleted."""
    needed = set(names).intersection(starts)
    demand(not needed, "P5", f"{sorted(map(str, needed))} are to be deleted, and batches that are out start from them")


def adds_up(run: str, counts: RunCounts) -> None:
    """P6: steps_run = steps_distinct - steps_reused + steps_repeated, each repeated step with its cause (late branch,
    failure, eviction).

    Of a run whose every request was trained; what failed or was released may never be."""
    repeated = counts.late_branch + counts.failure + counts.evicted
    due = counts.steps_distinct - counts.steps_reused + repeated
    demand(counts.steps_run == due, "P6", f"{run} ran {counts.steps_run} steps instead of {due}: {counts}")


def as_if_alone(run: str, told: Told, digest: str, metrics: Mapping[str, float]) -> None:
    """P7: merged = unmerged: same values at the same steps, same metrics, same digests.

    `digest`, `metrics`: what training the config alone comes to, whose digest says all its values."""
    figures = told.metrics is not None and repr(sorted(told.metrics.items())) == repr(sorted(metrics.items()))
    same = told.error is not None or (told.digest == digest and figures)  # as text: NaN is not equal to itself
    demand(same, "P7", f"{run} was told {told}, and alone it is {digest} with {dict(metrics)}")


def promises_are_ahead(message: Notice | Amended, lease: LeaseRecord) -> None:
    """P8: some wanted stage makes progress. Nobody waits for a boundary that a batch has passed, once it said so."""
    behind = [end for end in lease.ends if end[2] < message.step and lease.noted >= message.number]
    demand(not behind, "P8", f"{behind} is waited for, and {message} was applied")


def goes_on(wanted: bool, done_before: object, done_after: object, seconds: float) -> None:
    """P8: if coordinator, one trainer and the links between stay up for T seconds, some wanted stage makes progress."""
    demand(not wanted or done_before != done_after, "P8", f"nothing came of what is wanted for {seconds:g} s")
