"""Folders of checkpoint files: one contract for a local folder, for an object store and for a file system without one;
and what happens when the network or the owner is not what it should be."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from hive.errors import CheckpointError, StoreError
from hive.storage.cache import Cache
from hive.storage.checkpoints import Pool, read_checkpoint, snapshot, write_checkpoint
from hive.storage.folders import ATTEMPTS_S, Folder, RemoteFolder, claim, open_folder, own_folder
from hive.storage.memory_store import MemoryStore

GB = 10**9

See = Callable[[str], Folder]
"""A folder, seen from a machine of this name."""


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    """An S3 server of our own, which s3fs is told of as users tell it: by the environment."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "key")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3", use_listings_cache=False).mkdir("bucket")
        yield
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


@pytest.fixture(params=["folder", "s3", "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The places that the contract is held to."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return f"s3://bucket/{tmp_path.name}"
    return f"memory://{tmp_path.name}" if request.param == "memory" else str(tmp_path / "shared")


@pytest.fixture
def see(where: str, tmp_path: Path) -> See:
    """Machines that see one place."""
    claimed = claim(MemoryStore(), where)
    return lambda machine: open_folder(claimed, tmp_path / machine, GB)


def text(content: str) -> Callable[[Path], int]:
    """Writes so much, and returns what any writer may."""

    def write(path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.write_text(content)

    return write


def test_file_put_by_one_machine_is_got_by_another(see: See) -> None:
    assert see("one").put("plan/0-4-1", text("state")) == 5
    assert see("other").get("plan/0-4-1").read_text() == "state"


def test_checkpoint_put_by_one_machine_is_read_by_another(see: See) -> None:
    taken = snapshot({"weights": [1.5, 2.5], "step": 7}, Pool())
    digest, _ = see("one").put("plan/0-7-1.safetensors", lambda path: write_checkpoint(path, taken, {"more": 1}))
    taken.release()
    state, extras = read_checkpoint(see("other").get("plan/0-7-1.safetensors"))
    assert (state, extras) == ({"weights": [1.5, 2.5], "step": 7}, {"more": 1})
    assert len(digest) == 64


def test_machine_gets_again_what_its_cache_lost(see: See, tmp_path: Path) -> None:
    machine = see("one")
    machine.put("plan/0-4-1", text("state"))
    shutil.rmtree(tmp_path / "one", ignore_errors=True)
    assert machine.get("plan/0-4-1").read_text() == "state"


def test_files_are_listed_with_their_bytes_until_they_are_deleted(see: See) -> None:
    machine = see("one")
    machine.put("plan/0-4-1", text("state"))
    machine.put("other/plan/0-8-1", text("states"))
    assert sorted(see("other").files()) == [("other/plan/0-8-1", 6), ("plan/0-4-1", 5), ("root-id", 16)]
    machine.delete(["plan/0-4-1", "plan/0-4-2"])
    assert sorted(see("other").files()) == [("other/plan/0-8-1", 6), ("root-id", 16)]


def test_name_that_leads_out_of_the_folder_is_refused(see: See) -> None:
    for name in ("../else", "/etc/passwd", "plan/../../else"):
        with pytest.raises(CheckpointError, match="leads out of its folder"):
            see("one").get(name)
        with pytest.raises(CheckpointError, match="leads out of its folder"):
            see("one").put(name, text("state"))


def test_file_that_is_nowhere_is_told_by_its_name(see: See) -> None:
    with pytest.raises(CheckpointError, match="plan/0-4-9"):
        read_checkpoint(see("one").get("plan/0-4-9"))


def test_what_could_not_be_written_is_not_there(see: See) -> None:
    def fail(path: Path) -> None:
        raise CheckpointError("the disk is full")

    with pytest.raises(CheckpointError, match="the disk is full"):
        see("one").put("plan/0-4-1", fail)
    with pytest.raises(CheckpointError, match="plan/0-4-1"):
        read_checkpoint(see("other").get("plan/0-4-1"))


# Whose folder it is


def test_root_finds_its_folder_again(where: str) -> None:
    store = MemoryStore()
    assert claim(store, where) == claim(store, where)


def test_second_root_is_kept_out_of_a_folder(where: str) -> None:
    claim(MemoryStore(), where)
    with pytest.raises(StoreError, match="belongs to another root"):
        claim(MemoryStore(), where)


def test_root_whose_files_are_elsewhere_is_told_so(where: str, tmp_path: Path) -> None:
    store = MemoryStore()
    claim(store, str(tmp_path / "before"))
    with pytest.raises(StoreError, match="not where this root's checkpoints are"):
        claim(store, where)
    shutil.copytree(tmp_path / "before", tmp_path / "moved")
    assert claim(store, str(tmp_path / "moved")).where == str(tmp_path / "moved")


def test_link_is_no_file_of_a_folder(tmp_path: Path) -> None:
    """Deleting what is behind it would lead out of the folder."""
    folder = own_folder(claim(MemoryStore(), str(tmp_path / "shared")))
    (tmp_path / "elsewhere").write_text("state")
    (tmp_path / "shared" / "0-4-1").symlink_to(tmp_path / "elsewhere")
    assert [name for name, _ in folder.files()] == ["root-id"]


def test_folder_that_cannot_be_listed_is_told_with_the_reason(where: str) -> None:
    claimed = claim(MemoryStore(), where)
    folder = own_folder(claimed)
    if isinstance(folder, RemoteFolder):
        folder.system.find = Failing.failing(folder.system.find, 1, PermissionError("access denied"))
    else:
        shutil.rmtree(where)
    with pytest.raises(CheckpointError, match=f"cannot list the files in {where}: .*(access denied|No such file)"):
        list(folder.files())


def test_machine_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    claimed = claim(MemoryStore(), str(shared))
    shutil.move(shared, tmp_path / "another machine's")
    with pytest.raises(StoreError, match=r"is not there on this machine: set checkpoint_url"):
        open_folder(claimed, tmp_path / "cache", GB)
    claim(MemoryStore(), str(shared))
    with pytest.raises(StoreError, match=r"is another root's on this machine"):
        open_folder(claimed, tmp_path / "cache", GB)


@pytest.mark.parametrize("url", ["s3://no-such-bucket/folder", "nosuch://host/folder"])
def test_url_that_cannot_be_used_is_told_with_the_reason(url: str, s3: None) -> None:
    with pytest.raises(StoreError, match=f"cannot use the checkpoint folder {url}: "):
        claim(MemoryStore(), url)


# A network that fails for a while


class Failing:
    """A remote folder whose file system raises, so often, before it does what it should."""

    def __init__(self, tmp_path: Path, times: int, error: Exception) -> None:
        self.slept: list[float] = []
        self.folder = RemoteFolder(f"memory://{tmp_path.name}", Cache(tmp_path / "cache", GB), self.slept.append)
        for name in ("put_file", "get_file"):
            setattr(self.folder.system, name, self.failing(getattr(self.folder.system, name), times, error))

    @staticmethod
    def failing(method: Callable[..., Any], times: int, error: Exception) -> Callable[..., Any]:
        left = iter(range(times))

        def attempt(*arguments: Any, **named: Any) -> Any:
            if next(left, None) is not None:
                raise error
            return method(*arguments, **named)

        return attempt


@pytest.fixture(autouse=True)
def _own_memory_file_systems() -> Iterator[None]:
    """What a test changes in a file system ends with it."""
    fsspec.filesystem("memory").clear_instance_cache()
    yield
    fsspec.filesystem("memory").clear_instance_cache()


def test_machine_tries_again_what_may_pass(tmp_path: Path) -> None:
    failing = Failing(tmp_path, 2, ConnectionError("no route to host"))
    failing.folder.put("plan/0-4-1", text("state"))
    assert failing.slept == list(ATTEMPTS_S[:2])
    shutil.rmtree(tmp_path / "cache")
    assert failing.folder.get("plan/0-4-1").read_text() == "state"
    assert failing.slept == list(ATTEMPTS_S[:2]) * 2


def test_machine_gives_up_what_does_not_pass(tmp_path: Path) -> None:
    failing = Failing(tmp_path, 100, ConnectionError("no route to host"))
    with pytest.raises(CheckpointError, match=r"cannot store .*plan/0-4-1: ConnectionError: no route to host"):
        failing.folder.put("plan/0-4-1", text("state"))
    assert failing.slept == list(ATTEMPTS_S)


def test_machine_does_not_try_again_what_cannot_pass(tmp_path: Path) -> None:
    failing = Failing(tmp_path, 100, PermissionError("access denied"))
    with pytest.raises(CheckpointError, match="access denied"):
        failing.folder.put("plan/0-4-1", text("state"))
    assert failing.slept == []


def test_half_of_a_file_is_never_got_when_fetching_it_fails(tmp_path: Path) -> None:
    failing = Failing(tmp_path, 0, OSError())
    failing.folder.put("plan/0-4-1", text("state"))
    shutil.rmtree(tmp_path / "cache")

    def half(remote: str, local: str) -> None:
        Path(local).write_text("sta")
        raise PermissionError("revoked")

    failing.folder.system.get_file = half
    with pytest.raises(CheckpointError, match="revoked"):
        failing.folder.get("plan/0-4-1")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


# The cache


class Disk:
    """A cache whose clock moves ten minutes at each use."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self.now = 1e9
        self.cache = Cache(folder, bytes_max, lambda: self.now)

    def add(self, name: str, size: int, after_s: float = 600.0) -> None:
        self.now += after_s
        with self.cache.filling(self.cache.folder / name) as draft:
            draft.write_bytes(b"x" * size)

    def use(self, name: str) -> bool:
        self.now += 600.0
        return self.cache.use(self.cache.folder / name)

    def names(self) -> set[str]:
        return {str(path.relative_to(self.cache.folder)) for path in self.cache.folder.rglob("*") if path.is_file()}


def test_cache_lets_go_of_what_was_not_used_for_longest(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 30)
    for name in ("plan/a", "plan/b", "plan/c"):
        disk.add(name, 10)
    assert disk.use("plan/a")
    disk.add("other/d", 10)
    assert disk.names() == {"plan/a", "plan/c", "other/d"}
    assert not disk.use("plan/b")


def test_cache_keeps_what_was_just_used_however_large(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 0)
    disk.add("a", 10)
    disk.add("b", 10, after_s=1.0)
    assert disk.names() == {"a", "b"}
    disk.add("c", 10)
    assert disk.names() == {"c"}


def test_cache_removes_drafts_of_killed_processes(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 100)
    killed, filling = tmp_path / "killed.draft", tmp_path / "filling.draft"
    killed.write_bytes(b"xx")
    disk.use("killed.draft")
    disk.now += 3600.0
    filling.write_bytes(b"xx")
    disk.use("filling.draft")
    disk.add("a", 10)
    assert disk.names() == {"a", "filling.draft"}


def test_cache_is_shared_by_trainers_that_fill_it_at_once(s3: None, tmp_path: Path) -> None:
    """Each gets every file whole, whoever fetched it."""
    claimed = claim(MemoryStore(), f"s3://bucket/{tmp_path.name}")
    open_folder(claimed, tmp_path / "one", GB).put("plan/a", text("state" * 10_000))
    found = []

    def get() -> None:
        machine = open_folder(claimed, tmp_path / "other", GB)
        found.append(machine.get("plan/a").read_text() == "state" * 10_000)

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
