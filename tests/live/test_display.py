"""What a person sees: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

from tests.live.commands import HIVE
from tests.live.conftest import Start
from tests.live.studies import SLOW, TOY, StudyFile, edited


def seen_in_a_terminal(words: list[str], folder: Path) -> str:
    """All that a command writes into a terminal of 120 columns, without the codes that move and colour."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
    process = subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment, start_new_session=True
    )
    os.close(slave)
    data = b""
    try:
        while part := os.read(master, 65536):
            data += part
    except OSError:  # Linux says so when the last writer is gone
        pass
    finally:
        os.close(master)
    assert process.wait(timeout=60) == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode())


def test_terminal_shows_how_the_run_stands_while_it_lasts(tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", edited(SLOW, ('"step_s": 0.02', '"step_s": 0.04')))
    text = seen_in_a_terminal([*HIVE, "run", str(file.path), "--trainers", "2"], tmp_path)
    assert re.search(r"trials +│ \d of 4 answered", text)
    assert re.search(r"steps +│ 160 asked, 120 distinct, \d+ run", text)
    assert re.search(r"trainers +│ 2 of 2 busy", text)
    assert re.search(r"best +│ trial \d: score", text)
    assert re.search(r"left +│ about \d+ s", text)
    assert re.search(r"steps run +│ 120 \(40 saved, 25%\)", text)


def test_plain_lines_are_written_where_there_is_no_terminal(start: Start, tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", TOY)
    command = start("run", file.path, "--inline").wait()
    assert "│" not in command.out + command.err
    assert "\x1b" not in command.out + command.err
    assert "hive: toy" in command.out
    assert re.search(r"^  steps run: \d+ \(\d+ saved, \d+%\)$", command.out, re.MULTILINE)
    assert re.search(r"^  best: trial \d: score .* at step 12 \(", command.out, re.MULTILINE)
