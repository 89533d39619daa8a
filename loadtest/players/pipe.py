"""One direction of a connection that takes its time. Order is always kept."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from random import Random

from msgspec import Struct

from loadtest.players.networks import Network, Trouble

SEGMENT_BYTES = 1_400  # of data in a packet
OVERHEAD_BYTES = 70  # of a message: headers of IP and TCP, a TLS record, a WebSocket frame


class Goodbye(Struct, frozen=True):
    """The end of what goes through a pipe."""

    code: int
    reason: str


class Path:
    """What both directions of a connection share."""

    __slots__ = ("injected", "loop", "network", "random", "rto_s")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, network: Network, random: Random, injected: Counter[Trouble]
    ) -> None:
        self.loop = loop
        self.network = network
        self.random = random
        self.injected = injected
        self.rto_s = (2 * network.latency_ms + network.rto_ms) / 1000

    def stall_s(self, size: int) -> float:
        """Seconds that a message of so many bytes waits for retransmissions."""
        loss, random = self.network.loss, self.random.random
        segments = 1 + size // SEGMENT_BYTES
        if random() >= (loss if segments == 1 else 1 - (1 - loss) ** segments):
            return 0.0
        self.injected[Trouble.STALL] += 1
        waits = self.rto_s
        while random() < loss:
            waits = 2 * waits + self.rto_s
        return waits

    def comes_again(self, lost_at: float, until: float) -> float:
        """When something lost arrives that is sent again and again, and is lost again up to ``until``."""
        waits = self.rto_s
        while lost_at + waits < until:
            waits = 2 * waits + self.rto_s
        return lost_at + waits


class Pipe:
    """Brings messages to ``arrive``, each at its time, and none before one that was sent earlier.

    One timer while something is in it, and none while it is empty.
    It holds what its sender may send: the requests that wait for an answer, or what ``ShapedLink`` reads.
    """

    __slots__ = ("_arrive", "_busy", "_frozen", "_path", "_s_per_byte", "_shut", "_timer", "_waiting", "bytes")

    def __init__(self, path: Path, kbps: float | None, arrive: Callable[[bytes | Goodbye], None]) -> None:
        self.bytes = 0
        """In it, of messages."""
        self._path = path
        self._s_per_byte = 8 / (kbps * 1000) if kbps else 0.0
        self._arrive = arrive
        self._waiting: deque[tuple[float, bytes | Goodbye, int]] = deque()
        self._busy = 0.0
        self._shut = (0.0, 0.0)
        """Nothing gets through until the first; what was lost by then comes at the second, all at once."""
        self._frozen = False
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: bytes | Goodbye) -> None:
        """Send something through."""
        size = len(item) if type(item) is bytes else 0
        path = self._path
        network = path.network
        now = at = path.loop.time()
        if now < self._shut[0] and not self._shut[1]:
            self._shut = (self._shut[0], path.comes_again(now, self._shut[0]))
        if self._s_per_byte:
            self._busy = at = max(self._busy, now) + (size + OVERHEAD_BYTES) * self._s_per_byte
        at += network.latency_ms / 1000
        if network.jitter_ms:
            at += path.random.uniform(-network.jitter_ms, network.jitter_ms) / 1000
        if network.loss:
            at += path.stall_s(size)
        self._waiting.append((at, item, size))
        self.bytes += size
        self._arm()

    def shut(self, until: float) -> None:
        """Let nothing through until then; what is on its way is lost, and comes again."""
        now = self._path.loop.time()
        self._shut = (until, self._path.comes_again(now, until) if self._waiting else 0.0)
        self._arm(anew=True)

    def open(self) -> None:
        """Let everything through again."""
        self._shut = (0.0, 0.0)
        self._arm(anew=True)

    def freeze(self) -> None:
        """Nobody is there to take what arrives."""
        self._frozen = True

    def thaw(self) -> None:
        """Somebody is there again, and finds what has arrived."""
        self._frozen = False
        self._arm(anew=True)

    def clear(self) -> None:
        """Lose everything that is in it."""
        self._waiting.clear()
        self.bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, *, anew: bool = False) -> None:
        if self._timer is not None:
            if not anew:
                return
            self._timer.cancel()
            self._timer = None
        if self._waiting and not self._frozen:
            self._timer = self._path.loop.call_at(max(self._waiting[0][0], *self._shut), self._bring)

    def _bring(self) -> None:
        """What has arrived by now; whoever hears it may send, cut or freeze."""
        self._timer = None
        now = self._path.loop.time() + 0.001  # what is due in the same millisecond needs no timer of its own
        waiting = self._waiting
        while waiting and not self._frozen and max(waiting[0][0], *self._shut) <= now:
            _, item, size = waiting.popleft()
            self.bytes -= size
            self._arrive(item)
        self._arm()
