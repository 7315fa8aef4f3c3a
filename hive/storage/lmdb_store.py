"""A store in an LMDB environment: one folder, one writer, readers beside it.

The problem: an acknowledged commit must survive kill -9 and power loss, and the file must grow with the search, whose
size nobody knows beforehand. LMDB with its default syncs gives the first: pages are copied, never overwritten, and the
root page is written last. NOSYNC, NOMETASYNC, MAPASYNC and WRITEMAP each weaken that and are not used. For the second
the map (address space, not disk) is doubled when it is full, and the transaction made again from its encoded writes.

Reads copy what they need in one short transaction: a reader that lingers would keep every page freed since from being
used again, and growing the map invalidates the transactions that are open.

An environment must not be used in a child made by fork, nor be opened twice in one process (LMDB's locks belong to the
process: closing one would release both). A network file system will not do.

This module must not know what its records mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb
from lmdb.verify import VerifyError, verify

from hive.errors import StoreError
from hive.storage.records import FORMAT, Key, Record, decode
from hive.storage.store import Write, encode_key, encode_writes

__all__ = ["MAP_BYTES", "MAP_BYTES_MAX", "LmdbStore"]

MAP_BYTES = 64 * 2**20
"""First size of the map: some 150,000 records of 300 bytes. It is address space: the file holds what was written."""

MAP_BYTES_MAX = 64 * 2**30
"""Where doubling ends: some 10**8 records, a hundred times the largest search foreseen. Beyond, it is a runaway."""

FORMAT_KEY = b"format"
"""Begins with no tag of an encoded key, so no record can stand there."""

FORMAT_WORD = b"hive "

R = TypeVar("R", bound=Record)


class LmdbStore:
    """Records in the LMDB environment at `path`; see `Store` for what the methods promise.

    Args:
        path: the environment's folder. A writer makes it (not its parents) if it is missing.
        readonly: read beside the writer, in another process, seeing all it has committed; `commit` raises StoreError.
        map_bytes: first size of the map, at most MAP_BYTES_MAX.

    Raises:
        StoreError: the folder cannot be made, read or written, is open in this process already, or holds something
            that is not a store, is damaged, or is of a newer format.
    """

    def __init__(self, path: Path, *, readonly: bool = False, map_bytes: int = MAP_BYTES) -> None:
        assert 0 < map_bytes <= MAP_BYTES_MAX
        self.path = Path(path)
        self.environment: lmdb.Environment | None = open_environment(self.path, readonly, map_bytes)
        try:
            with store_errors(self.path, "open"):
                check_length(self.environment, self.path)
                if not readonly:
                    self.environment.reader_check()  # readers that died would keep old pages
                self.check_format(readonly)
        except BaseException:
            self.close()
            raise

    def check_format(self, readonly: bool) -> None:
        """Read the format version, or write it into a new store."""
        with self.reading() as transaction:
            word = transaction.get(FORMAT_KEY)
            empty = transaction.stat()["entries"] == 0
        if word is not None:
            check_format_word(word, self.path)
        elif not empty:
            raise StoreError(f"{self.path} holds an LMDB file that hive did not write: name another folder")
        elif not readonly:
            self.write([(FORMAT_KEY, FORMAT_WORD + str(FORMAT).encode())])
            make_durable(self.path)
            make_durable(self.path.parent)

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all writes in one durable transaction."""
        entries = encode_writes(writes)
        environment = self.opened()
        if environment.flags()["readonly"]:
            raise StoreError(f"the store at {self.path} is open for reading only")
        if entries:
            self.write(entries)

    def write(self, entries: Sequence[tuple[bytes, bytes | None]]) -> None:
        """One transaction, made again with a larger map as long as the map is full."""
        environment = self.opened()
        while True:
            try:
                return self.try_write(environment, entries)
            except lmdb.MapFullError:
                # Nothing of the transaction was written: pages are numbered before any goes to disk.
                self.grow(environment)

    def try_write(self, environment: lmdb.Environment, entries: Sequence[tuple[bytes, bytes | None]]) -> None:
        """One transaction: what fails before the commit has changed nothing, a commit that fails leaves a doubt."""
        with store_errors(self.path, "write to"):
            transaction = environment.begin(write=True)
            try:
                for key, data in entries:
                    if data is None:
                        transaction.delete(key)
                    else:
                        transaction.put(key, data)
            except BaseException:
                transaction.abort()
                raise
        try:
            transaction.commit()
        except lmdb.MapFullError:
            raise
        except lmdb.Error as error:
            self.close()
            raise StoreError(
                f"a commit to the store at {self.path} is in doubt: {error}. It is there whole or not at all; "
                f"mend the cause (disk full?) and open the store again to see"
            ) from error

    def grow(self, environment: lmdb.Environment) -> None:
        """Double the map."""
        size = environment.info()["map_size"] * 2
        if size > MAP_BYTES_MAX:
            raise StoreError(
                f"the store at {self.path} has reached {MAP_BYTES_MAX} bytes: nothing of this commit was written"
            )
        with store_errors(self.path, "enlarge"):
            environment.set_mapsize(size)

    def get(self, kind: type[R], key: Key) -> R | None:
        """The record at `key`, or None."""
        with self.reading() as transaction:
            data = transaction.get(encode_key(kind.table, key))
        return None if data is None else decode(kind, data)

    def scan(self, kind: type[R], prefix: Key = ()) -> Iterator[R]:
        """The records under `prefix` in key order, as of this call: copied at once, decoded one by one."""
        start = encode_key(kind.table, prefix)
        found: list[bytes] = []
        with self.reading() as transaction, transaction.cursor() as cursor:
            if cursor.set_range(start):
                for key, data in cursor.iternext():
                    if not key.startswith(start):
                        break
                    found.append(data)
        return (decode(kind, data) for data in found)

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A short read transaction."""
        environment = self.opened()
        with store_errors(self.path, "read"), begin_reading(environment) as transaction:
            yield transaction

    def close(self) -> None:
        """Close the environment."""
        environment, self.environment = self.environment, None
        if environment is not None:
            environment.close()

    def opened(self) -> lmdb.Environment:
        """The environment, if the store was not closed."""
        if self.environment is None:
            raise StoreError(f"the store at {self.path} is closed: open it again")
        return self.environment


def open_environment(path: Path, readonly: bool, map_bytes: int) -> lmdb.Environment:
    """Open or make the environment, with every sync on."""
    if readonly and not (path / "data.mdb").exists():
        raise StoreError(f"there is no store at {path}: no run has been started there")
    with store_errors(path, "open"):
        if not readonly:
            path.mkdir(exist_ok=True)
        return lmdb.Environment(
            os.fspath(path),
            map_size=map_bytes,
            readonly=readonly,
            create=False,
            sync=True,
            metasync=True,
            max_spare_txns=1,
        )


def begin_reading(environment: lmdb.Environment) -> lmdb.Transaction[bytes]:
    """A read transaction on the map as it now is."""
    while True:
        try:
            return environment.begin()
        except lmdb.MapResizedError:
            environment.set_mapsize(0)  # the writer, in another process, has grown the map: take its size


def make_durable(path: Path) -> None:
    """Make the names in a folder survive power loss: syncing a new file does not do it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_length(environment: lmdb.Environment, path: Path) -> None:
    """Refuse a data file that was cut short: LMDB maps it, and a page beyond its end would kill the process (SIGBUS).

    A whole file may be a little short (its last pages were allocated and never used), so a short one is walked page by
    page.
    """
    data_path = path / "data.mdb"
    bytes_wanted = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if data_path.stat().st_size >= bytes_wanted:
        return
    try:
        faults = verify(os.fspath(data_path), subdir=False)  # type: ignore[no-untyped-call]  # it ships none
    except VerifyError as error:
        faults = [error]
    if faults:
        raise damaged(path, f"the file is cut short: {faults[0]}")


def check_format_word(word: bytes, path: Path) -> None:
    """Refuse a store that a newer hive has written, and what is no version at all."""
    version = word.removeprefix(FORMAT_WORD)
    if version == word or not version.isdigit():
        raise damaged(path, f"its format version reads {word!r}")
    if int(version) > FORMAT:
        raise StoreError(
            f"the store at {path} has format {int(version)}, written by a newer hive; this one knows {FORMAT}: "
            f"upgrade hive, or name another folder"
        )


def damaged(path: Path, why: str) -> StoreError:
    """The error for a data file that cannot be used."""
    return StoreError(
        f"the data file of the store at {path} is damaged ({why}): "
        f"put a backup in its place, or move the folder away to start anew"
    )


@contextmanager
def store_errors(path: Path, verb: str) -> Iterator[None]:
    """Turn LMDB's and the system's errors into StoreError; a full map passes, for the writer to grow it."""
    try:
        yield
    except lmdb.MapFullError:
        raise
    except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError, lmdb.PageNotFoundError) as error:
        raise damaged(path, str(error)) from error
    except (lmdb.Error, OSError) as error:
        raise StoreError(
            f"cannot {verb} the store at {path}: {str(error).rstrip('.')}. It must be a folder that this user can "
            f"write, on a disk with free space, and open once in a process"
        ) from error
