"""A connection between a client and a gateway, both ends and the network in between.

To the gateway it is a ``server.connection.Connection``; the frames are real, the handshake is not made. Each direction
keeps its order. Either may die in silence (``half_open``), or both at once, with either end told or not (``cut``).
"""

from random import Random
from typing import TYPE_CHECKING, Any, Protocol, cast

from protocol import Wire
from server.connection import CLOSING_S, Peer
from tests.simulation.loop import Process, SimulatedLoop

if TYPE_CHECKING:
    from tests.simulation.world import SimulatedMember

ABNORMAL = 1006


class ClientEnd(Protocol):
    """Who is told what becomes of a connection, in the clients' process."""

    wire: Wire

    def line_opened(self, line: "Line") -> None: ...
    def line_brought(self, line: "Line", payload: bytes) -> None: ...
    def line_closed(self, line: "Line", code: int, reason: str) -> None: ...


class Line:
    """See the module. The first block is the gateway's end, the second the client's."""

    def __init__(
        self, loop: SimulatedLoop, clients: Process, client: ClientEnd, member: "SimulatedMember", random: Random
    ) -> None:
        self.member = member
        self.address = "10.0.0.1"
        self.window_bits = 0
        self.paused = False
        self.unsent_bytes = 0
        self.half_open = False
        """Nothing arrives any more, at either end, and nobody is told."""
        self.over = False
        """The client has let go of it."""
        self._loop = loop
        self._clients = clients
        self._client = client
        self._random = random
        self._lag = 0.005 + random.random() ** 2 * 0.15
        self._up = self._down = 0.0
        self._peer: Peer | None = None
        self._taken = False
        self._open = False
        self._dial()

    # The gateway's end.
    @property
    def open(self) -> bool:
        return self._open

    def send(self, frames: bytes) -> None:
        if self._open:
            self._to_client(self._arrive, frames)

    def close(self, code: int, reason: str = "") -> None:
        if not self._open:
            return
        self._open = False
        self._to_client(self._hang_up, code, reason)
        self._loop.call_later(CLOSING_S, self.abort)

    def abort(self) -> None:
        self._lose(ABNORMAL)

    # The client's end.
    def bring(self, payload: bytes) -> None:
        """Have the gateway receive a message."""
        self._to_gateway(self._take, payload)

    def let_go(self, code: int) -> None:
        """The client closes it."""
        if not self.over:
            self.over = True
            self._to_gateway(self._lose, code)

    # What the network does.
    def cut(self, *, client_told: bool, gateway_told: bool) -> None:
        """End it: whoever is not told has to find out."""
        self.half_open = True
        if client_told:
            self._loop.deliver(self._clients, self._random.random() * 0.1, self._hang_up, ABNORMAL, "")
        if gateway_told:
            self._loop.deliver(self.member.process, self._random.random() * 0.1, self._lose, ABNORMAL)

    def _dial(self) -> None:
        if self.member.process.dead:
            self._loop.deliver(self._clients, 2 * self._lag, self._hang_up, ABNORMAL, "")
        else:
            self._to_gateway(self._accept)

    def _to_gateway(self, callback: Any, *args: Any) -> None:
        if not self.half_open:
            lag = self._lag * (1 + self._random.random())
            self._up = max(self._loop.time() + lag, self._up + 1e-6)
            self._loop.deliver_at(self.member.process, self._up, self._through, callback, args)

    def _to_client(self, callback: Any, *args: Any) -> None:
        if not self.half_open:
            lag = self._lag * (1 + self._random.random())
            self._down = max(self._loop.time() + lag, self._down + 1e-6)
            self._loop.deliver_at(self._clients, self._down, self._through, callback, args)

    def _through(self, callback: Any, args: tuple[Any, ...]) -> None:
        """What was on its way when the connection died does not arrive."""
        if not self.half_open:
            callback(*args)

    # In the gateway's process.
    def _accept(self) -> None:
        gateway = self.member.gateway
        connection = cast("Any", self)
        if gateway is None or gateway.admit(self.address) is not None:
            self._to_client(self._hang_up, ABNORMAL, "")
            return
        self._open = self._taken = True
        self._peer = gateway.opened(connection, self._client.wire)
        self._to_client(self._opened)

    def _take(self, payload: bytes) -> None:
        if self._peer is not None and self._open:
            self._peer.message(payload, binary=self._client.wire.binary)

    def _lose(self, code: int) -> None:
        self._open = False
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.lost(code)
        if self._taken and self.member.gateway is not None:
            self._taken = False
            self.member.gateway.gone(cast("Any", self))

    # In the clients' process.
    def _opened(self) -> None:
        if not self.over:
            self._client.line_opened(self)

    def _arrive(self, frames: bytes) -> None:
        at, end = 0, len(frames)
        while at < end and not self.over:
            size, head = frames[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(frames[at + 2 : at + 4]), 4
            elif size == 127:
                size, head = int.from_bytes(frames[at + 2 : at + 10]), 10
            at += head + size
            self._client.line_brought(self, frames[at - size : at])

    def _hang_up(self, code: int, reason: str) -> None:
        if not self.over:
            self.over = True
            self._client.line_closed(self, code, reason)
            self._to_gateway(self._lose, code)
