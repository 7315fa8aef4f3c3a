"""Sequences against torch.optim.lr_scheduler: the same learning rates up to the sequence's own end.

Piecewise and Values have no counterpart in torch but a lambda of one's own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as ours_to_match

from hive.planner.sequences import (
    Chain,
    Constant,
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
    Warmup,
)

STEPS = 300
SOME = settings(max_examples=60, deadline=None)  # each example steps an optimizer 300 times

Scheduler = Callable[[torch.optim.Optimizer], Any]

rates = st.builds(lambda digits, places: digits / 10**places, st.integers(1, 99_999), st.integers(2, 8))
finals = st.just(0.0) | rates
lengths = st.integers(1, STEPS)
gammas = st.integers(1, 120).map(lambda n: n / 100)
factors = st.integers(1, 100).map(lambda n: n / 100)


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


@SOME
@given(rates, lengths, gammas)
def test_step_agrees_with_torch(initial: float, size: int, gamma: float) -> None:
    agree(Step(initial, size, gamma), initial, lambda o: ours_to_match.StepLR(o, size, gamma))


@SOME
@given(rates, st.lists(lengths, max_size=5, unique=True).map(sorted), gammas)
def test_multi_step_agrees_with_torch(initial: float, milestones: list[int], gamma: float) -> None:
    agree(MultiStep(initial, milestones, gamma), initial, lambda o: ours_to_match.MultiStepLR(o, milestones, gamma))


@SOME
@given(rates, gammas)
def test_exponential_agrees_with_torch(initial: float, gamma: float) -> None:
    agree(Exponential(initial, gamma), initial, lambda o: ours_to_match.ExponentialLR(o, gamma))


@SOME
@given(rates, factors, st.just(0.0) | factors, lengths)
def test_linear_agrees_with_torch(initial: float, first: float, last: float, steps: int) -> None:
    sequence = Linear(initial * first, initial * last, steps)
    agree(sequence, initial, lambda o: ours_to_match.LinearLR(o, first, last, steps))


@SOME
@given(rates, lengths, st.integers(1, 40).map(lambda n: n / 10))
def test_polynomial_agrees_with_torch(initial: float, steps: int, power: float) -> None:
    agree(Polynomial(initial, steps, power), initial, lambda o: ours_to_match.PolynomialLR(o, steps, power))


@SOME
@given(rates, lengths, finals)
def test_cosine_agrees_with_torch_up_to_its_end(initial: float, steps: int, final: float) -> None:
    sequence = Cosine(initial, steps, final)
    agree(sequence, initial, lambda o: ours_to_match.CosineAnnealingLR(o, steps, final), steps + 1)


@SOME
@given(rates, lengths, st.integers(1, 3), finals)
def test_cosine_warm_restarts_agrees_with_torch(initial: float, t_0: int, t_mult: int, final: float) -> None:
    assume(final <= 1e5 * initial)  # beyond, torch itself misses the initial rate by more, at every restart
    sequence = CosineWarmRestarts(initial, t_0, t_mult, final)
    agree(sequence, initial, lambda o: ours_to_match.CosineAnnealingWarmRestarts(o, t_0, t_mult, final))


@SOME
@given(rates, rates, lengths, st.none() | lengths)
def test_cyclic_agrees_with_torch(base: float, top: float, up: int, down: int | None) -> None:
    def scheduler(o: torch.optim.Optimizer) -> Any:
        return ours_to_match.CyclicLR(o, base, top, step_size_up=up, step_size_down=down, cycle_momentum=False)

    agree(Cyclic(base, top, up, down), max(base, top), scheduler)


@SOME
@given(rates, st.integers(2, STEPS), st.integers(0, 100), st.integers(1, 50), st.sampled_from([1, 2.5, 100, 1e4]))
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


@SOME
@given(rates, factors, lengths)
def test_constants_in_a_chain_agree_with_torch(initial: float, factor: float, steps: int) -> None:
    sequence = Chain([(Constant(initial * factor), steps), (Constant(initial), None)])
    agree(sequence, initial, lambda o: ours_to_match.ConstantLR(o, factor, steps))


Pair = tuple[Callable[[float], Sequence], Scheduler]
"""A sequence of some initial rate, and its counterpart."""

PAIRS: st.SearchStrategy[Pair] = st.one_of(
    st.just((Constant, lambda o: ours_to_match.ConstantLR(o, 1.0))),
    st.builds(
        lambda size, gamma: (lambda r: Step(r, size, gamma), lambda o: ours_to_match.StepLR(o, size, gamma)),
        lengths,
        gammas,
    ),
    st.builds(
        lambda at, gamma: (lambda r: MultiStep(r, at, gamma), lambda o: ours_to_match.MultiStepLR(o, at, gamma)),
        st.lists(lengths, max_size=3, unique=True).map(sorted),
        gammas,
    ),
    gammas.map(lambda gamma: (lambda r: Exponential(r, gamma), lambda o: ours_to_match.ExponentialLR(o, gamma))),
    lengths.map(
        lambda t_0: (lambda r: CosineWarmRestarts(r, t_0), lambda o: ours_to_match.CosineAnnealingWarmRestarts(o, t_0))
    ),
)


@SOME
@given(rates, st.integers(2, STEPS), PAIRS)
def test_warmup_agrees_with_torch_s_linear_rise_and_what_follows(target: float, steps: int, pair: Pair) -> None:
    sequence, then = pair

    def scheduler(o: torch.optim.Optimizer) -> Any:
        rise = ours_to_match.LinearLR(o, 1 / steps, 1.0, steps - 1)
        return ours_to_match.SequentialLR(o, [rise, then(o)], [steps])

    agree(Warmup(steps, target, sequence(target)), target, scheduler)


@SOME
@given(rates, st.lists(st.tuples(PAIRS, st.integers(1, 100)), min_size=1, max_size=3), PAIRS)
def test_chain_agrees_with_torch_s_sequential_schedule(
    initial: float, parts: list[tuple[Pair, int]], last: Pair
) -> None:
    ends = list(accumulate(steps for _, steps in parts))

    def scheduler(o: torch.optim.Optimizer) -> Any:
        return ours_to_match.SequentialLR(o, [theirs(o) for (_, theirs), _ in parts] + [last[1](o)], ends)

    agree(
        Chain([*((ours(initial), steps) for (ours, _), steps in parts), (last[0](initial), None)]), initial, scheduler
    )


def test_comparison_with_torch_notices_a_wrong_rate() -> None:
    with pytest.raises(AssertionError):
        agree(Step(0.1, 10, 0.5), 0.1, lambda o: ours_to_match.StepLR(o, 11, 0.5))
