"""Both ends of a connection that is being shaped, on a loop whose time is a number."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from clients.python import Ear
from protocol import Wire
from tests.simulation.loop import SimulatedLoop

Moment = Any
"""Seconds, or what ``pytest.approx`` makes of them."""


def simulated(play: Callable[[], Awaitable[None]], seed: int = 1) -> None:
    """Play to the end, in no time."""
    loop = SimulatedLoop(Random(seed))

    async def all_of_it() -> None:
        await play()

    try:
        loop.run_until_complete(all_of_it())
    finally:
        loop.close()
    assert loop.defects == []


def now() -> float:
    """Seconds of the simulated time."""
    return asyncio.get_running_loop().time()


class Server:
    """The far end: it dials itself, sees what reaches it, and says what it is told to."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.answer: Callable[[Line, bytes], None] = lambda _line, _payload: None
        """What it does with each message."""

    async def __call__(self, wire: Wire, ear: Ear) -> "Line":
        line = Line(self, ear)
        self.lines.append(line)
        return line

    @property
    def line(self) -> "Line":
        """The newest connection."""
        return self.lines[-1]


class Line:
    """The real link, and its end at the server. What is not read waits here, as it would in the sockets."""

    def __init__(self, server: Server, ear: Ear) -> None:
        self.came: list[tuple[Moment, bytes]] = []
        """When, and what."""
        self.goodbyes: list[tuple[Moment, int]] = []
        self.cut_at: float | None = None
        """When it was aborted by the player's side."""
        self.reads = True
        self._server = server
        self._ear = ear
        self._unread: list[bytes | tuple[int, str]] = []
        self._loop = asyncio.get_running_loop()
        self._gone = False

    @property
    def payloads(self) -> list[bytes]:
        """What came, without the times."""
        return [payload for _, payload in self.came]

    def say(self, *payloads: bytes) -> None:
        """Send to the player."""
        self._unread.extend(payloads)
        self._read()

    def end(self, code: int, reason: str = "") -> None:
        """Close from the server's side."""
        self._unread.append((code, reason))
        self._read()

    # PausableLink
    def send(self, payload: bytes) -> None:
        assert self.cut_at is None
        self.came.append((now(), payload))
        self._server.answer(self, payload)

    def close(self, code: int, reason: str) -> None:
        self.goodbyes.append((now(), code))
        self.end(code, reason)

    def abort(self) -> None:
        if self.cut_at is None:
            self.cut_at = now()
            self._loop.call_soon(self._lost, 1006, "")

    async def wait_gone(self) -> None:
        raise NotImplementedError("the shaped link knows")

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True
        self._loop.call_soon(self._read)

    @property
    def unread(self) -> int:
        """Bytes that wait at the server."""
        return sum(len(said) for said in self._unread if isinstance(said, bytes))

    def _read(self) -> None:
        while self._unread and self.reads:
            said = self._unread.pop(0)
            if isinstance(said, bytes):
                self._ear.heard(said)
            else:
                self._lost(*said)

    def _lost(self, code: int, reason: str) -> None:
        if not self._gone:
            self._gone = True
            self._ear.lost(code, reason)


class App:
    """The near end."""

    def __init__(self) -> None:
        self.came: list[tuple[Moment, bytes]] = []
        self.losses: list[tuple[Moment, int, str]] = []

    @property
    def payloads(self) -> list[bytes]:
        """What came, without the times."""
        return [payload for _, payload in self.came]

    def heard(self, payload: bytes) -> None:
        assert not self.losses, "heard after the end"
        self.came.append((now(), payload))

    def lost(self, code: int, reason: str) -> None:
        self.losses.append((now(), code, reason))
