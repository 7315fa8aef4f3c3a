"""The model of training: equal beginnings are equally good, and what weighs more makes more of a difference."""

from __future__ import annotations

from statistics import pstdev

from hypothesis import given
from hypothesis import strategies as st

from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import Config, segments
from hive.simulation.quality import QualityModel, State

steps = st.integers(1, 12)
rates = st.builds(lambda at: MultiStep(1, sorted(at), 0.5), st.sets(steps, max_size=3))


def trained(model: QualityModel, config: Config, to: int, stops: set[int]) -> State:
    """A state, trained with stops on the way."""
    state = model.begin()
    for segment in segments(config, to):
        ends = sorted({*(stop for stop in stops if segment.start < stop < segment.end), segment.end})
        for start, end in zip([segment.start, *ends], ends, strict=False):
            state = model.train(state, segment.forms, start, end)
    return state


@given(rates, steps, st.sets(steps), st.sets(steps))
def test_state_does_not_depend_on_where_training_stopped_on_the_way(
    rate: MultiStep, to: int, some: set[int], others: set[int]
) -> None:
    model = QualityModel(1.0)
    one, other = (trained(model, {"lr": rate}, to, stops) for stops in (some, others))
    assert model.digest(one) == model.digest(other)
    assert model.metrics(one, to) == model.metrics(other, to)


@given(rates, rates, steps)
def test_states_are_equal_as_long_as_all_values_were(one: MultiStep, other: MultiStep, to: int) -> None:
    model = QualityModel(1.0)
    digests = [model.digest(trained(model, {"lr": rate}, to, set())) for rate in (one, other)]
    assert (digests[0] == digests[1]) == all(one(step) == other(step) for step in range(to))


def score(model: QualityModel, config: Config) -> float:
    return model.metrics(trained(model, config, 9, set()), 9)["score"]


def test_weights_say_how_much_a_choice_matters() -> None:
    model = QualityModel(1.0, {"optimizer": 1.0, "lr": 0.01})
    light = [score(model, {"optimizer": Constant(0), "lr": Constant(n)}) for n in range(200)]
    heavy = [score(model, {"optimizer": Constant(n), "lr": Constant(0)}) for n in range(200)]
    assert 0.8 < pstdev(heavy) < 1.2
    assert 0.008 < pstdev(light) < 0.012


def test_seed_says_who_is_good_and_time_is_good_for_all() -> None:
    config: Config = {"lr": Constant(1)}
    assert score(QualityModel(1.0, seed=1), config) != score(QualityModel(1.0, seed=2), config)
    model = QualityModel(1.0)
    scores = [model.metrics(trained(model, config, to, set()), to)["score"] for to in (1, 10, 100)]
    assert scores == sorted(scores)
