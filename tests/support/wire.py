"""A WebSocket client written from PROTOCOL.md alone: it knows websockets, json and msgpack, and none of our code."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 30.0  # a takeover lasts a lease, everything else milliseconds; a busy machine adds to both
Frame = dict[str, Any]
Witness = Callable[[str, Frame], None]
"""Sees every message as it is ``sent``, before its bytes leave, and as it ``came``, before anybody acts on it."""


class Outside:
    """One connection. Replies are matched by ``re``; everything else is kept as events, in order."""

    def __init__(self, socket: ClientConnection, *, binary: bool, witness: Witness | None = None) -> None:
        self.socket = socket
        self.events: list[Frame] = []
        self.welcome: Frame = {}
        self.close_code: int | None = None
        self._binary = binary
        self._witness = witness
        self._replies: dict[str, asyncio.Future[Frame]] = {}
        self._arrived = asyncio.Condition()
        self._prefix = uuid4().hex[:8]
        self._numbers = count(1)

    def new_id(self) -> str:
        """A request id that was never used."""
        return f"{self._prefix}-{next(self._numbers)}"

    async def send_raw(self, payload: str | bytes) -> None:
        """Send a WebSocket message as it is."""
        await self.socket.send(payload)

    async def send(self, frame: Frame) -> None:
        """Send one protocol message."""
        if self._witness is not None:
            self._witness("sent", frame)
        await self.socket.send(msgpack.packb(frame) if self._binary else json.dumps(frame))

    async def ask(self, t: str, *, id: str | None = None, **fields: Any) -> Frame:  # noqa: A002 - the wire's name
        """Send a request and wait for its reply, which may be an error."""
        number = id or self.new_id()
        future = self._replies.get(number)
        if future is None:
            future = self._replies[number] = asyncio.get_running_loop().create_future()
        await self.send({"t": t, "id": number, **fields})
        try:
            return await asyncio.wait_for(asyncio.shield(future), PATIENCE_S)
        finally:
            self._replies.pop(number, None)

    async def until(self, wanted: Callable[[list[Frame]], bool]) -> list[Frame]:
        """Wait until the events so far satisfy ``wanted``; returns them."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: wanted(self.events) or self.close_code is not None)
        return self.events

    async def closed(self) -> int:
        """Wait for the close code."""
        async with asyncio.timeout(PATIENCE_S), self._arrived:
            await self._arrived.wait_for(lambda: self.close_code is not None)
        assert self.close_code is not None
        return self.close_code

    def lines(self, topic: str) -> list[tuple[int, str]]:
        """(seq, text) of every chat line of a topic, in the order in which they came."""
        return [(e["seq"], e["text"]) for e in self.events if e["t"] == "chat.message" and e["topic"] == topic]

    async def read(self) -> None:
        """Take in what comes until the connection ends."""
        try:
            async for payload in self.socket:
                frame = msgpack.unpackb(payload) if isinstance(payload, bytes) else json.loads(payload)
                await self._take(frame)
        except ConnectionClosed:
            pass
        async with self._arrived:
            self.close_code = self.socket.close_code or 1006
            self._arrived.notify_all()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(ConnectionError(f"closed with {self.close_code}"))
                future.exception()

    async def _take(self, frame: Frame) -> None:
        if self._witness is not None:
            self._witness("came", frame)
        future = self._replies.get(frame.get("re", ""))
        if future is not None and not future.done():
            future.set_result(frame)
            return
        async with self._arrived:
            self.events.append(frame)
            self._arrived.notify_all()


@asynccontextmanager
async def outside(
    url: str,
    name: str,
    *,
    wire: str = "json",
    resume: Frame | None = None,
    token: str | None = None,
    hello: bool = True,
    says: Frame | None = None,
    witness: Witness | None = None,
    **options: Any,
) -> AsyncIterator[Outside]:
    """A connection, signed in as ``dev:NAME`` unless told otherwise. ``says``: what else the client says of itself."""
    async with connect(url, subprotocols=[f"guildhall.v1.{wire}"], max_size=None, **options) as socket:  # type: ignore[list-item]
        client = Outside(socket, binary=wire == "msgpack", witness=witness)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(client.read())
            if hello:
                fields: Frame = {"token": token or f"dev:{name}"}
                fields["client"] = {"app": "1.0", "platform": "test", **(says or {})}
                if resume is not None:
                    fields["resume"] = resume
                client.welcome = await client.ask("hello", **fields)
            yield client
            await socket.close()
            await reading
