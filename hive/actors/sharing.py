"""Who gets a device next: idle trainers a batch of the study that is served least, and devices a trainer of its plan.

    a trainer is idle   -> of the studies that its plan could train for now, the least served
    a device is free    -> the plan with the least served study, counting what its trainers on their way will bring
    none is free        -> an idle trainer's device moves to another plan, if that one is owed enough

A study here is a study's name on one plan: two runs of it are one study, two versions of its code are two. It must not
know how a stage tree is cut, how usage is counted, or what a batch's message looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from hive.actors.actor import Turn
from hive.actors.books import Books
from hive.actors.plans import LivePlan
from hive.actors.staff import Trainer
from hive.planner.critical_path import Crew
from hive.planner.fairness import FairShares

__all__ = ["Sharing", "Study"]

Study = tuple[str, str]
"""A plan, and a study's name."""

TURN_S = 30.0
"""A trainer serves one plan, so moving a device to another plan costs the start of a process: a second without torch,
ten with a large data set. A plan is owed so many trainer-seconds before it gets a device that another could use."""


class Sharing:
    """The part of the coordinator that shares trainer time out.

    Args:
        books: what the coordinator knows.
        whole_paths: whether every batch is a whole path.

    Attributes:
        shares: what each study was charged. Not in the store: where nobody waits all begin anew from nothing, and a
            restart is no worse.
    """

    def __init__(self, books: Books, *, whole_paths: bool = False) -> None:
        self.books = books
        self.whole_paths = whole_paths
        self.shares: FairShares[Study] = FairShares()

    def settle(self, now: float, turn: Turn) -> None:
        """Give every idle trainer a batch, and every device that is free a trainer that could use one."""
        plans = [plan for plan in self.books.plans.values() if plan.tree.pending]
        for plan in plans:
            self.books.unsettled |= plan.paths.read_on()
        idle = {plan.name: self.books.staff.idle(plan.name, self.books.leases) for plan in plans}
        if not any(idle.values()) and not self.books.staff.unused(self.books.leases):
            return
        self.shares.arrive({study: self.weight(study) for plan in plans for study in self.ready(plan)})
        while (found := self.least_served([plan for plan in plans if idle[plan.name]])) is not None:
            plan, study = found
            trainer = idle[plan.name].pop(0)
            other = self.owed(plan, study, plans, trainer)
            if other is not None:
                self.hire(*other, turn)
            else:
                self.grant(plan, study, trainer, now, turn)
        self.shares.leave({study for plan in plans for study in self.ready(plan)})
        self.fill(plans, turn)

    def weight(self, study: Study) -> float:
        """What a study weighs."""
        return self.books.weights[study]

    # -- batches ------------------------------------------------------------------------------------------------

    def ready(self, plan: LivePlan) -> Iterator[Study]:
        """The studies for which a trainer of a plan could begin something now."""
        return ((plan.name, study) for study in plan.paths.studies())

    def least_served(self, plans: list[LivePlan]) -> tuple[LivePlan, Study] | None:
        """Whose turn it is on these plans: of studies that are served alike, the first; None if none is ready."""
        usage = self.shares.usage
        found = [(usage[study], at, study) for at, plan in enumerate(plans) for study in self.ready(plan)]
        _, at, study = min(found, default=(0.0, -1, ("", "")))
        return (plans[at], study) if found else None

    def grant(self, plan: LivePlan, study: Study, trainer: Trainer, now: float, turn: Turn) -> None:
        """Hand a trainer the next batch of a study, and charge whoever wants it."""
        stages = plan.paths.take(study[1], trainer.held, trainer.in_memory, self.crew(plan))
        costs = [(seconds, [(plan.name, name) for name in names]) for seconds, names in plan.paths.costs(stages)]
        record = plan.lease(self.books.number("leases", turn), stages, trainer.name, trainer.node, now)
        weights = {each: self.weight(each) for _, wanting in costs for each in wanting}
        self.shares.charge(record.lease, study, costs, weights)
        self.books.leases.add(record, now)
        turn.put(record)
        turn.send(trainer.address, plan.grant(record))

    def crew(self, plan: LivePlan) -> Crew | None:
        """The trainers of a plan before one of them gets a batch, those on their way included; None if paths are not
        shared out among them."""
        if self.whole_paths:
            return None
        idle = max(1, self.books.staff.coming(plan.name, self.books.leases))  # its node may not be heard of yet
        return Crew(idle + len(self.books.leases.of_plan(plan.name)), idle)

    # -- devices ------------------------------------------------------------------------------------------------

    def fill(self, plans: list[LivePlan], turn: Turn) -> None:
        """Start trainers on the devices that are free, or whose trainer's plan has nothing ready."""
        staff, leases = self.books.staff, self.books.leases
        while True:
            claims = [plan for plan in plans if self.lacking(plan) > 0 and staff.places_for(plan.name, leases)]
            if not claims:
                return
            plan = min(claims, key=self.claim)
            self.hire(plan, staff.places_for(plan.name, leases)[0], turn)

    def hire(self, plan: LivePlan, place: tuple[str, int], turn: Turn) -> None:
        """Start a trainer for a plan at a place."""
        self.books.staff.hire(plan.record, [place], partial(self.books.number, "trainers", turn), turn)

    def lacking(self, plan: LivePlan) -> int:
        """How many trainers more a plan could use now."""
        return plan.paths.ready - self.books.staff.coming(plan.name, self.books.leases)

    def claim(self, plan: LivePlan) -> float:
        """The least usage of a plan's waiting studies, if each trainer on its way had served the least for a turn."""
        coming = self.books.staff.coming(plan.name, self.books.leases)
        return min(self.shares.usage[study] + coming * TURN_S / self.weight(study) for study in self.ready(plan))

    def owed(
        self, plan: LivePlan, study: Study, plans: list[LivePlan], trainer: Trainer
    ) -> tuple[LivePlan, tuple[str, int]] | None:
        """The plan that an idle trainer's device should move to, although its own has work for a study, and the device:
        a plan that has fewer devices for its weight, and whose least served study lacks more than a turn for each
        trainer that is coming; None if there is none."""
        staff, leases = self.books.staff, self.books.leases
        place = staff.place_of(trainer.name)
        claims = [other for other in plans if other is not plan and self.lacking(other) > 0]
        if place is not None:
            claims = [other for other in claims if staff.fits(place[0], other.name)]
        if place is None or not claims:
            return None
        other = min(claims, key=self.claim)
        least = min(self.ready(other), key=lambda each: self.shares.usage[each])
        enough = self.shares.owed_s(least, study) >= TURN_S * (1 + staff.coming(other.name, leases))
        return (other, place) if enough and self.devices_held(other) < self.devices_held(plan) else None

    def devices_held(self, plan: LivePlan) -> float:
        """Trainers of a plan, for each unit of its waiting studies' weight."""
        return self.books.staff.serving(plan.name) / sum(self.weight(study) for study in self.ready(plan))
