"""Grid and random search: every trial of the space, to its end. This module must not know any early stopping."""

from __future__ import annotations

from hive.planner.space import Space
from hive.tuners.rungs import Rung, at_least, climb
from hive.tuners.tuner import StudyView

__all__ = ["Grid", "RandomSearch"]


class Grid:
    """Trains all trials of the space for `space.steps` steps.

    Args:
        space: The trials.
        extra_steps_for_best: How many steps more the best trial trains when all have ended; 0 for none.

    Raises:
        StudyError: `extra_steps_for_best` is not a whole number, or below 0.
    """

    def __init__(self, space: Space, *, extra_steps_for_best: int = 0) -> None:
        self.space = space
        self.steps = space.steps
        self.extra_steps_for_best = at_least(0, extra_steps_for_best, "Grid: extra_steps_for_best")

    async def tune(self, study: StudyView) -> None:
        """Asks for all trials at once."""
        configs = self.space.configs()
        await climb(study, configs, [Rung(self.steps, len(configs))], self.extra_steps_for_best)


class RandomSearch(Grid):
    """Grid's rule under the name that it has where the space was drawn: `RandomSearch(hive.RandomSpace(...))`."""
