"""A study's file is the same module to the user and to a trainer, and what is wrong with it is said plainly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hive.errors import SequenceError, StudyError, TrainingError
from hive.training.source import (
    TrainerLocation,
    find_trainer,
    importing_for_trainer,
    is_local,
    load_module,
    trainer_location,
)
from hive.training.tracebacks import user_traceback
from hive.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]

STUDY = """
from hive.training.trainer import Trainer

class Net(Trainer):
    def train(self): ...
    def evaluate(self): return {"loss": 0.0}

    class Inner(Trainer):
        def train(self): ...
        def evaluate(self): return {}
"""

PRINT_LOCATION = """
if __name__ == "__main__":
    import json
    from dataclasses import asdict
    from hive.training.source import trainer_location
    print(json.dumps(asdict(trainer_location(Net))))
"""


@pytest.fixture(autouse=True)
def modules_and_paths_put_back() -> Iterator[None]:
    names, folders = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = folders
    for name in set(sys.modules) - names:
        del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def attribute(path: Path, name: str) -> Any:
    return getattr(load_module(path), name)


def run_python(*arguments: str | Path, cwd: Path) -> str:
    command = [sys.executable, *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout


def test_file_becomes_the_module_of_its_name_and_is_run_once(tmp_path: Path) -> None:
    path = write(tmp_path / "my_net.py", STUDY)
    module = load_module(path)
    assert module.__name__ == "my_net"
    assert sys.modules["my_net"] is module
    assert load_module(str(path)) is module


def test_file_finds_its_neighbours_first_and_itself_while_it_runs(tmp_path: Path) -> None:
    write(tmp_path / "neighbour.py", "VALUE = 7\n")
    write(tmp_path / "elsewhere" / "neighbour.py", "VALUE = 8\n")
    sys.path.insert(0, str(tmp_path / "elsewhere"))
    path = write(tmp_path / "my_net.py", "import sys\nfrom neighbour import VALUE\nME = sys.modules[__name__]\n")
    assert attribute(path, "VALUE") == 7
    assert attribute(path, "ME") is load_module(path)
    assert sys.path[0] == str(tmp_path)


def test_file_is_read_anew_even_when_it_was_changed_within_a_second_to_the_same_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = write(tmp_path / "my_net.py", "VALUE = 1\n")
    assert attribute(path, "VALUE") == 1
    stat = path.stat()
    del sys.modules["my_net"]
    write(path, "VALUE = 2\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert attribute(path, "VALUE") == 2


@pytest.mark.parametrize(("file", "name"), [("my-net.py", "my-net"), ("2nd.py", "2nd"), ("net.v2.py", "net_v2")])
def test_name_that_no_import_could_write_is_taken_as_it_is(tmp_path: Path, file: str, name: str) -> None:
    path = write(tmp_path / file, STUDY)
    location = trainer_location(attribute(path, "Net"))
    assert location.module == name
    assert find_trainer(location) is attribute(path, "Net")


@pytest.mark.parametrize("name", ["random.py", "hive.py", "json.py"])
def test_file_with_the_name_of_a_module_of_pythons_or_hives_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, STUDY)
    with pytest.raises(StudyError, match=f"{path} has the name of .*give the file another name"):
        load_module(path)


def test_file_with_the_name_of_another_loaded_file_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "one" / "my_net.py", STUDY)
    second = write(tmp_path / "two" / "my_net.py", STUDY)
    load_module(first)
    with pytest.raises(StudyError, match=f"{second} would be the module 'my_net', which is loaded from {first}"):
        load_module(second)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"no file {tmp_path}/gone.py"):
        load_module(tmp_path / "gone.py")


def test_location_of_a_class_leads_back_to_it(tmp_path: Path) -> None:
    path = write(tmp_path / "my_net.py", STUDY)
    net = attribute(path, "Net")
    for trainer_class, qualname in ((net, "Net"), (net.Inner, "Net.Inner")):
        location = trainer_location(trainer_class)
        assert (location.path, location.module, location.qualname) == (str(path), "my_net", qualname)
        assert find_trainer(location) is trainer_class


def test_class_of_the_program_itself_is_known_by_its_files_name(tmp_path: Path) -> None:
    path = write(tmp_path / "my_net.py", STUDY + PRINT_LOCATION)
    data = json.loads(run_python(path.name, cwd=tmp_path))
    assert (data["path"], data["module"], data["qualname"]) == (str(path), "my_net", "Net")
    data["search"] = tuple(data["search"])
    found = find_trainer(TrainerLocation(**data))
    assert (found.__module__, found.__qualname__) == ("my_net", "Net")


def test_class_of_a_program_in_a_package_is_known_by_its_dotted_name(tmp_path: Path) -> None:
    write(tmp_path / "research" / "__init__.py", "")
    write(tmp_path / "research" / "helper.py", "VALUE = 7\n")
    path = write(tmp_path / "research" / "net.py", "from .helper import VALUE\n" + STUDY + PRINT_LOCATION)
    data = json.loads(run_python("-m", "research.net", cwd=tmp_path))
    assert (data["path"], data["module"]) == (str(path), "research.net")
    assert str(tmp_path) in data["search"]
    found = find_trainer(TrainerLocation(data["path"], data["module"], data["qualname"], tuple(data["search"])))
    assert found.__module__ == "research.net"


def test_search_holds_the_users_folders_only(tmp_path: Path) -> None:
    path = write(tmp_path / "my_net.py", STUDY)
    search = trainer_location(attribute(path, "Net")).search
    assert search[0] == str(tmp_path)
    assert not [folder for folder in search if "site-packages" in folder or folder.endswith("lib-dynload")]


def test_class_made_inside_a_function_is_refused(tmp_path: Path) -> None:
    text = STUDY + "def make():\n    class Hidden(Net): ...\n    return Hidden\nHidden = make()\n"
    path = write(tmp_path / "my_net.py", text)
    with pytest.raises(StudyError, match="Hidden is defined inside a function"):
        trainer_location(attribute(path, "Hidden"))


def test_class_that_is_in_no_file_is_refused() -> None:
    names: dict[str, Any] = {"__name__": "nowhere"}
    exec(STUDY, names)
    with pytest.raises(StudyError, match="Net cannot be read as source: put it in a file"):
        trainer_location(names["Net"])


def test_class_typed_at_a_prompt_is_refused(tmp_path: Path) -> None:
    program = STUDY + (
        "from hive.training.source import trainer_location\n"
        "try: trainer_location(Net)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    assert "StudyError trainer Net cannot be read as source" in run_python("-c", program, cwd=tmp_path)


def test_class_whose_name_stands_for_something_else_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "my_net.py", STUDY + "Kept = Net\nNet = None\n")
    with pytest.raises(StudyError, match="another Net than the trainer"):
        trainer_location(attribute(path, "Kept"))


@pytest.mark.parametrize("rest", ["", "Net = 5\n", "class Net: ...\n"])
def test_missing_trainer_class_is_named_with_its_file(tmp_path: Path, rest: str) -> None:
    path = write(tmp_path / "my_net.py", rest)
    with pytest.raises(StudyError, match=f"{path} has no trainer class Net"):
        find_trainer(TrainerLocation(str(path), "my_net", "Net"))


def test_error_while_importing_is_told_with_the_users_frames_only(tmp_path: Path) -> None:
    write(tmp_path / "deep_helper.py", "def divide():\n    return 1 / 0\n")
    path = write(tmp_path / "my_net.py", "import deep_helper\n\ndeep_helper.divide()\n")
    with pytest.raises(TrainingError) as caught:
        find_trainer(TrainerLocation(str(path), "my_net", "Net"))
    text = str(caught.value)
    assert text.startswith("Traceback (most recent call last):\n" + f'  File "{path}", line 3, in <module>')
    assert f'File "{tmp_path}/deep_helper.py", line 2, in divide' in text
    assert text.endswith("ZeroDivisionError: division by zero")
    assert text.count('  File "') == 2
    assert "my_net" not in sys.modules


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("import no_such_module_anywhere\n", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("def broken(:\n", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
def test_file_that_cannot_be_run_is_told_in_pythons_words(tmp_path: Path, text: str, end: str) -> None:
    path = write(tmp_path / "my_net.py", text)
    with pytest.raises(TrainingError) as caught:
        load_module(path)
    assert str(caught.value).endswith(end)
    assert str(path) in str(caught.value)


def test_dotted_module_that_cannot_be_imported_is_told_in_pythons_words(tmp_path: Path) -> None:
    path = write(tmp_path / "research" / "net.py", "1 / 0\n")
    with pytest.raises(TrainingError, match="ZeroDivisionError"):
        find_trainer(TrainerLocation(str(path), "research.net", "Net", (str(tmp_path),)))


def test_wrong_use_of_hive_in_a_file_keeps_its_kind_and_is_placed(tmp_path: Path) -> None:
    text = "from hive.errors import SequenceError\ndef make():\n    raise SequenceError('milestones')\n\nmake()\n"
    path = write(tmp_path / "my_net.py", text)
    with pytest.raises(SequenceError, match=f"{path}, line 3: milestones"):
        load_module(path)


def test_interrupt_while_importing_stays_an_interrupt(tmp_path: Path) -> None:
    path = write(tmp_path / "my_net.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_module(path)


def test_file_can_tell_that_a_trainer_is_importing_it(tmp_path: Path) -> None:
    text = STUDY + "from hive.training.source import importing_for_trainer\nSEEN = importing_for_trainer()\n"
    path = write(tmp_path / "my_net.py", text)
    assert attribute(path, "SEEN") is False
    del sys.modules["my_net"]
    find_trainer(TrainerLocation(str(path), "my_net", "Net"))
    assert attribute(path, "SEEN") is True
    assert not importing_for_trainer()


def test_no_trainer_is_importing_any_more_when_its_import_failed(tmp_path: Path) -> None:
    path = write(tmp_path / "my_net.py", "1 / 0\n")
    with pytest.raises(TrainingError):
        find_trainer(TrainerLocation(str(path), "my_net", "Net"))
    assert not importing_for_trainer()


def test_traceback_of_a_user_error_keeps_causes_and_groups_without_hives_frames(tmp_path: Path) -> None:
    text = """
    from hive.training.trainer import Trainer

    def fail():
        try:
            try:
                raise KeyError("first")
            except KeyError as error:
                raise ValueError("second") from error
        except ValueError as error:
            raise ExceptionGroup("third", [error])
    """
    fail = attribute(write(tmp_path / "my_net.py", text), "fail")
    try:
        fail()
    except ExceptionGroup as error:
        shown = user_traceback(error)
    assert all(word in shown for word in ("KeyError: 'first'", "ValueError: second", "ExceptionGroup: third"))
    with pytest.raises(TrainingError) as caught:
        load_module(write(tmp_path / "next_net.py", "from my_net import fail\nfail()\n"))
    assert "hive/training" not in str(caught.value)
    assert "importlib" not in str(caught.value)


def test_local_files_are_told_from_libraries_and_hive(tmp_path: Path) -> None:
    assert is_local(tmp_path / "helper.py")
    assert is_local(ROOT / "examples" / "digits.py")
    for module in (json, pytest, sys.modules[Trainer.__module__]):
        assert module.__file__ is not None
        assert not is_local(module.__file__)
