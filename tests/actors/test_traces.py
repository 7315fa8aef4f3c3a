"""What drivers write into traces: every turn with its effects, in a file for each process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hive.actors import traces
from hive.actors.actor import Called, Quiet
from hive.actors.node import NodeActor
from hive.actors.runtime import Hub, Runtime
from hive.actors.session import AskTimeCall, Session
from hive.actors.simulator import Host, Simulator
from hive.actors.traces import Line, Trace, trace_file, trace_of_process
from hive.errors import UsageError
from hive.simulation.clients import opening

BOUND_S = 10.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where traces are wanted."""
    folder = tmp_path / "new" / "traces"
    monkeypatch.setenv("HIVE_TRACE", str(folder))
    monkeypatch.setattr(sys, "argv", ["/some/where/study.py"])
    traces.opened.cache_clear()
    with contextlib.ExitStack() as files:
        new_file = traces.new_file
        monkeypatch.setattr(traces, "new_file", lambda path: (file := new_file(path)) and files.enter_context(file))
        yield folder
    traces.opened.cache_clear()


def lines(path: Path) -> list[Line]:
    return [Line.read(text) for text in path.read_text(encoding="utf-8").splitlines()]


def said(found: list[Line]) -> list[tuple[str, object, list[str]]]:
    """In short: whose turn, after what, and the kinds of effects."""
    return [
        (line.actor, line.event and line.event["type"], [effect["type"] for effect in line.effects]) for line in found
    ]


BEGINNING = ["Send", "StartTimer"]
"""What a session does on coming to life."""


def test_runtime_writes_each_turn_of_its_actors_into_the_file_of_the_process(folder: Path) -> None:
    async def live() -> None:
        hub = Hub()
        first, second = (Runtime(Session(opening(run)), hub.network(run)) for run in ("one", "two"))
        first.start()
        second.start()
        first.post(Called(AskTimeCall()))
        while first.inbox:
            await asyncio.sleep(0)
        first.close()
        again = Runtime(first.actor, hub.network("one"))
        again.start()
        again.close()
        second.close()

    asyncio.run(asyncio.wait_for(live(), BOUND_S))
    (path,) = folder.iterdir()
    assert path.name == f"study-{os.getpid()}.jsonl"
    found = lines(path)
    assert said(found) == [
        ("Session", None, BEGINNING),
        ("Session 2", None, BEGINNING),
        ("Session", "Called", []),
        ("Session", "Quiet", []),
        ("Session", None, BEGINNING),
    ]
    assert [line.made is not None for line in found] == [True, True, False, False, False]
    assert found[1].made is not None
    assert found[1].made["opening"]["run"] == "two"


def test_simulator_writes_the_same_lines_as_a_runtime() -> None:
    lines_, session = list[str](), Session(opening("one"))
    simulator = Simulator()
    simulator.trace = Trace(lines_.append)
    host = simulator.add(Host("one", session))
    simulator.post(host, Called(AskTimeCall()))
    simulator.run(lambda: simulator.turns == 1)
    assert said([Line.read(line) for line in lines_]) == [
        ("one", None, BEGINNING),
        ("one", "Called", []),
        ("one", "Quiet", []),
    ]


def test_line_tells_what_is_not_a_number() -> None:
    line = Line(1.0, "a", None, {"type": "Quiet"}, [{"metrics": {"loss": float("nan"), "score": float("-inf")}}])
    assert str(Line.read(str(line))) == str(line)


def test_nothing_is_written_where_nobody_wants_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIVE_TRACE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert trace_of_process() is None
    assert trace_file("seed") is None
    assert list(tmp_path.iterdir()) == []


def test_each_file_is_a_new_one_and_its_lines_are_there_at_once(folder: Path) -> None:
    first, second = trace_file("seed"), trace_file("seed")
    assert first is not None
    assert second is not None
    with first, second:
        node = NodeActor("node", "first", ["cpu"])
        Trace(second.write).began("node", node, None, 1.0, node.start(1.0))
        assert sorted(path.name for path in folder.iterdir()) == ["seed-2.jsonl", "seed.jsonl"]
        (line,) = lines(folder / "seed-2.jsonl")
        made = {"type": "NodeActor", "name": "node", "incarnation": "first", "devices": ["cpu"], "beat_s": 1.0}
        assert line.made == made


def test_trace_ends_with_a_warning_where_the_disk_is_full_and_its_actor_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    written, node = list[str](), NodeActor("node", "first", ["cpu"])

    def write(text: str) -> None:
        if written:
            raise OSError("no space left on device")
        written.append(text)

    trace = Trace(write)
    trace.began("node", node, None, 1.0, node.start(1.0))
    for _ in range(3):
        trace.turn("node", Quiet(), 2.0, node.handle(Quiet(), 2.0))
    assert len(written) == 1
    assert [record.message for record in caplog.records] == ["the trace ends here: no space left on device"]


def test_folder_that_cannot_be_is_named(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text(json.dumps(str(Quiet())))
    with pytest.raises(UsageError, match=rf"HIVE_TRACE is '{folder}'"):
        trace_of_process()
