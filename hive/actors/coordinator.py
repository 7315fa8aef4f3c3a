"""The coordinator: owns the search plans, hands out batches, writes down what comes back, and tells each run its
answers.

    a session asks    -> requests in the plan -> answered already? told at once : pending          sessions.py
    a person commands -> runs are paused, resumed, cancelled                                       commands.py
    a trainer is idle -> the least served study's critical path -> lease + Grant                   sharing.py
    a Notice comes    -> a standing -> everybody who waited for it is told                         dispatch.py
    what may go       -> checkpoints beyond the bytes, pins                                         upkeep.py
    what it knows     -> plans, runs, leases, and how they come back from the store                books.py

Whatever it decides is in the turn's commit before anybody hears of it; to restart is to construct it from the store.
Messages may come twice, late or never: each handler says nothing new when it is called again with the same message.

It must not know sockets, files, clocks, processes, or torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from hive.actors.actor import (
    Called,
    Effect,
    Event,
    FilesDeleted,
    FilesListed,
    Quiet,
    Received,
    StartTimer,
    TimerFired,
    Turn,
)
from hive.actors.books import Books
from hive.actors.commands import Commands
from hive.actors.dispatch import Dispatch
from hive.actors.messages import (
    Amended,
    Announce,
    Ask,
    AskTime,
    CloseRun,
    Collect,
    LeaseEnded,
    NodeBeat,
    Notice,
    OpenRun,
    Pin,
    Refused,
    Release,
    SessionBeat,
    Status,
    StatusQuery,
    StudyCommand,
    TrainerBeat,
    TrainerBroken,
    TrainerExited,
)
from hive.actors.sessions import Sessions
from hive.actors.sharing import Sharing
from hive.actors.status import status
from hive.actors.trees import RECORDS_MAX, known_trees
from hive.actors.upkeep import Upkeep
from hive.storage.records import NOWHERE, CheckpointFolder
from hive.storage.store import Store

__all__ = ["AggregatorAt", "Coordinator", "CoordinatorSettings"]

DONE_KEPT_S = 86_400.0
"""A script may think for long between two tuners; a run that is done costs memory only, until it is closed."""


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    """What the coordinator's owner may choose.

    Attributes:
        session_lease_s: how long a run may go without a word from its session before what only it wants is paused;
            seconds.
        lease_s: how long a trainer may go without a sign of life before its batch is given to another; seconds.
        hang_s: how long a batch may take over one step, with its start, what is measured and what is saved; then its
            trainer is ended, and the batch lost. Seconds; infinite for no limit.
        beat_s: how often leases are looked at; seconds.
        attempts_max: leases lost on one stage (>= 1) before the requests behind it fail.
        checkpoint_bytes_max: bytes that all checkpoints may take, beyond which some are given up; 0 for no limit.
        checkpoints: where the checkpoint files are, for trainers; nowhere if they know it.
        close_runs: whoever had to do with the runs and batches left open in the store is dead. Runs that were done are
            closed, others wait for one that goes on from them. The batches are over; no trainer is to blame, so no
            loss is counted.
        whole_paths: every batch is a whole critical path, as Hippo hands them out; else near the end of a search the
            first part of one.
    """

    session_lease_s: float = 60.0
    lease_s: float = 30.0
    hang_s: float = 86_400.0
    beat_s: float = 1.0
    attempts_max: int = 3
    checkpoint_bytes_max: int = 0
    checkpoints: CheckpointFolder = NOWHERE
    close_runs: bool = False
    whole_paths: bool = False


@dataclass(frozen=True, slots=True)
class AggregatorAt:
    """The driver says where the aggregator listens now."""

    address: str


class Coordinator:
    """The actor. One for a root; the only one that writes to its store."""

    def __init__(self, store: Store, now: float, settings: CoordinatorSettings | None = None) -> None:
        self.settings = settings or CoordinatorSettings()
        self.books = Books(store, now, self.settings.lease_s, self.settings.checkpoints)
        self.now = now
        sessions = self.sessions = Sessions(self.books)
        self.sharing = Sharing(self.books, whole_paths=self.settings.whole_paths)
        upkeep = self.upkeep = Upkeep(self.books, store, self.settings.checkpoint_bytes_max)
        dispatch = self.dispatch = Dispatch(self.books, self.sharing, self.settings.attempts_max)
        self.handlers: dict[type, Callable[[str, Any, float, Turn], None]] = {
            OpenRun: sessions.on_open_run,
            Ask: sessions.on_ask,
            AskTime: sessions.on_ask_time,
            Announce: sessions.on_announce,
            Release: sessions.on_release,
            CloseRun: sessions.on_close_run,
            SessionBeat: sessions.on_session_beat,
            TrainerBeat: dispatch.on_trainer_beat,
            Notice: dispatch.on_notice,
            Amended: dispatch.on_amended,
            LeaseEnded: dispatch.on_lease_ended,
            TrainerBroken: dispatch.on_trainer_broken,
            NodeBeat: dispatch.on_node_beat,
            TrainerExited: dispatch.on_trainer_exited,
            StudyCommand: Commands(self.books).on_study_command,
            Collect: upkeep.on_collect,
            Pin: upkeep.on_pin,
            FilesDeleted: upkeep.on_files_deleted,
            FilesListed: upkeep.on_files_listed,
            StatusQuery: self.on_status_query,
            AggregatorAt: self.on_aggregator_at,
        }

    def start(self, now: float) -> list[Effect]:
        """Begin to look at the leases; end the runs and batches whose processes are all dead."""
        turn = Turn()
        if self.settings.close_runs:
            for run in self.books.runs.values():
                if run.record.done and not run.record.closed:
                    self.books.close(run, turn)
                elif not run.record.closed:
                    run.heard = -math.inf
                    self.books.pause(run, turn)
            for lease in list(self.books.leases.leases.values()):
                self.dispatch.end(lease, lease.record.granted_at, turn)  # nobody knows until when it was trained
        self.upkeep.start(turn)
        turn.do(StartTimer("beat", self.settings.beat_s))
        return turn.effects()

    def handle(self, event: Event, now: float) -> list[Effect]:
        """A message goes to its handler; once all that came are handled, whoever is idle gets what became ready."""
        turn = Turn()
        self.overlook(now)
        if isinstance(event, TimerFired):
            self.beat(now, turn)
        elif isinstance(event, Received):
            self.take(event.sender, event.message, now, turn)
        elif isinstance(event, Called):
            self.take("", event.call, now, turn)
        elif isinstance(event, Quiet):
            self.quiet(now, turn)
        return turn.effects()

    def overlook(self, now: float) -> None:
        """Its own beat comes every `beat_s`: if nothing was handled for longer, it was suspended or held up, and what
        others said meanwhile is still to be read. That time counts as nobody's silence."""
        away_s = now - self.now - self.settings.beat_s
        self.now = now
        if away_s > 0:
            self.books.overlook(away_s)
            self.sessions.succession.overlook(away_s)

    def quiet(self, now: float, turn: Turn) -> None:
        """All that came is handled: say so, and decide what follows from it."""
        self.books.acknowledge(turn)
        if self.books.unsettled:
            self.books.unsettled = False
            self.upkeep.settle(turn)
            self.dispatch.settle(now, turn)

    def take(self, sender: str, message: Any, now: float, turn: Turn) -> None:
        """Hand a message to its handler."""
        handler = self.handlers.get(type(message))
        if handler is not None:
            handler(sender, message, now, turn)
        else:
            turn.send(sender, Refused(f"a coordinator takes no {type(message).__name__}"))

    def beat(self, now: float, turn: Turn) -> None:
        """Give up the leases whose trainers are silent or come no further, and pause the runs whose sessions are."""
        self.books.staff.forget_silent(now - self.settings.lease_s)
        for lease in self.books.leases.expired(now):
            self.dispatch.lose(lease, f"was not heard of for {self.settings.lease_s:g} s", now, turn)
        for lease in self.books.leases.standing_still(now - self.settings.hang_s):
            self.dispatch.give_up(lease, self.settings.hang_s, now, turn)
        for run in self.books.runs.values():
            silent_s = now - run.heard
            if run.record.closed:
                continue
            if run.record.done and silent_s > DONE_KEPT_S:
                self.books.close(run, turn)
            elif not run.paused and silent_s > self.settings.session_lease_s:
                self.books.pause(run, turn)
        turn.do(StartTimer("beat", self.settings.beat_s))

    def on_aggregator_at(self, sender: str, message: AggregatorAt, now: float, turn: Turn) -> None:
        """The driver started an aggregator."""
        self.dispatch.aggregator = message.address

    def on_status_query(self, sender: str, message: StatusQuery, now: float, turn: Turn) -> None:
        """Anyone asks how things stand."""
        state = status(self.books, self.sharing, now)
        if message.trees:
            trees = known_trees(self.books)
            count = sum(len(tree.nodes) + len(tree.standings) + len(tree.wants) for tree in trees)
            if count > RECORDS_MAX:
                turn.send(
                    sender, Refused(f"the plans have {count:,} records, {RECORDS_MAX:,} at most fit in a message")
                )
                return
            state["trees"] = msgspec.to_builtins(trees)
        turn.send(sender, Status(state))
