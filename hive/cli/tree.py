"""`hive tree`: the trees of a root's plans, live or stopped, with what was trained, saved, and is awaited.

It must not know how a tree is drawn, or how a plan came to be what it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hive.actors.messages import Status, StatusQuery
from hive.actors.plans import LivePlan, path_to
from hive.actors.trees import TreeRecords, stored_trees
from hive.cli import drawing
from hive.cli.asking import answer_of
from hive.cli.status import reading
from hive.errors import StudyError
from hive.planner.outline import Branch, outline
from hive.planner.search_plan import Place, SearchPlan
from hive.storage.records import LeaseRecord, WantRecord

__all__ = ["PlanTree", "main"]


def main(root: Path, url: str | None, keys: Path | None) -> int:
    """Draw the plans."""
    trees = of_root(root) if url is None else of_coordinator(url, keys)
    if not trees:
        print("no plan yet")
    for number, records in enumerate(trees):
        print("\n" * (number > 0), end="")
        show(PlanTree.of(records))
    return 0


def of_root(root: Path) -> list[TreeRecords]:
    """From a root's store, beside its owner if there is one."""
    with reading(root) as store:
        return stored_trees(store)


def of_coordinator(url: str, keys: Path | None) -> list[TreeRecords]:
    """From a coordinator."""
    state = answer_of(url, keys, StatusQuery(trees=True), Status).state
    if "trees" not in state:
        raise StudyError(f"the coordinator at {url} is older than this hive and tells of no trees: upgrade it")
    return msgspec.convert(state["trees"], list[TreeRecords])


@dataclass(frozen=True, slots=True)
class PlanTree:
    """A plan, and what happens on it.

    Attributes:
        title: the study that began it, and its identity.
        plan: the tree.
        ends: how many trials end at a place.
        training: by node, the trainer that trains it now.
        next: by node, the trainer that will, with the same batch.
    """

    title: str
    plan: SearchPlan
    ends: Counter[Place]
    training: dict[int, str] = field(default_factory=dict)
    next: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, records: TreeRecords) -> PlanTree:
        """From its records."""
        live = LivePlan(records.plan)
        live.load(records.nodes, records.standings)
        for want in records.wants:
            if want.open:
                live.tree.pending[Place(want.node, want.step)] = None
        apart = "" if records.plan.merge else ", nothing shared"
        tree = cls(
            title=f"{records.plan.study} (plan {live.name}{apart}): steps, what changes there, how many trials pass",
            plan=live.tree,
            ends=ends_of(live.tree, records.wants, records.studies),
        )
        for lease in records.leases:
            tree.take(lease)
        return tree

    def take(self, lease: LeaseRecord) -> None:
        """A batch is out."""
        for place, (node, _, _) in enumerate(lease.ends):
            (self.next if place else self.training)[node] = lease.trainer

    def pending(self, branches: Iterable[Branch]) -> int:
        """How many requests on branches are not answered."""
        nodes = {node.number for branch in branches for node in branch.nodes}
        return sum(place.node in nodes for place in self.plan.pending)

    def mark(self, branch: Branch) -> Hashable:
        """What tells branches apart that are asked alike: how far they are, in words."""
        nodes = {node.number for node in branch.nodes}
        trained = trained_steps([branch])
        return (
            trained > 0,
            trained == branch.end - branch.start,
            self.pending([branch]) > 0,
            bool(nodes & self.training.keys()),
            bool(nodes & self.next.keys()),
        )

    def note(self, alike: Sequence[Branch]) -> str:
        """What is said of branches."""
        nodes = [node for branch in alike for node in branch.nodes]
        steps = sum(branch.end - branch.start for branch in alike)
        trained = f"{'in all ' if len(alike) > 1 else ''}{trained_steps(alike):,} of {steps:,} steps trained"
        pending = self.pending(alike)
        words = [
            f"{drawing.counted(alike[0].trials, 'trial')}; {trained}",
            drawing.counted(sum(len(node.standings) for node in nodes), "checkpoint"),
            f"{drawing.counted(pending, 'request')} pending" if pending else "",
        ]
        running = dict.fromkeys(self.training[node.number] for node in nodes if node.number in self.training)
        coming = dict.fromkeys(self.next[node.number] for node in nodes if node.number in self.next)
        words.append(f"running on {', '.join(running)}" if running else "")
        words.append(f"then on {', '.join(coming)}" if coming.keys() - running.keys() else "")
        return ", ".join(word for word in words if word)


def ends_of(plan: SearchPlan, wants: Iterable[WantRecord], studies: dict[str, str]) -> Counter[Place]:
    """Where trials end that were asked for up to several steps, maybe by several runs of their study: at the places
    that they do not pass on the way to another one."""
    asked: dict[tuple[str, int], set[Place]] = defaultdict(set)
    for want in wants:
        asked[studies.get(want.run, want.run), want.trial].add(Place(want.node, want.step))
    ends: Counter[Place] = Counter()
    for places in asked.values():
        ends.update(places - {place for end in places for place in passed(plan, end, places)})
    return ends


def passed(plan: SearchPlan, end: Place, places: set[Place]) -> Iterable[Place]:
    """Those of some places that lie before `end` on its way."""
    left = {node.number: step for node, step in path_to(plan.nodes[end.node], end.step)}
    return (place for place in places if place != end and place.step <= left.get(place.node, 0))


def trained_steps(branches: Iterable[Branch]) -> int:
    """How many steps of branches were ever trained."""
    return sum(node.trained_to - node.start for branch in branches for node in branch.nodes)


def show(tree: PlanTree) -> None:
    """The drawing, and the plan's figures."""
    roots = outline(tree.plan, tree.ends, tree.mark)
    drawing.show(drawing.drawn(tree.title, roots, tree.note))
    saved = sum(len(node.standings) for node in tree.plan.nodes)
    figures = [
        drawing.counted(tree.ends.total(), "trial"),
        f"{tree.plan.trained_steps():,} steps trained",
        drawing.counted(saved, "checkpoint"),
        f"{drawing.counted(len(tree.plan.pending), 'request')} pending",
    ]
    print(f"\n{', '.join(figures)}")
