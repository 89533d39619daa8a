"""A staff change happens once for its Idempotency-Key, whatever happens around it, and leaves one row in the audit."""

import asyncio
from typing import Any

import httpx
import pytest

from actors.moderation import PlayerBan
from actors.staff import By
from server.features import FEATURES
from storage import EventRange
from tests.server.staff_kit import ADDRESS, Office, code_of, office
from tests.support.cluster import Cluster

BAN = "/v1/players/bo/ban"
REASON = {"reason": "cheats"}
NOTICE = {"kind": "staff.gift", "title": "A gift", "body": "For you", "data": {"gems": 5}}


async def ban(place: Office, key: str, op: str, path: str = BAN, **body: Any) -> httpx.Response:
    return await place.ask("POST", path, key, op=op, json={**REASON, **body})


async def test_a_change_is_answered_and_written_down() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("players.ban", name="Ann Ops")
        answer = await ban(place, key, "op-7", until=1_800_000_000_000)
        [entry] = await place.audit()

    assert answer.status_code == 200
    assert answer.json() == {"player": "bo", "until": 1_800_000_000_000}
    assert answer.headers["cache-control"] == "no-store"
    sentence = {"reason": "cheats", "by": entry["key"], "at": entry["at"], "until": 1_800_000_000_000}
    assert entry | {"id": "", "at": 0} == {
        "id": "",
        "at": 0,
        "key": key.split("_")[1],
        "key_name": "Ann Ops",
        "address": ADDRESS,
        "action": "player.banned",
        "target": "player:bo",
        "before": None,
        "after": sentence,
        "idempotency_key": "op-7",
    }


async def test_the_same_again_gets_the_same_answer_and_changes_nothing() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("admin")
        first = await ban(place, key, "op-1")
        await place.ask("DELETE", BAN, key)
        again = await ban(place, key, "op-1")
        sheet = (await place.ask("GET", "/v1/players/bo", key)).json()
        actions = [entry["action"] for entry in await place.audit()]

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert sheet["ban"] is None
    assert actions == ["player.unbanned", "player.banned"]


async def test_a_notice_is_published_once() -> None:
    async with office() as place:
        key = await place.key("admin")
        first = await place.ask("POST", "/v1/players/bo/notices", key, op="n", json=NOTICE)
        again = await place.ask("POST", "/v1/players/bo/notices", key, op="n", json=NOTICE)
        events = await place.desk.read_events(EventRange(topic="player:bo"))

    assert first.status_code == 200
    assert (again.content, len(events)) == (first.content, 1)


async def test_a_key_used_for_another_body_or_path_is_refused() -> None:
    async with office() as place:
        await place.signed_in("bo", "cy")
        key = await place.key("admin")
        await ban(place, key, "op-1")
        others = [
            await ban(place, key, "op-1", until=1_800_000_000_000),
            await ban(place, key, "op-1", "/v1/players/cy/ban"),
            await place.ask("DELETE", BAN, key, op="op-1"),
            await place.ask("POST", "/v1/players/bo/mute", key, op="op-1", json=REASON),
        ]
        entries = await place.audit()

    assert [code_of(answer) for answer in others] == [(409, "request.id_reused")] * 4
    assert len(entries) == 1


async def test_each_staff_key_has_idempotency_keys_of_its_own() -> None:
    async with office() as place:
        await place.signed_in("bo", "cy")
        one, two = await place.key("admin"), await place.key("admin")
        answers = [await ban(place, one, "op-1"), await ban(place, two, "op-1", "/v1/players/cy/ban")]

    assert [answer.json()["player"] for answer in answers] == ["bo", "cy"]


async def test_of_two_at_once_one_changes_and_both_are_answered() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("admin")
        await ban(place, key, "first")
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(place.ask("DELETE", BAN, key, op="lift")) for _ in range(5)]
        actions = [entry["action"] for entry in await place.audit()]

    assert {(task.result().status_code, task.result().content) for task in both} == {(200, b'{"player":"bo"}')}
    assert actions == ["player.unbanned", "player.banned"]


async def test_of_two_different_ones_with_one_key_at_once_one_is_refused() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("admin")
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(place.ask("POST", BAN, key, op="x", json={"reason": reason})) for reason in "ab"]
        entries = await place.audit()

    assert sorted(task.result().status_code for task in both) == [200, 409]
    assert len(entries) == 1


async def test_a_refusal_leaves_nothing_and_can_be_tried_anew() -> None:
    async with office() as place:
        key = await place.key("admin")
        refused = await ban(place, key, "op-1")
        await place.signed_in("bo")
        done = await ban(place, key, "op-1")
        entries = await place.audit()

    assert code_of(refused) == (404, "player.not_found")
    assert done.status_code == 200
    assert len(entries) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": "x" * 501},
        {"reason": "\u200b"},
        {"reason": 7},
        {"reason": "r", "until": -1},
        {"reason": "r", "until": "soon"},
        {"reason": "r", "ends": 1_800_000_000_000},
        [],
    ],
    ids=repr,
)
async def test_a_body_out_of_bounds_is_refused(body: Any) -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("admin")
        answer = await place.ask("POST", BAN, key, json=body)
        entries = await place.audit()

    assert code_of(answer) == (400, "protocol.invalid")
    assert entries == []


# Around a crash and another node.
async def test_a_change_whose_answer_was_lost_with_its_node_is_answered_by_another() -> None:
    """The actor's commit is the point of truth: whoever is asked next finds it in the audit."""
    async with Cluster(FEATURES).running() as cluster:
        north = Office(cluster, await cluster.start("north"))
        south = Office(cluster, await cluster.start("south"))
        await north.signed_in("bo")
        key = await north.key("admin")
        with north.member.store.holding("commit", applied=True) as held:
            lost = asyncio.get_running_loop().create_task(ban(north, key, "op-1"))
            await held.reached.wait()
            cluster.crash(north.member)
        lost.cancel()
        await cluster.pass_lease()

        again = await ban(south, key, "op-1")
        entries = await south.audit()

    assert (again.status_code, again.json()) == (200, {"player": "bo"})
    assert [entry["action"] for entry in entries] == ["player.banned"]


async def test_a_change_that_died_with_its_node_before_the_commit_is_made_by_another() -> None:
    async with Cluster(FEATURES).running() as cluster:
        north = Office(cluster, await cluster.start("north"))
        south = Office(cluster, await cluster.start("south"))
        await north.signed_in("bo")
        key = await north.key("admin")
        with north.member.store.holding("commit") as held:
            lost = asyncio.get_running_loop().create_task(ban(north, key, "op-1"))
            await held.reached.wait()
            cluster.crash(north.member)
        lost.cancel()
        await cluster.pass_lease()

        again = await ban(south, key, "op-1")
        entries = await south.audit()

    assert again.status_code == 200
    assert [entry["action"] for entry in entries] == ["player.banned"]


async def test_two_nodes_asked_at_once_make_one_change() -> None:
    async with Cluster(FEATURES).running() as cluster:
        north = Office(cluster, await cluster.start("north"))
        south = Office(cluster, await cluster.start("south"))
        await north.signed_in("bo")
        key = await north.key("admin")
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(ban(place, key, "op-1")) for place in (north, south)]
        entries = await south.audit()

    assert [task.result().json() for task in both] == [{"player": "bo"}] * 2
    assert len(entries) == 1


# What callers send stays data.
NASTY = "'; DROP TABLE audit; -- \" \\ %s ? \n"


async def test_what_a_caller_sends_is_never_taken_for_sql() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("admin")
        await place.ask("POST", BAN, key, op="';--", json={"reason": NASTY})
        found = await place.ask("GET", "/v1/audit", key, params={"target": NASTY, "key": NASTY, "before": NASTY})
        [entry] = await place.audit()

    assert found.json() == {"entries": [], "more": False}
    assert entry["after"]["reason"] == NASTY
    assert entry["idempotency_key"] == "';--"


# The audit.
async def test_the_audit_is_read_by_target_by_key_and_in_pages() -> None:
    async with office() as place:
        await place.signed_in("bo", "cy")
        one, two = await place.key("admin"), await place.key("admin")
        for key, player in ((one, "bo"), (two, "cy"), (one, "cy"), (two, "bo")):
            await ban(place, key, f"{player}-{key}", f"/v1/players/{player}/ban")
            await place.cluster.clock.advance(1)

        async def listed(**asked: Any) -> tuple[list[str], bool]:
            shown = (await place.ask("GET", "/v1/audit", one, params=asked)).json()
            return [entry["target"] for entry in shown["entries"]], shown["more"]

        assert await listed() == (["player:bo", "player:cy", "player:cy", "player:bo"], False)
        assert await listed(target="player:cy") == (["player:cy"] * 2, False)
        assert await listed(key=one.split("_")[1]) == (["player:cy", "player:bo"], False)
        assert await listed(target="player:bo", key=two.split("_")[1]) == (["player:bo"], False)
        first = (await place.ask("GET", "/v1/audit", one, params={"limit": 3})).json()
        assert (len(first["entries"]), first["more"]) == (3, True)
        assert await listed(limit=3, before=first["entries"][-1]["id"]) == (["player:bo"], False)
        assert code_of(await place.ask("GET", "/v1/audit", one, params={"limit": 0})) == (400, "protocol.invalid")


async def test_the_audit_remembers_what_was_before() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("admin")
        await ban(place, key, "a")
        await place.ask("POST", BAN, key, json={"reason": "worse", "until": 1_800_000_000_000})
        await place.ask("DELETE", BAN, key)
        lifted, changed, begun = await place.audit()

    assert (begun["before"], begun["after"]["reason"]) == (None, "cheats")
    assert (changed["before"], changed["after"]["reason"]) == (begun["after"], "worse")
    assert (lifted["before"], lifted["after"]) == (changed["after"], None)


def test_a_change_says_who_makes_it() -> None:
    by = By(key="k", name="n", address="a", op="o", digest=b"d")

    assert PlayerBan(id="1", player="bo", reason="r", by=by).by == by
