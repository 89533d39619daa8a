"""Limits: what staff has set in place of the configured ones, for all nodes.

Owns the table ``limit_orders`` (one row) and the actor ``limits:all``. What the limits are is the server's
(server/node_limits.py), which has checked an order before it comes here, and applies it on every node.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.runtime import Context, Feature, FetchTicket, Reach
from actors.staff import By, audit
from protocol import Reply, Request
from storage import Migration, Upsert

ALL: Final = "all"
_TABLE = """
CREATE TABLE limit_orders (
    id VARCHAR(16) NOT NULL PRIMARY KEY,
    body BLOB NOT NULL
)
"""
"""``body``: MessagePack of the order, with only what was set."""


class LimitsKept(Reply, tag="limits.kept", frozen=True, kw_only=True):
    """What is set from now on."""

    order: dict[str, Any]


class LimitsSet(Request[LimitsKept], tag="limits.set", frozen=True, kw_only=True):
    """Set what ``order`` says, and nothing else; an empty one leaves what is configured."""

    order: dict[str, Any]
    by: By
    limits: str = ALL


class SpreadTicket(FetchTicket, frozen=True, kw_only=True):
    """An order that was kept; every node is to know it before the answer."""

    reply: LimitsKept


class Kept(Struct):
    order: dict[str, Any] = {}


def order_of(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """The order that stands."""
    return msgspec.msgpack.decode(rows[0][0], type=dict[str, Any]) if rows else {}


limits = Feature(name="limits", actor="limits", state=Kept, migrations=(Migration(1, _TABLE.strip()),))
limits.replicates("SELECT body FROM limit_orders", order_of)


@limits.handles(LimitsSet, key="limits", internal=True)
def keep(ctx: Context, kept: Kept, msg: LimitsSet) -> SpreadTicket:
    """Keep the order.

    Raises:
        IdReused: the key has used the op before.
    """
    before, kept.order = kept.order, msg.order
    ctx.keep(Upsert("limit_orders", {"id": ALL, "body": msgspec.msgpack.encode(msg.order)}, ("id",)))
    reply = LimitsKept(order=msg.order)
    audit(ctx, msg.by, "limits.set", ctx.actor, before=before, after=msg.order, reply=reply)
    return SpreadTicket(reply=reply)


@limits.fetches(SpreadTicket)
async def spread(ticket: SpreadTicket, reach: Reach) -> LimitsKept:
    """Have every node go by it before the answer; one that the bus does not reach does within ten seconds."""
    await reach.replicas.spread(limits.name)
    return ticket.reply
