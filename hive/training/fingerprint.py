"""What of the user's code a trainer can reach, as one digest, and as parts that can be named when they change.

The problem: results may be shared only between runs of the same training code. Hashing the file would throw a search
away for a comment or for one more learning rate in its space; hashing the class alone would share results across a
changed helper.

So a trainer's code is what its class reaches. In the class's own module: the module-level names it uses, and those
that these use, and so on; with each name all top-level statements that bind it or change it in place (`TABLE["a"] =
1`, `LIST.append(3)`, `torch.manual_seed(0)` where torch is reached), but never the main guard. Every other local
module that any of this imports is covered whole, and so are the local modules which that imports, with the packages
they lie in; one that is imported and then not used is there for its effects, and counts too. A library counts by the
statement that imports it. All is compared as syntax, so comments, layout and docstrings do not count.

What cannot be seen: names reached through strings (`globals()["x"]`, `importlib.import_module("x")`), a change through
a second name for the same object, what libraries do to each other, and files that training reads. Where this module
cannot tell, it counts too much rather than too little: what is lost then is a search's reuse, not its truth.

This module must not know what a fingerprint is used for. Python versions may differ in what it gives.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path

from hive.errors import StudyError
from hive.training.source import is_local, trainer_location
from hive.training.syntax import Import, Statement, body_of, canonical, imports_in, statements
from hive.training.trainer import Trainer

__all__ = ["Fingerprint", "changed", "fingerprint"]

RELATIVE = "."
"""Stands for the top of the trainer module's own package."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a trainer's code is.

    Attributes:
        digest: SHA-256 over all parts, in hex.
        parts: SHA-256 in hex by readable name: "study.augment" for a name of the trainer's own module, "helpers" for
            another local module.
    """

    digest: str
    parts: dict[str, str]


def fingerprint(trainer_class: type[Trainer]) -> Fingerprint:
    """The fingerprint of the code that a trainer can reach, the same in every process.

    Raises:
        StudyError: the class cannot be read as source.
    """
    location = trainer_location(trainer_class)
    own = OwnModule(Path(location.path), location.module, package_of(trainer_class))
    top = location.qualname.split(".")[0]
    if top not in own.binders:
        raise StudyError(f"{location.path} defines {top} in a way that cannot be read: write it as a class statement")
    reach = Reach(own)
    reach.follow(top)
    parts = reach.parts()
    return Fingerprint(digest_of(json.dumps(parts, sort_keys=True)), parts)


def changed(old_parts: Mapping[str, str], new_parts: Mapping[str, str]) -> list[str]:
    """The names of the parts that differ, came or went, in order."""
    names = old_parts.keys() | new_parts.keys()
    return sorted(name for name in names if old_parts.get(name) != new_parts.get(name))


def package_of(trainer_class: type[Trainer]) -> str:
    """The package from which the trainer's module counts relative imports; "" outside packages."""
    return getattr(sys.modules[trainer_class.__module__], "__package__", None) or ""


def digest_of(text: str) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class OwnModule:
    """The trainer's module, of which only what is reached counts."""

    path: Path
    name: str
    package: str

    @cached_property
    def tree(self) -> ast.Module:
        """The whole file."""
        return parse(self.path)

    @cached_property
    def statements(self) -> list[Statement]:
        """What runs on import, in order."""
        return statements(self.tree)

    @cached_property
    def binders(self) -> dict[str, list[int]]:
        """The places of the statements that bind a name."""
        binders: dict[str, list[int]] = {}
        for place, statement in enumerate(self.statements):
            for name in statement.binds:
                binders.setdefault(name, []).append(place)
        return binders

    @cached_property
    def origins(self) -> dict[str, str]:
        """For names that imports bind, the top of the package they come from: `cudnn` comes from `torch`."""
        return {
            name: top_package(node)
            for statement in self.statements
            for node in imports_in(statement.node)
            if not isinstance(statement.node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            for name in bound_by(node)
        }

    def touched(self, statement: Statement) -> set[str]:
        """The names whose objects running a statement may change, through the module's own functions too."""
        changes, called, waiting = set(statement.effects.changes), set[str](), list(statement.effects.calls)
        while waiting:
            name = waiting.pop()
            if name not in called:
                called.add(name)
                for place in self.binders.get(name, ()):
                    changes |= self.statements[place].body_effects.changes
                    waiting.extend(self.statements[place].body_effects.calls)
        return changes & self.binders.keys()

    def idle_imports(self) -> list[str]:
        """The modules that are imported as such and mentioned nowhere, in the main guard neither."""
        mentioned = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        imports = [statement for statement in self.statements if names_modules(statement.node)]
        return [name for statement in imports for name in sorted(statement.binds - mentioned)]


class Reach:
    """What has been reached so far: names of the own module, with the statements that count, and whole modules."""

    def __init__(self, own: OwnModule) -> None:
        self.own = own
        self.counted: dict[str, set[int]] = {}  # name -> places of the statements that bind or change it
        self.modules: dict[str, str] = {}  # local module -> digest

    def follow(self, top: str) -> None:
        """Reach a name and all that follows from it, until nothing new does."""
        self.reach(top)
        self.reach("*")
        for name in self.own.idle_imports():
            if self.comes_from_local(name):
                self.reach(name)
        growing = True
        while growing:
            growing = (
                sum(self.count_change(statement, place) for place, statement in enumerate(self.own.statements)) > 0
            )

    def reach(self, name: str) -> None:
        """Count what binds a name, and reach the names that this uses."""
        if name in self.counted or name not in self.own.binders:
            return
        self.counted[name] = set()
        for place in self.own.binders[name]:
            self.count(name, place)

    def count(self, name: str, place: int) -> None:
        """Count a statement for a name, with all that the statement uses and imports."""
        if place in self.counted.setdefault(name, set()):
            return
        self.counted[name].add(place)
        statement = self.own.statements[place]
        for used in statement.uses:
            self.reach(used)
        self.cover_imports(imports_in(statement.node), self.own.package)

    def count_change(self, statement: Statement, place: int) -> bool:
        """Count a statement if it changes what is reached, or calls code that is not seen; tell whether that is new."""
        touched = sorted(self.own.touched(statement))
        names = [name for name in touched if self.is_reached(name) or self.comes_from_local(name)]
        new = [name for name in names if place not in self.counted.get(name, ())]
        for name in new:
            self.reach(name)
            self.count(name, place)
        return bool(new)

    def is_reached(self, name: str) -> bool:
        """Whether a name, or another one from the same library, is reached."""
        origin = self.own.origins.get(name)
        if origin == "hive":
            return False  # hive's own calls change nothing in a trainer
        return name in self.counted or (
            origin is not None and any(self.own.origins.get(other) == origin for other in self.counted)
        )

    def comes_from_local(self, name: str) -> bool:
        """Whether a name is imported from a local module: nobody sees here what a call of it changes."""
        origin = self.own.origins.get(name)
        spec = None if origin in (None, RELATIVE) else find_spec(origin)
        return origin == RELATIVE or (spec is not None and is_local_spec(spec))

    def cover_imports(self, nodes: Iterable[Import], package: str) -> None:
        """Cover the local modules that import statements name."""
        for node in nodes:
            for name in imported_modules(node, package):
                if name == self.own.name:
                    self.cover_own(node)
                else:
                    self.cover(name)

    def cover(self, name: str) -> None:
        """Cover a local module whole, the packages it lies in, and the local modules it imports."""
        spec = None if name in self.modules else find_spec(name)
        if spec is None or not is_local_spec(spec):
            return
        assert spec.origin is not None
        if not spec.origin.endswith(".py"):  # compiled: its bytes are all there is
            self.modules[name] = hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
            return
        body = body_of(parse(Path(spec.origin)))
        self.modules[name] = digest_of("\n".join(canonical(node) for node in body))
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        self.cover_imports((found for node in body for found in imports_in(node)), package)

    def cover_own(self, node: Import) -> None:
        """Reach what another local module imports from the trainer's own: single names, or, taken as a whole, all."""
        names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else ["*"]
        for name in self.own.binders if "*" in names else names:
            self.reach(name)

    def parts(self) -> dict[str, str]:
        """The digests by readable name."""
        own = {
            f"{self.own.name}.{name}": digest_of(
                "\n".join(canonical(self.own.statements[place].node) for place in sorted(places))
            )
            for name, places in self.counted.items()
        }
        return dict(sorted((own | self.modules).items()))


def parse(path: Path) -> ast.Module:
    """The syntax of a file.

    Raises:
        StudyError: the file is not there, or not Python.
    """
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise StudyError(f"{path} cannot be read as Python source: {error}") from error


def top_package(node: Import) -> str:
    """The first part of the module's name that an import statement names; RELATIVE for a relative one."""
    if isinstance(node, ast.Import):
        return node.names[0].name.partition(".")[0]
    return RELATIVE if node.level else (node.module or "").partition(".")[0]


def names_modules(node: ast.stmt) -> bool:
    """Whether a statement imports modules rather than what is in them."""
    return isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module is None)


def bound_by(node: Import) -> Iterator[str]:
    """The names that an import statement binds."""
    for alias in node.names:
        yield alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)


def imported_modules(node: Import, package: str) -> Iterator[str]:
    """The modules that an import statement may load, each package before what lies in it; some may be no modules."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        base = relative_base(node, package)
        names = [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")] if base else []
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def relative_base(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that `from` names; "" if it leads out of its package."""
    if not node.level:
        return node.module or ""
    try:
        return importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:
        return ""


def find_spec(name: str) -> ModuleSpec | None:
    """Where a module would be imported from, without importing anything; None if there is none."""
    places: Iterable[str] | None = None
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        if length > 1 and places is None:
            return None  # what comes before is no package
        spec = first_spec(".".join(parts[:length]), places)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    return spec


def first_spec(name: str, places: Iterable[str] | None) -> ModuleSpec | None:
    """What the first of Python's finders says that knows the module."""
    path = None if places is None else list(places)
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


def is_local_spec(spec: ModuleSpec) -> bool:
    """Whether a module is the user's own file; a folder without `__init__.py` has none."""
    return spec.has_location and spec.origin is not None and is_local(spec.origin)
