"""A server that says back what it hears: the gateway's own connections behind another door."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from websockets.http11 import Response

from protocol import Wire
from server.acceptor import Acceptor, Arrival
from server.connection import Connection, Door, Peer
from server.framing import frame
from server.upgrade import Asked

Connects = Callable[[Door, asyncio.AbstractEventLoop, int, Arrival], Connection]
"""What makes a connection; ``Connection`` itself, or another class that is to be as good."""


class Echo:
    """Sends each message back in a frame of its kind."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def message(self, payload: bytes, *, binary: bool) -> None:
        wire = Wire.MSGPACK if binary else Wire.JSON
        self._connection.send(frame(wire, payload, self._connection.window_bits))

    def heard(self) -> None:
        """A ping is answered by the connection."""

    def lost(self, code: int) -> None:
        """Nobody is left to be told."""


class EchoDoor:
    """Lets everybody in, wherever they want to go."""

    def __init__(self) -> None:
        self.inside: set[Connection] = set()

    def admit(self, address: str) -> Response | None:
        return None

    def answer(self, connection: Connection, asked: Asked) -> Response | None:
        return None

    def opened(self, connection: Connection, wire: Wire) -> Peer:
        self.inside.add(connection)
        return Echo(connection)

    def gone(self, connection: Connection) -> None:
        self.inside.discard(connection)


@asynccontextmanager
async def echoing(connect: Connects = Connection, *, max_bytes: int) -> AsyncIterator[int]:
    """Echo on a free port of loopback, which is yielded; messages and their frames may have ``max_bytes``."""
    door, loop = EchoDoor(), asyncio.get_running_loop()
    async with Acceptor("127.0.0.1", 0, lambda arrival: connect(door, loop, max_bytes, arrival)).running() as acceptor:
        try:
            yield acceptor.port
        finally:
            for connection in list(door.inside):
                connection.abort()
