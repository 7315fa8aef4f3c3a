"""The least number of steps in which so many devices can train a stage tree: what any schedule is measured against.

Every device trains one step at a time, a step takes equally long everywhere, and what one device trained another can
go on with at no cost. Then the level rule is optimal: at each step, train those with most steps left behind them to a
leaf (Hu, 1961). It need not be played through: read backwards, a schedule of a tree is one of a tree whose branches run
together, and for these Hu gives the time in closed form, which comes to

    the greatest, over all steps d, of  d + ceil(how many steps of the tree are step d of their path or later / devices)

It takes no less: before any of those can be trained, d others must be, one after the other. That it takes no more is
Hu's theorem.

It must not know what a step, a save or a load takes in seconds, or how batches are chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hive.planner.stage_tree import Stage

__all__ = ["makespan"]


def makespan(tree: Sequence[Stage], devices: int) -> int:
    """Steps from the first to the last, on so many devices (>= 1), if nothing but training takes time.

    Args:
        tree: the stages of a plan of which nothing is trained or promised.
        devices: how many train at once.
    """
    changes: Counter[int] = Counter()
    for stage in tree:
        changes[stage.start] += 1
        changes[stage.end] -= 1
    left = sum(stage.end - stage.start for stage in tree)
    longest = width = step = 0
    for at in sorted(changes):  # equally wide between two of these: the bound is greatest at one of them
        left -= width * (at - step)
        width, step = width + changes[at], at
        longest = max(longest, step - (-left // devices))
    return longest
