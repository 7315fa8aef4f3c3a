"""A fingerprint changes with the code that a trainer can reach, and with nothing else; it says which part changed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hive.errors import StudyError
from hive.training import source
from hive.training.fingerprint import Fingerprint, changed, fingerprint
from hive.training.syntax import canonical

ROOT = Path(__file__).resolve().parents[2]
Files = dict[str, str]
Reader = Callable[[Files], Fingerprint]

STUDY = '''"""A study."""
import math, json
import numpy as np
from hive.training.trainer import Trainer

TABLE = {"a": 1}
OTHER = {"b": 2}
scale = 3

class Base(Trainer):
    """What all have."""
    def evaluate(self):
        return {"loss": math.sqrt(scale)}

def augment(x):
    """Makes more."""
    return inner(x) + TABLE["a"]

def inner(x):
    return x * 2

def unreached(x):
    return json.dumps(OTHER)

class Net(Base):
    def train(self):
        lrs = augment(1)  # a local name that the module has too
        return {"lr": np.sum(lrs)}

lrs = [0.1, 0.2]
space = {"lr": [np.exp(lr) for lr in lrs]}
study = ("digits", Net)
tuner = unreached

if __name__ == "__main__":
    print(study, space, tuner)
'''


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Reader]:
    """Writes files, imports net.py anew, and takes the fingerprint of its class Net."""
    names, folders = set(sys.modules), list(sys.path)

    def purge() -> None:
        sys.path[:] = folders
        for name in set(sys.modules) - names:
            if not name.startswith(("numpy", "hive")):
                del sys.modules[name]

    def read(files: Files) -> Fingerprint:
        purge()
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        # Not by import: compiled helpers of this second would hide an edit.
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            return fingerprint(source.load_module(tmp_path / "net.py").Net)
        finally:
            sys.dont_write_bytecode = before

    yield read
    purge()


def edited(read: Reader, old: Files, new: Files) -> list[str]:
    """The parts that an edit changes, after both digests have been held against them."""
    before, after = read(old), read(old | new)
    parts = changed(before.parts, after.parts)
    assert (before.digest != after.digest) == bool(parts)
    return parts


def test_parts_are_the_names_that_the_class_reaches(read: Reader) -> None:
    found = read({"net.py": STUDY})
    assert list(found.parts) == [
        f"net.{name}" for name in ("Base", "Net", "TABLE", "Trainer", "augment", "inner", "math", "np", "scale")
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def inner(x):\n", "# A comment.\n\n\ndef inner( x ) :\n\n"),
        ('"""Makes more."""', '"""Makes much more."""'),
        ('    """What all have."""\n', ""),
        ('"""A study."""', '"""Another text."""'),
        ("[0.1, 0.2]", "[0.1, 0.2, 0.3]"),
        ("np.exp(lr) for", "np.log(lr) for"),
        ('("digits", Net)', '("letters", Net, augment)'),
        ("tuner = unreached", "tuner = [unreached, Net]\ntuner.append(3)"),
        ("return json.dumps(OTHER)", "return None"),
        ('OTHER = {"b": 2}', 'OTHER = {"b": 3}\nOTHER["c"] = 1'),
        ("    print(study, space, tuner)", "    TABLE['a'] = 5\n    np.random.seed(1)"),
        ("import math, json", "import math\nimport os, json"),
        ("tuner = unreached", "tuner = unreached\nprint(TABLE, augment(2))"),
        ("space = {", "space = {'n': len(TABLE.items()), "),
        ("tuner = unreached", "tuner = unreached\nfor key in TABLE:\n    tuner = key"),
        ("tuner = unreached", "tuner = unreached\nif TABLE:\n    study = 5"),
        ("tuner = unreached", "tuner = unreached\nassert TABLE"),
        ("tuner = unreached", "tuner = unreached\nTrainer.__subclasses__()"),
        ("tuner = unreached", "def tuner(TABLE):\n    TABLE['a'] = 3\n\ntuner({})"),
    ],
)
def test_edit_out_of_the_trainers_reach_changes_nothing(read: Reader, old: str, new: str) -> None:
    assert old in STUDY
    assert edited(read, {"net.py": STUDY}, {"net.py": STUDY.replace(old, new, 1)}) == []


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('return {"lr"', 'return {"rate"', ["net.Net"]),
        ("math.sqrt(scale)", "math.exp(scale)", ["net.Base"]),
        ("x * 2", "x * 2.0", ["net.inner"]),
        ("scale = 3", "scale = True + 2", ["net.scale"]),
        ("def inner(x)", "def inner(x, y=1)", ["net.inner"]),
        ("import numpy as np", "import math as np", ["net.np"]),
        ("import numpy as np", "try:\n    import numpy as np\nexcept ImportError:\n    np = None", ["net.np"]),
        ("x * 2", "x * len(OTHER)", ["net.OTHER", "net.inner"]),
        ("return inner(x) + ", "return ", ["net.augment", "net.inner"]),
        ("class Net(Base):", "@(lambda cls: cls)\nclass Net(Base):", ["net.Net"]),
        ("tuner = unreached", "TABLE['a'] = 5", ["net.TABLE"]),
        ("tuner = unreached", "TABLE.update(a=5)", ["net.TABLE"]),
        ("tuner = unreached", "del TABLE['a']", ["net.TABLE"]),
        ("tuner = unreached", "TABLE |= {'a': 5}", ["net.TABLE"]),
        ("tuner = unreached", "tuner = TABLE.pop('a')", ["net.TABLE"]),
        ("tuner = unreached", "np.random.seed(0)", ["net.np"]),
        ("tuner = unreached", "_ = np.random.seed(0)", ["net.np"]),
        ("tuner = unreached", "from numpy import random\nrandom.seed(0)", ["net.random"]),
        ("tuner = unreached", "Net.extra = OTHER", ["net.Net", "net.OTHER"]),
        ("tuner = unreached", "setattr(Net, 'extra', 1)", ["net.Net"]),
        ("tuner = unreached", "if json:\n    scale = 4", ["net.json", "net.scale"]),
        ("tuner = unreached", "for scale in lrs: pass", ["net.lrs", "net.scale"]),
        ("tuner = unreached", "with open('/dev/null') as scale: pass", ["net.scale"]),
        ("tuner = unreached", "try:\n    TABLE['a'] = 5\nexcept KeyError: pass", ["net.TABLE"]),
        ("tuner = unreached", "for tuner in TABLE.keys():\n    TABLE[tuner] = 5", ["net.TABLE", "net.tuner"]),
        ("tuner = unreached", "def tuner():\n    TABLE['a'] = 5\n\ntuner()", ["net.TABLE", "net.tuner"]),
        ("tuner = unreached", "def tuner():\n    TABLE['a'] = 5\n\nx = tuner()", ["net.TABLE", "net.tuner"]),
        (
            "tuner = unreached",
            "def tuner():\n    global scale\n    scale = 5\ndef go():\n    return tuner()\n\ngo()",
            ["net.go", "net.scale", "net.tuner"],
        ),
    ],
)
def test_edit_within_the_trainers_reach_changes_the_parts_it_touches(
    read: Reader, old: str, new: str, parts: list[str]
) -> None:
    assert old in STUDY
    assert edited(read, {"net.py": STUDY}, {"net.py": STUDY.replace(old, new, 1)}) == parts


def test_loop_that_changes_what_a_reached_name_holds_counts(read: Reader) -> None:
    old = STUDY.replace('TABLE["a"]', "len(LAYERS)").replace("scale = 3", "scale = 3\nLAYERS = [{}, {}]\n")
    new = old.replace("tuner = unreached", "for layer in LAYERS:\n    layer['on'] = True")
    assert edited(read, {"net.py": old}, {"net.py": new}) == ["net.LAYERS", "net.layer"]


def test_edit_of_the_guards_else_counts_as_it_runs_on_import(read: Reader) -> None:
    assert edited(read, {"net.py": STUDY}, {"net.py": STUDY + "else:\n    scale = 4\n"}) == ["net.scale"]
    turned = STUDY.replace('if __name__ == "__main__":', "if '__main__' == __name__:")
    assert edited(read, {"net.py": STUDY}, {"net.py": turned}) == []


def test_name_that_is_mentioned_in_annotations_is_reached(read: Reader) -> None:
    text = "from __future__ import annotations\n" + STUDY.replace("def inner(x)", "def inner(x: Kind)")
    text = text.replace("scale = 3", "class Kind: size = 1\nscale = 3")
    assert edited(read, {"net.py": text}, {"net.py": text.replace("size = 1", "size = 2")}) == ["net.Kind"]


def test_class_that_stands_in_another_is_covered_with_it(read: Reader) -> None:
    text = (
        STUDY
        + "\n\nclass Outer:\n    size = 1\n    class Net(Base):\n        def train(self): ...\n\nNet = Outer.Net\n"
    )
    assert edited(read, {"net.py": text}, {"net.py": text.replace("size = 1", "size = 2")}) == ["net.Outer"]


# Local modules

NET = textwrap.dedent(
    """
    from hive.training.trainer import Trainer
    from helpers import grow
    from space_parts import choices

    class Net(Trainer):
        def train(self):
            import late.deep as deep
            return {"loss": grow(deep.VALUE)}
        def evaluate(self): return {}

    space = choices()
    if __name__ == "__main__":
        print(space)
    """
)

HELPER = textwrap.dedent(
    """
    '''Helpers.'''
    from tables import *
    import base_helpers as base

    def grow(x):
        '''Grows.'''
        return x + base.ONE

    def unused(): ...
    if __name__ == "__main__":
        print(grow(1))
    """
)

HELPERS: Files = {
    "net.py": NET,
    "helpers.py": HELPER,
    "tables.py": "TABLE = [1]\n",
    "base_helpers.py": "ONE = 1\n",
    "late/__init__.py": "from .side import SIDE\n",
    "late/side.py": "SIDE = 1\n",
    "late/deep.py": "from . import cousin\nfrom .. import nothing_up_there\nVALUE = cousin.VALUE\n",
    "late/cousin.py": "VALUE = 1\n",
    "late/stranger.py": "VALUE = 1\n",
    "space_parts.py": "def choices(): return [1]\n",
}


def test_local_modules_are_covered_with_those_that_they_import(read: Reader) -> None:
    found = read(HELPERS)
    modules = [name for name in found.parts if not name.startswith("net.")]
    assert modules == ["base_helpers", "helpers", "late", "late.cousin", "late.deep", "late.side", "tables"]


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        ("helpers.py", "x + base.ONE", "x - base.ONE", ["helpers"]),
        ("helpers.py", "def unused(): ...", "def unused(): return 1", ["helpers"]),
        ("helpers.py", "'''Grows.'''", "'''Shrinks.'''", []),
        ("helpers.py", "'''Helpers.'''", "# Helpers.", []),
        ("helpers.py", "print(grow(1))", "print(grow(2))", []),
        ("tables.py", "[1]", "[2]", ["tables"]),
        ("base_helpers.py", "ONE = 1", "ONE = 2", ["base_helpers"]),
        ("late/side.py", "SIDE = 1", "SIDE = 2", ["late.side"]),
        ("late/deep.py", "VALUE = cousin", "VALUE = 1 and cousin", ["late.deep"]),
        ("late/cousin.py", "1", "2", ["late.cousin"]),
        ("late/stranger.py", "1", "2", []),
        ("space_parts.py", "[1]", "[2]", []),
        ("net.py", "space = choices()", "space = choices()\nchoices.x = 1", ["net.choices", "space_parts"]),
        ("net.py", "space = choices()", "choices()\nspace = 1", ["net.choices", "space_parts"]),
        (
            "net.py",
            "space = choices()",
            "if 1:\n    choices()\nspace = 1",
            ["net.choices", "space_parts"],
        ),
        ("net.py", "print(space)", "choices(); print(space)", []),
        ("net.py", "space = choices()", "space = choices()\nimport late.stranger", ["late.stranger", "net.late"]),
        ("net.py", "from helpers import grow", "from helpers import grow, unused", []),
        ("net.py", "from helpers import grow", "from helpers import *", ["net.*", "net.grow"]),
        ("net.py", "space = choices()", "space = choices()\nfrom late.stranger import VALUE", []),
    ],
)
def test_edit_of_local_modules_changes_those_parts(
    read: Reader, file: str, old: str, new: str, parts: list[str]
) -> None:
    assert old in HELPERS[file]
    assert edited(read, HELPERS, {file: HELPERS[file].replace(old, new, 1)}) == parts


def test_local_module_that_imports_the_trainers_own_reaches_those_names(read: Reader) -> None:
    files = HELPERS | {
        "net.py": "SETTING = 1\nspace = 2\n" + NET.replace("space = choices()", "choices"),
        "base_helpers.py": "def late():\n    from net import SETTING\nONE = 1\n",
    }
    assert edited(read, files, {"net.py": files["net.py"].replace("SETTING = 1", "SETTING = 3")}) == ["net.SETTING"]
    assert edited(read, files, {"net.py": files["net.py"].replace("space = 2", "space = 3")}) == []
    whole = files | {"base_helpers.py": "def late():\n    import net\nONE = 1\n"}
    assert edited(read, whole, {"net.py": whole["net.py"].replace("space = 2", "space = 3")}) == ["net.space"]


def test_local_modules_that_import_each_other_are_covered_once(read: Reader) -> None:
    files = HELPERS | {"base_helpers.py": "import helpers\nONE = 1\n"}
    assert {"helpers", "base_helpers"} <= read(files).parts.keys()


def test_library_counts_by_its_import_only(read: Reader) -> None:
    parts = read({"net.py": STUDY}).parts
    assert not [name for name in parts if name.partition(".")[0] in ("numpy", "math", "hive")]


def test_packages_around_a_module_are_covered_as_importing_it_runs_them(read: Reader) -> None:
    files = HELPERS | {
        "net.py": NET.replace("late.deep", "far.away.leaf"),
        "far/__init__.py": "",
        "far/away/__init__.py": "import base_helpers\nbase_helpers.ONE = 2\n",
        "far/away/leaf.py": "VALUE = 1\n",
    }
    assert edited(read, files, {"far/away/__init__.py": ""}) == ["far.away"]


def test_folder_without_init_is_looked_through(read: Reader) -> None:
    files = HELPERS | {
        "net.py": NET.replace("late.deep", "spacious.inside"),
        "spacious/inside.py": "VALUE = 1",
    }
    assert "spacious.inside" in read(files).parts


# The whole


def test_fingerprint_is_the_same_in_every_process_and_for_the_program_itself(read: Reader, tmp_path: Path) -> None:
    show = "    from hive.training.fingerprint import fingerprint\n    import json\n"
    here = read(HELPERS | {"net.py": NET + show + "    print(json.dumps(fingerprint(Net).parts))\n"})
    for seed in ("1", "2"):
        environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-B", str(tmp_path / "net.py")]
        done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout.splitlines()[-1]) == here.parts


def test_digest_differs_when_a_part_is_renamed(read: Reader) -> None:
    new = STUDY.replace("inner", "outer")
    assert edited(read, {"net.py": STUDY}, {"net.py": new}) == ["net.augment", "net.inner", "net.outer"]


def test_changed_names_what_differs_came_and_went() -> None:
    assert changed({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == ["a", "b", "d"]


def test_class_without_source_is_refused() -> None:
    names: dict[str, object] = {"__name__": "nowhere"}
    exec(STUDY, names)
    with pytest.raises(StudyError, match="put it in a file"):
        fingerprint(names["Net"])  # type: ignore[arg-type]


def test_class_that_no_class_statement_made_is_refused(read: Reader) -> None:
    text = STUDY.replace("class Net(Base):", "class Hidden(Base):").replace("study =", "study = 1 #")
    made = "globals()['Net'] = type('Net', (Hidden,), {'__module__': __name__})\n"
    with pytest.raises(StudyError, match="write it as a class statement"):
        read({"net.py": text + made})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 1", "x=1  # one", True),
        ("x = 1", "x = 1.0", False),
        ("x = 1", "x = True", False),
        ("x = 'a'", 'x = "a"', True),
        ("x = 'a'", "x = b'a'", False),
        ("x = None", "x = ...", False),
        ("f(a, b)", "f(\n    a,\n    b,\n)", True),
        ("f(a, b)", "f(b, a)", False),
        ("f(*a)", "f(a)", False),
        ("{**a, None: 1}", "{None: 1, **a}", False),
        ("def f(): 'doc'; return 1", "def f(): return 1", True),
        ("def f(): 1; 'no doc'", "def f(): 1", False),
        ("async def f(): pass", "def f(): pass", False),
        ("lambda: 1", "lambda: 2", False),
        ("x[1:]", "x[:1]", False),
    ],
)
def test_canonical_texts_are_equal_where_python_runs_the_same(one: str, other: str, same: bool) -> None:
    assert (canonical(ast.parse(one)) == canonical(ast.parse(other))) == same
