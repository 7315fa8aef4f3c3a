"""Random histories of commits: both stores equal a dictionary, also when the LMDB one is opened again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.errors import StoreError
from hive.storage.lmdb_store import LmdbStore
from hive.storage.memory_store import MemoryStore
from hive.storage.records import Key
from hive.storage.store import KEY_BYTES_MAX, Delete, Put, Store, Write, encode_key
from tests.storage.store_contract import Place

Oracle = dict[Key, float]

characters = st.characters(exclude_categories=["Cs"])
texts = st.one_of(st.text(st.sampled_from("\x00\x01\x02ab"), max_size=4), st.text(characters, max_size=8))
integers = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
keys = st.lists(st.one_of(texts, integers), max_size=4).map(tuple)
some_parts: list[str | int] = ["", "a", "a\x00", "ab", 0, 1, 256]
few_keys: st.SearchStrategy[Key] = st.lists(st.sampled_from(some_parts), max_size=3).map(tuple)


def puts(keys: st.SearchStrategy[Key]) -> st.SearchStrategy[Write]:
    return st.builds(lambda key, value: Put(Place(key, value)), keys, st.floats(allow_nan=False))


writes = st.one_of(puts(few_keys), puts(keys), few_keys.map(lambda key: Delete("place", key)))
histories = st.lists(st.lists(writes, max_size=6), max_size=8)


def rank(key: Key) -> list[tuple[int, int, bytes]]:
    """The order that the contract states: shorter first, integers before strings, strings by their bytes."""
    return [(0, part, b"") if isinstance(part, int) else (1, 0, part.encode()) for part in key]


def apply(oracle: Oracle, commit: Sequence[Write]) -> None:
    for write in commit:
        if isinstance(write, Delete):
            oracle.pop(write.key, None)
        else:
            assert isinstance(write.record, Place)
            oracle[write.record.parts] = write.record.value


def assert_equal(store: Store, oracle: Oracle, prefix: Key) -> None:
    expected = [Place(key, oracle[key]) for key in sorted(oracle, key=rank)]
    assert list(store.scan(Place)) == expected
    assert list(store.scan(Place, prefix)) == [place for place in expected if place.parts[: len(prefix)] == prefix]
    for place in expected:
        assert store.get(Place, place.parts) == place
    found = store.get(Place, prefix)
    assert (None if found is None else found.value) == oracle.get(prefix)


@settings(deadline=None)
@given(history=histories, prefix=few_keys)
def test_memory_store_equals_a_dictionary_after_every_commit(history: list[list[Write]], prefix: Key) -> None:
    store, oracle = MemoryStore(), Oracle()
    for commit in history:
        store.commit(commit)
        apply(oracle, commit)
        assert_equal(store, oracle, prefix)


@settings(deadline=None, max_examples=40)
@given(history=histories, prefix=few_keys, reopen=st.sets(st.integers(0, 8)))
def test_lmdb_store_equals_a_dictionary_after_every_commit_and_every_reopening(
    history: list[list[Write]], prefix: Key, reopen: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        store, oracle = LmdbStore(path, map_bytes=4 * 4096), Oracle()
        for number, commit in enumerate(history):
            store.commit(commit)
            apply(oracle, commit)
            if number in reopen:
                store.close()
                store = LmdbStore(path, map_bytes=4 * 4096)
            assert_equal(store, oracle, prefix)
        store.close()


@given(st.lists(keys, min_size=2, max_size=12))
def test_encoded_keys_are_told_apart_and_ordered_as_the_keys_are(some: list[Key]) -> None:
    ordered = sorted(set(some), key=rank)
    encoded = [encode_key("t", key) for key in ordered]
    assert all(lower < higher for lower, higher in pairwise(encoded))


@given(keys, keys)
def test_encoded_key_begins_with_another_only_where_the_key_does(key: Key, other: Key) -> None:
    assert encode_key("t", key).startswith(encode_key("t", other)) == (key[: len(other)] == other)


@given(texts, texts, keys, keys)
def test_keys_of_two_tables_never_meet(table: str, other: str, key: Key, other_key: Key) -> None:
    same = (table, key) == (other, other_key)
    assert (encode_key(table, key) == encode_key(other, other_key)) == same


@given(st.text(characters, max_size=400), integers)
def test_key_is_refused_only_when_it_is_too_long(text: str, number: int) -> None:
    key = (text * 2, number)
    needed = sum(len(part.replace("\x01", "ab").replace("\x00", "ab").encode()) + 2 for part in ("t", text * 2)) + 9
    if needed <= KEY_BYTES_MAX:
        assert len(encode_key("t", key)) == needed
    else:
        with pytest.raises(StoreError, match=f"{needed} bytes"):
            encode_key("t", key)
