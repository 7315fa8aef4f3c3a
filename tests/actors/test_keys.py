"""Folders of keys: each side's is whole, only its owner reads it, nothing in it is ever replaced, and a wrong one is
told."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import zmq
from zmq.auth import create_certificates

from hive.actors.keys import COORDINATOR, make_keys, named_folder, read_keys
from hive.errors import StudyError


def contents(folder: Path) -> dict[Path, bytes]:
    """Each file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_sides_of_new_keys_know_each_other(tmp_path: Path) -> None:
    assert make_keys(tmp_path / "keys", ["box", "ada"]) == {COORDINATOR: True, "box": True, "ada": True}
    coordinator, box, ada = (read_keys(tmp_path / "keys" / name) for name in (COORDINATOR, "box", "ada"))
    assert coordinator.peers == {"box": box.public, "ada": ada.public}
    assert box.peers == ada.peers == {COORDINATOR: coordinator.public}
    pairs = {(keys.public, keys.secret) for keys in (coordinator, box, ada)}
    assert len(pairs) == 3
    for public, secret in pairs:
        assert zmq.curve_public(secret) == public


def test_secrets_are_their_owners_alone_and_are_nowhere_else(tmp_path: Path) -> None:
    make_keys(tmp_path, ["box"])
    for name in (COORDINATOR, "box"):
        folder = tmp_path / name
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "own.key_secret").stat().st_mode) == 0o600
        secret = read_keys(folder).secret
        assert [path for path, data in contents(tmp_path).items() if secret in data] == [folder / "own.key_secret"]
        assert secret.decode() not in repr(read_keys(folder))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_keys_that_are_there_are_left_as_they_are_when_more_are_made(tmp_path: Path) -> None:
    make_keys(tmp_path, ["box"])
    before = contents(tmp_path)
    assert make_keys(tmp_path, ["box", "ada", "ada"]) == {COORDINATOR: False, "box": False, "ada": True}
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert set(read_keys(tmp_path / COORDINATOR).peers) == {"box", "ada"}


def test_name_whose_folder_has_moved_or_that_was_shut_out_gets_no_second_key(tmp_path: Path) -> None:
    make_keys(tmp_path, ["moved", "out"])
    (tmp_path / "moved").rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    (tmp_path / COORDINATOR / "peers" / "out.key").unlink()
    before = contents(tmp_path)
    assert make_keys(tmp_path, ["moved", "out"]) == {COORDINATOR: False, "moved": False, "out": False}
    assert contents(tmp_path) == before


def test_keys_are_not_made_for_a_coordinator_that_is_elsewhere(tmp_path: Path) -> None:
    make_keys(tmp_path, ["box"])
    (tmp_path / COORDINATOR).rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere"))
    with pytest.raises(StudyError, match="make more where coordinator/ lies"):
        make_keys(tmp_path, ["ada"])


@pytest.mark.parametrize("name", ["", COORDINATOR, "../box", "a/b", ".box", "-box", "b x", "x" * 101])
def test_word_that_cannot_name_keys_is_refused_and_nothing_is_made(name: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot name keys"):
        make_keys(tmp_path / "keys", ["box", name])
    assert not (tmp_path / "keys").exists()


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot make keys in"):
        make_keys(tmp_path / "file" / "keys", [])


def test_folder_of_several_sides_keys_is_told_with_whose_are_in_it(tmp_path: Path) -> None:
    make_keys(tmp_path, ["box"])
    with pytest.raises(StudyError, match=r"no folder of keys.*box, coordinator"):
        read_keys(tmp_path)


def test_folder_without_keys_is_told_with_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere is no folder of keys.*`hive keys`"):
        read_keys(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["own.key_secret", f"peers/{COORDINATOR}.key"])
@pytest.mark.parametrize("text", [b"", b"\xff", b'public-key = "short"', b'public-key = "' + b"~" * 40 + b'"'])
def test_damaged_key_is_told_with_its_file(name: str, text: bytes, tmp_path: Path) -> None:
    make_keys(tmp_path, ["box"])
    (tmp_path / "box" / name).write_bytes(text)
    with pytest.raises(StudyError, match=f"cannot read the key .*/{name}: "):
        read_keys(tmp_path / "box")


def test_secret_key_that_is_not_its_public_keys_is_told(tmp_path: Path) -> None:
    make_keys(tmp_path, ["box"])
    path, keys = tmp_path / "box" / "own.key_secret", read_keys(tmp_path / "box")
    create_certificates(tmp_path, "other")
    other = (tmp_path / "other.key_secret").read_bytes()
    other_public = next(line for line in other.splitlines() if b"public-key" in line)
    for text in (other.replace(other_public, b'public-key = "' + keys.public + b'"'), other_public):
        path.write_bytes(text)
        with pytest.raises(StudyError, match="is no secret key"):
            read_keys(tmp_path / "box")


def test_folder_that_is_named_wins_over_the_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIVE_KEYS", raising=False)
    assert named_folder(None) is named_folder("") is None
    assert named_folder("keys/box") == tmp_path / "keys/box"
    monkeypatch.setenv("HIVE_KEYS", "/etc/hive/keys")
    assert named_folder(None) == named_folder("") == Path("/etc/hive/keys")
    assert named_folder(Path("/a")) == Path("/a")
