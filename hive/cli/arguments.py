"""What hive's processes are told when they start: configuration files, and what a trainer is told by its node manager.

It must not know what any process does with it, and imports next to nothing: every process reads it first.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from hive.actors.messages import StartTrainer
from hive.errors import StudyError
from hive.training.memory import SNAPSHOT_BYTES_MAX

__all__ = ["CoordinatorFile", "TrainerArguments", "WorkerFile", "read_config"]


class CoordinatorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of conf/coordinator.toml, where each is explained."""

    root: str = ".hive"
    listen: str = "tcp://127.0.0.1:7077"
    keys: str = ""
    lease_s: float = 30.0
    hang_s: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    session_lease_s: float = 60.0
    attempts_max: int = 3
    checkpoint_url: str = ""
    checkpoint_bytes_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    whole_paths: bool = False


class WorkerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of conf/worker.toml, where each is explained."""

    connect: str = "tcp://127.0.0.1:7077"
    keys: str = ""
    devices: str = "cpu"
    node: str = ""
    logs: str = ".hive/logs"
    log_bytes_max: Annotated[int, msgspec.Meta(ge=1000)] = 10_000_000
    snapshot_bytes_max: Annotated[int, msgspec.Meta(ge=0)] = SNAPSHOT_BYTES_MAX
    cache: str = ".hive/cache"
    cache_bytes_max: Annotated[int, msgspec.Meta(ge=0)] = 20_000_000_000
    code: str = ""


class TrainerArguments(msgspec.Struct, frozen=True):
    """What a trainer's process is told.

    Attributes:
        node: its node manager's name.
        device: where it trains.
        node_address: its node manager's address, for curves.
        start: the coordinator's order.
        worker: what its node manager was told.
    """

    node: str
    device: str
    node_address: str
    start: StartTrainer
    worker: WorkerFile


File = TypeVar("File", CoordinatorFile, WorkerFile)


def read_config(path: Path | None, kind: type[File]) -> File:
    """A configuration file, its keys checked; the defaults without one.

    Raises:
        StudyError: it cannot be read, is no TOML, or has a key that does not exist or a value of the wrong kind.
    """
    try:
        return kind() if path is None else msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
        raise StudyError(f"{path}: {error}") from error
