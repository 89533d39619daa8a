"""Sign-ins: from the connection over the upgrade and the hello to the welcome, with tokens as a game's accounts make.

One socket after the other by so many at once, and all of them stay: players come to play.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jwt
import msgspec

from loadtest.bench.driver import HANDSHAKE, Latencies, now, request
from loadtest.bench.loads import Measured, Place, result
from loadtest.bench.spent import spending

AT_ONCE = 100
PATIENCE_S = 30.0  # for one sign-in; then the load ends without a figure
KID = "bench"
HANDSHAKE_BYTES = HANDSHAKE.format(host="localhost", key="Z3VpbGRoYWxsIGJlbmNoIQ==").encode()


class Tokens:
    """Signs tokens of players with HS256; ``settings`` make a node take them."""

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(48)

    @property
    def settings(self) -> dict[str, str]:
        """Environment of the node."""
        keys = [{"kid": KID, "alg": "HS256", "secret": self._secret}]
        return {"GUILDHALL_AUTH_KEYS": msgspec.json.encode(keys).decode()}

    def hellos(self, names: Sequence[str]) -> list[bytes]:
        """A hello of each player, as it goes to the socket: made before anything is measured."""
        until = int(time.time()) + 3600
        return [
            request("hello", f"{name}-h", token=self._token(name, until), client={"app": "1.4.2", "platform": "ios"})
            for name in names
        ]

    def _token(self, name: str, until: int) -> str:
        claims = {"sub": name, "exp": until}
        return jwt.encode(claims, self._secret, algorithm="HS256", headers={"kid": KID})


class Arrival(asyncio.Protocol):
    """One sign-in; ``done`` has the moment of the welcome."""

    def __init__(self, hello: bytes, mark: bytes) -> None:
        self.transport: asyncio.Transport
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._hello = hello
        self._mark = mark
        self._upgraded = False
        self._kept = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(HANDSHAKE_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.done.done():
            return
        self._kept += data
        if not self._upgraded and b"\r\n\r\n" in self._kept:
            if b" 101 " not in self._kept.partition(b"\r\n")[0]:
                self.done.set_exception(ConnectionError(f"no upgrade: {self._kept[:200]!r}"))
                return
            self._upgraded = True
            self._kept = b""
            self.transport.write(self._hello)
        elif self._upgraded and self._mark in self._kept:
            self.done.set_result(now())
        elif self._upgraded and b"\xa5error" in self._kept:
            self.done.set_exception(ConnectionError(f"not let in: {self._kept[:200]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed before the welcome"))


class Storm:
    """Workers that sign players in, each one after the other."""

    def __init__(self, place: Place, hellos: Sequence[bytes]) -> None:
        self.latencies = Latencies()
        self.arrivals: list[Arrival] = []
        self._place = place
        self._hellos: Iterator[bytes] = iter(hellos)
        self._mark = b"hello" if place.floor else b"welcome"  # the floor sends the frame back

    async def blow(self) -> None:
        """Until all are in."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(AT_ONCE):
                workers.create_task(self._work())

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        for hello in self._hellos:
            started = now()
            _, arrival = await loop.create_connection(
                partial(Arrival, hello, self._mark), self._place.host, self._place.port
            )
            self.arrivals.append(arrival)
            async with asyncio.timeout(PATIENCE_S):
                self.latencies.seconds.append(await arrival.done - started)

    def leave(self) -> None:
        """Close all connections, so that no port waits for anybody."""
        for arrival in self.arrivals:
            arrival.transport.abort()


async def sign_ins(place: Place, hellos: Sequence[bytes], warm_up: int) -> Measured:
    """Sign in everybody; the first ``warm_up`` are not counted."""
    first = Storm(place, hellos[:warm_up])
    await first.blow()
    storm = Storm(place, hellos[warm_up:])
    with spending(place.pid) as spent:
        await storm.blow()
    measured = result(spent, len(storm.latencies.seconds), storm.latencies)
    first.leave()
    storm.leave()
    return measured
