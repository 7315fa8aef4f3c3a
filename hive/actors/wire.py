"""How messages are written: one byte of protocol version, then MessagePack of a map with the message's "type".

Bad bytes end here as `ProtocolError` and never reach an actor. docs/protocol.md says the same to other languages. It
must not know sockets.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

import msgspec

from hive.actors.messages import MESSAGES, Message
from hive.errors import ProtocolError

__all__ = ["MESSAGE_BYTES_MAX", "VERSION", "decode", "encode"]

VERSION = 1

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""One Ask of a hundred thousand trials with long sequences fits; a length that somebody made up does not."""

encoder = msgspec.msgpack.Encoder()
decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(reduce(or_, MESSAGES))


def encode(message: Message) -> bytes:
    """A message's bytes.

    Raises:
        ProtocolError: it is larger than a message may be, or holds a value that MessagePack has no form for.
    """
    try:
        data = bytes((VERSION,)) + encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"a {type(message).__name__} that cannot be written: {error}") from error
    if len(data) > MESSAGE_BYTES_MAX:
        raise ProtocolError(
            f"a {type(message).__name__} of {len(data)} bytes; a message has {MESSAGE_BYTES_MAX} at most"
        )
    return data


def decode(data: bytes) -> Message:
    """The message that `data` holds.

    Raises:
        ProtocolError: another version, an unknown kind, a wrong type, too long, or no MessagePack at all.
    """
    if not 0 < len(data) <= MESSAGE_BYTES_MAX:
        raise ProtocolError(f"a message of {len(data)} bytes; a message has 1 at least and {MESSAGE_BYTES_MAX} at most")
    if data[0] != VERSION:
        raise ProtocolError(
            f"protocol version {data[0]}; this side speaks {VERSION}: bring both to the same release of hive"
        )
    try:
        return decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a message: {error}") from error
