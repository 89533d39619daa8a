"""Plain WebSocket frames (RFC 6455, section 5): a whole message in one, without an extension.

Nearly everything that a session says and hears is one. Whatever else comes is for websockets' protocol, which knows all
of the RFC and takes ten times as long.
"""

import os
from collections.abc import Iterator

try:
    from websockets.speedups import apply_mask
except ImportError:  # no C extension for this machine
    from websockets.utils import apply_mask

from protocol.frames import LONG, MASKED, MEDIUM

HEADER_BYTES = 14  # of a frame, at most
KEYS = 1024  # masking keys that are drawn at once; one by one, a system call each, they cost more than their frames

# Of a frame's first two bytes (section 5.2).
TEXT, BINARY = 0x81, 0x82  # FIN, no extension, and an opcode of a message
MEDIUM_BYTES = 0xFFFF


def mask_keys() -> Iterator[bytes]:
    """Keys without end that nobody can foretell (section 10.3)."""
    while True:
        drawn = os.urandom(4 * KEYS)
        for at in range(0, len(drawn), 4):
            yield drawn[at : at + 4]


def masked_frame(first: int, payload: bytes, key: bytes) -> bytes:
    """A client's frame; ``first`` is TEXT or BINARY."""
    size = len(payload)
    if size < MEDIUM:
        header = bytes((first, MASKED | size))
    elif size <= MEDIUM_BYTES:
        header = bytes((first, MASKED | MEDIUM)) + size.to_bytes(2)
    else:
        header = bytes((first, MASKED | LONG)) + size.to_bytes(8)
    return header + key + apply_mask(payload, key)


def plain_frame(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The message of the server's plain frame that begins at ``at``, and where the frame ends.

    None: it is another one, or not whole, or as short or long as hardly any.
    """
    whole = len(data)
    if at + 4 > whole or (data[at] != BINARY and data[at] != TEXT):
        return None
    size = data[at + 1]
    begins = at + 2
    if size == MEDIUM:
        size = data[begins] << 8 | data[begins + 1]
        begins = at + 4
    elif size > MEDIUM:  # or masked
        return None
    ends = begins + size
    return (data[begins:ends], ends) if ends <= whole else None
