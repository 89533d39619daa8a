"""What any bytes are given to. A target fails by an exception, by taking too long, or by keeping memory.

Inputs that have found something, and the smallest ones that reach each part of the code, are in ``corpus/TARGET``.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from zlib import crc32

from protocol import Codec, Invalid, Wire, digest, encode
from tests.fuzz.house import DEFECTS, Guest, House, house
from tests.fuzz.line import agree
from tests.fuzz.shapes import PLAN
from tests.fuzz.streams import UPGRADE, chopped, frame
from tests.support.clock import settle

CORPUS = Path(__file__).parent / "corpus"
CODEC = Codec(PLAN.requests)
INPUTS = 2_000  # that one node serves; what they leave behind is the node's, not a leak
Target = Callable[[bytes], None]


def decode(data: bytes) -> None:
    """Both decoders: a request that can travel on in both formats, or ``Invalid``."""
    for wire in Wire:
        try:
            request = CODEC.decode(wire, data)
        except Invalid as error:
            assert len(str(error)) <= 200
            continue
        for other in Wire:
            again = CODEC.decode(other, encode(other, request))
            assert again == request
            assert digest(again) == digest(request)


def upgrade(data: bytes) -> None:
    """A connection from its first byte; in which pieces, is decided by the bytes."""
    agree(chopped(data, crc32(data)))


def frames(data: bytes) -> None:
    """A connection after its upgrade."""
    agree(chopped(UPGRADE + data, crc32(data)))


class Sessions:
    """Lines of ``data`` are messages of a signed-in client, in MessagePack where the first line is empty.

    Behind a first line of ``!`` come bare bytes. A client stays for the next input, unless it was cut.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._left = 0
        self._names = count()
        self._home: House | None = None
        self._guests: dict[Wire, Guest] = {}
        self._running = house()

    def __call__(self, data: bytes) -> None:
        self._loop.run_until_complete(self._play(data))

    async def _play(self, data: bytes) -> None:
        if self._left == 0 or self._home is None:
            await self.close()
            self._running = house()
            self._home = await self._running.__aenter__()
            self._left = INPUTS
        self._left -= 1
        first, *rest = data.split(b"\n")
        wire = Wire.JSON if first else Wire.MSGPACK
        guest = await self._guest(self._home, wire)
        messages = [frame(2 if wire.binary else 1, payload) for payload in ([first, *rest] if first else rest)]
        for piece in chopped(b"\n".join(rest), crc32(data)) if first == b"!" else messages:
            guest.line.feed(piece)
            await settle()
            assert all(said.get("code") not in DEFECTS for said in guest.heard()), piece
        if guest.line.wall.ended or guest.code or first == b"!":
            guest.line.end()
            await settle()
            del self._guests[wire]
        assert self._home.meters.connections == len(self._guests)

    async def _guest(self, home: House, wire: Wire) -> Guest:
        if wire not in self._guests:
            self._guests[wire] = await home.guest(f"p{next(self._names)}", wire)
        return self._guests[wire]

    async def close(self) -> None:
        """Look for defects in what was logged."""
        if self._home is not None:
            self._home = None
            self._guests.clear()
            await self._running.__aexit__(None, None, None)

    def end(self) -> None:
        """As ``close``, and end the loop."""
        self._loop.run_until_complete(self.close())
        self._loop.close()


TARGETS: Mapping[str, Target] = {"decode": decode, "upgrade": upgrade, "frames": frames}
"""By name; ``sessions`` is one more, which has to be made and ended."""
