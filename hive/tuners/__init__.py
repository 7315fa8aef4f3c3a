"""Tuners: which trials train, how far, and which of them go on. One algorithm, one paper, one file.

A tuner is a coroutine over a study (`Tuner.tune`). It must not know how trials are trained, where, or by whom; of
asyncio it may use what keeps an order, so that a run can be told the same twice.
"""

from __future__ import annotations

from hive.tuners.asha import ASHA
from hive.tuners.early_stop import EarlyStop
from hive.tuners.grid import Grid, RandomSearch
from hive.tuners.successive_halving import SuccessiveHalving
from hive.tuners.tuner import Result, StudyView, Tuner, best, rank

__all__ = [
    "ASHA",
    "EarlyStop",
    "Grid",
    "RandomSearch",
    "Result",
    "StudyView",
    "SuccessiveHalving",
    "Tuner",
    "best",
    "rank",
]
