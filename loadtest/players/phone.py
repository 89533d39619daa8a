"""What a player holds: a network that things happen to, and a clock that may be wrong.

phone = Phone(WebSocketDial(url), NETWORKS["subway"], random)
shell = Shell(session, phone.dial, tasks, tell, clock=phone.clock)
phone.start()
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

from loadtest.players.networks import Network, Trouble
from loadtest.players.shaping import PausableDial, ShapedDial

READ_FIRST_S = 0.05  # a process that runs again reads its sockets before it sees to timers


class PlayerClock:
    """A ``Clock`` of a Shell: runs at its own rate, and while the player's process is frozen calls nobody."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, ahead_s: float = 0.0, rate: float = 1.0) -> None:
        self.rate = rate
        """Seconds that it counts in a right one."""
        self._loop = loop
        self._began = loop.time()
        self._first = self._began + ahead_s
        self._reached = self._first
        """A time that was waited for. Reckoned back from the loop's, it might be missed by a rounding, for ever."""
        self._frozen = False
        self._late: list[PlayerTimer] = []

    def time(self) -> float:
        """The player's monotonic seconds; they pass while the process is frozen, as they do on a phone."""
        return max(self._reached, self._first + (self._loop.time() - self._began) * self.rate)

    def call_at(self, when: float, callback: Callable[[], object], /) -> "PlayerTimer":
        """Call when ``time`` is ``when``, or after that as soon as the process runs."""
        timer = PlayerTimer(when, callback)
        timer.handle = self._loop.call_at(self._began + (when - self._first) / self.rate, self.fire, timer)
        return timer

    def freeze(self) -> None:
        """Call nobody until ``thaw``."""
        self._frozen = True

    def thaw(self) -> None:
        """Call everybody whose time has come."""
        self._frozen = False
        late, self._late = self._late, []
        for timer in late:
            self.fire(timer)

    def fire(self, timer: "PlayerTimer") -> None:
        """Its time has come."""
        self._reached = max(self._reached, timer.when)
        if self._frozen:
            self._late.append(timer)
        elif timer.callback is not None:
            timer.callback()


class PlayerTimer:
    """A call that is to be made by a PlayerClock."""

    __slots__ = ("callback", "handle", "when")

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback: Callable[[], object] | None = callback
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Let it never be made."""
        self.callback = None
        if self.handle is not None:
            self.handle.cancel()


class Phone:
    """One player's. From ``start`` to ``stop`` things happen to it, as often as its network says.

    Whoever plays must do nothing while it is frozen: ``await awake()`` after each pause.
    """

    def __init__(
        self, dial: PausableDial, network: Network, random: Random, injected: Counter[Trouble] | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._network = network
        self._random = random
        self.dial = ShapedDial(dial, network, random, injected)
        self.clock = PlayerClock(
            self._loop,
            ahead_s=random.uniform(0, network.clock_ahead_s),
            rate=1 + random.uniform(-network.clock_drift, network.clock_drift),
        )
        self._next: dict[Trouble, asyncio.TimerHandle] = {}
        self._back: asyncio.TimerHandle | None = None

    @property
    def injected(self) -> Counter[Trouble]:
        """What was done to the player; or to all who share the counter."""
        return self.dial.injected

    @property
    def frozen(self) -> bool:
        """Whether the app is in the background."""
        return self.dial.frozen

    async def awake(self) -> None:
        """Wait until the app is in the foreground."""
        await self.dial.awake.wait()

    def start(self) -> None:
        """Let things happen from now on."""
        network = self._network
        self._expect(Trouble.SWITCH, network.switch_every_s, 0.0, lambda _: self.dial.switch())
        self._expect(Trouble.TUNNEL, network.tunnel_every_s, network.tunnel_s, self.dial.tunnel)
        self._expect(Trouble.BACKGROUND, network.background_every_s, network.background_s, self.background)

    def stop(self) -> None:
        """End whatever is under way, and let nothing happen from now on. Connections are as slow as before."""
        for timer in self._next.values():
            timer.cancel()
        self._next.clear()
        self.dial.calm()
        self._return()

    def background(self, seconds: float) -> None:
        """Another app is in front for so long. Nothing happens if one is already."""
        if self.frozen:
            return
        if self._back is not None:
            self._back.cancel()
        self.clock.freeze()
        self.dial.freeze()
        self._back = self._loop.call_later(seconds, self._return)

    def _return(self) -> None:
        if self._back is not None:
            self._back.cancel()
        self.dial.thaw()
        self._back = self._loop.call_later(READ_FIRST_S, self.clock.thaw)

    def _expect(
        self,
        trouble: Trouble,
        every_s: float | None,
        lasts_s: float,
        happen: Callable[[float], None],
        after_s: float = 0.0,
    ) -> None:
        """Have something happen after an interval, and again and again."""
        if every_s is None:
            return

        def now() -> None:
            seconds = self._random.uniform(0.5, 1.5) * lasts_s
            self._expect(trouble, every_s, lasts_s, happen, seconds)
            happen(seconds)

        self._next[trouble] = self._loop.call_later(after_s + self._random.expovariate(1 / every_s), now)
