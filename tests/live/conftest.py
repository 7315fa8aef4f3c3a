"""Fixtures of the live tests: commands whose processes are all gone at the end, and results of undisturbed runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import HIVE, Command, read_json
from tests.live.studies import SLOW, StudyFile

Start = Callable[..., Command]
"""Starts a command line, such as `start("run", file, "--inline")`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is a live one."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands; at the end none of their processes may be left."""
    commands: list[Command] = []

    def begin(*words: str | Path, program: tuple[str, ...] = HIVE) -> Command:
        commands.append(Command([*program, *words], tmp_path))
        return commands[-1]

    yield begin
    left = {str(command.process.args): command.members() for command in commands if command.members()}
    for command in commands:
        command.end()
    assert not left, f"processes were left behind: {left}"


@pytest.fixture
def run(start: Start, tmp_path: Path) -> Callable[..., tuple[Command, dict[str, Any]]]:
    """`run(file, *options)`: a `hive run` to its end, and the summary it wrote (empty if none)."""

    def to_the_end(file: StudyFile, *options: str | Path) -> tuple[Command, dict[str, Any]]:
        summary = tmp_path / "summary.json"
        summary.unlink(missing_ok=True)
        command = start("run", file.path, "--json", summary, *options).wait()
        return command, read_json(summary) if summary.exists() else {}

    return to_the_end


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The summary of the slow study, run in one process with nobody in its way."""
    folder = tmp_path_factory.mktemp("undisturbed")
    text = SLOW.replace('"step_s": 0.02', '"step_s": 0.0')
    file = StudyFile.write(folder, text)
    command = Command([*HIVE, "run", file.path, "--inline", "--json", folder / "summary.json"], folder).wait()
    assert command.code == 0, command.err
    return read_json(folder / "summary.json")


@pytest.fixture
def cluster(start: Start, tmp_path: Path) -> Any:
    """A `Daemons` of this test's own; nothing of it runs yet."""
    from tests.live.daemons import Daemons  # which needs `Start`

    return Daemons(start, tmp_path)
