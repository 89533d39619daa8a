"""What is true in the end, read from the database as it is."""

from typing import Any

import msgspec

from actors.guild.roster import Roster
from actors.guild.seat import Seat
from actors.leaderboards.definition import Definition
from loadtest.history import BoardEntry, Final, FinalBoard, Logged, TopicLog
from tests.runtime.rooms import Count, Purse
from tests.simulation.staff import BOARD_RULES
from tests.simulation.world import World

_TABLE = (
    "SELECT owner, score, subscore, at_us FROM leaderboard_entries WHERE board = ? AND period = ? AND removed = 0"
    " ORDER BY place, subplace, at_us, owner"
)


def finals(world: World, *, settled: bool) -> list[Final]:
    """The records that end a history."""
    at = world.now_ms
    facts: list[tuple[str, Any]] = [
        *(("topic", log) for log in _topics(world)),
        *(("board", board) for board in _boards(world)),
        ("seats", {key: seat.guild for key, seat in _slices(world, "player", "seat", Seat)}),
        ("rosters", {key: sorted(roster.members) for key, roster in _slices(world, "guild", "guild", Roster)}),
        ("purses", {key: mine.coins for key, mine in _slices(world, "purse", "purse", Purse)}),
        ("counters", {key: [c.value, len(c.rings)] for key, c in _slices(world, "counter", "counter", Count)}),
        ("timers", world.store.rows("SELECT actor, name FROM timers WHERE actor LIKE 'counter:%' ORDER BY 1, 2")),
        ("outbox", world.store.rows("SELECT actor, number, to_actor, failed FROM outbox ORDER BY 1, 2")),
        ("settled", settled),
    ]
    return [Final(at, what, value) for what, value in facts]


def _slices(world: World, kind: str, room: str, state: Any) -> list[tuple[str, Any]]:
    rows = world.store.rows("SELECT actor, body FROM slices WHERE slice = ? ORDER BY actor", (room,))
    decode = msgspec.msgpack.Decoder(state).decode
    return [(actor.partition(":")[2], decode(body)) for actor, body in rows if actor.startswith(f"{kind}:")]


def _topics(world: World) -> list[TopicLog]:
    events: dict[str, list[Logged]] = {}
    for topic, seq, player, op, part, body in world.store.rows(
        "SELECT topic, seq, player, op, part, body FROM topic_events ORDER BY topic, seq"
    ):
        event = msgspec.msgpack.decode(body)
        op_text = op.decode() if isinstance(op, bytes) else op or ""
        events.setdefault(topic, []).append(Logged(seq, event, player or "", op_text, part))
    places = world.store.rows("SELECT topic, epoch, seq, floor_seq FROM topics ORDER BY topic")
    return [TopicLog(topic, epoch, seq, events.get(topic, []), floor) for topic, epoch, seq, floor in places]


def _boards(world: World) -> list[FinalBoard]:
    boards = []
    for board, period in world.store.rows("SELECT DISTINCT board, period FROM leaderboard_entries ORDER BY 1, 2"):
        rules: Definition = BOARD_RULES[board]
        rows = world.store.rows(_TABLE, (board, period))
        entries = [BoardEntry(n, owner, score, sub, at) for n, (owner, score, sub, at) in enumerate(rows, start=1)]
        boards.append(FinalBoard(board, period, entries, rules.operator, rules.order))
    return boards
