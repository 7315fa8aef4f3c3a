"""What a call leaves no trace of."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch

from hive.training.isolation import (
    Isolation,
    capture_generators,
    restore_flags,
    restore_generators,
    seed_for,
    seed_generators,
)


def draws() -> tuple[float, float, float]:
    return random.random(), float(numpy.random.normal()), float(torch.randn(()))


def test_generators_go_on_where_they_were_captured() -> None:
    seed_generators(3)
    random.gauss(0, 1)
    numpy.random.normal()
    torch.randn(3)
    states = capture_generators()
    first = [draws() for _ in range(3)]
    seed_generators(4)
    restore_generators(states, 3)
    assert [draws() for _ in range(3)] == first


def test_generators_are_seeded_apart_by_seed_and_step() -> None:
    seeds = {seed_for(seed, step) for seed in (0, 1, 11) for step in (0, 1, 11, 111)}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generator_missing_from_a_capture_is_seeded() -> None:
    seed_generators(3)
    expected = draws()
    states = capture_generators()
    del states["numpy"]
    seed_generators(4)
    restore_generators(states, 3)
    assert float(numpy.random.normal()) == expected[1]


def holder() -> Any:
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout())
    inner = SimpleNamespace(net=net, generator=numpy.random.default_rng(1))
    return SimpleNamespace(deep=[{"x": (inner,)}], generator=random.Random(1), old=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("undone", [True, False])
def test_isolation_puts_back_what_a_call_touched(undone: bool) -> None:
    trainer = holder()
    inner = trainer.deep[0]["x"][0]

    def look() -> list[Any]:
        flags = [module.training for module in inner.net.modules()]
        state = [buffer.clone().tolist() for buffer in inner.net.buffers()]
        own = [trainer.generator.getstate(), inner.generator.bit_generator.state, trainer.old.get_state().tolist()]
        return [capture_generators(), flags, state, own, torch.is_grad_enabled()]

    def touch() -> None:
        inner.net(torch.randn(4, 2))
        inner.net.eval()
        inner.net[0].running_mean = torch.ones(2)
        random.random(), numpy.random.rand(), trainer.generator.random(), inner.generator.random()
        torch.randn(2, generator=trainer.old)
        torch.set_grad_enabled(False)

    before = look()
    try:
        if undone:
            with Isolation(trainer, 0) as isolation:
                isolation.keep_buffers()
                touch()
        else:
            touch()
        same = [one == other for one, other in zip(before, look(), strict=True)]
    finally:
        torch.set_grad_enabled(True)
    assert same == [undone] * 5


def test_isolation_keeps_the_buffers_themselves() -> None:
    trainer = holder()
    net = trainer.deep[0]["x"][0].net
    mean = net[0].running_mean
    with Isolation(trainer, 0) as isolation:
        isolation.keep_buffers()
        net[0].running_mean = torch.ones(2)
    assert net[0].running_mean is mean


def test_isolation_passes_modules_and_optimizers_by_when_it_searches() -> None:
    net = torch.nn.Linear(1, 1)
    trainer = SimpleNamespace(torch=torch, optimizer=torch.optim.SGD(net.parameters()), kind=torch.nn.Linear)
    with Isolation(trainer, 0) as before:
        assert before.flags == []
        assert before.own == []


def test_flags_are_left_alone_when_the_modules_are_others() -> None:
    trainer = holder()
    net = trainer.deep[0]["x"][0].net
    restore_flags(trainer, b"\x00\x00")
    assert net.training
    restore_flags(trainer, b"\x01\x00\x01")
    assert [module.training for module in net.modules()] == [True, False, True]
