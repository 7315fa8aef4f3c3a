"""Planner: sequences, spaces, the search plan and the stage tree. Pure functions and data.

Must not know messages, actors, storage, clocks or randomness.
"""

from __future__ import annotations

__all__: list[str] = []
