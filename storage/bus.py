"""How nodes talk to each other: at most once, ordered per channel, never waited for.

What must not be lost is not trusted to the bus: events have a ``seq`` and a table behind them, asks have an op id.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

Receive = Callable[[bytes], None]
"""Called on the event loop with one payload; must not raise and must not block."""


class Bus(Protocol):
    """Publish and subscribe by channel name, between all nodes of a cluster.

    At most once: a message may be lost while a connection is down or a buffer is full, and is never doubled. Messages
    of one publisher on one channel arrive in order. A publisher that is subscribed hears itself.
    """

    def publish(self, channel: str, payload: bytes) -> None:
        """Send; what one turn of the event loop publishes goes out together. Never blocks, never raises: what cannot
        be sent is dropped and counted."""
        ...

    async def subscribe(self, channel: str, receive: Receive) -> None:
        """Hear ``channel``; once this returns, what is published later is received. One receiver for each channel.

        While the bus is away this waits; the subscription outlives reconnects.
        """
        ...

    async def subscribe_all(self, channels: Sequence[str], receive: Receive) -> None:
        """``subscribe`` to each of the channels, with one receiver; many cost little more than one."""
        ...

    async def unsubscribe(self, channel: str) -> None:
        """Hear ``channel`` no more. Unknown channels are ignored."""
        ...

    def on_gap(self, notice: Callable[[], None]) -> None:
        """Have ``notice`` called after every reconnect: anything may have been missed."""
        ...

    @property
    def connected(self) -> bool:
        """Whether messages flow, as far as this node knows."""
        ...

    @property
    def dropped(self) -> int:
        """Messages that this node could not send since it started."""
        ...
