"""One study, trained every way there is: the same bits, and an honest count of the steps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import Command, read_json
from tests.live.conftest import Start
from tests.live.results import found
from tests.live.studies import TORCH, TOY, StudyFile

Run = Callable[..., tuple[Command, dict[str, Any]]]
Train = Callable[..., tuple[StudyFile, dict[str, Any]]]


@pytest.fixture
def train(run: Run, tmp_path: Path) -> Callable[..., tuple[StudyFile, dict[str, Any]]]:
    """`train(text, *options)`: a study run in a folder of its own; its steps are counted from outside too."""

    def one_way(text: str, *options: str | Path) -> tuple[StudyFile, dict[str, Any]]:
        file = StudyFile.write(tmp_path / "".join(map(str, options)), text)
        command, summary = run(file, "--root", file.folder / "root", *options)
        assert command.code == 0, command.err
        assert summary["steps_run"] == file.steps()
        return file, summary

    return one_way


def test_study_gives_the_same_bits_whichever_way_it_is_trained(train: Train, run: Run) -> None:
    file, merged = train(TOY, "--trainers", "2")
    assert merged["steps_run"] == merged["steps_distinct"] < merged["steps_asked"]
    assert {trial["status"] for trial in merged["trials"]} == {"complete", "stopped"}

    _, unmerged = train(TOY, "--trainers", "2", "--no-merge")
    assert unmerged["steps_run"] == unmerged["steps_asked"] == merged["steps_asked"]

    _, inline = train(TOY, "--inline")
    assert inline["steps_run"] == merged["steps_run"]
    assert found(unmerged) == found(merged)
    assert found(inline) == found(merged)

    command, again = run(file, "--root", file.folder / "root", "--trainers", "2")
    assert command.code == 0, command.err
    assert again["steps_run"] == 0
    assert again["steps_reused"] == again["steps_distinct"] == merged["steps_distinct"]
    assert file.steps() == merged["steps_run"]
    assert found(again) == found(merged)


def test_net_with_dropout_gives_the_same_bits_merged_on_two_trainers_and_unmerged_in_one_process(train: Train) -> None:
    _, merged = train(TORCH, "--trainers", "2")
    assert merged["steps_run"] == merged["steps_distinct"] < merged["steps_asked"]
    _, unmerged = train(TORCH, "--inline", "--no-merge")
    assert unmerged["steps_run"] == unmerged["steps_asked"]
    assert found(unmerged) == found(merged)


def test_python_file_does_what_hive_run_file_does(run: Run, start: Start, tmp_path: Path) -> None:
    script = TOY.replace(
        "    study.run(tuner)\n", '    import json; json.dump(study.run(tuner).to_json(), open("s", "w"))\n'
    )
    file = StudyFile.write(tmp_path / "study", script)
    command = start(file.path, program=(sys.executable,)).wait()
    assert command.code == 0, command.err
    by_python = read_json(tmp_path / "s")
    assert by_python["steps_run"] == file.steps() == by_python["steps_distinct"]

    _, by_hive = run(file, "--root", ".hive", "--inline")
    assert by_hive["steps_run"] == 0, "both have one root, ./.hive, and one name for the trainer"
    assert found(by_hive) == found(by_python)


def test_root_of_processes_goes_on_inline_and_back(run: Run, tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", TOY)
    _, first = run(file, "--inline")
    _, second = run(file, "--trainers", "1")
    assert second["steps_run"] == 0
    assert found(second) == found(first)
