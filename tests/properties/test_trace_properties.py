"""Whatever an actor handles or writes is read back from a line of a trace as what it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.actors.actor import Called, Commit, Event, JobEnded, JobReported, Quiet, Received, TimerFired
from hive.actors.messages import MESSAGES, Message
from hive.actors.traces import Line, plain
from hive.simulation.retrace import CALLS, REPORTS, event_of, write_of
from hive.storage.records import RECORDS, Record
from hive.storage.store import Delete, Put
from tests.properties.test_wire_properties import instances, texts


def read_back(event: Event) -> Event:
    """An event that was written into a trace."""
    line = Line.read(str(Line(1.5, "somebody", None, plain(event), [])))
    assert line.event is not None
    return event_of(line.event)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_every_message_that_was_received_is_read_back(kind: type[Message], data: st.DataObject) -> None:
    event = Received("sender", data.draw(instances(kind)))
    assert repr(read_back(event)) == repr(event)  # NaN is written alike, and is not equal to itself


@pytest.mark.parametrize("kind", [*CALLS, *REPORTS], ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_every_call_and_report_is_read_back(kind: type[Any], data: st.DataObject) -> None:
    said = data.draw(instances(kind))
    for event in (Called(said), JobReported("job", said)):
        assert repr(read_back(event)) == repr(event)


@given(st.one_of(st.builds(TimerFired, texts), st.builds(JobEnded, texts, st.integers(-9, 9), texts), st.just(Quiet())))
def test_every_other_event_is_read_back(event: Event) -> None:
    assert read_back(event) == event


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_every_write_is_read_back(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(instances(kind))
    writes = (Put(record), Delete(kind.table, record.key()))
    told = json.loads(json.dumps(plain(Commit(writes))))
    assert repr([write_of(each) for each in told["writes"]]) == repr(list(writes))
