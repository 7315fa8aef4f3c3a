"""Sequences against torch.optim.lr_scheduler: the same learning rates up to the sequence's own end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as ours_to_match

from hive.planner.sequences import (
    Cosine,
    CosineWarmRestarts,
    Cyclic,
    Exponential,
    Linear,
    MultiStep,
    OneCycle,
    Polynomial,
    Sequence,
    Step,
)

STEPS = 300
FEW = settings(max_examples=15)  # each example steps an optimizer 300 times

Scheduler = Callable[[torch.optim.Optimizer], Any]

rates = st.integers(1, 9999).map(lambda n: n / 10_000)
lengths = st.integers(1, STEPS)
gammas = st.integers(50, 100).map(lambda n: n / 100)


def rates_of_torch(initial: float, scheduler: Scheduler, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=initial)
    schedule = scheduler(optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < steps - 1:
            schedule.step()
    return rates


def agree(sequence: Sequence, initial: float, scheduler: Scheduler, steps: int = STEPS) -> None:
    for step, wanted in enumerate(rates_of_torch(initial, scheduler, steps)):
        got = sequence(step)
        assert isinstance(got, float)
        assert abs(got - wanted) <= 1e-9 * max(abs(initial), abs(got)), (step, got, wanted)


@FEW
@given(rates, lengths, gammas)
def test_step_agrees_with_torch(initial: float, size: int, gamma: float) -> None:
    agree(Step(initial, size, gamma), initial, lambda o: ours_to_match.StepLR(o, size, gamma))


@FEW
@given(rates, st.lists(lengths, max_size=5, unique=True).map(sorted), gammas)
def test_multi_step_agrees_with_torch(initial: float, milestones: list[int], gamma: float) -> None:
    agree(MultiStep(initial, milestones, gamma), initial, lambda o: ours_to_match.MultiStepLR(o, milestones, gamma))


@FEW
@given(rates, gammas)
def test_exponential_agrees_with_torch(initial: float, gamma: float) -> None:
    agree(Exponential(initial, gamma), initial, lambda o: ours_to_match.ExponentialLR(o, gamma))


@FEW
@given(rates, st.sampled_from([0.1, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.1, 0.5, 1.0]), lengths)
def test_linear_agrees_with_torch(initial: float, first: float, last: float, steps: int) -> None:
    sequence = Linear(initial * first, initial * last, steps)
    agree(sequence, initial, lambda o: ours_to_match.LinearLR(o, first, last, steps))


@FEW
@given(rates, lengths, st.sampled_from([0.5, 1.0, 2.0, 3.0]))
def test_polynomial_agrees_with_torch(initial: float, steps: int, power: float) -> None:
    agree(Polynomial(initial, steps, power), initial, lambda o: ours_to_match.PolynomialLR(o, steps, power))


@FEW
@given(rates, lengths, st.sampled_from([0.0, 0.00001, 0.001]))
def test_cosine_agrees_with_torch_up_to_its_end(initial: float, steps: int, final: float) -> None:
    sequence = Cosine(initial, steps, final)
    agree(sequence, initial, lambda o: ours_to_match.CosineAnnealingLR(o, steps, final), steps + 1)


@FEW
@given(rates, lengths, st.integers(1, 3), st.sampled_from([0.0, 0.00001, 0.001]))
def test_cosine_warm_restarts_agrees_with_torch(initial: float, t_0: int, t_mult: int, final: float) -> None:
    sequence = CosineWarmRestarts(initial, t_0, t_mult, final)
    agree(sequence, initial, lambda o: ours_to_match.CosineAnnealingWarmRestarts(o, t_0, t_mult, final))


@FEW
@given(rates, rates, lengths, st.none() | lengths)
def test_cyclic_agrees_with_torch(base: float, top: float, up: int, down: int | None) -> None:
    def scheduler(o: torch.optim.Optimizer) -> Any:
        return ours_to_match.CyclicLR(o, base, top, step_size_up=up, step_size_down=down, cycle_momentum=False)

    agree(Cyclic(base, top, up, down), max(base, top), scheduler)


@FEW
@given(rates, st.integers(2, STEPS), st.integers(0, 100), st.sampled_from([1, 10, 25]), st.sampled_from([1, 1e4]))
def test_one_cycle_agrees_with_torch(top: float, steps: int, percent: int, div: float, final_div: float) -> None:
    assume(percent * steps != 100)  # torch divides by zero where the rise has no length

    def scheduler(o: torch.optim.Optimizer) -> Any:
        return ours_to_match.OneCycleLR(
            o,
            top,
            total_steps=steps,
            pct_start=percent / 100,
            div_factor=div,
            final_div_factor=final_div,
            cycle_momentum=False,
        )

    agree(OneCycle(top, steps, percent / 100, div, final_div), top, scheduler, steps)


def test_comparison_with_torch_notices_a_wrong_rate() -> None:
    with pytest.raises(AssertionError):
        agree(Step(0.1, 10, 0.5), 0.1, lambda o: ours_to_match.StepLR(o, 11, 0.5))
