"""What a run's user is told when it opens: whose training it shares, and of which earlier plan nothing, and why.

It must not know how a plan is chosen, or how a note travels."""

from __future__ import annotations

from collections.abc import Sequence

from hive.actors.books import Books
from hive.actors.plans import LivePlan
from hive.actors.succession import ABANDONED_S
from hive.storage.records import PlanRecord

__all__ = ["begins_anew", "joins"]

NAMED_MAX = 5
"""Names in a line that is to be read at a glance."""


def joins(books: Books, plan: LivePlan, now: float) -> str:
    """For a run that joins a plan: what it finds there; "" for nothing."""
    there = found_on(books, plan, now)
    return f"shares plan {plan.name} ({there})" if there else ""


def begins_anew(books: Books, new: PlanRecord, now: float) -> str:
    """For a run that begins a plan: why it is not one that its study had before; "" if it had none.

    Of several, as when two versions of a file are in use, it is the one that differs least, the latest of these.
    """
    had = {run.record.plan for run in books.runs.values() if run.record.study == new.study}
    earlier = [plan for plan in books.plans.values() if plan.name in had and plan.record.merge == new.merge]
    if not earlier:
        return ""
    old = min(earlier, key=lambda plan: (len(differing_code(plan.record, new)), -plan.record.created_at))
    there = found_on(books, old, now) or "nothing trained"
    return f"{what_changed(old.record, new)}: a new plan begins, which shares nothing with plan {old.name} ({there})"


def found_on(books: Books, plan: LivePlan, now: float) -> str:
    """What is trained on a plan, and who is at work there; "" for nothing and nobody."""
    steps = plan.tree.trained_steps()
    at_work = sorted(
        run.name
        for run in books.runs.values()
        if run.record.plan == plan.name and run.session and run.heard > now - ABANDONED_S
        if not (run.record.closed or run.record.done or run.record.command)
    )
    said = [f"{steps} steps trained so far"] if steps else []
    said += [f"at work on it: {listed(at_work)}"] if at_work else []
    return ", ".join(said)


def what_changed(old: PlanRecord, new: PlanRecord) -> str:
    """What of a plan key is not the same."""
    was, now = (f"{record.source.module}.{record.source.qualname}" for record in (old, new))
    said = []
    if was != now:
        said.append(f"the trainer is another ({now}, before: {was})")
    elif code := differing_code(old, new):
        said.append(f"code that the trainer reaches changed ({listed(code)})")
    if settings := differing_settings(old, new):
        said.append(f"settings of the study changed ({listed(settings)})")
    return " and ".join(said) or "the study has another plan key"


def differing_code(old: PlanRecord, new: PlanRecord) -> list[str]:
    """The parts of the trainer's code that changed, came or went."""
    return sorted({name for name, _ in old.parts.items() ^ new.parts.items()})


def differing_settings(old: PlanRecord, new: PlanRecord) -> list[str]:
    """The settings of a study that changed."""
    was, now = old.source, new.source
    names = [name for name in ("dataset", "seed") if getattr(was, name) != getattr(now, name)]
    names += ["names of the hyper-parameters"] if was.names != now.names else []
    keys = sorted(was.fixed.keys() | now.fixed.keys())
    return names + [f"fixed {key}" for key in keys if was.fixed.get(key) != now.fixed.get(key)]


def listed(names: Sequence[str]) -> str:
    """Names in a line."""
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
