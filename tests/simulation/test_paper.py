"""The paper's studies in virtual time: what is simulated costs what is trained, and sharing saves what merges."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import islice

import pytest

from hive.cli import simulate
from hive.cli.main import main
from hive.cli.simulate import HEADINGS, cells
from hive.simulation.paper import PAPER, Experiment, Mode, Ratio, Row, run

QUICK = tuple(each for each in PAPER if each.study in ("resnet56", "bert", "high-S1", "low-S1"))


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], Row]:
    return {(row.experiment.study, row.experiment.tuner): row for row in run(QUICK)}


def test_paper_has_the_four_studies_of_table_1_and_all_sets_of_figures_13_and_14() -> None:
    assert [(each.study, each.tuner) for each in PAPER[:4]] == [
        ("resnet56", "SHA"),
        ("resnet56", "ASHA"),
        ("mobilenetv2", "grid"),
        ("bert", "grid"),
    ]
    sets = {each.study: len(each.spaces) for each in PAPER[4:]}
    assert sets == {f"{kind}-S{k}": k for kind in ("high", "low") for k in (1, 2, 4, 8)}
    assert all({each.tuner for each in PAPER if each.study == name} == {"grid", "SHA"} for name in sets)


def test_device_hours_are_those_of_the_distinct_steps(rows: dict[tuple[str, str], Row]) -> None:
    for row in rows.values():
        given = row.experiment
        trials = {"resnet56": 448, "bert": 40}.get(given.study, 144)
        if given.tuner == "grid":
            asked = trials * (27_000 if given.study == "bert" else 120)
            unit_h = given.seconds * given.gpus / 3600
            assert row.trial.device_hours == pytest.approx(asked * unit_h, rel=0.03)
            assert row.stage.device_hours == pytest.approx(asked / row.merge_rate * unit_h, rel=0.03)


def test_grids_save_what_merges(rows: dict[tuple[str, str], Row]) -> None:
    for (study, tuner), row in rows.items():
        if tuner == "grid":
            assert row.ratio.device_hours == pytest.approx(row.merge_rate, rel=0.03), study
    assert rows["bert", "grid"].merge_rate == pytest.approx(2.045, rel=0.001)


def test_nothing_ends_before_its_bounds_and_trials_apart_are_those_of_the_paper(
    rows: dict[tuple[str, str], Row],
) -> None:
    for row in rows.values():
        assert row.stage.hours >= row.lower_bound_hours
        assert row.trial.hours > row.stage.hours
        assert (row.optimum_hours is None) == (row.experiment.tuner != "grid")
        assert row.optimum_hours is None or row.lower_bound_hours <= row.optimum_hours <= row.stage.hours
        assert row.stage.busy_devices <= 40
    halving = rows["resnet56", "SHA"]  # 13,440 epochs and the winner's 100
    assert halving.trial.device_hours == pytest.approx(13_540 * 107.1 / 3600, rel=0.01)
    assert halving.ratio.device_hours is not None
    assert halving.ratio.device_hours > 4.84


def test_reason_is_given_from_the_figures_where_a_ratio_is_below_the_papers(rows: dict[tuple[str, str], Row]) -> None:
    for row in rows.values():
        for of in ("device_hours", "hours"):
            ours, papers = getattr(row.ratio, of), getattr(row.experiment.paper, of)
            assert (of in row.below_paper) == (papers is not None and ours < papers)
    halving = rows["resnet56", "SHA"]
    bound, alone = (120 + 100) * 107.1 / 3600, 100 * 107.1 / 3600
    assert halving.below_paper == {
        "hours": f"no schedule ends before {bound:.2f} h, {alone:.2f} of them the best trial's 100 further "
        f"steps on one device: a ratio of {halving.trial.hours / bound:.2f}"
    }


def made(*, merge_rate: float = 3.0, hours: float = 10.0, bound: float = 5.0, extra: int = 0) -> Row:
    """A row in which trials apart take 30 hours of 90 devices' and the paper's ratios are 4."""
    given = Experiment("study", "grid", (), 3600.0, extra=extra, paper=Ratio(4.0, 4.0))
    return Row(given, merge_rate, Mode(900.0, 30.0), Mode(300.0, hours), bound, None)


@pytest.mark.parametrize(
    ("row", "device_hours", "hours"),
    [
        (made(), "the merge rate is 3.00", "30.0 of 40 devices have work"),
        (made(merge_rate=5.0, extra=2), "2 further steps are shared with nobody", "2 further steps of the best trial"),
        (made(bound=8.0), "the merge rate", "no schedule ends before 8.00 h: a ratio of 3.75$"),
        (made(hours=9.0, extra=4), "the merge rate", "4.00 h on one device, end both; without them it is 5.20"),
    ],
)
def test_reason_is_what_the_figures_allow(row: Row, device_hours: str, hours: str) -> None:
    assert re.search(device_hours, row.below_paper["device_hours"])
    assert re.search(hours, row.below_paper["hours"])


def test_rows_are_json_and_cells_of_a_table(rows: dict[tuple[str, str], Row]) -> None:
    row = rows["bert", "grid"]
    said = json.loads(json.dumps(row.to_json()))
    assert set(said) >= {"study", "tuner", "merge_rate", "trial", "stage", "ratio", "paper_ratio", "optimum_hours"}
    assert said["stage"].keys() == {"device_hours", "hours", "busy_devices"}
    assert said["paper_ratio"] == {"device_hours": 2.0, "hours": 2.02}
    assert len(cells(row)) == len(HEADINGS)


def test_command_says_why_less_is_saved_than_in_the_paper_below_the_table(
    rows: dict[tuple[str, str], Row], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulate, "run", lambda **_: iter(rows.values()))
    assert main(["simulate", "paper"]) == 0
    below = capsys.readouterr().out.partition("Where less is saved than in the paper:\n")[2].splitlines()
    assert f"  resnet56 SHA, hours: {rows['resnet56', 'SHA'].below_paper['hours']}" in below
    assert len(below) == sum(len(row.below_paper) for row in rows.values())


def test_papers_rule_is_shown_beside_the_optimum_where_it_is_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (uneven,) = (each for each in QUICK if (each.study, each.tuner) == ("low-S1", "grid"))
    monkeypatch.setattr(simulate, "run", partial(run, (uneven,)))
    over = {}
    for words in ([], ["--whole-paths"]):
        assert main(["simulate", "paper", *words, "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        over[len(words)] = row["over_optimum"]
        assert row["over_optimum"] == row["stage"]["hours"] / row["optimum_hours"]
        assert main(["simulate", "paper", *words]) == 0
        heading, shown, *_ = capsys.readouterr().out.splitlines()
        assert (heading.split()[-1], shown.split()[-1]) == ("OVER", f"{row['over_optimum']:.3f}")
    assert over[0] < 1.03
    assert over[1] > 1.08


def test_rows_come_in_the_order_of_the_experiments_whatever_takes_how_long() -> None:
    given = [Experiment(f"{n} times", "SHA", ("resnet20-low-0",) * n, 36.0) for n in (3, 1)]
    assert [row.experiment.study for row in islice(run(given), 2)] == ["3 times", "1 times"]


def test_what_is_neither_a_file_nor_the_paper_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "everything"]) == 2
    assert "there is no file everything" in capsys.readouterr().err
