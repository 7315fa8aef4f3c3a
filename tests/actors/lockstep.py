"""A coordinator whose peers are moved by hand, one message after the other, without a network.

A `HandTrainer` trains when it is told to: it takes the grants that reach it, and says what came of them. Every digest
it reports names its lease, so that it shows whose record stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from hive.actors.actor import (
    Called,
    Commit,
    DeleteFiles,
    Deliver,
    Effect,
    FilesDeleted,
    FilesListed,
    ListFiles,
    Quiet,
    Received,
    Send,
    TimerFired,
)
from hive.actors.books import Books
from hive.actors.coordinator import Coordinator, CoordinatorSettings
from hive.actors.messages import (
    Amend,
    Amended,
    Announce,
    AnnouncedTrial,
    Ask,
    AskTime,
    CloseRun,
    Grant,
    GrantedStage,
    LeaseEnded,
    Message,
    NodeBeat,
    Noted,
    Notice,
    Release,
    SessionBeat,
    Slot,
    StopLease,
    Told,
    TrainerBeat,
    TrainerExited,
)
from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import Config
from hive.simulation.clients import asked, opening
from hive.storage.memory_store import MemoryStore
from hive.storage.records import CheckpointFile

M = TypeVar("M", bound=Message)

STRAIGHT: Config = {"lr": Constant(1)}
DROPPED: Config = {"lr": MultiStep(1, [10], 0.1)}
TWICE_DROPPED: Config = {"lr": MultiStep(1, [10, 15], 0.1)}
OTHER: Config = {"lr": Constant(2)}


class Lockstep:
    """The coordinator, its store, and what it said to whom."""

    def __init__(self, settings: CoordinatorSettings | None = None) -> None:
        self.settings = settings or CoordinatorSettings()
        self.store = MemoryStore()
        self.files: dict[str, int] = {}
        self.now = 1_000.0
        self.numbers: dict[str, int] = {}
        self.noted_steps = 0
        self.lost_steps = 0
        self.restart()

    def restart(self) -> None:
        """The coordinator is thrown away, with all that it had said and nobody had read, and made from its store."""
        self.said: dict[str, list[Message]] = defaultdict(list)
        self.to_delete: list[str] = []
        self.to_list = 0
        self.warnings: list[str] = []
        self.coordinator = Coordinator(self.store, self.now, self.settings)
        self.carry_out(self.coordinator.start(self.now))

    @property
    def books(self) -> Books:
        return self.coordinator.books

    def say(self, sender: str, message: Message, *, after_s: float = 0.001) -> list[Message]:
        """The coordinator handles a message: what it says to its sender."""
        self.wait(after_s)
        self.carry_out(self.coordinator.handle(Received(sender, message), self.now))
        return self.said[sender]

    def wait(self, seconds: float) -> None:
        """Time passes for a coordinator that is up: it beats."""
        end = self.now + seconds
        while self.now + self.settings.beat_s <= end:
            self.beat(self.settings.beat_s)
        self.now = end

    def beat(self, after_s: float) -> None:
        """The coordinator looks at its leases; it is suspended if that is longer after it handled anything than it
        wanted."""
        self.now += after_s
        self.carry_out(self.coordinator.handle(TimerFired("beat"), self.now))

    def carry_out(self, effects: list[Effect]) -> None:
        effects = [*effects, *self.coordinator.handle(Quiet(), self.now)]
        for effect in sorted(effects, key=lambda effect: not isinstance(effect, Commit)):
            match effect:
                case Commit(writes):
                    self.store.commit(writes)
                case Send(to, message):
                    self.deliver(to, message)
                case DeleteFiles(names):
                    self.to_delete += names
                case ListFiles():
                    self.to_list += 1
                case Deliver(warning):
                    self.warnings.append(warning)

    def delete_files(self) -> list[str]:
        """The driver deletes what it was told to, and says so."""
        names, self.to_delete = self.to_delete, []
        for name in names:
            self.files.pop(name, None)
        self.carry_out(self.coordinator.handle(Called(FilesDeleted(tuple(names))), self.now))
        return names

    def list_files(self, files: Iterable[tuple[str, int]] | None = None, error: str = "") -> None:
        """The driver says which files there are, or were when it looked, if it was told to look."""
        for _ in range(self.to_list):
            listed = FilesListed(tuple(self.files.items() if files is None else files), error)
            self.carry_out(self.coordinator.handle(Called(listed), self.now))
        self.to_list = 0

    def deliver(self, to: str, message: Message) -> None:
        """Something is said to a peer."""
        self.said[to].append(message)

    def heard(self, peer: str, kind: type[M]) -> list[M]:
        """What was said to a peer since this was last asked for this kind."""
        kept, self.said[peer] = self.said[peer], [m for m in self.said[peer] if not isinstance(m, kind)]
        return [m for m in kept if isinstance(m, kind)]

    # -- sessions -----------------------------------------------------------------------------------------------

    def open(self, run: str = "run", **more: object) -> None:
        """A run is opened; earlier ones of its study live, if there are any."""
        first = opening(run, **more)  # type: ignore[arg-type]
        self.say(run, first)
        if run not in self.books.runs:
            for other in [r for r in self.books.runs.values() if r.record.study == first.study]:
                self.say(other.name, SessionBeat(other.name, other.record.told))
            self.say(run, first)

    def number(self, run: str) -> int:
        self.numbers[run] = self.numbers.get(run, 1) + 1
        return self.numbers[run]

    def ask(self, run: str, *requests: tuple[int, Config, int]) -> None:
        self.say(run, Ask(run, self.number(run), [asked(*request) for request in requests]))

    def release(self, run: str, *trials: int, done: bool = False) -> None:
        self.say(run, Release(run, self.number(run), list(trials), done))

    def announce(self, run: str, *trials: tuple[int, Config]) -> None:
        announced = [AnnouncedTrial(trial, asked(trial, config, 1).config) for trial, config in trials]
        self.say(run, Announce(run, self.number(run), announced))

    def ask_time(self, run: str) -> None:
        self.say(run, AskTime(run, self.number(run)))

    def close(self, run: str) -> None:
        self.say(run, CloseRun(run, self.number(run)))

    def answers(self, run: str) -> list[Told]:
        """All answers of a run's journal."""
        self.heard(run, Told)
        self.say(run, SessionBeat(run, 0))
        return self.heard(run, Told)

    # -- trainers -----------------------------------------------------------------------------------------------

    def trainer(self, name: str = "node/0/1", plan: str = "key-1") -> HandTrainer:
        trainer = HandTrainer(self, name, plan)
        trainer.beat()
        return trainer

    def node_beat(self, number: int, *trainers: str | None, incarnation: str = "first") -> None:
        slots = [Slot("cpu", trainer) for trainer in trainers]
        self.say("node", NodeBeat("node", incarnation, slots, number))


@dataclass
class HandTrainer:
    """A trainer moved by hand."""

    lockstep: Lockstep
    name: str
    plan: str
    grant: Grant | None = None
    ahead: list[GrantedStage] = field(default_factory=list)
    node: int = 0
    amendment: int = 0
    step: int = 0
    steps_run: int = 0
    noted: int = 0
    number: int = 0
    last_lease: int = 0
    held: tuple[int, int] | None = None
    in_memory: list[tuple[int, int]] = field(default_factory=list)
    step_s: float = 0.0
    save_s: float = 0.0
    evaluate_s: float = 0.0
    load_s: float | None = None
    notices: list[Notice] = field(default_factory=list)

    def beat(self) -> None:
        """It lives; and takes a grant that reached it."""
        lease = None if self.grant is None else self.grant.lease
        beat = TrainerBeat(
            trainer=self.name,
            node="node",
            plan=self.plan,
            lease=lease,
            step=self.step,
            steps_run=self.steps_run,
            held=self.held,
            in_memory=self.in_memory,
            amendment=self.amendment,
        )
        self.lockstep.say(self.name, beat)
        self.take()

    def take(self) -> bool:
        """Take a grant, if one was said and it has none; whether it has one."""
        for grant in self.lockstep.heard(self.name, Grant):
            if self.grant is None and grant.lease > self.last_lease:
                self.grant, self.last_lease = grant, grant.lease
                self.ahead, self.amendment = list(grant.stages), grant.amendment
                self.node, self.step = self.ahead[0].node, self.ahead[0].start
                self.steps_run, self.noted, self.number = 0, 0, 0
        return self.grant is not None

    def heed(self) -> bool:
        """Take up an amendment, if one was said; whether one was, and the batch goes on."""
        amends = [m for m in self.lockstep.heard(self.name, Amend) if self.grant and m.lease == self.grant.lease]
        amend = max(amends, key=lambda m: m.amendment, default=None)
        if amend is None or amend.amendment <= self.amendment:
            return self.grant is not None
        self.amendment, self.number = amend.amendment, self.number + 1
        self.ahead = [
            s
            for s in amend.stages
            if s.end > self.step or (s.end == self.step and s.boundary and self.noted != self.steps_run)
        ]
        self.lockstep.say(self.name, Amended(self.name, self.number, amend.lease, amend.amendment, self.step))
        if not self.ahead:
            self.leave()
        return bool(self.ahead)

    def train(self, steps: int = 1_000) -> None:
        """Train so many steps at most; a notice at each boundary, and the end of the lease after the last."""
        assert self.grant is not None
        while self.ahead:
            stage = self.ahead[0]
            self.node, now = stage.node, min(steps, stage.end - self.step)
            self.step, self.steps_run, steps = self.step + now, self.steps_run + now, steps - now
            if self.step < stage.end:
                return
            if stage.boundary:
                self.reach(metrics={"score": float(self.step)} if stage.metrics else None, file=stage.start < stage.end)
            del self.ahead[0]
        self.end()

    def reach(self, metrics: dict[str, float] | None = None, *, file: bool = True) -> None:
        """A checkpoint here, and its notice."""
        assert self.grant is not None
        node, lease = self.node, self.grant.lease
        checkpoint = CheckpointFile(f"{self.plan}/{node}-{self.step}-{lease}.safetensors", 1) if file else None
        self.number += 1
        if checkpoint is not None:
            self.lockstep.files[checkpoint.name] = checkpoint.bytes
        digest = f"{node}-{self.step} by lease {lease}"
        train_s = (self.steps_run - self.noted) * self.step_s
        notice = Notice(
            trainer=self.name,
            number=self.number,
            lease=lease,
            node=node,
            step=self.step,
            steps_run=self.steps_run,
            digest=digest,
            train_s=train_s,
            save_s=self.save_s,
            metrics=metrics,
            checkpoint=checkpoint,
            evaluate_s=0.0 if metrics is None else self.evaluate_s,
        )
        self.lockstep.noted_steps += self.steps_run - self.noted
        self.noted, self.held = self.steps_run, (node, self.step)
        self.notices.append(notice)
        self.lockstep.say(self.name, notice)

    def end(self, error: str | None = None) -> None:
        """The lease is over; with an error, because the next step could not be trained."""
        assert self.grant is not None
        node = self.ahead[0].node if self.ahead else self.node
        failed = None if error is None else self.step + 1
        lease, self.grant = self.grant.lease, None
        self.number += 1
        self.lockstep.lost_steps += self.steps_run - self.noted
        ended = LeaseEnded(
            self.name,
            self.number,
            lease,
            self.steps_run,
            self.load_s,
            self.held,
            node if failed else None,
            failed,
            error,
            self.in_memory,
        )
        self.lockstep.say(self.name, ended)

    def stop_if_told(self) -> bool:
        """Leave the lease with a checkpoint, if that was said; whether it was."""
        told = [m for m in self.lockstep.heard(self.name, StopLease) if self.grant and m.lease == self.grant.lease]
        if told:
            self.leave()
        return bool(told)

    def leave(self) -> None:
        """End the lease where it stands, with a checkpoint if there is anything new to save."""
        if self.steps_run > self.noted:
            self.reach()
        self.end()

    def exit(self, code: int = -9, tail: str = "") -> None:
        """Its process dies, after a last beat; what it had not noted is lost."""
        self.beat()
        if self.grant is not None:
            self.lockstep.lost_steps += self.steps_run - self.noted
        self.grant = None
        self.lockstep.say("node", TrainerExited("node", 1, self.name, code, tail))
        assert self.lockstep.heard("node", Noted)


def opened(**settings: object) -> tuple[Lockstep, HandTrainer]:
    """A coordinator with one open run and one idle trainer."""
    lockstep = Lockstep(CoordinatorSettings(**settings))  # type: ignore[arg-type]
    lockstep.open()
    return lockstep, lockstep.trainer()


def busy(*requests: tuple[int, Config, int], **settings: object) -> tuple[Lockstep, HandTrainer]:
    """The same, with these asked and the first batch granted."""
    lockstep, trainer = opened(**settings)
    lockstep.ask("run", *requests)
    assert trainer.take()
    return lockstep, trainer


def stages(trainer: HandTrainer) -> list[tuple[int, int, int, bool]]:
    assert trainer.grant is not None
    return [(stage.node, stage.start, stage.end, stage.metrics) for stage in trainer.grant.stages]


def told(lockstep: Lockstep, run: str = "run") -> list[tuple[int, int, str | None]]:
    return [(answer.trial, answer.step, answer.error) for answer in lockstep.answers(run)]
