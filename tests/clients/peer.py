"""The other end of a client under test: a WebSocket server that says exactly what the test tells it to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

Frame = dict[str, Any]
PATIENCE_S = 10.0


class NoPause(Random):
    """Dice with which every pause is as short as it may be."""

    def random(self) -> float:
        return 0.0


class Line:
    """One connection of the client."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.hello: Frame = {}

    async def read(self) -> Frame:
        """The client's next message."""
        async with asyncio.timeout(PATIENCE_S):
            frame: Frame = json.loads(await self.socket.recv())
            return frame

    async def send(self, frame: Frame) -> None:
        """Say something to the client."""
        await self.socket.send(json.dumps(frame))

    async def welcome(self, **fields: Any) -> Frame:
        """Read the hello and answer it; returns the hello."""
        self.hello = await self.read()
        welcome = {"session": "s1", "player": "ann", "now": 0, "heartbeat_ms": 25_000, "topics": {}}
        await self.send({"t": "welcome", "re": self.hello["id"], **welcome, **fields})
        return self.hello

    async def event(self, topic: str, seq: int | None = None, **fields: Any) -> None:
        """Tell of something that happened."""
        await self.send({"t": "chat.message", "topic": topic, **({"seq": seq} if seq else {}), **fields})

    def cut(self) -> None:
        """Lose the connection, without a goodbye."""
        self.socket.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye."""
        await self.socket.close(code, reason)


class Peer:
    """The server. Connections wait in the order in which they came."""

    def __init__(self) -> None:
        self.refuse: int = 0
        """HTTP status with which upgrades are refused; 0: they are not."""
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/ws"

    async def line(self) -> Line:
        """The next connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._lines.get()

    async def welcomed(self, **fields: Any) -> Line:
        """The next connection, once its hello is answered."""
        line = await self.line()
        await line.welcome(**fields)
        return line

    async def _accept(self, socket: ServerConnection) -> None:
        self._lines.put_nowait(Line(socket))
        await socket.wait_closed()

    def _answer(self, connection: ServerConnection, _request: Request) -> Response | None:
        return connection.respond(self.refuse, "not now\n") if self.refuse else None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Peer"]:
        """Listen on a free port."""
        async with serve(
            self._accept,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol("guildhall.v1.json")],
            process_request=self._answer,
            ping_interval=None,
        ) as self._server:
            yield self
