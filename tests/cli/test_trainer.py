"""Where a trainer's process looks for a study's code on its machine."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hive.cli.trainer import location_here
from hive.simulation.clients import SOURCE
from hive.training.source import TrainerLocation

FILE = msgspec.structs.replace(SOURCE, path="/home/ada/study.py", module="study", search=("/home/ada",))
MODULE = msgspec.structs.replace(SOURCE, path="/home/ada/vision/nets.py", module="vision.nets", search=("/home/ada",))


def test_trainer_looks_where_the_study_says_unless_its_worker_names_a_folder(tmp_path: Path) -> None:
    said = TrainerLocation("/home/ada/study.py", "study", SOURCE.qualname, ("/home/ada",))
    assert location_here(FILE, "") == said
    assert location_here(FILE, str(tmp_path)) == said, "there is no such file in the folder"
    (tmp_path / "study.py").touch()
    here = location_here(FILE, str(tmp_path))
    assert (here.path, here.search) == (str(tmp_path / "study.py"), (str(tmp_path), "/home/ada"))


def test_trainer_finds_a_module_of_a_package_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision" / "nets.py").touch()
    here = location_here(MODULE, str(tmp_path))
    assert (here.path, here.module) == (str(tmp_path / "vision" / "nets.py"), "vision.nets")
