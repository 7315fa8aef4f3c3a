"""What could be begun now on a plan, study by study: the critical paths of each among the stages that it wants.

Hippo's rule decides within a study; whose turn it is comes from elsewhere (fairness.py). A stage belongs to every study
that wants its end or something behind it, and a batch taken for one study is taken for all. A batch ends where its
study wants nothing more: what others want from there on waits for that place.

It must not know weights, trainers, or how a run comes by its study.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from hive.planner.critical_path import CriticalPaths
from hive.planner.estimates import Estimates
from hive.planner.search_plan import Place
from hive.planner.stage_tree import Stage

__all__ = ["SharedPaths"]


class SharedPaths:
    """The ready stages of a tree. Kept between decisions, as `CriticalPaths` are.

    Args:
        tree: the stages, parents before children.
        estimates: what they should cost.
        study_of: the study of a run.

    Attributes:
        studies_of: by stage, the studies that want it or something behind it.
    """

    def __init__(self, tree: Sequence[Stage], estimates: Estimates, study_of: Callable[[str], str]) -> None:
        self.estimates = estimates
        self.studies_of = studies_of(tree, study_of)
        self.begun: set[Stage] = set()
        self.beginnings = [stage for stage in tree if stage.ready]
        wanted: dict[str, list[Stage]] = {}
        for stage in tree:
            for study in self.studies_of[stage]:
                wanted.setdefault(study, []).append(stage)
        self.paths = {study: CriticalPaths(wanted[study], estimates, self.begun) for study in sorted(wanted)}

    @property
    def ready(self) -> list[Stage]:
        """The stages that could be begun now."""
        return [stage for stage in self.beginnings if stage not in self.begun]

    def waits_for(self, place: Place) -> bool:
        """Whether something becomes ready when a place is reached."""
        return any(place in paths.waited for paths in self.paths.values())

    def studies(self) -> list[str]:
        """The studies for which something could be begun now, by name."""
        return [study for study, paths in self.paths.items() if paths.longest() is not None]

    def take(self, study: str, held: Place | None = None, in_memory: Collection[Place] = ()) -> list[Stage]:
        """The next batch for a study; empty if none is ready. See `CriticalPaths.take` for what a trainer has at
        hand."""
        return self.paths[study].take(held, in_memory) if study in self.paths else []

    def costs(self, batch: Sequence[Stage]) -> list[tuple[float, frozenset[str]]]:
        """Of each stage, the seconds that it should take, and the studies that want it."""
        return [
            (self.estimates.stage_s(stage.node.number, stage.end - stage.start), self.studies_of[stage])
            for stage in batch
        ]


def studies_of(tree: Sequence[Stage], study_of: Callable[[str], str]) -> dict[Stage, frozenset[str]]:
    """By stage, the studies that want its end or something behind it."""
    found: dict[Stage, frozenset[str]] = {}
    for stage in reversed(tree):
        request = stage.node.requests.get(stage.end)
        runs = {wanter.run for wanter in request.wanters} if request is not None else set()
        found[stage] = frozenset(map(study_of, runs)).union(*(found[child] for child in stage.children))
    return found
