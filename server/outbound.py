"""What waits for one socket: bounded in bytes, written once a turn of the loop, events before replies.

Ephemeral events are left out first; then the reader is too slow, and nothing more is taken for it.
"""

from collections.abc import Callable

from actors.runtime.meters import Meters
from server.connection import Connection
from server.outbound_total import OutboundTotal

UNCOUNTED = 16_384  # bytes of one turn of the loop up to which nobody asks what the kernel has not taken yet


class Outbound:
    """The frames of one session on their way out."""

    __slots__ = (
        "_at_flush",
        "_connection",
        "_limit",
        "_meters",
        "_pieces",
        "_replies",
        "_size",
        "_too_slow",
        "_total",
        "cut",
        "lean",
    )

    def __init__(
        self,
        connection: Connection,
        meters: Meters,
        limit_bytes: int,
        *,
        total: OutboundTotal,
        at_flush: Callable[["Outbound"], None],
        too_slow: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._meters = meters
        self._limit = limit_bytes
        self._total = total
        self._at_flush = at_flush
        self._too_slow = too_slow
        self._pieces: list[bytes] = []
        self._replies: list[bytes] = []
        self._size = 0
        self.cut = False
        """Whether nothing more is taken: the reader is being closed."""
        self.lean = False
        """Whether the node has no room for ephemeral events that wait for this reader (``OutboundTotal``)."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        return self._connection.unsent_bytes

    @property
    def behind(self) -> bool:
        """Whether a quarter of what may wait does: a replay pauses then."""
        return self._size + self._connection.unsent_bytes > self._limit // 4

    def push(self, piece: bytes, *, ephemeral: bool = False, replay: bool = False) -> None:
        """Take events. A replay is paced by ``behind`` and never too much; ephemeral ones go at half of the bound."""
        if self.cut:
            return
        size = len(piece)
        if not replay and (self._size + size > UNCOUNTED or self._connection.paused):
            waiting = self._size + size + self._connection.unsent_bytes
            if ephemeral and (self.lean or waiting > self._limit // 2):
                self._meters.ephemeral_left_out += 1
                return
            if waiting > self._limit:
                self.give_up(waiting, "session")
                return
        if not self._size:
            self._at_flush(self)
        self._size += size
        self._pieces.append(piece)

    def answer(self, piece: bytes, *, before_events: bool = False) -> None:
        """Take a reply unless too much waits already; one alone may be longer than that, or it could never be sent.

        It is written after this turn's events, or, with ``before_events``, in its place among them: what it says is
        followed by the events that come.
        """
        if self.cut:
            return
        if self._size > UNCOUNTED or self._connection.paused:
            waiting = self._size + self._connection.unsent_bytes
            if waiting > self._limit:
                self.give_up(waiting, "session")
                return
        self._meters.messages_out += 1
        if not self._size:
            self._at_flush(self)
        self._size += len(piece)
        (self._pieces if before_events else self._replies).append(piece)

    def flush(self) -> None:
        """Write what waits, in one go."""
        if not self._size:
            return
        pieces = self._pieces
        if self._replies:
            pieces += self._replies
            self._replies.clear()
        meters = self._meters
        meters.writes += 1
        meters.outbound_bytes += self._size
        size, self._size = self._size, 0
        self._connection.send(b"".join(pieces))
        pieces.clear()
        if self._connection.paused:
            self._total.wrote(self, size)

    def give_up(self, waiting: int, bound: str) -> None:
        """The reader is too slow for ``bound``, its own (``session``) or that of all together (``node``)."""
        self._meters.slow_readers.add(bound)
        self.cut = True
        self._pieces.clear()
        self._replies.clear()
        self._size = 0
        self._too_slow(waiting)
