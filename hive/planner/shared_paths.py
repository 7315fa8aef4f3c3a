"""What could be begun now on a plan, study by study.

Each study has a frontier of its own wishes, so that Hippo's rule decides within it; whose turn it is comes from
elsewhere (fairness.py). A step that several studies want is trained once: what is handed out for one is promised to
all. A batch goes as far as its study's wishes do, and stops on the way wherever another study needs it to.

It must not know weights, trainers, or how a run comes by its study.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from hive.planner.estimates import Estimates
from hive.planner.frontier import Frontier
from hive.planner.search_plan import Place, SearchPlan
from hive.planner.stage_tree import Stage

__all__ = ["SharedPaths"]


class SharedPaths:
    """The frontiers of a plan: one of all wishes, and one of each study while there are several.

    Args:
        plan: the plan.
        estimates: what its stages should cost.
        study_of: the study of a run.

    Attributes:
        all: the frontier of all wishes.
    """

    def __init__(self, plan: SearchPlan, estimates: Estimates, study_of: Callable[[str], str]) -> None:
        self.plan = plan
        self.estimates = estimates
        self.study_of = study_of
        self.all = Frontier(plan, estimates)
        self.own: dict[str, Frontier] = {}

    @property
    def ready(self) -> int:
        """How many stages could be begun now, whoever wants them."""
        self.all.settle()
        return self.all.ready

    def frontiers(self) -> dict[str, Frontier]:
        """By study, by name, the frontier of its wishes; of those only that wait for something."""
        waiting = sorted({self.study_of(run) for run in self.plan.waiting})
        if len(waiting) == 1:
            self.keep([])
            return {waiting[0]: self.all}
        self.keep(waiting)
        return {study: self.own[study] for study in waiting}

    def keep(self, studies: Sequence[str]) -> None:
        """Have a frontier for each of these studies, and for no other."""
        for study in [study for study in self.own if study not in studies]:
            self.own.pop(study).close()
        for study in studies:
            if study not in self.own:
                self.own[study] = Frontier(self.plan, self.estimates, self.belongs_to(study))

    def belongs_to(self, study: str) -> Callable[[str], bool]:
        """Whether a run is one of a study."""
        return lambda run: self.study_of(run) == study

    def studies(self) -> list[str]:
        """The studies for which something could be begun now, by name."""
        return [study for study, frontier in self.frontiers().items() if frontier.longest() is not None]

    def take(self, study: str, held: Place | None = None, in_memory: Collection[Place] = ()) -> list[Stage]:
        """The next batch for a study; empty if none is ready. See `Frontier.next` for what a trainer has at hand.
        Whoever hands it out promises its places to the plan."""
        frontier = self.frontiers().get(study)
        if frontier is None:
            return []
        path = frontier.next(held, in_memory)
        return path if frontier is self.all else [piece for stage in path for piece in self.cut(stage)]

    def cut(self, stage: Stage) -> list[Stage]:
        """A stage of one study, cut where others need it to stop."""
        pieces: list[Stage] = []
        origin, start = stage.origin, stage.start
        for end in self.all.ends_within(stage.node.number, stage.start, stage.end):
            pieces.append(Stage(stage.node, start, end, origin, wanted=len(self.all.wanters(stage.node, end))))
            pieces[-1].first = stage.first
            origin, start = pieces[-1].place, end
        stage.origin, stage.start, stage.wanted = origin, start, len(self.all.wanters(stage.node, stage.end))
        return [*pieces, stage]

    def costs(self, batch: Sequence[Stage]) -> list[tuple[float, frozenset[str]]]:
        """Of each stage, the seconds that it should take, and the studies that want its end or something behind it.
        To be asked before the batch is promised."""
        frontiers = self.frontiers()
        return [
            (
                self.estimates.stage_s(stage.node.number, stage.end - stage.start),
                frozenset(study for study, frontier in frontiers.items() if wants(frontier, stage)),
            )
            for stage in batch
        ]

    def reweigh(self, node: int | None) -> None:
        """The weight of a node's steps is otherwise than before; None for all weights."""
        for frontier in (self.all, *self.own.values()):
            frontier.reweigh(node)


def wants(frontier: Frontier, stage: Stage) -> bool:
    """Whether a stage, or something behind it, is wanted in a frontier."""
    if stage.start == stage.end:
        return bool(frontier.wanters(stage.node, stage.end))
    return frontier.leads_on(stage.place)
