"""What every store must do: a suite that the test module of each store inherits, with records of its own."""

from __future__ import annotations

from typing import ClassVar

import pytest

from hive.errors import StoreError
from hive.storage.records import Key, Record
from hive.storage.store import KEY_BYTES_MAX, Delete, Put, Store, Write


class Mark(Record, frozen=True, array_like=True):
    """A record under a name and a number, as most of hive's are."""

    table: ClassVar[str] = "mark"
    name: str
    number: int
    text: str = ""

    def key(self) -> Key:
        return (self.name, self.number)


class Place(Record, frozen=True, array_like=True):
    """A record whose key is whatever the test wants."""

    table: ClassVar[str] = "place"
    parts: tuple[str | int, ...]
    value: float = 0.0

    def key(self) -> Key:
        return self.parts


class Homeless(Record, frozen=True, array_like=True):
    """A record that names no table."""

    def key(self) -> Key:
        return (1,)


def marks(*pairs: tuple[str, int]) -> list[Put]:
    return [Put(Mark(name, number)) for name, number in pairs]


class StoreContract:
    """Inherit, and give a fixture `store` that hands out an empty one."""

    def test_store_gives_back_the_record_that_was_put(self, store: Store) -> None:
        store.commit([Put(Mark("a", 1, "text"))])
        assert store.get(Mark, ("a", 1)) == Mark("a", 1, "text")

    def test_store_gives_none_where_nothing_was_put(self, store: Store) -> None:
        store.commit(marks(("a", 1)))
        assert store.get(Mark, ("a", 2)) is None
        assert store.get(Mark, ("a",)) is None

    def test_put_replaces_what_stands_at_its_key(self, store: Store) -> None:
        store.commit([Put(Mark("a", 1, "old"))])
        store.commit([Put(Mark("a", 1, "new"))])
        assert list(store.scan(Mark)) == [Mark("a", 1, "new")]

    def test_delete_removes_the_record_and_no_other(self, store: Store) -> None:
        store.commit(marks(("a", 1), ("a", 2), ("a", 12)))
        store.commit([Delete("mark", ("a", 1))])
        assert [mark.number for mark in store.scan(Mark)] == [2, 12]

    def test_delete_of_what_is_not_there_does_nothing(self, store: Store) -> None:
        store.commit([Delete("mark", ("a", 1)), Delete("nowhere", ())])
        assert list(store.scan(Mark)) == []

    def test_writes_of_one_commit_act_in_their_order(self, store: Store) -> None:
        put, other = Put(Mark("a", 1)), Put(Mark("b", 1))
        store.commit([put, Delete("mark", ("a", 1)), Delete("mark", ("b", 1)), other])
        assert list(store.scan(Mark)) == [Mark("b", 1)]

    def test_commit_of_nothing_is_allowed(self, store: Store) -> None:
        store.commit([])
        assert list(store.scan(Mark)) == []

    def test_tables_do_not_mix_even_where_keys_are_equal(self, store: Store) -> None:
        store.commit([Put(Mark("a", 1)), Put(Place(("a", 1), 2.0))])
        store.commit([Delete("place", ("a", 1))])
        assert list(store.scan(Place)) == []
        assert list(store.scan(Mark)) == [Mark("a", 1)]

    def test_scan_gives_integers_by_size_and_strings_by_their_bytes(self, store: Store) -> None:
        keys: list[Key] = [(), (0,), (9,), (10,), (2**63 - 1,), ("",), ("", 0), ("A",), ("a", 2), ("a", "b")]
        keys += [("a\x00",), ("a\x01",), ("ab",), ("z",), ("é",), ("\U0001f600",)]
        store.commit([Put(Place(key)) for key in reversed(keys)])
        assert [place.parts for place in store.scan(Place)] == keys

    def test_scan_with_a_prefix_gives_whole_elements_only(self, store: Store) -> None:
        inside: list[Key] = [("a",), ("a", 1), ("a", "x", 1)]
        outside: list[Key] = [(), (1,), ("",), ("a\x00",), ("a\x01",), ("ab",), ("b", "a")]
        store.commit([Put(Place(key)) for key in inside + outside])
        assert [place.parts for place in store.scan(Place, ("a",))] == inside

    def test_scan_with_an_integer_prefix_does_not_give_longer_integers(self, store: Store) -> None:
        store.commit([Put(Place(key)) for key in [(1,), (1, 5), (10,), (256,), (257, 1)]])
        assert [place.parts for place in store.scan(Place, (1,))] == [(1,), (1, 5)]

    def test_scan_shows_the_moment_it_was_asked_for(self, store: Store) -> None:
        store.commit(marks(("a", 1), ("a", 2), ("a", 3)))
        records = store.scan(Mark)
        first = next(records)
        store.commit([Delete("mark", ("a", 2)), *marks(("a", 4))])
        assert [first, *records] == [Mark("a", 1), Mark("a", 2), Mark("a", 3)]
        assert [mark.number for mark in store.scan(Mark)] == [1, 3, 4]

    @pytest.mark.parametrize(
        "record",
        [
            pytest.param(Mark("b", 2**64, ""), id="integer too large for the codec"),
            pytest.param(Mark("b", 1, 5), id="field of another type"),  # type: ignore[arg-type]
            pytest.param(Mark("b", 1, object()), id="value of no plain type"),  # type: ignore[arg-type]
            pytest.param(Mark("b", 1, "\ud800"), id="text that is not Unicode"),
            pytest.param(Mark("b", -1), id="negative integer in the key"),
            pytest.param(Mark("b", 2**63), id="integer too large for a key"),
            pytest.param(Mark("b\ud800", 1), id="key that is not Unicode"),
            pytest.param(Mark("b" * KEY_BYTES_MAX, 1), id="key too long"),
            pytest.param(Place((True,)), id="bool in the key"),
            pytest.param(Homeless(), id="no table"),
        ],
    )
    def test_commit_writes_nothing_when_one_record_cannot_be_stored(self, store: Store, record: Record) -> None:
        store.commit(marks(("a", 1)))
        writes: list[Write] = [Delete("mark", ("a", 1)), *marks(("a", 2)), Put(record), *marks(("a", 3))]
        with pytest.raises(StoreError):
            store.commit(writes)
        assert list(store.scan(Mark)) == [Mark("a", 1)]

    def test_key_that_could_not_be_stored_is_refused_when_asked_for(self, store: Store) -> None:
        store.commit([Put(Place((1,)))])
        for key in ((True,), (1.0,), (-1,), ("\ud800",)):
            with pytest.raises(StoreError, match="table 'place': key"):
                store.get(Place, key)  # type: ignore[arg-type]

    def test_longest_key_is_stored(self, store: Store) -> None:
        overhead = len("mark") + 2 + 2 + 9  # a tag and an end for each string, nine bytes for the number
        name = "n" * (KEY_BYTES_MAX - overhead)
        store.commit(marks((name, 1)))
        assert store.get(Mark, (name, 1)) == Mark(name, 1)
        with pytest.raises(StoreError, match=f"{KEY_BYTES_MAX + 1} bytes"):
            store.commit(marks((name + "n", 1)))

    def test_record_of_another_kind_is_refused_when_read(self, store: Store) -> None:
        class Impostor(Record, frozen=True, array_like=True):
            table: ClassVar[str] = "mark"
            number: int

            def key(self) -> Key:
                return ("a", 1)

        store.commit([Put(Impostor(7))])
        with pytest.raises(StoreError, match="not a Mark"):
            store.get(Mark, ("a", 1))
        with pytest.raises(StoreError, match="not a Mark"):
            list(store.scan(Mark))

    def test_closed_store_refuses_everything_and_closes_again(self, store: Store) -> None:
        store.close()
        store.close()
        for use in (
            lambda: store.commit(marks(("a", 1))),
            lambda: store.get(Mark, ("a", 1)),
            lambda: store.scan(Mark),
        ):
            with pytest.raises(StoreError, match="closed"):
                use()
