"""Every message and every record survives its codec, and bytes that are none give the typed error and no other."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.actors import wire
from hive.actors.messages import MESSAGES, Count, GrantedStage, Message, Name
from hive.actors.parts import WEIGHT_MAX, WEIGHT_MIN, Stages, Weight
from hive.errors import ProtocolError, StoreError
from hive.storage import records
from hive.storage.records import RECORDS, Record

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(-(2**63), 2**63 - 1)
plain = st.recursive(
    st.none() | st.booleans() | integers | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    Any: plain,
    int: integers,
    str: texts,
    float: st.floats(),
    bool: st.booleans(),
    type(None): st.none(),
    Name: st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    Count: st.integers(0, 2**63 - 1),
    Weight: st.floats(WEIGHT_MIN, WEIGHT_MAX),
}


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if hint == Stages:
        return st.lists(instances(GrantedStage), min_size=1, max_size=3)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, UnionType):
        return st.one_of([of_type(choice) for choice in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is dict:
        return st.dictionaries(texts, of_type(inner[1]), max_size=3)
    if origin is list:
        return st.lists(of_type(inner[0]), max_size=3)
    if origin is tuple and Ellipsis in inner:
        return st.lists(of_type(inner[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*[of_type(part) for part in inner])
    assert issubclass(hint, msgspec.Struct) or is_dataclass(hint), f"no strategy for {hint}"
    return instances(hint)


def instances(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Of a struct, or of a dataclass."""
    return st.builds(kind, **{name: of_type(hint) for name, hint in fields_of(kind).items()})


def fields_of(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else kind.__struct_fields__
    return {name: hints[name] for name in names}


messages = st.one_of([instances(kind) for kind in MESSAGES])


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_every_message_survives_the_wire(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(instances(kind))
    came = wire.decode(wire.encode(message))
    assert type(came) is kind
    assert repr(came) == repr(message)  # NaN is written alike, and is not equal to itself


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_every_record_survives_the_store_s_codec(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(instances(kind))
    came = records.decode(kind, records.encode(record))
    assert repr(came) == repr(record)
    assert came.key() == record.key()


def refused_or_read(data: bytes) -> None:
    try:
        message = wire.decode(data)
    except ProtocolError:
        return
    assert isinstance(message, MESSAGES)


@given(st.binary(max_size=60).map(lambda garbage: bytes((wire.VERSION,)) + garbage) | st.binary(max_size=4))
def test_garbage_is_a_protocol_error_and_no_other(data: bytes) -> None:
    refused_or_read(data)


@given(messages, st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3), st.integers(0, 3)), max_size=4))
def test_damaged_message_is_read_or_a_protocol_error(message: Message, damage: list[tuple[int, bytes, int]]) -> None:
    data = wire.encode(message)
    for place, put, cut in damage:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + cut :]
    refused_or_read(data)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(garbage=st.binary(max_size=40))
def test_garbage_in_the_store_is_a_store_error_and_no_other(kind: type[Record], garbage: bytes) -> None:
    try:
        record = records.decode(kind, garbage)
    except StoreError:
        return
    assert isinstance(record, kind)


def test_text_that_is_no_utf_8_in_the_store_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="counters"):
        records.decode(records.CounterRecord, b"\x92\xa1\xff\x01")
