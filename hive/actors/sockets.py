"""The network between processes: ZeroMQ sockets, encrypted where there are keys.

`zmq.asyncio` costs 30 us a message, 15 times a plain socket whose descriptor the loop watches and which is drained
without blocking: so it is drained. It must not know what any message means, or decide anything."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import zmq

from hive.actors import wire
from hive.actors.handshakes import Door, Handshakes, Tell
from hive.actors.keys import Keys, read_keys
from hive.actors.messages import Message, Refused
from hive.errors import ProtocolError, StudyError

__all__ = ["ZmqNetwork", "at_host_of", "keys_for"]

READS_MAX = 512
"""Messages taken in of one socket before others have their turn."""

QUEUE_MESSAGES_MAX = 100_000
"""Messages that wait for one peer; more are dropped, which peers mend by repeating."""

RECONNECT_MS = 20
RECONNECT_MS_MAX = 200
"""How soon a peer that is not there yet is tried again. A run's processes start together: nobody should wait long."""

REFUSED_AGAIN_S = 1.0
"""How soon a peer that refused the keys is tried again: ZeroMQ gives it up, but somebody may mend its keys."""

log = logging.getLogger("hive")


def keys_for(address: str, folder: Path | None) -> Keys | None:
    """The keys in a folder, if an address is spoken to with keys: tcp that leaves loopback only with them, other tcp
    if there are any, ipc never.

    Raises:
        StudyError: it is no address, it needs keys and no folder is named, or the folder has none.
    """
    parts = urlsplit(address)
    if parts.scheme == "ipc" and address != "ipc://":
        return None
    if parts.scheme != "tcp" or not parts.hostname:
        raise StudyError(f"{address!r} is no address: write tcp://HOST:PORT or ipc://PATH")
    if folder is not None:
        return read_keys(folder)
    if not is_loopback(parts.hostname):
        raise StudyError(
            f"{address!r} is not on loopback, and no keys are set: make them with `hive keys`, and name a folder of "
            "them on both sides, with --keys or HIVE_KEYS"
        )
    return None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for certain."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def at_host_of(told: str, known: str) -> str:
    """The address `told`, on the host of the address `known`: a side that listens does not know by which name others
    reach its machine. Only tcp has hosts."""
    if not (told.startswith("tcp://") and known.startswith("tcp://")):
        return told
    return f"{known.rpartition(':')[0]}:{told.rpartition(':')[2]}"


def log_trouble(reason: str, refused: bool) -> None:
    """Write down why a peer is not reached."""
    log.warning("%s%s", reason, "; trying again" if refused else "; still waiting")


class ZmqNetwork:
    """A ROUTER that listens, and a DEALER for each peer it connects to.

    Args:
        context: the process's ZeroMQ context.
        name: what this side is called by those it connects to.
        listen: the address to listen on; None for nowhere. Port 0 picks a free one: see `address`.
        keys: the folder of this side's keys; None for none. See `keys_for`.

    Attributes:
        tell: told why a peer is not reached.

    Raises:
        StudyError: nobody can listen there, or not with these keys.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        name: str,
        listen: str | None = None,
        keys: Path | None = None,
    ) -> None:
        self.context = context
        self.name = name
        self.keys = keys
        self.tell: Tell = log_trouble
        self.loop = asyncio.get_running_loop()
        self.receive: Callable[[str, Message], None] | None = None
        self.dealers: dict[str, zmq.Socket[bytes]] = {}
        self.handshakes: dict[str, Handshakes] = {}
        self.router: zmq.Socket[bytes] | None = None
        self.door: Door | None = None
        self.looked_after: set[str | None] = set()
        self.address = ""
        if listen is not None:
            self.listen(listen)

    def listen(self, address: str) -> None:
        """Be reached at an address, by those whose keys are known if there are keys."""
        keys = keys_for(address, self.keys)
        router = self.router = self.socket(zmq.ROUTER, address)
        router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        if keys is not None:
            self.door = Door(router, keys)
            self.loop.add_reader(self.door.asked.FD, self.door.read)
        with address_errors("listen on", address):
            router.bind(address)
        self.address = router.getsockopt_string(zmq.LAST_ENDPOINT)

    def socket(self, kind: int, address: str) -> zmq.Socket[bytes]:
        """A socket for an address, with bounds on what it holds."""
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.SNDHWM, QUEUE_MESSAGES_MAX)
        socket.setsockopt(zmq.RCVHWM, QUEUE_MESSAGES_MAX)
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.MAXMSGSIZE, wire.MESSAGE_BYTES_MAX)
        socket.setsockopt(zmq.IPV6, int("[" in address))
        return socket

    def connect(self, peer: str, address: str) -> None:
        """Reach `peer` at `address` from now on, whenever it is there.

        Raises:
            StudyError: nobody can be reached there, or not with these keys.
        """
        keys = keys_for(address, self.keys)
        handshakes = Handshakes(
            address,
            keys,
            lambda reason, refused: self.tell(reason, refused),
            lambda: self.loop.call_later(REFUSED_AGAIN_S, self.again, peer, handshakes),
        )
        self.reach(peer, handshakes)

    def again(self, peer: str, handshakes: Handshakes) -> None:
        """Try a peer again that refused, unless it is reached elsewhere by now."""
        if self.handshakes.get(peer) is handshakes:
            self.reach(peer, handshakes)

    def reach(self, peer: str, handshakes: Handshakes) -> None:
        """Have a socket connect, in place of the one before."""
        self.leave(peer)
        dealer = self.dealers[peer] = self.socket(zmq.DEALER, handshakes.address)
        self.handshakes[peer] = handshakes
        dealer.setsockopt(zmq.IDENTITY, self.name.encode())
        dealer.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS_MAX)
        if handshakes.address.startswith("tcp"):
            handshakes.follow(dealer)
        with address_errors("connect to", handshakes.address):
            dealer.connect(handshakes.address)
        if self.receive is not None:
            self.watch(peer, dealer)

    def attach(self, receive: Callable[[str, Message], None]) -> None:
        """Begin to hand messages in."""
        self.receive = receive
        if self.router is not None:
            self.watch(None, self.router)
        for peer, dealer in self.dealers.items():
            self.watch(peer, dealer)

    def watch(self, peer: str | None, socket: zmq.Socket[bytes]) -> None:
        """Read a socket whenever something comes. `peer`: who is at its other end; None for the one that listens."""
        self.loop.add_reader(socket.FD, self.read, peer, socket)
        self.loop.call_soon(self.read, peer, socket)
        handshakes = self.handshakes.get(peer) if peer is not None else None
        if handshakes is not None and handshakes.monitor is not None:
            self.loop.add_reader(handshakes.monitor.FD, handshakes.read)
            self.loop.call_soon(handshakes.read)

    def read(self, peer: str | None, socket: zmq.Socket[bytes]) -> None:
        """Take in all that is there. The descriptor tells of changes only, so nothing may be left without a call to
        come."""
        if socket.closed:
            return
        for _ in range(READS_MAX):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.take(peer, frames)
        self.loop.call_soon(self.read, peer, socket)

    def take(self, peer: str | None, frames: list[bytes]) -> None:
        """Hand in one message; what is none is told to its sender."""
        sender = peer if peer is not None else frames[0].decode(errors="replace")
        try:
            message = wire.decode(frames[-1])
        except ProtocolError as error:
            log.warning("dropped a message of %s: %s", sender, error)
            if peer is None:
                self.send(sender, Refused(str(error)))
            return
        if self.receive is not None:
            self.receive(sender, message)

    def send(self, to: str, message: Message) -> None:
        """Queue a message; one for a peer that is not there, or whose queue is full, is dropped."""
        data = wire.encode(message)
        dealer = self.dealers.get(to)
        socket = dealer if dealer is not None else self.router
        if socket is None or socket.closed:
            return
        with contextlib.suppress(zmq.ZMQError):
            socket.send_multipart([data] if dealer is not None else [to.encode(), data], zmq.NOBLOCK)
        self.look_after(to if dealer is not None else None, socket)

    def look_after(self, peer: str | None, socket: zmq.Socket[bytes]) -> None:
        """Read a socket that was written to, once however often that was: writing may have consumed the sign that
        something has come."""
        if self.receive is not None and peer not in self.looked_after:
            self.looked_after.add(peer)
            self.loop.call_soon(self.look, peer, socket)

    def look(self, peer: str | None, socket: zmq.Socket[bytes]) -> None:
        """Take in what has come meanwhile."""
        self.looked_after.discard(peer)
        self.read(peer, socket)

    def leave(self, peer: str) -> None:
        """Reach a peer no longer."""
        handshakes = self.handshakes.pop(peer, None)
        if handshakes is not None and handshakes.monitor is not None:
            self.forget(handshakes.monitor)
        dealer = self.dealers.pop(peer, None)
        if dealer is not None:
            self.forget(dealer)

    def forget(self, socket: zmq.Socket[bytes]) -> None:
        """Close a socket and watch it no longer."""
        with contextlib.suppress(ValueError, zmq.ZMQError):
            self.loop.remove_reader(socket.FD)
        socket.close()

    def close(self) -> None:
        """Close the sockets; what is queued gets a fifth of a second to leave."""
        for peer in list(self.dealers):
            self.leave(peer)
        if self.router is not None:
            self.forget(self.router)
            self.router = None
        if self.door is not None:
            self.forget(self.door.asked)
            self.door = None


@contextlib.contextmanager
def address_errors(what: str, address: str) -> Iterator[None]:
    """Turn ZeroMQ's errors into ours."""
    try:
        yield
    except zmq.ZMQError as error:
        raise StudyError(f"cannot {what} {address}: {error.strerror}") from error
