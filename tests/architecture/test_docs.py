"""The documentation against the code: what exists is documented, what is documented exists, and its examples hold."""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hive.actors import messages, wire
from hive.cli.arguments import CoordinatorFile, WorkerFile
from hive.cli.main import parser
from hive.errors import HiveError
from hive.planner import sequences
from hive.planner.sequence_base import KNOWN, parameters
from hive.storage import records
from tests.architecture.source import ROOT

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*DOCS, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]

PARTS = (
    messages.AskedTrial,
    messages.AnnouncedTrial,
    messages.GrantedStage,
    messages.Slot,
    messages.Point,
    records.CheckpointFile,
    records.TrainerSource,
    records.RunCounts,
)
"""What messages are made of."""

KINDS: tuple[type[msgspec.Struct], ...] = (*messages.MESSAGES, *PARTS)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """The parts of a page under its headings of third rank."""
    found = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def row_names(text: str) -> list[str]:
    """What the first column of a table's rows names."""
    return re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)


# -- the protocol ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_protocol_tells_every_field_of_a_message(kind: type[msgspec.Struct]) -> None:
    section = sections(read("docs/protocol.md"))[kind.__name__].partition("\n## ")[0]
    assert row_names(section) == [field.name for field in msgspec.structs.fields(kind)]


def test_protocol_tells_of_no_message_that_does_not_exist() -> None:
    assert set(sections(read("docs/protocol.md"))) == {kind.__name__ for kind in KINDS}


def test_protocol_names_version_and_limit_of_the_wire() -> None:
    page = read("docs/protocol.md")
    assert f"# The protocol, version {wire.VERSION}\n" in page
    assert f"first byte is the protocol version, `0x{wire.VERSION:02x}`" in page
    assert f"{wire.MESSAGE_BYTES_MAX // 2**20} MiB" in page


def vectors() -> list[tuple[str, str]]:
    page = read("docs/protocol.md")
    return list(zip(blocks(page, "json"), blocks(page, "hex"), strict=True))


@pytest.mark.parametrize(("text", "digits"), vectors(), ids=lambda each: None)
def test_wire_reads_and_writes_the_test_vectors(text: str, digits: str) -> None:
    data = bytes.fromhex("".join(digits.split()))
    message = wire.decode(data)
    assert msgspec.to_builtins(message) == json.loads(text)
    assert wire.encode(message) == data


def test_protocol_gives_the_key_of_its_example() -> None:
    page = read("docs/protocol.md")
    [example] = re.findall(r'^\["digits".*$', page, flags=re.MULTILINE)
    assert f"has the key `{hashlib.sha256(example.encode()).hexdigest()}`" in page


@pytest.mark.parametrize("name", sorted(set(sequences.__all__) & KNOWN.keys()))
def test_docs_tell_every_sequence_with_its_parameters(name: str) -> None:
    names = [item.name for item in parameters(KNOWN[name])]
    for page, pattern in (
        ("docs/protocol.md", rf"^\| `{name}` \| ([^|]*) \|"),
        ("docs/getting-started.md", rf"^\| `{name}\((.*?)\)`"),
    ):
        found = re.search(pattern, read(page), flags=re.MULTILINE)
        assert found, f"{page} does not tell of {name}"
        assert [each.partition("=")[0].strip() for each in found[1].split(",")] == names, page


# -- commands and settings ------------------------------------------------------------------------------------


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = parser()._actions
    [subparsers] = [each for each in actions if isinstance(each, argparse._SubParsersAction)]
    return dict(subparsers.choices)


@pytest.mark.parametrize("command", sorted(commands()))
def test_docs_tell_every_flag_of_a_command(command: str) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert f"hive {command}" in text
    flags = {flag for action in commands()[command]._actions for flag in action.option_strings} - {"-h", "--help"}
    assert {flag for flag in flags if not re.search(rf"{flag}\b", text)} == set()
    [usage] = re.findall(rf"^hive {command} .*$", read("README.md"), flags=re.MULTILINE)
    assert set(re.findall(r"--[\w-]+", usage)) == flags


def flags_of(script: str) -> set[str]:
    """The flags that a script's source adds and does not hide."""
    calls = [node for node in ast.walk(ast.parse(read(script))) if isinstance(node, ast.Call)]
    added = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    return {ast.literal_eval(call.args[0]) for call in added if "SUPPRESS" not in ast.dump(call)}


@pytest.mark.parametrize("script", ["coordinator", "worker"])
def test_operations_tells_every_flag_of_a_script(script: str) -> None:
    page = read("docs/operations.md")
    flags = flags_of(f"hive/cli/{script}.py")
    assert "--config" in flags
    assert {flag for flag in flags if f"`{flag} " not in page} == set()


@pytest.mark.parametrize("script", ["coordinator", "worker"])
def test_units_of_operations_start_a_script_with_flags_that_it_has(script: str) -> None:
    [line] = re.findall(rf"^ExecStart=(.*hive-{script} .*)$", read("docs/operations.md"), flags=re.MULTILINE)
    program, *words = line.split()
    assert program.endswith(f"/bin/hive-{script}")
    assert (ROOT / "bin" / f"hive-{script}").exists()
    assert {word for word in words if word.startswith("-")} <= flags_of(f"hive/cli/{script}.py")


CONFIGURATIONS: list[tuple[str, type[msgspec.Struct]]] = [
    ("conf/coordinator.toml", CoordinatorFile),
    ("conf/worker.toml", WorkerFile),
]


@pytest.mark.parametrize(("name", "kind"), CONFIGURATIONS)
def test_every_key_of_a_configuration_has_its_own_comment_and_its_default(
    name: str, kind: type[msgspec.Struct]
) -> None:
    fields = {field.name: field.default for field in msgspec.structs.fields(kind)}
    assert tomllib.loads(read(name)) == fields
    assert uncommented(read(name)) == []
    assert {key for key in fields if f"`{key}`" not in read("docs/operations.md")} == set()


def uncommented(text: str) -> list[str]:
    """The keys that have no comment directly above them."""
    lines = ["", *text.splitlines()]
    return [line for above, line in pairwise(lines) if "=" in line.partition("#")[0] and above[:1] != "#"]


def test_key_without_a_comment_is_noticed() -> None:
    assert uncommented("# why\na = 1\nb = 2\n\nc = 3\n# x = 1\n") == ["b = 2", "c = 3"]


# -- pages ----------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """Links of a page that lead to no file, or to no heading of it."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        name, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One word\n[a](a.md#one-word) [b](b.md) [c](#two) [d](https://example.org)\n")
    assert list(broken_links(page)) == ["b.md", "#two"]


def test_every_page_can_be_reached_from_the_readme() -> None:
    assert [page.name for page in DOCS if f"(docs/{page.name})" not in read("README.md")] == []


def test_files_that_the_paper_map_names_exist() -> None:
    named = re.findall(r"`((?:\w+/)?\w+\.py)`", read("docs/paper-map.md"))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "hive" / name).exists()] == []


def test_python_of_getting_started_runs_in_its_order() -> None:
    names: dict[str, Any] = {"__name__": "getting_started"}
    programs = blocks(read("docs/getting-started.md"), "python")
    assert len(programs) >= 4
    for program in programs:
        exec(compile(program, "docs/getting-started.md", "exec", dont_inherit=True), names)
    assert names["study"].name == "sine"
    assert len(names["tuner"].space.configs()) == 12


def test_python_of_the_readme_builds_its_study() -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    [program] = blocks(read("README.md"), "python")
    exec(compile(program, "README.md", "exec", dont_inherit=True), names)
    assert [(each.steps, each.trials) for each in names["tuner"].rungs(2)] == [(2, 2), (8, 1), (16, 1)]
    with pytest.raises(HiveError):
        names["space"].check({})
