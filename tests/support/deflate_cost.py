"""What compression saves and takes, for docs/performance.md: ``python -m tests.support.deflate_cost``."""

import asyncio
import json
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import msgpack

from protocol import Wire
from server.acceptor import Arrival
from server.connection import Connection
from server.framing import frame
from tests.support.echo import EchoDoor

CONNECTIONS = 2_000
AGAIN = 5
TALK = (
    "the raid starts at nine bring potions",
    "we need two healers",
    "gg wp",
    "who wants to trade my last sword for a shield lol",
    "ok see you tomorrow",
    "boss is down again nice one thanks for the help everybody",
    "join voice please",
)
random = Random(1)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def letters(n: int) -> str:
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=n))


def line(n: int) -> dict[str, Any]:
    return {
        "channel": "guild:g8fK2mQ",
        "seq": 1_000 + n,
        "at": 1_795_700_000_000 + n * 731,
        "op": f"{letters(6)}-{n}",
        "from": {"id": letters(16), "name": letters(8)},
        "text": " ".join(random.choices(TALK, k=random.randint(1, 2))),
    }


def history(lines: int) -> dict[str, Any]:
    return {"t": "chat.messages", "re": "a1-17", "messages": [line(n) for n in range(lines)], "more": True}


def board(rows: int) -> dict[str, Any]:
    entries = [
        {
            "rank": n,
            "owner": letters(16),
            "name": letters(8),
            "score": str(random.randint(1_000, 99_999)),
            "at": 1_795_700_000_000 + n,
        }
        for n in range(rows)
    ]
    return {"t": "leaderboard.entries", "re": "a1-18", "board": "arena", "entries": entries, "size": 41_234}


KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "an event: one chat line": lambda: {"t": "chat.message", "topic": "chat:guild:g8fK2mQ", **line(1)},
    "10 lines of history": lambda: history(10),
    "50 lines of history": lambda: history(50),
    "100 places of a leaderboard": lambda: board(100),
}


def squeezed(payload: bytes) -> int:
    """Bytes of a message that is compressed by itself."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15, 8)
    return len(deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)) - 4


def messages() -> None:
    """Each message by itself, as the server does it, and what it would be for one short event."""
    say("| message | JSON | compressed | MessagePack | compressed | time |\n| --- | --- | --- | --- | --- | --- |")
    for what, make in KINDS.items():
        cells: list[str] = []
        took = 0.0
        for pack in (lambda m: json.dumps(m, separators=(",", ":")).encode(), msgpack.packb):
            payloads = [pack(make()) for _ in range(50)]
            began = time.process_time()
            sizes = [squeezed(payload) for payload in payloads * AGAIN]
            took = max(took, (time.process_time() - began) / len(sizes))
            cells += [f"{sum(map(len, payloads)) // len(payloads):,} B", f"{sum(sizes) // len(sizes):,} B"]
        say(f"| {what} | {' | '.join(cells)} | {took * 1e6:.0f} µs |")


def with_context() -> None:
    """What it would be with a context for each connection, for events."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -12, 5)
    payloads = [json.dumps({"t": "chat.message", **line(n)}, separators=(",", ":")).encode() for n in range(500)]
    began = time.process_time()
    sizes = [len(deflate.compress(p) + deflate.flush(zlib.Z_SYNC_FLUSH)) - 4 for p in payloads]
    took = (time.process_time() - began) / len(payloads)
    say(f"\nwith a context of 32 kB for each reader, a chat line of {sum(map(len, payloads)) // 500} B:")
    say(f"{sum(sizes) // len(sizes)} B, {took * 1e6:.0f} µs for each reader")


class Nowhere(asyncio.Transport):
    """A transport that writes nowhere."""

    def write(self, data: Any) -> None: ...
    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


def memory(loop: asyncio.AbstractEventLoop, *, compression: bool) -> float:
    """Bytes that Python holds for a connection that has received and sent a compressed message."""
    offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + offer
        + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    door = EchoDoor()
    text = b'{"t":"ping"}' * 200
    deflate = zlib.compressobj(wbits=-15)
    data = (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4] if compression else text[:100]
    message = bytes([0xC1 if compression else 0x81, 0x80 | len(data)]) + bytes(4) + data
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    held = []
    for _ in range(CONNECTIONS):
        connection = Connection(door, loop, 65_536, Arrival("192.0.2.1", admitted=False), compression=compression)
        connection.connection_made(Nowhere())
        connection.data_received(upgrade)
        connection.data_received(message)
        frame(Wire.JSON, text, connection.window_bits)
        held.append(connection)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(held)


def main() -> None:
    messages()
    with_context()
    loop = asyncio.new_event_loop()
    off, on = memory(loop, compression=False), memory(loop, compression=True)
    loop.close()
    say(f"a connection, in Python's own memory: {off:,.0f} B, with compression {on:,.0f} B")


if __name__ == "__main__":
    main()
