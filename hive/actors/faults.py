"""What goes wrong in a simulation.

A `Storm` is weather for a simulator's network: messages are lost, come again, perhaps much later, and overtake each
other, until it is over. Then all must be well again within a bound: only when everything is healed can something be
demanded.

It must not know what any message means.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Storm"]


@dataclass(frozen=True, slots=True)
class Storm:
    """Bad weather.

    Attributes:
        drop: how likely it is that a message does not come.
        repeat: that it comes once more.
        late: that it takes up to `late_s` seconds, so that others overtake it.
        until: Unix time when the storm is over.
    """

    drop: float = 0.0
    repeat: float = 0.0
    late: float = 0.0
    late_s: float = 5.0
    until: float = 0.0

    def delays(self, sender: str, to: str, now: float, draw: random.Random) -> Iterable[float]:
        """After how many seconds a message arrives: once, not at all, or more than once."""
        if now >= self.until:
            return [0.001]
        copies = 1 + (draw.random() < self.repeat) - (draw.random() < self.drop)
        return [0.001 + draw.random() * (self.late_s if draw.random() < self.late else 0.01) for _ in range(copies)]
