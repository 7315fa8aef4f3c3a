"""Checkpoints within bytes, on real files: a study ends with the same results, its best state is there, and the disk
has no more than it should."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from hive.storage.lmdb_store import LmdbStore
from hive.storage.records import StandingRecord
from tests.live.commands import read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended
from tests.live.results import found, repeated_steps
from tests.live.studies import SLOW, TOY, StudyFile, edited

BRANCHED = edited(
    TOY,
    ("Constant(0.1), MultiStep(0.1, [4], 0.5), MultiStep(0.1, [8], 0.5), Exponential(0.1, 0.9)",
     "Constant(0.1), *[MultiStep(0.1, [step], 0.5) for step in range(2, 12)]"),
)  # fmt: skip
"""22 trials that leave two chains at ten steps each."""


def files(folder: Path) -> dict[str, int]:
    """The checkpoints in a folder, with their bytes."""
    return {path.name: path.stat().st_size for path in folder.rglob("*.safetensors")}


def run(cluster: Daemons, start: Start, file: StudyFile, bytes_max: int) -> dict[str, Any]:
    """The study's summary, with so many bytes for checkpoints."""
    config = cluster.folder / "coordinator.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(edited(text, ("checkpoint_bytes_max = 0", f"checkpoint_bytes_max = {bytes_max}")))
    daemons = [cluster.daemon("coordinator"), cluster.daemon("worker")]
    summary = cluster.folder / "summary.json"
    command = start("run", file.path, "--url", cluster.url, "--json", summary).wait()
    assert command.code == 0, command.err
    checkpoints = cluster.folder / "cluster" / "checkpoints"
    if bytes_max:
        wait_until(lambda: sum(files(checkpoints).values()) <= bytes_max, "the files to go")
    for daemon in daemons:
        ended(daemon)
    return read_json(summary)


def test_study_ends_with_the_same_results_within_a_tenth_of_the_bytes_that_it_writes(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "tenth").mkdir()
    free = Daemons(start, tmp_path / "all")
    first = StudyFile.write(tmp_path / "first", BRANCHED)
    undisturbed = run(free, start, first, 0)
    written = files(free.folder / "cluster" / "checkpoints")
    assert len(written) >= 22
    tight = Daemons(start, tmp_path / "tenth")
    file = StudyFile.write(tmp_path / "second", BRANCHED)
    summary = run(tight, start, file, sum(written.values()) // 10)
    assert found(summary) == found(undisturbed)
    repeated_steps(summary)
    assert summary["steps_repeated"]["evicted"] > 0
    assert summary["steps_run"] == file.steps()

    root = tight.folder / "cluster"
    pins = start("pins", "--root", root, "--json").wait()
    (best,) = json.loads(pins.out)
    assert best["digest"] == summary["best"]["state_digest"]
    assert best["file"].rpartition("/")[2] in files(root / "checkpoints")

    before = files(root / "checkpoints")
    dry = start("gc", "--to", "1", "--dry-run", "--root", root, "--json").wait()
    assert json.loads(dry.out)["files"] == len(before) - 1, dry.err
    assert files(root / "checkpoints") == before
    gone = start("gc", "--to", "1", "--root", root).wait()
    assert gone.code == 0, gone.err
    assert list(files(root / "checkpoints")) == [best["file"].rpartition("/")[2]]
    assert start("pins", "remove", best["digest"][:8], "--root", root).wait().code == 0


def named(root: Path) -> set[str]:
    """The checkpoints that a stopped root's records name, without their folder."""
    store = LmdbStore(root / "store")
    try:
        found = [record.checkpoint for record in store.scan(StandingRecord)]
        return {file.name.rpartition("/")[2] for file in found if file is not None}
    finally:
        store.close()


def test_file_of_a_trainer_that_was_killed_before_anybody_heard_of_it_is_collected(
    start: Start, cluster: Daemons, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    root, file = cluster.folder / "cluster", StudyFile.write(tmp_path / "study", SLOW)
    checkpoints, summary = root / "checkpoints", tmp_path / "summary.json"
    coordinator, worker = cluster.daemon("coordinator"), cluster.daemon("worker")
    command = start("run", file.path, "--url", cluster.url, "--json", summary)
    wait_until(lambda: files(checkpoints), "a checkpoint")
    coordinator.signal(signal.SIGKILL)
    coordinator.wait()
    heard = files(checkpoints)
    wait_until(lambda: len(files(checkpoints)) > len(heard), "a checkpoint that nobody hears of")
    worker.signal(signal.SIGKILL)
    worker.wait()
    unheard = {name: size for name, size in files(checkpoints).items() if name not in heard}

    coordinator, worker = cluster.daemon("coordinator"), cluster.daemon("worker")
    assert command.wait().code == 0, command.err
    assert found(read_json(summary)) == found(undisturbed)
    dry = json.loads(start("gc", "--dry-run", "--url", cluster.url, "--json").wait().out)
    assert dry["orphans"] >= len(unheard)
    assert dry["orphan_bytes"] >= sum(unheard.values())
    assert unheard.keys() <= files(checkpoints).keys()
    gone = start("gc", "--url", cluster.url).wait()
    assert f"deleted {dry['orphans']} files" in gone.out, gone.err
    wait_until(lambda: not unheard.keys() & files(checkpoints).keys(), "the files to go")
    ended(worker)
    ended(coordinator)
    assert files(checkpoints).keys() == named(root)

    (plan,) = [folder for folder in checkpoints.iterdir() if folder.is_dir()]
    draft = plan / "0-3-1.safetensors.4711.tmp"
    draft.write_bytes(b"half of it")
    stopped = json.loads(start("gc", "--root", root, "--json").wait().out)
    assert (stopped["orphans"], stopped["orphan_bytes"]) == (1, 10)
    assert not draft.exists()
    assert files(checkpoints).keys() == named(root)
