"""Reading source files as data, for the tests of this folder: the checkout's modules and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON_FOLDERS = ("hive", "tests", "examples", "benchmarks")


@dataclass(frozen=True)
class Module:
    """One source file.

    Attributes:
        path: Where it lies, relative to the checkout, with forward slashes.
        text: What it holds.
    """

    path: str
    text: str

    @property
    def name(self) -> str:
        """Its dotted name: `hive.planner.space`; a package's is the folder's."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text, self.path)


@dataclass(frozen=True)
class Import:
    """One imported thing: `from hive.planner import space` imports `hive.planner.space`."""

    importer: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer} imports {self.target} (line {self.line})"


def modules(*folders: str) -> list[Module]:
    """The Python files under these folders of the checkout, in order of path; a missing folder has none."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def imports(module: Module) -> Iterator[Import]:
    """Everything the module imports, wherever the statement stands: a late import is an import too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module.name, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                yield Import(module.name, f"{origin}.{alias.name}", node.lineno)


def within(name: str, packages: Iterable[str]) -> bool:
    """Whether the dotted name is one of the packages or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
