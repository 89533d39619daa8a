"""The upgrade request (RFC 6455, section 4.2), as a door sees it, and the short way to answer a plain one.

websockets takes some 120 µs to read, check and answer a request, a seventh of what it costs to have a player back after
a node has died. Nearly all clients ask in the same way, in one packet, and that is read here. Only a yes is said here,
byte for byte as websockets says it; what is written in another way, asks for more or for what there is not, is
websockets', with its answers and limits.
"""

import re
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

from websockets.datastructures import Headers
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from protocol import Wire

SUBPROTOCOLS = {Subprotocol(wire.subprotocol): wire for wire in Wire}

# A request line, then fields whose values are words with one space between them (RFC 9112, sections 3 and 5): no blanks
# around a value, no empty one, nothing but ASCII. Possessive: there is one way to match, or none.
_LINE = "GET /ws HTTP/1.1\r\n"
_FIELD = re.compile(r"([-!#$%&'*+.^_`|~0-9A-Za-z]++): ([!-~]++(?: [!-~]++)*+)\r\n")
_REQUEST = re.compile(rf"{re.escape(_LINE)}(?:{_FIELD.pattern})++\r\n")
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_KEYED = re.compile(rf"\r\nSec-WebSocket-Key: ({_KEY.pattern})\r\n")
_SOME_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="  # in the place of one, the rest of the request says the same
_CONNECTION = ("upgrade", "keep-alive, upgrade")
_NEVER = frozenset({"content-length", "transfer-encoding"})
_EXTENSIONS = "sec-websocket-extensions"


class Asked(NamedTuple):
    """What a door goes by."""

    path: str
    """With its query."""
    origins: Sequence[str]
    hosts: Sequence[str]
    forwarded: Sequence[str]
    """Every ``X-Forwarded-For``."""


class Upgrade(NamedTuple):
    """A plain request that websockets would grant."""

    asked: Asked
    key: str
    wire: Wire
    subprotocol: str | None

    def granted(self, now: float) -> bytes:
        """The answer that ends the handshake. ``now``: seconds of any clock, by which the date is looked up anew."""
        chosen = "" if self.subprotocol is None else f"Sec-WebSocket-Protocol: {self.subprotocol}\r\n"
        return (
            f"HTTP/1.1 101 Switching Protocols\r\nDate: {_date(int(now))}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(self.key)}\r\n{chosen}\r\n"
        ).encode()


@lru_cache(maxsize=1)
def _date(_second: int) -> str:
    """The ``Date`` (RFC 9110, section 6.6.1), once a second: to write it takes as long as to read the request."""
    return formatdate(usegmt=True)


def plain_upgrade(request: bytes, *, compression: bool) -> Upgrade | None:
    """``request`` where it is plain; None where websockets has to say what it is. ``compression``: whether an extension
    may be agreed on."""
    if len(request) > MAX_LINE_LENGTH or not request.isascii():
        return None
    text = request.decode()
    keyed = _KEYED.search(text)
    if keyed is None:
        return _read(text, compression)
    key, (start, end) = keyed[1], keyed.span(1)
    upgrade = _read_again(f"{text[:start]}{_SOME_KEY}{text[end:]}", compression)
    return None if upgrade is None else upgrade._replace(key=key)


def _read(text: str, compression: bool) -> Upgrade | None:
    if _REQUEST.fullmatch(text) is None:
        return None
    found = _FIELD.findall(text, len(_LINE))
    fields = {name.lower(): value for name, value in found}
    if len(fields) < len(found) or len(found) > MAX_NUM_HEADERS or (compression and _EXTENSIONS in fields):
        return None
    return _granted(fields)


_read_again = lru_cache(maxsize=128)(_read)
"""All that players of one game say differs in the key alone. Of what a proxy adds for each of them nothing is found
again, and no more than 1 MB is kept."""


def _granted(fields: Mapping[str, str]) -> Upgrade | None:
    """The upgrade that these fields ask for, each of which there is once; None if it is none, or another one."""
    get = fields.get
    host, key = get("host"), get("sec-websocket-key", "")
    if (
        host is None
        or get("upgrade", "").lower() != "websocket"
        or get("connection", "").lower() not in _CONNECTION
        or get("sec-websocket-version") != "13"
        or _KEY.fullmatch(key) is None
        or not _NEVER.isdisjoint(fields)
    ):
        return None
    offered = get("sec-websocket-protocol")
    names = [] if offered is None else offered.split(", ")
    if any(name not in SUBPROTOCOLS for name in names):
        return None
    chosen = names[0] if names else None
    asked = Asked("/ws", _all(get("origin")), (host,), _all(get("x-forwarded-for")))
    return Upgrade(asked, key, SUBPROTOCOLS[Subprotocol(chosen)] if chosen else Wire.JSON, chosen)


def _all(value: str | None) -> Sequence[str]:
    return () if value is None else (value,)


def asked(request: Request) -> Asked:
    """What a door goes by, of any request."""
    fields = request.headers.get_all
    return Asked(request.path, fields("Origin"), fields("Host"), fields("X-Forwarded-For"))


def select_subprotocol(_protocol: ServerProtocol, offered: "object") -> Subprotocol | None:
    """The first of the client's list that is known (PROTOCOL.md, Transport)."""
    assert isinstance(offered, list | tuple)
    return next((name for name in offered if name in SUBPROTOCOLS), None)


def plain_response(status: int, phrase: str, body: str, **headers: str) -> Response:
    """A small HTTP answer of the gateway port itself; the connection is closed after it."""
    content = body.encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status,
        phrase,
        Headers(
            {
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Length": str(len(content)),
                "Connection": "close",
                **fields,
            }
        ),
        content,
    )
