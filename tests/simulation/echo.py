"""A second connection of a player, to some other node, on which the player's requests are sent once more.

The same id on two sockets at once: one turn, and both get its reply.
"""

from typing import Any

import msgspec

from loadtest.history import Answered, Asked
from protocol import Wire
from tests.simulation.line import Line
from tests.simulation.world import World

Fields = dict[str, Any]
NOT_ECHOED = frozenset({"chat.join", "chat.leave", "guild.watch", "leaderboard.watch", "topic.sync"})
"""What is about a connection of its own, or keeps nothing: sent again after what followed it, it would mean that."""


class Echo:
    """It opens its connection once, and is silent when that is lost (``ClientEnd``)."""

    def __init__(self, world: World, player: str) -> None:
        self.wire = Wire.MSGPACK
        self._world = world
        self._player = player
        self._session = f"{player}+"
        self._random = world.random(self._session)
        self._online = False
        self._asked: set[str] = set()
        self._line = Line(world.loop, world.clients, self, world.dial(self._random), self._random)
        self._line.member.lines.append(self._line)

    def repeat(self, op: str, message: Fields) -> None:
        """Send a request that the player is sending elsewhere, a moment later."""
        if self._online and message["t"] not in NOT_ECHOED:
            self._world.loop.deliver(self._world.clients, self._random.random() ** 4 * 2, self._send, op, message)

    def leave(self) -> None:
        """End the connection."""
        self._online = False
        self._line.let_go(1000)

    def _send(self, op: str, message: Fields) -> None:
        if self._online:
            self._asked.add(op)
            world = self._world
            world.note(Asked(world.now_ms, self._player, self._session, op, message))
            self._line.bring(msgspec.msgpack.encode(message))

    # The connection.
    def line_opened(self, line: Line) -> None:
        hello = {"t": "hello", "id": f"{self._session}-hello", "token": f"dev:{self._player}"}
        line.bring(msgspec.msgpack.encode(hello))

    def line_brought(self, _line: Line, payload: bytes) -> None:
        message, world = msgspec.msgpack.decode(payload), self._world
        if message["t"] == "welcome":
            self._online = True
        elif message.get("re") in self._asked:
            world.note(Answered(world.now_ms, self._player, self._session, message["re"], message))

    def line_closed(self, _line: Line, _code: int, _reason: str) -> None:
        self._online = False
