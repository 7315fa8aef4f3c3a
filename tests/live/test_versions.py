"""One study in several versions on one coordinator, one after the other and at once: who shares with whom is right,
counted from outside, and each run is told so at its beginning.

Each version writes a letter of its own for each step into one file, so it is seen which version was trained."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended
from tests.live.results import found, repeated_steps
from tests.live.studies import TOY, StudyFile, edited

ORIGINAL = edited(
    TOY,
    ("def append(", 'LETTER = "a"\n\n\ndef append('),
    ('append(self.fixed["steps"], ".")', 'append(self.fixed["steps"], LETTER)'),
    ("MultiStep(0.1, [8], 0.5), Exponential(0.1, 0.9)", "MultiStep(0.1, [8], 0.5)"),
    ("Constant(16), Constant(32)", "Constant(16)"),
    ("SuccessiveHalving(space, min_steps=4, max_steps=12, reduction=2)", "Grid(space)"),
)
"""Three trials of 12 steps, which part at 4 and at 8: 12 + 8 + 4 distinct steps."""

CODE = [("total * 0.9", "total * 0.8"), ('LETTER = "a"', 'LETTER = "b"')]

HARMLESS = [
    ("class Toy(hive.Trainer):\n", 'class Toy(hive.Trainer):\n    """It learns nothing."""\n\n'),
    ("        self.done += 1\n", "        # one more\n        self.done += (\n            1)\n"),
    ('    return {"total"', '    return  {"total"'),
    ("def decay(total):\n", "\n\ndef decay( total ):\n    'Less of it.'\n"),
]

SPACE = [("MultiStep(0.1, [8], 0.5)", "MultiStep(0.1, [4], 0.25)"), ("    steps=12,\n", "    steps=16,\n")]
"""Two trials as before, four steps longer; a new one, which parts from them at step 4 and trains 12 of its own."""

MEET = [
    (
        "def append(",
        """\
def meet(folder):
    os.makedirs(folder, exist_ok=True)
    append(f"{folder}/{LETTER}", "")
    end = time.monotonic() + 30
    while len(os.listdir(folder)) < 2:
        assert time.monotonic() < end, "the other version is not trained"
        time.sleep(0.01)


def append(""",
    ),
    (
        '        time.sleep(self.fixed["step_s"])',
        '        meet(self.fixed["steps"] + "-by")\n        time.sleep(self.fixed["step_s"])',
    ),
]
"""No version gets past its first step before the other has come to its own."""


class Desk:
    """Versions of the study, each in a folder of its own, on a coordinator with two trainers.

    Attributes:
        cluster: the coordinator and its worker, running.
    """

    def __init__(self, cluster: Daemons, start: Start, folder: Path) -> None:
        self.cluster, self.start, self.folder = cluster, start, folder
        cluster.running = [cluster.daemon("coordinator"), cluster.daemon("worker")]

    def version(self, name: str, *changes: tuple[str, str], step_s: float = 0.0) -> StudyFile:
        """Write a version. All write what they trained into one place, which is a setting of the study."""
        fixed = [("{HERE}", str(self.folder)), ('"step_s": 0.0', f'"step_s": {step_s}')]
        text = edited(ORIGINAL.replace(*fixed[0]), fixed[1], *changes)
        return StudyFile.write(self.folder / name, text)

    def begin(self, file: StudyFile) -> Command:
        """Start a run of a version."""
        return self.start("run", file.path, "--url", self.cluster.url, "--json", file.folder / "summary.json")

    def run(self, file: StudyFile) -> tuple[Command, dict[str, Any]]:
        """A run of a version to its end."""
        return self.end(self.begin(file), file)

    def end(self, command: Command, file: StudyFile) -> tuple[Command, dict[str, Any]]:
        """A run of a version that was begun, to its end."""
        assert command.wait().code == 0, command.err
        return command, read_json(file.folder / "summary.json")

    def steps(self) -> Counter[str]:
        """The steps that were trained so far, by letter."""
        path = self.folder / "steps"
        return Counter(path.read_text(encoding="utf-8") if path.exists() else "")

    def plans(self) -> dict[str, tuple[str, int]]:
        """By plan: its file, and the steps that stand on it."""
        status = self.start("status", "--url", self.cluster.url, "--json").wait()
        return {each["plan"]: (each["file"], each["steps_trained"]) for each in json.loads(status.out)["plans"]}

    def close(self) -> None:
        """End both daemons."""
        for daemon in reversed(self.cluster.running):
            ended(daemon)


@pytest.fixture
def desk(cluster: Daemons, start: Start, tmp_path: Path) -> Desk:
    return Desk(cluster, start, tmp_path / "desk")


def said(command: Command) -> list[str]:
    """What a run was told, but for how far it is, with the names of plans and runs taken out."""
    lines = [line for line in command.err.splitlines() if not line.startswith("hive: trials ")]
    return [re.sub(r"\b[0-9a-f]{16}-\d+\b", "PLAN", re.sub(r"\btoy-[0-9a-f]{16}\b", "RUN", line)) for line in lines]


CODE_CHANGED = (
    "hive: code that the trainer reaches changed (toy.LETTER, toy.decay): a new plan begins, which shares nothing"
)


def test_edited_study_shares_what_its_code_trained_and_says_so(desk: Desk) -> None:
    command, first = desk.run(desk.version("study"))
    assert said(command) == []
    assert desk.steps() == {"a": 24}

    command, again = desk.run(desk.version("study", *HARMLESS))
    assert said(command) == ["hive: shares plan PLAN (24 steps trained so far)"]
    assert (again["steps_run"], desk.steps()) == (0, {"a": 24})
    assert found(again) == found(first)

    command, longer = desk.run(desk.version("study", *SPACE))
    assert said(command) == ["hive: shares plan PLAN (24 steps trained so far)"]
    assert (longer["steps_distinct"], longer["steps_reused"], longer["steps_run"]) == (40, 20, 20)
    assert desk.steps() == {"a": 24 + 4 + 4 + 12}, "two trials go on for four steps, one is new from its fourth on"

    command, other = desk.run(desk.version("study", *CODE))
    assert said(command) == [f"{CODE_CHANGED} with plan PLAN (44 steps trained so far)"]
    assert (other["plan_key"] == first["plan_key"], other["steps_reused"], other["steps_run"]) == (False, 0, 24)
    assert desk.steps() == {"a": 44, "b": 24}

    command, back = desk.run(desk.version("study"))
    assert said(command) == ["hive: shares plan PLAN (44 steps trained so far)"]
    assert found(back) == found(first)
    assert desk.steps() == {"a": 44, "b": 24}
    desk.close()


def test_two_versions_at_once_share_each_with_its_own_and_both_end_right(desk: Desk, start: Start) -> None:
    one, two = desk.version("one", *MEET), desk.version("two", *MEET, *CODE)
    first = desk.begin(one)
    wait_until((desk.folder / "steps-by" / "a").exists, "the first version to be in training")
    second = desk.begin(two)
    (first, of_one), (second, of_two) = desk.end(first, one), desk.end(second, two)
    assert desk.steps() == {"a": 24, "b": 24}
    for summary in (of_one, of_two):
        assert (summary["steps_distinct"], summary["steps_reused"], summary["steps_run"]) == (24, 0, 24)
    assert said(first) == []
    assert said(second) == [f"{CODE_CHANGED} with plan PLAN (at work on it: RUN)"]
    assert sorted(desk.plans().values()) == [(str(one.path), 24), (str(two.path), 24)]

    for file, summary in ((one, of_one), (two, of_two)):
        command, again = desk.run(file)
        assert said(command) == ["hive: shares plan PLAN (24 steps trained so far)"]
        assert (again["plan_key"], again["steps_run"]) == (summary["plan_key"], 0)
        assert found(again) == found(summary) == found(alone(start, file))
    assert found(of_one) != found(of_two)
    desk.close()


def alone(start: Start, file: StudyFile) -> dict[str, Any]:
    """The summary of a version on a root of its own, in one process, with nobody to meet."""
    text = edited(file.text, ('        meet(self.fixed["steps"] + "-by")\n', ""))
    copy = StudyFile.write(file.folder / "alone", text.replace(f"{file.folder.parent}/", f"{file.folder}/alone/"))
    summary = copy.folder / "summary.json"
    command = start("run", copy.path, "--inline", "--root", copy.folder / "root", "--json", summary).wait()
    assert command.code == 0, command.err
    return read_json(summary)


def test_two_copies_of_one_version_at_once_share_wherever_they_lie(desk: Desk) -> None:
    one, two = desk.version("one", step_s=0.15), desk.version("two", step_s=0.15)
    first = desk.begin(one)
    wait_until(lambda: desk.steps()["a"] >= 2, "two steps")
    second = desk.begin(two)
    (first, of_one), (second, of_two) = desk.end(first, one), desk.end(second, two)
    assert of_one["plan_key"] == of_two["plan_key"]
    assert desk.steps() == {"a": of_one["steps_run"] + of_two["steps_run"]} == {"a": 24}
    assert repeated_steps(of_one) == repeated_steps(of_two) == 0
    assert found(of_one) == found(of_two)
    (line,) = said(second)
    assert line.startswith("hive: shares plan PLAN (")
    assert line.endswith("at work on it: RUN)")
    assert list(desk.plans().values()) == [(str(two.path), 24)]
    desk.close()
