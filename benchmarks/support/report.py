"""What every benchmark prints, and how one runs a study: as its user does, by command, in processes of its own.

It must not know any benchmark's question.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["Ran", "arguments", "conclude", "hive_run", "introduce", "scratch"]

STUDIES = Path(__file__).resolve().parent.parent / "studies"


def arguments(question: str | None) -> argparse.Namespace:
    """The command line that all benchmarks have: `json`, whether the last line is to be one JSON object, and `seed`."""
    parser = argparse.ArgumentParser(description=question, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--seed", type=int, default=0, help="the study's seed; 0 by default")
    return parser.parse_args()


def introduce(seed: int, packages: Iterable[str]) -> None:
    """Print what the figures depend on: machine, versions, seed, and what else the machine is doing."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = os.getloadavg()[0]
    print(f"machine   {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, load {load:.1f}")
    print(f"versions  Python {platform.python_version()}, {versions}")
    print(f"seed      {seed}", flush=True)


def processor() -> str:
    """The processor's name; its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def conclude(figures: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the figures, last."""
    if as_json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:24} {figure:.3f}" if isinstance(figure, float) else f"{name:24} {figure}")


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for one run, on the disk that temporary files go to."""
    return tempfile.TemporaryDirectory(prefix="hive-benchmark-")


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of a study.

    Attributes:
        summary: what `hive run --json` wrote.
        began: Unix time when the command was started, in seconds.
        command_s: seconds until it was over.
        cpu_s: CPU seconds of all its processes, their start included.
    """

    summary: dict[str, Any]
    began: float
    command_s: float
    cpu_s: float


def hive_run(study: str, folder: Path, *options: str, before: Iterable[str] = (), **settings: Any) -> Ran:
    """Run a study of benchmarks/studies with `hive run`, on a root of its own, with 2 trainers.

    Args:
        study: its file's name.
        folder: where root and summary go. The study's process finds it as HIVE_BENCHMARK_FOLDER.
        options: more options of `hive run`.
        before: a command to put before, such as a tracer's.
        settings: what else the study's process finds in its environment, as HIVE_BENCHMARK_NAME.
    """
    given = {f"HIVE_BENCHMARK_{name.upper()}": str(value) for name, value in {"folder": folder, **settings}.items()}
    out = folder / "summary.json"
    command = [*before, sys.executable, "-m", "hive", "run", str(STUDIES / study), "--trainers", "2"]
    command += ["--root", str(folder / "root"), "--json", str(out), *options]
    began, cpu_s = time.time(), children_cpu_s()
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True)
    command_s = time.time() - began
    if done.returncode != 0:
        sys.exit(f"hive run {study} ended with code {done.returncode}:\n{done.stderr or done.stdout}")
    return Ran(json.loads(out.read_text(encoding="utf-8")), began, command_s, children_cpu_s() - cpu_s)


def children_cpu_s() -> float:
    """CPU seconds of this process's ended children, and of theirs that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
