"""Requests that are sent a second time."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from random import Random

import msgspec
from msgspec import Struct

from loadtest.players.networks import Trouble
from protocol import Wire

LATER_S = 2.0  # at most, on the same connection
CARRIED_LIMIT = 64  # requests that wait for the next connection; as many as a client session has unanswered
ONCE = frozenset({
    "hello", "ping", "pong",
    "chat.join", "guild.watch", "leaderboard.watch", "topic.sync",
})  # fmt: skip
"""What is not repeated: what a client session says by itself, and what has a topic start over, with events that have
been heard. A session drops those; but who writes down what comes over the connection would see them come again."""
AT_ONCE = frozenset({"chat.leave", "leaderboard.unwatch"})
"""What is about a connection: repeated after what has followed it, it would mean something else."""
Again = Callable[[bytes], None]
"""Sends something once more on one connection, if that still stands."""


class _Kind(Struct):
    t: str


_DECODE = {
    Wire.MSGPACK: msgspec.msgpack.Decoder(_Kind).decode,
    Wire.JSON: msgspec.json.Decoder(_Kind).decode,
}


class Repeats:
    """Of one player, over all connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random, injected: Counter[Trouble]) -> None:
        self._loop = loop
        self._random = random
        self._injected = injected
        self._carried: deque[tuple[Again, bytes]] = deque(maxlen=CARRIED_LIMIT)

    def sent(self, wire: Wire, payload: bytes, again: Again) -> None:
        """The player has sent this, on the connection of ``again``: see to it that it is sent once more."""
        kind = _DECODE[wire](payload).t
        if kind == "hello":
            return
        if self._carried:  # whatever follows a hello follows its welcome: now others may be asked as well
            self._bring_over(again)
        if kind in ONCE:
            return
        self._injected[Trouble.REPEATED] += 1
        chance = self._random.random()
        if kind in AT_ONCE or chance < 0.4:
            again(payload)
        elif chance < 0.8:
            self._loop.call_later(self._random.random() ** 3 * LATER_S, again, payload)
        else:
            self._carried.append((again, payload))

    def _bring_over(self, again: Again) -> None:
        carried, self._carried = self._carried, deque(maxlen=CARRIED_LIMIT)
        for before, payload in carried:
            if before == again:
                self._carried.append((before, payload))
            else:
                again(payload)
