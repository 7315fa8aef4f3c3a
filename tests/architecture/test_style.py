"""Style as a test: sizes, docstrings, `__all__`, file names, and no sleeping tests."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.source import PYTHON_FOLDERS, Module, modules

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60


def long_modules(module: Module) -> Iterator[str]:
    """The module, if nobody reads it in one sitting."""
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES_MAX:
        yield f"{module.path} has {lines} lines, {MODULE_LINES_MAX} at most"


def long_functions(module: Module) -> Iterator[str]:
    """Functions that do not fit on a screen, docstring included."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{module.path}:{node.lineno} {node.name} has {lines} lines, {FUNCTION_LINES_MAX} at most"


def untold_modules(module: Module) -> Iterator[str]:
    """The module, if it does not open with a docstring; a file that holds nothing has nothing to tell."""
    if module.text.strip() and not ast.get_docstring(module.tree):
        yield f"{module.path} does not open with a docstring"


def unlisted_modules(module: Module) -> Iterator[str]:
    """The module of hive, if it does not say in `__all__` what it offers; a docstring alone offers nothing."""
    if not module.path.startswith("hive/") or module.path.endswith("/__main__.py"):
        return
    names = {
        target.id
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    says_more = any(not isinstance(node, ast.Expr) for node in module.tree.body)
    if says_more and "__all__" not in names:
        yield f"{module.path} has no __all__"


def hidden_files(module: Module) -> Iterator[str]:
    """The file, if its name hides it: what is public is said by `__all__` instead."""
    stem = module.path.rpartition("/")[2].removesuffix(".py")
    if stem.startswith("_") and stem not in ("__init__", "__main__"):
        yield f"{module.path} begins with an underscore"


def sleeps(module: Module) -> Iterator[str]:
    """Calls of `sleep` in tests without real processes: they wait for a condition, or use a clock of their own."""
    if not module.path.startswith("tests/") or module.path.startswith("tests/live/"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called(node) == "sleep" and not gives_way(node):
            yield f"{module.path}:{node.lineno} sleeps"


def called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def gives_way(node: ast.Call) -> bool:
    """Whether it is `sleep(0)`, which waits for nothing and only lets others run."""
    return len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0


Rule = Callable[[Module], Iterator[str]]
RULES: tuple[Rule, ...] = (long_modules, long_functions, untold_modules, unlisted_modules, hidden_files, sleeps)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_checkout_keeps_the_rule(rule: Rule) -> None:
    assert [breach for module in modules(*PYTHON_FOLDERS) for breach in rule(module)] == []


def test_checkout_is_really_read() -> None:
    paths = {module.path for module in modules(*PYTHON_FOLDERS)}
    assert {"hive/errors.py", "tests/architecture/source.py"} <= paths


BREACHES: list[tuple[Rule, str, str]] = [
    (long_modules, "hive/a.py", "x = 1\n" * 501),
    (long_functions, "hive/a.py", "def f():\n" + "    x = 1\n" * 60),
    (long_functions, "tests/a.py", "class A:\n    async def f(self):\n" + "        x = 1\n" * 60),
    (untold_modules, "hive/a.py", "import os\n'''Too late.'''\n"),
    (unlisted_modules, "hive/a.py", "'''A module.'''\nclass A:\n    __all__ = []\n"),
    (hidden_files, "hive/planner/_helpers.py", ""),
    (sleeps, "tests/actors/test_a.py", "import time\ntime.sleep(0.1)\n"),
    (sleeps, "tests/a.py", "from asyncio import sleep\nasync def f():\n    await sleep(1)\n"),
]

ALLOWED: list[tuple[Rule, str, str]] = [
    (long_modules, "hive/a.py", "x = 1\n" * 500),
    (long_functions, "hive/a.py", "def f():\n" + "    x = 1\n" * 59),
    (untold_modules, "hive/a.py", "# why\n'''In time.'''\n"),
    (untold_modules, "tests/a/__init__.py", ""),
    (unlisted_modules, "hive/a.py", "'''A module.'''\n__all__ = ['a']\n"),
    (unlisted_modules, "hive/a.py", "'''A module.'''\n__all__: list[str] = []\n"),
    (unlisted_modules, "hive/a/__init__.py", "'''A package.'''\n"),
    (unlisted_modules, "hive/cli/__main__.py", "'''A script.'''\n"),
    (unlisted_modules, "tests/a.py", "'''A test.'''\n"),
    (hidden_files, "hive/__init__.py", ""),
    (sleeps, "tests/live/test_a.py", "import time\ntime.sleep(0.1)\n"),
    (sleeps, "tests/a.py", "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BREACHES)
def test_rule_finds_a_module_that_breaks_it(rule: Rule, path: str, text: str) -> None:
    assert len(list(rule(Module(path, text)))) == 1


@pytest.mark.parametrize(("rule", "path", "text"), ALLOWED)
def test_rule_passes_a_module_that_keeps_it(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Module(path, text))) == []
