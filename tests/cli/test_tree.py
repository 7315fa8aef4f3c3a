"""`hive tree`: what is said of a plan whose trials are on their way, from a store and over the wire."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hive.actors import coordinator, wire
from hive.actors.messages import Refused, Status, StatusQuery
from hive.actors.trees import TreeRecords, known_trees, stored_trees
from hive.cli import tree as command
from hive.cli.main import main
from hive.cli.tree import PlanTree
from hive.planner.search_plan import Place
from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import Config
from hive.storage.lmdb_store import LmdbStore
from hive.storage.store import Put
from tests.actors.lockstep import DROPPED, OTHER, STRAIGHT, HandTrainer, Lockstep, busy, opened

ALIKE: list[Config] = [{"lr": Constant(value)} for value in (3, 4, 5)]

TITLE = "run (plan key-1): steps, what changes there, how many trials pass"


def lines(capsys: pytest.CaptureFixture[str], records: TreeRecords) -> list[str]:
    """The drawing."""
    command.show(PlanTree.of(records))
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def over_the_wire(lockstep: Lockstep) -> list[TreeRecords]:
    """What a coordinator answers whom it does not know."""
    lockstep.say("anyone", wire.decode(wire.encode(StatusQuery(trees=True))))
    [status] = lockstep.heard("anyone", Status)
    state: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(status.state))
    return msgspec.convert(state["trees"], list[TreeRecords])


def forked() -> tuple[Lockstep, HandTrainer]:
    """Two trials that part at step 10 and three that part from nobody; the first batch has done the shared steps."""
    alike = [(number, config, 15) for number, config in enumerate(ALIKE, 2)]
    lockstep, trainer = busy((0, STRAIGHT, 24), (1, DROPPED, 20), *alike)
    trainer.train(12)
    return lockstep, trainer


def test_tree_says_what_is_trained_saved_awaited_and_by_whom_it_is_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lockstep, _ = forked()
    lockstep.trainer("node/1/2")  # idle, so it gets the next batch
    [records] = stored_trees(lockstep.store)
    assert lines(capsys, records) == [
        TITLE,
        "├── 0–24  lr 1  2 trials; 10 of 24 steps trained, 1 checkpoint, 1 request pending, running on node/0/1",
        "│   └── 10–20  lr 1 → 0.1  1 trial; 0 of 10 steps trained, 0 checkpoints, 1 request pending",
        "├── 0–15  lr 3  1 trial; 0 of 15 steps trained, 0 checkpoints, 1 request pending, running on node/1/2",
        "└── 0–15  lr 4 | 5  2 alike, each 1 trial; in all 0 of 30 steps trained, 0 checkpoints, 2 requests pending",
        "",
        "5 trials, 10 steps trained, 1 checkpoint, 5 requests pending",
    ]


def test_tree_names_who_trains_a_branch_later_with_the_batch_that_is_out(capsys: pytest.CaptureFixture[str]) -> None:
    lockstep, _ = busy((0, STRAIGHT, 10), (1, DROPPED, 20))
    assert lines(capsys, stored_trees(lockstep.store)[0])[1:3] == [
        "└── 0–10  lr 1  2 trials; 0 of 10 steps trained, 0 checkpoints, 1 request pending, running on node/0/1",
        "    └── 10–20  lr 1 → 0.1  1 trial; 0 of 10 steps trained, 0 checkpoints, 1 request pending, then on node/0/1",
    ]


def test_tree_draws_what_nobody_leaves_as_one_branch_with_all_that_stands_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lockstep, trainer = busy((0, DROPPED, 20))
    assert lines(capsys, stored_trees(lockstep.store)[0])[1] == (
        "└── 0–20  lr 1; at 10 lr 1 → 0.1  1 trial; 0 of 20 steps trained, 0 checkpoints, 1 request pending, "
        "running on node/0/1"
    )
    trainer.train()
    assert lines(capsys, stored_trees(lockstep.store)[0])[1:] == [
        "└── 0–20  lr 1; at 10 lr 1 → 0.1  1 trial; 20 of 20 steps trained, 1 checkpoint",
        "",
        "1 trial, 20 steps trained, 1 checkpoint, 0 requests pending",
    ]


def test_tree_is_the_same_over_the_wire_as_from_the_store(capsys: pytest.CaptureFixture[str]) -> None:
    lockstep, trainer = forked()
    for _ in range(3):
        [stored], [told] = stored_trees(lockstep.store), over_the_wire(lockstep)
        assert msgspec.json.encode(stored.nodes) == msgspec.json.encode(told.nodes)
        assert lines(capsys, stored) == lines(capsys, told)
        trainer.train()
        trainer.take()


def test_tree_of_a_closed_run_keeps_what_was_trained_over_the_wire_and_its_trials_in_the_store(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train()
    lockstep.close("run")
    line = "└── 0–20  lr 1  {}; 20 of 20 steps trained, 1 checkpoint"
    assert lines(capsys, stored_trees(lockstep.store)[0])[1] == line.format("1 trial")
    assert lines(capsys, over_the_wire(lockstep)[0])[1] == line.format("0 trials")


def test_trial_that_was_asked_for_again_and_further_is_one_trial() -> None:
    lockstep, trainer = opened()
    lockstep.open("again", study="run")
    lockstep.open("other")
    lockstep.ask("run", (0, DROPPED, 5), (0, DROPPED, 15), (1, STRAIGHT, 5))
    lockstep.ask("again", (0, DROPPED, 15), (0, DROPPED, 20), (1, STRAIGHT, 5))
    lockstep.ask("other", (0, STRAIGHT, 5), (1, OTHER, 5))
    trainer.take()
    tree = PlanTree.of(stored_trees(lockstep.store)[0])
    assert tree.ends == Counter({Place(1, 20): 1, Place(0, 5): 2, Place(2, 5): 1})


def test_trial_that_ends_where_another_branch_leaves_ends_there() -> None:
    lockstep, _ = busy((0, STRAIGHT, 10), (1, DROPPED, 20), (1, DROPPED, 10))
    assert PlanTree.of(stored_trees(lockstep.store)[0]).ends == Counter({Place(0, 10): 1, Place(1, 20): 1})


def test_plan_in_which_nothing_is_shared_is_drawn_with_its_trials_alike(capsys: pytest.CaptureFixture[str]) -> None:
    lockstep = Lockstep()
    lockstep.open(merge=False)
    lockstep.ask("run", *((trial, STRAIGHT, 20) for trial in range(3)))
    drawn = lines(capsys, stored_trees(lockstep.store)[0])
    assert "nothing shared" in drawn[0]
    assert drawn[1].startswith("└── 0–20  lr 1  3 alike, each 1 trial; in all 0 of 60 steps trained")


def test_trees_too_large_for_a_message_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lockstep, _ = forked()
    monkeypatch.setattr(coordinator, "RECORDS_MAX", 3)
    lockstep.say("anyone", StatusQuery(trees=True))
    [refused] = lockstep.heard("anyone", Refused)
    assert "records, 3 at most fit in a message" in refused.reason


def test_status_tells_of_trees_only_if_asked() -> None:
    lockstep, _ = forked()
    lockstep.say("anyone", StatusQuery())
    [status] = lockstep.heard("anyone", Status)
    assert "trees" not in status.state


def test_tree_of_a_stopped_root_is_drawn_plan_by_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lockstep, _ = forked()
    lockstep.open("second", plan_key="other")
    lockstep.ask("second", (0, {"lr": MultiStep(1, [4], 2)}, 9))
    store = LmdbStore(make_root(tmp_path) / "store")
    store.commit([Put(record) for tree in known_trees(lockstep.books) for record in all_of(tree)])
    store.close()
    assert main(["tree", "--root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("run (plan key-1): ")
    assert "\n\nsecond (plan other-1): " in out
    assert "└── 0–9  lr 1; at 4 lr 1 → 2  1 trial; 0 of 9 steps trained" in out


def make_root(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def all_of(tree: TreeRecords) -> list[Any]:
    return [tree.plan, *tree.nodes, *tree.standings, *tree.wants, *tree.leases]


def test_root_without_a_plan_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LmdbStore(tmp_path / "store").close()
    assert main(["tree", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no plan yet\n"


def test_tree_of_what_is_no_root_is_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--root", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"hive: {tmp_path} is no root: nothing was run there (name one with --root)\n")


def test_coordinator_that_knows_no_trees_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "answer_of", lambda url, keys, question, kind: Status({"plans": []}))
    assert main(["tree", "--url", "ipc://old"]) == 2
    assert "is older than this hive" in capsys.readouterr().err
