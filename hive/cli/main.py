"""`hive`: reads the command line and calls the command. It must not know what the commands do.

Exit codes: 0 it worked; 1 training code failed, or nothing completed; 2 what was asked is wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hive.errors import HiveError, TrainingError

__all__ = ["main"]

NUMBER_MAX = 1e12
"""Of what a step takes or a device costs: sums of anything larger would be no numbers any more."""

SEEDS_MAX = 1_000_000
"""A day's work."""

Commands = Any
"""What `add_subparsers` returns, which argparse does not name."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="hive", description="Hyper-parameter search that trains shared beginnings once.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_run(commands)
    add_looks(commands)
    add_simulate(commands)
    add_orders(commands)

    check = commands.add_parser("check", help="does your trainer give the same bits whichever way hive trains it?")
    check.add_argument("file", type=Path, metavar="FILE", help="Python file that defines `study` and `tuner`")
    check.add_argument("--json", action="store_true", help="as JSON")

    keys = commands.add_parser("keys", help="make the keys that a coordinator on other machines' network asks for")
    keys.add_argument("folder", type=Path, metavar="DIR", help="where: a folder for the coordinator, one for each NAME")
    keys.add_argument("names", nargs="*", metavar="NAME", help="a machine or a person that is let in (client)")
    return top


def add_run(commands: Commands) -> None:
    """What trains."""
    run = commands.add_parser("run", help="run the study that a file defines")
    run.add_argument("file", type=Path, metavar="FILE", help="Python file that defines `study` and `tuner`")
    run.add_argument(
        "--trainers", type=positive, metavar="N", help="local trainers (default: one a GPU, else by cores)"
    )
    run.add_argument("--root", type=Path, default=Path(".hive"), metavar="DIR", help="where results are kept (.hive)")
    where = run.add_mutually_exclusive_group()
    where.add_argument(
        "--url", metavar="URL", help="a coordinator that runs already, in place of a root of this run's own"
    )
    where.add_argument("--inline", action="store_true", help="everything in this process, for debuggers")
    add_keys(run)
    run.add_argument(
        "--no-merge", dest="merge", action="store_false", help="train every trial apart, in a plan of its own"
    )
    run.add_argument("--fresh", action="store_true", help="begin a new plan; the old one is left as it is")
    run.add_argument("--json", type=Path, metavar="OUT", dest="json_path", help="write a summary here")


def add_simulate(commands: Commands) -> None:
    """What trains nothing, and says what training would take."""
    simulate = commands.add_parser("simulate", help="what searches take, with sharing and without, in virtual time")
    simulate.add_argument(
        "what",
        metavar="FILE | paper | faults",
        help="a study file, or spaces as JSON; `paper`: the studies of the Hippo paper on 40 devices; `faults`: what "
        "hive promises, in runs in which everything goes wrong",
    )
    which = simulate.add_mutually_exclusive_group()
    which.add_argument("--space", metavar="NAME", help="one of the JSON file's spaces")
    which.add_argument("--set", dest="set_name", metavar="NAME", help="one of its sets: a study for each of its spaces")
    simulate.add_argument("--devices", type=positive, metavar="N", help="how many train at once (8)")
    simulate.add_argument("--tuner", choices=("grid", "sha", "asha"), help="what searches (the file's; grid for JSON)")
    cost = simulate.add_mutually_exclusive_group()
    cost.add_argument("--seconds-per-step", type=above_zero, metavar="X", help="what a step takes (1)")
    cost.add_argument("--from", dest="root", type=Path, metavar="ROOT", help="what steps and checkpoints took there")
    simulate.add_argument("--price", type=above_zero, metavar="P", help="of a device for an hour")
    simulate.add_argument("--plot", type=Path, metavar="OUT", help="draw what each device does when: .png, .svg, .pdf")
    simulate.add_argument("--seeds", type=seeds, metavar="A-B", help="of `faults`: which runs (0-99)")
    simulate.add_argument(
        "--whole-paths", action="store_true", default=None, help="hand out whole critical paths, as the paper does"
    )
    simulate.add_argument("--json", action="store_true", help="as JSON")


def add_looks(commands: Commands) -> None:
    """What looks, and changes nothing."""
    plan = commands.add_parser("plan", help="what a search would train, and what sharing would save")
    plan.add_argument("file", type=Path, metavar="FILE.json", help="a space, or spaces and sets of them, as JSON")
    which = plan.add_mutually_exclusive_group()
    which.add_argument("--space", metavar="NAME", help="one of the file's spaces")
    which.add_argument("--set", dest="set_name", metavar="NAME", help="one of its sets: several spaces on one plan")
    plan.add_argument("--json", action="store_true", help="the figures alone, as JSON")

    status = commands.add_parser("status", help="how things stand in a root, live or stopped")
    add_place(status)
    status.add_argument("--json", action="store_true", help="as JSON")

    trace = commands.add_parser("trace", help="do the actors of a trace (HIVE_TRACE), made anew, want the same again?")
    trace.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="a trace, or a folder of traces")
    trace.add_argument("--json", action="store_true", help="as JSON")

    tree = commands.add_parser(
        "tree", help="the stage trees of a root's plans: what is trained, saved and awaited where"
    )
    add_place(tree)


def add_orders(commands: Commands) -> None:
    """What changes how things go on."""
    studies = commands.add_parser("studies", help="the studies of a coordinator that runs; pause, resume, cancel one")
    studies.add_argument(
        "action", nargs="?", choices=("pause", "resume", "cancel"), metavar="ACTION", help="what to do"
    )
    studies.add_argument("name", nargs="?", metavar="NAME", help="a study, or one of its runs")
    add_place(studies)
    studies.add_argument("--json", action="store_true", help="as JSON")

    pins = commands.add_parser("pins", help="the states whose checkpoints are kept for good; pin one, or let it go")
    pins.add_argument("action", nargs="?", choices=("add", "remove"), metavar="ACTION", help="add or remove")
    pins.add_argument("digest", nargs="?", metavar="DIGEST", help="a state's digest, or how it begins")
    add_place(pins)
    pins.add_argument("--json", action="store_true", help="as JSON")

    gc = commands.add_parser("gc", help="delete checkpoints: those of no use, or down to so many bytes")
    gc.add_argument("--to", type=positive, metavar="BYTES", help="also those of use, the cheapest to train again first")
    gc.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    add_place(gc)
    gc.add_argument("--json", action="store_true", help="as JSON")


def add_keys(command: argparse.ArgumentParser) -> None:
    """The flag of those commands that speak with a coordinator."""
    command.add_argument(
        "--keys", type=Path, metavar="DIR", help="a folder that `hive keys` made, if the coordinator asks for keys"
    )


def add_place(command: argparse.ArgumentParser) -> None:
    """A command about a root, or about a coordinator that runs."""
    place = command.add_mutually_exclusive_group()
    place.add_argument("--root", type=Path, default=Path(".hive"), metavar="DIR", help="the root (.hive)")
    place.add_argument("--url", metavar="URL", help="a coordinator that runs")
    add_keys(command)


def positive(word: str) -> int:
    """A whole number from 1."""
    number = int(word) if word.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number from 1")
    return number


def seeds(word: str) -> range:
    """The whole numbers from A to B."""
    first, dash, last = word.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"{word!r} is no A-B of whole numbers, such as 0-99")
    if int(last) - int(first) >= SEEDS_MAX:
        raise argparse.ArgumentTypeError(f"{word!r} is more than {SEEDS_MAX:,} seeds")
    return range(int(first), int(last) + 1)


def above_zero(word: str) -> float:
    """A number above 0."""
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number <= NUMBER_MAX:
        raise argparse.ArgumentTypeError(f"{word!r} is no number above 0, up to {NUMBER_MAX:g}")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = vars(parser().parse_args(argv))
    name = arguments.pop("command")
    try:
        code = int(import_module(f"hive.cli.{name}").main(**arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return 1
    except HiveError as error:
        print(f"hive: {error}", file=sys.stderr)
        return 1 if isinstance(error, TrainingError) else 2
    except KeyboardInterrupt:
        kept = "; what was trained is kept, and the same command goes on from there" if name == "run" else ""
        print(f"hive: stopped{kept}", file=sys.stderr)
        return 130
