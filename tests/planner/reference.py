"""The sequences once more, from the table of docs/protocol.md alone, in exact arithmetic; it makes docs/vectors.json.

Fractions where a value is rational, decimals of 60 digits where it is not. Nothing here is hive's: that hive agrees is
what tests/planner/test_vectors.py shows. `python -m tests.planner.reference` writes the file anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[2] / "docs" / "vectors.json"

PRECISE = Context(prec=60, rounding=ROUND_HALF_EVEN)
DIGITS = 12
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

TIE_DISTANCE = Decimal("0.001")
"""Of a unit of the last digit: a vector nearer to a tie would test the arithmetic of whoever reads it."""

Descriptor = dict[str, Any]


def value(d: Descriptor, t: int) -> Any:
    """The value of a descriptor at step t: typed as it must be, a float rounded."""
    p = {"power": 1, "t_mult": 1, "pct_start": 0.3, "div": 25, "final_div": 1e4} | decoded(d)
    return VALUES[d["fn"]](p, t)


def decoded(d: Any) -> Any:
    """With marked floats as floats."""
    if isinstance(d, dict):
        return float(d["float"]) if set(d) == {"float"} else {key: decoded(each) for key, each in d.items()}
    return [decoded(each) for each in d] if isinstance(d, list) else d


def marked(x: Any) -> Any:
    """A value as the file has it: whole floats are marked."""
    if isinstance(x, list):
        return [marked(each) for each in x]
    return {"float": int(x)} if isinstance(x, float) and x.is_integer() else x


# -- numbers --------------------------------------------------------------------------------------------------------


def exact(x: float) -> Fraction:
    """The number that x's decimal text says."""
    return Fraction(repr(x))


def rounded(x: Fraction | Decimal) -> float:
    """The float of x's first 12 digits."""
    if x == 0:
        return 0.0
    with localcontext(PRECISE):
        decimal = Decimal(x.numerator) / Decimal(x.denominator) if isinstance(x, Fraction) else x
        kept = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN).plus(decimal)
        unit = Decimal(1).scaleb(kept.adjusted() + 1 - DIGITS)
        assert abs(abs(decimal - kept) / unit - Decimal("0.5")) > TIE_DISTANCE, f"{x} is next to a tie"
    return float(kept)


def typed(x: Fraction, initial: float) -> float:
    """A constant that comes from `initial`: an int where both are whole."""
    number = rounded(x)
    return int(number) if isinstance(initial, int) and number.is_integer() else number


def listed(x: Any) -> Any:
    """A value that is given: as it is, its floats rounded."""
    if isinstance(x, list):
        return [listed(each) for each in x]
    return rounded(exact(x)) if isinstance(x, float) else x


def precise(x: Fraction) -> Decimal:
    with localcontext(PRECISE):
        return Decimal(x.numerator) / Decimal(x.denominator)


def cosine(x: Decimal) -> Decimal:
    """cos(x) by its series."""
    with localcontext(PRECISE):
        term = total = Decimal(1)
        place = 0
        while abs(term) > Decimal(10) ** -58:
            place += 2
            term *= -x * x / (place * (place - 1))
            total += term
        return total


def wave(first: Fraction, last: Fraction, share: Fraction) -> float:
    """Half a cosine from `first` at share 0 to `last` at share 1."""
    with localcontext(PRECISE):
        weight = (1 + cosine(PI * precise(share))) / 2
        return rounded(precise(last) + precise(first - last) * weight)


# -- sequences ------------------------------------------------------------------------------------------------------


def power_of(p: Descriptor, n: int) -> Any:
    """initial * gamma ** n."""
    if n == 0 or p["gamma"] == 1:
        return listed(p["initial"])
    return typed(exact(p["initial"]) * exact(p["gamma"]) ** n, p["initial"])


def passed(p: Descriptor, t: int) -> int:
    return sum(milestone <= t for milestone in p["milestones"])


def exponential(p: Descriptor, t: int) -> Any:
    found = power_of(p, t)
    return found if p["gamma"] in (0, 1) or p["initial"] == 0 else float(found)


def curve(p: Descriptor, t: int, final: float, at: Callable[[Fraction], float]) -> Any:
    """A curve from `initial` to `final` over `steps`: constant with equal ends, and in the first of a single step."""
    if p["initial"] == final or (t == 0 and p["steps"] == 1):
        return listed(p["initial"])
    return at(Fraction(t, p["steps"])) if t < p["steps"] else float(listed(final))


def linear(p: Descriptor, t: int) -> Any:
    first, last = exact(p["initial"]), exact(p["final"])
    return curve(p, t, p["final"], lambda share: rounded(first + (last - first) * share))


def polynomial(p: Descriptor, t: int) -> Any:
    if p["power"] == 0:
        return listed(p["initial"])
    with localcontext(PRECISE):
        power, first = precise(exact(p["power"])), precise(exact(p["initial"]))
        return curve(p, t, 0, lambda share: rounded(first * precise(1 - share) ** power))


def half_wave(p: Descriptor, t: int) -> Any:
    final = p.get("final", 0)
    return curve(p, t, final, lambda share: wave(exact(p["initial"]), exact(final), share))


def warm_restarts(p: Descriptor, t: int) -> Any:
    length = p["t_0"]
    while t >= length:
        t, length = t - length, length * p["t_mult"]
    return half_wave(p | {"steps": length}, t)


def cyclic(p: Descriptor, t: int) -> float:
    up, base, top = p["step_size_up"], exact(p["base"]), exact(p["max"])
    down = p.get("step_size_down") or up
    place = t % (up + down)
    share = Fraction(place, up) if place <= up else 1 - Fraction(place - up, down)
    return rounded(base + (top - base) * share)


def one_cycle(p: Descriptor, t: int) -> float:
    top, end = exact(p["max"]), p["steps"] - 1
    low, t = top / exact(p["div"]), min(t, p["steps"] - 1)
    peak = exact(p["pct_start"]) * p["steps"] - 1
    if peak > 0 and t <= peak:
        return wave(low, top, t / peak)
    return wave(top, low / exact(p["final_div"]), (t - peak) / (end - peak)) if end > peak else rounded(top)


def warmup(p: Descriptor, t: int) -> Any:
    if t >= p["steps"]:
        return value(p["then"], t - p["steps"])
    return rounded(exact(p["target"]) * Fraction(t + 1, p["steps"]))


def chain(p: Descriptor, t: int) -> Any:
    for inner, steps in p["parts"]:
        if steps is None or t < steps:
            return value(inner, t)
        t -= steps
    raise AssertionError("the last part has an end")


VALUES: dict[str, Callable[[Descriptor, int], Any]] = {
    "Constant": lambda p, t: listed(p["value"]),
    "Step": lambda p, t: power_of(p, t // p["step_size"]),
    "MultiStep": lambda p, t: power_of(p, passed(p, t)),
    "Piecewise": lambda p, t: listed(p["values"][passed(p, t)]),
    "Exponential": exponential,
    "Linear": linear,
    "Polynomial": polynomial,
    "Cosine": half_wave,
    "CosineWarmRestarts": warm_restarts,
    "Cyclic": cyclic,
    "OneCycle": one_cycle,
    "Warmup": warmup,
    "Chain": chain,
    "Values": lambda p, t: listed(p["values"][min(t, len(p["values"]) - 1)]),
}


# -- the file -------------------------------------------------------------------------------------------------------


def descriptor(fn: str, **parameters: Any) -> Descriptor:
    return {"fn": fn, **parameters}


def one_float(x: int) -> dict[str, int]:
    return {"float": x}


def constants() -> Iterator[tuple[Descriptor, list[int]]]:
    for plain in (
        1,
        one_float(1),
        True,
        False,
        None,
        "sgd",
        "",
        0,
        {"float": -0.0},
        0.1,
        0.30000000000000004,
        1 / 3,
        2**53 + 1,
    ):
        yield descriptor("Constant", value=plain), [0, 10**6]
    yield descriptor("Constant", value=[1, one_float(1), [True, None, "a", 0.1 * 3], []]), [0]
    yield descriptor("Constant", value=123456789.0123456), [0]
    yield descriptor("Step", initial=0.1, step_size=30, gamma=0.1), [0, 29, 30, 60, 90, 299]
    yield descriptor("Step", initial=8, step_size=1, gamma=0.5), [0, 1, 2, 3, 4, 5]
    yield descriptor("Step", initial=1, step_size=2, gamma=-1), [0, 1, 2, 3, 4]
    yield descriptor("Step", initial=5, step_size=2, gamma=0), [0, 1, 2, 100]
    yield descriptor("Step", initial=one_float(8), step_size=1, gamma=0.5), [0, 1, 3, 4]
    yield descriptor("MultiStep", initial=128, milestones=[40], gamma=2), [0, 39, 40, 41]
    yield descriptor("MultiStep", initial=32, milestones=[40], gamma=0.5), [39, 40]
    yield descriptor("MultiStep", initial=one_float(128), milestones=[40], gamma=2), [39, 40]
    yield descriptor("MultiStep", initial=0.1, milestones=[90, 135], gamma=0.1), [0, 89, 90, 134, 135, 10**9]
    yield descriptor("MultiStep", initial=3, milestones=[1, 2, 3], gamma=0.1), [0, 1, 2, 3]
    yield descriptor("MultiStep", initial=7, milestones=[5], gamma=1), [4, 5]
    yield descriptor("MultiStep", initial=0.1, milestones=[], gamma=0.1), [0, 50]
    yield descriptor("Piecewise", values=[128, one_float(256), 256, "all"], milestones=[1, 2, 70]), [0, 1, 2, 69, 70]
    yield descriptor("Piecewise", values=[[1, 2], None], milestones=[3]), [2, 3]
    yield descriptor("Values", values=[1, 1, "b", 0.1, one_float(2)]), [0, 1, 2, 3, 4, 5, 1000]
    yield descriptor("Values", values=[0.5]), [0, 1]


def curves() -> Iterator[tuple[Descriptor, list[int]]]:
    yield descriptor("Exponential", initial=0.1, gamma=0.95), [0, 1, 2, 10, 100, 1000]
    yield descriptor("Exponential", initial=128, gamma=0.5), [0, 1, 7, 8]
    yield descriptor("Exponential", initial=128, gamma=1), [0, 9]
    yield descriptor("Exponential", initial=3, gamma=0), [0, 1, 2]
    yield descriptor("Exponential", initial=0.01, gamma=1.1), [0, 1, 200]
    yield descriptor("Exponential", initial=-2, gamma=-0.5), [0, 1, 2, 3]
    yield descriptor("Linear", initial=0.1, final=0.001, steps=100), [0, 1, 33, 99, 100, 101]
    yield descriptor("Linear", initial=0, final=10, steps=4), [0, 1, 2, 3, 4, 5]
    yield descriptor("Linear", initial=8, final=10, steps=1), [0, 1, 2]
    yield descriptor("Linear", initial=7, final=one_float(7), steps=3), [0, 3, 4]
    yield descriptor("Linear", initial=2e-05, final=0, steps=30000), [0, 1, 26999, 29999, 30000]
    yield descriptor("Polynomial", initial=0.1, steps=8), [0, 1, 7, 8, 9]
    yield descriptor("Polynomial", initial=0.1, steps=300, power=0.9), [0, 1, 150, 299, 300]
    yield descriptor("Polynomial", initial=2, steps=4, power=2), [0, 1, 2, 3, 4]
    yield descriptor("Polynomial", initial=5, steps=4, power=0), [0, 4, 9]
    yield descriptor("Cosine", initial=0.1, steps=200), [0, 1, 66, 100, 199, 200, 10**6]
    yield descriptor("Cosine", initial=1, steps=2, final=0.5), [0, 1, 2]
    yield descriptor("Cosine", initial=1e-08, steps=50, final=0.51), [0, 1, 25, 49, 50]
    yield descriptor("Cosine", initial=3, steps=1), [0, 1, 2]
    yield descriptor("Cosine", initial=3, steps=5, final=3), [0, 5]
    yield descriptor("CosineWarmRestarts", initial=0.1, t_0=20), [0, 10, 19, 20, 30, 1019]
    yield descriptor("CosineWarmRestarts", initial=1, t_0=1, t_mult=2, final=0.1), [0, 1, 2, 3, 4, 6, 7, 1022, 1023]
    yield descriptor("CosineWarmRestarts", initial=1, t_0=1), [0, 1, 2]
    yield descriptor("Cyclic", base=0.001, max=0.1, step_size_up=20), [0, 1, 19, 20, 21, 39, 40, 4013]
    yield descriptor("Cyclic", base=0, max=1, step_size_up=1, step_size_down=3), [0, 1, 2, 3, 4, 5]
    yield descriptor("Cyclic", base=1, max=1, step_size_up=3), [0, 2]
    yield descriptor("OneCycle", max=0.1, steps=100), [0, 1, 29, 30, 65, 99, 100, 500]
    yield descriptor("OneCycle", max=1, steps=10, pct_start=0.25), [0, 1, 2, 9]
    yield descriptor("OneCycle", max=1, steps=5, pct_start=0.6, div=4, final_div=10), [0, 1, 2, 3, 4, 5]
    yield descriptor("OneCycle", max=1, steps=4, pct_start=0), [0, 1, 3, 4]
    yield descriptor("OneCycle", max=1, steps=3, pct_start=1, div=4), [0, 1, 2, 3]
    yield descriptor("OneCycle", max=1, steps=1), [0, 1]


def composed() -> Iterator[tuple[Descriptor, list[int]]]:
    decay = descriptor("MultiStep", initial=0.1, milestones=[55, 85], gamma=0.1)
    yield descriptor("Warmup", steps=5, target=0.1, then=decay), [0, 1, 4, 5, 59, 60, 89, 90]
    yield descriptor("Warmup", steps=1, target=1, then=descriptor("Constant", value=3)), [0, 1]
    yield descriptor("Warmup", steps=3, target=0, then=descriptor("Constant", value=3)), [0, 2, 3]
    yield descriptor("Warmup", steps=3, target=1, then=descriptor("Exponential", initial=1, gamma=0.5)), [0, 1, 2, 3, 4]
    inner = descriptor("Warmup", steps=2, target=1, then=descriptor("Cosine", initial=1, steps=4))
    parts = [
        [descriptor("Linear", initial=0, final=10, steps=10), 2],
        [inner, 5],
        [descriptor("Constant", value="end"), None],
    ]
    yield descriptor("Chain", parts=parts), [0, 1, 2, 3, 4, 5, 6, 7, 1000]
    parts = [
        [descriptor("Cosine", initial=1, steps=8), 1],
        [descriptor("Constant", value=one_float(1)), 3],
        [decay, None],
    ]
    yield descriptor("Chain", parts=parts), [0, 1, 3, 4, 58, 59]
    parts = [[descriptor("Step", initial=64, step_size=2, gamma=2), 5], [descriptor("Values", values=[1, 2]), None]]
    yield descriptor("Chain", parts=parts), [0, 2, 4, 5, 6, 7]


REFUSED: list[Any] = [
    {"fn": "Nope"},
    {"value": 1},
    {"fn": "Constant"},
    {"fn": "Constant", "value": {"a": 1}},
    {"fn": "Constant", "value": 2**63},
    {"fn": "Constant", "value": 1, "steps": 3},
    {"fn": "Step", "initial": "0.1", "step_size": 1, "gamma": 1},
    {"fn": "Step", "initial": True, "step_size": 1, "gamma": 1},
    {"fn": "Step", "initial": 1, "step_size": 0, "gamma": 1},
    {"fn": "Step", "initial": 1, "step_size": {"float": 1}, "gamma": 1},
    {"fn": "MultiStep", "initial": 1, "milestones": [0], "gamma": 1},
    {"fn": "MultiStep", "initial": 1, "milestones": [60, 60], "gamma": 1},
    {"fn": "Piecewise", "values": [1, 2], "milestones": [5, 6]},
    {"fn": "Values", "values": []},
    {"fn": "Polynomial", "initial": 1, "steps": 5, "power": -1},
    {"fn": "CosineWarmRestarts", "initial": 1, "t_0": 5, "t_mult": 1.5},
    {"fn": "OneCycle", "max": 1, "steps": 5, "pct_start": 1.5},
    {"fn": "OneCycle", "max": 1, "steps": 5, "div": 0},
    {"fn": "Warmup", "steps": 5, "target": 1, "then": 0.1},
    {"fn": "Chain", "parts": []},
    {"fn": "Chain", "parts": [[{"fn": "Constant", "value": 1}, 3]]},
]

ABOUT = (
    "Sequences of hive's protocol (docs/protocol.md, Descriptors): what each descriptor's value is at a step. "
    "A whole float is written as an object with the key float. What is listed as refused are no descriptors."
)


def lines() -> Iterator[str]:
    """The file, a vector in a line."""
    yield f'{{"about": {json.dumps(ABOUT)},\n "vectors": ['
    vectors = [
        {"descriptor": d, "values": [[t, marked(value(d, t))] for t in steps]}
        for part in (constants(), curves(), composed())
        for d, steps in part
    ]
    yield ",\n".join(f"  {json.dumps(vector)}" for vector in vectors)
    yield ' ],\n "refused": ['
    yield ",\n".join(f"  {json.dumps(d)}" for d in REFUSED)
    yield " ]}"


def text() -> str:
    """What the file holds."""
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
