"""Shared equals separate, bit for bit: every way to get to a step gives one digest.

Each way is tested on its own, and once more with the generators' states left out, which must show: a test of equality
that cannot fail proves nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hive.storage.checkpoints import Snapshot
from hive.storage.skeleton import unpack
from hive.training.reports import BatchOrder, Ended, Evaluated, Metrics, Reached
from tests.training.forked import FORK, GENERATOR_RESTORERS
from tests.training.toys import KINDS, RISING, Bench, batch, of_kind, stage

STRAIGHT = batch(stage(0, 0, 8, RISING))
IN_TWO = batch(stage(0, 0, 3, RISING), stage(0, 3, 8, RISING))

kinds = pytest.mark.parametrize("kind", KINDS)
broken = pytest.mark.parametrize("forgetful", [False, True], ids=["whole", "generators left out"])


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in GENERATOR_RESTORERS:
        monkeypatch.setattr(module, name, lambda states, seed: None)


def last(bench: Bench, order: Any) -> tuple[str, Metrics | None]:
    """Digest and metrics at a batch's last boundary."""
    reached = of_kind(Reached, bench.run(order))[-1]
    assert reached.step == 8
    return reached.digest, reached.metrics


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Metrics | None]]:
    """Each trainer trained to step 8 in one go, evaluated there only."""
    folder = tmp_path_factory.mktemp("straight")
    return {name: last(Bench(kind, folder / name), STRAIGHT) for name, kind in KINDS.items()}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each trainer's checkpoint at step 3."""
    folder = tmp_path_factory.mktemp("begun")
    for name, kind in KINDS.items():
        bench = Bench(kind, folder / name)
        bench.run(batch(stage(0, 0, 3, RISING)))
        bench.executor.close()
    return folder


@kinds
@broken
def test_trainer_gives_the_same_digest_when_it_goes_on_live(
    kind: str, forgetful: bool, straight: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forgetful:
        forget(monkeypatch)
    found = last(Bench(KINDS[kind], tmp_path), IN_TWO)
    assert (found != straight[kind]) if forgetful else (found == straight[kind])


@kinds
def test_trainer_gives_the_same_digest_when_it_goes_on_live_in_another_batch(
    kind: str, straight: Any, tmp_path: Path
) -> None:
    bench = Bench(KINDS[kind], tmp_path)
    [*_, ended] = bench.run(batch(stage(0, 0, 3, RISING)))
    assert isinstance(ended, Ended)
    assert ended.held == (0, 3)
    (tmp_path / "0-3-1.safetensors").unlink()  # so it cannot but go on live
    assert last(bench, FORK) == straight[kind]


@kinds
@broken
def test_trainer_gives_the_same_digest_when_it_forks_from_disk(
    kind: str, forgetful: bool, straight: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(KINDS[kind], tmp_path, snapshot_bytes_max=0)
    bench.run(IN_TWO)
    if forgetful:
        forget(monkeypatch)
    found = last(bench, FORK)
    assert (found != straight[kind]) if forgetful else (found == straight[kind])


def again(order: BatchOrder, prefix: str) -> BatchOrder:
    return replace(order, file_prefix=prefix)


@kinds
@broken
def test_trainer_gives_the_same_digest_when_it_forks_twice_from_memory(
    kind: str, forgetful: bool, straight: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(KINDS[kind], tmp_path)
    bench.run(IN_TWO)
    (tmp_path / "0-3-1.safetensors").unlink()  # so it cannot but fork from memory
    if forgetful:
        forget(monkeypatch)
    for prefix in ("first-", "second-"):
        found = last(bench, again(FORK, prefix))
        assert (found != straight[kind]) if forgetful else (found == straight[kind])


class Unprivate:
    """Hive broken: whoever asks for a copy is handed the memory itself."""

    @staticmethod
    def content(copied: Snapshot, device: str) -> Any:
        return unpack(copied.tree, copied.buffer.views.__getitem__)


@pytest.mark.parametrize("kind", ["Net", "AdamNet", "AliasingNet"])
@pytest.mark.parametrize("private", [True, False])
def test_trainer_gives_one_digest_when_it_forks_twice_from_memory_and_once_from_disk(
    kind: str, private: bool, straight: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(KINDS[kind], tmp_path)
    bench.run(IN_TWO)
    if not private:
        monkeypatch.setattr(Snapshot, "content", Unprivate.content)
    found = [last(bench, again(FORK, prefix))[0] for prefix in ("first-", "second-")]
    bench.executor.memory.clear()
    reports = bench.run(again(FORK, "third-"))
    assert of_kind(Ended, reports)[0].load_s is not None, "it was loaded from the file"
    found.append(of_kind(Reached, reports)[-1].digest)
    assert found[2] == straight[kind][0]
    assert (len(set(found)) == 1) is private


def test_trainers_give_the_same_digests_when_they_fork_in_a_new_process(straight: Any, begun: Path) -> None:
    command = [sys.executable, "-m", "tests.training.forked", str(begun)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    found = json.loads(done.stdout)
    assert {name: whole for name, (whole, _) in found.items()} == {name: each[0] for name, each in straight.items()}
    for name, (whole, stripped) in found.items():
        assert whole != stripped, name


@kinds
@broken
def test_trainer_gives_the_same_digest_when_it_is_evaluated_at_every_step(
    kind: str, forgetful: bool, straight: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forgetful:
        forget(monkeypatch)
    bench = Bench(KINDS[kind], tmp_path, eval_every=1)
    reports = bench.run(STRAIGHT)
    assert [report.step for report in of_kind(Evaluated, reports)] == [1, 2, 3, 4, 5, 6, 7]
    [reached] = of_kind(Reached, reports)
    found = (reached.digest, reached.metrics)
    assert (found != straight[kind]) if forgetful else (found == straight[kind])


@kinds
def test_trainer_gives_the_same_digest_when_checkpoints_are_made_at_every_step(
    kind: str, straight: Any, tmp_path: Path
) -> None:
    reports = Bench(KINDS[kind], tmp_path, checkpoint_every_s=0.0).run(STRAIGHT)
    found = [(report.step, report.checkpoint is not None) for report in of_kind(Reached, reports)]
    assert found == [(step, True) for step in range(1, 9)]
    assert of_kind(Reached, reports)[-1].digest == straight[kind][0]


@kinds
def test_trainer_is_measured_as_then_when_only_evaluation_is_asked(kind: str, begun: Path, tmp_path: Path) -> None:
    [live] = of_kind(Reached, Bench(KINDS[kind], tmp_path).run(batch(stage(0, 0, 3, RISING))))
    order = batch(stage(0, 3, 3, RISING), origin=(0, 3), checkpoint="0-3-1.safetensors")
    [again] = of_kind(Reached, Bench(KINDS[kind], begun / kind).run(order))
    assert (again.digest, again.metrics, again.checkpoint) == (live.digest, live.metrics, None)


def test_trainers_differ_when_the_seed_does(straight: Any, tmp_path: Path) -> None:
    other = last(Bench(KINDS["Net"], tmp_path, seed=6), STRAIGHT)
    assert other != straight["Net"]
