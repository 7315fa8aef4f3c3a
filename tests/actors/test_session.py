"""The session: what it says until it is applied, and what it hands on once, in order."""

from __future__ import annotations

from hive.actors.actor import (
    SILENT_BEATS,
    Called,
    Deliver,
    Effect,
    Event,
    Received,
    Send,
    Silence,
    StartTimer,
    TimerFired,
)
from hive.actors.messages import (
    Announce,
    AnnouncedTrial,
    Applied,
    Ask,
    AskTime,
    CloseRun,
    Message,
    Opened,
    Refused,
    Release,
    RunState,
    SessionBeat,
    Told,
    ToldTime,
)
from hive.actors.session import AnnounceCall, AskCall, AskTimeCall, CloseCall, ReleaseCall, Session
from hive.simulation.clients import opening
from hive.storage.records import RunCounts

BEAT = TimerFired("beat")
OPENED = Opened("run", "key-1")


def from_coordinator(message: Message) -> Received:
    return Received("coordinator", message)


def sent(effects: list[Effect]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def delivered(effects: list[Effect]) -> list[object]:
    return [effect.answer for effect in effects if isinstance(effect, Deliver)]


def session_after(*events: Event) -> Session:
    session = Session(opening("run"))
    session.start(0.0)
    for event in events:
        session.handle(event, 0.0)
    return session


def test_run_is_opened_at_the_start_and_at_each_beat_until_it_is_open() -> None:
    session = Session(opening("run"))
    assert session.start(0.0) == [Send("coordinator", opening("run")), StartTimer("beat", 1.0)]
    session.handle(from_coordinator(Applied("run", 1)), 0.0)  # Opened itself was lost
    assert sent(session.handle(BEAT, 1.0)) == [opening("run")]
    assert delivered(session.handle(from_coordinator(OPENED), 1.1)) == [OPENED]
    assert sent(session.handle(BEAT, 2.0)) == [SessionBeat("run", 0, 1)]
    assert session.handle(from_coordinator(OPENED), 2.1) == []


def test_what_is_asked_before_the_run_is_open_is_said_once_it_is() -> None:
    session = session_after()
    assert sent(session.handle(Called(AskCall([])), 0.0)) == []
    assert sent(session.handle(BEAT, 1.0)) == [opening("run")]
    assert sent(session.handle(from_coordinator(OPENED), 1.1)) == [Ask("run", 2, [])]


def test_calls_are_numbered_in_turn() -> None:
    session = session_after(from_coordinator(OPENED))
    trial = AnnouncedTrial(7, {})
    calls = (AskCall([]), AskTimeCall(), AnnounceCall([trial]), ReleaseCall([3], done=True), CloseCall())
    assert [sent(session.handle(Called(call), 0.0))[0] for call in calls] == [
        Ask("run", 2, []),
        AskTime("run", 3),
        Announce("run", 4, [trial]),
        Release("run", 5, [3], done=True),
        CloseRun("run", 6),
    ]


def test_unapplied_calls_are_said_again_from_the_second_beat_on_in_order() -> None:
    session = session_after(from_coordinator(OPENED), Called(AskCall([])), Called(ReleaseCall([1])))
    assert sent(session.handle(BEAT, 1.0)) == [SessionBeat("run", 0, 3)]
    again = [SessionBeat("run", 0, 3), Ask("run", 2, []), Release("run", 3, [1])]
    assert sent(session.handle(BEAT, 2.0)) == again
    session.handle(from_coordinator(Applied("run", 2)), 2.1)
    assert sent(session.handle(BEAT, 3.0)) == [again[0], again[2]]
    session.handle(from_coordinator(Applied("run", 3)), 3.1)
    assert sent(session.handle(BEAT, 4.0)) == [again[0]]


def test_answers_are_handed_on_once_each_in_number_order_whatever_order_they_come_in() -> None:
    session = session_after(from_coordinator(OPENED))
    first, third = (Told("run", number, 0, number, {"a": 1.0}, "d") for number in (1, 3))
    second = ToldTime("run", 2, 7.0)
    handed = [delivered(session.handle(from_coordinator(told), 0.0)) for told in (third, first, first, third, second)]
    assert handed == [[], [first], [], [], [second, third]]
    assert sent(session.handle(BEAT, 1.0)) == [SessionBeat("run", 3, 1)]
    assert delivered(session.handle(from_coordinator(second), 1.1)) == []


def test_answers_of_another_run_are_not_ours() -> None:
    session = session_after(from_coordinator(OPENED))
    assert session.handle(from_coordinator(Told("other", 1, 0, 5)), 0.0) == []
    session.handle(Called(AskCall([])), 0.0)
    session.handle(from_coordinator(Applied("other", 9)), 0.0)
    assert session.unapplied == [Ask("run", 2, [])]


def test_state_and_refusal_are_handed_on() -> None:
    session = session_after(from_coordinator(OPENED))
    for answer in (RunState("run", RunCounts(), 0, 0), Refused("no", "run")):
        assert delivered(session.handle(from_coordinator(answer), 0.0)) == [answer]


def test_what_means_nothing_to_it_changes_nothing() -> None:
    assert session_after().handle(from_coordinator(SessionBeat("run", 1)), 0.0) == []


def test_session_that_comes_back_over_another_connection_opens_its_run_again_and_says_what_is_not_applied() -> None:
    session = session_after(from_coordinator(OPENED), Called(AskCall([])))
    assert sent(session.start(9.0)) == [opening("run")]
    effects = session.handle(from_coordinator(OPENED), 9.1)
    assert (delivered(effects), sent(effects)) == ([OPENED], [Ask("run", 2, [])])


def test_silence_is_handed_on_once_when_several_beats_in_a_row_had_no_answer() -> None:
    session = session_after(from_coordinator(OPENED))
    beats = [delivered(session.handle(BEAT, 0.0)) for _ in range(2 * SILENT_BEATS + 2)]
    assert [place for place, handed in enumerate(beats) if handed] == [SILENT_BEATS]
    assert beats[SILENT_BEATS] == [Silence()]
    session.handle(from_coordinator(Applied("run", 1)), 0.0)
    beats = [delivered(session.handle(BEAT, 0.0)) for _ in range(SILENT_BEATS + 1)]
    assert [handed for handed in beats if handed] == [[Silence()]], "it is silent again"


def test_coordinator_that_answers_each_beat_late_and_a_session_that_could_not_speak_are_not_silent() -> None:
    session = session_after(from_coordinator(OPENED))
    for now in range(0, 100, 10):  # the loop was held up for ten seconds each time
        assert delivered(session.handle(BEAT, float(now))) == []
        session.handle(from_coordinator(Applied("run", 1)), float(now))
