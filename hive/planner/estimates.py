"""How long things take, learned from what was measured: seconds per step of a node, of a checkpoint's load and save, of
an evaluation.

A node nobody measured takes the mean over the nodes with the same values, else over the plan; a plan nobody measured
takes one second a step, which makes the longest path the one with most steps. A weight is what the schedule goes by; it
follows its mean only when that has moved by a tenth, so that one measurement does not weigh a large plan anew.

It must not know where the measurements come from."""

from __future__ import annotations

from dataclasses import dataclass, field

from hive.planner.search_plan import SearchPlan

__all__ = ["MOVED", "Estimates", "Mean"]

MOVED = 0.1
"""By what part of itself a mean must have moved before its weight follows."""


@dataclass(slots=True)
class Mean:
    """A mean over all that was added, or `default` while nothing was.

    Attributes:
        weight: what the schedule goes by: the mean, when it had last moved by a tenth.
    """

    default: float
    total: float = 0.0
    count: int = 0
    weight: float = field(init=False)

    def __post_init__(self) -> None:
        self.weight = self.default

    def add(self, total: float, count: int = 1) -> bool:
        """Take in `count` measurements that sum to `total`; whether the weight follows."""
        self.total += total
        self.count += count
        moved = self.count == count or abs(self.value - self.weight) > MOVED * self.weight
        if moved:
            self.weight = self.value
        return moved

    @property
    def value(self) -> float:
        """The mean."""
        return self.total / self.count if self.count else self.default


@dataclass(slots=True)
class Estimates:
    """What a plan's stages are expected to cost, in seconds.

    Attributes:
        plan: says which nodes have the same values; without it, none have.
        step_s: of one step, over the whole plan.
        load_s: of starting from a checkpoint on disk.
        save_s: of a checkpoint, as training feels it.
        evaluate_s: of an evaluation at a boundary.
        by_node: seconds per step of the nodes that were measured.
        by_likeness: seconds per step of all nodes with the same values, by the first of them.
    """

    plan: SearchPlan | None = None
    step_s: Mean = field(default_factory=lambda: Mean(1.0))
    load_s: Mean = field(default_factory=lambda: Mean(0.0))
    save_s: Mean = field(default_factory=lambda: Mean(0.0))
    evaluate_s: Mean = field(default_factory=lambda: Mean(0.0))
    by_node: dict[int, Mean] = field(default_factory=dict)
    by_likeness: dict[int, Mean] = field(default_factory=dict)

    def measured(self, node: int, steps: int, seconds: float) -> list[int | None]:
        """`steps` steps of a node took `seconds`.

        Returns:
            The nodes whose weight is otherwise than before; None among them stands for all.
        """
        moved: list[int | None] = [None] if self.step_s.add(seconds, steps) else []
        if self.by_node.setdefault(node, Mean(0.0)).add(seconds, steps):
            moved.append(node)
        if self.plan is not None:
            alike = self.plan.alike(node)
            if self.by_likeness.setdefault(alike[0], Mean(0.0)).add(seconds, steps):
                moved += alike
        return moved

    def recall(self, node: int, steps: int, seconds: float) -> None:
        """The same of what was measured before anything was weighed: it comes back from the store."""
        self.step_s.add(seconds, steps)
        self.by_node.setdefault(node, Mean(0.0)).add(seconds, steps)
        if self.plan is not None:
            self.by_likeness.setdefault(self.plan.nodes[node].like, Mean(0.0)).add(seconds, steps)

    def saved(self, seconds: float) -> list[int | None]:
        """A checkpoint took `seconds`. Returns what `measured` does."""
        return [None] if self.save_s.add(seconds) else []

    def stage_s(self, node: int, steps: int, *, saved: bool = True) -> float:
        """Seconds that a stage of so many steps under a node should take, with its checkpoint, if there is one."""
        return steps * self.step_weight(node) + (self.save_s.weight if saved else 0.0)

    def step_weight(self, node: int) -> float:
        """Seconds that a step under a node should take."""
        mean = self.by_node.get(node)
        if mean is None and self.plan is not None:
            mean = self.by_likeness.get(self.plan.nodes[node].like)
        return (mean or self.step_s).weight
