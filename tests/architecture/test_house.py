"""The house: `make` does the same whatever the shell has set, pins fit needs, and the scripts of bin/ are runnable."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

LEAKS = {
    "VIRTUAL_ENV": "/elsewhere",
    "PYTHONHASHSEED": "7",
    "PYTHONPATH": "/elsewhere",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "ignore",
    "PYTHON": "/elsewhere/python",
    "BIN": "/elsewhere/bin",
    "PIP": "/elsewhere/pip",
    "TORCH": "nothing",
}


def make(*arguments: str, **variables: str) -> str:
    """What `make` prints when only these variables are set beside the search path."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", **variables}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("target", ["demo", "test", "bench"])
def test_make_runs_the_same_commands_when_the_shell_has_set_variables(target: str) -> None:
    plain = make("--dry-run", "--always-make", target)
    assert make("--dry-run", "--always-make", target, **LEAKS) == plain
    assert "/elsewhere" not in plain


def test_make_hides_variables_of_the_shell_from_what_it_runs() -> None:
    probe = "--eval=probe: ; @env"
    seen = dict(line.partition("=")[::2] for line in make(probe, "probe", KEPT="yes", **LEAKS).splitlines())
    assert seen["KEPT"] == "yes"
    assert not {"VIRTUAL_ENV", "PYTHONHASHSEED", "PYTHONPATH", "PYTHONOPTIMIZE", "PYTHONWARNINGS"} & set(seen)


def test_make_sets_the_environment_up_before_each_of_its_commands() -> None:
    for target in ("demo", "lint", "types", "check", "bench"):
        lines = make("--dry-run", "--always-make", target).splitlines()
        assert any("-m venv .venv" in line for line in lines[:2]), target


def test_constraints_pin_every_dependency_exactly_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(need for group in project["optional-dependencies"].values() for need in group),
    ]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.partition("==")[0].lower() for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if not line.startswith("#"))
    assert len(pins) == len(set(pins))
    assert {re.split(r"[><=[]", need)[0].lower() for need in wanted} <= set(pins)


@pytest.mark.parametrize(
    ("script", "module"), [("hive", "main"), ("hive-coordinator", "coordinator"), ("hive-worker", "worker")]
)
def test_script_runs_the_command_it_is_named_after(script: str, module: str) -> None:
    file = ROOT / "bin" / script
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert os.access(file, os.X_OK)
    assert scripts[script] == f"hive.cli.{module}:main"
    assert f"from hive.cli.{module} import main" in file.read_text()


@pytest.mark.parametrize("script", ["hive", "hive-coordinator", "hive-worker"])
def test_script_starts_once_where_the_environment_is_a_link(script: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "bin" / script).write_bytes((ROOT / "bin" / script).read_bytes())
    command = [sys.executable, str(tmp_path / "bin" / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("usage: ")


def test_gate_calls_make_test_from_anywhere() -> None:
    gate = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in gate
    assert gate.rstrip().endswith("make test")
