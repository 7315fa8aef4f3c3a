"""Both stores keep the contract; the LMDB one also grows, survives, and says clearly what it cannot open."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from hive.errors import StoreError
from hive.storage import lmdb_store
from hive.storage.lmdb_store import FORMAT_KEY, LmdbStore
from hive.storage.memory_store import MemoryStore
from hive.storage.store import Delete, Put, Store
from tests.storage.store_contract import Mark, StoreContract, marks

ROOT = Path(__file__).resolve().parents[2]
MAP_BYTES_SMALL = 64 * 1024


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestLmdbStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = LmdbStore(tmp_path / "store")
        yield store
        store.close()


class TestLmdbStoreThatGrows(StoreContract):
    """With the smallest map that LMDB takes, so that growing happens within the contract too."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = LmdbStore(tmp_path / "store", map_bytes=4096 * 4)
        yield store
        store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def other_process(path: Path, program: str) -> subprocess.Popen[str]:
    """A second Python with `path` set and the names of this module there; talk to it by lines."""
    opening = (
        "import sys\nfrom pathlib import Path\nfrom hive.storage.lmdb_store import LmdbStore\n"
        "from tests.storage.store_contract import Mark, marks\npath = Path(sys.argv[1])\n"
    )
    command = [sys.executable, "-u", "-c", opening + program, str(path)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def tell(process: subprocess.Popen[str], line: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Without root's right to write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_lmdb_store_syncs_every_commit(path: Path) -> None:
    store = LmdbStore(path)
    flags = store.opened().flags()
    assert (flags["sync"], flags["metasync"], flags["writemap"], flags["map_async"]) == (True, True, False, False)
    store.close()


def test_lmdb_store_gives_back_what_was_committed_when_opened_again(path: Path) -> None:
    store = LmdbStore(path)
    store.commit(marks(("a", 1), ("a", 2)))
    store.commit([Delete("mark", ("a", 1))])
    store.close()
    again = LmdbStore(path)
    assert list(again.scan(Mark)) == [Mark("a", 2)]
    again.close()


def test_lmdb_store_grows_its_map_when_it_is_full(path: Path) -> None:
    store = LmdbStore(path, map_bytes=MAP_BYTES_SMALL)
    records = [Mark("a", number, "x" * 300) for number in range(2000)]
    store.commit([Put(record) for record in records[:1500]])  # full within one transaction, several times over
    for record in records[1500:]:
        store.commit([Put(record)])
    assert list(store.scan(Mark)) == records
    assert store.opened().info()["map_size"] > MAP_BYTES_SMALL
    store.close()


def test_lmdb_store_grows_again_when_opened_with_a_smaller_map(path: Path) -> None:
    for number in range(3):
        store = LmdbStore(path, map_bytes=MAP_BYTES_SMALL)
        store.commit([Put(Mark("a", number, "x" * 200_000))])
        store.close()
    again = LmdbStore(path, map_bytes=MAP_BYTES_SMALL)
    assert len(list(again.scan(Mark))) == 3
    again.close()


def test_lmdb_store_stops_growing_at_its_limit_and_writes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_store, "MAP_BYTES_MAX", 4 * MAP_BYTES_SMALL)
    store = LmdbStore(path, map_bytes=MAP_BYTES_SMALL)
    store.commit(marks(("a", 1)))
    with pytest.raises(StoreError, match="has reached 262144 bytes: nothing of this commit was written"):
        store.commit([Delete("mark", ("a", 1)), Put(Mark("a", 2, "x" * 500_000))])
    store.commit(marks(("a", 3)))
    assert [mark.number for mark in store.scan(Mark)] == [1, 3]
    store.close()


def test_lmdb_store_takes_no_disk_before_it_is_needed(path: Path) -> None:
    store = LmdbStore(path)
    store.commit(marks(("a", 1)))
    assert (path / "data.mdb").stat().st_size < 64 * 1024
    store.close()


def test_lmdb_store_says_a_commit_is_in_doubt_when_the_disk_refuses_it(path: Path) -> None:
    store = LmdbStore(path)
    store.commit(marks(("a", 1)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    try:
        with pytest.raises(StoreError, match="in doubt"):
            store.commit([Put(Mark("a", 2, "x" * 1_000_000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(StoreError, match="open it again"):
        store.get(Mark, ("a", 1))
    again = LmdbStore(path)
    assert list(again.scan(Mark)) == [Mark("a", 1)]
    again.commit(marks(("a", 3)))
    again.close()


def test_lmdb_store_is_refused_when_open_in_this_process_already(path: Path) -> None:
    store = LmdbStore(path)
    for readonly in (False, True):
        with pytest.raises(StoreError, match="already open in this process"):
            LmdbStore(path, readonly=readonly)
    store.commit(marks(("a", 1)))
    store.close()
    LmdbStore(path).close()


def test_reader_sees_each_commit_of_a_live_writer_even_when_the_map_has_grown(path: Path) -> None:
    writer = LmdbStore(path, map_bytes=MAP_BYTES_SMALL)
    program = (
        "store = LmdbStore(path, readonly=True, map_bytes=65536)\n"
        "print('ready')\n"
        "for line in sys.stdin:\n"
        "    print([mark.number for mark in store.scan(Mark)], store.get(Mark, ('a', 2)) is not None)\n"
    )
    with ended(other_process(path, program)) as reader:
        assert hear(reader) == "ready"
        for number in (1, 2, 3):
            writer.commit([Put(Mark("a", number, "x" * 400_000))])
            tell(reader)
            assert hear(reader) == f"{list(range(1, number + 1))} {number >= 2}"
    writer.close()


def test_reader_may_not_commit(path: Path) -> None:
    LmdbStore(path).close()
    reader = LmdbStore(path, readonly=True)
    with pytest.raises(StoreError, match="reading only"):
        reader.commit(marks(("a", 1)))
    reader.close()


def test_reader_is_told_when_there_is_no_store(path: Path) -> None:
    with pytest.raises(StoreError, match=f"no store at {path}"):
        LmdbStore(path, readonly=True)
    assert not path.exists()


def test_lmdb_store_keeps_every_acknowledged_commit_when_its_process_is_killed(path: Path) -> None:
    program = (
        "store = LmdbStore(path, map_bytes=65536)\n"
        "for number in range(10**6):\n"
        "    store.commit(marks(('a', number), ('b', number)))\n"
        "    print(number)\n"
    )
    with ended(other_process(path, program)) as writer:
        while (acknowledged := int(hear(writer))) < 100:
            pass
        writer.kill()
    store = LmdbStore(path)
    numbers = {name: [mark.number for mark in store.scan(Mark, (name,))] for name in "ab"}
    assert numbers["a"] == numbers["b"] == list(range(len(numbers["a"])))
    assert len(numbers["a"]) > acknowledged
    store.close()


def test_newer_format_is_refused_by_name_and_left_as_it_is(path: Path) -> None:
    LmdbStore(path).close()
    put_raw(path, FORMAT_KEY, b"hive 2")
    before = (path / "data.mdb").read_bytes()
    for readonly in (False, True):
        with pytest.raises(StoreError, match=r"format 2, written by a newer hive; this one knows 1: upgrade"):
            LmdbStore(path, readonly=readonly)
    assert (path / "data.mdb").read_bytes() == before


def test_lmdb_file_of_another_program_is_refused(path: Path) -> None:
    path.mkdir()
    put_raw(path, b"key", b"value")
    with pytest.raises(StoreError, match="hive did not write"):
        LmdbStore(path)


def test_format_that_is_no_number_is_refused(path: Path) -> None:
    LmdbStore(path).close()
    put_raw(path, FORMAT_KEY, b"hive one")
    with pytest.raises(StoreError, match=r"damaged.*hive one"):
        LmdbStore(path)


def put_raw(path: Path, key: bytes, value: bytes) -> None:
    environment = lmdb.Environment(str(path))
    with environment.begin(write=True) as transaction:
        transaction.put(key, value)
    environment.close()


@pytest.mark.parametrize("readonly", [False, True])
def test_random_bytes_in_place_of_the_data_file_are_refused(path: Path, readonly: bool) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(bytes(range(256)) * 64)
    with pytest.raises(StoreError, match=f"store at {path} is damaged.*backup"):
        LmdbStore(path, readonly=readonly)


@pytest.mark.parametrize("kept", [1, 4096, 8192, 30_000])
def test_data_file_that_was_cut_short_is_refused_and_kills_nobody(path: Path, kept: int) -> None:
    store = LmdbStore(path)
    store.commit([Put(Mark("a", number, "x" * 300)) for number in range(500)])
    store.close()
    with (path / "data.mdb").open("r+b") as file:
        file.truncate(kept)
    with pytest.raises(StoreError, match="damaged"):
        LmdbStore(path)


def test_file_in_place_of_the_folder_is_refused(path: Path) -> None:
    path.write_text("not a folder")
    with pytest.raises(StoreError, match=f"cannot open the store at {path}: .*folder that this user can write"):
        LmdbStore(path)


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with ordinary_user(), pytest.raises(StoreError, match=f"cannot open the store at {tmp_path}/store: .*Permission"):
        LmdbStore(tmp_path / "store")
    tmp_path.chmod(0o755)


def test_unwritable_data_file_is_refused(path: Path) -> None:
    LmdbStore(path).close()
    (path / "data.mdb").chmod(0o444)
    with ordinary_user(), pytest.raises(StoreError, match=f"cannot open the store at {path}: .*Permission"):
        LmdbStore(path)
