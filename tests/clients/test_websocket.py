"""Links over WebSocket: whatever a server sends is heard as websockets' own protocol would hear it."""

import asyncio
from collections.abc import Iterator
from itertools import islice, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from clients.python.framing import HEADER_BYTES, KEYS, mask_keys
from clients.python.websocket import MAX_MESSAGE_BYTES, WebSocketLink
from protocol import Wire

URI = parse_uri("ws://127.0.0.1:1/ws")
DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
TOO_LONG = b"\x82\x7f" + (MAX_MESSAGE_BYTES + HEADER_BYTES).to_bytes(8) + b"x"


class Listener:
    """An ear."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.end: tuple[int, str] | None = None

    def heard(self, payload: bytes) -> None:
        self.messages.append(payload)

    def lost(self, code: int, reason: str) -> None:
        self.end = (code, reason)


class Pipe(asyncio.Transport):
    """A transport whose other side is read here."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Pair:
    """A link, and websockets' server that has answered its upgrade with ``answer``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wire: Wire) -> None:
        self.transport = Pipe()
        self.ear = Listener()
        self.ws = client_protocol(wire)
        self.link = WebSocketLink(self.ws, wire, self.ear, loop, mask_keys())
        self.link.connection_made(self.transport)
        self.server = ServerProtocol(subprotocols=[Subprotocol(wire.subprotocol)], max_size=None)
        self.answer = answer_of(self.server, self.transport.take())

    def lose(self) -> None:
        """The socket ends."""
        self.link.eof_received()
        self.link.connection_lost(None)


def client_protocol(wire: Wire) -> ClientProtocol:
    return ClientProtocol(URI, subprotocols=[Subprotocol(wire.subprotocol)], max_size=MAX_MESSAGE_BYTES)


def answer_of(server: ServerProtocol, request: bytes) -> bytes:
    server.receive_data(request)
    (asked,) = server.events_received()
    assert isinstance(asked, Request)
    server.send_response(server.accept(asked))
    return b"".join(server.data_to_send())


def by_websockets(frames: bytes) -> tuple[list[bytes], list[Frame], int | None]:
    """What a client of nothing but websockets hears, says and ends with."""
    ws = ClientProtocol(URI, state=State.OPEN, max_size=MAX_MESSAGE_BYTES)
    ws.receive_data(frames)
    ws.receive_eof()
    messages, pieces = list[bytes](), list[bytes]()
    for frame in ws.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in DATA:
            pieces.append(bytes(frame.data))
            if frame.fin:
                messages.append(b"".join(pieces))
                pieces.clear()
    return messages, said(b"".join(ws.data_to_send())), ws.close_code


def said(written: bytes) -> list[Frame]:
    """The frames that a client has written."""
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(written)
    return [frame for frame in server.events_received() if isinstance(frame, Frame)]


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=False)


def pieces(payloads: list[bytes], between: bytes) -> bytes:
    """A message in pieces, something else between them."""
    first, *others = payloads
    parts = [frame(Opcode.TEXT, first, fin=not others)]
    parts += [frame(Opcode.CONT, other, fin=n == len(others)) for n, other in enumerate(others, start=1)]
    return between.join(parts)


payloads = st.binary(max_size=8) | st.sampled_from([125, 126, 127, 300, 65_535, 65_536]).map(bytes)
messages = st.builds(frame, st.sampled_from([Opcode.TEXT, Opcode.BINARY]), payloads)
controls = st.builds(frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
closes = st.sampled_from([b"\x88\x00", b"\x88\x02\x03\xe8", b"\x88\x05\x11\x94bye", b"\x88\x01x"])
broken = st.binary(min_size=1, max_size=12) | st.sampled_from(
    [TOO_LONG, b"\xc1\x02hi", b"\x81\x82abcdhi", b"\x00\x01x"]
)
streams = st.lists(
    messages | messages | controls | st.builds(pieces, st.lists(payloads, min_size=1, max_size=4), controls), max_size=8
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for futures and timers; nothing runs in it."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@settings(max_examples=300, deadline=None)
@given(streams, st.one_of(st.just(b""), closes, broken, messages.map(lambda m: m[:-1])), st.lists(st.integers(0, 2000)))
@example([frame(Opcode.TEXT, b"{}")], b"", [])
@example([pieces([b"a", b"b"], b"")], frame(Opcode.TEXT, b"x", fin=False) + frame(Opcode.TEXT, b"second"), [])
def test_however_it_is_cut_everything_is_heard_and_answered_as_websockets_does(
    loop: asyncio.AbstractEventLoop, stream: list[bytes], last: bytes, cuts: list[int]
) -> None:
    frames = b"".join(stream) + last
    pair = Pair(loop, Wire.JSON)
    whole = pair.answer + frames
    for begin, end in pairwise(sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})):
        pair.link.data_received(whole[begin:end])
    pair.lose()

    heard, answered, code = by_websockets(frames)
    assert pair.ear.messages == heard
    assert said(pair.transport.written) == answered
    assert pair.ear.end is not None
    assert pair.ear.end[0] == code


@pytest.mark.parametrize("wire", Wire)
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_what_is_sent_is_one_masked_frame_of_the_wire_format(
    loop: asyncio.AbstractEventLoop, wire: Wire, size: int
) -> None:
    pair = Pair(loop, wire)
    pair.link.data_received(pair.answer)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    pair.link.send(payload)
    pair.link.send(b"next")

    pair.server.receive_data(pair.transport.written)
    opcode = Opcode.BINARY if wire.binary else Opcode.TEXT
    assert pair.server.events_received() == [Frame(opcode, payload), Frame(opcode, b"next")]


def test_nothing_is_sent_before_the_upgrade_after_the_goodbye_or_without_a_socket(
    loop: asyncio.AbstractEventLoop,
) -> None:
    pair = Pair(loop, Wire.JSON)
    pair.link.send(b"early")
    pair.link.data_received(pair.answer)
    pair.link.close(1000, "")
    pair.link.send(b"late")
    assert [each.opcode for each in said(pair.transport.take())] == [Opcode.CLOSE]

    lost = Pair(loop, Wire.JSON)
    lost.link.data_received(lost.answer)
    lost.lose()
    lost.transport.take()
    lost.link.send(b"too late")
    assert lost.transport.take() == b""


def test_a_frame_that_is_too_long_is_refused_by_its_header(loop: asyncio.AbstractEventLoop) -> None:
    pair = Pair(loop, Wire.MSGPACK)
    pair.link.data_received(pair.answer)
    pair.link.data_received(TOO_LONG)
    (goodbye,) = said(pair.transport.take())
    assert int.from_bytes(goodbye.data[:2]) == 1009


def test_no_masking_key_comes_twice() -> None:
    """Of 4,096 keys of 32 bits two are equal by chance once in 500 times; twice as many equal pairs, never."""
    drawn = list(islice(mask_keys(), 4 * KEYS))
    assert {len(key) for key in drawn} == {4}
    assert len(set(drawn)) >= len(drawn) - 2
