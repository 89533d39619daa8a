"""What tests of leaderboards share: boards, the actors of a player and of a board, and what nodes are asked."""

from itertools import count
from typing import Any

import msgspec

from actors.leaderboards import (
    BoardDefine,
    BoardDefined,
    Definition,
    ScorePost,
    ScorePosted,
    ScoreRemove,
    ScoreRemoved,
    boards,
    scores,
    show,
)
from actors.leaderboards.definition import BoardRow, boards_of
from actors.leaderboards.index import PlaceTicket
from actors.leaderboards.messages import LeaderboardSubmit, LeaderboardTop
from actors.player import profile
from actors.runtime import Feature
from actors.runtime.context import Keep
from actors.schedule import Repeat
from actors.staff import By, staff
from protocol import Request
from storage import Snapshot
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member
from tests.support.room import NOON, Room

FEATURES: list[Feature[Any]] = [boards, show, scores, profile, staff]
MINUTELY = Repeat(cron="* * * * *")
HOURLY = Repeat(cron="0 * * * *")
HOUR_S = 3600
HOUR_MS = HOUR_S * 1000
THIS_HOUR = NOON - NOON % HOUR_MS
SERVER = "server:"
_numbers = count(1)


def new_id() -> str:
    """A request id that was never used."""
    return f"test-{next(_numbers)}"


def by(op: str = "") -> By:
    """Staff, by a request of its own unless told otherwise."""
    return By(key="k1", name="Ann Ops", address="203.0.113.9", op=op or new_id(), digest=b"d" * 32)


# One actor.
def know(room: Room, *, revision: int = 1, **fields: Any) -> None:
    """Have the node know ``arena`` as defined by ``fields``."""
    body = msgspec.msgpack.encode(BoardRow(Definition(**fields), revision))
    room.replicas["boards"] = boards_of([("arena", body)])


def player(name: str = "bo", snapshot: Snapshot | None = None, **fields: Any) -> Room:
    """The actor of a player, who may submit to ``arena``."""
    room = Room([scores, boards, show, profile, staff], actor=f"player:{name}", caller=name, snapshot=snapshot)
    know(room, **fields)
    return room


def submit(room: Room, score: int, subscore: int = 0, op: str = "", **fields: Any) -> PlaceTicket:
    """Have the player submit."""
    asked = LeaderboardSubmit(id=op or new_id(), board="arena", score=score, subscore=subscore, **fields)
    ticket = room.ask(asked)
    assert isinstance(ticket, PlaceTicket)
    return ticket


def post(room: Room, score: int, subscore: int = 0, op: str = "", **fields: Any) -> ScorePosted:
    """Have the game's backend submit."""
    asked = ScorePost(id=new_id(), owner="bo", board="arena", score=score, subscore=subscore, by=by(op), **fields)
    reply = room.ask(asked, caller=SERVER)
    assert isinstance(reply, ScorePosted)
    return reply


def remove(room: Room) -> ScoreRemoved:
    """Have staff take the player's score away."""
    reply = room.ask(ScoreRemove(id=new_id(), owner="bo", board="arena", by=by()), caller=SERVER)
    assert isinstance(reply, ScoreRemoved)
    return reply


def rows(room: Room, table: str = "leaderboard_entries") -> list[dict[str, Any]]:
    """What the room has kept in a table so far, in order."""
    return [e.record.values for e in room.effects_of(Keep) if e.record.table == table]


def board() -> Room:
    """The actor of ``arena``, which nobody has defined."""
    return Room([boards, show, scores, profile, staff], actor="leaderboard:arena", caller=SERVER)


def define(room: Room, op: str = "", **fields: Any) -> BoardDefined:
    """Define ``arena``, and have this node know it."""
    ticket = room.ask(BoardDefine(id=new_id(), board="arena", definition=Definition(**fields), by=by(op)))
    reply = ticket.reply
    assert isinstance(reply, BoardDefined)
    know(room, revision=reply.revision, **fields)
    return reply


# Nodes.
def defining(name: str = "arena", **fields: Any) -> BoardDefine:
    """The request that defines a board."""
    return BoardDefine(id=new_id(), board=name, definition=Definition(**fields), by=by())


def submitting(score: int, subscore: int = 0, op: str = "") -> LeaderboardSubmit:
    """The request of a player who submits."""
    return LeaderboardSubmit(id=op or new_id(), board="arena", score=score, subscore=subscore)


async def said(cluster: Cluster, member: Member, request: Request[Any], caller: str = SERVER) -> Any:
    """The reply to a request that may need some time to pass; raises its refusal."""
    heard = member.ask(request, caller)
    await settle()
    for _ in range(100):
        if heard.answer is not None:
            break
        await cluster.clock.advance(0.05)
    return heard.reply


async def top(cluster: Cluster, member: Member, *, period: str | None = None) -> list[Any]:
    """(rank, owner, score) of the first places, as a node tells them."""
    asked = LeaderboardTop(id=new_id(), board="arena", limit=100, period=period)
    reply = await said(cluster, member, asked, "looker")
    return [(entry.rank, entry.owner, entry.score) for entry in reply.entries]
