"""Faults planted in the product are caught by seeds: the alarm works.

What few seeds catch is left to `python -m tests.simulation.canaries`.
"""

from __future__ import annotations

import pytest

from hive.simulation.life import lived
from tests.simulation.canaries import MUTANTS, Mutant, in_force

SEEDS = range(40)


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if not m.reason], ids=lambda mutant: mutant.name)
def test_planted_fault_is_caught(mutant: Mutant) -> None:
    with in_force(mutant):
        assert any(lived(seed).broken is not None for seed in SEEDS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_planted_fault_is_in_force_while_it_lasts_and_no_longer(mutant: Mutant) -> None:
    right = getattr(mutant.owner, mutant.method)
    with in_force(mutant):
        assert getattr(mutant.owner, mutant.method) is not right
    assert getattr(mutant.owner, mutant.method) is right


def test_seeds_are_clean_without_a_planted_fault() -> None:
    assert [lived(seed).broken for seed in SEEDS[:5]] == [None] * 5
