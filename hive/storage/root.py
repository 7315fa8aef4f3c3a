"""The root: one folder that holds a search plan's store, checkpoints and logs, and has one owner.

The problem: two coordinators on one store would grant the same stage twice. A file that merely says "in use" outlives
a killed owner, and a process number may belong to somebody else by then. So the owner holds an flock, which the kernel
drops with its holder, however that ends; what the locked file says is only for people to read. Its descriptor is not
passed on to programs that the owner starts, but a child made by fork would keep the lock: nobody forks while owning a
root.

This module must not know what the folder's files mean, or who listens at the address.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import msgspec

from hive.errors import StoreError

__all__ = ["Owner", "Root", "RootPaths", "read_owner"]

WAIT_S_MIN = 0.1
"""How long an owner is waited for at least: `read_owner` holds the lock for some microseconds and is no owner."""

POLL_S = 0.02

COMMAND_CHARACTERS_MAX = 1000
"""A command line may hold a whole script; the owner's file stays within one page or so, and is written at once."""


class Owner(msgspec.Struct, frozen=True):
    """Who holds a root: process number, host name, command line, and since when (Unix time, seconds)."""

    pid: int
    host: str
    command: str
    since: float

    def describe(self) -> str:
        """The owner in words."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} ({self.command}), since {since}"


class RootPaths:
    """Where things lie under a root; for those who only look at it, too."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    @property
    def owner_path(self) -> Path:
        """The locked file, which names the owner in JSON."""
        return self.path / "owner"

    @property
    def store_path(self) -> Path:
        """The folder of the LMDB store."""
        return self.path / "store"

    @property
    def checkpoints_path(self) -> Path:
        """The folder of the checkpoint files."""
        return self.path / "checkpoints"

    @property
    def logs_path(self) -> Path:
        """The folder of the processes' logs."""
        return self.path / "logs"

    @property
    def address_path(self) -> Path:
        """The file that holds the coordinator's address while it lives; may be left behind by one that was killed."""
        return self.path / "address"

    def read_address(self) -> str | None:
        """The coordinator's address; None if none is published, or there is no such root."""
        try:
            return self.address_path.read_text(encoding="utf-8").strip() or None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"cannot read the address in the root {self.path}: {error}") from error


class Root(RootPaths):
    """A root that this process owns, from `acquire` until `release` or its end."""

    def __init__(self, path: Path | str, descriptor: int) -> None:
        super().__init__(path)
        self.descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path | str, *, wait_s: float = 0.0) -> Root:
        """Make the folder if it is missing and become its owner.

        Args:
            path: the root's folder.
            wait_s: how many seconds to wait for an owner to leave; a tenth of a second at least.

        Raises:
            StoreError: somebody else holds the root (the message says who), or the folder cannot be made or written.
        """
        paths = RootPaths(path)
        with root_errors(paths.path):
            for folder in (paths.path, paths.checkpoints_path, paths.logs_path):
                folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(paths.owner_path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                wait_for_lock(descriptor, paths.path, wait_s)
                write_owner(descriptor)
                paths.address_path.unlink(missing_ok=True)  # of an owner that was killed
            except BaseException:
                os.close(descriptor)
                raise
        return cls(paths.path, descriptor)

    def publish_address(self, address: str) -> None:
        """Write the coordinator's address, whole at any moment."""
        with root_errors(self.path):
            part = self.address_path.with_suffix(".part")
            part.write_text(address + "\n", encoding="utf-8")
            part.replace(self.address_path)

    def release(self) -> None:
        """Take the address away and let the next owner in; a second call does nothing."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is None:
            return
        try:
            with root_errors(self.path):
                self.address_path.unlink(missing_ok=True)
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Root:
        """Own the root for the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()


def read_owner(path: Path | str) -> Owner | None:
    """Who holds the root at `path` now; None if nobody does, or there is no such root.

    Raises:
        StoreError: the root cannot be read.
    """
    paths = RootPaths(path)
    try:
        descriptor = os.open(paths.owner_path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read who owns the root {paths.path}: {error}") from error
    try:
        return None if lock(descriptor, fcntl.LOCK_SH) else named_owner(descriptor)
    finally:
        os.close(descriptor)


def wait_for_lock(descriptor: int, path: Path, wait_s: float) -> None:
    """Take the lock, or refuse after `wait_s`, naming the holder."""
    end = time.monotonic() + max(wait_s, WAIT_S_MIN)
    while not lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= end:
            holder = named_owner(descriptor).describe()
            raise StoreError(
                f"the root {path} is held by {holder}: wait for it, stop it, or name another folder (--root)"
            )
        time.sleep(POLL_S)


def lock(descriptor: int, kind: int) -> bool:
    """Try to lock an open file; False if somebody else's lock is in the way."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_owner(descriptor: int) -> None:
    """Write that this process is the owner, in one piece over what stood there."""
    command = shlex.join(sys.orig_argv)[:COMMAND_CHARACTERS_MAX]
    owner = Owner(pid=os.getpid(), host=socket.gethostname(), command=command, since=time.time())
    data = msgspec.json.encode(owner) + b"\n"
    os.pwrite(descriptor, data, 0)
    os.ftruncate(descriptor, len(data))


def named_owner(descriptor: int) -> Owner:
    """The owner that the locked file names; one without particulars if it is just being written."""
    try:
        return msgspec.json.decode(os.pread(descriptor, 16 * COMMAND_CHARACTERS_MAX, 0), type=Owner)
    except msgspec.MsgspecError:
        return Owner(pid=0, host="this host or another", command="its name is not written yet", since=time.time())


@contextmanager
def root_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors into StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot use {path} as a root: {error}. "
            f"It must be a folder that this user can write; name another one (--root)"
        ) from error
