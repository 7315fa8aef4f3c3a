"""`hive plan FILE.json`: what a search would train, before anything is trained. It must not know how it is drawn.

The spaces' trials are placed in a search plan, the one that the coordinator uses, as if all of them were asked for to
their last step. The spaces of a set are on one plan.
"""

from __future__ import annotations

import json as json_text
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from hive.cli.space_file import read_spaces
from hive.planner.outline import Branch, outline
from hive.planner.search_plan import Place, SearchPlan, Wanter
from hive.planner.space import GridSpace, segments
from hive.planner.stage_tree import build

__all__ = ["main"]


def main(file: Path, space: str | None, set_name: str | None, json: bool) -> int:
    """Plan a file's spaces, and show what sharing would save."""
    spaces = read_spaces(file, space, set_name)
    plan, ends = planned(spaces)
    figures = counts(plan, ends)
    if json:
        print(json_text.dumps(figures, indent=1))
    else:
        show(space or set_name or spaces[0].name or str(file), plan, ends, figures)
    return 0


def planned(spaces: Iterable[GridSpace]) -> tuple[SearchPlan, Counter[Place]]:
    """A plan in which every trial is asked for, and how many trials end at a place."""
    plan, ends = SearchPlan(), Counter[Place]()
    for number, space in enumerate(spaces):
        for trial, config in enumerate(space.configs()):
            place, _ = plan.place(segments(config, space.steps))
            plan.want(place, Wanter(str(number), trial), ends.total())
            ends[place] += 1
    return plan, ends


def counts(plan: SearchPlan, ends: Counter[Place]) -> dict[str, int | float]:
    """What is asked for, and what is left of it when shared beginnings count once."""
    stages = build(plan)
    asked = sum(place.step * count for place, count in ends.items())
    distinct = sum(stage.end - stage.start for stage in stages)
    return {
        "trials": ends.total(),
        "steps_asked": asked,
        "steps_distinct": distinct,
        "merge_rate": asked / distinct,
        "nodes": len(plan.nodes),
        "stages": len(stages),
    }


def show(title: str, plan: SearchPlan, ends: Counter[Place], figures: dict[str, int | float]) -> None:
    """The tree, and its figures."""
    from hive.cli import drawing  # rich takes a tenth of a second

    def note(alike: Sequence[Branch]) -> str:
        first = alike[0]
        return f"{drawing.counted(first.trials, 'trial')}, {drawing.counted(first.end - first.start, 'step')}"

    drawing.show(drawing.drawn(f"{title}: steps, what changes there, how many trials pass", outline(plan, ends), note))
    print()
    print("{trials:,} trials ask for {steps_asked:,} steps, {steps_distinct:,} of them distinct:".format(**figures))
    print("merge rate {merge_rate:.2f}; {nodes:,} nodes, {stages:,} stages".format(**figures))
