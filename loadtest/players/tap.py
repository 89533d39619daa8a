"""Between a player's shell and its link: everything that goes over it is counted, and written down for the judge.

The judge sees what arrives, not what the client made of it: a hole that the client has filled by itself is a promise
that the server has broken all the same.
"""

import time
from typing import Any

import msgspec

from clients.python import Dial, Ear, Link
from loadtest.figures import CONNECT, DELIVERY, Meters
from loadtest.history import DeviceHistory
from protocol import Wire

UNCOUNTED = frozenset({"hello", "ping", "pong", "welcome"})
STAMP = "meant_us"
"""In the ``data`` of a line: when it was to be said, microseconds of this machine's monotonic clock."""
Message = dict[str, Any]


class ReadAlong:
    """The wire's format for one session and its tap: what one of them has just made or read the other need not read.

    Neither changes a message.
    """

    def __init__(self, wire: Wire) -> None:
        self._encode = msgspec.msgpack.encode if wire.binary else msgspec.json.encode
        self._decode = msgspec.msgpack.decode if wire.binary else msgspec.json.decode
        self._message: Message = {}
        self._payload = b""

    def encode(self, message: Message, /) -> bytes:
        """As ``Format``."""
        self._message, self._payload = message, self._encode(message)
        return self._payload

    def decode(self, payload: bytes, /) -> Any:
        """As ``Format``."""
        if payload is not self._payload:
            self._message, self._payload = self._decode(payload), payload
        return self._message


class Tap:
    """One player's. It is the dial that the shell uses, over the one that leads to the server."""

    def __init__(self, name: str, dial: Dial, wire: Wire, meters: Meters, history: DeviceHistory | None) -> None:
        self.name = name
        self.unreached: dict[str, int] = {}
        """Dials that led to nothing, by reason."""
        self._dial = dial
        self._meters = meters
        self._history = history
        self.format = ReadAlong(wire)
        """For the player's session."""
        self._is_json = not wire.binary
        self._resume: Message | None = None
        self._hello = ""
        self._asked: set[str] = set()
        self._welcomed_us = 0
        self._connected = False
        self._unreached = False

    async def __call__(self, wire: Wire, ear: Ear) -> Link:
        """As ``Dial``."""
        began = time.monotonic()
        try:
            link = await self._dial(wire, _Ear(ear, self))
        except OSError as error:
            self._unreached = True
            self._meters.counts.unreached += 1
            reason = str(error)
            self.unreached[reason] = self.unreached.get(reason, 0) + 1
            raise
        self._meters.took(CONNECT, time.monotonic() - began)
        return _Link(link, self)

    def take_unreached(self) -> bool:
        """Whether the last dial has led to nothing; says it once."""
        unreached, self._unreached = self._unreached, False
        return unreached

    def stamp(self, due: float) -> Message:
        """Data of a line that was to be said at ``due``, of the loop's time, which is the machine's monotonic one."""
        return {STAMP: round(due * 1_000_000)}

    def ended(self) -> None:
        """The player has closed the connection."""
        if self._connected and self._history is not None:
            self._history.lost()
        self._connected = False

    # What goes over the link.
    def sent(self, payload: bytes) -> None:
        """A message leaves."""
        counts = self._meters.counts
        counts.bytes_out += len(payload)
        message = self.format.decode(payload)
        kind = message["t"]
        if kind == "hello":
            self._hello, self._resume = message["id"], message.get("resume")
        elif kind not in UNCOUNTED:
            op = message["id"]
            if op in self._asked:
                counts.sent_again += 1
            else:
                self._asked.add(op)
            if self._history is not None:
                self._history.asked(op, self._as_json(message, payload))

    def came(self, payload: bytes) -> None:
        """A message has arrived."""
        self._meters.counts.bytes_in += len(payload)
        message = self.format.decode(payload)
        op = message.get("re")
        if op is not None:
            self._answered(op, message, payload)
        elif message.get("seq") is not None:
            self._heard(message, payload)
        elif "topic" in message:
            self._meters.counts.told += 1
            if message["t"] == "chat.message":
                self._delivered(message)

    def lost(self) -> None:
        """The connection is gone."""
        self.ended()

    def _answered(self, op: str, message: Message, payload: bytes) -> None:
        kind = message["t"]
        if kind == "error":
            self._meters.errors[message["code"]] += 1
        elif kind == "welcome":
            self._connected = True
            self._welcomed_us = time.monotonic_ns() // 1000
            if self._history is not None:
                self._history.welcomed(message, self._resume)
            return
        if kind in UNCOUNTED or op == self._hello:
            return
        if kind != "error" or message["retry"] == "never":
            self._asked.discard(op)
        if self._history is not None:
            self._history.answered(op, self._as_json(message, payload))

    def _heard(self, message: Message, payload: bytes) -> None:
        self._meters.counts.heard += 1
        if self._history is not None:
            self._history.heard(self._as_json(message, payload))
        if message["t"] == "chat.message":
            self._delivered(message)

    def _delivered(self, message: Message) -> None:
        """Measure a line's way, unless it waited for this player to come back."""
        meant = (message.get("data") or {}).get(STAMP)
        if isinstance(meant, int) and meant >= self._welcomed_us:
            self._meters.took(DELIVERY, time.monotonic_ns() / 1e9 - meant / 1e6)

    def _as_json(self, message: Message, payload: bytes) -> bytes:
        """The message in one line of JSON, as which it may have come."""
        return payload if self._is_json and b"\n" not in payload else msgspec.json.encode(message)


class _Ear:
    """Listens for the shell, and the tap sees what came first."""

    __slots__ = ("_ear", "_tap")

    def __init__(self, ear: Ear, tap: Tap) -> None:
        self._ear = ear
        self._tap = tap

    def heard(self, payload: bytes) -> None:
        self._tap.came(payload)
        self._ear.heard(payload)

    def lost(self, code: int, reason: str) -> None:
        self._tap.lost()
        self._ear.lost(code, reason)


class _Link:
    """The link, and the tap sees what leaves."""

    __slots__ = ("_link", "_tap", "abort", "close", "wait_gone")

    def __init__(self, link: Link, tap: Tap) -> None:
        self._link = link
        self._tap = tap
        self.close = link.close
        self.abort = link.abort
        self.wait_gone = link.wait_gone

    def send(self, payload: bytes) -> None:
        self._tap.sent(payload)
        self._link.send(payload)
