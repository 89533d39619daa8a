"""A player's device: the real client session, on a simulated connection, with a record of all that it does.

Everything happens in callbacks of the clients' process; there is no task for a device.
"""

from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

from loadtest.history import Answered, Asked, Heard, Lost, Welcomed
from protocol import (
    Blocked,
    ClientSession,
    ClientStatus,
    CloseSocket,
    Disconnected,
    Happened,
    OpenSocket,
    Output,
    Replied,
    Send,
    TooManyPending,
    TopicMoved,
    Wire,
)
from protocol.outputs import Welcomed as Online
from tests.simulation.echo import Echo
from tests.simulation.line import Line
from tests.simulation.world import World

Fields = dict[str, Any]
BY_HAND_S = 1.0  # after which a player who was told that somebody else is signed in comes back all the same
NOT_ASKED = ("hello", "ping", "pong")  # of what a client sends: no requests


class Device:
    """One player on one device. Subclasses hear of what happens: ``welcomed``, ``replied``, ``happened``, ``moved``."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.random: Random = world.random(name)
        self.wire = Wire.MSGPACK if self.random.random() < 0.7 else Wire.JSON
        self.session = ClientSession(
            self.wire,
            self.random,
            f"dev:{name}",
            client={"app": "1.0.0", "platform": "sim", "locale": self.random.choice(["en", "tr-TR", "de"])},
            prefix=f"{name}-{self.random.getrandbits(32):08x}",
        )
        self.line: Line | None = None
        self.doubles = 0.0
        """How likely a request is sent once more, a moment later."""
        self.echo: Echo | None = None
        """Another connection, on which everything is asked once more."""
        self._loop = world.loop
        self._decode: Callable[[bytes], Any] = self.session._decode
        self.session._decode = self._decoded  # to see what comes without decoding it twice
        self._asked: dict[bytes, tuple[str, Fields]] = {}
        """Each request by its bytes."""
        self._messages: dict[str, Fields] = {}
        """Each request that is not answered, by its id."""
        self._ops: set[str] = set()
        self._resume: Fields | None = None
        self._due = inf
        self._online = False

    # What the player does.
    def start(self) -> None:
        """Go online, and stay so."""
        self.session.connect(self._loop.time())
        self._act()

    def ask(self, t: str, **fields: Any) -> str | None:
        """Ask for something until it is answered; its id. None where too much waits already."""
        try:
            op = self.session.request(t, fields, self._loop.time())
        except TooManyPending:
            return None
        message = self._messages[op] = {"t": t, "id": op, **fields}
        self._asked[self.session.pending[op].payload] = (op, message)
        self._ops.add(op)
        self._act()
        return op

    @property
    def online(self) -> bool:
        """Whether it has a connection that it takes to be good."""
        return self.session.status is ClientStatus.ONLINE

    @property
    def at_rest(self) -> bool:
        """Whether it is online and waits for nothing."""
        return self.online and not self.session.pending and not any(self.session.cursors.holes())

    # What happens to the player, for subclasses.
    def welcomed(self, welcome: Fields) -> None: ...
    def replied(self, message: Fields, reply: Fields) -> None: ...
    def happened(self, event: Fields) -> None: ...
    def moved(self, moved: TopicMoved) -> None: ...

    # The connection (ClientEnd).
    def line_opened(self, line: Line) -> None:
        if line is self.line:
            self.session.socket_opened(self._loop.time())
            self._act()

    def line_brought(self, line: Line, payload: bytes) -> None:
        if line is self.line:
            self.session.received(payload, self._loop.time())
            self._act()

    def line_closed(self, line: Line, code: int, reason: str) -> None:
        if line is self.line:
            self.line = None
            self._lose()
            self.session.socket_closed(code, reason, self._loop.time())
            self._act()

    # Inside.
    def _act(self) -> None:
        """Do what the session says, until it says nothing more, and come back when it has something to do."""
        while outputs := self.session.take():
            for output in outputs:
                self._do(output)
        due = self.session.deadline
        if due < self._due:
            self._due = due
            self._loop.deliver_at(self.world.clients, max(due, self._loop.time()), self._tick, due)

    def _tick(self, due: float) -> None:
        if due != self._due:
            return  # an earlier one was set meanwhile
        self._due = inf
        self.session.tick(self._loop.time())
        self._act()

    def _do(self, output: Output) -> None:
        match output:
            case Send():
                self._send(output.payload)
            case Happened():
                self.happened(output.event)
            case Replied():
                self.replied(self._messages.pop(output.id, {}), output.reply)
            case OpenSocket():
                self._dial()
            case CloseSocket():
                self._hang_up(output.code)
            case Online():
                self._online = True
                self.welcomed(output.welcome)
            case TopicMoved():
                self.moved(output)
            case Blocked():
                self._blocked(output)
            case Disconnected():
                pass

    def _dial(self) -> None:
        world = self.world
        member = world.dial(self.random)
        self.line = Line(self._loop, world.clients, self, member, self.random)
        member.lines.append(self.line)

    def _hang_up(self, code: int) -> None:
        line, self.line = self.line, None
        self._lose()
        if line is not None:
            line.let_go(code)

    def _blocked(self, block: Blocked) -> None:
        """Sent away for good, which nothing here asks for; the player comes back by hand."""
        self.world.note_blocked(self.name, block.code, block.reason)
        self._loop.deliver(self.world.clients, BY_HAND_S, self.start)

    def _lose(self) -> None:
        if self._online:
            self._online = False
            self.world.note(Lost(self.world.now_ms, self.name, self.name))

    def _send(self, payload: bytes) -> None:
        known = self._asked.get(payload)
        if known is None:
            message = self._decode(payload)
            if message["t"] == "hello":
                self._resume = message.get("resume")
            elif message["t"] not in NOT_ASKED:
                self._ops.add(message["id"])
                known = (message["id"], message)
        if self.line is None:
            return
        if known is not None:
            self._note_asked(*known)
        self.line.bring(payload)
        if known is not None and self.echo is not None:
            self.echo.repeat(*known)
        if known is not None and self.random.random() < self.doubles:
            self._loop.deliver(self.world.clients, self.random.random() ** 3 * 3, self._send_again, payload, known)

    def _send_again(self, payload: bytes, known: tuple[str, Fields]) -> None:
        """The same request once more, on whatever connection there is by now."""
        if self.online and self.line is not None and known[0] in self.session.pending:
            self._note_asked(*known)
            self.line.bring(payload)

    def _note_asked(self, op: str, message: Fields) -> None:
        self.world.note(Asked(self.world.now_ms, self.name, self.name, op, message))

    def _decoded(self, payload: bytes) -> Any:
        """What the session is about to be told, written down first."""
        message = self._decode(payload)
        world, re = self.world, message.get("re")
        if re is None:
            world.note(Heard(world.now_ms, self.name, self.name, message))
        elif message["t"] == "welcome":
            world.note(Welcomed(world.now_ms, self.name, self.name, message, self._resume))
        elif re in self._ops:
            world.note(Answered(world.now_ms, self.name, self.name, re, message))
        return message
