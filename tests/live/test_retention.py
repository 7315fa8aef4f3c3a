"""Checkpoints within bytes, on real files: a study ends with the same results, its best state is there, and the disk
has no more than it should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.live.commands import read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended
from tests.live.results import found, repeated_steps
from tests.live.studies import TOY, StudyFile, edited

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
