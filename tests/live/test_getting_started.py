"""The program of docs/getting-started.md does what the page says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.architecture.source import ROOT
from tests.live.conftest import Start


def parts(page: str) -> tuple[str, list[tuple[str, str]]]:
    """The first program of a page, and the simulations that it shows with what they print."""
    program = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)[0]
    shown = re.findall(r"^```\n\$ hive (simulate [^\n]*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    return program, shown


def test_simulations_of_the_page_print_what_it_says(start: Start, tmp_path: Path) -> None:
    program, shown = parts((ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8"))
    (tmp_path / "sine.py").write_text(program, encoding="utf-8")
    made = start("-c", "import sine, json; print(json.dumps(sine.space.to_json()))", program=(sys.executable,)).wait()
    (tmp_path / "sine.json").write_text(made.out, encoding="utf-8")
    assert len(shown) == 2
    for command, said in shown:
        simulated = start(*command.split()).wait()
        assert simulated.code == 0, simulated.err
        assert simulated.out == said


def test_first_program_trains_what_the_page_says(start: Start, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    program, _ = parts(page)
    (tmp_path / "sine.py").write_text(program, encoding="utf-8")
    [shown] = re.findall(r"^\$ hive run sine.py\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)

    command = start("run", "sine.py", "--inline").wait()
    assert command.code == 0, command.err
    told = [line for line in command.out.splitlines() if not line.startswith(("  time:", "  best:", "trial"))]
    assert told == [line for line in shown.splitlines() if not line.startswith(("  time:", "  best:", "trial"))]
