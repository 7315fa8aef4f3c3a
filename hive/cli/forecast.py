"""`hive simulate FILE`: what a search would take. It must not know how it is simulated.

FILE is a study file, or spaces as JSON (space_file.py), which are searched by the tuner that is named.
"""

from __future__ import annotations

import json as json_text
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

from hive.cli.run import named
from hive.cli.space_file import read_spaces
from hive.cli.status import reading, size
from hive.errors import StudyError
from hive.planner.estimates import Mean
from hive.planner.pieces import form_from_data
from hive.planner.space import Space, forms_key
from hive.simulation.forecast import Costs, Expected, Forecast, Search, forecast
from hive.storage.records import MeasuredRecord, NodeRecord, RunRecord, StandingRecord
from hive.storage.store import Store
from hive.tuners.asha import ASHA
from hive.tuners.grid import Grid
from hive.tuners.successive_halving import SuccessiveHalving
from hive.tuners.tuner import Tuner

__all__ = ["TUNERS", "main"]

REDUCTION = 4
"""Halving keeps one in so many on each of three rungs."""

DEVICES = 8
"""Unless it is said how many."""

DEVICES_MAX = 100_000
"""Beyond, a number is rather a slip; so many take about a minute."""

PICTURES = (".png", ".svg", ".pdf")
"""What `--plot` draws."""

TUNERS: dict[str, Callable[[Space], Tuner]] = {
    "grid": Grid,
    "sha": lambda space: SuccessiveHalving(space, first_rung(space), space.steps, REDUCTION),
    "asha": lambda space: ASHA(space, first_rung(space), space.steps, REDUCTION),
}
"""What `--tuner` names."""


def main(
    file: Path,
    space: str | None,
    set_name: str | None,
    devices: int | None,
    tuner: str | None,
    seconds_per_step: float | None,
    root: Path | None,
    price: float | None,
    plot: Path | None,
    whole_paths: bool | None,
    json: bool,
) -> int:
    """Simulate a file's search, and show what it takes.

    Raises:
        StudyError: the file, the root, or what is asked for is not what it should be.
        TrainingError: the file, or its tuner, failed.
    """
    if devices is not None and devices > DEVICES_MAX:
        raise StudyError(f"--devices {devices}: {DEVICES_MAX:,} are simulated at most")
    draw = None if plot is None else drawer(plot)
    with redirect_stdout(sys.stderr):  # what the file prints is no part of the answer
        search = searched(file, space, set_name, tuner)
        costs = Costs(price=price) if root is None else replace(measured(root, search.name), price=price)
        if seconds_per_step is not None:
            costs = replace(costs, seconds_per_step=seconds_per_step)
        found = forecast(search, devices or DEVICES, costs, whole_paths=bool(whole_paths))
    if draw is not None:
        draw(found)
    if json:
        print(json_text.dumps(found.to_json(), indent=1))
    else:
        show(found, assumed=seconds_per_step is None and root is None)
    return 0


def drawer(out: Path) -> Callable[[Forecast], None]:
    """What draws a picture there; whether it can is known before anything is simulated.

    Raises:
        StudyError: it has no name or place of its own, or matplotlib is not there.
    """
    if out.suffix.lower() not in PICTURES:
        raise StudyError(f"cannot draw to {out} (--plot): its name must end in {', '.join(PICTURES)}")
    if out.is_dir() or not os.access(out.absolute().parent, os.W_OK):
        raise StudyError(f"cannot draw to {out} (--plot): name a file in a folder that can be written")
    try:
        from hive.cli.gantt import draw
    except ImportError as error:
        raise StudyError("--plot needs matplotlib: pip install 'hive-stage[plot]'") from error
    return partial(draw, out=out)


def searched(file: Path, space: str | None, set_name: str | None, tuner: str | None) -> Search:
    """The search of a file.

    Raises:
        StudyError: it defines none, or a space is named that is none of a JSON file.
    """
    if file.suffix.lower() == ".json":
        return of_spaces(file, space, set_name, tuner or "grid")
    if space is not None or set_name is not None:
        raise StudyError(f"{file}: --space and --set are for a JSON file of spaces")
    return of_study(file, tuner)


def first_rung(space: Space) -> int:
    """The step of the first of the rungs."""
    return max(1, space.steps // REDUCTION**2)


def of_spaces(file: Path, space: str | None, set_name: str | None, tuner: str) -> Search:
    """A search of a file's spaces, a study each."""
    spaces = read_spaces(file, space, set_name)
    return Search(space or set_name or spaces[0].name or file.stem, [TUNERS[tuner](each) for each in spaces])


def of_study(file: Path, tuner: str | None) -> Search:
    """The search that a study file defines.

    Raises:
        StudyError: the file cannot be loaded, or defines none; or a tuner is named that cannot search its space.
    """
    from hive.study import Study  # these import what trains, which a space does without
    from hive.training.source import load_module, marked_as_import

    with marked_as_import():
        module = load_module(file)
    study, own = named(module, file, "study", Study), named(module, file, "tuner", object)
    if tuner is not None:
        space = getattr(own, "space", None)
        if not isinstance(space, Space):
            raise StudyError(f"{file}: --tuner {tuner} needs a space to search, and `tuner` has none")
        own = TUNERS[tuner](space)
    return Search(study.name, [own], study.metric, study.mode, study.checkpoint_every_s)


def measured(root: Path, study: str) -> Costs:
    """What steps and checkpoints took and were in a root: on the plans of this study, if it was run there, else on all.

    Raises:
        StudyError: nothing was measured there.
    """
    with reading(root, "--from") as store:
        runs = list(store.scan(RunRecord))
        own = {run.plan for run in runs if run.study == study} or {run.plan for run in runs}
        times = [record for plan in sorted(own) for record in store.scan(MeasuredRecord, (plan,))]
        standings = (record for plan in sorted(own) for record in store.scan(StandingRecord, (plan,)))
        sizes = [record.checkpoint.bytes for record in standings if record.checkpoint is not None]
        by_forms = means((forms_of(store, each), each) for each in times if each.what == "step")
    mean = means((each.what, each) for each in times)
    if "step" not in mean:
        raise StudyError(f"no step was measured in {root} yet: say what a step takes, with --seconds-per-step")
    return Costs(
        seconds_per_step=mean["step"],
        measured=by_forms,
        load_s=mean.get("load", 0.0),
        save_s=mean.get("save", 0.0),
        evaluate_s=mean.get("evaluate", 0.0),
        checkpoint_bytes=round(sum(sizes) / len(sizes)) if sizes else 0,
    )


def forms_of(store: Store, measured: MeasuredRecord) -> str:
    """The key of the forms under which steps were measured."""
    node = store.get(NodeRecord, (measured.plan, measured.node))
    assert node is not None, "what is measured is a node of its plan"
    return forms_key({name: form_from_data(data) for name, data in node.forms.items()})


def means(measured: Iterable[tuple[str, MeasuredRecord]]) -> dict[str, float]:
    """Seconds of one step, load or save, by what they are named with."""
    found: dict[str, Mean] = {}
    for name, record in measured:
        found.setdefault(name, Mean(0.0)).add(record.seconds, record.count)
    return {name: mean.value for name, mean in found.items()}


def show(found: Forecast, *, assumed: bool) -> None:
    """For people."""
    from hive.cli.drawing import counted  # rich takes a tenth of a second

    step = f"{found.costs.seconds_per_step:g} s a step"
    said = f"{step} (assumed: give --seconds-per-step or --from)" if assumed else step
    trials = f"{counted(found.trials, 'trial')}, merge rate {found.merge_rate:.2f}"
    print(f"{found.search}: {trials}; {counted(found.devices, 'device')}, {said}")
    print(f"  {'':<16}{'each apart':>16}{'shared once':>16}{'ratio':>8}")
    line("device-hours", found, lambda each: each.device_hours, measure)
    line("hours", found, lambda each: each.hours, measure)
    if found.costs.price is not None:
        line("cost", found, lambda each: each.cost or 0.0, measure)
    line("steps", found, lambda each: each.steps, "{:,}".format)
    line("checkpoints", found, lambda each: each.checkpoints, "{:,}".format)
    if found.costs.checkpoint_bytes:
        apart, shared = size(found.trial.checkpoint_bytes), size(found.stage.checkpoint_bytes)
        print(f"  {'their bytes':<16}{apart:>16}{shared:>16}")


def line(what: str, found: Forecast, value: Callable[[Expected], float], said: Callable[[float], str]) -> None:
    """A figure of both ways."""
    apart, shared = value(found.trial), value(found.stage)
    ratio = f"{apart / shared:.2f}" if shared else ""
    print(f"  {what:<16}{said(apart):>16}{said(shared):>16}{ratio:>8}")


def measure(value: float) -> str:
    """An amount, of which enough digits say something however small it is."""
    return f"{value:,.2f}" if 1 <= value < 1e9 else f"{value:.3g}"
