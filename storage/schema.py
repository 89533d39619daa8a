"""The runtime's own tables: migrations of room ``core``. ``inspect`` and ``doctor`` read them by these names.

Everything hangs on one row of ``actors``: who holds its lock and has its fence may write the rows of that actor.
"""

from collections.abc import Mapping, Sequence

from storage.migrations import Migration

_ACTORS = """
CREATE TABLE actors (
    actor VARCHAR(160) NOT NULL PRIMARY KEY,
    owner VARCHAR(64) NULL,
    fence BIGINT NOT NULL,
    version BIGINT NOT NULL,
    told BIGINT NOT NULL
)
"""

_SLICES = """
CREATE TABLE slices (
    actor VARCHAR(160) NOT NULL,
    slice VARCHAR(64) NOT NULL,
    schema_no INT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    PRIMARY KEY (actor, slice)
)
"""

_OPS = """
CREATE TABLE ops (
    actor VARCHAR(160) NOT NULL,
    player VARCHAR(64) NOT NULL,
    slot INT NOT NULL,
    op VARBINARY(144) NOT NULL,
    op_count BIGINT NOT NULL,
    digest VARBINARY(16) NOT NULL,
    at_ms BIGINT NOT NULL,
    reply MEDIUMBLOB NULL,
    PRIMARY KEY (actor, player, slot)
)
"""

_TOPICS = """
CREATE TABLE topics (
    topic VARCHAR(160) NOT NULL PRIMARY KEY,
    actor VARCHAR(160) NOT NULL,
    epoch VARCHAR(32) NOT NULL,
    seq BIGINT NOT NULL,
    floor_seq BIGINT NOT NULL
)
"""

_TOPIC_EVENTS = """
CREATE TABLE topic_events (
    topic VARCHAR(160) NOT NULL,
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    player VARCHAR(64) NULL,
    op VARBINARY(144) NULL,
    part INT NOT NULL,
    ends_player VARCHAR(64) NULL,
    body MEDIUMBLOB NOT NULL,
    PRIMARY KEY (topic, seq),
    UNIQUE (topic, player, op, part)
)
"""

_OUTBOX = """
CREATE TABLE outbox (
    actor VARCHAR(160) NOT NULL,
    number BIGINT NOT NULL,
    shard INT NOT NULL,
    to_actor VARCHAR(160) NOT NULL,
    at_ms BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    failed VARCHAR(255) NULL,
    PRIMARY KEY (actor, number)
)
"""

_HEARD = """
CREATE TABLE heard (
    actor VARCHAR(160) NOT NULL,
    sender VARCHAR(160) NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (actor, sender)
)
"""

_TIMERS = """
CREATE TABLE timers (
    actor VARCHAR(160) NOT NULL,
    name VARCHAR(64) NOT NULL,
    shard INT NOT NULL,
    due_ms BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    PRIMARY KEY (actor, name)
)
"""

_NODES = """
CREATE TABLE nodes (
    node VARCHAR(64) NOT NULL PRIMARY KEY,
    address VARCHAR(255) NOT NULL,
    draining INT NOT NULL,
    expires_ms BIGINT NOT NULL
)
"""

CORE: Sequence[Migration] = tuple(
    Migration(number, sql.strip())
    for number, sql in enumerate(
        (
            _ACTORS,
            _SLICES,
            _OPS,
            _TOPICS,
            "CREATE INDEX topics_of_actor ON topics (actor)",
            _TOPIC_EVENTS,
            _OUTBOX,
            "CREATE INDEX outbox_by_age ON outbox (shard, at_ms)",
            _HEARD,
            _TIMERS,
            "CREATE INDEX timers_by_due ON timers (shard, due_ms)",
            _NODES,
            "ALTER TABLE timers ADD COLUMN failed VARCHAR(255) NULL",
        ),
        start=1,
    )
)

SET_ASIDE = -1
"""Shard of tells and timers that were set aside: the search for what is due never meets them."""


def with_core(rooms: Mapping[str, Sequence[Migration]]) -> dict[str, Sequence[Migration]]:
    """All rooms to migrate, the runtime's own tables first."""
    return {"core": CORE, **{room: steps for room, steps in rooms.items() if room != "core"}}
