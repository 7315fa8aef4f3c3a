"""`Trainer`: the class users subclass to say how their model is made, trained and measured.

It must not know who calls it, and importing it loads neither torch nor NumPy.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hive.training.state import load_attributes, save_attributes

if TYPE_CHECKING:
    from hive.planner.pieces import Value

__all__ = ["Trainer"]


class Trainer(abc.ABC):
    """One model in training. hive makes an instance, sets `device`, `seed` and `fixed`, then calls the methods below.

    The calls at a start from step s: `build`, then `load` unless s is 0, then `setup` with every value of step s; then
    `train` once a step, with `setup` before a step whose values differ from the step before. All run in one thread.

    The same steps must give the same bits, whoever runs them: draw random numbers from Python's, NumPy's or torch's
    global generators (hive seeds them from the study's seed before `build`, and checkpoints carry them), or from
    generators that are attributes; import what you need at the top of the file or in `build`. `hive check FILE` tests
    it.

    Attributes:
        device: where to train, as torch names it: "cpu", "cuda:0".
        seed: the study's seed.
        fixed: the study's fixed settings, such as paths and sizes.
    """

    device: str
    seed: int
    fixed: dict[str, Any]

    def build(self, hp: Mapping[str, Value]) -> None:  # noqa: B027  (optional on purpose)
        """Make model, optimizer and data.

        Args:
            hp: every hyper-parameter's value, of the step before the one training starts from (of step 0 for a fresh
                start): the values that the state to be loaded was saved under.
        """

    def setup(self, hp: Mapping[str, Value]) -> None:  # noqa: B027  (optional on purpose)
        """Put values in force, before the step they hold for.

        Setting a value again that is in force already must change nothing, not even draw a random number: after a load
        every value is set, where training that went on sets only what changed.

        Args:
            hp: after `build` and `load` every hyper-parameter; later only those whose value changed, so ask
                `if "lr" in hp`. Values differ if their types do: 1, 1.0 and True are three values.
        """

    @abc.abstractmethod
    def train(self) -> Mapping[str, float] | None:
        """Do one step, whatever a step is to you: a mini-batch, a hundred, an epoch.

        Returns:
            Training metrics by name, or None.
        """

    @abc.abstractmethod
    def evaluate(self) -> Mapping[str, float]:
        """Measure the model.

        It must leave what `save` returns as it was. The generators are seeded from (seed, step) for the call; they,
        generators that are attributes, and every module's training flag are put back afterwards.

        Returns:
            Metrics by name, the study's metric among them.
        """

    def save(self) -> dict[str, Any]:
        """The state that training goes on from.

        The default covers every attribute but `device`, `seed` and `fixed`: what has `state_dict` and
        `load_state_dict`; generators of torch, NumPy and `random`; tensors, arrays and plain values; lists, tuples,
        dicts, sets and deques of these. What it cannot capture (data sets, functions, your own objects) is taken to
        be made by `build`.

        Returns:
            Nested dicts (any plain keys), lists, tuples, sets and deques of tensors, arrays and plain values. An
            OrderedDict is stored as a dict in its order. hive copies it at once: returning live tensors is right.
        """
        return save_attributes(self)

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `save` returned. The tensors are private copies, free to be kept.

        The default fills what `build` made in place, so an optimizer still refers to its model's parameters, and
        replaces what it cannot fill.
        """
        load_attributes(self, state)
