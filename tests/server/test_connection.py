"""One socket, byte by byte: a transport that remembers what was written, and a door that lets everybody in."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import pytest
from websockets.http11 import Response

from protocol import CloseCode, Wire
from server.acceptor import Arrival
from server.connection import CLOSING_S, HANDSHAKE_S, LATE_BYTES, Connection, Peer
from server.upgrade import Asked, plain_response

MAX_BYTES = 65_536
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: game.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, BINARY, CLOSE, PING, PONG, CONT = 1, 2, 8, 9, 10, 0


class Wall(asyncio.Transport):
    """A transport that writes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = self.closed = self.aborted = self.reading_paused = False

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reading_paused = True


class Ear:
    """A peer that remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.frames = 0
        self.codes: list[int] = []
        self.answer: Callable[[bytes], None] = lambda _payload: None

    def message(self, payload: bytes, *, binary: bool) -> None:
        self.messages.append(payload)
        self.answer(payload)

    def heard(self) -> None:
        self.frames += 1

    def lost(self, code: int) -> None:
        self.codes.append(code)


class Hall:
    """A door that lets in whoever asks for /ws."""

    def __init__(self) -> None:
        self.ear = Ear()
        self.refusal: Response | None = None
        self.left = 0

    def admit(self, address: str) -> Response | None:
        return self.refusal

    def answer(self, connection: Connection, asked: Asked) -> Response | None:
        return None if asked.path == "/ws" else plain_response(404, "Not Found", "no\n")

    def opened(self, connection: Connection, wire: Wire) -> Peer:
        return self.ear

    def gone(self, connection: Connection) -> None:
        self.left += 1


class Timers:
    """The loop, as far as a connection knows it: what it wants to be done later."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return 0.0

    def call_later(self, delay: float, callback: Callable[[], None]) -> "Timers":
        self.waiting.append((delay, callback))
        self._last = self.waiting[-1]
        return self

    def cancel(self) -> None:
        self.waiting.remove(self._last)


class Line:
    """A connection with its surroundings."""

    def __init__(self, *, upgraded: bool = True) -> None:
        self.hall, self.wall, self.timers = Hall(), Wall(), Timers()
        loop = cast("asyncio.AbstractEventLoop", self.timers)
        self.connection = Connection(self.hall, loop, MAX_BYTES, Arrival("192.0.2.1", admitted=False))
        if upgraded:
            self.accept()
            self.feed(UPGRADE)
            self.wall.written = b""

    @property
    def ear(self) -> Ear:
        return self.hall.ear

    def accept(self) -> None:
        self.connection.connection_made(self.wall)

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, claimed: int | None = None, first: int = 0) -> bytes:
    """A masked frame (with a mask of zeros); ``claimed`` is the length that its header tells."""
    size = len(payload) if claimed is None else claimed
    head = bytes([(0x80 if fin else 0) | first | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += struct.pack("!BH", 0xFE, size)
    else:
        head += struct.pack("!BQ", 0xFF, size)
    return head + bytes(4) + payload


def closed_with(wall: Wall) -> int:
    """The code of the close frame that was written last."""
    at = wall.written.rindex(b"\x88")
    return int(struct.unpack("!H", wall.written[at + 2 : at + 4])[0])


@pytest.fixture
def line() -> Line:
    return Line()


# The upgrade.
def test_a_handshake_may_come_one_byte_at_a_time() -> None:
    line = Line(upgraded=False)
    line.accept()
    for byte in UPGRADE + frame(TEXT, b"hello"):
        line.feed(bytes([byte]))
    assert line.wall.written.startswith(b"HTTP/1.1 101")
    assert line.ear.messages == [b"hello"]


@pytest.mark.parametrize("cut", range(1, 5))
def test_the_first_messages_may_come_in_the_packet_that_ends_the_handshake(cut: int) -> None:
    line = Line(upgraded=False)
    line.accept()
    line.feed(UPGRADE[:-cut])
    line.feed(UPGRADE[-cut:] + frame(TEXT, b"one") + frame(TEXT, b"two"))
    assert line.ear.messages == [b"one", b"two"]


def test_a_ping_behind_the_handshake_is_answered_after_it() -> None:
    """It was answered first: the client read a pong where it expected HTTP."""
    line = Line(upgraded=False)
    line.accept()
    line.feed(UPGRADE + frame(PING, b"hi"))
    head, _, rest = line.wall.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert rest == b"\x8a\x02hi"


@pytest.mark.parametrize(
    "behind", [frame(CLOSE, b"\x03\xe8"), frame(3, b"x"), b"\x81\x01x"], ids=["close", "bad", "raw"]
)
def test_what_ends_the_connection_may_come_behind_the_handshake(behind: bytes) -> None:
    """It left a traceback in the log and the client without an answer."""
    line = Line(upgraded=False)
    line.accept()
    line.feed(UPGRADE + behind)
    assert line.wall.written.startswith(b"HTTP/1.1 101")
    assert closed_with(line.wall) in (1000, 1002)
    assert line.wall.ended


@pytest.mark.parametrize("behind", [b"body", frame(CLOSE), UPGRADE])
def test_what_comes_behind_a_request_that_is_refused_is_not_looked_at(behind: bytes) -> None:
    line = Line(upgraded=False)
    line.accept()
    line.feed(UPGRADE.replace(b"/ws", b"/up") + behind)
    assert line.wall.written.startswith(b"HTTP/1.1 404")
    assert line.wall.ended


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b""),
        (b"A" * 20_000, b"414"),
        (b"GET /ws HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", b"431"),
        (b"GET /ws HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (UPGRADE.replace(b"GET", b"POST"), b"405"),
        (UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"), b"505"),
        (UPGRADE.replace(b"websocket", b"smtp"), b"426"),
        (UPGRADE.replace(b"AAAA", b"\xff\xff"), b"400"),
    ],
    ids=["tls", "endless line", "long header", "many headers", "post", "old", "other upgrade", "bad key"],
)
def test_what_is_no_upgrade_is_answered_ended_and_cut(garbage: bytes, status: bytes) -> None:
    line = Line(upgraded=False)
    line.accept()
    line.feed(garbage)
    assert line.wall.written.partition(b" ")[2].startswith(status)
    assert line.wall.ended
    cut_after(line)


def test_a_request_that_never_ends_is_cut() -> None:
    line = Line(upgraded=False)
    line.accept()
    line.feed(b"GET /ws HTTP/1.1\r\nX: ")
    assert [delay for delay, _ in line.timers.waiting] == [HANDSHAKE_S]
    cut_after(line)


def test_who_asks_for_something_else_and_stays_is_cut() -> None:
    line = Line(upgraded=False)
    line.accept()
    line.feed(b"GET /healthz HTTP/1.1\r\nHost: game.example\r\n\r\n")
    cut_after(line)


# Messages.
def test_a_message_may_come_one_byte_at_a_time(line: Line) -> None:
    for byte in frame(TEXT, b"x" * 300):
        line.feed(bytes([byte]))
    assert line.ear.messages == [b"x" * 300]


def test_a_size_may_be_written_with_more_bytes_than_it_needs(line: Line) -> None:
    """Its last bytes were taken for the mask; so were those of messages above 64 KiB, where a game allows them."""
    line.feed(b"\x81\xff" + struct.pack("!Q", 5) + bytes(4) + b"hello")
    line.feed(b"\x82\xfe" + struct.pack("!H", 5) + bytes(4) + b"hello")
    assert line.ear.messages == [b"hello", b"hello"]


def test_a_message_may_come_in_fragments_with_pings_between(line: Line) -> None:
    line.feed(frame(TEXT, b"one ", fin=False) + frame(PING, b"?") + frame(CONT, b"", fin=False) + frame(CONT, b"two"))
    assert line.ear.messages == [b"one two"]
    assert line.wall.written == b"\x8a\x01?"


def test_a_packet_that_looks_like_a_short_message_may_be_the_rest_of_a_long_one(line: Line) -> None:
    inner = frame(BINARY, b"not a message")
    whole = frame(BINARY, b"x" * 20 + inner)
    line.feed(whole[: -len(inner)])
    line.feed(inner)
    assert line.ear.messages == [b"x" * 20 + inner]


def test_a_short_message_in_the_midst_of_a_fragmented_one_ends_the_connection(line: Line) -> None:
    line.feed(frame(BINARY, b"one ", fin=False))
    line.feed(frame(BINARY, b"not two"))
    assert closed_with(line.wall) == 1002
    assert not line.ear.messages


def test_a_short_message_after_the_end_is_not_heard(line: Line) -> None:
    line.connection.close(4000)
    line.feed(frame(BINARY, b"late"))
    assert not line.ear.messages


def test_every_frame_that_ends_no_message_is_reported(line: Line) -> None:
    """The session counts them: who is alive (PROTOCOL.md, Session 3), and who sends too many."""
    line.feed(
        frame(PING) + frame(PONG) + frame(TEXT, b"a", fin=False) + frame(CONT, b"", fin=False) + frame(CONT, b"b")
    )
    assert line.ear.frames == 4
    assert line.ear.messages == [b"ab"]


def test_fragments_of_nothing_without_end_take_no_memory(line: Line) -> None:
    line.feed(frame(TEXT, b"", fin=False))
    for _ in range(100):
        line.feed(frame(CONT, b"", fin=False) * 1_000)
    kept = line.connection._fragments
    assert kept is not None
    assert kept.__sizeof__() < 1_000


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"\x81\x02{}", 1002),
        (frame(TEXT, b"{}", first=0x40), 1002),
        (frame(3), 1002),
        (frame(11), 1002),
        (frame(CONT, b"x"), 1002),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        (frame(PING, b"a", fin=False), 1002),
        (frame(PING, b"a" * 126), 1002),
        (frame(TEXT, claimed=MAX_BYTES + 1), 1009),
        (frame(TEXT, claimed=2**62), 1009),
        (frame(TEXT, claimed=2**63), 1009),
        (frame(TEXT, b"a" * 60_000, fin=False) + frame(CONT, b"b" * 6_000), 1009),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, struct.pack("!H", 999)), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(TEXT, b'"\xff"'), 1007),
    ],
    ids=str,
)
def test_a_frame_against_the_rfc_ends_the_connection(line: Line, bad: bytes, code: int) -> None:
    line.feed(frame(TEXT, b"before"))
    line.feed(bad + frame(TEXT, b"after"))
    assert closed_with(line.wall) == code
    assert line.ear.messages == [b"before"]
    cut_after(line)


def test_a_message_before_the_clients_own_close_counts(line: Line) -> None:
    line.feed(frame(TEXT, b"last words") + frame(CLOSE, struct.pack("!H", 1000)) + frame(TEXT, b"too late"))
    assert line.ear.messages == [b"last words"]
    assert closed_with(line.wall) == 1000


# Floods.
def test_nothing_waits_for_a_peer_that_pings_and_does_not_read(line: Line) -> None:
    """45 MB a second waited for it, without end."""
    line.connection.pause_writing()
    line.feed(frame(PING, b"x" * 125) * 1_000)
    assert line.wall.written == b""
    line.connection.resume_writing()
    line.feed(frame(PING, b"!"))
    assert line.wall.written == b"\x8a\x01!"


def test_a_close_frame_is_written_to_a_peer_that_does_not_read(line: Line) -> None:
    line.connection.pause_writing()
    line.connection.close(CloseCode.SLOW_CONSUMER, "too slow")
    assert closed_with(line.wall) == 4001


def test_a_packet_of_10_000_frames_is_not_parsed_past_the_one_that_ends_the_connection(line: Line) -> None:
    line.ear.answer = lambda _payload: line.connection.close(CloseCode.RATE_ABUSED)
    line.feed(frame(TEXT, b"x") * 10_000)
    assert len(line.ear.messages) < 1_000


def test_who_goes_on_shouting_after_the_close_frame_is_not_read_any_more(line: Line) -> None:
    line.connection.close(CloseCode.RATE_ABUSED)
    for _ in range(2 * LATE_BYTES // 4_000):
        line.feed(frame(TEXT, b"x" * 4_000))
    assert line.wall.reading_paused
    cut_after(line)


def test_a_peer_that_answers_the_close_frame_is_heard_behind_what_it_had_sent(line: Line) -> None:
    line.connection.close(CloseCode.DRAINING)
    line.feed(frame(TEXT, b"x") * 100 + frame(CLOSE, struct.pack("!H", 4000)))
    assert line.wall.ended


# The end.
def test_the_end_is_told_once_to_the_listener_and_to_the_door(line: Line) -> None:
    line.feed(frame(CLOSE, struct.pack("!H", 1001)))
    line.connection.eof_received()
    line.connection.connection_lost(None)
    assert (line.ear.codes, line.hall.left) == ([1001], 1)
    assert line.timers.waiting == []


def test_one_that_is_lost_during_the_handshake_is_given_back() -> None:
    line = Line(upgraded=False)
    line.accept()
    line.feed(UPGRADE[:50])
    line.connection.connection_lost(ConnectionResetError())
    assert (line.ear.codes, line.hall.left) == ([], 1)
    assert line.timers.waiting == []


def test_one_that_is_not_admitted_is_told_so_and_never_given_back() -> None:
    line = Line(upgraded=False)
    line.hall.refusal = plain_response(503, "Service Unavailable", "full\n", Retry_After="7")
    line.accept()
    line.feed(UPGRADE)
    assert b"503 Service Unavailable" in line.wall.written
    assert b"Retry-After: 7" in line.wall.written
    line.connection.connection_lost(None)
    assert line.hall.left == 0


def cut_after(line: Line) -> None:
    """What the connection has waited for, in its patience, is over."""
    assert line.wall.closed or line.timers.waiting
    for delay, callback in list(line.timers.waiting):
        assert delay <= max(CLOSING_S, HANDSHAKE_S)
        callback()
    assert line.wall.closed or line.wall.aborted
