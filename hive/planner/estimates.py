"""How long things take, learned from what was measured: seconds per step of a node, of a checkpoint's load and save.

A node nobody measured takes the mean over the plan; a plan nobody measured takes one second a step, which makes the
longest path the one with most steps. It must not know where the measurements come from."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Estimates", "Mean"]


@dataclass(slots=True)
class Mean:
    """A mean over all that was added, or `default` while nothing was."""

    default: float
    total: float = 0.0
    count: int = 0

    def add(self, total: float, count: int = 1) -> None:
        """Take in `count` measurements that sum to `total`."""
        self.total += total
        self.count += count

    @property
    def value(self) -> float:
        """The mean."""
        return self.total / self.count if self.count else self.default


@dataclass(slots=True)
class Estimates:
    """What a plan's stages are expected to cost, in seconds.

    Attributes:
        step_s: of one step, over the whole plan.
        load_s: of starting from a checkpoint on disk.
        save_s: of a checkpoint, as training feels it.
        by_node: seconds per step of the nodes that were measured.
    """

    step_s: Mean = field(default_factory=lambda: Mean(1.0))
    load_s: Mean = field(default_factory=lambda: Mean(0.0))
    save_s: Mean = field(default_factory=lambda: Mean(0.0))
    by_node: dict[int, Mean] = field(default_factory=dict)

    def measured(self, node: int, steps: int, seconds: float) -> None:
        """`steps` steps of a node took `seconds`."""
        self.step_s.add(seconds, steps)
        self.by_node.setdefault(node, Mean(0.0)).add(seconds, steps)

    def stage_s(self, node: int, steps: int) -> float:
        """Seconds that a stage of so many steps under a node should take, its checkpoint included."""
        mean = self.by_node.get(node)
        return steps * (mean.value if mean is not None and mean.count else self.step_s.value) + self.save_s.value
