"""Who may import whom: design rules as tables, read from the source by ast, and two looks at a fresh interpreter.

Each rule is a function from modules to the list of what breaks it, so that it can be shown to fail on a made-up module.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.architecture.source import ROOT, Import, Module, imports, modules, within

USERS = tuple(f"hive.{name}" for name in ("study", "connection", "client", "link", "launch", "display", "result"))
"""What users hold, how it reaches a coordinator, and what they see of a run."""

DRIVER_NAMES = ("runtime", "sockets", "handshakes", "keys", "processes", "output", "simulator", "faults")
DRIVERS = tuple(f"hive.actors.{name}" for name in DRIVER_NAMES)
"""What carries effects out: the only modules beside the actors that may touch the world."""

OUTSIDE = (
    *("asyncio", "concurrent", "multiprocessing", "select", "signal", "socket", "subprocess", "threading", "zmq"),
    *("lmdb", "shutil", "tempfile"),
    *("random", "secrets", "time", "uuid"),
)
"""The world: others, disks, chance and the clock."""

LAYERS: tuple[tuple[str, ...], ...] = (
    ("hive.cli", "hive.__main__"),
    ("hive.web", "hive.integrations"),
    ("hive.simulation",),
    USERS,
    DRIVERS,
    ("hive.actors",),
    ("hive.actors.actor", "hive.actors.messages", "hive.actors.questions", "hive.actors.parts", "hive.actors.wire"),
    ("hive.training",),
    ("hive.storage",),
    ("hive.tuners",),
    ("hive.planner",),
    ("hive.errors",),
)
"""From top to bottom: a module imports from its own row and from rows below. The longest name that fits counts."""

FORBIDDEN: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("hive.planner", (), OUTSIDE),
    ("hive.actors", DRIVERS, OUTSIDE),
    ("hive.tuners", (), tuple(name for name in OUTSIDE if name != "asyncio")),
    ("hive.storage", (), ("hive.tuners",)),
    (
        "hive.training",
        (),
        ("hive.tuners", "hive.storage.store", "hive.storage.memory_store", "hive.storage.lmdb_store"),
    ),
    ("hive.actors", DRIVERS, ("hive.storage.lmdb_store", "hive.storage.memory_store", "hive.storage.checkpoints")),
)
"""(package, its modules that are exempt, what the rest of it must not import)."""

TORCH_USERS = ("hive.training", "hive.storage.checkpoints", "hive.storage.buffers", "hive.storage.leaves")
"""The only places that may name torch, and none of them may load it on import."""


def row(name: str) -> int | None:
    """The module's place in `LAYERS`, 0 at the top; None for the package's front and for other packages."""
    fits = [
        (len(package), at) for at, packages in enumerate(LAYERS) for package in packages if within(name, (package,))
    ]
    return max(fits)[1] if fits else None


def upward(sources: Iterable[Module]) -> list[str]:
    """Imports that go up the layers, and imports of the package's front from below it."""
    return [str(found) for module in sources for found in imports(module) if is_upward(found)]


def is_upward(found: Import) -> bool:
    importer, target = row(found.importer), row(found.target)
    if importer is None:
        return found.importer == "hive" and within(found.target, ("hive.cli", "hive.web"))
    if target is None:
        return within(found.target, ("hive",)) and importer >= LAYERS.index(USERS)
    return target < importer


def homeless(sources: Iterable[Module]) -> list[str]:
    """Modules of hive that no row names."""
    return [module.path for module in sources if row(module.name) is None and module.name != "hive"]


def forbidden(sources: Iterable[Module]) -> list[str]:
    """Imports that a line of `FORBIDDEN` rules out."""
    return [
        str(found)
        for module in sources
        for package, exempt, banned in FORBIDDEN
        if within(module.name, (package,)) and not within(module.name, exempt)
        for found in imports(module)
        if within(found.target, banned)
    ]


def detours(sources: Iterable[Module]) -> list[str]:
    """Modules of the planner and the actors that reach a clock, a socket or chance through other modules of hive."""
    reads = {module.name: [found.target for found in imports(module)] for module in sources}
    pure = [name for name in reads if within(name, ("hive.planner", "hive.actors")) and not within(name, DRIVERS)]
    return [" -> ".join(path) for name in pure for path in ways_out([name], reads, {name})]


def ways_out(path: list[str], reads: dict[str, list[str]], seen: set[str]) -> Iterator[list[str]]:
    """The paths that begin with `path` and end at a module of `OUTSIDE`, each module on the way entered once."""
    for target in reads[path[-1]]:
        if within(target, OUTSIDE):
            yield [*path, target]
        inner = target if target in reads else target.rpartition(".")[0]
        if inner in reads and inner not in seen:
            seen.add(inner)
            yield from ways_out([*path, inner], reads, seen)


def torch_elsewhere(sources: Iterable[Module]) -> list[str]:
    """Imports of torch outside the places that may."""
    return [
        str(found)
        for module in sources
        if not within(module.name, TORCH_USERS)
        for found in imports(module)
        if within(found.target, ("torch", "torchvision"))
    ]


def unordered_waits(sources: Iterable[Module]) -> list[str]:
    """Uses of `asyncio.wait` in tuners: its sets have no order, so a run could not be replayed."""
    return [
        f"{module.path}:{getattr(node, 'lineno', '?')} uses asyncio.wait"
        for module in sources
        if within(module.name, ("hive.tuners",))
        for node in ast.walk(module.tree)
        if is_asyncio_wait(node)
    ]


def is_asyncio_wait(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "asyncio" and any(alias.name == "wait" for alias in node.names)
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "wait"
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
    )


RULES: tuple[Callable[[Iterable[Module]], list[str]], ...] = (
    upward,
    homeless,
    forbidden,
    detours,
    torch_elsewhere,
    unordered_waits,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_hive_keeps_the_rule(rule: Callable[[Iterable[Module]], list[str]]) -> None:
    assert rule(modules("hive")) == []


BREACHES = [
    (upward, "hive/planner/space.py", "from hive.storage.records import Record"),
    (upward, "hive/storage/store.py", "def late():\n    import hive.training.executor"),
    (upward, "hive/training/executor.py", "from hive.actors import messages"),
    (upward, "hive/actors/wire.py", "from hive.actors.coordinator import Coordinator"),
    (upward, "hive/actors/coordinator.py", "from hive.actors.runtime import run"),
    (upward, "hive/actors/coordinator.py", "from hive import Study"),
    (upward, "hive/study.py", "from hive.cli.main import main"),
    (upward, "hive/__init__.py", "from hive.cli.main import main"),
    (homeless, "hive/utils.py", ""),
    (forbidden, "hive/planner/space.py", "import random"),
    (forbidden, "hive/actors/session.py", "from time import monotonic"),
    (forbidden, "hive/tuners/grid.py", "import time"),
    (forbidden, "hive/training/executor.py", "from hive.storage.lmdb_store import LmdbStore"),
    (forbidden, "hive/training/executor.py", "from hive.storage import store"),
    (detours, "hive/actors/session.py", "import zmq.asyncio"),
    (torch_elsewhere, "hive/actors/trainer.py", "from torch import Tensor"),
    (torch_elsewhere, "hive/storage/records.py", "def late():\n    import torch.nn as nn"),
    (unordered_waits, "hive/tuners/grid.py", "import asyncio\nasync def f(x):\n    await asyncio.wait(x)"),
    (unordered_waits, "hive/tuners/grid.py", "from asyncio import wait as linger"),
]

ALLOWED = [
    (upward, "hive/cli/main.py", "from hive import Study\nfrom hive.planner.space import GridSpace\nimport rich"),
    (upward, "hive/actors/runtime.py", "from hive.actors.coordinator import Coordinator"),
    (upward, "hive/study.py", "from hive.training.trainer import Trainer\nfrom hive.client import connect"),
    (upward, "hive/__init__.py", "from hive.study import Study"),
    (homeless, "hive/__init__.py", ""),
    (forbidden, "hive/actors/runtime.py", "import asyncio, time, zmq"),
    (forbidden, "hive/tuners/grid.py", "import asyncio"),
    (forbidden, "hive/training/executor.py", "from hive.storage.checkpoints import digest"),
    (torch_elsewhere, "hive/training/data.py", "import torch"),
    (unordered_waits, "hive/tuners/grid.py", "import asyncio\nasync def f(x):\n    await asyncio.wait_for(x, 1)"),
    (unordered_waits, "hive/actors/runtime.py", "import asyncio\nasync def f(x):\n    await asyncio.wait(x)"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BREACHES)
def test_rule_finds_a_module_that_breaks_it(
    rule: Callable[[Iterable[Module]], list[str]], path: str, text: str
) -> None:
    assert len(rule([Module(path, text)])) == 1


@pytest.mark.parametrize(("rule", "path", "text"), ALLOWED)
def test_rule_passes_a_module_that_keeps_it(
    rule: Callable[[Iterable[Module]], list[str]], path: str, text: str
) -> None:
    assert rule([Module(path, text)]) == []


def test_detour_is_told_with_each_module_on_the_way() -> None:
    sources = [
        Module("hive/actors/leases.py", "from hive.training.executor import BatchOrder"),
        Module("hive/training/executor.py", "from hive.training import data"),
        Module("hive/training/data.py", "import threading\nimport hive.training.executor"),
    ]
    way = "hive.actors.leases -> hive.training.executor -> hive.training.data -> threading"
    assert detours(sources) == [way]


def torch_loaders(names: Iterable[str]) -> list[str]:
    """Those of the modules that bring torch into a fresh interpreter, each asked after all before it."""
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    before = 'torch' in sys.modules\n"
        "    importlib.import_module(name)\n"
        "    if not before and 'torch' in sys.modules: print(name)\n"
    )
    command = [sys.executable, "-c", program, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_hive_loads_no_torch_when_imported() -> None:
    assert torch_loaders(["hive"]) == []


def test_no_module_of_hive_loads_torch_when_imported() -> None:
    names = [module.name for module in modules("hive") if not module.path.endswith("__main__.py")]
    assert torch_loaders(names) == []


def test_torch_is_noticed_when_a_module_loads_it() -> None:
    assert torch_loaders(["json", "torch"]) == ["torch"]
