"""Fair shares: whose turn it is, who pays for what several want, and what an idle study comes back with."""

from __future__ import annotations

import pytest

from hive.planner.fairness import FairShares


class Shares:
    """Accounts of studies that wait until they are told to go, and get batches one after the other."""

    def __init__(self, **weights: float) -> None:
        self.shares: FairShares[str] = FairShares()
        self.weights = weights
        self.ready = set(weights)
        self.number = 0

    def give(self, seconds: float = 1.0, **together: bool) -> str:
        """A batch for whoever's turn it is, wanted by others too: whose turn it was."""
        self.shares.arrive({study: self.weights[study] for study in sorted(self.ready)})
        study = min(self.ready, key=lambda each: (self.shares.usage[each], each))
        self.number += 1
        wanting = sorted({study, *together})
        self.shares.charge(self.number, study, [(seconds, wanting)], self.weights)
        self.shares.leave(self.ready)
        return study

    def turns(self, count: int, seconds: float = 1.0) -> str:
        return "".join(self.give(seconds) for _ in range(count))


def test_equal_studies_take_turns() -> None:
    assert Shares(a=1, b=1, c=1).turns(6) == "abcabc"


def test_study_of_weight_three_gets_three_times_as_much() -> None:
    turns = Shares(a=1, b=3).turns(40)
    assert (turns.count("a"), turns.count("b")) == (10, 30)


def test_long_batches_count_as_long() -> None:
    shares = Shares(a=1, b=1)
    assert shares.give(10.0) == "a"
    assert shares.turns(10) == "b" * 10
    assert shares.give() == "a"


def test_batch_counts_for_what_it_took_once_it_has_ended() -> None:
    shares = Shares(a=1, b=1)
    assert shares.give(100.0) == "a"
    shares.shares.settle(1, 2.0)
    assert shares.shares.usage == {"a": 2.0, "b": 0.0}
    assert shares.turns(4) == "bbab"


def test_stage_that_several_want_is_charged_to_all_by_weight() -> None:
    shares = Shares(a=1, b=3)
    assert shares.give(8.0, b=True) == "a"
    assert shares.shares.charged_s == {"a": 2.0, "b": 6.0}
    assert shares.shares.usage == {"a": 2.0, "b": 2.0}


def test_study_that_was_idle_comes_back_without_a_hoard() -> None:
    shares = Shares(a=1, b=1, c=1)
    shares.ready = {"a", "b"}
    shares.turns(1000)
    shares.ready = {"a", "b", "c"}
    assert sorted(shares.turns(3)) == ["a", "b", "c"]


def test_study_that_had_more_than_its_share_does_not_lose_that_by_being_away() -> None:
    shares = Shares(a=1, b=1)
    assert shares.give(50.0) == "a"
    shares.ready = {"b"}
    assert shares.turns(10) == "b" * 10
    shares.ready = {"a", "b"}
    assert shares.turns(40) == "b" * 40
    assert shares.give() == "a"


def test_time_that_nobody_else_wanted_is_held_against_nobody() -> None:
    shares = Shares(a=1, b=1)
    shares.ready = {"a"}
    shares.give(1000.0)
    shares.ready = set()
    shares.shares.leave(set())
    shares.ready = {"a", "b"}
    assert sorted(shares.turns(2)) == ["a", "b"]
    shares.shares.settle(1, 1.0)
    assert all(usage >= 0 for usage in shares.shares.usage.values())
    assert shares.shares.charged_s["a"] == 2.0


def test_end_of_a_batch_that_nobody_was_charged_for_changes_nothing() -> None:
    shares = Shares(a=1)
    shares.give()
    before = dict(shares.shares.usage)
    shares.shares.settle(7, 100.0)
    assert shares.shares.usage == before


@pytest.mark.parametrize("weight", [0.001, 1.0, 1000.0])
def test_what_a_study_is_owed_is_in_its_own_trainer_seconds(weight: float) -> None:
    shares = Shares(a=1, b=weight)
    shares.give(6.0)
    assert shares.shares.owed_s("b", "a") == pytest.approx(6.0 * weight)
    assert shares.shares.owed_s("a", "b") == -6.0
