"""Announcements on two nodes, as staff makes them and outside clients see them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.staff_calls import announce, staff_call
from tests.support.nodes import NodeProcess, node, two_nodes
from tests.support.wire import PATIENCE_S, Frame, Outside, outside

QUIET_S = 0.5  # after which nothing more comes
pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def cluster(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with two_nodes(tmp_path, mysql_url, redis_url, "--limits", "off", "--lease", "2") as nodes:
        yield nodes


def told(client: Outside) -> list[str]:
    """What this connection was told, in order; an announcement that was taken back is ``-``."""
    return [
        "-" if event["t"] == "announce.withdrawn" else event["text"]
        for event in client.events
        if event["t"].startswith("announce.")
    ]


async def until_told(client: Outside, *texts: str) -> None:
    """Wait for exactly these."""
    await client.until(lambda _: len(told(client)) >= len(texts))
    assert told(client) == list(texts)


async def until(fact: Callable[[], Any]) -> None:
    """Wait until ``fact`` holds; it may ask a node."""
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(fact):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.05)


async def call(server: NodeProcess, method: str, path: str, body: Frame | None = None) -> Frame:
    return await asyncio.to_thread(staff_call, server, method, path, body)


async def say(server: NodeProcess, text: str, **fields: Any) -> str:
    return await asyncio.to_thread(lambda: announce(server, text, **fields))


async def test_everybody_online_is_told_once_on_every_node_in_their_own_language(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with (
        outside(one.url, "ann") as ann,
        outside(two.url, "bo", wire="msgpack", says={"locale": "tr-TR"}) as bo,
        outside(two.url, "cy", says={"locale": "pt-PT"}) as cy,
    ):
        body = {"text": {"en": "Hello", "tr": "Merhaba", "pt-BR": "Olá"}, "data": {"gate": 3}}
        made = await call(two, "POST", "/v1/announcements", body)
        await until_told(ann, "Hello")
        await until_told(bo, "Merhaba")
        await until_told(cy, "Olá")
        event = ann.events[-1]
        assert (event["topic"], event["announcement"], event["data"]) == ("announce", made["announcement"], {"gate": 3})
        assert event["seq"] == ann.welcome["topics"]["announce"]["seq"] + 1
        assert event["expires_at"] == made["expires_at"]

        read = await bo.ask("announce.read", announcement=made["announcement"])
        assert read == {"t": "announce.marked", "re": read["re"], "announcement": made["announcement"]}
        await bo.ask("announce.read", announcement=made["announcement"])
        await until(lambda: _counts(one, made["announcement"]) == (3, 1))
        await asyncio.sleep(QUIET_S)
        assert [told(client) for client in (ann, bo, cy)] == [["Hello"], ["Merhaba"], ["Olá"]]


def _counts(server: NodeProcess, announcement: str) -> tuple[int, int]:
    shown = staff_call(server, "GET", f"/v1/announcements/{announcement}")
    return shown["reached"], shown["read"]


async def test_who_signs_in_later_is_told_once_and_not_what_is_over_or_was_taken_back(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    await say(one, "over", expires_at=int(time.time() * 1000) + 1_000)
    taken_back = await say(two, "taken back")
    await say(two, "stands")
    await call(one, "DELETE", f"/v1/announcements/{taken_back}")
    await asyncio.sleep(1.1)

    async with outside(two.url, "ann") as ann:
        await ann.until(lambda _: "stands" in told(ann))
        await asyncio.sleep(QUIET_S)
        assert [text for text in told(ann) if text != "-"] == ["stands"]
        seqs = [event["seq"] for event in ann.events if event.get("topic") == "announce"]
        assert seqs == list(range(ann.welcome["topics"]["announce"]["seq"] + 1, seqs[-1] + 1))
    async with outside(one.url, "ann") as again:
        await asyncio.sleep(QUIET_S)
        assert told(again) == []


async def test_a_client_that_resumes_gets_what_it_missed_and_nothing_twice(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann:
        await say(one, "first")
        await until_told(ann, "first")
        place = ann.welcome["topics"]["announce"]
        resume = {
            "session": ann.welcome["session"],
            "cursors": {"announce": [place["epoch"], ann.events[-1]["seq"]]},
        }
    await say(two, "second")

    async with outside(two.url, "ann", resume=resume) as back:
        assert back.welcome["topics"]["announce"]["status"] == "resumed"
        await until_told(back, "second")


async def test_one_that_is_scheduled_comes_when_it_is_due_or_never_if_it_was_cancelled(tmp_path: Path) -> None:
    with node(tmp_path, "one", "--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off") as one:
        async with outside(one.url, "ann") as ann:
            at = int(time.time() * 1000) + 1_500
            later = await call(one, "POST", "/v1/announcements", {"text": {"en": "now"}, "at": at})
            never = await call(one, "POST", "/v1/announcements", {"text": {"en": "never"}, "at": at})
            assert (later["state"], later["at"]) == ("scheduled", at)
            await call(one, "DELETE", f"/v1/announcements/{never['announcement']}")
            assert told(ann) == []

            await until_told(ann, "now")
            assert ann.events[-1]["at"] >= at
            await asyncio.sleep(QUIET_S)
            assert told(ann) == ["now"]


async def test_an_audience_finds_it_in_its_inboxes_and_nobody_else_is_told(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with (
        outside(one.url, "ann", says={"platform": "ios", "app": "1.4.2"}) as ann,
        outside(two.url, "bo", says={"platform": "ios", "app": "1.10.0", "locale": "tr-TR"}) as bo,
        outside(two.url, "cy", says={"platform": "android", "app": "1.4.2"}) as cy,
    ):
        guild = (await ann.ask("guild.create", name="Night Watch"))["guild"]
        texts = {"en": "Update", "tr": "Güncelle"}
        for audience, players in (
            ({"platforms": ["ios"]}, {"ann", "bo"}),
            ({"app_max": "1.9"}, {"ann", "cy"}),
            ({"platforms": ["ios"], "app_min": "1.10"}, {"bo"}),
            ({"locales": ["tr"]}, {"bo"}),
            ({"guild": guild}, {"ann"}),
            ({"players": ["cy", "nobody"]}, {"cy"}),
        ):
            made = await call(two, "POST", "/v1/announcements", {"text": texts, "audience": audience})
            assert made["state"] == "sending"
            await until(partial(_is_sent, one, made["announcement"]))
            assert _counts(one, made["announcement"])[0] == len(players)
            for client, name in ((ann, "ann"), (bo, "bo"), (cy, "cy")):
                if name in players:
                    await _has_notice(client, made["announcement"])
        await asyncio.sleep(QUIET_S)
        assert [len(_notices(client)) for client in (ann, bo, cy)] == [3, 3, 2]
        assert {notice["body"] for notice in _notices(bo)} == {"Güncelle"}
        assert [told(client) for client in (ann, bo, cy)] == [[], [], []]


async def _has_notice(client: Outside, announcement: str) -> None:
    await client.until(lambda _: len(_notices(client, announcement)) == 1)


def _is_sent(server: NodeProcess, announcement: str) -> bool:
    return _state(server, announcement) == "sent"


def _state(server: NodeProcess, announcement: str) -> str:
    return str(staff_call(server, "GET", f"/v1/announcements/{announcement}")["state"])


def _notices(client: Outside, announcement: str | None = None) -> list[Frame]:
    found = [event for event in client.events if event["t"] == "inbox.notice" and event["kind"] == "announcement"]
    return [notice for notice in found if announcement in (None, notice["data"]["announcement"])]


async def test_a_campaign_goes_on_where_it_was_when_its_node_is_killed(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    names = [f"p{n:03}" for n in range(450)]  # three pages of the campaign

    async def visit(name: str) -> None:
        async with outside(two.url, name):
            pass

    for start in range(0, len(names), 50):
        async with asyncio.TaskGroup() as visits:
            for name in names[start : start + 50]:
                visits.create_task(visit(name))
    made = await call(two, "POST", "/v1/announcements", {"text": {"en": "All"}, "audience": {"platforms": ["test"]}})
    one.kill()

    await until(partial(_is_sent, two, made["announcement"]))
    assert _counts(two, made["announcement"])[0] == len(names)

    async def has_one(name: str) -> None:
        async with outside(two.url, name) as player:
            page: Frame = {"notices": []}
            while not page["notices"]:
                page = await player.ask("inbox.list")
            assert [notice["body"] for notice in page["notices"]] == ["All"]

    for start in range(0, len(names), 50):
        async with asyncio.TaskGroup() as visits:
            for name in names[start : start + 50]:
                visits.create_task(has_one(name))
