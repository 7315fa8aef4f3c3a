"""Daemons on an address that other machines could reach: those with keys train as ever, others are told that they are
not let in.

Everything stays on this machine: the coordinator listens on all its interfaces, and the others reach it at loopback
addresses that differ, as machines' addresses would."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hive.storage.lmdb_store import LmdbStore
from hive.storage.records import CurveRecord
from tests.live.clients import CALLS, ClientFile
from tests.live.commands import Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import CHECKOUT, Daemons, ended
from tests.live.results import found
from tests.live.studies import SLOW, StudyFile, edited

QUICK = edited(SLOW, ('"step_s": 0.02', '"step_s": 0.0'))


class KeyedCluster(Daemons):
    """Daemons with keys for a worker, `box`, and a client, `ada`."""

    def __init__(self, start: Start, folder: Path) -> None:
        super().__init__(start, folder)
        self.keys, self.port = folder / "keys", self.url.rpartition(":")[2]
        made = start("keys", self.keys, "box", "ada").wait()
        assert made.code == 0, made.err
        path = folder / "coordinator.toml"
        text = edited(
            path.read_text(encoding="utf-8"),
            (f'listen = "{self.url}"', f'listen = "tcp://0.0.0.0:{self.port}"'),
            ('keys = ""', f'keys = "{self.keys}/coordinator"'),
        )
        path.write_text(text, encoding="utf-8")

    def worker(self, keys: Path) -> Command:
        """Start a worker with these keys."""
        program = str(CHECKOUT / "bin" / "hive-worker")
        words = ("--connect", f"tcp://127.0.0.2:{self.port}", "--keys", keys)
        return self.start("--config", self.folder / "worker.toml", *words, program=(program,))

    def has_curves(self) -> bool:
        """Whether the aggregator has heard of any point."""
        path = self.folder / "cluster" / "curves"
        if not (path / "data.mdb").exists():
            return False
        store = LmdbStore(path, readonly=True)
        try:
            return any(True for _ in store.scan(CurveRecord))
        finally:
            store.close()


@pytest.fixture
def keyed(start: Start, tmp_path: Path) -> KeyedCluster:
    """A cluster of this test's own; nothing of it runs yet."""
    return KeyedCluster(start, tmp_path)


def test_study_trains_over_machines_that_have_keys(
    keyed: KeyedCluster, start: Start, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, mine = f"tcp://127.0.0.3:{keyed.port}", keyed.keys / "ada"
    file, summary = StudyFile.write(tmp_path / "study", QUICK), tmp_path / "summary.json"
    daemons = [keyed.worker(keyed.keys / "box"), keyed.daemon("coordinator")]
    run = start("run", file.path, "--url", url, "--keys", mine, "--json", summary).wait()
    assert run.code == 0, run.err
    assert found(read_json(summary)) == found(undisturbed)
    wait_until(keyed.has_curves, "curves, which go to another port")
    for words in (("status", "--url", url), ("status", "--root", tmp_path / "cluster")):
        status = start(*words, "--keys", mine).wait()
        assert (status.code, "toy" in status.out) == (0, True), status.err

    monkeypatch.setenv("HIVE_KEYS", str(mine))
    client = ClientFile.write(tmp_path / "calls", CALLS)
    script = start(url, client.told_path(0), program=(sys.executable, str(client.path))).wait()
    assert client.told_path(0).read_text() == "done", script.err
    studies = start("studies", "--url", url).wait()
    assert studies.code == 0, studies.err
    for daemon in daemons:
        ended(daemon)


def stranger(folder: Path, keyed: KeyedCluster, start: Start) -> Path:
    """Keys that somebody made with the coordinator's public key, and that nobody let in."""
    assert start("keys", folder / "theirs").wait().code == 0
    mine, public = folder / "theirs" / "client", "peers/coordinator.key"
    shutil.copyfile(keyed.keys / "ada" / public, mine / public)
    return mine


@pytest.mark.parametrize("who", ["keyless", "stranger"])
def test_whoever_has_no_key_that_is_known_is_told_so(
    who: str, keyed: KeyedCluster, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HIVE_KEYS", raising=False)
    words = "asks for keys"
    if who == "stranger":
        words = "does not let in the key in"
        monkeypatch.setenv("HIVE_KEYS", str(stranger(tmp_path, keyed, start)))
    file = StudyFile.write(tmp_path / "study", QUICK)
    coordinator = keyed.daemon("coordinator")
    wait_until(lambda: "serving" in coordinator.err, "the coordinator to listen")
    for command in (
        start("run", file.path, "--url", keyed.url),
        start("status", "--url", keyed.url),
        start("studies", "pause", "toy", "--url", keyed.url),
    ):
        assert command.wait().code == 2, command.err
        (line,) = (line for line in command.err.splitlines() if "still waiting" not in line)
        assert line.startswith(f"hive: {keyed.url} {words}")

    client = ClientFile.write(tmp_path / "calls", CALLS)
    script = start(keyed.url, client.told_path(0), program=(sys.executable, str(client.path))).wait()
    assert script.code == 1
    assert script.err.splitlines()[-1].startswith(f"hive.errors.HiveError: {keyed.url} {words}")

    worker = keyed.daemon("worker")
    wait_until(lambda: f"{keyed.url} {words}" in worker.err, "a word in the worker's log")
    ended(worker)
    assert file.steps() == client.steps() == 0
    assert ("refused a peer" in coordinator.err) is (who == "stranger")
    ended(coordinator)
