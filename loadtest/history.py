"""What happened, as it was seen from outside: one list of records, as JSON lines on disk.

The simulation, the fault experiments and the load tester write it; ``loadtest.check`` judges it. Order in the list is
order in time: what was written down later happened later, or at the same moment (``at`` is for people). A record is
written where its fact is known for certain to exist: ``Asked`` before the bytes leave the client, ``Answered``,
``Welcomed`` and ``Heard`` when they have arrived, ``Committed`` when the store has applied the commit and before
anybody is told so.

Messages are those of the wire, as dicts. What staff and the game's backend ask is recorded the same way, with the key's
name as ``player``, the Idempotency-Key as ``op`` and the internal names of the messages (``inbox.deliver``,
``announcement.make``, ``leaderboard.score_remove``).
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct


class Record(Struct, frozen=True, tag_field="r", tag=str.lower):
    """Anything that happened; ``at`` is in milliseconds, of whatever clock the writer has."""

    at: int


class Asked(Record, frozen=True):
    """A request is leaving a client; once for each time that it is sent, always with the same ``op``.

    ``message`` is what is sent, its ``id`` included. ``topic.sync`` belongs here too: after it the topic starts over.
    """

    player: str
    session: str
    op: str
    message: dict[str, Any]


class Answered(Record, frozen=True):
    """A reply, or an ``error``, has arrived."""

    player: str
    session: str
    op: str
    reply: dict[str, Any]


class Welcomed(Record, frozen=True):
    """A connection is online. ``resume`` is what its hello asked for, as it was sent; its ``cursors`` matter.

    ``session`` here and in the other records names the client's side: one device, over all its connections. Two live
    connections never share one.
    """

    player: str
    session: str
    welcome: dict[str, Any]
    resume: dict[str, Any] | None = None


class Heard(Record, frozen=True):
    """An event has arrived, or was handed on by the client's session: either will do, but only one of them."""

    player: str
    session: str
    event: dict[str, Any]


class Lost(Record, frozen=True):
    """The connection is gone, as far as the client knows."""

    player: str
    session: str


class Committed(Record, frozen=True):
    """The store has applied a commit of ``actor``: its row has ``version`` now. Only from where the store is ours.

    A write that only gives the row up leaves the version as it is, and is no commit.
    """

    node: str
    actor: str
    fence: int
    version: int
    events: list[tuple[str, int]] = []
    """(topic, seq) of what the commit appended, where the writer knows it: with it nothing may be heard any earlier."""


class Final(Record, frozen=True):
    """What is true in the end, when everything is quiet: see ``FINALS`` for each ``what`` and its value."""

    what: str
    value: Any


AnyRecord = Asked | Answered | Welcomed | Heard | Lost | Committed | Final


# Values of Final records. Several records of one ``what`` are parts of one whole.
class Logged(Struct, frozen=True):
    """An event of a topic's log; ``player`` and ``op``: the request in whose turn it was published, if it was one."""

    seq: int
    event: dict[str, Any]
    player: str = ""
    op: str = ""
    part: int = 0


class TopicLog(Struct, frozen=True):
    """``topic``: a durable topic as it is kept. Events below ``floor`` were cut."""

    topic: str
    epoch: str
    seq: int
    events: list[Logged]
    floor: int = 1
    caused: bool = True
    """Whether ``player`` and ``op`` of the events are known: read from the database, not from the API."""
    whole: bool = True
    """Whether all events from ``floor`` to ``seq`` should be here; not where only some kinds of them can be read."""


class LedgerRow(Struct, frozen=True):
    """``ledger`` (a list of them, in the order of each owner's row numbers): one movement of value.

    ``pair`` is the same in all rows of one gift: the debit, and the credit to its receiver or back. ``player`` and
    ``op`` are the request that the row comes from; a credit may do without, its debit has it. A row without a pair
    makes or destroys value: it has its request too (staff's key and Idempotency-Key), or is of kind ``opening``.
    """

    owner: str
    currency: str
    amount: int
    kind: str = ""
    pair: str = ""
    player: str = ""
    op: str = ""


class BoardEntry(Struct, frozen=True):
    """A place on a board, best first. ``at`` orders equals: micro- or milliseconds, the same unit in all of a board."""

    rank: int
    owner: str
    score: int
    subscore: int = 0
    at: int = 0


class FinalBoard(Struct, frozen=True):
    """``board``: one period of a leaderboard, with its rules and all who are ranked in it."""

    board: str
    period: str
    entries: list[BoardEntry]
    operator: str = "best"
    order: str = "desc"


class Audience(Struct, frozen=True):
    """``audience``: who had to get an announcement that named its audience by more than ``players``."""

    announcement: str
    players: list[str]


FINALS: dict[str, Any] = {
    "topic": TopicLog,
    "ledger": list[LedgerRow],
    "balances": dict[str, dict[str, int]],  # by owner and currency; what is not named is 0
    "seats": dict[str, str | None],  # by player: the guild
    "rosters": dict[str, list[str]],  # by guild: its members; one that was disbanded has none
    "board": FinalBoard,
    "audience": Audience,
    "all_topics": bool,  # true: a topic without a record has no events
    "settled": bool,  # true: nothing is under way (tells, campaigns), and who is connected had the time to hear it all
}
"""The type of each ``what``. Another ``what`` may stand in a history; nobody judges it."""


def value_of(final: Final) -> Any:
    """The value as its type, whether it was read from a file or made in this process.

    Raises:
        msgspec.ValidationError: it is none.
    """
    kind = FINALS.get(final.what)
    if kind is None or type(final.value) is kind:
        return final.value
    return msgspec.convert(final.value, kind, from_attributes=True)


# On disk.
class BadHistory(Exception):
    """A line of the file is no record."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyRecord).decode


class HistoryFile:
    """Writes records, one a line; complete on disk after ``flush``."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.write = file.write
        """Writes a line."""

    def add(self, record: AnyRecord) -> None:
        """Write a record."""
        self.write(_encode(record) + b"\n")

    def flush(self) -> None:
        """Have everything written."""
        self._file.flush()


class DeviceHistory:
    """One device's part of a file: lines as ``HistoryFile.add`` writes them, in half the time.

    Messages are given as JSON without a line break. ``began``: when ``at`` was 0, on the machine's monotonic clock.
    """

    def __init__(self, file: HistoryFile, player: str, began: float) -> None:
        self._file = file
        self._write = file.write
        self._player = player
        self._who = b',"player":%b,"session":%b' % (_encode(player), _encode(player))
        self._began = began

    @property
    def _at(self) -> int:
        return int((time.monotonic() - self._began) * 1000)

    def asked(self, op: str, message: bytes) -> None:
        """Write an Asked."""
        self._write(b'{"r":"asked","at":%d%b,"op":%b,"message":%b}\n' % (self._at, self._who, _encode(op), message))

    def answered(self, op: str, reply: bytes) -> None:
        """Write an Answered."""
        self._write(b'{"r":"answered","at":%d%b,"op":%b,"reply":%b}\n' % (self._at, self._who, _encode(op), reply))

    def heard(self, event: bytes) -> None:
        """Write a Heard."""
        self._write(b'{"r":"heard","at":%d%b,"event":%b}\n' % (self._at, self._who, event))

    def welcomed(self, welcome: dict[str, Any], resume: dict[str, Any] | None) -> None:
        """Write a Welcomed."""
        self._file.add(Welcomed(self._at, self._player, self._player, welcome, resume))

    def lost(self) -> None:
        """Write a Lost."""
        self._file.add(Lost(self._at, self._player, self._player))


def write_history(path: Path, records: Iterable[AnyRecord]) -> None:
    """Write all of a history."""
    with path.open("wb") as file:
        history = HistoryFile(file)
        for record in records:
            history.add(record)


def read_history(path: Path) -> Iterator[AnyRecord]:
    """The records of a file, one at a time. The last line may be cut: its writer was killed.

    Raises:
        BadHistory: with the line's number.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield _decode(line)
            except msgspec.DecodeError as error:
                if not line.endswith(b"\n"):
                    return
                raise BadHistory(f"line {number}: {error}") from None
