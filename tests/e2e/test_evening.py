"""An evening in short, with real processes: an announcement, notices for everybody, a board that all play, a period
that ends, and a node that is killed in the middle. Everybody gets everything once, and the ranks are right.

``make evening`` plays it at full size and over the end of a period; ``make test`` with a hundred players.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.support.crowd import Player, crowd, together
from tests.support.nodes import NodeProcess

SESSIONS = int(os.environ.get("TEST_SESSIONS", "100"))
FULL = SESSIONS >= 1_000
NOTICES = 10 * SESSIONS
SCORES = 5  # of each player
LEASE_S = 2.0
PING_S = 5.0 if FULL else 1.0
CALLERS = 16  # of the staff API at the same time
DEV = {"authorization": "Bearer dev"}
pytestmark = pytest.mark.timeout(400 if FULL else 90)


@pytest.fixture
def nodes(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[list[NodeProcess]]:
    """Two nodes."""
    options = ("--store", mysql_url, "--bus", redis_url, "--lease", str(LEASE_S), "--limits", "off")
    both = [NodeProcess(tmp_path, f"evening{n}", *options) for n in (1, 2)]
    try:
        for node in both:
            node.start(wait=False)
        for node in both:
            node.wait_ready()
        yield both
    finally:
        for node in both:
            node.stop()


class Staff:
    """Calls the staff API at whichever node answers, with the same key until it is answered."""

    def __init__(self, http: httpx.AsyncClient, nodes: Sequence[NodeProcess]) -> None:
        self._http = http
        self._nodes = nodes
        self._keys = count(1)

    async def change(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """The answer to a change, made once."""
        headers = {**DEV, "idempotency-key": f"evening-{next(self._keys)}"}
        for tries in count():
            node = self._nodes[tries % len(self._nodes)]
            try:
                answer = await self._http.request(method, node.http + path, json=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 200:
                made: dict[str, Any] = answer.json()
                return made
            assert answer.json()["retry"] != "never", answer.text
            await asyncio.sleep(0.1)
        raise AssertionError

    async def look(self, path: str) -> dict[str, Any]:
        """What a node shows."""
        answer = await self._http.get(self._nodes[0].http + path, headers=DEV)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown


async def test_everybody_gets_everything_once_and_the_ranks_are_right_though_a_node_is_killed(
    nodes: list[NodeProcess],
) -> None:
    names = [f"p{n}" for n in range(SESSIONS)]
    limits = httpx.Limits(max_connections=2 * CALLERS)
    async with httpx.AsyncClient(timeout=10, limits=limits) as http, crowd(nodes, names, ping_s=PING_S) as players:
        staff = Staff(http, nodes)
        every_minute = {"reset": {"cron": "* * * * *"}}
        board = await staff.change("PUT", "/v1/leaderboards/evening", every_minute if FULL else {})
        await together(*(player.linked() for player in players))
        if FULL:
            await _until_before_the_end_of(board["ends_at"] or 0)
        acknowledged: list[dict[str, Any]] = []

        await together(
            _announce(staff),
            *(_write(staff, players, caller) for caller in range(CALLERS)),
            *(_play(player, n, acknowledged) for n, player in enumerate(players)),
            _kill(nodes[1]),
        )

        await _heard_by_all(players)
        for player in players:
            notices = [event["data"]["n"] for event in player.events if event["t"] == "inbox.notice"]
            assert sorted(notices) == [n for n in range(NOTICES) if n % SESSIONS == int(player.name[1:])]
            told = [event["text"] for event in player.events if event["t"] == "announce.message"]
            assert told == ["The gates open."]
        assert len(acknowledged) == SCORES * SESSIONS
        periods = Counter(reply["period"] for reply in acknowledged)
        for period in periods:
            await _assert_ranks(staff, period, acknowledged)
        if FULL:
            assert len(periods) > 1, "the period did not end while they played"
            past = await players[0].ask("leaderboard.periods", board="evening")
            ended = [entry["period"] for entry in past["periods"]]
            assert len(set(ended)) == len(ended)
            assert set(list(periods)[:-1]) <= set(ended)


async def _announce(staff: Staff) -> None:
    await asyncio.sleep(0.3)
    await staff.change("POST", "/v1/announcements", {"text": {"en": "The gates open."}})


async def _write(staff: Staff, players: Sequence[Player], caller: int) -> None:
    """A share of the notices: the nth is for the nth player, round and round."""
    for n in range(caller, NOTICES, CALLERS):
        name = players[n % SESSIONS].name
        await staff.change("POST", f"/v1/players/{name}/notices", {"kind": "test.n", "title": "N", "data": {"n": n}})


async def _play(player: Player, seed: int, acknowledged: list[dict[str, Any]]) -> None:
    """A few scores, some of them the same as others' so that time decides."""
    random = Random(seed)
    for _ in range(SCORES):
        await asyncio.sleep(random.uniform(0, 12 if FULL else 1.5))
        reply = await player.ask("leaderboard.submit", board="evening", score=random.randrange(40))
        assert reply["t"] == "leaderboard.submitted", reply
        acknowledged.append({**reply, "owner": player.name})


async def _kill(node: NodeProcess) -> None:
    await asyncio.sleep(5.0 if FULL else 1.0)
    node.kill()


async def _until_before_the_end_of(ends_at_ms: int) -> None:
    """Wait so that what begins now goes over the end of a period."""
    left = (ends_at_ms / 1000 - time.time()) % 60
    if left > 12:
        await asyncio.sleep(left - 12)


async def _heard_by_all(players: Sequence[Player]) -> None:
    """Wait until everybody has as many notices as were written, and the announcement."""
    async with asyncio.timeout(60):
        for player in players:
            while sum(e["t"] in ("inbox.notice", "announce.message") for e in player.events) < 11:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # its connections come and go: there is nothing else to wait on


async def _assert_ranks(staff: Staff, period: str, acknowledged: Sequence[dict[str, Any]]) -> None:
    """A period's whole table: everybody with the best score that was acknowledged, the better and earlier first."""
    entries: list[dict[str, Any]] = []
    size = 1
    while len(entries) < size:
        page = await staff.look(f"/v1/leaderboards/evening/entries?period={period}&start={len(entries)}&limit=100")
        entries += page["entries"]
        size = page["size"]
    best: dict[str, int] = {}
    for reply in acknowledged:
        if reply["period"] == period:
            best[reply["owner"]] = max(best.get(reply["owner"], -1), int(reply["score"]))
    assert {entry["owner"]: int(entry["score"]) for entry in entries} == best
    order = [(-int(entry["score"]), entry["at"]) for entry in entries]
    assert order == sorted(order)
    assert [entry["rank"] for entry in entries] == list(range(1, len(entries) + 1))
