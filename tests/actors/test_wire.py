"""The codec: what is refused, and that a refusal says what to do."""

from __future__ import annotations

import msgspec
import pytest

from hive.actors import wire
from hive.actors.messages import MESSAGES, Ask, AskedTrial, Message, Release, SessionBeat, Status
from hive.errors import ProtocolError


def test_message_is_a_version_byte_and_a_map_with_its_type() -> None:
    data = wire.encode(SessionBeat("run", 3))
    assert data[0] == wire.VERSION
    assert msgspec.msgpack.decode(data[1:]) == {"type": "SessionBeat", "run": "run", "told": 3}
    assert wire.decode(data) == SessionBeat("run", 3)


def test_every_kind_of_message_is_on_the_wire() -> None:
    assert set(MESSAGES) == set(Message.__subclasses__())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"\x02\x80", "version 2"),
        (b"\x01", "not a message"),
        (b"\x01\x80", "type"),
        (b"\x01" + msgspec.msgpack.encode({"type": "Gossip"}), "Gossip"),
        (b"\x01" + msgspec.msgpack.encode({"type": "SessionBeat", "run": "r"}), "told"),
        (b"\x01" + msgspec.msgpack.encode({"type": "SessionBeat", "run": "r", "told": "3"}), "told"),
        (wire.encode(SessionBeat("run", -1)), "told"),
        (wire.encode(SessionBeat("run", 2**63)), "told"),
        (wire.encode(SessionBeat("", 3)), "run"),
        (wire.encode(SessionBeat("r" * 101, 3)), "run"),
        (wire.encode(Release("run", 2, [-1])), "trials"),
        (wire.encode(SessionBeat("run", 3)) + b"\x00", "not a message"),
        (wire.encode(SessionBeat("run", 3))[:-1], "not a message"),
        (b"\x01\x82\xa4type\xa6Status\xa5state" + b"\x81\xa1a" * 100_000, "recursion"),
        (b"\x01\x82\xa4type\xa6Status\xa5state\x81\xa1a\xdd\xff\xff\xff\xff", "not a message"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        wire.decode(data)


def test_unknown_fields_are_let_be() -> None:
    data = b"\x01" + msgspec.msgpack.encode({"type": "SessionBeat", "run": "r", "told": 1, "mood": "fine"})
    assert wire.decode(data) == SessionBeat("r", 1)


@pytest.mark.parametrize("value", [2**70, {1, 2}.union, "\ud800"])
def test_value_that_cannot_be_written_is_a_protocol_error(value: object) -> None:
    with pytest.raises(ProtocolError, match="Ask"):
        wire.encode(Ask("run", 2, [AskedTrial(0, 1, {"lr": {"fn": "Constant", "value": value}})]))


def test_message_beyond_the_limit_is_refused_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    data = wire.encode(Status({"text": "x" * 100}))
    monkeypatch.setattr(wire, "MESSAGE_BYTES_MAX", 100)
    with pytest.raises(ProtocolError, match="100 at most"):
        wire.encode(Status({"text": "x" * 100}))
    with pytest.raises(ProtocolError, match="100 at most"):
        wire.decode(data)
