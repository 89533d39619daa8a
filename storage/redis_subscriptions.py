"""What a node hears of Redis, and what Redis knows of that."""

import asyncio

from storage.bus import Receive

CHANNELS_PER_COMMAND = 1000  # names in one SUBSCRIBE: coming back with 100,000 is done in pieces


class Subscriptions:
    """Which channels this node wants, what Redis was told of them and what it has confirmed.

    No I/O: ``commands`` says what to send, ``answered`` is told what came back.
    """

    def __init__(self) -> None:
        self.receivers: dict[bytes, Receive] = {}
        self._changed: dict[bytes, None] = {}
        """Channels that were (un)wanted since the last commands; a dict keeps their order."""
        self._told: set[bytes] = set()
        """What Redis sends us once it has read all that was sent."""
        self._unconfirmed: dict[bytes, int] = {}
        """Commands that Redis has not answered: an old answer must not pass for a new one."""
        self._waiters: dict[bytes, list[asyncio.Future[None]]] = {}

    def want(self, channel: bytes, receive: Receive) -> None:
        """Hear the channel with ``receive``, which takes the place of an earlier receiver."""
        self.receivers[channel] = receive
        self._changed[channel] = None

    def forget(self, channel: bytes) -> None:
        """Want it no more; whoever waits for it to be confirmed waits no longer."""
        if self.receivers.pop(channel, None) is not None:
            self._changed[channel] = None
            self._release(channel)

    async def confirmed(self, channel: bytes) -> None:
        """Wait until Redis has confirmed the channel, or it is forgotten."""
        if channel in self._changed or channel in self._unconfirmed:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(channel, []).append(waiter)
            await waiter

    def commands(self) -> list[tuple[bytes, ...]]:
        """What Redis has to be told now; afterwards it counts as told."""
        new: list[bytes] = []
        old: list[bytes] = []
        for channel in self._changed:
            wanted = channel in self.receivers
            if wanted == (channel in self._told):  # back to what it was, before Redis heard of it
                self._settle(channel)
                continue
            (new if wanted else old).append(channel)
            self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
        self._told.update(new)
        self._told.difference_update(old)
        self._changed.clear()
        return _in_pieces(b"SUBSCRIBE", new) + _in_pieces(b"UNSUBSCRIBE", old)

    def answered(self, channel: bytes) -> None:
        """Redis has done one (UN)SUBSCRIBE of the channel."""
        left = self._unconfirmed.pop(channel, 1) - 1
        if left:
            self._unconfirmed[channel] = left
        elif channel not in self._changed:
            self._settle(channel)

    def start_again(self) -> None:
        """The connection is new: Redis knows nothing."""
        self._told.clear()
        self._unconfirmed.clear()
        self._changed = dict.fromkeys(self.receivers)

    def close(self) -> None:
        """Forget everything; nobody waits any longer."""
        for channel in tuple(self.receivers):
            self.forget(channel)

    def _settle(self, channel: bytes) -> None:
        if channel not in self._unconfirmed:
            self._release(channel)

    def _release(self, channel: bytes) -> None:
        for waiter in self._waiters.pop(channel, ()):
            if not waiter.done():
                waiter.set_result(None)


def _in_pieces(command: bytes, channels: list[bytes]) -> list[tuple[bytes, ...]]:
    return [
        (command, *channels[start : start + CHANNELS_PER_COMMAND])
        for start in range(0, len(channels), CHANNELS_PER_COMMAND)
    ]
