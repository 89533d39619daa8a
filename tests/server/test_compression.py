"""Compression of messages (RFC 7692): what is agreed on, what it may cost, and what is not compressed."""

import asyncio
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import cast

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate

from protocol import Wire
from server.acceptor import Arrival
from server.connection import Connection
from server.framing import DEFLATE_FROM, DEFLATE_UPTO, frame
from tests.server.test_connection import CONT, MAX_BYTES, PING, TEXT, UPGRADE, Hall, Timers, Wall, closed_with
from tests.server.test_connection import frame as masked

RSV1 = 0x40
EMPTY_BLOCK = b"\x00\x00\xff\xff"
BOMB_MIB = 64


class Line:
    """A connection with its surroundings, whose client has offered compression."""

    def __init__(self, offer: str = "permessage-deflate", *, compression: bool = True) -> None:
        self.hall, self.wall = Hall(), Wall()
        loop = cast("asyncio.AbstractEventLoop", Timers())
        self.connection = Connection(
            self.hall, loop, MAX_BYTES, Arrival("192.0.2.1", admitted=False), compression=compression
        )
        self.connection.connection_made(self.wall)
        header = f"Sec-WebSocket-Extensions: {offer}\r\n\r\n".encode()
        self.feed(UPGRADE[:-2] + header)
        self.head, self.wall.written = self.wall.written.decode(), b""

    @property
    def messages(self) -> list[bytes]:
        return self.hall.ear.messages

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)


@pytest.fixture
def line() -> Line:
    return Line()


def deflated(payload: bytes) -> bytes:
    deflate = zlib.compressobj(9, wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(EMPTY_BLOCK)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """64 MiB of zeros, as deflate writes them: 64 KiB."""
    return deflated(bytes(BOMB_MIB * 1024 * 1024))


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


# What is agreed on.
def test_unless_it_is_on_an_offer_is_not_answered_and_a_compressed_message_ends_the_connection() -> None:
    line = Line(compression=False)
    assert "Sec-WebSocket-Extensions" not in line.head
    line.feed(masked(TEXT, deflated(b"hello"), first=RSV1))
    assert closed_with(line.wall) == 1002
    assert line.connection.window_bits == 0


def test_neither_end_keeps_anything_between_messages(line: Line) -> None:
    assert "server_no_context_takeover; client_no_context_takeover" in line.head
    for _ in range(3):
        line.feed(masked(TEXT, deflated(b"hello" * 100), first=RSV1))
    assert line.connection._ws is not None
    (extension,) = line.connection._ws.extensions
    assert isinstance(extension, PerMessageDeflate)
    assert not {"decoder", "encoder"} & vars(extension).keys()
    assert line.messages == [b"hello" * 100] * 3


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=99",
        "x-webkit-deflate",
    ],
)
def test_an_offer_that_cannot_be_met_leaves_the_connection_uncompressed(offer: str) -> None:
    line = Line(offer)
    assert "101 " in line.head
    assert "Sec-WebSocket-Extensions" not in line.head
    assert line.connection.window_bits == 0


# In.
def test_messages_may_be_compressed_or_not_in_fragments_or_not(line: Line) -> None:
    text = b"one two three " * 20
    squeezed = deflated(text)
    line.feed(masked(TEXT, squeezed, first=RSV1) + masked(TEXT, b"plain"))
    line.feed(masked(TEXT, squeezed[:9], fin=False, first=RSV1) + masked(PING) + masked(CONT, squeezed[9:]))
    line.feed(masked(TEXT, b"pl", fin=False) + masked(CONT, b"ain"))
    assert line.messages == [text, b"plain", text, b"plain"]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (masked(TEXT, b"\xff\xff\xff\xff", first=RSV1), 1002),
        (masked(TEXT, deflated(b"\xff\xfe"), first=RSV1), 1007),
        (masked(PING, b"", first=RSV1), 1002),
        (masked(TEXT, deflated(b"a"), fin=False, first=RSV1) + masked(CONT, b"", first=RSV1), 1002),
        (masked(TEXT, b"a", fin=False) + masked(CONT, b"", first=RSV1), 1002),
        (masked(TEXT, deflated(b"a"), first=0x60), 1002),
    ],
    ids=["no deflate", "no UTF-8", "a ping", "a second fragment", "the second fragment only", "another bit"],
)
def test_what_is_compressed_wrongly_ends_the_connection(line: Line, bad: bytes, code: int) -> None:
    line.feed(bad + masked(TEXT, b"after"))
    assert closed_with(line.wall) == code
    assert line.messages == []


def test_a_message_that_refers_to_the_one_before_is_refused(line: Line) -> None:
    """The client has agreed to keep no context."""
    deflate = zlib.compressobj(9, wbits=-15)
    text = bytes(range(32, 127)) * 3
    first, second = (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH) for _ in range(2))
    line.feed(masked(TEXT, first.removesuffix(EMPTY_BLOCK), first=RSV1))
    line.feed(masked(TEXT, second.removesuffix(EMPTY_BLOCK), first=RSV1))
    assert closed_with(line.wall) == 1002
    assert line.messages == [text]


# Bombs.
@pytest.mark.parametrize("over", [0, 1])
def test_a_message_may_inflate_to_the_limit_and_no_further(line: Line, over: int) -> None:
    text = b"a" * (MAX_BYTES + over)
    line.feed(masked(TEXT, deflated(text), first=RSV1))
    assert line.messages == ([] if over else [text])
    assert not over or closed_with(line.wall) == 1009


@pytest.mark.usefixtures("memory")
def test_a_bomb_is_not_inflated_past_the_limit(line: Line, bomb: bytes) -> None:
    packet = masked(TEXT, bomb[: MAX_BYTES - 100], first=RSV1)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    line.feed(packet)
    _, peak = tracemalloc.get_traced_memory()
    assert closed_with(line.wall) == 1009
    assert line.messages == []
    assert peak - before < 6 * MAX_BYTES


@pytest.mark.usefixtures("memory")
def test_a_bomb_in_fragments_is_not_inflated_past_the_limit_either(line: Line, bomb: bytes) -> None:
    pieces = [bomb[at : at + 20] for at in range(0, len(bomb), 20)]
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    line.feed(masked(TEXT, pieces[0], fin=False, first=RSV1))
    fed = 0
    while not line.wall.ended:
        fed += 1
        line.feed(masked(CONT, pieces[fed], fin=False))
    _, peak = tracemalloc.get_traced_memory()
    assert closed_with(line.wall) == 1009
    assert fed < 10
    assert peak - before < 6 * MAX_BYTES


def test_empty_fragments_behind_what_fills_the_limit_inflate_to_nothing(line: Line, bomb: bytes) -> None:
    """No room is left then, and zlib takes a bound of 0 for none."""
    deflate = zlib.compressobj(9, wbits=-15)
    full = deflate.compress(b"a" * MAX_BYTES) + deflate.flush(zlib.Z_SYNC_FLUSH)
    line.feed(masked(TEXT, full, fin=False, first=RSV1))
    line.feed(masked(CONT, b"", fin=False) * 100)
    assert not line.wall.ended
    line.feed(masked(CONT, bomb[:50]))
    assert closed_with(line.wall) == 1009
    assert line.messages == []


# Out.
def read(piece: bytes) -> tuple[int, bytes]:
    """The first byte and the payload of a frame."""
    size = piece[1]
    start = 2 + {126: 2, 127: 8}.get(size, 0)
    return piece[0], piece[start:]


@pytest.mark.parametrize(("wire", "first"), [(Wire.JSON, 0x81), (Wire.MSGPACK, 0x82)])
def test_a_long_reply_is_compressed_for_who_can_inflate_it(wire: Wire, first: int) -> None:
    text = b'{"rank":1,"name":"ann"},' * 100
    opcode, payload = read(frame(wire, text, 15))
    assert opcode == first | RSV1
    assert len(payload) < len(text) // 10
    assert zlib.decompressobj(-15).decompress(payload + EMPTY_BLOCK) == text
    assert read(frame(wire, text)) == (first, text)


@pytest.mark.parametrize("length", [0, DEFLATE_FROM - 1, DEFLATE_UPTO + 1])
def test_short_and_very_long_messages_are_not_compressed(length: int) -> None:
    text = b"a" * length
    assert frame(Wire.JSON, text, 15) == frame(Wire.JSON, text)


def test_what_would_only_grow_is_sent_as_it_is() -> None:
    noise = b"".join(struct.pack("!Q", n * 0x9E3779B97F4A7C15 % 2**64) for n in range(1, 300))
    assert frame(Wire.MSGPACK, noise, 15) == frame(Wire.MSGPACK, noise)
