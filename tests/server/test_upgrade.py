"""The short way through a plain upgrade request says what websockets would, and leaves it everything else."""

import asyncio
import re
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.http11 import MAX_NUM_HEADERS, Response
from websockets.utils import accept_key

from protocol import Wire
from server.acceptor import Arrival
from server.connection import Connection, Peer
from server.upgrade import Asked, plain_response, plain_upgrade
from tests.server.test_connection import MAX_BYTES, PING, Hall, Timers, Wall, frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
DATE = re.compile(rb"Date: [^\r]+")
NET = (
    "Host: play.example:7350",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Protocol: guildhall.v1.msgpack",
)
"""As .NET's ClientWebSocket asks, and with it Unity."""
CHROME = (
    "Host: play.example",
    "Connection: Upgrade",
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Upgrade: websocket",
    "Origin: https://play.example",
    "Sec-WebSocket-Version: 13",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Protocol: guildhall.v1.json",
)
FIREFOX = (
    "Host: play.example",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: */*",
    "Sec-WebSocket-Version: 13",
    "Origin: https://play.example",
    f"Sec-WebSocket-Key: {KEY}",
    "Connection: keep-alive, Upgrade",
    "Sec-Fetch-Dest: empty",
    "Upgrade: websocket",
)
PROXIED = ("x-forwarded-for: 203.0.113.7, 10.0.0.2", *(field.replace("websocket", "WebSocket") for field in NET))
CLIENTS = {"net": NET, "chrome": CHROME, "firefox": FIREFOX, "proxied": PROXIED}

# How fields may be written otherwise, and what may be asked otherwise.
ODD = (
    "GET /ws HTTP/1.1",
    "Host: a.example",
    "Host: b.example",
    "Host:",
    "Connection: upgrade",
    "Connection: close",
    "Connection: Upgrade, HTTP2-Settings",
    "Connection: keep-alive,Upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Upgrade: websocket, h2c",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Version: 13 ",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB==",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAA-_A==",
    "Sec-WebSocket-Protocol: guildhall.v1.json",
    "Sec-WebSocket-Protocol: guildhall.v1.msgpack, guildhall.v1.json",
    "Sec-WebSocket-Protocol: guildhall.v1.msgpack,guildhall.v1.json",
    "Sec-WebSocket-Protocol: guildhall.v2.json, guildhall.v1.json",
    "Sec-WebSocket-Protocol: guildhall.v2.json",
    "Sec-WebSocket-Protocol: ,;",
    "Sec-WebSocket-Protocol: ",
    "Sec-WebSocket-Extensions: permessage-deflate",
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9, x",
    "Sec-WebSocket-Extensions: ;=",
    "Sec-WebSocket-Protocol: guildhall.v1.json, ;",
    "Origin: null",
    "Origin: null ",
    "Origin: https://play.example",
    "X-Forwarded-For: 203.0.113.7",
    "X-Forwarded-For: 203.0.113.8",
    "Content-Length: 0",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Expect: 100-continue",
    "Cookie: a=b; c=d",
    "X-Name: J\xfcrgen",
    "X-Tab:\ta",
    "X-Blank: a  b",
    "X-Zero: \0",
    "X-Line: a\nHost: c.example",
    "X-Bare: a\rb",
    "X Y: z",
    "X : y",
    ": y",
    " folded",
    "no colon",
    "",
    "X: " + "a" * 8_190,
    "X: " + "a" * 2_000,
)
LINES = (
    "GET /ws HTTP/1.1",
    "GET /ws?token=x HTTP/1.1",
    "GET /healthz HTTP/1.1",
    "GET  /ws HTTP/1.1",
    "POST /ws HTTP/1.1",
    "GET /ws HTTP/1.0",
    "GET /ws HTTP/2",
    "get /ws HTTP/1.1",
    "GET /ws HTTP/1.1 ",
    "GET /\xfc HTTP/1.1",
    "",
)
ENDS = st.sampled_from(("\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", " \r\n"))
REFUSAL = plain_response(403, "Forbidden", "this origin may not connect\n")
BEHIND = st.sampled_from((b"", frame(PING, b"x"), b"\x89\x00", b"GET /ws HTTP/1.1\r\n\r\n"))


class Guarded(Hall):
    """A door that refuses when it is told to, and notes what it was asked and who came in."""

    def __init__(self, refusal: Response | None) -> None:
        super().__init__()
        self.turned_away = refusal
        self.asked: list[tuple[object, ...]] = []
        self.wires: list[Wire] = []

    def answer(self, connection: Connection, asked: Asked) -> Response | None:
        self.asked.append((asked.path, [*asked.origins], [*asked.hosts], [*asked.forwarded]))
        return self.turned_away or super().answer(connection, asked)

    def opened(self, connection: Connection, wire: Wire) -> Peer:
        self.wires.append(wire)
        return super().opened(connection, wire)


def written(fields: Sequence[str], line: str = "GET /ws HTTP/1.1", end: str = "\r\n") -> bytes:
    return "".join(f"{each}{end}" for each in (line, *fields, "")).encode("latin-1")


def told(pieces: Sequence[bytes], *, compression: bool, refusal: Response | None = None) -> tuple[object, ...]:
    """All that can be seen of a connection that was sent ``pieces``."""
    hall, wall, timers = Guarded(refusal), Wall(), Timers()
    loop = cast("asyncio.AbstractEventLoop", timers)
    made = Connection(hall, loop, MAX_BYTES, Arrival("192.0.2.1", admitted=False), compression=compression)
    made.connection_made(wall)
    for piece in pieces:
        made.data_received(piece)
    waiting = [seconds for seconds, _ in timers.waiting]
    said = DATE.sub(b"Date:", wall.written), wall.ended, wall.closed, wall.aborted
    heard = hall.ear.messages, hall.ear.frames, hall.ear.codes
    return (*said, *heard, hall.asked, hall.wires, made.open, made.window_bits, waiting)


@pytest.mark.parametrize("fields", CLIENTS.values(), ids=CLIENTS)
def test_the_clients_that_there_are_ask_plainly(fields: Sequence[str]) -> None:
    request = written(fields)

    assert plain_upgrade(request, compression=False) is not None
    offers = any("Extensions" in field for field in fields)
    assert (plain_upgrade(request, compression=True) is None) == offers


def test_what_is_plain_is_granted_word_for_word_as_by_websockets() -> None:
    for fields in CLIENTS.values():
        request = written(fields)
        answer = told([request], compression=False)

        assert bytes(cast("bytes", answer[0])).startswith(b"HTTP/1.1 101 Switching Protocols\r\nDate:\r\nUpgrade:")
        assert same(request, compression=False)


def test_each_key_is_answered_by_its_own_though_all_else_is_the_same() -> None:
    for key in (KEY, "AAAAAAAAAAAAAAAAAAAAAA==", "x3JJHMbDL1EzLkh9GBhXDw==", KEY):
        fields = [field.replace(KEY, key) for field in NET]
        upgrade = plain_upgrade(written(fields), compression=False)

        assert upgrade is not None
        assert f"Sec-WebSocket-Accept: {accept_key(key)}\r\n".encode() in upgrade.granted(0.0)
        assert same(written(fields), compression=False)


def test_the_answer_has_the_date_of_that_second(monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = plain_upgrade(written(NET), compression=False)
    assert upgrade is not None
    looked_up = iter(("Thu, 26 Nov 2026 10:00:00 GMT", "Thu, 26 Nov 2026 10:00:01 GMT"))
    monkeypatch.setattr("server.upgrade.formatdate", lambda *, usegmt: usegmt and next(looked_up))

    said = [DATE.findall(upgrade.granted(now)) for now in (1_000.1, 1_000.9, 1_001.0)]
    assert said == [[b"Date: Thu, 26 Nov 2026 10:00:0%d GMT" % second] for second in (0, 0, 1)]


@pytest.mark.parametrize("fields", CLIENTS.values(), ids=CLIENTS)
def test_one_whom_the_door_refuses_is_told_so_as_by_websockets(fields: Sequence[str]) -> None:
    answer = told([written(fields)], compression=False, refusal=REFUSAL)

    assert bytes(cast("bytes", answer[0])).startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert same(written(fields), compression=False, refusal=REFUSAL)
    assert same(written(fields) + frame(PING), compression=False, refusal=REFUSAL)


def same(request: bytes, *, compression: bool, refusal: Response | None = None) -> bool:
    """Whether a request in one packet is answered like one in two, which goes to websockets."""
    whole = told([request], compression=compression, refusal=refusal)
    return whole == told([request[:1], request[1:]], compression=compression, refusal=refusal)


@pytest.mark.parametrize("odd", [*ODD, *LINES], ids=lambda odd: ascii(odd)[:40])
def test_one_field_written_otherwise_is_answered_as_by_websockets(odd: str) -> None:
    name = odd.partition(":")[0].lower()
    for fields in CLIENTS.values():
        others = [field for field in fields if field.partition(":")[0].lower() != name]
        request = written(others, odd) if odd in LINES else written([*others, odd])
        assert same(request, compression=False)
        assert same(request, compression=True)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """As clients ask, a little otherwise, and what may come behind it."""
    fields = draw(st.sampled_from((*CLIENTS.values(), ())))
    left_out = draw(st.none() | st.integers(0, len(CHROME)))
    asked = [field for n, field in enumerate(fields) if n != left_out] + draw(
        st.lists(st.sampled_from(ODD), max_size=3)
    )
    line = draw(st.sampled_from((LINES[0],) * len(LINES) * 2 + LINES))
    return written(draw(st.permutations(asked)), line, draw(ENDS)) + draw(BEHIND)


@settings(max_examples=300)
@given(requests(), st.booleans(), st.booleans())
def test_any_request_is_answered_as_by_websockets(request: bytes, compression: bool, refused: bool) -> None:
    assert same(request, compression=compression, refusal=REFUSAL if refused else None)


@pytest.mark.parametrize(
    "fields",
    [
        (*NET, "Content-Length: 0"),
        (*NET, "Transfer-Encoding: chunked"),
        (*NET, NET[0]),
        NET[1:],
        (*NET[:-1], "Sec-WebSocket-Protocol: nope"),
        (*NET, *(f"X-{n}: y" for n in range(MAX_NUM_HEADERS))),
        (*NET, f"Cookie: {'a' * 8_192}"),
        (*NET, "X-Name: J\xfcrgen"),
        (*NET, "X-Empty: "),
    ],
    ids=["body", "chunked", "two hosts", "no host", "unknown", "many", "long", "not ascii", "empty"],
)
def test_what_is_not_plain_is_left_to_websockets(fields: Sequence[str]) -> None:
    assert plain_upgrade(written(fields), compression=False) is None
