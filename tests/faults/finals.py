"""What is true in the end, read from the database as it is."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pymysql

from actors.guild.roster import Roster
from actors.guild.seat import Seat
from actors.wallet.ledger import Wallet
from loadtest.history import BoardEntry, Committed, Final, FinalBoard, LedgerRow, Logged, TopicLog

_COMMITS = """
CREATE TABLE fault_commits (
    number BIGINT AUTO_INCREMENT PRIMARY KEY,
    actor VARCHAR(160) NOT NULL,
    node VARCHAR(64) NOT NULL,
    fence BIGINT NOT NULL,
    version BIGINT NOT NULL
)
"""
_NOTE_COMMIT = """
CREATE TRIGGER fault_commit AFTER UPDATE ON actors FOR EACH ROW
IF NEW.version <> OLD.version OR (NEW.owner = OLD.owner AND NEW.fence = OLD.fence AND NEW.told = OLD.told) THEN
    INSERT INTO fault_commits (actor, node, fence, version)
    VALUES (NEW.actor, COALESCE(NEW.owner, OLD.owner, ''), NEW.fence, NEW.version);
END IF
"""
"""Takeovers and giving up are no commits, and ``told`` is a second statement of one. The row is locked: an actor's
commits are numbered in their order."""
Rows = list[tuple[Any, ...]]


def query(url: str, sql: str) -> Rows:
    """Rows of a database by its storage URL."""
    place = urlsplit(url)
    if place.scheme == "sqlite":
        with closing(sqlite3.connect(f"file:/{place.path.lstrip('/')}?mode=ro", uri=True)) as file:
            return list(file.execute(sql))
    with (
        closing(
            pymysql.connect(
                host=place.hostname,
                port=place.port or 3306,
                user=place.username,
                password=unquote(place.password or ""),
                database=place.path[1:],
                autocommit=True,
            )
        ) as link,
        link.cursor() as cursor,
    ):
        cursor.execute(sql)
        return list(cursor.fetchall())


async def ask(url: str, sql: str) -> Rows:
    """The same beside the loop."""
    return await asyncio.to_thread(query, url, sql)


async def note_commits(url: str) -> None:
    """From now on the database itself writes down who commits what."""
    if url.startswith("mysql:"):
        await ask(url, _COMMITS)
        await ask(url, _NOTE_COMMIT)


def commits(url: str, at: int) -> list[Committed]:
    """What it has written down, in order; nothing on SQLite, where there is one node."""
    if not url.startswith("mysql:"):
        return []
    rows = query(url, "SELECT node, actor, fence, version FROM fault_commits ORDER BY number")
    return [Committed(at, node, actor, fence, version) for node, actor, fence, version in rows]


def finals(url: str, at: int) -> list[Final]:
    """The records that end a history."""
    facts: list[tuple[str, Any]] = [
        *(("topic", log) for log in _topics(url)),
        *(("board", board) for board in _boards(url)),
        ("all_topics", True),
        ("ledger", _ledger(url)),
        ("balances", {key: dict(purse.balances) for key, purse in _slices(url, "player", "wallet", Wallet)}),
        ("seats", {key: seat.guild for key, seat in _slices(url, "player", "seat", Seat)}),
        ("rosters", {key: sorted(roster.members) for key, roster in _slices(url, "guild", "guild", Roster)}),
        ("settled", True),
    ]
    return [Final(at, what, value) for what, value in facts]


def _slices(url: str, kind: str, room: str, state: Any) -> list[tuple[str, Any]]:
    decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(state).decode
    rows = query(url, f"SELECT actor, body FROM slices WHERE slice = '{room}' ORDER BY actor")
    return [(actor.partition(":")[2], decode(body)) for actor, body in rows if actor.startswith(f"{kind}:")]


def _topics(url: str) -> list[TopicLog]:
    events: dict[str, list[Logged]] = {}
    for topic, seq, player, op, part, body in query(
        url, "SELECT topic, seq, player, op, part, body FROM topic_events ORDER BY topic, seq"
    ):
        logged = Logged(seq, msgspec.msgpack.decode(body), player or "", _text(op), part)
        events.setdefault(topic, []).append(logged)
    places = query(url, "SELECT topic, epoch, seq, floor_seq FROM topics ORDER BY topic")
    return [TopicLog(topic, epoch, seq, events.get(topic, []), floor) for topic, epoch, seq, floor in places]


def _boards(url: str) -> list[FinalBoard]:
    boards = []
    for board, period in query(url, "SELECT DISTINCT board, period FROM leaderboard_entries ORDER BY 1, 2"):
        rows = query(
            url,
            "SELECT owner, score, subscore, at_us FROM leaderboard_entries"
            f" WHERE board = '{board}' AND period = '{period}' AND removed = 0"
            " ORDER BY place, subplace, at_us, owner",
        )
        entries = [BoardEntry(n, owner, score, sub, at) for n, (owner, score, sub, at) in enumerate(rows, start=1)]
        boards.append(FinalBoard(board, period, entries))
    return boards


def _ledger(url: str) -> list[LedgerRow]:
    """``entry`` says what a row is for (actors/wallet/ledger.py)."""
    rows = []
    for player, currency, delta, reason, gift, entry in query(
        url, "SELECT player, currency, delta, reason, gift, entry FROM wallet_ledger ORDER BY player, number"
    ):
        source, _, name = _text(entry).partition(":")
        asker, op = {"op": (player, name), "staff": tuple(name.split(":", 1))}.get(source, ("", ""))
        rows.append(LedgerRow(player, currency, delta, reason, gift, asker, op))
    return rows


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
