"""Who is heard over tcp with keys, and what those are told who are not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from zmq.auth import create_certificates

from hive.actors import sockets
from hive.actors.handshakes import CLOSED_MAX, Handshakes
from hive.actors.keys import COORDINATOR, make_keys
from hive.actors.messages import Message, Noted
from hive.actors.sockets import ZmqNetwork
from hive.errors import StudyError

BOUND_S = 20.0

LOOPBACK = "tcp://127.0.0.1:0"


def run(work: Coroutine[Any, Any, Any]) -> None:
    """To its end, within a bound."""
    asyncio.run(asyncio.wait_for(work, BOUND_S))


class Side:
    """A network, with what it heard and what it was told of peers that it does not reach."""

    def __init__(self, name: str, keys: Path | None, *, listen: str | None = None, connect: str | None = None) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.heard: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        self.told: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        try:
            self.network = ZmqNetwork(self.context, name, listen, keys)
            if connect is not None:
                self.network.connect("server", connect)
        except StudyError:
            self.context.destroy(linger=0)
            raise
        self.network.tell = lambda reason, refused: self.told.put_nowait((reason, refused))
        self.network.attach(lambda sender, message: self.heard.put_nowait((sender, message)))

    def close(self) -> None:
        """Close it; its sockets are all closed by then, or this never ends."""
        self.network.close()
        self.context.term()


@contextmanager
def sides(*made: Side) -> Iterator[tuple[Side, ...]]:
    """Close them at the end."""
    try:
        yield made
    finally:
        for side in made:
            side.close()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder of keys for the coordinator, box and ada."""
    make_keys(tmp_path / "keys", ["box", "ada"])
    return tmp_path / "keys"


def test_sides_with_keys_hear_each_other(keys: Path) -> None:
    async def work() -> None:
        with sides(Side("server", keys / COORDINATOR, listen=LOOPBACK)) as (server,):
            address = server.network.address
            with sides(*(Side(name, keys / name, connect=address) for name in ("box", "ada"))) as clients:
                for client in clients:
                    client.network.send("server", Noted(1))
                    assert await server.heard.get() == (client.network.name, Noted(1))
                    server.network.send(client.network.name, Noted(2))
                    assert await client.heard.get() == ("server", Noted(2))
                    assert client.told.empty()

    run(work())


def stranger(folder: Path, coordinator: Path) -> Path:
    """Keys of somebody who knows the coordinator's public key and nothing else."""
    (folder / "peers").mkdir(parents=True)
    create_certificates(folder, "own")
    (folder / "peers" / f"{COORDINATOR}.key").write_bytes((coordinator / "own.key").read_bytes())
    return folder


@pytest.mark.parametrize(
    ("who", "words", "refused"),
    [
        ("stranger", "does not let in the key in {folder}:", True),
        ("keyless", "asks for keys: .*--keys or HIVE_KEYS", True),
        ("of another coordinator", "nobody serves there yet, or {folder} has another coordinator's key", False),
    ],
)
def test_peer_without_the_right_key_is_never_heard_and_told_why(
    who: str, words: str, refused: bool, keys: Path, tmp_path: Path
) -> None:
    make_keys(tmp_path / "others", ["box"])
    folder = {
        "stranger": stranger(tmp_path / "stranger", keys / COORDINATOR),
        "keyless": None,
        "of another coordinator": tmp_path / "others" / "box",
    }[who]

    async def work() -> None:
        with sides(Side("server", keys / COORDINATOR, listen=LOOPBACK)) as (server,):
            address = server.network.address
            with sides(Side("box", folder, connect=address), Side("box", keys / "box", connect=address)) as both:
                wrong, right = both
                wrong.network.send("server", Noted(666))
                reason, said = await wrong.told.get()
                if who == "keyless" and not said:  # which of two greetings is first is chance
                    reason, said = await wrong.told.get()
                assert reason.startswith(f"{address} ")
                assert pytest.RaisesExc(StudyError, match=words.format(folder=folder)).matches(StudyError(reason))
                assert said is refused
                wrong.network.send("server", Noted(666))
                right.network.send("server", Noted(1))
                assert await server.heard.get() == ("box", Noted(1))
                assert server.heard.empty()
                assert wrong.heard.empty()

    run(work())


def test_peer_with_keys_is_told_when_the_other_side_has_none(keys: Path) -> None:
    async def work() -> None:
        with (
            sides(Side("server", None, listen=LOOPBACK)) as (server,),
            sides(Side("box", keys / "box", connect=server.network.address)) as (client,),
        ):
            client.network.send("server", Noted(1))
            reason, refused = await client.told.get()
            while not refused:  # on a busy machine the closing may overtake the greeting for a while
                reason, refused = await client.told.get()
            assert "has no keys" in reason
            assert server.heard.empty()

    run(work())


def test_peer_that_was_refused_gets_in_once_its_key_is_there_and_not_any_more_without(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "REFUSED_AGAIN_S", 0.01)
    public = keys / COORDINATOR / "peers" / "box.key"
    data = public.read_bytes()

    def server(address: str, *, known: bool) -> Side:
        public.write_bytes(data) if known else public.unlink(missing_ok=True)
        return Side("server", keys / COORDINATOR, listen=address)

    async def refused(client: Side, by: Side) -> None:
        with sides(by):
            assert "does not let in" in (await client.told.get())[0]
            assert by.heard.empty()

    async def work() -> None:
        first = server(LOOPBACK, known=False)
        address = first.network.address
        with sides(Side("box", keys / "box", connect=address)) as (client,):
            await refused(client, first)
            with sides(server(address, known=True)) as (second,):
                while second.heard.empty():
                    client.network.send("server", Noted(1))
                    await asyncio.sleep(0)
            await refused(client, server(address, known=False))
            assert client.told.empty(), "a reason is told once until the peer is reached"

    run(work())


def test_stranger_is_named_once_in_the_log_of_who_listens(
    keys: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = stranger(tmp_path / "stranger", keys / COORDINATOR)

    async def work() -> None:
        with sides(Side("server", keys / COORDINATOR, listen=LOOPBACK)) as (server,):
            for _ in range(2):
                with sides(Side("box", folder, connect=server.network.address)) as (client,):
                    await client.told.get()

    with caplog.at_level(logging.WARNING):
        run(work())
    (record,) = caplog.records
    public = next(line for line in (folder / "own.key").read_text().splitlines() if "public-key" in line)
    assert record.getMessage().split(" is not in ")[0].split()[-1] in public


def test_side_that_listens_takes_no_keys_of_a_side_that_connects_nor_the_other_way_round(keys: Path) -> None:
    async def work() -> None:
        with pytest.raises(StudyError, match="keys of a side that connects"):
            Side("server", keys / "box", listen=LOOPBACK)
        with pytest.raises(StudyError, match="keys of a coordinator itself"):
            Side("box", keys / COORDINATOR, connect="tcp://127.0.0.1:1")

    run(work())


def test_connections_that_are_closed_at_once_are_told_of_when_there_were_many_in_a_row() -> None:
    told: list[tuple[str, bool]] = []
    handshakes = Handshakes("tcp://a:1", None, lambda reason, refused: told.append((reason, refused)), lambda: None)
    for _ in range(2):
        for _ in range(CLOSED_MAX - 1):
            handshakes.take(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL, 0)
        assert told == []
        handshakes.take(zmq.Event.HANDSHAKE_SUCCEEDED, 0)
    for _ in range(3 * CLOSED_MAX):
        handshakes.take(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL, 0)
    ((reason, refused),) = told
    assert "closes every connection at once" in reason
    assert not refused


def test_refusal_is_told_once_until_the_peer_is_reached_while_the_peer_is_tried_again_each_time() -> None:
    told: list[tuple[str, bool]] = []
    tried: list[None] = []
    handshakes = Handshakes(
        "tcp://a:1", None, lambda reason, refused: told.append((reason, refused)), lambda: tried.append(None)
    )
    for count in (1, 2):
        for _ in range(3):
            handshakes.take(zmq.Event.HANDSHAKE_FAILED_PROTOCOL, zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        assert (len(told), len(tried)) == (count, 3 * count)
        handshakes.take(zmq.Event.HANDSHAKE_SUCCEEDED, 0)
    assert all("asks for keys" in reason and refused for reason, refused in told)


def test_other_side_that_speaks_no_protocol_of_ours_is_told_of() -> None:
    told: list[str] = []
    handshakes = Handshakes("tcp://a:1", None, lambda reason, _: told.append(reason), lambda: None)
    handshakes.take(zmq.Event.HANDSHAKE_FAILED_PROTOCOL, 0x10000000)
    assert told == ["tcp://a:1 is no coordinator of hive: the handshake fails (HANDSHAKE_FAILED_PROTOCOL, 0x10000000)"]
