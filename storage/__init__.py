"""Engines behind two contracts: ``Store`` (SQLite, MySQL, MariaDB) and ``Bus`` (in process, Redis). No feature's table.

await migrate(url, rooms)
async with open_store(url) as store, open_bus(bus_url) as bus: ...
"""

from storage.bus import Bus, Receive
from storage.bus_urls import open_bus
from storage.migrations import Migration, MigrationMismatch, SchemaBehind
from storage.opening import look_into_store, migrate, open_store
from storage.scoped_bus import ScopedBus
from storage.sqlite_link import StoreLocked
from storage.store import (
    OPS_PER_PLAYER,
    SHARDS,
    ActorWrite,
    CommitResult,
    Delete,
    DueTimer,
    EventRange,
    EventRow,
    Insert,
    NodeRow,
    OpRow,
    Outcome,
    OwnedElsewhere,
    Position,
    Refused,
    SliceRow,
    Snapshot,
    Store,
    StoreDown,
    Taken,
    TellRow,
    TimerRow,
    shard_of,
)

__all__ = [
    "OPS_PER_PLAYER",
    "SHARDS",
    "ActorWrite",
    "Bus",
    "CommitResult",
    "Delete",
    "DueTimer",
    "EventRange",
    "EventRow",
    "Insert",
    "Migration",
    "MigrationMismatch",
    "NodeRow",
    "OpRow",
    "Outcome",
    "OwnedElsewhere",
    "Position",
    "Receive",
    "Refused",
    "SchemaBehind",
    "ScopedBus",
    "SliceRow",
    "Snapshot",
    "Store",
    "StoreDown",
    "StoreLocked",
    "Taken",
    "TellRow",
    "TimerRow",
    "look_into_store",
    "migrate",
    "open_bus",
    "open_store",
    "shard_of",
]
