"""Where checkpoint files lie: a folder that all trainers see under one path, or a URL of any file system that fsspec
knows, with a cache on each machine.

A file is written once and never changes, so a copy of it is as good as the file. What is told of a file is told when
all of it is there, so nobody reads half of one. A folder belongs to one root: its mark, a file with the root's id,
keeps a second root out, whose files would have the same names, and tells a machine that does not see the folder from
one that does.

It must not know what is in a file, or when one is not needed any more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hive.errors import CheckpointError, StoreError
from hive.storage.cache import Cache
from hive.storage.durable import write_durably
from hive.storage.records import CheckpointFolder, RootRecord
from hive.storage.store import Put, Store

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["Folder", "LocalFolder", "RemoteFolder", "claim", "open_folder", "own_folder"]

MARK = "root-id"
"""The file that says whose folder it is."""

ATTEMPTS_S = (1.0, 5.0, 20.0, 60.0, 120.0)
"""Pauses between attempts to reach a remote place, in seconds: three and a half minutes, in which a network or a
store can be put right. A trainer's batch fails after that, and with it what waits for it."""

FINAL = (FileNotFoundError, PermissionError, ImportError, ValueError, TypeError, NotImplementedError)
"""What another attempt does not mend."""

R = TypeVar("R")

log = logging.getLogger("hive.storage")


class Folder(Protocol):
    """Files by name. A name is relative, with / between its parts, and stays inside.

    Every method raises CheckpointError, which says what could not be done and why.
    """

    def get(self, name: str) -> Path:
        """A path on this machine at which the file can be opened now."""
        ...

    def put(self, name: str, write: Callable[[Path], R]) -> R:
        """Let `write` make the file at a path on this machine; once this returns, every machine can get it."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; those that are gone are no error."""
        ...

    def files(self) -> Iterator[tuple[str, int]]:
        """The names of all files, each with its bytes, in no order. One that comes or goes meanwhile may be among
        them."""
        ...


class LocalFolder:
    """A folder of this machine, or one that it shares with others by a network file system.

    Args:
        path: the folder; made when something is put into it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> Path:
        """The file itself."""
        return inside(self.path, name)

    def put(self, name: str, write: Callable[[Path], R]) -> R:
        """Let it be written where it stays."""
        return write(inside(self.path, name))

    def delete(self, names: Iterable[str]) -> None:
        """Take them away."""
        for name in names:
            try:
                inside(self.path, name).unlink(missing_ok=True)
            except OSError as error:
                raise CheckpointError(f"cannot delete the checkpoint {name}: {error.strerror or error}") from error

    def files(self) -> Iterator[tuple[str, int]]:
        """What is below the folder, as far as it is no link."""
        for folder, _, names in os.walk(self.path, onerror=unreadable):
            within = Path(folder).relative_to(self.path)
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    found = os.lstat(f"{folder}/{name}")
                    if stat.S_ISREG(found.st_mode):
                        yield str(within / name), found.st_size

    def read_mark(self) -> str | None:
        """Whose folder it is; None if nobody's."""
        try:
            return (self.path / MARK).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def write_mark(self, text: str) -> None:
        """Say whose folder it is."""
        write_durably(self.path / MARK, [text.encode()])


class RemoteFolder:
    """A folder at a URL, with a cache of what this machine wrote or read.

    Args:
        url: where, as fsspec writes it: "s3://bucket/folder", "sftp://host/folder". Credentials and other settings
            are those of fsspec and of the package that serves the URL, from their environment variables and files.
        cache: for copies on this machine.
        sleep: how to wait between attempts.
    """

    def __init__(self, url: str, cache: Cache, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = url
        self.cache = cache
        self.sleep = sleep
        self.system, self.path = file_system(url)
        self.made: set[str] = set()

    def get(self, name: str) -> Path:
        """The copy in the cache, fetched if it is not there."""
        path = inside(self.cache.folder, name)
        if not self.cache.use(path):
            with self.cache.filling(path) as draft:
                self.persist("fetch", name, lambda: self.system.get_file(self.remote(name), str(draft)))
        return path

    def put(self, name: str, write: Callable[[Path], R]) -> R:
        """Write into the cache, then bring it to its place."""
        path = inside(self.cache.folder, name)
        written = write(path)
        self.persist("store", name, lambda: self.upload(path, name))
        self.cache.added(path)
        return written

    def delete(self, names: Iterable[str]) -> None:
        """Take them away there. Copies in caches go when there is no room for them."""
        for name in names:
            inside(self.cache.folder, name)
            self.persist("delete", name, lambda name=name: self.remove(name))  # type: ignore[misc]

    def files(self) -> Iterator[tuple[str, int]]:
        """What is below the folder over there. It is looked at once: somebody waits for the answer."""
        try:
            found = self.system.find(self.path, detail=True)
        except Exception as error:  # any: each file system has its own
            raise CheckpointError(f"cannot list the files in {self.url}: {reason(error)}") from error
        for path, known in found.items():
            yield str(path).removeprefix(f"{self.path}/"), int(known["size"] or 0)

    def remove(self, name: str) -> None:
        """Delete a file over there, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.system.rm_file(self.remote(name))

    def upload(self, path: Path, name: str) -> None:
        """Bring a file to its place; what stands there is the rest of an attempt that failed."""
        remote = self.remote(name)
        self.make(remote.rpartition("/")[0])
        self.system.put_file(str(path), remote)

    def persist(self, what: str, name: str, attempt: Callable[[], Any]) -> None:
        """Do something with a file over there, again if it fails for what may pass."""
        for pause in (*ATTEMPTS_S, None):
            try:
                attempt()
                return
            except Exception as error:  # any: each file system has its own
                text = f"cannot {what} the checkpoint {self.url}/{name}: {reason(error)}"
                if pause is None or isinstance(error, FINAL):
                    raise CheckpointError(text) from error
                log.warning("%s; trying again in %g s", text, pause)
                self.sleep(pause)

    def make(self, folder: str) -> None:
        """Make a folder over there, if that is what it takes; never what it lies in, which might be a bucket whose name
        was mistyped."""
        if folder in self.made or "/" not in folder.strip("/"):
            return
        if not self.system.isdir(folder):
            try:
                self.system.mkdir(folder, create_parents=False)
            except Exception:  # any: each file system has its own
                if not self.system.isdir(folder):
                    raise
        self.made.add(folder)

    def read_mark(self) -> str | None:
        """Whose folder it is; None if nobody's."""
        try:
            return bytes(self.system.cat_file(self.remote(MARK))).decode().strip()
        except FileNotFoundError:
            return None

    def write_mark(self, text: str) -> None:
        """Say whose folder it is."""
        self.make(self.path)
        self.system.pipe_file(self.remote(MARK), text.encode())

    def remote(self, name: str) -> str:
        """Where a file is, as the file system names it."""
        return f"{self.path}/{name}"


def open_folder(folder: CheckpointFolder, cache: Path, cache_bytes_max: int) -> Folder:
    """The folder of a root's checkpoints, seen from a machine that trains.

    Args:
        folder: where it is, and whose.
        cache: the folder for copies of what lies at a URL; each root has a folder in it.
        cache_bytes_max: bytes that the copies of a root may take.

    Raises:
        StoreError: this machine does not see that folder.
    """
    opened = at(folder.where, Cache(cache / folder.root_id, cache_bytes_max))
    with access_errors(folder.where):
        mark = opened.read_mark()
    if mark != folder.root_id:
        found = "is not there" if mark is None else "is another root's"
        raise StoreError(
            f"the coordinator's checkpoint folder {folder.where} {found} on this machine: set checkpoint_url in "
            f"coordinator.toml to a folder that all machines share, or to a URL"
        )
    return opened


def claim(store: Store, where: str) -> CheckpointFolder:
    """Make sure that a folder is this root's: one that is nobody's is marked, if the root has no other yet.

    Args:
        store: the root's store.
        where: a path, or a URL.

    Raises:
        StoreError: the folder is another root's, this root's files are elsewhere, or it cannot be read or written.
    """
    record = store.get(RootRecord, ("id",))
    if record is None:
        record = RootRecord(secrets.token_hex(8))
        store.commit([Put(record)])
    folder = at(where, Cache(Path(), 0))
    with access_errors(where):
        if folder.read_mark() is None and not record.claimed:
            folder.write_mark(record.id)
        mark = folder.read_mark()
    if mark is None:
        raise StoreError(
            f"{where} is not where this root's checkpoints are: it has no file {MARK}. Set checkpoint_url to their "
            f"place, or bring all files there, that one too; without them the root is of no use"
        )
    if mark != record.id:
        raise StoreError(
            f"the checkpoint folder {where} belongs to another root (its file {MARK} says {mark}, this root is "
            f"{record.id}): set checkpoint_url to a folder of its own, or empty it if that root is gone"
        )
    if not record.claimed:
        store.commit([Put(RootRecord(record.id, claimed=True))])
    return CheckpointFolder(str(folder.path) if isinstance(folder, LocalFolder) else where, record.id)


def own_folder(folder: CheckpointFolder) -> Folder:
    """A root's own folder, as `claim` says where that is, to list files and to delete some."""
    return at(folder.where, Cache(Path(), 0))


def at(where: str, cache: Cache) -> LocalFolder | RemoteFolder:
    """The folder at a path or URL."""
    if where.startswith("file://"):
        where = where.removeprefix("file://")
    if "://" in where:
        with access_errors(where):
            return RemoteFolder(where, cache)
    return LocalFolder(Path(where).absolute())


@contextlib.contextmanager
def access_errors(where: str) -> Iterator[None]:
    """Turn whatever a file system raises into one clear error."""
    try:
        yield
    except (StoreError, CheckpointError):
        raise
    except Exception as error:  # any: each file system has its own
        raise StoreError(f"cannot use the checkpoint folder {where}: {reason(error)}") from error


def file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """What serves a URL, and the path in it. fsspec takes a seventh of a second to import: only where it is used."""
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url, use_listings_cache=False)
    return system, str(path).rstrip("/")


def reason(error: BaseException) -> str:
    """What an error says, with its kind, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unreadable(error: OSError) -> None:
    """A folder whose files cannot be listed."""
    raise CheckpointError(f"cannot list the files in {error.filename}: {error.strerror or error}") from error


def inside(folder: Path, name: str) -> Path:
    """A name's path; it stays inside the folder, whatever the name."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise CheckpointError(f"the checkpoint's name {name!r} leads out of its folder")
    return path
