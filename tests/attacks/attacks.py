"""The attacks: what is sent, by how many, and how each of them has to end."""

import asyncio
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import NamedTuple

from tests.attacks.attacker import Attacker, ends, storm
from tests.support.raw import CONT, PING, PONG, TEXT, frame, upgrade

BINARY = 2
PINGS = frame(PING, b"x" * 125) * 100
HUGE = 2_000  # times that a flood is repeated; the node ends it long before
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


class Attack(NamedTuple):
    """One attack."""

    name: str
    does: str
    """What the node does, for the table."""
    run: Callable[[int, str, int], Coroutine[None, None, Counter[str]]]
    """Runs it against a port, from an address, with so many sockets; how they ended."""
    good: frozenset[str]
    """How a socket may end."""
    sockets: tuple[int, int]
    """In the suite, and when it is measured."""


# Before the upgrade.
async def slow_handshakes(port: int, address: str, many: int) -> Counter[str]:
    """A byte a second."""

    async def drip(attacker: Attacker, _: int) -> None:
        for byte in upgrade():
            if attacker.ended.is_set():
                return
            attacker.put(bytes([byte]))
            await asyncio.sleep(1)

    return ends(await storm(port, address, many, drip))


async def silence(port: int, address: str, many: int) -> Counter[str]:
    """Half of them say nothing at all, the others nothing after the upgrade."""

    async def wait(attacker: Attacker, number: int) -> None:
        if number % 2:
            attacker.put(upgrade())
        await asyncio.sleep(0)

    return ends(await storm(port, address, many, wait))


async def connections(port: int, address: str, many: int) -> Counter[str]:
    """As many as can be, which are held."""

    async def hold(attacker: Attacker, _: int) -> None:
        attacker.put(upgrade())
        await asyncio.sleep(0)

    return ends(await storm(port, address, many, hold, hold_s=4.0))


LINE = b"GET /ws HTTP/1.1\r\n"
HEADERS: tuple[bytes, ...] = (
    b"GET /" + b"a" * 1_000_000,
    LINE + b"X: " + b"a" * 1_000_000,
    LINE + b"X: y\r\n" * 10_000,
    LINE + b"X: " + b"a" * 8_000 + b"\r\n" + (b"Y: " + b"b" * 8_000 + b"\r\n") * 200,
    LINE + b"a" * 1_000_000,
    b"\r\n" * 500_000,
)


async def header_floods(port: int, address: str, many: int) -> Counter[str]:
    """Lines of a megabyte, 10,000 headers, a request line without end."""

    async def flood(attacker: Attacker, number: int) -> None:
        attacker.put(HEADERS[number % len(HEADERS)])
        await asyncio.sleep(0)

    return ends(await storm(port, address, many, flood))


def without(name: str) -> bytes:
    """An upgrade without one of its headers."""
    return b"".join(line for line in upgrade().splitlines(keepends=True) if not line.startswith(name.encode()))


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
KEY, VERSION = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"Sec-WebSocket-Version: 13"
NO_UPGRADES: tuple[bytes, ...] = (
    upgrade().replace(b"Host:", b"Content-Length: 34\r\nHost:") + SMUGGLED,
    upgrade().replace(b"Host:", b"Transfer-Encoding: chunked\r\nHost:") + b"22\r\n" + SMUGGLED + b"\r\n0\r\n\r\n",
    upgrade().replace(b"Host:", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\nHost:") + b"0\r\n\r\n" + SMUGGLED,
    b"POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\n" + SMUGGLED,
    SMUGGLED + SMUGGLED + upgrade(),
    b"GET /healthz HTTP/1.1\nHost: a\n\n",
    b"GET /ws\r\n\r\n",
    b"GET  /ws HTTP/1.1\r\n\r\n",
    b"GET /ws HTTP/1.1\r\n : x\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nX : y\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nX: \x00\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"\x00" * 65_536,
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    without("Sec-WebSocket-Key"),
    without("Sec-WebSocket-Version"),
    without("Upgrade"),
    without("Connection"),
    upgrade().replace(KEY, b"Sec-WebSocket-Key: short"),
    upgrade().replace(KEY, KEY + b"\r\n" + KEY),
    upgrade().replace(VERSION, b"Sec-WebSocket-Version: 8"),
    upgrade().replace(VERSION, b"Sec-WebSocket-Version: 13, 8"),
    upgrade().replace(b"GET", b"DELETE"),
    upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"),
)


async def no_upgrades(port: int, address: str, many: int) -> Counter[str]:
    """A second request hidden in the first, other protocols, missing and bad keys and versions."""

    async def ask(attacker: Attacker, number: int) -> None:
        attacker.put(NO_UPGRADES[number % len(NO_UPGRADES)])
        await asyncio.sleep(0)

    attackers = await storm(port, address, many, ask)
    assert max(attacker.answers for attacker in attackers) == 1, "a request in the body of another was answered"
    return ends(attackers)


# Frames.
def claimed(size: int) -> bytes:
    """The header of a text frame that says it is so long."""
    return struct.pack("!BBQ", 0x81, 0xFF, size) + bytes(4)


BAD_FRAMES: tuple[bytes, ...] = (
    claimed(2**62),
    claimed(2**63),
    claimed(2**64 - 1),
    b"\x81\x05hello",
    b"\xc1\x80" + bytes(4),
    b"\xf1\x80" + bytes(4),
    frame(3),
    frame(11),
    frame(CONT),
    frame(PING, fin=False),
    frame(PING, b"x" * 126),
    frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    frame(TEXT, b'{"t":"ping","id":"\xff"}'),
    frame(TEXT, b"\xed\xa0", fin=False) + frame(CONT, b"\x80"),
    frame(8, b"\x00"),
    frame(8, b"\x00\x00"),
    frame(TEXT, b"a" * 60_000, fin=False) + frame(CONT, b"b" * 6_000),
)


async def bad_frames(port: int, address: str, many: int) -> Counter[str]:
    """Lengths of exabytes, reserved bits and opcodes, no mask, no UTF-8."""

    async def send(attacker: Attacker, number: int) -> None:
        await attacker.sign_in(f"bad{number}")
        attacker.put(BAD_FRAMES[number % len(BAD_FRAMES)])

    return ends(await storm(port, address, many, send))


async def byte_by_byte(port: int, address: str, many: int) -> Counter[str]:
    """Pongs, each byte in a packet of its own."""

    async def send(attacker: Attacker, number: int) -> None:
        await attacker.sign_in(f"drip{number}")
        for byte in frame(PONG) * 5_000:
            if attacker.ended.is_set():
                return
            attacker.put(byte.to_bytes())
            await asyncio.sleep(0)

    return ends(await storm(port, address, many, send))


def flood(
    piece: bytes, first: bytes = b"", *, reads: bool = True
) -> Callable[[int, str, int], Coroutine[None, None, Counter[str]]]:
    """An attack by players who send the same without end."""

    async def run(port: int, address: str, many: int) -> Counter[str]:
        async def send(attacker: Attacker, number: int) -> None:
            await attacker.sign_in(f"flood{number}")
            if not reads:
                attacker.transport.pause_reading()
            attacker.put(first)
            await attacker.flood(piece, HUGE)
            if not reads:
                await asyncio.sleep(1)
                attacker.transport.resume_reading()

        return ends(await storm(port, address, many, send))

    return run


async def bombs(port: int, address: str, many: int) -> Counter[str]:
    """Frames of 60 kB that inflate to 60 MB, compression being on."""
    deflate = zlib.compressobj(9, wbits=-15)
    bomb = deflate.compress(bytes(60_000_000))[:60_000]
    packet = struct.pack("!BBH", 0xC1, 0xFE, len(bomb)) + bytes(4) + bomb

    async def send(attacker: Attacker, _: int) -> None:
        attacker.put(upgrade(headers=DEFLATE))
        await attacker.answered.wait()
        attacker.put(packet)

    return ends(await storm(port, address, many, send))


REFUSED = frozenset({"503"})
FAILED = frozenset({"1002", "1007", "1009"})
ABUSED = frozenset({"4004"})
NO_HTTP = frozenset({"400", "404", "405", "414", "426", "431", "501", "505", "cut"})

ATTACKS: tuple[Attack, ...] = (
    Attack(
        "slow handshakes, a byte a second",
        "cuts each 5 s after it has come",
        slow_handshakes,
        frozenset({"cut"}),
        (30, 250),
    ),
    Attack(
        "sockets that say nothing, before or after the upgrade",
        "cuts them after 5 s, or closes with 4501",
        silence,
        frozenset({"cut", "4501"}),
        (30, 250),
    ),
    Attack(
        "connections from one address",
        "takes 300 at once and 50 a second; 503 for the others",
        connections,
        frozenset({"open", "503", "cut", "4501"}),
        (400, 1_500),
    ),
    Attack(
        "header floods: lines of a megabyte, 10,000 headers",
        "414, 431 or a cut after 8 KiB of a line or 128 headers",
        header_floods,
        NO_HTTP,
        (30, 250),
    ),
    Attack(
        "no upgrade: hidden requests, other protocols, bad keys and versions",
        "one answer (400 to 505), then the end",
        no_upgrades,
        NO_HTTP | {"200"},
        (52, 250),
    ),
    Attack(
        "frames against the RFC: lengths, reserved bits and opcodes, no mask, no UTF-8",
        "1002, 1007 or 1009",
        bad_frames,
        FAILED,
        (34, 250),
    ),
    Attack("a packet for each byte", "counts whole frames, closes with 4004", byte_by_byte, ABUSED, (4, 20)),
    Attack(
        "pings without end",
        "answers those within the rate, closes with 4004",
        flood(PINGS),
        ABUSED,
        (10, 50),
    ),
    Attack(
        "pings without end, pongs not read",
        "keeps no pongs, closes with 4004, cuts 2 s later",
        flood(PINGS, reads=False),
        ABUSED | {"cut"},
        (10, 50),
    ),
    Attack(
        "10,000 frames in a packet",
        "reads no further than the frame that is too many, closes with 4004",
        flood(frame(PONG) * 10_000),
        ABUSED,
        (10, 50),
    ),
    Attack(
        "fragments without end",
        "counts them, closes with 4004",
        flood(frame(CONT, fin=False) * 1_000, frame(BINARY, fin=False)),
        ABUSED,
        (10, 50),
    ),
    Attack(
        "compression bombs: 60 kB that inflate to 60 MB, compression being on",
        "inflates 64 KiB, closes with 1009",
        bombs,
        frozenset({"1009"}),
        (20, 250),
    ),
)
