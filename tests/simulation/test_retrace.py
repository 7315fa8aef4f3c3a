"""Traces are gone through again: by actors that are as they were without a difference, by others with the first one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hive.actors import session
from hive.actors.actor import Called, Quiet, TimerFired
from hive.actors.node import NodeActor
from hive.actors.traces import Line, Trace
from hive.actors.trainer import TrainerActor
from hive.cli.main import main
from hive.errors import UsageError
from hive.simulation.clients import opening
from hive.simulation.life import lived
from hive.simulation.retrace import lines_of, retraced

SEEDS = range(12)
"""With storms, crashes in the middle of turns, and restarts of everything."""


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the actors of these seeds did."""
    folder = tmp_path_factory.mktemp("traces")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HIVE_TRACE", str(folder))
        for seed in SEEDS:
            assert lived(seed).broken is None
    return folder


def written(folder: Path, *lines: str) -> Path:
    """A trace of these lines."""
    path = folder / "trace.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_actors_made_anew_want_the_same_after_every_event_of_every_seed(traces: Path) -> None:
    found = [retraced(traces / f"seed-{seed}.jsonl") for seed in SEEDS]
    assert [each.differences for each in found] == [[]] * len(SEEDS)
    assert sum(each.turns for each in found) == sum(len(path.read_text().splitlines()) for path in traces.iterdir())
    kinds = {line.made["type"] for path in traces.iterdir() for line in lines_of(path) if line.made is not None}
    assert kinds == {"Coordinator", "Aggregator", "NodeActor", "TrainerActor", "Session"}
    assert sum(each.actors for each in found) > 5 * len(SEEDS), "some of them were made more than once"


def test_actor_that_decides_otherwise_is_told_of_with_its_first_turn_and_what_it_wants(
    traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainerActor, "on_grant", lambda self, grant, turn: None)
    found = [difference for seed in SEEDS for difference in retraced(traces / f"seed-{seed}.jsonl").differences]
    assert found
    for each in found:
        assert (each.event, each.told[0]["type"], each.wanted) == ("Received", "StartJob", [])
    assert f"{found[0].path}:{found[0].line}: {found[0].actor} after Received wanted" in str(found[0])


def test_actor_that_came_to_life_twice_goes_on_as_what_it_is(tmp_path: Path) -> None:
    actor, lines = session.Session(opening("run")), list[str]()
    trace = Trace(lines.append)
    trace.began("script", actor, None, 1.0, actor.start(1.0))
    for event in (Called(session.AskTimeCall()), Quiet(), TimerFired("beat")):
        trace.turn("script", event, 2.0, actor.handle(event, 2.0))
    trace.began("script", actor, None, 3.0, actor.start(3.0))
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(lines))
    found = retraced(path)
    assert (found.actors, found.turns, found.differences) == (1, 5, [])


def test_line_that_a_killed_process_did_not_end_is_left_out(traces: Path, tmp_path: Path) -> None:
    whole = (traces / "seed-0.jsonl").read_text().splitlines()[:50]
    path = written(tmp_path, *whole)
    path.write_text(path.read_text()[:-10])
    assert retraced(path).turns == 49


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "no line of a trace"),
        ("[]", "no line of a trace"),
        ('{"at": 1}', "no line of a trace"),
        ('{"at": 1, "actor": "a", "event": {"type": "Quiet"}, "effects": []}', "'a'"),
        ('{"at": 1, "actor": "a", "made": {"type": "Clown"}, "effects": []}', "Clown"),
        ('{"at": 1, "actor": "a", "made": {"type": "NodeActor", "name": 7}, "effects": []}', "str"),
        ('{"at": 1, "actor": "a", "made": {"type": "NodeActor"}, "effects": []}', "name"),
        ('{"at": 1, "actor": "node", "event": {"type": "Nothing"}, "effects": []}', "no event"),
        ('{"at": 1, "actor": "node", "event": {"type": "Called", "call": {"type": "Dance"}}, "effects": []}', "Dance"),
    ],
)
def test_line_that_says_nothing_hive_knows_is_named_with_its_number(line: str, reason: str, tmp_path: Path) -> None:
    node, lines = NodeActor("node", "first", ["cpu"]), list[str]()
    Trace(lines.append).began("node", node, None, 1.0, node.start(1.0))
    path = written(tmp_path, lines[0].rstrip(), line)
    with pytest.raises(UsageError, match=rf"trace.jsonl:2 .*{reason}"):
        retraced(path)


def test_command_sums_up_the_traces_of_a_folder_and_ends_with_1_where_one_differs(
    traces: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["trace", str(traces), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["files"], report["differences"]) == (len(SEEDS), [])
    assert report["turns"] > 1000 * len(SEEDS)
    lines = list(lines_of(traces / "seed-0.jsonl"))
    at = next(
        n for n, line in enumerate(lines) if {"type": "StartTimer", "name": "beat", "after_s": 1.0} in line.effects
    )
    line = Line(lines[at].at, lines[at].actor, lines[at].made, lines[at].event, [])
    path = written(tmp_path, *map(str, [*lines[:at], line]))
    assert main(["trace", str(path)]) == 1
    assert f"{path}:{at + 1}" in capsys.readouterr().out


def test_command_says_so_where_there_is_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(tmp_path)]) == 2
    assert "HIVE_TRACE" in capsys.readouterr().err
    assert main(["trace", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().err
