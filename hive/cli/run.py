"""`hive run FILE`: what `python FILE` does, with options. It must not know how a study is run.

The file is executed as `__main__`, so its own `if __name__ == "__main__":` part decides. If it runs no study itself,
its `study` is run with its `tuner`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hive import study as studies
from hive.actors.keys import named_folder
from hive.errors import HiveError, StudyError, TrainingError, UsageError
from hive.launch import RunOptions
from hive.training.source import placed
from hive.training.tracebacks import user_traceback

__all__ = ["execute", "main", "named"]


def main(
    file: Path,
    trainers: int | None,
    root: Path,
    url: str | None,
    keys: Path | None,
    inline: bool,
    merge: bool,
    fresh: bool,
    json_path: Path | None,
) -> int:
    """Run the study; 0 if some trial completed and no training code failed, else 1."""
    if json_path is not None and (json_path.is_dir() or not os.access(json_path.absolute().parent, os.W_OK)):
        raise StudyError(f"cannot write a summary to {json_path} (--json): name a file in a folder that can be written")
    if keys is not None and url is None:
        raise StudyError(f"{keys} (--keys) is of no use without --url: processes of this run's own have no keys")
    studies.run_options = RunOptions(trainers, root, url, named_folder(keys), inline, merge, fresh, json_path)
    module = execute(file)
    if not studies.results:
        study, tuner = named(module, file, "study", studies.Study), named(module, file, "tuner", object)
        with told_of(file):
            study.run(tuner)
    return 0 if all(result.succeeded for result in studies.results) else 1


def execute(file: Path) -> ModuleType:
    """Execute a file as `__main__`, as Python would.

    Raises:
        StudyError: there is no such file, or it is no Python.
        TrainingError: it raised; the message is its own traceback.
        HiveError: what it did with hive was wrong, with the line that did it, or the run could not go on.
    """
    try:
        code = compile(file.read_bytes(), file.resolve(), "exec")
    except OSError as error:
        raise StudyError(f"cannot read {file}: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        raise StudyError(f"{file} is no Python:\n{user_traceback(error)}") from error
    module = ModuleType("__main__")
    module.__file__ = str(file.resolve())
    sys.modules["__main__"] = module
    sys.argv[:] = [str(file)]
    sys.path.insert(0, str(file.resolve().parent))
    with told_of(file):
        exec(code, module.__dict__)
    return module


@contextmanager
def told_of(file: Path) -> Iterator[None]:
    """Turn what a file's code raises into one clear error. If it exits because it is through, it has ended."""
    try:
        yield
    except UsageError as error:
        raise placed(error, file.resolve()) from error
    except HiveError:
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(error, SystemExit) or error.code not in (None, 0):
            raise TrainingError(f"{file} failed:\n{user_traceback(error)}") from error


def named(module: ModuleType, file: Path, name: str, kind: type[Any]) -> Any:
    """What a file calls `name`.

    Raises:
        StudyError: it has no such name, or it is something else.
    """
    found = getattr(module, name, None)
    if found is None or not isinstance(found, kind):
        had = "defines no" if found is None else f"has a {type(found).__name__} for its"
        raise StudyError(
            f"{file} {had} `{name}`: write `study = hive.Study(...)` and `tuner = ...` at the top of the file"
        )
    return found
