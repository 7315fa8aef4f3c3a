"""Races that decide whether steps are trained twice, played message by message against what is expected of them.

`HIVE_WRITE_SCENARIOS=1` writes what was said into the files, for a change that is meant: read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenarios.script import play

SCENARIOS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_race_is_played_as_it_was_written(path: Path) -> None:
    played = play(path.read_text(encoding="utf-8"))
    if os.environ.get("HIVE_WRITE_SCENARIOS"):
        path.write_text(played, encoding="utf-8")
    assert played == path.read_text(encoding="utf-8")


def test_there_are_scenarios() -> None:
    assert SCENARIOS
