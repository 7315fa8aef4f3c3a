"""`hive check FILE`: does its trainer give the same bits whichever way hive trains it?

FILE is loaded as a module, so that its main guard starts nothing. The training itself is a child's (check_child.py),
which has the environment that trainers have: a fixed hash seed, and the study's threads. It must not know how a
difference is found or explained.
"""

from __future__ import annotations

import json as json_text
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from hive.cli.check_child import CheckOrder, run_child
from hive.cli.run import named
from hive.errors import StudyError
from hive.launch import devices
from hive.planner.sequences import sequence_from_descriptor
from hive.planner.space import Space
from hive.study import Study
from hive.training.check import drawn
from hive.training.source import load_module, marked_as_import, trainer_location

__all__ = ["main"]


def main(file: Path, json: bool) -> int:
    """Check FILE's trainer; 0 if all ways give one digest, else 1."""
    with marked_as_import():
        module = load_module(file)
    study, tuner = named(module, file, "study", Study), named(module, file, "tuner", object)
    space = getattr(tuner, "space", None)
    if not isinstance(space, Space):
        raise StudyError(f"{file}: `tuner` has no space to draw a config from")
    with tempfile.TemporaryDirectory(prefix="hive-check-") as folder:
        order = order_for(study, space, folder)
        code = run_child(order, trainer_environment(study.threads))
        answer = Path(folder) / order.answer
        if not answer.exists():
            print(f"hive: training ended the process, with code {code}, before the check was through", file=sys.stderr)
            return 1
        found: dict[str, Any] = msgspec.msgpack.decode(answer.read_bytes())
    print(json_text.dumps(found, indent=1)) if json else show(found)
    return 0 if found["ok"] else 1


def order_for(study: Study, space: Space, folder: str) -> CheckOrder:
    """What the child is told."""
    location = trainer_location(study.trainer)
    config, steps = drawn(space, study.seed)
    return CheckOrder(
        path=location.path,
        module=location.module,
        qualname=location.qualname,
        search=location.search,
        config={name: sequence.descriptor() for name, sequence in config.items()},
        steps=steps,
        metric=study.metric,
        seed=study.seed,
        fixed=study.fixed,
        threads=study.threads,
        device=devices(1)[0],
        folder=folder,
    )


def trainer_environment(threads: int) -> dict[str, str]:
    """The environment that a node manager gives its trainers, as far as bits depend on it."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**os.environ, "PYTHONHASHSEED": "0", **dict.fromkeys(names, str(threads))}


def show(found: dict[str, Any]) -> None:
    """For people."""
    config = ", ".join(f"{name}={sequence_from_descriptor(d)!r}" for name, d in found["config"].items())
    print(f"hive check: {found['steps']} steps of {config}")
    for way in found["ways"]:
        print(f"  {way['way']:<18} {(way['digest'] or 'failed')[:16]}{'' if way['equal'] else '  differs'}")
        if way["first_difference"]:
            print(f"    first difference: {way['first_difference']}")
        if way["likely_cause"]:
            print("    likely cause: " + way["likely_cause"].replace("\n", "\n      "))
    bad = sum(not way["equal"] for way in found["ways"])
    print("all ways give one digest" if found["ok"] else f"{bad} of {len(found['ways'])} ways differ or failed")
