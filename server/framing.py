"""Frames for the socket (RFC 6455 section 5.2): whole, unmasked messages, built once for all readers.

Everything else of the RFC stays with the websockets package; these headers are ours so that one event's bytes can be
shared by all its readers. Events are never compressed: RFC 7692, section 6, leaves that to the sender of each message.
A reply is, for a client that has agreed on it, where that saves something (docs/performance.md, Compression).
"""

import zlib
from struct import Struct

from protocol import Message, Wire, encode

_TEXT = 0x81  # FIN, opcode 1
_BINARY = 0x82  # FIN, opcode 2
_COMPRESSED = 0x40  # RSV1: RFC 7692, section 7
_FIRST = (_BINARY, _TEXT, _BINARY | _COMPRESSED, _TEXT | _COMPRESSED)
_SHORT = {first: [bytes([first, size]) for size in range(126)] for first in _FIRST}
"""Whole headers, by first byte and size."""
_MEDIUM = Struct("!BBH").pack
_LONG = Struct("!BBQ").pack
DEFLATE_FROM = 1_024  # bytes; what is shorter loses a fifth at most, as much again goes to TCP and TLS
DEFLATE_UPTO = 65_536  # bytes; longer ones would hold up the loop for more than a millisecond
_LEVEL = 1  # 6 saves 5 % more and takes half as long again
_MEMORY = 8  # zlib's default: 256 kB while a message is compressed
_EMPTY_BLOCK = b"\x00\x00\xff\xff"


def frame(wire: Wire, message: Message | bytes, window_bits: int = 0) -> bytes:
    """One server-to-client frame with ``message``, or with what is encoded already.

    With ``window_bits`` the client can inflate: long messages are compressed, each by itself.
    """
    payload = message if isinstance(message, bytes) else encode(wire, message)
    first = _BINARY if wire.binary else _TEXT
    if window_bits and DEFLATE_FROM <= len(payload) <= DEFLATE_UPTO:
        deflated = _deflated(payload, window_bits)
        if len(deflated) < len(payload):
            payload, first = deflated, first | _COMPRESSED
    size = len(payload)
    if size < 126:
        return _SHORT[first][size] + payload
    if size < 65_536:
        return _MEDIUM(first, 126, size) + payload
    return _LONG(first, 127, size) + payload


def _deflated(payload: bytes, window_bits: int) -> bytes:
    """RFC 7692, section 7.2.1: raw deflate, flushed, without the empty block at its end."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -window_bits, _MEMORY)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_EMPTY_BLOCK)
