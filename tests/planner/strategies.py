"""Hypothesis strategies that draw sequences, configs and lists of trials, and the plain formulas to judge them by.

Parameters come from small pools on purpose: trials that begin alike, meet again or say one thing in two ways must be
common, not lucky. Strategies are kept: building one takes longer than drawing from it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

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
    Piecewise,
    Polynomial,
    Sequence,
    Step,
    Values,
    Warmup,
)
from hive.planner.space import Config

__all__ = ["configs", "constant_sequences", "formula", "numbers", "sequences", "trials", "values"]

STEPS_MAX = 12


often = settings(max_examples=max(500, settings().max_examples))
"""For what the planner promises: it must be right beyond doubt. `HIVE_TEST_EXAMPLES=20000` draws so many."""


def pooled(*pool: float) -> st.SearchStrategy[float]:
    return st.sampled_from(pool)


@cache
def numbers() -> st.SearchStrategy[float]:
    """Numbers as people write them: an int or a few decimal digits."""
    decimals = st.builds(lambda digits, places: digits / 10**places, st.integers(-999, 9999), st.integers(1, 6))
    return pooled(0.1, 0.01, 1, 1.0, 0.05, 128, 2, 0.0) | decimals


@cache
def gammas() -> st.SearchStrategy[float]:
    return pooled(0.1, 0.5, 2, 0.9, 1, 10, 0) | st.integers(1, 120).map(lambda n: n / 100)


def lengths() -> st.SearchStrategy[int]:
    return st.integers(1, STEPS_MAX)


@cache
def milestones() -> st.SearchStrategy[list[int]]:
    return st.lists(lengths(), max_size=4, unique=True).map(sorted)


@cache
def values() -> st.SearchStrategy[Any]:
    """Values of every type, alike ones of different types among them."""
    plain = st.sampled_from([None, True, 1, 1.0, 0, -0.0, 0.1, 0.1 * 3, 0.3, "sgd", "adam", "1"]) | numbers()
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@st.composite
def piecewise(draw: st.DrawFn) -> Sequence:
    edges = draw(milestones())
    return Piecewise(draw(st.lists(values(), min_size=len(edges) + 1, max_size=len(edges) + 1)), edges)


@st.composite
def chains(draw: st.DrawFn, inner: st.SearchStrategy[Sequence]) -> Sequence:
    first = draw(st.lists(st.tuples(inner, lengths()), max_size=2))
    return Chain([*first, (draw(inner), None)])


@cache
def plain_constants() -> st.SearchStrategy[Sequence]:
    return st.one_of(
        st.builds(Constant, values()),
        st.builds(Step, numbers(), lengths(), gammas()),
        st.builds(MultiStep, numbers(), milestones(), gammas()),
        piecewise(),
        st.builds(Values, st.lists(values(), min_size=1, max_size=6)),
    )


@cache
def constant_sequences() -> st.SearchStrategy[Sequence]:
    """Sequences all of whose pieces are constants."""
    return plain_constants() | chains(plain_constants())


@cache
def curves() -> st.SearchStrategy[Sequence]:
    share = st.integers(0, 10).map(lambda tenths: tenths / 10)
    return st.one_of(
        st.builds(Exponential, numbers(), gammas()),
        st.builds(Linear, numbers(), numbers(), lengths()),
        st.builds(Polynomial, numbers(), lengths(), pooled(0, 0.5, 1, 2, 3.5)),
        st.builds(Cosine, numbers(), lengths(), numbers()),
        st.builds(CosineWarmRestarts, numbers(), lengths(), st.integers(1, 3), numbers()),
        st.builds(Cyclic, numbers(), numbers(), lengths(), st.none() | lengths()),
        st.builds(OneCycle, numbers(), lengths(), share, pooled(1, 10, 25), pooled(1, 1e4)),
    )


@cache
def sequences() -> st.SearchStrategy[Sequence]:
    """Sequences of all fourteen kinds, one in another too."""
    return st.recursive(
        plain_constants() | curves(),
        lambda inner: st.builds(Warmup, lengths(), numbers(), inner) | chains(inner),
        max_leaves=4,
    )


NAMES = ("lr", "batch_size", "momentum")


def configs(names: tuple[str, ...] = NAMES, of: st.SearchStrategy[Sequence] | None = None) -> st.SearchStrategy[Config]:
    """Configs with exactly these hyper-parameters, each `of` these sequences (None: any)."""
    return st.fixed_dictionaries(dict.fromkeys(names, of if of is not None else sequences()))


@st.composite
def trials(draw: st.DrawFn, of: st.SearchStrategy[Sequence] | None = None) -> list[tuple[Config, int]]:
    """Trials, (config, steps) each, as a grid has them: few sequences for each hyper-parameter, so that many share."""
    pool = draw(st.lists(of if of is not None else sequences(), min_size=2, max_size=4))
    config = configs(NAMES[:2], st.sampled_from(pool))
    return draw(st.lists(st.tuples(config, st.integers(1, 2 * STEPS_MAX)), min_size=2, max_size=6))


def formula(d: dict[str, Any], t: int) -> Any:
    """Return the value that the table of formulas gives for a descriptor at step t, in plain floating point."""
    p = d | {"past": sum(milestone <= t for milestone in d.get("milestones", []))}
    return FORMULAS[d["fn"]](p, t)


def cosine(initial: float, final: float, share: float) -> float:
    return final + (initial - final) * (1 + math.cos(math.pi * share)) / 2


def restarts(p: dict[str, Any], t: int) -> float:
    length = p["t_0"]
    while t >= length:
        t, length = t - length, length * p.get("t_mult", 1)
    return cosine(p["initial"], p.get("final", 0), t / length)


def triangle(p: dict[str, Any], t: int) -> float:
    up, down = p["step_size_up"], p.get("step_size_down", p["step_size_up"])
    place = t % (up + down)
    share = place / up if place <= up else 1 - (place - up) / down
    return float(p["base"] + (p["max"] - p["base"]) * share)


def one_cycle(p: dict[str, Any], t: int) -> float:
    top, end = p["max"], p["steps"] - 1
    low = top / p.get("div", 25)
    peak, t = round(p.get("pct_start", 0.3) * p["steps"] - 1, 9), min(t, end)
    if 0 <= t <= peak and peak > 0:
        return cosine(low, top, t / peak)
    return cosine(top, low / p.get("final_div", 1e4), (t - peak) / (end - peak)) if end > peak else float(top)


def chained(p: dict[str, Any], t: int) -> Any:
    for inner, steps in p["parts"]:
        if steps is None or t < steps:
            return formula(inner, t)
        t -= steps
    raise AssertionError("the last part has an end")


FORMULAS: dict[str, Any] = {
    "Constant": lambda p, t: p["value"],
    "Step": lambda p, t: p["initial"] * p["gamma"] ** (t // p["step_size"]),
    "MultiStep": lambda p, t: p["initial"] * p["gamma"] ** p["past"],
    "Piecewise": lambda p, t: p["values"][p["past"]],
    "Exponential": lambda p, t: p["initial"] * p["gamma"] ** t,
    "Linear": lambda p, t: p["initial"] + (p["final"] - p["initial"]) * min(t, p["steps"]) / p["steps"],
    "Polynomial": lambda p, t: p["initial"] * (1 - min(t, p["steps"]) / p["steps"]) ** p.get("power", 1),
    "Cosine": lambda p, t: cosine(p["initial"], p.get("final", 0), min(t, p["steps"]) / p["steps"]),
    "CosineWarmRestarts": restarts,
    "Cyclic": triangle,
    "OneCycle": one_cycle,
    "Warmup": lambda p, t: p["target"] * (t + 1) / p["steps"] if t < p["steps"] else formula(p["then"], t - p["steps"]),
    "Chain": chained,
    "Values": lambda p, t: p["values"][min(t, len(p["values"]) - 1)],
}
