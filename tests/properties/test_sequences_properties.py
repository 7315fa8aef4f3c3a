"""Sequences and pieces: values by the formulas, sharing sound and complete, all forms there and back."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.errors import SequenceError
from hive.planner.pieces import ConstantForm, Form, Piece, form_from_data, joined
from hive.planner.sequence_base import KNOWN, Sequence
from hive.planner.sequences import sequence_from_descriptor
from hive.planner.space import Config, config_key, segments
from tests.planner.strategies import configs, constant_sequences, formula, often, sequences, trials

STEPS = 30  # more than two of the longest parameters drawn

Trials = list[tuple[Config, int]]


def drawn(sequence: Sequence, steps: int = STEPS) -> list[Piece]:
    return list(islice(sequence.pieces(), steps))


def typed(value: object) -> str:
    """A value with its type and every bit: 1, 1.0 and True differ."""
    return repr(value)


def magnitude(descriptor: object) -> float:
    """The largest number in a descriptor: what rounding errors of the formulas are measured against."""
    if isinstance(descriptor, dict):
        return max(map(magnitude, descriptor.values()))
    if isinstance(descriptor, list):
        return max(map(magnitude, descriptor), default=0.0)
    return abs(float(descriptor)) if isinstance(descriptor, int | float) else 0.0


def near(value: Any, wanted: Any, scale: float) -> bool:
    """Whether a value is the formula's: within 1e-11 for numbers, the same otherwise."""
    if isinstance(wanted, list):
        return isinstance(value, list) and all(near(v, w, scale) for v, w in zip(value, wanted, strict=True))
    if isinstance(wanted, bool | str | None):
        return typed(value) == typed(wanted)
    return bool(value == pytest.approx(wanted, rel=1e-11, abs=1e-11 * scale))


@given(sequences())
def test_sequence_has_the_values_of_its_formula(sequence: Sequence) -> None:
    descriptor = sequence.descriptor()
    scale = magnitude(descriptor)
    for t in range(STEPS):
        wanted = formula(descriptor, t)
        assert near(sequence(t), wanted, scale), (t, sequence(t), wanted)


@given(sequences())
def test_sequence_covers_every_step_once_in_canonical_pieces(sequence: Sequence) -> None:
    pieces = drawn(sequence)
    assert pieces[0].start == 0
    for piece, following in pairwise(pieces):
        assert piece.end == following.start > piece.start
        assert piece.form != following.form
        assert piece.end > piece.start + 1 or isinstance(piece.form, ConstantForm)
    assert pieces[-1].end is None or len(pieces) == STEPS


@given(sequences(), st.permutations(range(STEPS)))
def test_call_gives_what_the_piece_gives_in_any_order_of_steps(sequence: Sequence, steps: list[int]) -> None:
    pieces = drawn(sequence)
    for step in steps:
        holding = [piece for piece in pieces if piece.start <= step and (piece.end is None or step < piece.end)]
        assert [typed(piece.form.value(step)) for piece in holding] == [typed(sequence(step))]


def split(pieces: Iterable[Piece], cuts: set[int]) -> Iterator[Piece]:
    for piece in pieces:
        inside = sorted(cut for cut in cuts if piece.start < cut and (piece.end is None or cut < piece.end))
        for start, end in zip([piece.start, *inside], [*inside, piece.end], strict=True):
            yield Piece(start, end, piece.form)


@often
@given(sequences(), st.sets(st.integers(1, STEPS)))
def test_pieces_split_anywhere_join_to_themselves(sequence: Sequence, cuts: set[int]) -> None:
    pieces = drawn(sequence)
    assert list(joined(split(pieces, cuts))) == pieces


@given(sequences(), st.integers(0, 1000))
def test_shifted_form_has_the_same_bits_that_many_steps_later(sequence: Sequence, steps: int) -> None:
    for piece in drawn(sequence, 5):
        later = piece.shifted(steps)
        for step in range(piece.start, piece.end or piece.start + 5):
            assert typed(later.form.value(step + steps)) == typed(piece.form.value(step))


@given(sequences())
def test_form_comes_back_from_json_and_messagepack(sequence: Sequence) -> None:
    for piece in drawn(sequence, 5):
        data = piece.form.to_data()
        for back in (json.loads(piece.form.key), msgspec.msgpack.decode(msgspec.msgpack.encode(data))):
            form = form_from_data(back)
            assert (form, form.key, type(form)) == (piece.form, piece.form.key, type(piece.form))
            assert typed(form.value(piece.start)) == typed(piece.form.value(piece.start))


@given(sequences())
def test_descriptor_comes_back_from_json(sequence: Sequence) -> None:
    back = sequence_from_descriptor(json.loads(json.dumps(sequence.descriptor())))
    assert back == sequence
    assert hash(back) == hash(sequence)
    assert drawn(back) == drawn(sequence)


def marked(data: Any) -> Any:
    """The descriptor as a language without ints and floats apart writes it: whole floats are marked."""
    if isinstance(data, dict):
        return {key: marked(value) for key, value in data.items()}
    if isinstance(data, list):
        return [marked(value) for value in data]
    return {"float": int(data)} if isinstance(data, float) and data.is_integer() else data


@given(sequences())
def test_descriptor_with_marked_floats_is_the_same_sequence(sequence: Sequence) -> None:
    assert sequence_from_descriptor(json.loads(json.dumps(marked(sequence.descriptor())))) == sequence


@given(sequences(), st.integers(0, STEPS))
def test_sequence_can_be_copied_after_it_was_called(sequence: Sequence, step: int) -> None:
    value = typed(sequence(step))
    for twin in (copy.deepcopy(sequence), pickle.loads(pickle.dumps(sequence))):
        assert twin == sequence
        assert typed(twin(step)) == value


@given(configs(), st.integers(1, STEPS))
def test_segments_cover_the_steps_and_hold_the_config_s_values(config: Config, steps: int) -> None:
    cut = segments(config, steps)
    assert [segment.start for segment in cut] == [0, *(segment.end for segment in cut[:-1])]
    assert cut[-1].end == steps
    for segment in cut:
        for step in range(segment.start, segment.end):
            held = {name: typed(form.value(step)) for name, form in segment.forms.items()}
            assert held == {name: typed(sequence(step)) for name, sequence in config.items()}
    assert all(one.forms != two.forms for one, two in pairwise(cut))


@given(configs(), st.integers(1, STEPS), st.integers(1, STEPS))
def test_shorter_trial_s_segments_are_the_longer_one_s_cut(config: Config, one: int, two: int) -> None:
    short, long = segments(config, min(one, two)), segments(config, max(one, two))
    for a, b in zip(short, long, strict=False):
        assert (a.start, a.forms) == (b.start, b.forms)
        assert a.end == min(b.end, min(one, two))


def shared_steps(asked: Trials) -> dict[tuple[int, int], list[int]]:
    """(node, step) -> for each trial that passes there, its history up to then.

    A node is what a search plan makes of a segment: its forms, its start, and the node before it.
    """
    passed: dict[tuple[int, int], list[int]] = {}
    for config, steps in asked:
        node = 0
        past = histories(config, steps)
        for segment in segments(config, steps):
            node = hash((node, segment.start, frozenset(segment.forms.items())))
            for step in range(segment.start, segment.end):
                passed.setdefault((node, step), []).append(past[step])
    return passed


def histories(config: Config, steps: int) -> list[int]:
    """For each step, what stands for the typed values of all hyper-parameters at it and before."""
    past = [0]
    for step in range(steps):
        past.append(hash((past[-1], *((name, typed(config[name](step))) for name in sorted(config)))))
    return past[1:]


def value_trie_size(asked: Trials) -> int:
    """Distinct steps by brute force: different beginnings of the lists of values."""
    return len({history for config, steps in asked for history in histories(config, steps)})


@often
@given(trials())
def test_shared_steps_had_the_same_values_bit_for_bit(asked: Trials) -> None:
    for past in shared_steps(asked).values():
        assert len(set(past)) == 1


@often
@given(trials(constant_sequences()))
def test_sharing_is_complete_for_piecewise_constant_sequences(asked: Trials) -> None:
    assert len(shared_steps(asked)) == value_trie_size(asked)


@given(configs(), configs())
def test_config_key_is_equal_only_for_equal_descriptors(one: Config, two: Config) -> None:
    same = all(one[name].descriptor() == two[name].descriptor() for name in one)
    assert (config_key(one) == config_key(two)) <= same
    assert config_key(dict(reversed(one.items()))) == config_key(one)
    assert json.loads(config_key(one)) == {name: sequence.descriptor() for name, sequence in one.items()}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1/0", "1/3", "x/2"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["fn", "value", "float", "x"]), inner),
    max_leaves=8,
)
KINDS = st.sampled_from(["constant", "line", "exponential", "cosine", "polynomial", "spline"])


@given(st.builds(lambda kind, rest: [kind, *rest], KINDS, st.lists(JSON, max_size=4)) | JSON)
def test_any_data_is_a_form_or_a_sequence_error(data: object) -> None:
    try:
        form = form_from_data(data)
    except SequenceError:
        return
    assert isinstance(form, Form)
    assert form_from_data(json.loads(form.key)) == form
    try:
        form.value(7)
    except SequenceError:
        return


@given(JSON)
def test_any_data_is_a_descriptor_or_a_sequence_error(data: object) -> None:
    try:
        sequence = sequence_from_descriptor(data, "space.lr[0]")
    except SequenceError as error:
        place = str(error)[:11]
    else:
        place = "space.lr[0]"
        assert isinstance(sequence, Sequence)
    assert place == "space.lr[0]"


@given(sequences())
def test_a_sequence_shows_itself_as_the_python_that_makes_it(sequence: Sequence) -> None:
    assert eval(repr(sequence), dict(KNOWN)) == sequence
