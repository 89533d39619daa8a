"""Groups 12 and 13: messages that are compressed (RFC 7692), of five kinds of data and with seven sets of parameters.

The suite sends a JSON file, a bitmap, Goethe's Faust, an HTML page and a PDF; these are not ours to keep, so what
stands for them is of the same kind. It sends 1,000 messages in each case; so does ``AUTOBAHN_MESSAGES=1000``.
"""

import os
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from tests.autobahn.case import BINARY, TEXT, Awaited, Case, Fragmented, Message, Step

ROOT = Path(__file__).parents[2]
MESSAGES = int(os.environ.get("AUTOBAHN_MESSAGES", "2"))
RSV1 = 4
SIZES: tuple[tuple[int, int], ...] = (
    *((size, 0) for size in (16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072)),
    *((size, 256) for size in (8192, 16_384, 32_768, 65_536, 131_072)),
    *((131_072, size) for size in (1024, 4096, 32_768)),
)
"""Length of a message, and of its fragments; 0: none."""
ANY = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
OFFERS: tuple[str, ...] = (
    ANY,
    f"{ANY}; server_no_context_takeover",
    f"{ANY}; server_max_window_bits=9",
    f"{ANY}; server_max_window_bits=15",
    f"{ANY}; server_no_context_takeover; server_max_window_bits=9",
    f"{ANY}; server_no_context_takeover; server_max_window_bits=15",
    f"{ANY}; server_no_context_takeover; server_max_window_bits=9, {ANY}; server_no_context_takeover, {ANY}",
)


@cache
def data(kind: int) -> bytes:
    """Enough for the longest message: JSON, a bitmap, prose, HTML, what is compressed already."""
    random = Random(kind)
    if kind == 1:
        text = (ROOT / "protocol" / "catalogue.json").read_bytes()
    elif kind == 2:
        text = bytes((x * x + y * y + random.randrange(8)) & 0xFF for y in range(512) for x in range(512))
    elif kind == 3:
        text = b"".join(path.read_bytes() for path in sorted((ROOT / "docs").glob("*.md")))
    elif kind == 4:
        text = b"".join(path.read_bytes() for path in sorted((ROOT / "clients" / "web").iterdir()))
    else:
        text = random.randbytes(262_144)
    return text * (2 * SIZES[-1][0] // len(text) + 1)


def deflated(payload: bytes) -> bytes:
    """A message as a client compresses it that keeps no context."""
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def of_length(kind: int, length: int, n: int) -> bytes:
    """The ``n``-th message; text is not cut within a letter."""
    start = n * length % SIZES[-1][0]
    message = data(kind)[start : start + length]
    return message if kind in BINARIES else message.decode(errors="ignore").encode()


BINARIES = (2, 3, 5)


def compressed() -> Iterator[Case]:
    """12: kinds of data. 13: JSON, with parameters."""
    for kind in range(1, 6):
        yield from of_kind(f"12.{kind}", kind, ANY)
    for n, offer in enumerate(OFFERS, 1):
        yield from of_kind(f"13.{n}", 1, offer)


def of_kind(group: str, kind: int, offer: str) -> Iterator[Case]:
    """The sizes of a group."""
    for n, (length, fragment) in enumerate(SIZES, 1):
        binary = kind in BINARIES
        messages = [of_length(kind, length, at) for at in range(MESSAGES)]
        steps: list[Step] = []
        for at, message in enumerate(messages, 1):
            squeezed = deflated(message)
            steps += (
                Fragmented(BINARY if binary else TEXT, squeezed, fragment or len(squeezed), RSV1),
                Awaited(at),
            )
        yield Case(
            f"{group}.{n}",
            f"{MESSAGES} compressed messages of {length}" + (f" in fragments of {fragment}" if fragment else ""),
            tuple(steps),
            tuple(Message(message, binary) for message in messages),
            offer=offer,
        )
