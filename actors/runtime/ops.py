"""The op window: what each player's recent requests to one actor were answered.

Counted for each player, so that a crowded room pushes nobody's op out. It is a ring of ``OPS_PER_PLAYER`` in memory and
in the table, so it never needs sweeping.
"""

from collections.abc import Callable, Iterable
from sys import intern
from typing import Any

from msgspec import Struct

from actors.runtime.tickets import Ticket
from protocol import IdReused, Reply, Request, TooOld
from storage import OPS_PER_PLAYER, OpRow

Digest = Callable[[Request[Any]], bytes]
_SEPARATORS = "-_.:/#"
DIGITS = 15  # of an id's counter; an id with more has no place
TICKET = b"\xc1"
"""Before a kept ticket's MessagePack, where else a reply's stands: the one byte that MessagePack never begins with."""


Place = tuple[str, int]
"""Where an id of the form prefix-counter stands among those of its prefix."""


class Kept(Struct, eq=False):
    """One op of the window."""

    op: str
    place: Place
    count: int
    at_ms: int
    reply: Reply | Ticket | bytes | None
    """None while deferred; a ticket until it is redeemed; bytes (MessagePack) where it was loaded and not yet asked
    for."""
    _request: Request[Any] | None
    _digest: bytes = b""

    def digest(self, make: Digest) -> bytes:
        """The request's digest; made when first needed, the request is let go then."""
        if self._request is not None:
            self._digest = make(self._request)
            self._request = None
        return self._digest

    def check(self, request: Request[Any], make: Digest) -> None:
        """Raises IdReused unless ``request`` is what was asked the first time."""
        same = request == self._request if self._request is not None else make(request) == self._digest
        if not same:
            raise IdReused(f"id {request.id!r} was used for another request")


class OpWindow:
    """One player's ring of kept ops, oldest first, and what was pushed out of it."""

    __slots__ = ("_floors", "_prefix", "count", "ops")

    def __init__(self, rows: Iterable[OpRow] = ()) -> None:
        self.ops: dict[str, Kept] = {}
        self.count = 0
        self._floors: dict[str, int] = {}
        self._prefix = ""  # of the last id; the next one nearly always has the same
        for row in sorted(rows, key=lambda row: row.count):
            self.ops[row.op] = Kept(row.op, place_of(row.op), row.count, row.at_ms, row.reply, None, row.digest)
            self.count = row.count
        if self.count > len(self.ops):
            self._remember_what_was_pushed_out()

    def add(self, request: Request[Any], place: Place, now_ms: int, reply: Reply | Ticket | None) -> Kept:
        """Keep a new op; the oldest goes when the ring is full."""
        self.count += 1
        kept = self.ops[request.id] = Kept(request.id, place, self.count, now_ms, reply, request)
        if len(self.ops) > OPS_PER_PLAYER:
            oldest = self.ops.pop(next(iter(self.ops)))
            self._raise_floor(*oldest.place)
        return kept

    def place(self, op: str) -> Place:
        """``place_of``, in two thirds of the time where the last id had the same prefix."""
        digits = op.removeprefix(self._prefix)
        if digits != op and len(digits) <= DIGITS and digits.isascii() and digits.isdigit():
            return self._prefix, int(digits)
        place = place_of(op)
        self._prefix = place[0]
        return place

    def refuse_if_too_old(self, place: Place) -> None:
        """Raises TooOld for an id of the form prefix-counter that was pushed out of the ring, or is older still.

        An id of another form cannot be placed in time; what it appends to a log is refused there, by its unique key.
        """
        prefix, counter = place
        if prefix and counter <= self._floors.get(prefix, -1):
            raise TooOld(f"id {prefix}{counter} is older than this player's last {OPS_PER_PLAYER} requests here")

    def _raise_floor(self, prefix: str, counter: int) -> None:
        floors = self._floors
        floor = floors.get(prefix)
        if floor is None:
            if not prefix:
                return
            if len(floors) >= OPS_PER_PLAYER:
                del floors[next(iter(floors))]
        elif counter <= floor:
            return
        floors[prefix] = counter

    def _remember_what_was_pushed_out(self) -> None:
        for kept in self.ops.values():
            prefix, counter = kept.place
            if prefix:
                self._floors[prefix] = min(counter - 1, self._floors.get(prefix, counter - 1))


def place_of(op: str) -> Place:
    """``("a1f3-", 17)`` of ``a1f3-17``; an empty prefix where the id has no such form."""
    prefix = op.rstrip("0123456789")
    digits = op[len(prefix) :]
    if not prefix or prefix[-1] not in _SEPARATORS or not 0 < len(digits) <= DIGITS:
        return "", 0
    return intern(prefix), int(digits)  # many ids share it
