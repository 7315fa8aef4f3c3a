"""How a study's FILE becomes a module, the same in the user's process and in a trainer's.

`python FILE` runs FILE as `__main__`; a trainer process cannot, or it would run the study again. So both sides know
FILE by its file's name: `examples/digits.py` is the module `digits`, with its folder first on `sys.path`, as it is for
Python. A trainer's class is found again by `TrainerLocation`: FILE, module, name in it, and the folders that its
imports need.

The name depends on the file's name alone, since it becomes part of the plan key. A name with which Python would find
something else (a module of the standard library, a module that is loaded from another file) is refused, never worked
around: a file `random.py` in the study's folder breaks whatever imports `random` later. Other names are taken as they
are, also those that no import statement could write (`my-study.py`); their dots become underscores.

This module must not know what is fingerprinted, sent, or trained.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import hive.errors
from hive.errors import StudyError, TrainingError, UsageError
from hive.training.tracebacks import user_traceback
from hive.training.trainer import Trainer

__all__ = [
    "TrainerLocation",
    "find_trainer",
    "importing_for_trainer",
    "is_local",
    "load_module",
    "module_name",
    "trainer_location",
]

HIVE_FOLDER = str(Path(__file__).resolve().parents[1]) + os.sep
LIBRARY_FOLDERS = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)

imports_for_trainer = 0  # how many `find_trainer` calls are importing now


@dataclass(frozen=True, slots=True)
class TrainerLocation:
    """Where a trainer's class is.

    Attributes:
        path: absolute path of the file that defines it.
        module: the module's name, FILE's own or a dotted one; part of the plan key.
        qualname: the class's name in the module, dotted if it stands in another class; part of the plan key.
        search: folders for `sys.path` that the file's imports may need, in order; part of no key.
    """

    path: str
    module: str
    qualname: str
    search: tuple[str, ...] = ()


class FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles from the source each time: Python judges compiled code by the second and size of the file alone."""

    def path_stats(self, path: Any) -> Any:
        """There are none, which keeps the import system from reading and from writing compiled code."""
        raise OSError(f"compiled code of {path} is not used")


def load_module(path: Path | str) -> ModuleType:
    """The module that FILE is, imported once in a process.

    Raises:
        StudyError: there is no such file, or its name stands for another module.
        TrainingError: FILE raised or exited; the message is its own traceback. What it raised because it used hive
            wrongly (a UsageError) keeps its kind, with file and line in front.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise StudyError(f"there is no file {path}: name the Python file that holds the study")
    name = module_name(file)
    check_name(name, file)
    put_first([str(file.parent)])
    loaded = sys.modules.get(name)
    return loaded if loaded is not None else execute(name, file)


def execute(name: str, file: Path) -> ModuleType:
    """Run FILE as the module `name`, which its own imports find while it runs."""
    spec = importlib.util.spec_from_file_location(name, file, loader=FreshLoader(name, str(file)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with user_errors(file):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def module_name(file: Path | str) -> str:
    """The name of FILE's module."""
    return Path(file).stem.replace(".", "_")


def check_name(name: str, file: Path) -> None:
    """Refuse a name with which Python finds something else."""
    if name in sys.stdlib_module_names or name in ("hive", "__main__", "__init__"):
        raise StudyError(f"{file} has the name of Python's or hive's own module {name!r}: give the file another name")
    loaded = sys.modules.get(name)
    if loaded is None:
        return
    other = getattr(loaded, "__file__", None)
    if other is None or not same_file(other, file):
        raise StudyError(
            f"{file} would be the module {name!r}, which is loaded from {other or 'elsewhere'}: "
            f"give the file another name"
        )


def trainer_location(trainer_class: type[Trainer]) -> TrainerLocation:
    """Where a trainer process finds this class.

    Raises:
        StudyError: it is defined in a function, not in a file, or under a name that is not its own there.
    """
    qualname = trainer_class.__qualname__
    if "<locals>" in qualname:
        name = trainer_class.__name__
        raise StudyError(f"trainer {name} is defined inside a function: trainers find it only at the top of a file")
    module = sys.modules.get(trainer_class.__module__)
    source = getattr(module, "__file__", None)
    if module is None or source is None or not source.endswith(".py") or not Path(source).is_file():
        raise StudyError(f"trainer {qualname} cannot be read as source: put it in a file (.py), and run or import that")
    if resolve(module, qualname) is not trainer_class:
        raise StudyError(f"{source} has another {qualname} than the trainer: use the class by the name it was given")
    file = Path(source).resolve()
    name = own_name(module, file)
    if name == module_name(file):
        check_name(name, file)
    return TrainerLocation(str(file), name, qualname, local_folders())


def own_name(module: ModuleType, file: Path) -> str:
    """The name by which other processes import the module: never `__main__`."""
    if module.__name__ != "__main__":
        return module.__name__
    spec = getattr(module, "__spec__", None)  # there with `python -m package.module`
    return module_name(file) if spec is None else str(spec.name)


def find_trainer(location: TrainerLocation) -> type[Trainer]:
    """Import the file and find the class in it: what a trainer process begins with.

    Raises:
        StudyError: the file or the class is missing, or is no trainer.
        TrainingError: the import raised or exited; the message is the user's own traceback.
    """
    put_first(location.search)
    with marked_as_import():
        if location.module == module_name(location.path):
            module = load_module(location.path)
        else:
            with user_errors(Path(location.path)):
                module = importlib.import_module(location.module)
    found = resolve(module, location.qualname)
    if not (isinstance(found, type) and issubclass(found, Trainer)):
        raise StudyError(f"{location.path} has no trainer class {location.qualname}: was it renamed or removed?")
    return found


def importing_for_trainer() -> bool:
    """Whether a trainer process is importing a study's file right now: nobody may start a study then."""
    return imports_for_trainer > 0


@contextmanager
def marked_as_import() -> Iterator[None]:
    """The time in which `importing_for_trainer` is true."""
    global imports_for_trainer
    imports_for_trainer += 1
    try:
        yield
    finally:
        imports_for_trainer -= 1


def resolve(module: ModuleType, qualname: str) -> object:
    """What stands under a dotted name; None if nothing does."""
    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def put_first(folders: tuple[str, ...] | list[str]) -> None:
    """Bring folders to the front of `sys.path`, in their order."""
    sys.path[:] = [*folders, *(entry for entry in sys.path if entry not in folders)]
    importlib.invalidate_caches()  # files may be younger than what Python remembers of their folder


def local_folders() -> tuple[str, ...]:
    """The folders on `sys.path` that a new Python would not have by itself."""
    folders = (os.path.realpath(entry or os.curdir) for entry in sys.path)
    return tuple(
        dict.fromkeys(folder for folder in folders if os.path.isdir(folder) and not in_library(folder + os.sep))
    )


def is_local(file: Path | str) -> bool:
    """Whether a file is the user's: not in the standard library, not among installed packages, no part of hive."""
    real = os.path.realpath(file)
    return not in_library(real) and not real.startswith(HIVE_FOLDER)


def in_library(path: str) -> bool:
    """Whether a path lies in the standard library or where packages are installed."""
    return path.startswith(LIBRARY_FOLDERS) or any(
        part in ("site-packages", "dist-packages") for part in path.split(os.sep)
    )


def same_file(one: Path | str, other: Path | str) -> bool:
    """Whether two paths are one file."""
    return os.path.realpath(one) == os.path.realpath(other)


@contextmanager
def user_errors(file: Path) -> Iterator[None]:
    """Turn what the user's code raises while it is imported into one clear error."""
    try:
        yield
    except UsageError as error:
        raise placed(error, file) from error
    except (Exception, SystemExit) as error:
        raise TrainingError(user_traceback(error)) from error


def placed(error: UsageError, file: Path) -> UsageError:
    """The same error with the place in FILE that led to it, the innermost one, in front."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if same_file(frame.filename, file)]
    kind = type(error) if type(error).__name__ in hive.errors.__all__ else UsageError
    return kind(f"{file}, line {lines[-1]}: {error}" if lines else f"{file}: {error}")
