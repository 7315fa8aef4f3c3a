"""The command line: what each option becomes, and exit codes of what never gets to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive.cli.main import main, parser


def test_run_takes_its_options_from_the_command_line() -> None:
    words = ["run", "f.py", "--trainers", "3", "--root", "r", "--no-merge", "--fresh", "--json", "o.json"]
    assert vars(parser().parse_args(words)) == {
        "command": "run",
        "file": Path("f.py"),
        "trainers": 3,
        "root": Path("r"),
        "url": None,
        "keys": None,
        "inline": False,
        "merge": False,
        "fresh": True,
        "json_path": Path("o.json"),
    }


def test_run_merges_in_the_default_root_when_nothing_is_said() -> None:
    arguments = vars(parser().parse_args(["run", "f.py"]))
    assert (arguments["root"], arguments["merge"], arguments["trainers"]) == (Path(".hive"), True, None)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["walk"],
        ["run"],
        ["run", "f.py", "--trainers", "0"],
        ["run", "f.py", "--trainers", "two"],
        ["run", "f.py", "--inline", "--url", "ipc://a"],
        ["studies", "stop", "toy"],
        ["keys"],
        ["studies", "--root", "r", "--url", "ipc://a"],
        ["status", "--root", "r", "--url", "ipc://a"],
    ],
)
def test_wrong_command_line_ends_with_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: hive" in capsys.readouterr().err


def test_missing_file_is_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none.py")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"hive: cannot read {tmp_path / 'none.py'}: No such file or directory\n"


@pytest.mark.parametrize("words", [[], ["pause", "toy"], ["cancel", "toy"]])
def test_studies_of_a_stopped_root_is_one_line_and_code_2(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["studies", *words, "--root", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hive: the coordinator of {tmp_path} is not running")


def test_command_without_a_name_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["studies", "pause"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "which?" in line


def test_run_of_its_own_processes_refuses_keys_that_it_would_not_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "f.py", "--keys", "keys/client"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hive: keys/client (--keys) is of no use without --url")


def test_status_of_what_is_no_root_is_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--root", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hive: ")
    assert str(tmp_path) in line
