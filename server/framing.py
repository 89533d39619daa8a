"""Frames for the socket (RFC 6455 section 5.2): whole, unmasked, uncompressed messages, built once for all readers.

Everything else of the RFC stays with the websockets package; these headers are ours so that one event's bytes can be
shared by all its readers.
"""

from struct import Struct

from protocol import Message, Wire, encode

_TEXT = 0x81  # FIN, opcode 1
_BINARY = 0x82  # FIN, opcode 2
_SHORT = Struct("!BB").pack
_MEDIUM = Struct("!BBH").pack
_LONG = Struct("!BBQ").pack


def frame(wire: Wire, message: Message | bytes) -> bytes:
    """One server-to-client frame with ``message``, or with what is encoded already."""
    payload = message if isinstance(message, bytes) else encode(wire, message)
    first = _BINARY if wire.binary else _TEXT
    size = len(payload)
    if size < 126:
        return _SHORT(first, size) + payload
    if size < 65_536:
        return _MEDIUM(first, 126, size) + payload
    return _LONG(first, 127, size) + payload
