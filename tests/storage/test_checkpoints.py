"""Checkpoints: what is written comes back, digests tell states apart, damage is found."""

from __future__ import annotations

import copy
import enum
import json
import math
import struct
import threading
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from hive.errors import CheckpointError
from hive.storage.checkpoints import IN_FLIGHT_MAX, Pool, digest, read_checkpoint, snapshot, write_checkpoint

Point = namedtuple("Point", "x y")


class Phase(enum.IntEnum):
    WARM = 1


def through_file(state: Any, folder: Path, extras: dict[str, Any] | None = None) -> Any:
    copied = snapshot(state, Pool())
    written, size = write_checkpoint(folder / "a.safetensors", copied, extras or {})
    copied.release()
    assert (folder / "a.safetensors").stat().st_size == size
    found, found_extras = read_checkpoint(folder / "a.safetensors")
    assert found_extras == (extras or {})
    assert digest(found) == digest(state) == written
    return found


def same(one: Any, other: Any) -> bool:
    """The slow, plain oracle: equal in type and value, bit for bit, dicts in any order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        same_kind = one.dtype == other.dtype and one.shape == other.shape
        return bool(same_kind and one.detach().numpy().tobytes() == other.detach().numpy().tobytes())
    if isinstance(one, numpy.ndarray):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    if isinstance(one, dict):
        keys = {(type(key), key): key for key in other}
        return len(one) == len(other) and all(
            (type(key), key) in keys and same(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, (list, tuple, deque)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, (set, frozenset)):
        return {(type(each), each) for each in one} == {(type(each), each) for each in other}
    return bool(one == other)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.binary(max_size=5)
)
KEYS = st.text("abc", max_size=2) | st.integers(-3, 300) | st.tuples(st.integers(0, 2), st.text("a", max_size=1))
TENSORS = st.lists(st.floats(width=32), max_size=4).map(torch.tensor) | st.integers(0, 9).map(torch.tensor)
ARRAYS = st.lists(st.integers(0, 9), max_size=4).map(lambda items: numpy.array(items, numpy.int16))
STATES = st.recursive(
    SCALARS | TENSORS | ARRAYS | st.sets(st.integers(0, 5)) | st.frozensets(st.text("ab", max_size=2)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=3).map(deque)
        | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(STATES)
def test_state_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert same(through_file(state, folder), state)


@given(STATES, STATES)
def test_digests_are_equal_just_when_states_are(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == same(one, other)


@given(st.dictionaries(KEYS, STATES, max_size=5), st.randoms())
def test_digest_does_not_depend_on_the_order_of_a_dict(state: dict[Any, Any], chance: Any) -> None:
    items = list(state.items())
    chance.shuffle(items)
    assert digest([dict(items)]) == digest([state])


def test_digest_does_not_depend_on_the_history_of_a_set() -> None:
    one, other = {0, 8}, {8, 0}
    assert list(one) != list(other)
    assert digest(one) == digest(other)


ZERO = torch.zeros(2)
UNLIKE: list[Any] = [
    *(1, 1.0, True, "1", b"1", 1 + 0j, [1], (1,), {1}, frozenset({1}), deque([1]), {1: 1}, Counter({1: 1})),
    *(0, 0.0, -0.0, False, None, "", b"", [], (), {}, set(), frozenset(), deque(), deque(maxlen=0), 0j),
    *(numpy.int64(1), numpy.int32(1), numpy.float32(1), numpy.float64(1), numpy.bool_(True), numpy.str_("1")),
    *(torch.zeros(2), torch.zeros(2, 1), torch.zeros(1, 2), torch.zeros(2, dtype=torch.int32), torch.zeros(3)),
    *(torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16), torch.tensor(0.0), -torch.zeros(2)),
    *(numpy.zeros(2, "f4"), numpy.zeros(2), numpy.zeros((2, 1)), numpy.zeros(0), numpy.zeros((0, 2))),
    *([ZERO], [ZERO, ZERO], {"a": ZERO}, {"b": ZERO}, {"a": ZERO, "b": [ZERO]}, 2**64, 2**64 - 1, -(2**63) - 1),
]


def test_digests_of_states_that_look_alike_differ() -> None:
    digests = [digest(state) for state in UNLIKE]
    assert len(set(digests)) == len(UNLIKE)
    assert [digest(copy.deepcopy(state)) for state in UNLIKE] == digests


def test_digest_is_that_of_the_documented_form() -> None:
    """One known figure, so that a change of the form does not go unseen: it would part every study from its past."""
    state = {"step": 3, "net": {"w": torch.tensor([1.0, 2.0]), "b": numpy.array([1], "<i4")}, "betas": (0.9, 0.999)}
    assert digest(state) == "5b807712d6b29b0a7d18bddbaa0a039bb71afcf5757f6d6d2daec1f7105c3589"


def test_digest_does_not_depend_on_memory_layout_or_sharing() -> None:
    plain = torch.arange(24.0).reshape(2, 3, 2, 2)
    layouts = [plain, plain.to(memory_format=torch.channels_last), plain.double().float()]
    strided = torch.zeros(2, 3, 2, 4)[..., ::2].copy_(plain)
    wide = torch.ones(3).expand(2, 3)
    assert len({digest(each) for each in [*layouts, strided, torch.nn.Parameter(plain)]}) == 1
    assert digest(wide) == digest(torch.ones(2, 3))
    assert digest([plain, plain]) == digest([plain, plain.clone()])
    assert digest([plain, plain[0]]) == digest([plain, plain[0].clone()])
    assert digest(numpy.arange(3, dtype=">i4")) == digest(numpy.arange(3, dtype="<i4"))
    assert digest(numpy.asfortranarray(numpy.ones((2, 3)))) == digest(numpy.ones((2, 3)))
    assert digest(torch.tensor([1 + 2j]).conj()) == digest(torch.tensor([1 - 2j]))
    assert digest(torch.tensor([1 + 2j]).conj().imag) == digest(torch.tensor([-2.0]))


DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex128, torch.complex64, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
]


def test_tensors_of_every_type_come_back_side_by_side(tmp_path: Path) -> None:
    raw = torch.arange(1, 49, dtype=torch.uint8)
    state = {str(dtype): raw.view(dtype).clone()[: 3 if dtype.itemsize < 16 else 1] for dtype in DTYPES}
    found = through_file(state, tmp_path)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].view(torch.uint8).tolist() == tensor.view(torch.uint8).tolist()


def test_arrays_of_every_type_come_back_side_by_side(tmp_path: Path) -> None:
    kinds = ["?", "i1", ">i2", "<u4", "i8", "f2", ">f4", "f8", "c8", "c16", "S3", "<U2", ">U2", "M8[ns]", "m8[s]"]
    state = {kind: numpy.array([1, 0, 1]).astype(kind) for kind in kinds}
    found = through_file(state, tmp_path)
    for kind in kinds:
        assert found[kind].dtype == state[kind].dtype
        assert found[kind].tobytes() == state[kind].tobytes()
        assert found[kind].flags.writeable


def test_numpy_scalars_come_back_as_such(tmp_path: Path) -> None:
    state = [numpy.float32(0.1), numpy.int64(-1), numpy.bool_(True), numpy.str_("a"), numpy.datetime64("2020-01-01")]
    found = through_file(state, tmp_path)
    assert [(type(each), each) for each in found] == [(type(each), each) for each in state]


def test_tensors_come_back_with_strides_and_roles(tmp_path: Path) -> None:
    state = {
        "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "turned": torch.randn(3, 2).t(),
        "gaps": torch.randn(4, 4)[:, ::2],
        "wide": torch.randn(1).expand(4),
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "frozen": torch.nn.Parameter(torch.randn(2), requires_grad=False),
        "grad": torch.randn(2, requires_grad=True),
        "empty": torch.empty(0, 3),
        "single": torch.tensor(2.5),
    }
    found = through_file(state, tmp_path)
    assert [found[name].stride() for name in ("last", "turned")] == [
        state[name].stride() for name in ("last", "turned")
    ]
    assert found["gaps"].is_contiguous()
    assert found["wide"].is_contiguous()
    assert {name: each.requires_grad for name, each in found.items()} == {
        name: each.requires_grad for name, each in state.items()
    }
    assert isinstance(found["frozen"], torch.nn.Parameter)
    assert type(found["grad"]) is torch.Tensor
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor)


def test_tensors_that_share_memory_share_it_again(tmp_path: Path) -> None:
    flat = torch.arange(10.0)
    weight = torch.nn.Parameter(torch.ones(3))
    state = {
        "flat": flat,
        "head": flat[2:5],
        "every": flat[1::3],
        "bits": flat.view(torch.int32),
        "tied": [weight, weight.detach(), weight],
        "apart": [flat.clone()[:2], flat.clone()[2:4]],
    }
    found = through_file(state, tmp_path)
    found["flat"].add_(1)
    for name, view in (("head", found["flat"][2:5]), ("every", found["flat"][1::3])):
        assert torch.equal(found[name], view)
    assert torch.equal(found["bits"], found["flat"].view(torch.int32))
    assert found["tied"][0] is found["tied"][2]
    assert isinstance(found["tied"][0], torch.nn.Parameter)
    with torch.no_grad():
        found["tied"][0].fill_(5)
    assert found["tied"][1].tolist() == [5, 5, 5]
    array = numpy.arange(3)
    again = through_file([array, array], tmp_path)
    assert again[0] is again[1]


def test_neighbours_in_one_memory_stay_apart(tmp_path: Path) -> None:
    flat = torch.arange(4.0)
    found = through_file([flat[:2], flat[2:]], tmp_path)
    assert found[0].untyped_storage().nbytes() == 8


def test_conjugated_views_come_back_with_their_values(tmp_path: Path) -> None:
    number = torch.tensor([1 + 2j])
    found = through_file([number, number.conj(), number.conj().imag], tmp_path)
    assert [each.tolist() for each in found] == [[1 + 2j], [1 - 2j], [-2.0]]


def test_what_is_read_is_private(tmp_path: Path) -> None:
    state = {"a": torch.zeros(3), "b": numpy.zeros(3)}
    one = through_file(state, tmp_path)
    one["a"].add_(1)
    one["b"] += 1
    other, _ = read_checkpoint(tmp_path / "a.safetensors")
    assert other["a"].tolist() == other["b"].tolist() == [0, 0, 0]


def test_extras_are_no_part_of_the_digest(tmp_path: Path) -> None:
    copied = snapshot({"a": 1}, Pool())
    first, _ = write_checkpoint(tmp_path / "a", copied, {"generators": (1, 2)})
    second, _ = write_checkpoint(tmp_path / "b", copied, {})
    assert first == second == digest({"a": 1}) == digest(copied)
    assert read_checkpoint(tmp_path / "a")[1] == {"generators": (1, 2)}


def test_ordered_dict_comes_back_as_a_dict_in_its_order(tmp_path: Path) -> None:
    found = through_file(OrderedDict(b=1, a=2), tmp_path)
    assert type(found) is dict
    assert list(found) == ["b", "a"]


# What cannot be stored


@pytest.mark.parametrize(
    ("state", "place", "kind"),
    [
        ({"a": [1, object()]}, "state['a'][1]", "builtins.object"),
        ({"a": {3: lambda: None}}, "state['a'][3]", "builtins.function"),
        ([Point(1, 2)], "state[0]", "Point"),
        ([Phase.WARM], "state[0]", "Phase"),
        ([defaultdict(int)], "state[0]", "collections.defaultdict"),
        ({"a": {object(): 1}}, "a key of state['a']", "builtins.object"),
        ((range(3),), "state[0]", "builtins.range"),
        ([numpy.zeros(1, "i4,f4")[0]], "state[0]", "numpy.void"),
        ([{(1, object())}], "an element of state[0]", "builtins.tuple"),
    ],
)
def test_state_that_cannot_be_stored_is_refused_with_its_place_and_type(state: Any, place: str, kind: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        digest(state)
    assert str(caught.value).startswith(f"{place} is a ")
    assert kind in str(caught.value)


class Subclass(torch.Tensor):
    pass


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: torch.eye(2).to_sparse(), "a sparse tensor"),
        (lambda: torch.zeros(2, device="meta"), "a meta tensor"),
        (lambda: torch.zeros(2).as_subclass(Subclass), "Subclass"),
        (lambda: numpy.array([object()]), "an array of object"),
        (lambda: numpy.zeros(2, "i4,f4"), "an array of"),
        (lambda: numpy.ma.zeros(2), "MaskedArray"),
    ],
)
def test_tensor_without_plain_memory_is_refused_with_its_place(make: Callable[[], Any], text: str) -> None:
    pool = Pool()
    for _ in range(IN_FLIGHT_MAX + 1):  # a refusal takes no room in the pool
        with pytest.raises(CheckpointError, match=rf"state\['a'\]\[0\]\[1\] is .*{text}"):
            snapshot({"a": ([torch.zeros(1), make()],)}, pool)


@pytest.mark.parametrize("key", [torch.zeros(1), (1, torch.zeros(1))])
def test_state_with_a_tensor_as_a_key_is_refused(key: Any) -> None:
    with pytest.raises(CheckpointError, match="a key of a dict in the state is a tensor"):
        digest({"a": {key: 1}})


def test_state_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = [(loop,)]
    with pytest.raises(CheckpointError, match="contains itself"):
        digest(loop)


# Snapshots


def test_snapshot_does_not_change_with_the_state() -> None:
    state: dict[str, Any] = {"a": torch.zeros(3), "b": numpy.zeros(3), "c": [1]}
    before = digest(state)
    copied = snapshot(state, Pool())
    state["a"].add_(1)
    state["b"] += 1
    state["c"].append(2)
    assert copied.digest() == before != digest(state)


def test_pool_uses_its_memory_again() -> None:
    pool = Pool()
    first = snapshot({"a": torch.zeros(3), "n": 1}, pool)
    first.release()
    second = snapshot({"a": torch.ones(3), "n": 2}, pool)
    assert second.buffer is first.buffer
    assert second.digest() == digest({"a": torch.ones(3), "n": 2})


def test_pool_tells_layouts_apart() -> None:
    pool, shared = Pool(), torch.ones(4)
    states: list[Any] = [
        [torch.zeros(4)],
        [torch.zeros(2, 2)],
        [torch.zeros(4), torch.ones(4)],
        [shared, shared.view(2, 2)],
        [shared, torch.ones(2, 2)],
        [numpy.ones(4)],
        [shared[:3], shared[1:]],
        [shared[:3], shared[:3].clone()],
        {},
    ]
    for _ in range(2):
        for state in states:
            copied = snapshot(state, pool)
            assert copied.digest() == digest(state)
            copied.release()


def test_snapshot_waits_while_two_are_in_flight() -> None:
    pool = Pool()
    held = [snapshot({"a": torch.zeros(3)}, pool) for _ in range(IN_FLIGHT_MAX)]
    taken: list[Any] = []
    waiter = threading.Thread(target=lambda: taken.append(snapshot({"a": torch.zeros(3)}, pool)))
    assert not pool.room.acquire(blocking=False)
    waiter.start()
    held[0].release()
    held[0].release()  # a second time: no more room for that
    waiter.join(30)
    assert len(taken) == 1
    assert not pool.room.acquire(blocking=False)


# Files


def test_file_is_read_by_safetensors(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "w": torch.randn(3, 2),
        "n": numpy.arange(4),
        "tied": [torch.ones(2)] * 2,
        "c": torch.ones(1) * 1j,
    }
    through_file(state, tmp_path)
    with safetensors.safe_open(str(tmp_path / "a.safetensors"), "pt") as file:
        assert file.metadata()["hive_checkpoint"] == "1"
        assert file.metadata()["state_sha256"] == digest(state)
    found = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert torch.equal(found["000000"], state["w"])
    assert found["000001"].tolist() == [0, 1, 2, 3]
    assert "skeleton" in found


def test_no_other_file_is_left_behind(tmp_path: Path) -> None:
    through_file({"a": 1}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_folder_of_a_file_is_made(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "one" / "two" / "a", snapshot({"a": 1}, Pool()), {})
    assert read_checkpoint(tmp_path / "one" / "two" / "a")[0] == {"a": 1}


@pytest.mark.parametrize("name", ["taken/a", "folder"])
def test_file_that_cannot_be_written_is_named_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder" / "full").mkdir(parents=True)
    (tmp_path / "taken").touch()
    with pytest.raises(CheckpointError, match=f"cannot write the checkpoint .*{name}"):
        write_checkpoint(tmp_path / name, snapshot({"a": 1}, Pool()), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "taken"]


def test_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*a\.safetensors: No such file"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sound")
    shared = torch.arange(4.0)
    through_file({"w": shared, "v": shared[1:], "n": numpy.ones(2), "t": (1, "a", {2})}, folder, {"x": (1,)})
    return (folder / "a.safetensors").read_bytes()


def refused(data: bytes, folder: Path) -> bool:
    (folder / "b.safetensors").write_bytes(data)
    try:
        read_checkpoint(folder / "b.safetensors")
    except CheckpointError as error:
        return "b.safetensors" in str(error)
    return False


def test_file_that_is_cut_anywhere_is_refused(sound: bytes, tmp_path: Path) -> None:
    assert not refused(sound, tmp_path)
    assert all(refused(sound[:length], tmp_path) for length in range(len(sound)))
    assert refused(sound + b"\x00", tmp_path)


def test_file_with_any_byte_damaged_is_refused(sound: bytes, tmp_path: Path) -> None:
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << position % 8
        assert refused(bytes(damaged), tmp_path), position


@pytest.mark.parametrize("change", [{"hive_checkpoint": "2"}, {"hive_checkpoint": None}, {"state_sha256": "0" * 64}])
def test_file_of_another_form_or_digest_is_refused(change: dict[str, Any], sound: bytes, tmp_path: Path) -> None:
    (length,) = struct.unpack_from("<Q", sound)
    header = json.loads(sound[8 : 8 + length])
    header["__metadata__"].update(change)
    text = json.dumps(header).encode()
    assert refused(struct.pack("<Q", len(text)) + text + sound[8 + length :], tmp_path)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_checkpoint_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    assert refused(data, tmp_path_factory.getbasetemp())


def test_file_of_another_program_is_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "c.safetensors")
    assert refused((tmp_path / "c.safetensors").read_bytes(), tmp_path)


def test_nan_comes_back_bit_for_bit(tmp_path: Path) -> None:
    odd = struct.unpack("<d", bytes.fromhex("010000000000f87f"))[0]
    found = through_file([odd, torch.tensor([math.nan, -0.0])], tmp_path)
    assert struct.pack("<d", found[0]).hex() == "010000000000f87f"
    assert math.copysign(1, found[1][1]) == -1
