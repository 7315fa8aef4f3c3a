"""The journal: what is told when, while a replay says what comes next."""

from __future__ import annotations

from hive.actors.replay import QUIET_BEATS, Journal
from hive.storage.records import AnswerRecord, HeldRecord


def entry(number: int, trial: int, step: int = 5, error: str | None = None) -> AnswerRecord:
    return AnswerRecord("run", number, trial, 0, step, error)


def ready(journal: Journal, trial: int, step: int = 5, node: int = 0) -> None:
    journal.hold(HeldRecord("run", journal.next_number, trial, node, step))


def told(journal: Journal) -> list[int]:
    """The trials that are told now."""
    trials = []
    while (due := journal.due()) is not None:
        trials.append(journal.tell(due).trial)
    return trials


def test_entries_are_numbered_from_one_and_failures_too() -> None:
    journal = Journal()
    journal.tell(HeldRecord("run", 1, 0, 3, 5))
    journal.tell(HeldRecord("run", 1, 1, 3, 7, "Boom"))
    assert journal.told == [AnswerRecord("run", 1, 0, 3, 5), AnswerRecord("run", 2, 1, 3, 7, "Boom")]


def test_what_is_ready_is_told_in_the_order_of_the_replay_and_then_as_it_came() -> None:
    journal = Journal.of([entry(1, 2), entry(2, 0), entry(3, 1)], told=0)
    ready(journal, 9)
    ready(journal, 0)
    ready(journal, 8)
    assert told(journal) == []
    ready(journal, 2)
    assert told(journal) == [2, 0]
    ready(journal, 1)
    assert told(journal) == [1, 9, 8]
    assert [(e.number, e.trial) for e in journal.told] == [(1, 2), (2, 0), (3, 1), (4, 9), (5, 8)]


def test_place_that_the_replay_does_not_name_waits_for_its_end() -> None:
    journal = Journal.of([entry(1, 0)], told=0)
    ready(journal, 0, step=6)
    ready(journal, 0, node=1)
    assert told(journal) == []


def test_trial_that_was_answered_twice_at_a_step_is_expected_twice() -> None:
    journal = Journal.of([entry(1, 0, error="Boom"), entry(2, 1), entry(3, 0)], told=0)
    assert journal.asked(0, 5) == entry(1, 0, error="Boom")
    assert journal.asked(0, 5) == entry(3, 0)
    assert journal.asked(0, 5) is None
    assert journal.asked(0, 6) is None


def test_journal_that_comes_back_expects_what_was_not_asked_for_yet() -> None:
    held = [HeldRecord("run", 4, 2, 0, 5), HeldRecord("run", 6, 0, 0, 0, kind="time", time=7.0)]
    journal = Journal.of([entry(1, 0), entry(2, 1), entry(3, 2)], told=1, held=held)
    assert journal.next_number == 7
    assert journal.asked(2, 5) is None
    assert journal.asked(1, 5) == entry(2, 1)
    ready(journal, 1)
    assert told(journal) == [1, 2, 0]
    assert journal.told[-1].time == 7.0


def test_time_is_told_as_the_script_says_it() -> None:
    journal = Journal.of([entry(1, 0), AnswerRecord("run", 2, 0, 0, 0, None, "time", 7.0)], told=0)
    journal.hold(HeldRecord("run", 1, 0, 0, 0, kind="time", time=9.0))
    assert told(journal) == []
    ready(journal, 0)
    told(journal)
    assert [(e.kind, e.time) for e in journal.told] == [("answer", 0.0), ("time", 7.0)]


def test_tuner_waits_when_it_has_all_and_says_nothing_for_some_beats_while_something_is_held() -> None:
    journal = Journal.of([entry(1, 0), entry(2, 1)], told=0)
    assert not any(journal.beat(0, all_applied=True) for _ in range(QUIET_BEATS + 1)), "nothing is held"
    ready(journal, 0)
    ready(journal, 2)
    told(journal)
    assert not any(journal.beat(0, all_applied=True) for _ in range(QUIET_BEATS + 1)), "it has not heard all"
    assert not any(journal.beat(1, all_applied=False) for _ in range(QUIET_BEATS + 1)), "something is on its way"
    assert [journal.beat(1, all_applied=True) for _ in range(QUIET_BEATS)] == [False] * (QUIET_BEATS - 1) + [True]
    assert journal.drop_replay() == [entry(2, 1)]
    assert told(journal) == [2]
    assert not any(journal.beat(2, all_applied=True) for _ in range(QUIET_BEATS + 1)), "there is no replay"


def test_what_is_let_go_is_not_told() -> None:
    journal = Journal.of([entry(1, 0), entry(2, 1)], told=0)
    ready(journal, 1)
    ready(journal, 2)
    assert journal.let_go(1).trial == 1
    ready(journal, 0)
    assert told(journal) == [0]
    journal.drop_replay()
    assert told(journal) == [2]
