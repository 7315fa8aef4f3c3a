"""The outline of a search plan, for people: nodes strung to branches, and branches that look alike known as such.

A plan has a node for every change of a value. Most of them nobody leaves and nobody stops at: a trial that decays twice
is three nodes and one way. So nodes that follow each other are strung to one branch, which ends where its longest trial
ends, or where all its trials part. Branches that differ in their values alone have one *shape*.

    nodes    0──60──────120            branches   0 ────────── 120
              └─60──90──120                       └─ 60 ────── 120      (lr falls at 60, and at 90)
                     └──90──120                            └ 90 ── 120

It must not know how an outline is drawn, trainers, or time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from hive.planner.pieces import Form
from hive.planner.search_plan import Node, Place, SearchPlan

__all__ = ["Branch", "changes", "folded", "outline"]


@dataclass(slots=True, eq=False)
class Branch:
    """Nodes that follow each other, none of which but the last is left or stopped at.

    Attributes:
        nodes: from the first to the last.
        end: the greatest step that anybody asked for, or trained, on the last node.
        trials: how many pass through the first node.
        children: the branches that leave the last node, in the order of the steps where they do.
        shape: equal for branches that differ in values alone, down to their last descendants.
    """

    nodes: list[Node]
    end: int
    trials: int
    children: list[Branch]
    shape: int = -1

    @property
    def start(self) -> int:
        """Where it leaves its parent."""
        return self.nodes[0].start

    def ends(self) -> list[int]:
        """Where each of its nodes ends."""
        return [*(node.start for node in self.nodes[1:]), self.end]


Mark = Callable[[Branch], Hashable]


def outline(plan: SearchPlan, ends: Mapping[Place, int], mark: Mark | None = None) -> list[Branch]:
    """The branches that begin at step 0, in order of first asking.

    Args:
        plan: what is outlined; nodes at which nobody ends and that were never trained are left out.
        ends: how many trials end at a place.
        mark: what else branches of one shape must have in common; None for nothing.
    """
    last = defaultdict(int, {node.number: node.trained_to for node in plan.nodes})
    passing: dict[int, int] = defaultdict(int)
    for place, count in ends.items():
        last[place.node] = max(last[place.node], place.step)
        passing[place.node] += count
    stopped = set(passing)
    found: dict[int | None, list[Branch]] = defaultdict(list)
    shapes: dict[Hashable, int] = {}
    for node in reversed(plan.nodes):  # children first
        if last[node.number] <= node.start:
            continue
        children = found.pop(node.number, [])[::-1]
        branch = strung(node, last[node.number], passing[node.number], children, node.number in stopped)
        for child in branch.children if len(branch.nodes) == 1 else ():
            close(child, mark, shapes)
        found[None if node.parent is None else node.parent.number].append(branch)
        if node.parent is not None:
            last[node.parent.number] = max(last[node.parent.number], node.start)
            passing[node.parent.number] += passing[node.number]
    for root in found[None]:
        close(root, mark, shapes)
    return found[None][::-1]


def strung(node: Node, end: int, trials: int, children: list[Branch], stopped: bool) -> Branch:
    """The branch that begins with a node: the one of its only child, if all that pass the node go there.

    The nodes of a branch stand in reverse order until it is closed.
    """
    if len(children) == 1 and not stopped and children[0].nodes[-1].start == end:
        children[0].nodes.append(node)
        return children[0]
    return Branch([node], end, trials, sorted(children, key=lambda branch: branch.nodes[-1].start))


def close(branch: Branch, mark: Mark | None, shapes: dict[Hashable, int]) -> None:
    """No node comes before those that a branch has: give it its shape."""
    branch.nodes.reverse()
    changed = tuple((node.start, tuple(sorted(changes(node)))) for node in branch.nodes)
    below = tuple(sorted(child.shape for child in branch.children))
    branch.shape = shapes.setdefault((branch.end, branch.trials, changed, below, mark and mark(branch)), len(shapes))


def changes(node: Node) -> dict[str, tuple[Form | None, Form]]:
    """What a node changes: by hyper-parameter, the form before it and its own. A root changes all from nothing."""
    before: Mapping[str, Form] = {} if node.parent is None else node.parent.forms
    return {name: (before.get(name), form) for name, form in node.forms.items() if before.get(name) != form}


def folded(branches: Iterable[Branch]) -> list[list[Branch]]:
    """The branches, those of one shape together."""
    groups: dict[int, list[Branch]] = defaultdict(list)
    for branch in branches:
        groups[branch.shape].append(branch)
    return list(groups.values())
