"""What trainers and node managers say to the coordinator: what was found, who lives, and what a loss costs.

    a Notice comes    -> a standing -> everybody who waited for it is told
    wishes change     -> Amend: the batches that are out stop where they are wanted now, and nowhere else
    a trainer is lost -> its lease's promises are withdrawn -> the same steps become stages again

Who gets which batch is decided in sharing.py. It must not know sessions, sequences, or how a plan is made.
"""

from __future__ import annotations

import msgspec

from hive.actors.actor import Deliver, Turn
from hive.actors.books import Books
from hive.actors.leases import Lease
from hive.actors.messages import (
    Amended,
    LeaseEnded,
    NodeBeat,
    Noted,
    Notice,
    StopLease,
    TrainerBeat,
    TrainerBroken,
    TrainerExited,
)
from hive.actors.plans import LivePlan, evicted_to
from hive.actors.sharing import Sharing
from hive.planner.search_plan import Place
from hive.storage.records import LeaseRecord, LossRecord

__all__ = ["Dispatch"]


class Dispatch:
    """The coordinator's handlers of what trainers and nodes say. Each takes (sender, message, now, turn).

    Args:
        books: what the coordinator knows.
        sharing: what each batch is charged to.
        attempts_max: leases lost in a row on one stage before the requests behind it fail.
    """

    def __init__(self, books: Books, sharing: Sharing, attempts_max: int) -> None:
        self.books = books
        self.sharing = sharing
        self.attempts_max = attempts_max
        self.aggregator = ""

    # -- trainers -----------------------------------------------------------------------------------------------

    def on_trainer_beat(self, sender: str, message: TrainerBeat, now: float, turn: Turn) -> None:
        """A trainer lives. What it runs against what it should: what it did not hear is said again."""
        trainer = self.books.staff.beat(message, sender, now)
        plan = self.books.plans.get(message.plan)
        if trainer is None or plan is None:
            return
        plan.start_failures = 0
        self.books.leases.renew(message.trainer, now)
        lease = self.books.leases.of_trainer(message.trainer)
        if message.lease is not None and (lease is None or lease.number != message.lease):
            turn.send(sender, StopLease(message.trainer, message.lease))
        elif message.lease is not None and lease is not None:
            lease.came_to(message.steps_run, message.step, now)
            if lease.stopping:
                turn.send(sender, StopLease(message.trainer, lease.number))
            elif message.amendment < lease.record.amendment:
                turn.send(sender, plan.amend(lease.record))
        elif lease is not None:
            if lease.record.ends:  # the grant was lost or is on its way; without, it is done, and will say so
                turn.send(sender, plan.grant(lease.record))
        else:
            trainer.at_hand(message)
            self.books.unsettled = True

    def on_notice(self, sender: str, message: Notice, now: float, turn: Turn) -> None:
        """A boundary was reached: what was found there stands, and whoever waited is told."""
        lease = self.next_of(sender, message, turn)
        if lease is None:
            return
        plan = self.books.plans[lease.record.plan]
        place = Place(message.node, message.step)
        self.account(lease, plan, message, turn)
        lease.moved = now
        self.books.leases.renew(message.trainer, now)
        plan.tree.keep(lease.number, place)
        lease.record = passed(lease.record, message)
        self.passed_by(lease, plan, message.step)
        turn.put(lease.record)
        if plan.tree.answer(place) is not None:
            self.books.answer(plan, place, None, turn)
        self.books.unsettled = True

    def on_amended(self, sender: str, message: Amended, now: float, turn: Turn) -> None:
        """A batch was cut anew, save where it had come too far: what was asked for there must be trained again."""
        lease = self.next_of(sender, message, turn)
        if lease is None:
            return
        lease.record = msgspec.structs.replace(lease.record, noted=message.number)
        self.passed_by(lease, self.books.plans[lease.record.plan], message.step)
        turn.put(lease.record)
        self.books.unsettled = True

    def passed_by(self, lease: Lease, plan: LivePlan, step: int) -> None:
        """A batch has done `step` steps, and has told of all boundaries that it met: others behind it come too late.
        Where it merely passed is behind it, too."""
        lease.step = max(lease.step, step)
        behind = [Place(node, end) for node, _, end in lease.record.ends if end < step]
        if behind:
            ends = tuple(e for e in lease.record.ends if e[2] >= step)
            passes = tuple(p for p in lease.record.passes if p[1] >= step)
            lease.record = msgspec.structs.replace(lease.record, ends=ends, passes=passes)
            plan.tree.take_back(lease.number, behind)

    def next_of(self, sender: str, message: Notice | Amended | LeaseEnded, turn: Turn) -> Lease | None:
        """The lease that a trainer's message is about, if the message is the next to apply.

        What was applied, or is about a lease that is over, is noted again; what came too early will be said again.
        """
        lease = self.books.leases.leases.get(message.lease)
        if lease is None or lease.record.trainer != message.trainer:
            turn.send(sender, Noted(message.number, message.lease))  # now: it says nothing of later leases
            if isinstance(message, Notice):
                turn.send(sender, StopLease(message.trainer, message.lease))
            return None
        applies = message.number == lease.record.noted + 1
        self.books.unacknowledged[sender] = Noted(lease.record.noted + applies, lease.number)
        return lease if applies else None

    def account(self, lease: Lease, plan: LivePlan, notice: Notice, turn: Turn) -> None:
        """Count the steps that a notice makes durable, and write down what it found.

        Of the steps from the last boundary to here, under all nodes that were passed, those that somebody had trained
        before are repeated, for want of a checkpoint: one that was evicted, or one where a branch was asked for too
        late."""
        begin = notice.step - (notice.steps_run - lease.record.steps_noted)
        way = list(plan.tree.since(Place(notice.node, notice.step), begin))
        payer = self.books.runs[lease.record.payer]
        repeated, evicted, gone = 0, 0, evicted_to(way)
        for node, start, end in way:
            known = max(start, min(end, node.trained_to))
            self.books.charge(payer, node, known, end, turn)
            repeated += known - start
            evicted += max(0, min(known, gone) - start)
        new = plan.found(notice, turn)
        plan.learn(notice, way, turn)
        payer.count(steps_run=repeated, late_branch=repeated - evicted, evicted=evicted, checkpoint_count=int(new))
        turn.put(payer.record)
        first = way[-1][0].number if way else notice.node
        if self.books.losses.pop((plan.name, Place(first, begin)), None) is not None:
            turn.delete(LossRecord, (plan.name, first, begin))

    def on_lease_ended(self, sender: str, message: LeaseEnded, now: float, turn: Turn) -> None:
        """A trainer is done with a batch; if user code failed, so do the requests behind that place."""
        lease = self.next_of(sender, message, turn)
        if lease is None:
            return
        plan = self.books.plans[lease.record.plan]
        lease.steps_run = message.steps_run
        if message.load_s is not None:
            plan.loaded(message.load_s, turn)
        self.end(lease, now, turn)
        trainer = self.books.staff.trainers.get(message.trainer)
        if trainer is not None:
            trainer.at_hand(message)
        if message.error is not None and message.failed_node is not None and message.failed_step is not None:
            self.books.fail(
                plan, plan.tree.blocked(Place(message.failed_node, message.failed_step)), message.error, turn
            )

    def end(self, lease: Lease, now: float, turn: Turn) -> None:
        """A lease is over: what it ran without a checkpoint to show for it is lost, and will be run again."""
        record = lease.record
        del self.books.leases.leases[record.lease]
        turn.delete(LeaseRecord, record.key())
        self.books.plans[record.plan].tree.withdraw(record.lease)
        busy_s = max(0.0, now - record.granted_at)
        self.sharing.shares.settle(record.lease, busy_s)
        lost = max(0, lease.steps_run - record.steps_noted)
        payer = self.books.runs[record.payer]
        payer.count(steps_run=lost, failure=lost, trainer_busy_s=busy_s)
        turn.put(payer.record)
        self.books.unsettled = True
        self.books.settle_account(payer, turn)

    def lose(self, lease: Lease, why: str, now: float, turn: Turn) -> None:
        """A trainer is gone with its lease. After `attempts_max` on one stage, the requests behind it fail."""
        record, plan = lease.record, self.books.plans[lease.record.plan]
        self.end(lease, now, turn)
        self.books.staff.trainers.pop(record.trainer, None)
        if not record.ends:
            return
        place = plan.next_place(record, lease.from_step)
        start = Place(place.node, lease.from_step)
        count = self.books.losses[plan.name, start] = self.books.losses.get((plan.name, start), 0) + 1
        if count < self.attempts_max:
            turn.put(LossRecord(plan.name, start.node, start.step, count))
            return
        del self.books.losses[plan.name, start]
        turn.delete(LossRecord, (plan.name, start.node, start.step))
        error = f"the trainer {why}, {count} times in a row, while it trained on from step {start.step}"
        self.books.fail(plan, plan.tree.blocked(place), error, turn)

    def give_up(self, lease: Lease, stood_s: float, now: float, turn: Turn) -> None:
        """A trainer lives and comes no further: its process is ended, and its lease is lost."""
        trainer = lease.record.trainer
        why = f"did no step for {stood_s:g} s (hang_s)"
        turn.do(Deliver(f"trainer {trainer} {why}: it is ended, and its batch is given to another"))
        self.books.staff.replace(trainer, turn)
        self.lose(lease, why, now, turn)

    def on_trainer_broken(self, sender: str, message: TrainerBroken, now: float, turn: Turn) -> None:
        """A machine has not the plan's code, or does not see its checkpoints. If no machine does, nothing that is
        pending can be answered."""
        staff = self.books.staff
        if message.trainer in staff.gone:
            return
        staff.trainers.pop(message.trainer, None)
        plan = self.books.plans.get(message.plan)
        if staff.misfit(message.trainer, message.plan) and plan is not None:
            self.books.fail(plan, list(plan.tree.pending), message.error, turn)
        staff.retire(message.trainer, turn)

    # -- nodes --------------------------------------------------------------------------------------------------

    def on_node_beat(self, sender: str, message: NodeBeat, now: float, turn: Turn) -> None:
        """A node manager lives, and with it the trainers that it names. Others that it had are lost, if nobody could
        say so."""
        left = self.books.staff.leaving(message.node)
        began = self.books.staff.node_beat(message, self.aggregator, sender, now, turn)
        present = {slot.trainer for slot in message.slots}
        for lease in self.books.leases.of_node(message.node):
            if lease.record.trainer in present:
                lease.until = now + self.books.leases.lease_s
            elif began and left:
                self.end(lease, now, turn)
            elif began:
                self.lose(lease, "was gone when its node manager came back", now, turn)
        self.books.unsettled = True

    def on_trainer_exited(self, sender: str, message: TrainerExited, now: float, turn: Turn) -> None:
        """A trainer's process is gone."""
        turn.send(sender, Noted(message.number))
        lease = self.books.leases.of_trainer(message.trainer)
        assigned = self.books.staff.exited(message.trainer)
        why = exit_text(message.code, message.tail)
        if lease is not None and self.books.staff.leaving(message.node):
            self.end(lease, now, turn)  # by intention: nobody is to blame
        elif lease is not None:
            self.lose(lease, why, now, turn)
        elif assigned is not None and not assigned.heard and message.code != 0 and assigned.plan:
            self.start_failed(self.books.plans[assigned.plan], why, turn)
        self.books.unsettled = True

    def start_failed(self, plan: LivePlan, why: str, turn: Turn) -> None:
        """A trainer went before it said a word; after `attempts_max` in a row, what the plan waits for fails."""
        plan.start_failures += 1
        if plan.start_failures >= self.attempts_max:
            self.books.fail(plan, list(plan.tree.pending), f"the trainer {why}, before it was ready to train", turn)
            plan.start_failures = 0

    # -- deciding -----------------------------------------------------------------------------------------------

    def settle(self, now: float, turn: Turn) -> None:
        """Let the batches that are out stop where they should, and share out what is idle."""
        for plan in self.books.plans.values():
            self.amend(plan, turn)
        self.sharing.settle(now, turn)

    def amend(self, plan: LivePlan, turn: Turn) -> None:
        """Tell the plan's batches that are out what they should reach now; one that nobody needs is left."""
        if plan.settled:
            return
        leases = [lease for lease in self.books.leases.of_plan(plan.name) if lease.record.ends and not lease.stopping]
        if not leases:
            return
        for record in plan.amendments([lease.record for lease in leases], [lease.way for lease in leases]):
            lease = self.books.leases.leases[record.lease]
            trainer = self.books.staff.trainers.get(record.trainer)
            lease.stopping = not record.ends
            if not lease.stopping:
                lease.record = record
                turn.put(record)
            if trainer is not None:  # one that was not heard of is told at its beat
                message = StopLease(trainer.name, lease.number) if lease.stopping else plan.amend(record)
                turn.send(trainer.address, message)


def passed(lease: LeaseRecord, notice: Notice) -> LeaseRecord:
    """The lease after a notice: the boundary is no longer ahead, and what was run up to it is accounted for."""
    node, step = notice.node, notice.step
    ahead = [
        (n, max(start, step) if n == node else start, end) for n, start, end in lease.ends if (n, end) != (node, step)
    ]
    return msgspec.structs.replace(
        lease,
        ends=tuple(ahead),
        reached=(node, step),
        steps_noted=notice.steps_run,
        noted=notice.number,
        measured=tuple(place for place in lease.measured if place != (node, step)),
        passes=tuple(place for place in lease.passes if place != (node, step)),
    )


def exit_text(code: int, tail: str) -> str:
    """What a process's end means, for the person whose trainer it was."""
    if code == -9:
        text = "was killed by signal 9 (the kernel does that when memory runs out)"
    elif code < 0:
        text = f"was killed by signal {-code}"
    else:
        text = f"exited with code {code}"
    return f"{text}; its last words:\n{tail}\n" if tail.strip() else text
