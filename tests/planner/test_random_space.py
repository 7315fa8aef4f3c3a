"""Random spaces: draws that depend on nothing but their key, the distributions' bounds, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive import Chain, Constant, Exponential, MultiStep, RandomSpace, SpaceError, Warmup, choice, randint, uniform
from hive.errors import SequenceError
from hive.planner.random_space import chance_of
from hive.planner.sequence_base import Sequence

LR = Exponential(uniform(0.001, 1, log=True), uniform(0.9, 0.99))


def space(n: int = 20, seed: int = 0, **more: Any) -> RandomSpace:
    return RandomSpace({"lr": LR, **more}, n=n, steps=10, seed=seed)


@given(st.integers(1, 30), st.integers(0, 2**40))
def test_draws_stay_what_they_are_when_there_are_more_of_them_or_more_hyper_parameters(n: int, seed: int) -> None:
    alone = space(n, seed).configs()
    assert space(n + 3, seed).configs()[:n] == alone
    wider = space(n, seed, batch_size=Constant(choice([16, 32]))).configs()
    assert [config["lr"] for config in wider] == [config["lr"] for config in alone]


def test_draws_are_the_same_on_every_machine() -> None:
    """The hash of the key is all the chance there is."""
    assert chance_of(0, 0, "lr", ".initial") == 0.42727875859180675
    assert space(2).configs()[0]["lr"] == Exponential(0.0191353440768, 0.986439708573)


def test_draws_differ_by_seed_number_hyper_parameter_and_place() -> None:
    chances = [chance_of(0, 0, "a", ""), chance_of(1, 0, "a", ""), chance_of(0, 1, "a", ""), chance_of(0, 0, "b", "")]
    assert len({*chances, chance_of(0, 0, "a", ".x")}) == 5
    assert len({config["lr"] for config in space().configs()}) == 20


@given(st.integers(0, 2**40), st.integers(-50, 50), st.integers(0, 50))
def test_every_draw_lies_within_its_bounds(seed: int, low: int, width: int) -> None:
    drawn = RandomSpace(
        {
            "flat": Constant(uniform(low, low + width + 1)),
            "log": Constant(uniform(1e-6, 1e6, log=True)),
            "int": Constant(randint(low, low + width)),
            "one": Constant(choice(["a", 3, None])),
        },
        n=5,
        steps=1,
        seed=seed,
    )
    for config in drawn.configs():
        values = {name: sequence(0) for name, sequence in config.items()}
        assert isinstance(values["flat"], float)
        assert low <= values["flat"] <= low + width + 1
        assert isinstance(values["log"], float)
        assert 1e-6 <= values["log"] <= 1e6
        assert type(values["int"]) is int
        assert low <= values["int"] <= low + width
        assert values["one"] in ("a", 3, None)


def test_int_may_be_either_bound_and_each_is_as_likely() -> None:
    drawn = RandomSpace({"depth": Constant(randint(1, 3)), "id": Constant(uniform(0, 1))}, n=600, steps=1).configs()
    counts = [sum(config["depth"](0) == depth for config in drawn) for depth in (1, 2, 3)]
    assert sum(counts) == 600
    assert all(150 < count < 250 for count in counts)


def test_logarithm_draws_every_order_of_magnitude_as_often() -> None:
    drawn = RandomSpace({"lr": Constant(uniform(1e-4, 1, log=True))}, n=800, steps=1).configs()
    values = [config["lr"](0) for config in drawn]
    assert all(150 < sum(10.0**-k <= float(v) < 10.0 ** (1 - k) for v in values) < 250 for k in (1, 2, 3, 4))  # type: ignore[arg-type]


def test_sequences_in_sequences_and_lists_are_drawn_too() -> None:
    nested = Chain([(Warmup(randint(1, 3), uniform(0.1, 1), then=LR), randint(4, 6)), (Constant(choice([0, 1])), None)])
    (config,) = RandomSpace({"lr": nested, "milestones": MultiStep(1, [randint(1, 3), 7], 0.1)}, n=1, steps=9).configs()
    assert isinstance(config["lr"](8), int)
    assert 0 < float(config["lr"](3)) <= 1  # type: ignore[arg-type]
    assert config["milestones"](8) == 0.01


def test_choice_may_be_among_sequences_that_are_drawn_themselves() -> None:
    drawn = RandomSpace({"lr": choice([Constant(0.1), LR])}, n=20, steps=5).configs()
    kinds = {type(config["lr"]) for config in drawn}
    assert kinds == {Constant, Exponential}


@dataclass(frozen=True, eq=False)
class Falling(Sequence):
    """A sequence of a user's own."""

    top: float

    def lower(self) -> Sequence:
        return Exponential(self.top, 0.5)


def test_user_s_own_sequence_is_drawn_by_its_fields() -> None:
    (config,) = RandomSpace({"lr": Falling(uniform(1, 2))}, n=1, steps=5).configs()
    assert 1 <= float(config["lr"](0)) <= 2  # type: ignore[arg-type]


def test_equal_draws_are_one_trial() -> None:
    assert len(RandomSpace({"lr": Constant(choice([1, 2]))}, n=50, steps=1).configs()) == 2


def test_conditions_take_hyper_parameters_out() -> None:
    conditions = [{"hp": "momentum", "active_if": {"optimizer": ["sgd"]}}]
    params = {"optimizer": Constant(choice(["sgd", "adam"])), "momentum": Constant(uniform(0, 1))}
    drawn = RandomSpace(params, n=20, steps=1, conditions=conditions)
    assert drawn.names == ("optimizer", "momentum")
    for config in drawn.configs():
        assert ("momentum" in config) == (config["optimizer"](0) == "sgd")
        drawn.check(config)


def test_configs_are_the_caller_s_own() -> None:
    drawn = space(2)
    drawn.configs()[0].clear()
    assert drawn.configs()[0]


def test_config_of_another_space_is_refused() -> None:
    with pytest.raises(SpaceError, match="momentum"):
        space().check({"lr": Constant(1), "momentum": Constant(0.9)})
    with pytest.raises(SpaceError, match="lacks lr"):
        space().check({})


def test_sequence_that_is_not_drawn_has_no_values_and_no_descriptor() -> None:
    for use in (lambda: LR(0), LR.descriptor, lambda: Warmup(2, 0.1, then=LR)(5)):
        with pytest.raises(SequenceError, match=r"uniform\(0\.001, 1, log=True\).*RandomSpace"):
            use()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: uniform(1, 1), "below the second"),
        (lambda: uniform(0, 1, log=True), "above 0"),
        (lambda: uniform(float("nan"), 1), "finite"),
        (lambda: uniform("0", 1), "finite"),  # type: ignore[arg-type]
        (lambda: uniform(-1.7e308, 1.7e308), "below the second"),
        (lambda: randint(2, 1), "must not lie above"),
        (lambda: randint(1, 2.5), "int"),  # type: ignore[arg-type]
        (lambda: randint(True, 2), "int"),
        (lambda: choice([]), "at least one"),
        (lambda: choice("ab"), "list"),
        (lambda: space(n=0), "n must"),
        (lambda: space(seed=-1), "seed"),
        (lambda: RandomSpace({}, n=1, steps=1), "at least one hyper-parameter"),
        (lambda: RandomSpace({"lr": LR}, n=1, steps=0), "steps"),
        (lambda: RandomSpace({"lr": [LR]}, n=1, steps=1), r"lr.*choice"),
        (lambda: RandomSpace({"lr": uniform(0, 1)}, n=1, steps=1), r"Constant\(uniform\(0, 1\)\)"),
        (lambda: RandomSpace({"lr": choice([0.1])}, n=1, steps=1), r"draw 0.*Constant\(0\.1\)"),
        (lambda: RandomSpace({"lr": MultiStep(1, [randint(5, 9), 3], 0.1)}, n=1, steps=1), "lr, draw 0.*milestones"),
        (lambda: RandomSpace({"lr": Exponential(uniform(1, 2), 1e10)}, n=1, steps=100), "lr, draw 0"),
        (lambda: RandomSpace({"lr": LR}, n=1, steps=1, conditions=[{"hp": "x", "active_if": {}}]), "active_if"),
    ],
)
def test_space_says_what_is_wrong_with_it(make: Any, named: str) -> None:
    with pytest.raises(SpaceError, match=named):
        make()
