"""What trainers write: every line with the time and the trainer, bounded on the disk, and the last words at hand."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hive.actors.output import LINE_BYTES_MAX, TAIL_BYTES, Output, SlotLog
from hive.training.prints import CONTEXT_END

BOUND_S = 20.0


def written(path: Path, *pieces: bytes, bytes_max: int = 1_000_000) -> tuple[list[str], str]:
    """The lines of a log without their time, and the last words, when a process wrote these pieces and ended."""
    output = Output("node/0/1", SlotLog(path, bytes_max))
    for piece in pieces:
        os.write(output.write_end, piece)
    os.close(output.write_end)
    tail = output.tail(BOUND_S)
    assert not output.thread.is_alive()
    return [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in path.read_text().splitlines()], tail


def test_line_is_written_with_the_trainer_and_what_it_was_printed_for(tmp_path: Path) -> None:
    line = f"node 5 trial 3 step 42{CONTEXT_END}loss 0.31\n".encode()
    lines, tail = written(tmp_path / "log", line, b"from C\n", b"no end")
    assert lines == [
        "node/0/1 node 5 trial 3 step 42 | loss 0.31",
        "node/0/1 | from C",
        "node/0/1 | no end",
    ]
    assert tail == "loss 0.31\nfrom C\nno end\n"


def test_last_words_are_bounded(tmp_path: Path) -> None:
    _, tail = written(tmp_path / "log", *[b"%05d\n" % n for n in range(2000)])
    assert len(tail) <= TAIL_BYTES
    assert tail.endswith("01999\n")


def test_log_takes_twice_its_size_at_most_and_keeps_the_newest_lines(tmp_path: Path) -> None:
    lines, _ = written(tmp_path / "log", *[b"%05d\n" % n for n in range(2000)], bytes_max=5_000)
    assert lines[-1] == "node/0/1 | 01999"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert all(path.stat().st_size <= 5_000 for path in tmp_path.iterdir())
    before = (tmp_path / "log.1").read_text().splitlines()
    assert [line[-5:] for line in [*before, *lines]] == [f"{n:05d}" for n in range(2000)][-len(before) - len(lines) :]


def test_log_begins_anew_where_the_next_lines_would_not_fit(tmp_path: Path) -> None:
    log = SlotLog(tmp_path / "log", 10)
    log.write([b"first\n", b"abc\n", b"third\n"])
    log.write([b"fourth\n"])
    assert (tmp_path / "log").read_bytes() == b"fourth\n"
    assert (tmp_path / "log.1").read_bytes() == b"third\n"


def test_line_without_an_end_is_cut(tmp_path: Path) -> None:
    lines, _ = written(tmp_path / "log", *[b"x" * 60_000] * 3)
    assert all(len(line) <= 2 * LINE_BYTES_MAX for line in lines)
    assert sum(line.count("x") for line in lines) == 180_000


def test_trainers_of_one_slot_share_its_log(tmp_path: Path) -> None:
    written(tmp_path / "log", b"one\n")
    lines, _ = written(tmp_path / "log", b"two\n")
    assert lines == ["node/0/1 | one", "node/0/1 | two"]
