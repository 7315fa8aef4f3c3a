"""`hive tree` beside the processes of a run: from the root while it is live, over the wire, and at the end."""

from __future__ import annotations

import re
import signal
from functools import partial
from pathlib import Path

from tests.live.commands import wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended
from tests.live.studies import SLOW, StudyFile, edited

SLOWER = edited(SLOW, ('"step_s": 0.02', '"step_s": 0.5'))
"""Half a minute of training on two trainers: nothing of it ends while somebody looks."""


def drawn(start: Start, *words: str) -> str:
    command = start("tree", *words).wait()
    assert command.code == 0, command.err
    return command.out


def seen(start: Start, *words: str) -> str:
    """The drawing, if it shows a batch that is out."""
    out = drawn(start, *words)
    return out if "running on " in out else ""


def test_tree_is_drawn_from_a_live_root_and_over_the_wire_and_from_the_root_when_all_is_over(
    cluster: Daemons, start: Start, tmp_path: Path
) -> None:
    file, root = StudyFile.write(tmp_path / "study", SLOWER), str(tmp_path / "cluster")
    daemons = [cluster.daemon("coordinator"), cluster.daemon("worker")]
    run = start("run", file.path, "--url", cluster.url)
    wait_until(lambda: file.steps() >= 2, "two steps")
    for words in (("--root", root), ("--url", cluster.url)):
        out = wait_until(partial(seen, start, *words), "a batch that is out")
        assert out.startswith("toy (plan ")
        assert re.search(r"^[├└]── 0–40  lr 0\.1, batch_size 16.* 2 trials; .*\d+ of \d+ steps", out, re.MULTILINE)
        assert "\n4 trials, " in out
        assert out.endswith("4 requests pending\n")
    run.signal(signal.SIGINT)
    run.wait()
    for daemon in reversed(daemons):
        ended(daemon)
    out = drawn(start, "--root", root)
    assert "\n4 trials, " in out
    assert "running on" not in out
