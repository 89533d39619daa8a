"""Leaderboards on real nodes, as outside clients and the game's own backend see them."""

import asyncio
import json
import urllib.error
from collections.abc import Iterator, Sequence
from itertools import count
from os import getpid
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.e2e.staff_calls import staff_call
from tests.support import servers
from tests.support.crowd import Player, crowd
from tests.support.nodes import NodeProcess, node, two_nodes
from tests.support.servers import MariadbServer, RedisServer
from tests.support.wire import PATIENCE_S, Frame, Outside, outside

LEASE_S = 2.0
_numbers_of_boards = count(1)
PLAYERS = [f"p{n}" for n in range(50)]


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariadbServer, redis_server: RedisServer
) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """Two nodes that outlive the tests of this file: each has a board of its own."""
    place = mariadb.url(f"guildhall_boards_{getpid()}")
    with two_nodes(tmp_path_factory.mktemp("boards"), place, redis_server.url, "--limits", "off") as nodes:
        yield nodes
    mariadb.run(f"DROP DATABASE IF EXISTS guildhall_boards_{getpid()}")


@pytest.fixture
def mortals(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """Two nodes of which one is killed."""
    options = ("--limits", "off", "--lease", str(LEASE_S))
    with two_nodes(tmp_path, mysql_url, redis_url, *options) as nodes:
        yield nodes


@pytest.fixture
def board() -> str:
    """The name of a board that nobody has had."""
    return f"b-{next(_numbers_of_boards)}"


@pytest.fixture(scope="module")
def broker() -> Iterator[RedisServer]:
    """A Redis of this file's own: it is stopped."""
    with servers.private_redis() as server:
        yield server


def define(server: NodeProcess, board: str, **fields: Any) -> Frame:
    return staff_call(server, "PUT", f"/v1/leaderboards/{board}", fields)


def refusal(server: NodeProcess, method: str, path: str, body: Frame | None) -> tuple[int, str]:
    """Status and code of a call that is refused."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        staff_call(server, method, path, body)
    with refused.value as answer:
        problem = json.load(answer)
    return int(refused.value.code), str(problem["code"])


async def submit(player: Outside, board: str, score: int, **fields: Any) -> Frame:
    reply = await player.ask("leaderboard.submit", board=board, score=score, **fields)
    return _numbers(reply, "leaderboard.submitted")


def _numbers(reply: Frame, t: str) -> Frame:
    """A reply with int64s as numbers: JSON has them as decimal digits, because its readers' numbers end before."""
    assert reply["t"] == t, reply
    told = {key: int(value) if key in ("score", "subscore") else value for key, value in reply.items()}
    if "entries" in reply:
        told["entries"] = [_numbers({"t": "", **entry}, "") for entry in reply["entries"]]
    return told


async def top(player: Outside, board: str, **fields: Any) -> list[tuple[int, str, int]]:
    """(rank, owner, score) of the first places."""
    reply = await player.ask("leaderboard.top", board=board, **{"limit": 100, **fields})
    entries = _numbers(reply, "leaderboard.entries")["entries"]
    return [(entry["rank"], entry["owner"], entry["score"]) for entry in entries]


async def top_becomes(player: Outside, board: str, expected: Sequence[tuple[int, str, int]]) -> None:
    """Ask until the first places are as expected; a node that died is missed after its lease."""
    found: list[tuple[int, str, int]] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while found != list(expected):
                await asyncio.sleep(0.1)
                found = await top(player, board)
    except TimeoutError:
        assert found == list(expected)


async def test_two_clients_on_two_nodes_play_for_ranks(cluster: tuple[NodeProcess, NodeProcess], board: str) -> None:
    one, two = cluster
    defined = define(one, board, title="Arena")
    assert (defined["period"], defined["revision"]) == ("all", 1)
    async with outside(one.url, "ann") as ann, outside(two.url, "bo", wire="msgpack") as bo:
        first = await submit(ann, board, 70, subscore=5, data={"hero": "x"})
        assert {k: first[k] for k in ("board", "score", "subscore", "rank", "improved", "period")} == {
            "board": board,
            "score": 70,
            "subscore": 5,
            "rank": 1,
            "improved": True,
            "period": "all",
        }
        watched = await bo.ask("leaderboard.watch", board=board)
        assert [entry["owner"] for entry in watched["top"]] == ["ann"]
        assert (await submit(bo, board, 70, subscore=6))["rank"] == 1
        assert (await submit(bo, board, 10))["improved"] is False
        await bo.until(lambda events: any(e["t"] == "leaderboard.changed" and len(e["top"]) == 2 for e in events))
        changed = bo.events[-1]
        assert (changed["topic"], [entry["owner"] for entry in changed["top"]]) == (
            f"leaderboard:{board}",
            ["bo", "ann"],
        )
        assert "seq" not in changed
        around = await ann.ask("leaderboard.around", board=board, limit=3)
        assert [(e["rank"], e["owner"], e["subscore"]) for e in around["entries"]] == [(1, "bo", "6"), (2, "ann", "5")]
        assert (around["size"], around["board"], around["period"]) == (2, board, "all")
        listed = await bo.ask("leaderboard.list", board=board, owners=["ann", "nobody"])
        assert [(e["rank"], e["owner"], e["name"]) for e in listed["entries"]] == [(2, "ann", "ann")]
        assert await top(ann, board, start=1) == [(2, "ann", 70)]
        assert (await bo.ask("leaderboard.unwatch", board=board))["t"] == "leaderboard.unwatched"


async def test_big_numbers_come_as_they_were_sent(cluster: tuple[NodeProcess, NodeProcess], board: str) -> None:
    one, two = cluster
    define(one, board)
    async with outside(one.url, "ann", wire="msgpack") as ann, outside(two.url, "bo") as bo:
        assert (await ann.ask("leaderboard.submit", board=board, score=2**63 - 1))["score"] == 2**63 - 1
        told = await bo.ask("leaderboard.submit", board=board, score=str(2**63 - 2), subscore=-(2**53))
        assert (told["score"], told["subscore"]) == (str(2**63 - 2), str(-(2**53)))
        for player, kind in ((bo, str), (ann, int)):
            page = await player.ask("leaderboard.top", board=board)
            assert [entry["score"] for entry in page["entries"]] == [kind(2**63 - 1), kind(2**63 - 2)]


async def codes(url: str, asks: Sequence[tuple[str, Frame]]) -> list[str]:
    """What each request is refused with, each over a connection of its own: a few bad ones end a connection."""
    found = []
    for t, fields in asks:
        async with outside(url, "eve") as eve:
            reply = await eve.ask(t, **fields)
            assert reply["t"] == "error", (t, fields)
            found.append(reply["code"])
    return found


async def test_bad_input_gets_a_stable_code_and_changes_nothing(
    cluster: tuple[NodeProcess, NodeProcess], board: str
) -> None:
    one, two = cluster
    define(one, board, min_score=0, max_score=100)
    define(one, "closed", open=False)
    define(one, "frozen", frozen=True)
    define(one, "ended", ends_at=1)
    scores: tuple[Any, ...] = (1.5, "many", True, None, 2**63, [], "1e3", {})
    bad: list[Frame] = [
        *({"score": score} for score in scores),
        {"data": {"x": "y" * 2000}},
        {"data": {"x": 10**40}},
        {"data": 5},
        {"subscore": 2**63},
        {"board": "a/b"},
        {"board": ""},
    ]
    wrong = [("leaderboard.submit", {"board": board, "score": 5, **fields}) for fields in bad]
    wrong += [("leaderboard.top", {"board": board, "limit": 101}), ("leaderboard.top", {"board": board, "start": -1})]
    wrong += [("leaderboard.around", {"board": board, "player": "a b"}), ("leaderboard.list", {"board": board})]
    wrong += [(f"leaderboard.{t}", {"board": board}) for t in ("score_post", "score_remove", "define", "fill")]
    assert await codes(two.url, wrong) == ["protocol.invalid"] * len(wrong)
    refused = {
        "nope": "leaderboard.not_found",
        "closed": "leaderboard.closed",
        "frozen": "leaderboard.frozen",
        "ended": "leaderboard.ended",
        board: "leaderboard.out_of_bounds",
    }
    asks = [("leaderboard.submit", {"board": each, "score": 101}) for each in refused]
    assert await codes(two.url, asks) == list(refused.values())
    unknown: list[tuple[str, Frame]] = [
        ("leaderboard.top", {"board": "nope"}),
        ("leaderboard.watch", {"board": "nope"}),
        ("leaderboard.top", {"board": board, "period": "2020-01-01T00:00Z"}),
    ]
    assert await codes(two.url, unknown) == [
        "leaderboard.not_found",
        "leaderboard.not_found",
        "leaderboard.period_not_found",
    ]
    async with outside(two.url, "eve") as eve:
        assert await top(eve, board) == []


async def test_a_bad_definition_gets_a_stable_code_and_changes_nothing(
    cluster: tuple[NodeProcess, NodeProcess], board: str
) -> None:
    one, two = cluster
    define(one, board, max_score=100)
    path = f"/v1/leaderboards/{board}"
    resets = {
        "schedule.never": {"cron": "0 0 30 2 *"},
        "schedule.invalid": {"cron": "nonsense here"},
        "schedule.zone_unknown": {"cron": "0 0 * * *", "time_zone": "X/Y"},
    }
    assert [refusal(one, "PUT", path, {"reset": reset})[1] for reset in resets.values()] == list(resets)
    assert refusal(one, "PUT", path, {"min_score": 2, "max_score": 1})[1] == "protocol.invalid"
    assert staff_call(two, "GET", path)["definition"]["max_score"] == "100"


async def test_the_same_submission_on_both_nodes_at_once_counts_once(
    cluster: tuple[NodeProcess, NodeProcess], board: str
) -> None:
    one, two = cluster
    define(one, board, operator="sum")
    async with outside(one.url, "ann") as first, outside(two.url, "ann") as second, outside(two.url, "bo") as bo:
        number = first.new_id()
        async with asyncio.TaskGroup() as asking:
            asked = [
                asking.create_task(who.ask("leaderboard.submit", id=number, board=board, score=5))
                for who in (first, second, first, second, first)
            ]
        replies = [task.result() for task in asked]
        assert all(reply == replies[0] for reply in replies)
        assert (replies[0]["score"], replies[0]["rank"]) == ("5", 1)
        await submit(bo, board, 9)
        again = await second.ask("leaderboard.submit", id=number, board=board, score=5)
        assert again == replies[0]
        assert await top(first, board) == [(1, "bo", 9), (2, "ann", 5)]


async def test_the_backend_submits_and_takes_away(cluster: tuple[NodeProcess, NodeProcess], board: str) -> None:
    one, two = cluster
    define(one, board, open=False)
    posted = staff_call(two, "POST", f"/v1/leaderboards/{board}/scores", {"owner": "bo", "score": 7})
    staff_call(one, "POST", f"/v1/leaderboards/{board}/scores", {"owner": "cy", "score": 9})
    assert (posted["owner"], posted["score"], posted["improved"]) == ("bo", "7", True)
    async with outside(one.url, "ann") as ann:
        await top_becomes(ann, board, [(1, "cy", 9), (2, "bo", 7)])
        staff_call(two, "DELETE", f"/v1/leaderboards/{board}/scores/cy")
        await top_becomes(ann, board, [(1, "bo", 7)])
    assert refusal(one, "DELETE", f"/v1/leaderboards/{board}/scores/cy", None) == (404, "leaderboard.score_not_found")
    entries = staff_call(one, "GET", f"/v1/leaderboards/{board}/entries")
    assert [(e["rank"], e["owner"]) for e in entries["entries"]] == [(1, "bo")]
    checked = staff_call(one, "GET", f"/v1/leaderboards/{board}/check")
    assert (checked["rows"], checked["ranked"], checked["different"]) == (1, 1, 0)


async def test_flushing_redis_in_the_middle_leaves_the_ranks_right(
    cluster: tuple[NodeProcess, NodeProcess], redis_url: str, board: str
) -> None:
    one, two = cluster
    define(one, board)
    async with outside(one.url, "ann") as ann, outside(two.url, "bo") as bo:

        async def climb(player: Outside, first: int) -> list[int]:
            return [(await submit(player, board, score))["rank"] for score in range(first, first + 60, 2)]

        def flush() -> None:
            with redis.Redis.from_url(redis_url) as operator:
                operator.flushall()

        async with asyncio.TaskGroup() as playing:
            ranks = [playing.create_task(climb(ann, 1)), playing.create_task(climb(bo, 2))]
            for _ in range(5):
                await asyncio.sleep(0.05)
                await asyncio.to_thread(flush)
        assert all(rank in (1, 2) for task in ranks for rank in task.result())
        assert await top(ann, board) == await top(bo, board) == [(1, "bo", 60), (2, "ann", 59)]
        await asyncio.to_thread(flush)
        await asyncio.sleep(0)
        assert await top(ann, board) == [(1, "bo", 60), (2, "ann", 59)]


async def test_while_redis_is_away_scores_are_taken_and_ranks_are_right(
    tmp_path: Path, mysql_url: str, broker: RedisServer, board: str
) -> None:
    with node(tmp_path, "one", "--store", mysql_url, "--bus", broker.url, "--limits", "off") as one:
        define(one, board)
        async with outside(one.url, "ann") as ann, outside(one.url, "bo") as bo:
            await submit(ann, board, 5)
            broker.kill()
            assert (await submit(bo, board, 9))["rank"] == 1
            assert (await submit(ann, board, 7))["rank"] == 2
            assert await top(ann, board) == [(1, "bo", 9), (2, "ann", 7)]
            listed = await bo.ask("leaderboard.list", board=board, owners=["ann", "nobody", "bo"])
            assert [(entry["rank"], entry["owner"]) for entry in listed["entries"]] == [(1, "bo"), (2, "ann")]
            broker.start()
            await submit(ann, board, 8)
            await top_becomes(ann, board, [(1, "bo", 9), (2, "ann", 8)])
            await asyncio.sleep(0.7)
            assert await top(bo, board) == [(1, "bo", 9), (2, "ann", 8)]


async def test_killing_a_node_while_fifty_play_loses_no_score_and_doubles_none(
    mortals: tuple[NodeProcess, NodeProcess], board: str
) -> None:
    """They are sums: each that was acknowledged is in, and in once, however often it had to be asked again."""
    one, two = mortals
    define(one, board, operator="sum")
    sums = dict.fromkeys(PLAYERS, 0)
    replies: list[Frame] = []
    stop = asyncio.Event()

    async def play(player: Player) -> None:
        while not stop.is_set():
            reply = await player.ask("leaderboard.submit", board=board, score=1)
            sums[player.name] += 1
            assert _numbers(reply, "leaderboard.submitted")["score"] == sums[player.name]
            replies.append(reply)
            await asyncio.sleep(0.01)

    async with crowd([one, two], PLAYERS) as players:
        async with asyncio.TaskGroup() as playing:
            for player in players:
                playing.create_task(play(player))
            await asyncio.sleep(1.0)
            one.kill()
            await asyncio.sleep(LEASE_S + 1.5)
            stop.set()
        async with outside(two.url, "looker") as looker:
            found: dict[str, int] = {}
            async with asyncio.timeout(PATIENCE_S):
                while found != sums:
                    found = {owner: score for _, owner, score in await top(looker, board)}
                    await asyncio.sleep(0.1)
            ranks = await top(looker, board)
            assert [rank for rank, _, _ in ranks] == list(range(1, 51))
            assert [score for _, _, score in ranks] == sorted(sums.values(), reverse=True)
    checked = await asyncio.to_thread(staff_call, two, "GET", f"/v1/leaderboards/{board}/check")
    assert (checked["rows"], checked["ranked"], checked["different"]) == (50, 50, 0)
    assert len(replies) == sum(sums.values()) > 100


async def test_a_node_alone_has_the_same_ranks_after_a_restart(tmp_path: Path, sqlite_url: str, board: str) -> None:
    with node(tmp_path, "one", "--store", sqlite_url, "--bus", "local:") as alone:
        define(alone, board, order="asc")
        async with outside(alone.url, "ann") as ann, outside(alone.url, "bo") as bo:
            number = ann.new_id()
            first = await ann.ask("leaderboard.submit", id=number, board=board, score=30)
            await submit(bo, board, 20)
            assert await top(ann, board) == [(1, "bo", 20), (2, "ann", 30)]
        await asyncio.to_thread(alone.terminate)
        alone.start()
        async with outside(alone.url, "ann") as ann:
            assert await top(ann, board) == [(1, "bo", 20), (2, "ann", 30)]
            again = await ann.ask("leaderboard.submit", id=number, board=board, score=30)
            assert again == first
        alone.kill()
        alone.start()
        async with outside(alone.url, "bo") as bo:
            assert await top(bo, board) == [(1, "bo", 20), (2, "ann", 30)]
