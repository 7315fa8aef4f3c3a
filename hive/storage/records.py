"""What the coordinator keeps in its store: one frozen, typed record for each kind of fact.

A record names its table and its key; `encode` and `decode` are its codec (MessagePack, validated). Records hold plain
values only. This module must not know where records are kept, who writes them, or what a trainer is."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from hive.errors import StoreError

__all__ = [
    "FORMAT", "NOWHERE", "RECORDS", "AnnouncementRecord", "AnswerRecord", "CheckpointFile", "CheckpointFolder",
    "CounterRecord", "CurveRecord", "DoomedRecord", "EntryKind", "HeldRecord", "Key", "LeaseRecord", "LossRecord",
    "MeasuredRecord", "NodeRecord", "PinRecord", "PlanRecord", "Record", "ReleasedRecord", "RootRecord",
    "RunCounts", "RunRecord", "StandingRecord", "TrainerSource", "WantRecord", "decode", "encode",
]  # fmt: skip

FORMAT = 1
"""Version of the records' form. A store of a higher one is refused."""

Key = tuple[str | int, ...]


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One durable fact. Subclasses set `table` and return their place in it from `key`."""

    table: ClassVar[str] = ""

    def key(self) -> Key:
        """The record's place in its table: strings and non-negative integers below 2**63."""
        raise TypeError(f"{type(self).__name__} has no key")


R = TypeVar("R", bound=Record)

encoder = msgspec.msgpack.Encoder()
decoders: dict[type[Record], msgspec.msgpack.Decoder[Any]] = {}


def encode(record: Record) -> bytes:
    """The record's bytes."""
    return encoder.encode(record)


def decode(kind: type[R], data: bytes) -> R:
    """The record that `data` holds.

    Raises:
        StoreError: the bytes are not a record of this kind.
    """
    decoder = decoders.get(kind)
    if decoder is None:
        decoder = decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        record: R = decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise StoreError(f"table {kind.table!r} holds something that is not a {kind.__name__}: {error}") from error
    return record


# -- what records are made of ---------------------------------------------------------------------------------


class CheckpointFile(msgspec.Struct, frozen=True):
    """A checkpoint's file and the conditions under which its bits hold.

    Attributes:
        name: relative to the root's checkpoint folder.
        bytes: its size.
        device: type of the device that made it, such as "cpu".
        threads: of the training process.
        capability: instruction set that torch used, such as "AVX512"; "" without torch.
    """

    name: str
    bytes: int
    device: str = "cpu"
    threads: int = 1
    capability: str = ""


class CheckpointFolder(msgspec.Struct, frozen=True):
    """Where the checkpoint files of a root are.

    Attributes:
        where: a path or a URL.
        root_id: the root's id, which the folder is marked with.
    """

    where: str
    root_id: str


NOWHERE = CheckpointFolder("", "")
"""For a coordinator whose trainers are told otherwise."""


class TrainerSource(msgspec.Struct, frozen=True):
    """All that a trainer process needs to train for a plan.

    Attributes:
        path: the study's file.
        module: the name it is imported under.
        qualname: the trainer's class in it.
        search: folders to put on the module search path first.
        dataset: the name of the data.
        names: the study's hyper-parameters.
        seed: what every generator starts from.
        fixed: settings, handed to the trainer as `self.fixed`.
        threads: CPU threads for each trainer.
        eval_every: measure every so many steps for the curves; None for boundaries only.
        checkpoint_every_s: besides boundaries, a checkpoint after so many seconds of training.
    """

    path: str
    module: str
    qualname: str
    search: tuple[str, ...]
    dataset: str
    names: tuple[str, ...]
    seed: int
    fixed: dict[str, Any]
    threads: int
    eval_every: int | None
    checkpoint_every_s: float


class RunCounts(msgspec.Struct, frozen=True):
    """What a run asked for and what was trained for it, in steps; the words are those of `hive run --json`."""

    trials_asked: int = 0
    steps_asked: int = 0
    steps_distinct: int = 0
    steps_reused: int = 0
    steps_run: int = 0
    late_branch: int = 0
    failure: int = 0
    evicted: int = 0
    trainer_busy_s: float = 0.0
    checkpoint_count: int = 0


# -- the records ----------------------------------------------------------------------------------------------


class PlanRecord(Record, frozen=True):
    """A search plan. `plan`: its identity, the key and a number; the highest number is the one new runs join."""

    table: ClassVar[str] = "plans"
    plan: str
    plan_key: str
    number: int
    study: str
    merge: bool
    source: TrainerSource
    fingerprint: str
    parts: dict[str, str]
    created_at: float

    def key(self) -> Key:
        """By identity."""
        return (self.plan,)


class NodeRecord(Record, frozen=True):
    """A node of a search plan, its forms as data."""

    table: ClassVar[str] = "nodes"
    plan: str
    number: int
    parent: int | None
    start: int
    forms: dict[str, list[Any]]
    lane: int | None = None

    def key(self) -> Key:
        """By plan and number: parents come before their children."""
        return (self.plan, self.number)


class StandingRecord(Record, frozen=True):
    """What stands at (node, step).

    Attributes:
        checkpoint: the state's file; None once it was evicted.
        metrics: None until somebody wants them. NaN and infinities are kept.
    """

    table: ClassVar[str] = "standings"
    plan: str
    node: int
    step: int
    checkpoint: CheckpointFile | None
    digest: str
    metrics: dict[str, float] | None = None

    def key(self) -> Key:
        """By plan, node, step."""
        return (self.plan, self.node, self.step)


class WantRecord(Record, frozen=True):
    """A trial of a run asked for (node, step). `open`: false once it was answered, let go or failed."""

    table: ClassVar[str] = "wants"
    run: str
    trial: int
    step: int
    plan: str
    node: int
    order: int
    open: bool = True

    def key(self) -> Key:
        """By run, trial, step."""
        return (self.run, self.trial, self.step)


class RunRecord(Record, frozen=True):
    """A run.

    Attributes:
        applied: the last of its session's numbers that was applied.
        told: how many entries of its journal it was told; those beyond are its replay (see actors/replay.py).
        weight: its study's, for sharing trainer time.
        replays: the run whose journal it took over; "" for none.
        done: its script came to its end: whoever runs it again begins anew.
        note: what its user should know.
        command: what a person said of it last: "pause", "cancel", or "" for nothing that is in force.
        commanded_by: who that was.
        metric: what its study is about, "" if the script did not say.
        maximize: whether more of it is better.
    """

    table: ClassVar[str] = "runs"
    run: str
    study: str
    plan: str
    opened_at: float
    applied: int = 0
    told: int = 0
    closed: bool = False
    counts: RunCounts = RunCounts()
    weight: float = 1.0
    replays: str = ""
    done: bool = False
    note: str = ""
    command: Literal["", "pause", "cancel"] = ""
    commanded_by: str = ""
    metric: str = ""
    maximize: bool = True

    def key(self) -> Key:
        """By run."""
        return (self.run,)


EntryKind = Literal["answer", "time"]
"""What a run is told: the answer to a request, or the time."""


class AnswerRecord(Record, frozen=True):
    """An entry of a run's journal: what it was told, in order. What stands at the place is not repeated here.

    Attributes:
        error: why there is no answer; None for an answer.
        kind: "time" has nothing but `time`, in Unix seconds.
    """

    table: ClassVar[str] = "answers"
    run: str
    number: int
    trial: int
    node: int
    step: int
    error: str | None = None
    kind: EntryKind = "answer"
    time: float = 0.0

    def key(self) -> Key:
        """By run and number."""
        return (self.run, self.number)


class HeldRecord(Record, frozen=True):
    """What a run could be told, and is not because its replay says something else first. `number`: in order of
    becoming ready; the other fields are those of the journal's entry."""

    table: ClassVar[str] = "held"
    run: str
    number: int
    trial: int
    node: int
    step: int
    error: str | None = None
    kind: EntryKind = "answer"
    time: float = 0.0

    def key(self) -> Key:
        """By run and number."""
        return (self.run, self.number)


class ReleasedRecord(Record, frozen=True):
    """A trial that its run has released and not asked for since."""

    table: ClassVar[str] = "released"
    run: str
    trial: int

    def key(self) -> Key:
        """By run and trial."""
        return (self.run, self.trial)


class PinRecord(Record, frozen=True):
    """A state that is never evicted.

    Attributes:
        kind: "best" for the best trial of a study's last run, "user" for what a person pinned.
        name: the study, or who pinned it.
    """

    table: ClassVar[str] = "pins"
    plan: str
    node: int
    step: int
    kind: Literal["best", "user"]
    name: str

    def key(self) -> Key:
        """A study has one best; a person pins places."""
        return (
            (self.plan, self.kind, self.name) if self.kind == "best" else (self.plan, self.kind, self.node, self.step)
        )


class DoomedRecord(Record, frozen=True):
    """A checkpoint's file that no record names any more, and that may not be deleted yet."""

    table: ClassVar[str] = "doomed"
    name: str

    def key(self) -> Key:
        """By name."""
        return (self.name,)


class AnnouncementRecord(Record, frozen=True):
    """A config that a run may ask for later, by its sequences' descriptors."""

    table: ClassVar[str] = "announcements"
    run: str
    trial: int
    config: dict[str, dict[str, Any]]

    def key(self) -> Key:
        """By run and trial."""
        return (self.run, self.trial)


class LeaseRecord(Record, frozen=True):
    """A batch that is out.

    Attributes:
        payer: the run whose counts its steps go to.
        ends: the (node, start, end) of its stages that are still ahead, as last amended.
        reached: the place of its last boundary, its origin at first; None for a fresh start.
        steps_noted: how many of its steps the notices so far account for.
        noted: the number of the last message about it that was applied.
        measured: the (node, end) of those that are to be measured.
        passes: the (node, end) of those at whose end training goes on under the next node without a checkpoint.
        amendment: how often it was amended.
        trials: the (node, end, run, trial) of its stages: the lowest trial that each was granted for.
    """

    table: ClassVar[str] = "leases"
    lease: int
    plan: str
    trainer: str
    node: str
    payer: str
    origin: tuple[int, int] | None
    ends: tuple[tuple[int, int, int], ...]
    reached: tuple[int, int] | None
    granted_at: float
    steps_noted: int = 0
    noted: int = 0
    measured: tuple[tuple[int, int], ...] = ()
    amendment: int = 0
    trials: tuple[tuple[int, int, str, int], ...] = ()
    passes: tuple[tuple[int, int], ...] = ()

    def key(self) -> Key:
        """By number."""
        return (self.lease,)


class MeasuredRecord(Record, frozen=True):
    """What was measured on a plan, added up: the seconds of `count` steps of a node; or those of `count` checkpoints
    that were loaded or saved, or of evaluations at boundaries, whose `node` is 0."""

    table: ClassVar[str] = "measured"
    plan: str
    what: Literal["step", "load", "save", "evaluate"]
    node: int
    seconds: float
    count: int

    def key(self) -> Key:
        """By plan, what, node."""
        return (self.plan, self.what, self.node)


class LossRecord(Record, frozen=True):
    """How many leases were lost (crashed, killed) while they trained on from `step` of a node."""

    table: ClassVar[str] = "losses"
    plan: str
    node: int
    step: int
    count: int

    def key(self) -> Key:
        """By plan, node, step."""
        return (self.plan, self.node, self.step)


class CounterRecord(Record, frozen=True):
    """A number that only grows, such as that of the last lease."""

    table: ClassVar[str] = "counters"
    name: str
    value: int

    def key(self) -> Key:
        """By name."""
        return (self.name,)


class RootRecord(Record, frozen=True):
    """What tells this root from all others.

    Attributes:
        id: drawn when the store is made.
        claimed: whether a folder for checkpoints was marked with it.
    """

    table: ClassVar[str] = "root"
    id: str
    claimed: bool = False

    def key(self) -> Key:
        """There is one."""
        return ("id",)


class CurveRecord(Record, frozen=True):
    """Metrics at a step of a node, for the curves; the aggregator's only record."""

    table: ClassVar[str] = "curves"
    plan: str
    node: int
    step: int
    kind: str
    metrics: dict[str, float]

    def key(self) -> Key:
        """By plan, node, step, kind."""
        return (self.plan, self.node, self.step, self.kind)


RECORDS = tuple(Record.__subclasses__())
"""Every kind of record."""
