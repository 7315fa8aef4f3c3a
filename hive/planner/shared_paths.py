"""What could be begun now on a plan, study by study.

Each study has a frontier of its own wishes, so that Hippo's rule decides within it; whose turn it is comes from
elsewhere (fairness.py). A step that several studies want is trained once: what is handed out for one is promised to
all. A batch goes as far as its study's wishes do, and stops on the way wherever another study needs it to.

It must not know weights, trainers, or how a run comes by its study.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence, Set

from hive.planner.critical_path import Crew, part_of_path
from hive.planner.estimates import Estimates
from hive.planner.frontier import Frontier
from hive.planner.search_plan import Place, SearchPlan
from hive.planner.stage_tree import Stage

__all__ = ["SharedPaths"]

READ_MAX = 1_000
"""Wishes that a new frontier reads for one decision: some 40 ms."""


class SharedPaths:
    """The frontiers of a plan: one of all wishes, and one of each study once there are several, for as long as it waits
    for something.

    The study that was alone may have a million wishes when a second one comes. Its own frontier reads them bit by bit,
    the oldest first, so that no decision waits for that. Meanwhile its batches are the longest of what was read.

    Args:
        plan: the plan.
        estimates: what its stages should cost.
        study_of: the study of a run.

    Attributes:
        all: the frontier of all wishes.
        unread: by frontier that is new, the wishes of its study that it does not know yet, the oldest last.
    """

    def __init__(self, plan: SearchPlan, estimates: Estimates, study_of: Callable[[str], str]) -> None:
        self.plan = plan
        self.estimates = estimates
        self.study_of = study_of
        self.all = Frontier(plan, estimates)
        self.own: dict[str, Frontier] = {}
        self.study: dict[Frontier, str] = {}
        self.unread: dict[Frontier, list[Place]] = {}
        self.at: dict[int, set[Frontier]] = {}
        self.changed: set[Frontier] = set()
        self.beginning: set[Frontier] = set()
        self.heard: list[Place] = list(plan.pending)
        plan.listeners.append(self.heard)

    @property
    def ready(self) -> int:
        """How many stages could be begun now, whoever wants them."""
        self.all.settle()
        return self.all.ready

    def frontiers(self) -> dict[str, Frontier]:
        """By study, the frontier of its wishes; of those only that wait for something."""
        if self.heard:
            waiting = {self.study_of(run) for run in self.plan.waiting}
            if len(waiting) > 1 or waiting.intersection(self.study.values()):
                self.pass_on()
                self.keep(waiting)
            else:
                self.keep(set())
                self.own = dict.fromkeys(waiting, self.all)
            self.heard.clear()
        return self.own

    def pass_on(self) -> None:
        """Tell each change of the plan to the frontiers that it matters to: of the studies that want that very place,
        and those that have something to train under its node."""
        for place in self.heard:
            request = self.plan.nodes[place.node].requests.get(place.step)
            studies = {self.study_of(wanter.run) for wanter in request.wanters} if request is not None else set()
            frontiers = self.at.get(place.node, set()).union(self.own[s] for s in studies if s in self.own) - {self.all}
            for frontier in frontiers:
                frontier.touched.append(place)
            self.changed |= frontiers

    def keep(self, studies: Set[str]) -> None:
        """Have a frontier for each of these studies, and for no other."""
        for study, frontier in list(self.own.items()):
            if study not in studies or frontier is self.all:
                del self.own[study]
                self.beginning.discard(frontier)
                self.changed.discard(frontier)
                if frontier is not self.all:
                    del self.study[frontier]
                    self.unread.pop(frontier, None)
                    frontier.close()
        for study in sorted(studies - self.own.keys()):
            frontier = self.own[study] = Frontier(self.plan, self.estimates, self.belongs_to(study), (), self.at)
            self.study[frontier] = study
            self.unread[frontier] = self.wished(study)[::-1]
            self.read(frontier)

    def wished(self, study: str) -> list[Place]:
        """Where the wishes of a study wait, those of each run in order of asking."""
        runs = [run for run in self.plan.waiting if self.study_of(run) == study]
        return [place for run in runs for place in self.plan.waiting[run]]

    def read(self, frontier: Frontier) -> None:
        """Let a new frontier know more of its study's wishes."""
        unread = self.unread[frontier]
        frontier.touched += unread[-READ_MAX:]
        del unread[-READ_MAX:]
        if not unread:
            del self.unread[frontier]
        self.changed.add(frontier)

    def read_on(self) -> bool:
        """Once for each decision: let new frontiers know more, and enough for somebody to begin something if anything
        can be begun. Returns whether there is more to know."""
        self.frontiers()
        while self.unread:
            for frontier in list(self.unread):
                self.read(frontier)
            if self.studies() or self.all.longest() is None:
                break
        return bool(self.unread)

    def belongs_to(self, study: str) -> Callable[[str], bool]:
        """Whether a run is one of a study."""
        return lambda run: self.study_of(run) == study

    def studies(self) -> list[str]:
        """The studies for which something could be begun now, by name."""
        frontiers = self.frontiers()
        if self.all in frontiers.values():
            return [study for study in frontiers if self.all.longest() is not None]
        for frontier in self.changed:
            begins = frontier.longest() is not None
            (self.beginning.add if begins else self.beginning.discard)(frontier)
        self.changed.clear()
        return sorted(study for study, frontier in frontiers.items() if frontier in self.beginning)

    def take(
        self, study: str, held: Place | None = None, in_memory: Collection[Place] = (), crew: Crew | None = None
    ) -> list[Stage]:
        """The next batch for a study; empty if none is ready. Whoever hands it out promises its places to the plan.

        Args:
            study: whose turn it is.
            held, in_memory: what the trainer has at hand; see `Frontier.next`.
            crew: among how many trainers the paths are shared out; None if each is to go its path to the end.
        """
        frontier = self.frontiers().get(study)
        if frontier is None:
            return []
        path = frontier.next(held, in_memory, part_of_path(self.ready, crew))
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
        stage.boundary = stage.boundary or self.all.is_boundary(stage.place)
        return [*pieces, stage]

    def costs(self, batch: Sequence[Stage]) -> list[tuple[float, frozenset[str]]]:
        """Of each stage, the seconds that it should take, and the studies that want its end or something behind it.
        To be asked before the batch is promised."""
        return [
            (
                self.estimates.stage_s(stage.node.number, stage.end - stage.start, saved=stage.boundary),
                frozenset(self.wanting(stage)),
            )
            for stage in batch
        ]

    def wanting(self, stage: Stage) -> Iterable[str]:
        """The studies that want the end of a stage that is left, or something behind it."""
        if self.all in (frontiers := self.frontiers()).values():
            return frontiers
        return [self.study[each] for each in self.at.get(stage.node.number, ()) if wants(each, stage)]

    def reweigh(self, node: int | None) -> None:
        """The weight of a node's steps is otherwise than before; None for all weights."""
        for frontier in (self.all, *self.own.values()):
            frontier.reweigh(node)


def wants(frontier: Frontier, stage: Stage) -> bool:
    """Whether a stage, or something behind it, is wanted in a frontier."""
    if stage.start == stage.end:
        return bool(frontier.wanters(stage.node, stage.end))
    return frontier.leads_on(stage.place)
