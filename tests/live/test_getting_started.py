"""The program of docs/getting-started.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

from tests.architecture.source import ROOT
from tests.live.conftest import Start


def test_first_program_trains_what_the_page_says(start: Start, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    [program, *_] = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "sine.py").write_text(program, encoding="utf-8")
    [shown] = re.findall(r"^\$ hive run sine.py\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)

    command = start("run", "sine.py", "--inline").wait()
    assert command.code == 0, command.err
    told = [line for line in command.out.splitlines() if not line.startswith(("  time:", "  best:", "trial"))]
    assert told == [line for line in shown.splitlines() if not line.startswith(("  time:", "  best:", "trial"))]
