"""`hive plan`: the papers' spaces against a trie of values, the drawing, and what is said of files that are wrong.

hive/simulation/spaces.json holds the search spaces of the Hippo paper (Shin et al., tables 1 to 4 and section 6.2),
filled up to the paper's trial counts: the paper prints example rows only, and each of them is in.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.cli.main import main
from hive.cli.plan import counts, planned
from hive.cli.space_file import read_spaces
from hive.planner.space import GridSpace

PAPERS = Path(__file__).parents[2] / "hive" / "simulation" / "spaces.json"

Told = tuple[int, str, str]
"""Exit code, standard output, standard error."""


def plan(*words: object) -> Told:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(["plan", *map(str, words)])
    return code, out.getvalue(), err.getvalue()


def written(folder: Path, data: object) -> Path:
    path = folder / "file.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


# -- what is counted ------------------------------------------------------------------------------------------------


def value_trie_size(spaces: Iterable[GridSpace]) -> int:
    """Distinct steps by brute force: the different beginnings of the trials' values, typed, step by step.

    A beginning has a number, which is looked up by the one before it and the values at its step.
    """
    beginnings: dict[Any, int] = {}
    columns: dict[str, list[str]] = {}
    for space in spaces:
        for config in space.configs():
            for sequence in config.values():
                known = columns.setdefault(sequence.canonical_text, [])
                known += [repr(sequence(step)) for step in range(len(known), space.steps)]
            names = sorted(config)
            here: int | tuple[str, ...] = tuple(names)
            for values in zip(*(columns[config[name].canonical_text][: space.steps] for name in names), strict=True):
                here = beginnings.setdefault((here, values), len(beginnings))
    return len(beginnings)


@cache
def papers() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(PAPERS.read_text(encoding="utf-8"))
    return data


EVERY = [("--space", name) for name in papers()["spaces"]] + [("--set", name) for name in papers()["sets"]]

DISTINCT_VALUES = {
    ("--space", "resnet56"): (448, 53_760, 21_888),
    ("--space", "mobilenetv2"): (240, 28_800, 9_156),
    ("--space", "bert"): (40, 1_080_000, 527_994),
}
"""Trials, steps asked for, different beginnings of values; counted by two other programs."""


@pytest.mark.parametrize(("flag", "name"), EVERY)
def test_plan_of_a_paper_s_space_has_hardly_more_steps_than_there_are_beginnings_of_values(
    flag: str, name: str
) -> None:
    code, out, _ = plan(PAPERS, flag, name, "--json")
    figures = json.loads(out)
    members = [name] if flag == "--space" else papers()["sets"][name]
    trie = value_trie_size(GridSpace.from_json(papers()["spaces"][member]) for member in members)
    assert code == 0
    assert list(figures) == ["trials", "steps_asked", "steps_distinct", "merge_rate", "nodes", "stages"]
    assert trie <= figures["steps_distinct"] <= 1.006 * trie
    assert figures["merge_rate"] == figures["steps_asked"] / figures["steps_distinct"]
    assert figures["nodes"] <= figures["stages"]
    known = DISTINCT_VALUES.get((flag, name))
    assert known in (None, (figures["trials"], figures["steps_asked"], trie))


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("high-S2", 2.2596),
        ("high-S4", 2.7692),
        ("high-S8", 2.4710),
        ("low-S2", 1.4001),
        ("low-S4", 1.2468),
        ("low-S8", 1.66),
    ],
)
def test_plan_of_a_set_merges_across_its_spaces(name: str, rate: float) -> None:
    plan_, ends = planned(read_spaces(PAPERS, None, name))
    assert counts(plan_, ends)["merge_rate"] == pytest.approx(rate, rel=0.006)


# -- the drawing ----------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "name": "small",
    "steps": 20,
    "space": {
        "lr": [
            {"fn": "Constant", "value": 0.1},
            {"fn": "MultiStep", "initial": 0.1, "milestones": [5, 10], "gamma": 0.1},
            {"fn": "MultiStep", "initial": 0.1, "milestones": [5, 10], "gamma": 0.5},
            {"fn": "Warmup", "steps": 5, "target": 0.1, "then": {"fn": "Exponential", "initial": 0.1, "gamma": 0.5}},
            {"fn": "Cyclic", "base": 0, "max": 1, "step_size_up": 2},
        ],
        "optimizer": [{"fn": "Constant", "value": "sgd"}, {"fn": "Constant", "value": "adam w"}],
        "depth": [{"fn": "Piecewise", "values": [1, 2], "milestones": [5]}],
    },
    "conditions": [{"hp": "depth", "active_if": {"optimizer": ["adam w"]}}],
}

DRAWN = """\
small: steps, what changes there, how many trials pass
├── 0–20  lr 0.1, optimizer sgd  3 trials, 20 steps
│   └── 5–20  lr 0.1 → 0.01 | 0.05; at 10 lr 0.01 | 0.05 → 0.001 | 0.025  2 alike, each 1 trial, 15 steps
├── 0–5  lr 0.1, optimizer 'adam w', depth 1  3 trials, 5 steps
│   ├── 5–20  depth 1 → 2  1 trial, 15 steps
│   └── 5–20  lr 0.1 → 0.01 | 0.05, depth 1 → 2; at 10 lr 0.01 | 0.05 → 0.001 | 0.025  2 alike, each 1 trial, 15 steps
├── 0–20  lr line 0.02…0.1, optimizer sgd; at 5 lr line → exponential 0.1…6.104e-06  1 trial, 20 steps
├── 0–20  lr line 0.02…0.1, optimizer 'adam w', depth 1; at 5 lr line → exponential 0.1…6.104e-06, depth 1 → 2  1 trial, 20 steps
├── 0–20  lr line 0…0.5, optimizer sgd; at 2 lr line → 1…0.5; at 4 lr line → 0…0.5; at 6 lr line → 1…0.5; 6 more changes until 18  1 trial, 20 steps
└── 0–20  lr line 0…0.5, optimizer 'adam w', depth 1; at 2 lr line → 1…0.5; at 4 lr line → 0…0; at 5 depth 1 → 2; 7 more changes until 18  1 trial, 20 steps

10 trials ask for 200 steps, 180 of them distinct:
merge rate 1.11; 36 nodes, 37 stages
"""  # noqa: E501 - as wide as it is printed


def test_plan_draws_where_trials_part_what_changes_there_and_how_many_pass(tmp_path: Path) -> None:
    code, out, err = plan(written(tmp_path, SMALL))
    assert (code, err) == (0, "")
    assert out == DRAWN


def test_plan_of_448_trials_fits_on_a_few_screens() -> None:
    code, out, _ = plan(PAPERS, "--space", "resnet56")
    assert code == 0
    assert len(out.splitlines()) < 120
    assert "  12 alike, each 4 trials, 40 steps" in out
    assert out.endswith(
        "448 trials ask for 53,760 steps, 21,920 of them distinct:\nmerge rate 2.45; 754 nodes, 970 stages\n"
    )


def test_plan_says_where_more_branches_leave_than_a_line_has_room_for(tmp_path: Path) -> None:
    stairs = [{"fn": "Piecewise", "values": list(range(n + 1)), "milestones": list(range(1, n + 1))} for n in range(60)]
    code, out, _ = plan(written(tmp_path, {"steps": 70, "space": {"lr": stairs}}))
    assert code == 0
    assert out.splitlines()[-4].endswith("└── … and more that leave here")
    assert out.splitlines()[-2] == "60 trials ask for 4,200 steps, 2,430 of them distinct:"


def test_plan_loads_neither_torch_nor_anything_that_talks_to_others() -> None:
    program = (
        "import sys; from hive.cli.main import main; main(sys.argv[1:]); "
        "print(sorted({'torch', 'numpy', 'zmq', 'lmdb', 'asyncio', 'subprocess'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, "plan", str(PAPERS), "--space", "bert", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# -- what is wrong --------------------------------------------------------------------------------------------------

LR = {"fn": "Constant", "value": 0.1}
BARE: dict[str, Any] = {"name": "x", "steps": 3, "space": {"lr": [LR]}}
FILE: dict[str, Any] = {"spaces": {"one": BARE, "two": BARE}, "sets": {"both": ["one", "two"], "odd": ["one", "to"]}}
CYCLIC = {"fn": "Cyclic", "base": 0, "max": 1, "step_size_up": 1}

REFUSED: list[tuple[object, list[str], str]] = [
    ("", [], "line 1, column 1: no JSON: Expecting value"),
    ('{\n "steps": 3,\n}', [], "line 3, column 1: no JSON: "),
    ('{"a": 1, "a": 2}', [], "the key 'a' stands twice in one object"),
    ("9" * 5000, [], "no JSON: Exceeds the limit"),
    ("[" * 100_000, [], "lists or objects lie too deep in each other"),
    ([1], [], "must be an object with spaces, sets, got [1]"),
    ({"steps": 3}, [], "the key 'space' is missing"),
    ({"space": {"lr": [LR]}}, [], "the key 'steps' is missing"),
    (BARE | {"condition": []}, [], "there is no key 'condition' (did you mean conditions?); known: name, steps, "),
    (BARE | {"name": 1}, [], "name must be a text that can be printed, got 1"),
    (BARE | {"steps": 3.0}, [], "steps must be an int of at least 1, got 3.0"),
    (BARE | {"steps": 0}, [], "steps must be an int of at least 1, got 0"),
    (BARE | {"space": []}, [], "space: must be an object of lists of descriptors by hyper-parameter, got []"),
    (BARE | {"space": {}}, [], "space: must map at least one hyper-parameter"),
    (BARE | {"space": {"l\nr": [LR]}}, [], "space: a hyper-parameter's name must be a text that can be printed"),
    (BARE | {"space": {"lr": LR}}, [], "space.lr: must be a list, got {"),
    (BARE | {"space": {"lr": []}}, [], "space.lr: the list is empty"),
    (BARE | {"space": {"lr": [0.1]}}, [], 'space.lr[0]: a descriptor is an object with a name in "fn", got 0.1'),
    (BARE | {"space": {"lr": [{"fn": "Nope"}]}}, [], "space.lr[0]: there is no sequence 'Nope'; known: Constant, "),
    (
        BARE | {"space": {"lr": [{"fn": "Step", "initial": 1, "step_size": 0, "gamma": 1}]}},
        [],
        "space.lr[0]: Step: step_size must be an int of at least 1, got 0",
    ),
    (
        BARE | {"space": {"lr": [LR, {"fn": "Chain", "parts": [[{"fn": "Linear", "initial": 1}, None]]}]}},
        [],
        "space.lr[1].parts[0][0]: Linear lacks its parameter final, steps",
    ),
    (
        BARE | {"space": {"lr": [{"fn": "Exponential", "initial": 1, "gamma": 10}]}, "steps": 400},
        [],
        "space.lr[0]: the value at step 399 is too large",
    ),
    (BARE | {"space": {"lr": [CYCLIC]}, "steps": 10**15}, [], "space.lr[0]: changes more than 100,000 times"),
    (
        BARE | {"space": {str(n): [LR] * 10 for n in range(9)}},
        [],
        "space: 1,000,000,000 combinations of up to 9 pieces",
    ),
    (BARE | {"conditions": {}}, [], "conditions: must be a list, got {}"),
    (
        BARE | {"conditions": [{"hp": "b", "active_if": {"lr": [1]}}]},
        [],
        "conditions[0]: there is no hyper-parameter 'b'",
    ),
    (BARE, ["--space", "x"], "holds one space, which needs no --space or --set"),
    (FILE, [], "which? Name one with --space (one, two) or --set (both, odd)"),
    (FILE, ["--space", "on"], "--space: there is no space 'on' (did you mean one?); the file has: one, two"),
    (FILE, ["--set", "all"], "--set: there is no set 'all'; the file has: both, odd"),
    (FILE, ["--set", "odd"], "sets.odd[1]: there is no space 'to' (did you mean two?); the file has: one, two"),
    (FILE | {"space": {}}, ["--set", "both"], "there is no key 'space' (did you mean spaces?); known: spaces, sets"),
    ({"sets": {"a": ["b"]}}, ["--set", "a"], "sets.a[0]: there is no space 'b'; the file has: none"),
    ({"spaces": [], "sets": {}}, ["--set", "a"], "spaces: must be an object of spaces by their names, got []"),
    ({"spaces": {"a": 1}}, ["--space", "a"], "spaces.a: must be an object with name, steps, space, conditions, got 1"),
    ({"spaces": {"a": BARE | {"steps": 0}}}, ["--space", "a"], "spaces.a.steps must be an int of at least 1, got 0"),
    ({"spaces": {}, "sets": {"a": []}}, ["--set", "a"], "sets.a: must be a list of at least one space's name, got []"),
]


@pytest.mark.parametrize(("data", "words", "message"), REFUSED, ids=lambda x: x[:40] if isinstance(x, str) else "")
def test_wrong_file_is_one_line_with_the_place_and_code_2(
    data: object, words: list[str], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, data)
    code, out, err = plan(path, *words)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith(f"hive: {path}: {message}")


def test_file_that_cannot_be_read_is_one_line_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xe9"}')
    for path, message in (
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "none.json", "cannot be read: No such file or directory"),
        (tmp_path / "latin.json", "is no UTF-8 text: byte 10 is 0xe9"),
    ):
        assert plan(path) == (2, "", f"hive: {path}: {message}\n")


# -- whatever a file holds ------------------------------------------------------------------------------------------

STRAY = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, -1, 2, 7, 2**63, 10**15, 0.5, -0.0, 1e308, float("nan"), float("inf")])
    | st.sampled_from(["", "lr", "Step", "Warmup", "a", "a\nb", "\ud800", "é", "[red]", "\x1b[2J"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["fn", "value", "float", "space", "spaces", "steps", "lr", "\ud800"]), inner)
    ),
    max_leaves=5,
)


def places(data: object, where: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    """The ways to everything in JSON data."""
    if where:
        yield where
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from places(value, (*where, key))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid file in which some things are others, gone, or under another name; and then perhaps a bit of its text."""
    data = json.loads(json.dumps(draw(st.sampled_from([SMALL, FILE]))))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(list(places(data)) or [()]))
        parent = data
        for key in way:
            parent = parent[key]
        kind = draw(st.sampled_from(["replace", "remove", "rename"]))
        value = parent.pop(last) if kind != "replace" or isinstance(parent, dict) else None
        if isinstance(parent, list) and kind == "replace":
            parent[last] = draw(STRAY)
        elif isinstance(parent, dict) and kind != "remove":
            parent[last if kind == "replace" else draw(st.text(max_size=3))] = (
                draw(STRAY) if kind == "replace" else value
            )
    text = json.dumps(data)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(["", "", "", "", ",", "}", "[", '"', "0"])) + text[at:]


@settings(max_examples=300, deadline=None)
@given(mutated(), st.sampled_from([[], ["--json"], ["--space", "one"], ["--set", "both"], ["--set", "odd", "--json"]]))
def test_whatever_a_file_holds_it_is_planned_or_refused_in_one_line(text: str, words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.json"
        path.write_bytes(text.encode(errors="surrogatepass"))
        code, out, err = plan(path, *words)
    assert code in (0, 2)
    if code == 2:
        [line] = err.splitlines()
        assert (out, line.isprintable(), line.startswith(f"hive: {path}: ")) == ("", True, True)
    else:
        assert err == ""
        assert out.encode()
