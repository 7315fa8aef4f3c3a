"""Folders of CURVE keys: who may speak with a coordinator that other machines reach.

A folder holds what one side needs, so that it is copied whole: its own pair in `own.key_secret` (and the public half
in `own.key`), and in `peers/NAME.key` the public key of each side that it speaks with. The coordinator's folder has all
who are let in, everybody else's has the coordinator. It must not know sockets, or what is said over them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.auth import create_certificates, load_certificate
from zmq.utils import z85

from hive.errors import StudyError

__all__ = ["COORDINATOR", "Keys", "make_keys", "named_folder", "read_keys"]

COORDINATOR = "coordinator"
"""What the coordinator's folder is called, and its public key in the others."""

SECRET, PUBLIC, PEERS = "own.key_secret", "own.key", "peers"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Keys:
    """What one side needs. Keys are 40 characters of Z85.

    Attributes:
        folder: where they were read.
        public: its own public key.
        secret: its own secret key.
        peers: the public key of each side that it speaks with, by name.
    """

    folder: Path
    public: bytes
    secret: bytes = field(repr=False)
    peers: Mapping[str, bytes]


def named_folder(folder: str | Path | None) -> Path | None:
    """The folder of keys that was named, else the one in HIVE_KEYS; None if there is neither."""
    name = folder or os.environ.get("HIVE_KEYS")
    return Path(name).absolute() if name else None


def read_keys(folder: Path) -> Keys:
    """The keys in a folder.

    Raises:
        StudyError: it is no folder of keys, or one of them cannot be read.
    """
    if not (folder / SECRET).exists():
        within = sorted(path.parent.name for path in folder.glob(f"*/{SECRET}"))
        better = f"name one of those in it: {', '.join(within)}" if within else "`hive keys` makes one"
        raise StudyError(f"{folder} is no folder of keys, it has no {SECRET}: {better}")
    public, secret = read_pair(folder / SECRET)
    if secret is None or zmq.curve_public(secret) != public:
        raise StudyError(f"{folder / SECRET} is no secret key, or not that of its public key")
    return Keys(folder, public, secret, {p.stem: read_pair(p)[0] for p in sorted((folder / PEERS).glob("*.key"))})


def read_pair(path: Path) -> tuple[bytes, bytes | None]:
    """The public key in a file, and the secret one if it is there.

    Raises:
        StudyError: it cannot be read, or holds no key.
    """
    try:
        public, secret = load_certificate(path)
        for key in (public, secret or public):
            if len(key) != 40 or len(z85.decode(key)) != 32:
                raise ValueError("a key has 40 characters of Z85")
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"cannot read the key {path}: {error}") from error
    return public, secret


# -- making them ----------------------------------------------------------------------------------------------


def make_keys(folder: Path, names: Iterable[str]) -> dict[str, bool]:
    """Make a folder of keys for the coordinator and for each name, beside each other. What is there is left as it is.

    Returns:
        For the coordinator and each name, in this order, whether it was made.

    Raises:
        StudyError: a name cannot be one, the coordinator's folder is elsewhere, or nothing can be written.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if not NAME.fullmatch(name) or name == COORDINATOR:
            raise StudyError(
                f"{name!r} cannot name keys: use letters, digits, '.', '_' and '-', and another word than {COORDINATOR}"
            )
    if not (folder / COORDINATOR).exists() and any(folder.glob(f"*/{SECRET}")):
        raise StudyError(f"{folder} has keys for a coordinator that is not in it: make more where {COORDINATOR}/ lies")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return dict(made(folder, wanted))
    except OSError as error:
        raise StudyError(f"cannot make keys in {folder}: {error}") from error


def made(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Make what is missing, and tell of each."""
    coordinator = folder / COORDINATOR
    yield COORDINATOR, not coordinator.exists()
    if not coordinator.exists():
        make_side(coordinator)
    for name in names:
        known = (folder / name).exists() or (coordinator / PEERS / f"{name}.key").exists()
        if not known:
            make_side(folder / name, coordinator / PUBLIC)
            publish(folder / name / PUBLIC, coordinator / PEERS / f"{name}.key")
        yield name, not known


def make_side(folder: Path, coordinator: Path | None = None) -> None:
    """A side's folder, whole from its first moment, which only this user can read."""
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as parent:
        side = Path(parent) / folder.name
        (side / PEERS).mkdir(parents=True)
        side.chmod(0o700)
        create_certificates(side, Path(PUBLIC).stem)
        (side / SECRET).chmod(0o600)
        if coordinator is not None:
            publish(coordinator, side / PEERS / f"{COORDINATOR}.key")
        side.rename(folder)


def publish(public: Path, to: Path) -> None:
    """Copy a public key, whole from its first moment."""
    part = to.with_suffix(".part")
    shutil.copyfile(public, part)
    part.replace(to)
