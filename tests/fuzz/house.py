"""A node with its real rooms and real gateway, in memory: connections without sockets, time that stands still."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgpack
import msgspec
import structlog

from actors.runtime.meters import Meters
from protocol import Codec, Limits, Wire
from server.auth import Tokens
from server.config import Auth
from server.config import Gateway as GatewayConfig
from server.config import Limits as LimitsConfig
from server.features import FEATURES
from server.framing import frame
from server.gateway import FRAME_FACTOR, Gateway, GatewayParts
from server.node_limits import NodeLimits
from server.welcome import WelcomeOptions, Welcomer
from tests.fuzz.line import Driven
from tests.fuzz.streams import KEY, UPGRADE
from tests.fuzz.streams import frame as sent
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member

Said = dict[str, Any]
CONFIG = GatewayConfig()
DEFECTS = frozenset({"internal"})
"""Codes of refusals that say: this was our mistake."""


class House:
    """One node and its gateway."""

    def __init__(
        self, cluster: Cluster, member: Member, *, limits_on: bool = False, log_requests: bool = False
    ) -> None:
        self.cluster = cluster
        self.member = member
        self.meters = Meters()
        self.log: Sequence[Any] = ()
        """What was logged so far."""
        node, clock = member.node, member.clock
        limits = NodeLimits(LimitsConfig(enabled="on" if limits_on else "off"), self.meters, Random(1))
        welcomer = Welcomer(
            node=node.name,
            router=node.router,
            hub=node.hub,
            replica=node.reach.replica,
            tokens=Tokens(Auth(dev=True), clock),
            clock=clock,
            limits=limits,
            options=WelcomeOptions(
                heartbeat_ms=25_000,
                limits=Limits(message_bytes=CONFIG.message_bytes, text_chars=2_000, requests_per_s=30),
                replay=CONFIG.resume_events,
            ),
        )
        self.gateway = Gateway(
            CONFIG,
            GatewayParts(
                node=node,
                codec=Codec(node.blueprint.requests),
                welcomer=welcomer,
                limits=limits,
                meters=self.meters,
                clock=clock,
                random=Random(1),
                dev=True,
                log_requests=log_requests,
            ),
        )

    def line(self) -> Driven:
        """A new connection; nothing is said yet."""
        return Driven(self.gateway, CONFIG.message_bytes * FRAME_FACTOR, asyncio.get_running_loop())

    def stranger(self) -> "Guest":
        """A client that has not said hello."""
        return Guest(self)

    async def guest(self, name: str, wire: Wire = Wire.JSON, **hello: Any) -> "Guest":
        """A player who is signed in."""
        guest = Guest(self, wire)
        fields = {"t": "hello", "id": "h", "token": f"dev:{name}", **hello}
        guest.line.feed(guest.frame(fields))
        await settle()
        heard = guest.heard()
        assert [said["t"] for said in heard if said.get("re") == "h"] == ["welcome"], heard
        return guest


class Guest:
    """A client's end of a connection, upgraded."""

    def __init__(self, house: House, wire: Wire = Wire.JSON) -> None:
        self.wire = wire
        self.line = house.line()
        self.line.feed(UPGRADE.replace(KEY, KEY + f"Sec-WebSocket-Protocol: {wire.subprotocol}\r\n".encode()))
        self.line.wall.out.clear()
        self.code: int | None = None
        """The code of the close frame, once there is one."""
        self._asked = 0

    def frame(self, fields: Said) -> bytes:
        """A message as it travels."""
        payload = msgpack.packb(fields) if self.wire.binary else msgspec.json.encode(fields)
        return sent(2 if self.wire.binary else 1, payload)

    async def ask(self, fields: Said) -> Said:
        """The reply to a request; an ``id`` is made up where it has none."""
        self._asked += 1
        fields = {"id": f"q-{self._asked}", **fields}
        self.line.feed(self.frame(fields))
        await settle()
        return next(said for said in self.heard() if said.get("re") == fields["id"])

    def heard(self) -> list[Said]:
        """What has come since this was asked last."""
        out, self.line.wall.out = bytes(self.line.wall.out), bytearray()
        return [self._said(opcode, payload) for opcode, payload in frames(out) if opcode in (1, 2, 8)]

    def _said(self, opcode: int, payload: bytes) -> Said:
        if opcode == 8:
            self.code = int.from_bytes(payload[:2])
            return {"t": "close", "code": self.code}
        read = msgpack.unpackb if self.wire.binary else msgspec.json.decode
        said: Said = read(payload)
        return said


def frames(out: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each frame that a server has written."""
    at = 0
    while at < len(out):
        size, head = out[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(out[at + 2 : at + 4]), 4
        elif size == 127:
            size, head = int.from_bytes(out[at + 2 : at + 10]), 10
        yield out[at] & 15, out[at + head : at + head + size]
        at += head + size


@asynccontextmanager
async def house(*, limits_on: bool = False, log_requests: bool = False) -> AsyncIterator[House]:
    """Until the end of the block. No defect may be logged meanwhile: what clients send is never our mistake."""
    with structlog.testing.capture_logs() as lines:
        cluster = Cluster(FEATURES)
        cluster.frame = frame
        async with cluster.running():
            member = await cluster.start("north")
            made = House(cluster, member, limits_on=limits_on, log_requests=log_requests)
            made.log = lines
            yield made
    bad = [line for line in lines if line["log_level"] in {"error", "critical"} or "exc_info" in line]
    assert not bad, bad
