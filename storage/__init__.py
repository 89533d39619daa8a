"""Engines behind three contracts, no feature's table: ``Store`` (SQLite, MySQL, MariaDB), ``Bus`` and ``Ranks`` (in
process, Redis).

await migrate(url, rooms)
async with open_store(url) as store, open_bus(bus_url) as bus: ...
"""

from storage.bus import Bus, Receive
from storage.bus_urls import open_bus
from storage.faults import Clash, Unusable
from storage.migrations import Migration, MigrationMismatch, SchemaBehind
from storage.opening import edit_store, look_into_store, migrate, open_store
from storage.ranks import (
    Around,
    Incomplete,
    Of,
    Page,
    Placed,
    Ranked,
    Ranks,
    RanksDown,
    RankTable,
    Standing,
    Top,
)
from storage.ranks_urls import open_ranks
from storage.schema import SET_ASIDE
from storage.scoped_bus import ScopedBus
from storage.sqlite_link import StoreLocked
from storage.store import (
    OPS_PER_PLAYER,
    SHARDS,
    ActorWrite,
    CommitResult,
    Delete,
    DueTimer,
    Editor,
    EventRange,
    EventRow,
    Insert,
    NodeRow,
    OpRow,
    Outcome,
    OwnedElsewhere,
    Position,
    Record,
    Redaction,
    Refused,
    SliceRow,
    Snapshot,
    Store,
    StoreDown,
    Taken,
    TellRow,
    TimerRow,
    Upsert,
    shard_of,
)

__all__ = [
    "OPS_PER_PLAYER",
    "SET_ASIDE",
    "SHARDS",
    "ActorWrite",
    "Around",
    "Bus",
    "Clash",
    "CommitResult",
    "Delete",
    "DueTimer",
    "Editor",
    "EventRange",
    "EventRow",
    "Incomplete",
    "Insert",
    "Migration",
    "MigrationMismatch",
    "NodeRow",
    "Of",
    "OpRow",
    "Outcome",
    "OwnedElsewhere",
    "Page",
    "Placed",
    "Position",
    "RankTable",
    "Ranked",
    "Ranks",
    "RanksDown",
    "Receive",
    "Record",
    "Redaction",
    "Refused",
    "SchemaBehind",
    "ScopedBus",
    "SliceRow",
    "Snapshot",
    "Standing",
    "Store",
    "StoreDown",
    "StoreLocked",
    "Taken",
    "TellRow",
    "TimerRow",
    "Top",
    "Unusable",
    "Upsert",
    "edit_store",
    "look_into_store",
    "migrate",
    "open_bus",
    "open_ranks",
    "open_store",
    "shard_of",
]
