"""A root has one owner, who is named to everybody else and gone when its process is; the others are real processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hive.errors import StoreError
from hive.storage.root import Root, RootPaths, read_owner
from tests.storage.test_store import ROOT, ended, hear, ordinary_user, tell

HOLDER = (
    "import sys\nfrom hive.storage.root import Root\nroot = Root.acquire(sys.argv[1])\n"
    "root.publish_address('ipc://somewhere')\nprint('held')\nsys.stdin.readline()\nroot.release()\nprint('released')\n"
)
WAIT_S_LONG = 60.0  # only a bound: nothing here waits for it


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "root"


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the root until it is told a line."""
    command = [sys.executable, "-u", "-c", HOLDER, str(path)]
    with ended(
        subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ) as process:
        assert hear(process) == "held"
        yield process


def test_owner_finds_its_folders_made_and_is_named_in_the_root(path: Path) -> None:
    before = time.time()
    with Root.acquire(path) as root:
        assert root.checkpoints_path.is_dir()
        assert root.logs_path.is_dir()
        assert root.store_path.parent == root.path == path
        owner = read_owner(path)
        assert owner is not None
        assert (owner.pid, owner.host) == (os.getpid(), socket.gethostname())
        assert before <= owner.since <= time.time()
        assert json.loads(root.owner_path.read_text())["command"] == owner.command


def test_released_root_has_no_owner_and_no_address_and_can_be_acquired_again(path: Path) -> None:
    root = Root.acquire(path)
    root.publish_address("tcp://127.0.0.1:1")
    assert RootPaths(path).read_address() == "tcp://127.0.0.1:1"
    root.release()
    root.release()
    assert read_owner(path) is None
    assert RootPaths(path).read_address() is None
    Root.acquire(path).release()


def test_second_owner_is_refused_with_the_first_ones_name(path: Path) -> None:
    with holder(path) as process:
        with pytest.raises(StoreError) as refusal:
            Root.acquire(path, wait_s=0)
        message = str(refusal.value)
        assert f"the root {path} is held by process {process.pid} on {socket.gethostname()}" in message
        assert "root.publish_address" in message  # its command line
        assert "since 20" in message
        owner = read_owner(path)
        assert owner is not None
        assert owner.pid == process.pid
        assert RootPaths(path).read_address() == "ipc://somewhere"  # the refused one has not touched it


def test_second_owner_in_the_same_process_is_refused_too(path: Path) -> None:
    with Root.acquire(path), pytest.raises(StoreError, match=f"held by process {os.getpid()}"):
        Root.acquire(path)


def test_killed_owners_root_is_free_at_once_and_its_address_is_gone(path: Path) -> None:
    with holder(path) as process:
        process.kill()
        process.wait()
        assert read_owner(path) is None
        assert RootPaths(path).owner_path.read_text()  # what it wrote is still there and means nothing
        with Root.acquire(path, wait_s=0) as root:
            assert root.read_address() is None
            owner = read_owner(path)
            assert owner is not None
            assert owner.pid == os.getpid()


def test_root_is_acquired_when_its_owner_leaves_within_the_wait(path: Path) -> None:
    with holder(path) as process:
        leave = threading.Timer(0.15, tell, [process])  # later than the shortest wait, so that waiting is what helps
        leave.start()
        Root.acquire(path, wait_s=WAIT_S_LONG).release()
        leave.join()


def test_child_of_an_owner_does_not_keep_the_root_when_the_owner_is_gone(path: Path) -> None:
    program = HOLDER.replace(
        "print('held')", "import subprocess\nchild = subprocess.Popen(['cat'], close_fds=False)\nprint('held')"
    )
    command = [sys.executable, "-u", "-c", program, str(path)]
    owner = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with ended(owner) as process:  # `cat` ends when its standard input, shared with this process, does
        assert hear(process) == "held"
        process.kill()
        process.wait()
        Root.acquire(path, wait_s=0).release()


def test_looking_at_an_owner_never_costs_somebody_the_root(path: Path) -> None:
    Root.acquire(path).release()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            read_owner(path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(50):
            Root.acquire(path, wait_s=0).release()
    finally:
        over.set()
        looker.join()


def test_root_that_does_not_exist_has_no_owner_and_no_address(path: Path) -> None:
    assert read_owner(path) is None
    assert RootPaths(path).read_address() is None
    assert not path.exists()


def test_owner_file_that_says_nothing_useful_still_refuses(path: Path) -> None:
    with holder(path):
        RootPaths(path).owner_path.write_text("half a na")
        with pytest.raises(StoreError, match="its name is not written yet"):
            Root.acquire(path)


def test_file_in_place_of_a_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("not a folder")
    for path in (tmp_path / "root", tmp_path / "root" / "below"):
        with pytest.raises(StoreError, match=f"cannot use {path} as a root: .*--root"):
            Root.acquire(path)
        assert read_owner(path) is None


@pytest.mark.parametrize("made_before", [False, True])
def test_unwritable_root_is_refused_by_name(tmp_path: Path, made_before: bool) -> None:
    path = tmp_path / "root"
    if made_before:
        Root.acquire(path).release()
        path.chmod(0o555)
        (path / "owner").chmod(0o444)
    tmp_path.chmod(0o555)
    with ordinary_user(), pytest.raises(StoreError, match=f"cannot use {path} as a root: .*Permission"):
        Root.acquire(path)
    tmp_path.chmod(0o755)
    if made_before:
        path.chmod(0o755)
