"""What the runtime needs of a database: ownership by fence, atomic commits, the topic log, leases.

One row of ``actors`` guards everything that an actor keeps. ``claim`` takes it and raises its fence; ``commit`` checks
the fence of every actor in the batch inside the transaction that writes. Every engine passes tests/conformance.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Protocol
from zlib import crc32

from msgspec import Struct

OPS_PER_PLAYER = 32
"""Replies kept for each player in each actor: the op window. A ring, so that it never needs sweeping."""


SHARDS = 64
"""Parts into which the timers and outboxes of passive actors are split among nodes."""


def shard_of(actor: str) -> int:
    """The part, 0 to ``SHARDS - 1``, that an actor's timers and tells belong to; the same on every machine."""
    return crc32(actor.encode()) % SHARDS


# What is kept.
class SliceRow(Struct, frozen=True):
    """One room's part of an actor's state, at the room's own schema number."""

    schema: int
    body: bytes


class OpRow(Struct, frozen=True):
    """What an op was answered. ``count`` numbers this player's ops in this actor from 1; the row's place in the ring
    is ``count % OPS_PER_PLAYER``."""

    player: str
    op: str
    count: int
    digest: bytes
    at_ms: int
    reply: bytes | None
    """MessagePack of the reply; None while it is deferred to a later turn."""


class Position(Struct, frozen=True):
    """Where a durable topic stands: its newest ``seq`` (0: none yet) and ``floor``, the oldest still kept."""

    epoch: str
    seq: int
    floor: int = 1


class EventRow(Struct, frozen=True):
    """A durable event. (topic, seq) is unique, and so is (topic, player, op, part)."""

    topic: str
    seq: int
    at_ms: int
    body: bytes
    """MessagePack of the event, with ``topic``, ``seq`` and ``at``."""
    player: str | None = None
    op: str | None = None
    part: int = 0
    """Place among the events that one op published in one topic."""
    ends: str | None = None
    """The player whose subscriptions to the topic end with this event."""


class TellRow(Struct, frozen=True):
    """A tell in its sender's outbox. ``number`` rises by one with each tell of the sender, for ever."""

    number: int
    to: str
    body: bytes
    at_ms: int
    failed: str | None = None
    """Why it was set aside; None while it is to be delivered."""


class TimerRow(Struct, frozen=True):
    """A durable timer; ``name`` is unique in its actor."""

    name: str
    due_ms: int
    body: bytes
    failed: str | None = None
    """Why it was set aside; None while it is to be fired."""


class Insert(Struct, frozen=True):
    """A row of a room's own table. A unique key that is taken refuses the whole write (``Taken``)."""

    table: str
    values: Mapping[str, Any]


class Upsert(Struct, frozen=True):
    """A row of a room's own table; one that has the same values in ``keys``, a primary or unique key, gets the new ones
    instead. The row belongs to one actor: only its writes are fenced. The table has no other unique key: of one that
    has, MySQL would replace whatever row is in the way."""

    table: str
    values: Mapping[str, Any]
    keys: tuple[str, ...]


class Delete(Struct, frozen=True):
    """Rows of a room's own table that equal ``where`` in every column."""

    table: str
    where: Mapping[str, Any]


Record = Insert | Upsert | Delete


class Redaction(Struct, frozen=True):
    """Another body for an event that is in the log; nothing happens where it is not (any more)."""

    topic: str
    seq: int
    body: bytes


# What is asked and answered.
class Snapshot(Struct, frozen=True, kw_only=True):
    """An actor as last committed, now owned by the claiming node under ``fence``."""

    actor: str
    fence: int
    version: int
    told: int
    slices: dict[str, SliceRow] = {}
    ops: list[OpRow] = []
    topics: dict[str, Position] = {}
    outbox: list[TellRow] = []
    heard: dict[str, int] = {}
    timers: list[TimerRow] = []


class OwnedElsewhere(Struct, frozen=True):
    """Another live node owns the actor; nothing was changed."""

    actor: str
    node: str


class ActorWrite(Struct, kw_only=True):
    """Everything that one actor's turns since its last commit have changed; applied whole or not at all."""

    actor: str
    fence: int
    version: int
    """The version that the row must have; the commit makes it ``version + 1``."""
    told: int
    """Number of the actor's newest tell, also of those committed before: it rises with a new one in ``outbox``."""
    slices: dict[str, SliceRow] = {}
    ops: list[OpRow] = []
    topics: dict[str, Position] = {}
    """The new position of every topic that got events or was cut; rows below its ``floor`` are deleted."""
    events: list[EventRow] = []
    outbox: list[TellRow] = []
    """New tells, or known ones whose ``failed`` was set (same number)."""
    delivered: list[int] = []
    """Numbers of own tells that their receivers have noted: deleted from the outbox."""
    heard: dict[str, int] = {}
    """Newest number noted from each sender."""
    timers: list[TimerRow] = []
    cancelled: list[str] = []
    """Names of timers to delete; done before ``timers`` are set."""
    records: list[Record] = []
    redactions: list[Redaction] = []
    """Applied after ``events``."""
    release: bool = False
    """Give the row up in the same transaction (passivation, handover)."""


class Outcome(Enum):
    """How the commit of one actor ended."""

    DONE = "done"
    FENCED = "fenced"


class Taken(Struct, frozen=True):
    """Refused for certain by a unique key; nothing of this actor's write was applied.

    Exactly one is set: ``record``, an index into ``ActorWrite.records``, or ``event``, one into ``events`` (the op has
    been logged before, longer ago than the window reaches).
    """

    record: int | None = None
    event: int | None = None


class Refused(Struct, frozen=True):
    """The database refuses this actor's write whatever is tried (a value too long, no such table); nothing applied."""

    reason: str


CommitResult = Outcome | Taken | Refused


class EventRange(Struct, frozen=True, kw_only=True):
    """Events of a topic with ``after < seq < before`` (``before`` None: to the newest).

    ``newest`` takes the last ``limit`` of them instead of the first; either way they come in rising order.
    """

    topic: str
    after: int = 0
    before: int | None = None
    limit: int = 500
    newest: bool = False


class DueTimer(Struct, frozen=True):
    """A timer that is due, of an actor that may be passive."""

    actor: str
    timer: TimerRow


class NodeRow(Struct, frozen=True):
    """A live node and what it says of itself."""

    node: str
    address: str
    draining: bool
    left_ms: int = 0
    """What is left of its lease by the database's clock, as ``renew`` answered; not read when renewing."""


class StoreDown(Exception):
    """The database did not answer. The outcome is unknown; calling again with the same arguments is safe.

    ``commit`` recognises by the version that it was applied before, ``claim`` and ``renew`` are idempotent for one
    node, the rest only reads.
    """


class Store(Protocol):
    """A database with one connection pool, open between ``__aenter__`` and ``__aexit__`` of its opener.

    Every method may raise StoreDown. Wall-clock decisions about leases use the database's clock.
    """

    async def claim(self, node: str, actors: Sequence[str]) -> list[Snapshot | OwnedElsewhere]:
        """Take every actor that is free, owned by ``node`` already, or whose owner's lease has run out.

        One transaction, rows locked in key order; answers in the order of ``actors`` (each named once). Taking raises
        the fence, also from oneself. An actor without a row gets one, with version 0 and a fence that no earlier row of
        it has had (it comes from the clock: a row may be dropped and made again, see ``commit``).
        """
        ...

    async def commit(self, writes: Sequence[ActorWrite]) -> list[CommitResult]:
        """Apply the writes (each actor once) in one transaction; answers in their order.

        An actor whose fence or version is not as said is FENCED and the others commit. A row that already has
        ``version + 1`` under the same fence is DONE: an earlier try was applied and its answer lost. A unique key or a
        value that the database refuses costs only the actor it belongs to.

        A write that releases and changes nothing else leaves the version as it is; of an actor at version 0 it drops
        the row. Who has released an actor is FENCED until it claims again. Of what a topic's ``floor`` leaves behind,
        at most 1,000 events are deleted in one commit, the rest in those that follow.
        """
        ...

    async def read_events(self, span: EventRange) -> list[EventRow]:
        """Committed events, in rising order of ``seq``."""
        ...

    async def positions(self, topics: Sequence[str]) -> dict[str, Position]:
        """Where each topic stands; unknown ones are left out."""
        ...

    async def due(
        self, shards: Sequence[int], *, timers_until_ms: int, tells_until_ms: int | None, limit: int
    ) -> tuple[list[DueTimer], list[str]]:
        """Timers due up to ``timers_until_ms``, earliest first, and actors whose outbox holds a tell that was written
        before ``tells_until_ms`` (None: tells are not asked for); of actors whose ``shard_of`` is in ``shards``, at
        most ``limit`` of each. What was set aside is not found."""
        ...

    async def renew(self, node: NodeRow, lease_s: float, *, held: bool = False) -> list[NodeRow]:
        """Keep ``node`` alive for ``lease_s`` seconds of the database's clock from now (0 or less: gone at once).

        ``held``: only if it still is. A lease that has run out by that clock, whatever its node believes, stays as it
        is: others may have taken the node's actors, and the node must know before it begins a new lease.

        Returns all live nodes, itself included while it is, in order of their names.
        """
        ...

    async def select(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of one SELECT with ``?`` for values: rooms' queries on their own tables, ``inspect``, ``doctor``."""
        ...


class Editor(Protocol):
    """What an operator's tool changes rooms' own tables with (``edit_store``)."""

    async def edit(self, records: Sequence[Record]) -> None:
        """Apply the records in order, in one transaction: all or nothing.

        Raises:
            Clash: a unique key is taken.
            Unusable: the database refuses a value, or knows no such table.
            StoreDown: the outcome is unknown.
        """
        ...

    async def select(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """As ``Store.select``."""
        ...
