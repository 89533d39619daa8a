"""After the play: everybody comes to rest, and what is true in the end is read over the wire, for the judge."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from clients.python import Refused
from loadtest.history import Final, Logged, TopicLog
from loadtest.players.player import Away, GaveUp, Player
from protocol import ClientStatus

PAGE = 100  # as many lines as the server gives at once
REST_S = 15.0  # to come back, be answered and hear everything; what is missing then the judge will find
LOOK_S = 0.05


def standing(players: Iterable[Player]) -> dict[str, tuple[Player, str]]:
    """Conversations that are kept and that somebody who is online follows: one such player, and the epoch."""
    found: dict[str, tuple[Player, str]] = {}
    for player in players:
        if player.session.status is ClientStatus.ONLINE:
            for topic, (epoch, _) in player.session.cursors.for_hello().items():
                if topic.startswith("chat:"):
                    found.setdefault(topic, (player, epoch))
    return found


async def read_logs(players: Sequence[Player]) -> list[TopicLog]:
    """All lines of each conversation, as the server shows them now."""
    logs = []
    for topic, (player, epoch) in standing(players).items():
        with suppress(Refused, GaveUp, Away):
            lines = await _lines(player, topic.removeprefix("chat:"))
            newest = max((line.seq for line in lines), default=0)
            logs.append(TopicLog(topic, epoch, newest, lines, caused=False, whole=False))
    return logs


async def _lines(player: Player, channel: str) -> list[Logged]:
    lines: list[Logged] = []
    after: int | None = 0
    while after is not None:
        page = await player.ask("chat.history", channel=channel, after=after, limit=PAGE)
        lines += [Logged(line["seq"], line) for line in page["messages"]]
        after = page.get("next_seq") if page["more"] else None
    return lines


async def read_memberships(players: Sequence[Player]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Who of us is a member of what: by the guilds' rosters, and by what was answered to the players.

    Players whose last answer never came are left out of both: theirs may be either way.
    """
    seats = {player.name: player.guild for player in players if player.guild}
    rosters: dict[str, list[str]] = {}
    for player in players:
        if player.guild and player.guild not in rosters and player.session.status is ClientStatus.ONLINE:
            with suppress(Refused, GaveUp, Away):
                watched = await player.ask("guild.watch", guild=player.guild)
                members = [str(member["id"]) for member in watched["guild"]["members"]]
                rosters[player.guild] = [member for member in members if member in seats]
    return rosters, {name: guild for name, guild in seats.items() if guild in rosters}


async def come_to_rest(players: Sequence[Player], stand: dict[str, int]) -> list[str]:
    """Wait until whoever is playing is online, answered, and has heard ``stand``; says who is not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_S):
            while any(_missing(player, stand) for player in players):  # noqa: ASYNC110 - places of many
                await asyncio.sleep(LOOK_S)
    return [f"{player.name}: {missing}" for player in players if (missing := _missing(player, stand))]


async def read_finals(players: Sequence[Player], logs: Iterable[TopicLog], began: float) -> list[Final]:
    """The records that end the history of a process."""
    rosters, seats = await read_memberships(players)
    at = round((time.monotonic() - began) * 1000)
    known = [Final(at, "rosters", rosters), Final(at, "seats", seats)] if rosters else []
    return [*(Final(at, "topic", log) for log in logs), *known]


def _missing(player: Player, stand: dict[str, int]) -> str:
    session = player.session
    if session.status is not ClientStatus.ONLINE:
        return str(session.status.value)
    if session.pending:
        return f"no answer to {', '.join(session.pending)}"
    for topic, cursor in session.cursors.for_hello().items():
        seq = int(cursor[1])
        if seq < stand.get(topic, 0):
            return f"has {topic} up to {seq} of {stand[topic]}"
    return ""
