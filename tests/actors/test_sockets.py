"""The network between processes: it carries what is a message, survives what is none, and goes only where it may."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import zmq

from hive.actors.keys import make_keys
from hive.actors.messages import Message, Noted, Refused, StatusQuery
from hive.actors.sockets import ZmqNetwork, at_host_of, keys_for
from hive.errors import StudyError

BOUND_S = 10.0


def run(work: Coroutine[Any, Any, Any]) -> None:
    """To its end, within a bound."""
    asyncio.run(asyncio.wait_for(work, BOUND_S))


def test_sockets_carry_messages_both_ways_and_refuse_garbage(tmp_path: Path) -> None:
    async def work() -> None:
        heard: asyncio.Queue[tuple[str, str, Message]] = asyncio.Queue()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        address = f"ipc://{tmp_path}/c"
        client = ZmqNetwork(context, "client")
        client.connect("server", address)  # before anybody listens there
        client.attach(lambda sender, message: heard.put_nowait(("client", sender, message)))
        client.send("server", StatusQuery())
        server = ZmqNetwork(context, "server", address)
        server.attach(lambda sender, message: heard.put_nowait(("server", sender, message)))
        assert await heard.get() == ("server", "client", StatusQuery())
        server.send("client", Noted(7))
        assert await heard.get() == ("client", "server", Noted(7))

        client.dealers["server"].send(b"\x01garbage")
        to, sender, message = await heard.get()
        assert (to, sender) == ("client", "server")
        assert isinstance(message, Refused)
        client.send("server", Noted(8))
        assert await heard.get() == ("server", "client", Noted(8)), "garbage disturbs nobody"
        server.send("stranger", Noted(9))
        client.close()
        server.close()
        context.term()

    run(work())


async def listening(address: str, keys: Path | None = None) -> str:
    """Where a network listens that is told this address."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    network = None
    try:
        network = ZmqNetwork(context, "server", address, keys)
        return network.address
    finally:
        if network is not None:
            network.close()
        context.destroy(linger=0)


def test_network_listens_on_either_loopback() -> None:
    for host in ("127.0.0.1", "[::1]"):
        address = asyncio.run(listening(f"tcp://{host}:0"))
        assert address.startswith(f"tcp://{host}:")
        assert not address.endswith(":0")


def test_network_needs_no_keys_for_ipc_wherever_they_are_said_to_be(tmp_path: Path) -> None:
    assert asyncio.run(listening(f"ipc://{tmp_path}/c", tmp_path / "nowhere")) == f"ipc://{tmp_path}/c"


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:7077", "tcp://127.0.0.1", "tcp://127.0.0.1:x"])
def test_network_that_cannot_listen_says_where(address: str, tmp_path: Path) -> None:
    make_keys(tmp_path, [])
    with pytest.raises(StudyError, match=f"cannot listen on {address}: "):
        asyncio.run(listening(address, tmp_path / "coordinator"))


# -- addresses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:7077", "tcp://localhost:1", "tcp://[::1]:7077", "ipc:///tmp/a"])
def test_address_that_only_this_machine_reaches_needs_no_keys(address: str) -> None:
    assert keys_for(address, None) is None


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:7077", "tcp://*:7077", "tcp://10.0.0.1:1", "tcp://host:1", "tcp://[::]:7077"]
)
def test_address_that_others_may_reach_is_refused_without_keys(address: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"loopback.*hive keys.*--keys or HIVE_KEYS"):
        keys_for(address, None)
    make_keys(tmp_path, ["box"])
    keys = keys_for(address, tmp_path / "box")
    assert keys is not None
    assert keys.folder == tmp_path / "box"


def test_address_on_loopback_is_spoken_to_with_keys_if_there_are_any(tmp_path: Path) -> None:
    make_keys(tmp_path, ["box"])
    assert keys_for("tcp://127.0.0.1:1", tmp_path / "box") is not None


@pytest.mark.parametrize("address", ["udp://127.0.0.1:1", "ipc://", "", "7077", "tcp://"])
@pytest.mark.parametrize("keys", [None, Path("keys/box")])
def test_address_that_is_none_is_refused_with_keys_too(address: str, keys: Path | None) -> None:
    with pytest.raises(StudyError, match="is no address"):
        keys_for(address, keys)


@pytest.mark.parametrize(
    ("told", "known", "reached"),
    [
        ("tcp://0.0.0.0:41000", "tcp://gpu-box:7077", "tcp://gpu-box:41000"),
        ("tcp://10.0.0.5:41000", "tcp://192.0.2.7:7077", "tcp://192.0.2.7:41000"),
        ("tcp://[::]:41000", "tcp://[fd00::5]:7077", "tcp://[fd00::5]:41000"),
        ("tcp://127.0.0.1:41000", "tcp://127.0.0.1:7077", "tcp://127.0.0.1:41000"),
        ("ipc:///tmp/c-curves", "ipc:///tmp/c", "ipc:///tmp/c-curves"),
    ],
)
def test_second_port_of_a_machine_is_reached_at_the_host_of_the_first(told: str, known: str, reached: str) -> None:
    assert at_host_of(told, known) == reached
