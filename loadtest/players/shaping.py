"""Connections that are as slow, lossy and short-lived as the player's network.

    application -> up pipe -> the real link -> server
    application <- down pipe <- the real link <- server

Everything is done on the player's side: the server sees a peer that is slow, silent, deaf or gone.
"""

import asyncio
from collections import Counter
from random import Random
from typing import Protocol

from clients.python import Ear, Link
from loadtest.players.networks import Network, Trouble
from loadtest.players.pipe import Goodbye, Path, Pipe
from loadtest.players.twice import Repeats
from protocol import Wire

WINDOW_BYTES = 256 * 1024  # on their way to the player; more of it waits at the server, which sees a slow reader
CLOSING_S = 2.0  # in which a goodbye may get through, and be answered
CHANGED = "the network has changed"


class PausableLink(Link, Protocol):
    """A link that can leave what comes to wait at the server."""

    def pause_reading(self) -> None:
        """Read nothing more; harmless if it does not read, or is gone."""
        ...

    def resume_reading(self) -> None:
        """Read on; harmless if it reads, or is gone."""
        ...


class PausableDial(Protocol):
    """Opens such links, as WebSocketDial does."""

    async def __call__(self, wire: Wire, ear: Ear) -> PausableLink:
        """As ``Dial``."""
        ...


class ShapedDial:
    """Dials for one player. Where the network does nothing to connections, the links are those of ``dial`` itself.

    The methods do to all of the player's connections, once, what happens now and then on such a network.
    """

    def __init__(
        self, dial: PausableDial, network: Network, random: Random, injected: Counter[Trouble] | None = None
    ) -> None:
        self.injected: Counter[Trouble] = Counter() if injected is None else injected
        """What was done to the player; several players may share one."""
        self.frozen = False
        self.awake = asyncio.Event()
        self.awake.set()
        loop = asyncio.get_running_loop()
        self.path = Path(loop, network, random, self.injected)
        self.repeats = Repeats(loop, random, self.injected) if network.twice else None
        self._dial = dial
        self._links: set[ShapedLink] = set()
        self._through = asyncio.Event()
        self._through.set()
        self._tunnel: asyncio.TimerHandle | None = None
        self._tunnel_until = 0.0
        self._left_behind: dict[PausableLink, asyncio.TimerHandle] = {}

    async def __call__(self, wire: Wire, ear: Ear) -> Link:
        network, random = self.path.network, self.path.random
        if not network.shapes:
            return await self._dial(wire, ear)
        link = ShapedLink(self, wire, ear)
        self._links.add(link)
        try:
            await self._travel(network.connect_trips - 0.5)
            if random.random() < network.dial_fails:
                self.injected[Trouble.UNREACHED] += 1
                await asyncio.sleep(random.uniform(0, 2) * network.dial_fails_s)
                raise TimeoutError("the server was not reached")
            link.carry(await self._dial(wire, link))
            await self._travel(min(network.connect_trips, 0.5))
            await self.awake.wait()
            if link.is_cut:
                raise ConnectionResetError(CHANGED)
        except BaseException:
            link.give_up()
            raise
        link.stand()
        return link

    def switch(self) -> None:
        """Another network from now on: the old connections are gone, and the server hears nothing of that."""
        self.injected[Trouble.SWITCH] += 1
        network, random = self.path.network, self.path.random
        for link in list(self._links):
            link.cut(CHANGED, random.uniform(0.5, 1.5) * network.half_open_s)

    def tunnel(self, seconds: float) -> None:
        """Nothing gets through for so long; dials wait. Nothing happens in a tunnel."""
        if not self.in_tunnel:
            self.injected[Trouble.TUNNEL] += 1
            self._through.clear()
            self._tunnel_until = until = self.path.loop.time() + seconds
            self._tunnel = self.path.loop.call_at(until, self._leave_tunnel)
            for link in self._links:
                link.shut(until)

    @property
    def in_tunnel(self) -> bool:
        """Whether nothing gets through."""
        return not self._through.is_set()

    def freeze(self) -> None:
        """The application neither reads nor writes, until ``thaw``."""
        self.injected[Trouble.BACKGROUND] += 1
        self.frozen = True
        self.awake.clear()
        for link in self._links:
            link.freeze()

    def thaw(self) -> None:
        """The application runs again; harmless if it does."""
        self.frozen = False
        self.awake.set()
        for link in list(self._links):
            link.thaw()

    def calm(self) -> None:
        """End what is under way: the tunnel, the frozen application, and what the server still takes for alive."""
        self._leave_tunnel()
        self.thaw()
        for link in self._links:
            link.open()
        for inner, timer in self._left_behind.items():
            timer.cancel()
            inner.abort()
        self._left_behind.clear()

    # For the links.
    def leave_behind(self, inner: PausableLink, seconds: float) -> None:
        """Keep the socket for so long, deaf and silent, and cut it then."""
        if seconds <= 0:
            inner.abort()
            return
        inner.pause_reading()
        self._left_behind[inner] = self.path.loop.call_later(seconds, self._cut, inner)

    def tunnel_left_s(self) -> float:
        """Seconds to the end of the tunnel; 0: there is none."""
        return max(0.0, self._tunnel_until - self.path.loop.time()) if self.in_tunnel else 0.0

    def forget(self, link: "ShapedLink") -> None:
        """It is gone."""
        self._links.discard(link)

    def _cut(self, inner: PausableLink) -> None:
        del self._left_behind[inner]
        inner.abort()

    def _leave_tunnel(self) -> None:
        if self._tunnel is not None:
            self._tunnel.cancel()
            self._tunnel = None
        self._through.set()

    async def _travel(self, trips: float) -> None:
        """Wait for so many round trips, and for the end of a tunnel."""
        path = self.path
        if trips > 0:
            stalls = path.stall_s(1) + path.stall_s(1) if path.network.loss else 0.0
            await asyncio.sleep(trips * 2 * path.network.latency_ms / 1000 + stalls)
        await self._through.wait()


class ShapedLink:
    """One connection: the application's link, and the ear of the real one. Made by ShapedDial."""

    def __init__(self, dial: ShapedDial, wire: Wire, ear: Ear) -> None:
        self.is_cut = False
        """Whether the application has no part in it any more."""
        self._dial = dial
        self._wire = wire
        self._ear = ear
        path = dial.path
        self._loop = path.loop
        self._up = Pipe(path, path.network.up_kbps, self._leave)
        self._down = Pipe(path, path.network.down_kbps, self._arrive)
        self._down.freeze()
        self._inner: PausableLink | None = None
        self._stands = self._closing = self._deaf = self._paused = False
        self._held: list[bytes] = []
        """What a frozen application would send: at most its unanswered requests."""
        self._timers: list[asyncio.TimerHandle] = []
        self._gone: asyncio.Future[None] = self._loop.create_future()

    # Link
    def send(self, payload: bytes) -> None:
        if self._closing or self.is_cut:
            return
        if self._dial.frozen:
            self._held.append(payload)
            return
        self._up.add(payload)
        if self._dial.repeats is not None:
            self._dial.repeats.sent(self._wire, payload, self.repeat)

    def close(self, code: int, reason: str) -> None:
        if self._closing or self.is_cut:
            return
        self._closing = True
        self._up.add(Goodbye(code, reason))
        self._timers.append(self._loop.call_later(CLOSING_S, self.abort))

    def abort(self) -> None:
        self.cut("", self._dial.tunnel_left_s())  # in a tunnel nobody hears of it either

    async def wait_gone(self) -> None:
        await asyncio.shield(self._gone)

    # Ear of the real link.
    def heard(self, payload: bytes) -> None:
        if not (self._closing or self.is_cut):
            self._down.add(payload)
            if self._down.bytes > WINDOW_BYTES:
                self._mind_reading()

    def lost(self, code: int, reason: str) -> None:
        if not self.is_cut:
            self._down.add(Goodbye(code, reason))

    # For ShapedDial.
    def carry(self, inner: PausableLink) -> None:
        """The real link stands."""
        self._inner = inner
        self._mind_reading()

    def stand(self) -> None:
        """The application has its link now."""
        self._stands = True
        if not self._dial.frozen:
            self._down.thaw()

    def give_up(self) -> None:
        """The application never gets its link."""
        self.is_cut = True
        self._clear()
        if self._inner is not None:
            self._inner.abort()

    def cut(self, reason: str, half_open_s: float = 0.0) -> None:
        """The application's part ends at once; the real link does so after a while."""
        if self.is_cut:
            return
        self.is_cut = True
        if not self._stands:
            return  # the dial will see
        self._clear()
        if self._inner is not None:
            self._dial.leave_behind(self._inner, half_open_s)
        self._loop.call_soon(self._end, 1006, reason)

    def repeat(self, payload: bytes) -> None:
        """Send something that was sent before."""
        if not (self._closing or self.is_cut):
            self._up.add(payload)

    def shut(self, until: float) -> None:
        """A tunnel begins. What the server sends meanwhile waits there, until it is sent again."""
        self._up.shut(until)
        self._down.shut(until)
        path = self._dial.path
        self._deaf = True
        self._mind_reading()
        lost_at = path.random.uniform(self._loop.time(), until)
        self._timers.append(self._loop.call_at(path.comes_again(lost_at, until), self._hear_again))

    def open(self) -> None:
        """The tunnel has ended early."""
        self._up.open()
        self._down.open()
        self._hear_again()

    def freeze(self) -> None:
        """The application reads no more."""
        self._down.freeze()
        self._mind_reading()

    def thaw(self) -> None:
        """The application reads and writes again, the former first."""
        if not self._stands:
            return
        self._down.thaw()
        self._mind_reading()
        held, self._held = self._held, []
        for payload in held:
            self.send(payload)

    # Inside.
    def _leave(self, item: bytes | Goodbye) -> None:
        assert self._inner is not None
        if isinstance(item, Goodbye):
            self._inner.close(item.code, item.reason)
        else:
            self._inner.send(item)

    def _arrive(self, item: bytes | Goodbye) -> None:
        if isinstance(item, Goodbye):
            self._end(item.code, item.reason)
        elif not self._closing:
            self._ear.heard(item)
        if self._paused:
            self._mind_reading()

    def _hear_again(self) -> None:
        self._deaf = False
        self._mind_reading()

    def _mind_reading(self) -> None:
        """Read from the real link if there is somebody to hear it."""
        paused = self._deaf or self._dial.frozen or self._down.bytes > WINDOW_BYTES
        if self._inner is None or self.is_cut or paused == self._paused:
            return
        self._paused = paused
        if paused:
            self._inner.pause_reading()
        else:
            self._inner.resume_reading()

    def _clear(self) -> None:
        """Nothing more happens of itself, and the network forgets it."""
        self._dial.forget(self)
        self._up.clear()
        self._down.clear()
        self._held.clear()
        for timer in self._timers:
            timer.cancel()

    def _end(self, code: int, reason: str) -> None:
        self.is_cut = True
        self._clear()
        if not self._gone.done():
            self._gone.set_result(None)
            self._ear.lost(code, reason)
