"""Handshakes of tcp connections: who is let in by a socket that listens, and why one that connects is not.

ZeroMQ itself is silent about both: it drops a peer without the right key, and tells the peer nothing. It must not know
what is said once a connection stands."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from itertools import count

import zmq
from zmq.auth import Authenticator
from zmq.utils.monitor import recv_monitor_message

from hive.actors.keys import COORDINATOR, Keys
from hive.errors import StudyError

__all__ = ["Door", "Handshakes", "Tell"]

DOMAIN = "hive"

STRANGERS_MAX = 100
"""Strangers that are told apart in the log: each of them tries again and again."""

CLOSED_MAX = 20
"""Connections in a row that the other side closed during the handshake, some half a second of them. Fewer may be a
coordinator that ends; or one that asks for keys, whose closing overtakes its greeting about every second time."""

NUMBERS = count()
"""One for each socket that is looked at."""

EVENTS = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)

Tell = Callable[[str, bool], None]
"""Told why no connection comes about, and whether the other side has said so, so that waiting would not help."""

log = logging.getLogger("hive")


class Door:
    """Lets those in, at a socket that listens, whose keys its own folder has; all others are never heard.

    Attributes:
        keys: the keys of who listens.
        asked: what asks whom to let in, readable like any socket.

    Raises:
        StudyError: the keys are those of somebody who connects.
    """

    def __init__(self, socket: zmq.Socket[bytes], keys: Keys) -> None:
        if COORDINATOR in keys.peers:
            raise StudyError(
                f"{keys.folder} has the keys of a side that connects; who listens needs the coordinator's, which "
                f"`hive keys` puts into a folder of the name {COORDINATOR}"
            )
        self.keys = keys
        self.welcome = frozenset(keys.peers.values())
        self.strangers: set[bytes] = set()
        self.authenticator = Authenticator(socket.context)
        self.authenticator.configure_curve_callback(DOMAIN, self)
        self.authenticator.start()
        self.asked = self.authenticator.zap_socket
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret
        socket.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without the authenticator nobody gets in, rather than everybody

    def read(self) -> None:
        """Answer all who ask."""
        while not self.asked.closed:
            try:
                frames = self.asked.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            with contextlib.suppress(StopIteration):  # the answer is there at once, and never waited for
                self.authenticator.handle_zap_message(frames).send(None)

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether a key is let in; the authenticator's question at each handshake."""
        if key not in self.welcome and key not in self.strangers and len(self.strangers) < STRANGERS_MAX:
            self.strangers.add(key)
            log.warning("refused a peer: its key %s is not in %s/peers", key.decode(), self.keys.folder)
        return key in self.welcome


class Handshakes:
    """Looks at the handshakes of one peer's connections.

    Args:
        address: where the peer is.
        keys: this side's; None without.
        tell: told why there is no connection, each reason once until there is one.
        again: called whenever ZeroMQ has given the peer up, as it does with one that refuses.

    Attributes:
        monitor: what tells of them, readable like any socket; None before the first connection.
    """

    def __init__(self, address: str, keys: Keys | None, tell: Tell, again: Callable[[], object]) -> None:
        if keys is not None and COORDINATOR not in keys.peers:
            raise StudyError(
                f"{keys.folder} has the keys of a coordinator itself, or lacks peers/{COORDINATOR}.key; who connects "
                "needs a folder of its own: `hive keys` makes one for each name"
            )
        self.address = address
        self.keys = keys
        self.tell = tell
        self.again = again
        self.told = ""
        self.closed = 0
        self.monitor: zmq.Socket[bytes] | None = None

    def follow(self, socket: zmq.Socket[bytes]) -> None:
        """Look at this socket from now on, before it connects, and have it use the keys."""
        if self.keys is not None:
            socket.curve_publickey, socket.curve_secretkey = self.keys.public, self.keys.secret
            socket.curve_serverkey = self.keys.peers[COORDINATOR]
        address = f"inproc://handshakes-{next(NUMBERS)}"  # pyzmq's own is named by a descriptor, which comes again
        socket.monitor(address, EVENTS)
        self.monitor = socket.context.socket(zmq.PAIR)
        self.monitor.connect(address)

    def read(self) -> None:
        """Take in all that the monitor has."""
        while self.monitor is not None and not self.monitor.closed:
            try:
                event = recv_monitor_message(self.monitor, zmq.NOBLOCK)
            except zmq.Again:
                return
            self.take(zmq.Event(event["event"]), event["value"])

    def take(self, event: zmq.Event, value: int) -> None:
        """One handshake has ended. Without detail it failed when the connection was closed."""
        self.closed = self.closed + 1 if event == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL else 0
        if event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self.told = ""
        elif event != zmq.Event.HANDSHAKE_FAILED_NO_DETAIL:
            self.again()
            self.say(self.refusal(event, value), True)
        elif self.closed == CLOSED_MAX:
            other = "it asks for keys" if self.keys is None else f"{self.keys.folder} has another coordinator's key"
            self.say(f"{self.address} closes every connection at once: nobody serves there yet, or {other}", False)

    def say(self, reason: str, refused: bool) -> None:
        """Tell a reason, once as long as it stays the same."""
        if reason != self.told:
            self.told = reason
            self.tell(reason, refused)

    def refusal(self, event: zmq.Event, value: int) -> str:
        """Why the other side refuses, in words."""
        if event == zmq.Event.HANDSHAKE_FAILED_AUTH and self.keys is not None:
            return (
                f"{self.address} does not let in the key in {self.keys.folder}: its coordinator's folder has no such "
                "public key, or had none when it started (`hive keys` puts it there)"
            )
        if value != zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
            return f"{self.address} is no coordinator of hive: the handshake fails ({event.name}, {value:#x})"
        if self.keys is None:
            return f"{self.address} asks for keys: name a folder that `hive keys` made, with --keys or HIVE_KEYS"
        return f"{self.address} has no keys: start its coordinator with them (--keys), or connect without"
