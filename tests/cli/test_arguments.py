"""Configuration files: the shipped ones say every key with its default, wrong ones are told what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hive import StudyError
from hive.cli.arguments import CoordinatorFile, WorkerFile, read_config

CONF = Path(__file__).parents[2] / "conf"
KINDS = [("coordinator.toml", CoordinatorFile), ("worker.toml", WorkerFile)]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_shipped_file_has_every_key_with_its_default_and_a_reason(name: str, kind: Any) -> None:
    assert read_config(CONF / name, kind) == kind() == read_config(None, kind)
    blocks = (CONF / name).read_text(encoding="utf-8").split("\n\n")[1:]
    assert [block.splitlines()[-1].split(" = ")[0] for block in blocks] == [
        f.name for f in msgspec.structs.fields(kind)
    ]
    for block in blocks:
        assert block.startswith("# ")
        assert "Default: " in block


@pytest.mark.parametrize(
    ("text", "named"),
    [("lease = 3", "lease"), ('lease_s = "long"', "lease_s"), ("lease_s 3", "line 1"), ("\udc00", "")],
)
def test_wrong_file_is_named_with_what_is_wrong(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(text.encode(errors="surrogateescape") if text.isascii() else b"\xff")
    with pytest.raises(StudyError, match=r"own\.toml: .*" + named):
        read_config(path, CoordinatorFile)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none\.toml"):
        read_config(tmp_path / "none.toml", WorkerFile)
