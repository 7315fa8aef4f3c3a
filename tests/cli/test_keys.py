"""`hive keys`: a line for each folder, for the coordinator first, and what is there is said to be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive.actors.keys import COORDINATOR, read_keys
from hive.cli.main import main


def test_keys_are_made_for_a_client_when_nobody_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "keys"
    assert main(["keys", str(folder)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{folder / COORDINATOR}: for hive-coordinator --keys")
    assert second.startswith(f"{folder / 'client'}: for --keys or HIVE_KEYS of client")
    assert set(read_keys(folder / COORDINATOR).peers) == {"client"}


def test_keys_that_are_there_are_said_to_be_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", str(tmp_path), "box"]) == 0
    before = read_keys(tmp_path / "box")
    capsys.readouterr()
    assert main(["keys", str(tmp_path), "ada", "box"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(tmp_path / name) for name in (COORDINATOR, "ada", "box")]
    assert ["left as they are" in line for line in lines] == [True, False, True]
    assert read_keys(tmp_path / "box") == before


def test_word_that_cannot_name_keys_is_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", str(tmp_path), "a/b"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("hive: 'a/b' cannot name keys")
