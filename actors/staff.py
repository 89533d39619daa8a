"""Staff: who of the game's team, or which of its servers, changed what.

Owns the tables ``staff_keys`` and ``audit``, and the actors ``staff:NODE``, whose one turn writes down that a node was
told to drain. They keep no state.

A staff change is one internal request with a field ``by: By``, run by the actor that it changes. Its turn ends with::

    reply = PlayerBanned(player=ctx.key, until=until)
    audit(ctx, msg.by, "player.banned", ctx.actor, before=before, after=after, reply=reply)
    return reply

So the change, its row in ``audit`` and its reply are one commit, and ``(key_id, op)`` is unique: what was asked once
happens once, for ever, and is answered the same. The server looks a key's op up before it asks (``server/staff``).
"""

from typing import Any

import msgspec
from msgspec import Struct, structs

from actors.runtime import Context, Feature
from protocol import Id, IdReused, Reply, Request, Wire, encode
from storage import Insert, Migration

_STAFF_KEYS = """
CREATE TABLE staff_keys (
    id VARCHAR(16) NOT NULL PRIMARY KEY,
    name VARCHAR(64) NOT NULL,
    scopes VARCHAR(1024) NOT NULL,
    hash VARBINARY(32) NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NULL,
    revoked_ms BIGINT NULL
)
"""

_AUDIT = """
CREATE TABLE audit (
    id VARCHAR(20) NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    key_id VARCHAR(16) NOT NULL,
    key_name VARCHAR(64) NOT NULL,
    address VARCHAR(64) NOT NULL,
    action VARCHAR(64) NOT NULL,
    target VARCHAR(160) NOT NULL,
    old_value MEDIUMTEXT NOT NULL,
    new_value MEDIUMTEXT NOT NULL,
    op VARCHAR(64) NOT NULL,
    digest VARBINARY(32) NOT NULL,
    reply MEDIUMTEXT NOT NULL,
    UNIQUE (key_id, op)
)
"""
"""``id`` rises with time; ``old_value``, ``new_value`` and ``reply`` are JSON."""


class By(Struct, frozen=True):
    """Who makes a staff change, and as which of its requests."""

    key: str
    """Id of the key; ``dev`` for the development one, ``cli`` for an operator at the command line."""
    name: str
    """Name of the key."""
    address: str
    """IP address of the caller."""
    op: str
    """The caller's ``Idempotency-Key``."""
    digest: bytes
    """SHA-256 of method, path and body."""


# What is asked.
class NodeDrained(Reply, tag="staff.node_drained", frozen=True, kw_only=True):
    """``started_at`` tells the process that drains from one that is started under its name later."""

    node: str
    started_at: int


class NodeDrain(Request[NodeDrained], tag="staff.node_drain", frozen=True, kw_only=True):
    """Write down that ``node`` is told to drain."""

    node: Id
    started_at: int
    by: By


class NoState(Struct):
    """Nothing is kept beside the tables."""


staff = Feature(
    name="staff",
    actor="staff",
    state=NoState,
    migrations=tuple(
        Migration(number, sql.strip())
        for number, sql in enumerate(
            (
                _STAFF_KEYS,
                _AUDIT,
                "CREATE INDEX audit_of_target ON audit (target, id)",
                "CREATE INDEX audit_of_key ON audit (key_id, id)",
            ),
            start=1,
        )
    ),
)


@staff.handles(NodeDrain, key="node", writes=False, internal=True)
def drain(ctx: Context, _state: NoState, msg: NodeDrain) -> NodeDrained:
    """Write it down; whoever asked tells the node."""
    reply = NodeDrained(node=msg.node, started_at=msg.started_at)
    after = {"started_at": msg.started_at}
    audit(ctx, msg.by, "node.drained", f"node:{msg.node}", before=None, after=after, reply=reply)
    return reply


# For the turns of staff changes.
def audit(ctx: Context, by: By, action: str, target: str, *, before: Any, after: Any, reply: Reply) -> None:
    """Write the change down, in the same commit. ``action`` is ``area.happened``; ``before`` and ``after`` are what
    JSON can hold, small, and say what the change was for somebody who reads it in a year.

    The caller is answered ``IdReused`` where the key has used the op before: the whole turn is undone.
    """
    id_ = entry_id(ctx.stamp(), ctx.new_id())
    row = audit_row(by, action, target, id_=id_, at_ms=ctx.now_ms, before=before, after=after)
    ctx.keep(Insert("audit", {**row, "reply": shown(reply).decode()}), taken=IdReused)


def audit_row(by: By, action: str, target: str, *, id_: str, at_ms: int, before: Any, after: Any) -> dict[str, Any]:
    """A row of ``audit``, but for its reply."""
    return {
        "id": id_,
        "at_ms": at_ms,
        "key_id": by.key,
        "key_name": by.name,
        "address": by.address[:64],
        "action": action,
        "target": target,
        "old_value": msgspec.json.encode(before).decode(),
        "new_value": msgspec.json.encode(after).decode(),
        "op": by.op,
        "digest": by.digest,
    }


def entry_id(now_us: int, chance: str) -> str:
    """20 characters that rise with time; ``chance``, 6 random ones or more, tells nodes apart."""
    return f"{now_us:014x}{chance[:6]}"


def shown(reply: Reply) -> bytes:
    """A reply as the body of an HTTP answer: its fields as in the wire's JSON, without type and request id. The same
    reply gives the same bytes."""
    fields = msgspec.json.decode(encode(Wire.JSON, structs.replace(reply, re="")))
    del fields["t"]
    return msgspec.json.encode(fields)
