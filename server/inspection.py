"""What the store holds of one actor, for a person: never tokens, and of messages only what the tables show anyway."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from actors.runtime import Blueprint, type_of
from actors.runtime.ops import TICKET
from protocol import GuildhallError
from storage import Store


class Selects(Protocol):
    """Whatever rows can be asked of: a ``Store``."""

    async def select(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


class NothingKept(GuildhallError):
    """There is nothing to inspect: no such kind of actor, or nothing kept of this one."""

    code = "actor.not_found"


OPS_SHOWN = 50
HIDDEN_KINDS = frozenset({"account", "family"})  # their slices hold the hashes that sign-in rests on


async def inspect(store: Store, plan: Blueprint, actor: str) -> dict[str, Any]:
    """Everything kept of ``actor``, ready for JSON.

    Raises:
        NothingKept: there is no such kind, or nothing is kept of the actor.
    """
    kind = plan.kind_of(actor)
    if kind is None:
        raise NothingKept(f"no actors of kind {actor.partition(':')[0]!r}; there are {', '.join(sorted(plan.kinds))}")
    rows = await store.select("SELECT owner, fence, version, told FROM actors WHERE actor = ?", (actor,))
    if not rows:
        raise NothingKept(f"nothing is kept of {actor}")
    owner, fence, version, told = rows[0]
    return {
        "actor": actor,
        "owner": owner,
        "fence": fence,
        "version": version,
        "told": told,
        "slices": {} if kind.name in HIDDEN_KINDS else await _slices(store, actor),
        "topics": await _topics(store, actor),
        "ops": await recent_ops(store, actor),
        "timers": await _timers(store, actor),
        "outbox": await _outbox(store, actor),
        "heard": await _heard(store, actor),
    }


async def _slices(store: Store, actor: str) -> dict[str, Any]:
    rows = await store.select("SELECT slice, schema_no, body FROM slices WHERE actor = ? ORDER BY slice", (actor,))
    return {name: {"schema": schema, **_state(body)} for name, schema, body in rows}


def _state(body: bytes) -> dict[str, Any]:
    """What a slice holds; its bytes where nothing can read them, for that is what an operator looks for."""
    try:
        return {"state": msgspec.msgpack.decode(body)}
    except msgspec.MsgspecError:
        return {"unreadable": bytes(body).hex()}


async def _topics(store: Store, actor: str) -> list[dict[str, Any]]:
    rows = await store.select(
        "SELECT topic, epoch, seq, floor_seq FROM topics WHERE actor = ? ORDER BY topic", (actor,)
    )
    return [{"topic": t, "epoch": e, "seq": s, "floor": f} for t, e, s, f in rows]


async def recent_ops(store: Selects, actor: str) -> list[dict[str, Any]]:
    """What players have asked of the actor lately, the newest first."""
    rows = await store.select(
        "SELECT player, op, at_ms, reply FROM ops WHERE actor = ? ORDER BY at_ms DESC LIMIT ?", (actor, OPS_SHOWN)
    )
    return [
        {"player": player, "op": bytes(op).decode(), "at_ms": at_ms, "reply": _tag(reply)}
        for player, op, at_ms, reply in rows
    ]


def _tag(reply: bytes | None) -> str:
    if reply is None:
        return "deferred"
    if reply.startswith(TICKET):
        return "to be fetched"
    return str(msgspec.msgpack.decode(reply)["t"])


async def _timers(store: Store, actor: str) -> list[dict[str, Any]]:
    rows = await store.select("SELECT name, due_ms, body, failed FROM timers WHERE actor = ? ORDER BY due_ms", (actor,))
    return [{"name": n, "due_ms": d, "message": type_of(b), "failed": failed} for n, d, b, failed in rows]


async def _outbox(store: Store, actor: str) -> list[dict[str, Any]]:
    rows = await store.select(
        "SELECT number, to_actor, at_ms, body, failed FROM outbox WHERE actor = ? ORDER BY number", (actor,)
    )
    return [
        {"number": n, "to": to, "at_ms": at, "message": type_of(body), "failed": failed}
        for n, to, at, body, failed in rows
    ]


async def _heard(store: Store, actor: str) -> dict[str, int]:
    rows = await store.select("SELECT sender, number FROM heard WHERE actor = ? ORDER BY sender", (actor,))
    return {str(sender): int(number) for sender, number in rows}
