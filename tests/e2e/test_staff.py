"""The staff API of real nodes, as a game's own server and an operator use it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from loadtest.ports import free_port
from tests.support.nodes import ROOT, NodeProcess, node, two_nodes
from tests.support.wire import PATIENCE_S, outside

BANNED = 4502
REASON = {"reason": "cheats"}


@pytest.fixture
def cluster(tmp_path: Path, mysql_url: str, redis_url: str) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with two_nodes(tmp_path, mysql_url, redis_url, "--limits", "off", "--lease", "3") as nodes:
        yield nodes


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[NodeProcess]:
    with node(tmp_path, "alone", "--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off") as one:
        yield one


async def call(
    server: NodeProcess | str, method: str, path: str, body: Any = None, *, key: str = "dev", op: str = ""
) -> httpx.Response:
    """One request; an Idempotency-Key is made where none is given."""
    base = server if isinstance(server, str) else server.http
    headers = {"authorization": f"Bearer {key}", "idempotency-key": op or uuid4().hex}
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE_S) as client:
        return await client.request(method, path, headers=headers, json=body)


def guildhall(server: NodeProcess, *words: str) -> str:
    """What the command prints, run beside the node on its store."""
    command = [sys.executable, "-m", "server", *words, "--store", server.option("--store")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def refused(url: str, player: str) -> tuple[str, int]:
    """The code and the close code with which a sign-in is refused."""
    async with outside(url, player) as client:
        return client.welcome["code"], await client.closed()


# Two nodes.
async def test_a_ban_on_one_node_closes_the_session_on_the_other_and_holds_until_it_is_lifted(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(two.url, "bo") as phone, outside(one.url, "bo") as tablet, outside(two.url, "ann") as ann:
        started = time.monotonic()
        answer = await call(one, "POST", "/v1/players/bo/ban", REASON)
        assert answer.json() == {"player": "bo"}
        assert [await device.closed() for device in (phone, tablet)] == [BANNED, BANNED]
        assert time.monotonic() - started < 1
        assert (await ann.ask("player.get"))["t"] == "player.profile"
    for url in (one.url, two.url):
        assert await refused(url, "bo") == ("account.banned", BANNED)

    assert (await call(two, "DELETE", "/v1/players/bo/ban")).status_code == 200

    for url in (one.url, two.url):
        async with outside(url, "bo") as back:
            assert back.welcome["t"] == "welcome"
    entries = (await call(one, "GET", "/v1/audit?target=player:bo")).json()["entries"]
    assert [(e["action"], e["key"], e["address"]) for e in entries] == [
        ("player.unbanned", "dev", "127.0.0.1"),
        ("player.banned", "dev", "127.0.0.1"),
    ]


async def test_a_mute_on_one_node_silences_the_session_on_the_other(cluster: tuple[NodeProcess, NodeProcess]) -> None:
    one, two = cluster
    async with outside(two.url, "bo") as bo:
        await bo.ask("chat.join", channel="room:raid")
        assert (await call(one, "POST", "/v1/players/bo/mute", {"reason": "loud", "seconds": 600})).status_code == 200
        await bo.until(lambda events: any(e["t"] == "inbox.notice" and e["kind"] == "account.muted" for e in events))
        muted = await bo.ask("chat.send", channel="room:raid", text="hello")
        assert (muted["code"], muted["retry"]) == ("chat.muted", "never")
        assert (await bo.ask("chat.history", channel="room:raid"))["messages"] == []
        assert (await call(two, "DELETE", "/v1/players/bo/mute")).status_code == 200
        await bo.until(lambda events: any(e.get("kind") == "account.unmuted" for e in events))
        assert (await bo.ask("chat.send", channel="room:raid", text="hello"))["t"] == "chat.sent"


async def test_a_deleted_line_goes_from_every_screen_and_from_history(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(two.url, "bo", wire="msgpack") as bo:
        for player in (ann, bo):
            await player.ask("chat.join", channel="room:raid")
        for text in ("one", "rude", "three"):
            await ann.ask("chat.send", channel="room:raid", text=text)
        await bo.until(lambda _: len(bo.lines("chat:room:raid")) == 3)

        assert (await call(two, "DELETE", "/v1/channels/room:raid/messages/2")).status_code == 200

        for player in (ann, bo):
            events = await player.until(lambda events: events[-1]["t"] == "chat.message_deleted")
            assert (events[-1]["topic"], events[-1]["seq"], events[-1]["deleted"]) == ("chat:room:raid", 4, 2)
        for url in (one.url, two.url):
            async with outside(url, "cy") as cy:
                recent = (await cy.ask("chat.join", channel="room:raid"))["recent"]
                assert [(line["text"], line.get("deleted", False)) for line in recent] == [
                    ("one", False),
                    ("", True),
                    ("three", False),
                ]
                again = (await cy.ask("chat.history", channel="room:raid"))["messages"]
                assert again == recent


async def test_a_resume_replays_the_deleted_line_empty(cluster: tuple[NodeProcess, NodeProcess]) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann:
        async with outside(two.url, "bo") as bo:
            joined = await bo.ask("chat.join", channel="room:raid")
            session = bo.welcome["session"]
        await ann.ask("chat.join", channel="room:raid")
        await ann.ask("chat.send", channel="room:raid", text="rude")
        assert (await call(one, "DELETE", "/v1/channels/room:raid/messages/1")).status_code == 200
        resume = {"session": session, "cursors": {"chat:room:raid": [joined["epoch"], joined["seq"]]}}
        async with outside(two.url, "bo", resume=resume) as bo:
            await bo.until(lambda events: any(e["t"] == "chat.message_deleted" for e in events))
            assert bo.lines("chat:room:raid") == [(1, "")]


async def test_a_change_whose_node_was_killed_is_answered_by_the_other_and_made_once(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "bo"):
        pass
    first = await call(one, "POST", "/v1/players/bo/ban", REASON, op="ban-1")
    one.kill()
    again = await call(two, "POST", "/v1/players/bo/ban", REASON, op="ban-1")
    other = await call(two, "POST", "/v1/players/bo/ban", {"reason": "other"}, op="ban-1")

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (other.status_code, other.json()["code"]) == (409, "request.id_reused")
    assert len((await call(two, "GET", "/v1/audit")).json()["entries"]) == 1


async def test_nodes_are_listed_live_and_one_is_drained_by_the_other(
    cluster: tuple[NodeProcess, NodeProcess],
) -> None:
    one, two = cluster
    async with outside(one.url, "ann") as ann, outside(two.url, "bo") as bo:
        await ann.ask("player.get")
        await bo.ask("player.get")
        listed = await _nodes(one)
        assert len(listed) == 2
        assert [each["numbers"]["sessions"] for each in listed] == [1, 1]
        name = next(each["node"] for each in listed if each["address"] == f"127.0.0.1:{two.gateway_port}")
        answer = await call(one, "POST", f"/v1/nodes/{name}/drain", op="drain-1")
        assert answer.json()["node"] == name
        assert await bo.closed() == 4000
    assert two.process.wait(timeout=30) == 0
    again = await call(one, "POST", f"/v1/nodes/{name}/drain", op="drain-1")
    assert again.content == answer.content
    assert one.process.poll() is None


async def _nodes(server: NodeProcess) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(nodes) < 2 and time.monotonic() < deadline:  # each learns of the other at a renewal
        nodes = (await call(server, "GET", "/v1/nodes")).json()["nodes"]
    return nodes


# One node.
async def test_keys_are_made_and_revoked_beside_a_node_that_runs(alone: NodeProcess) -> None:
    key = guildhall(alone, "key", "create", "Ann Ops", "--scope", "players.read", "--expires", "1d")
    async with outside(alone.url, "bo"):
        shown = await call(alone, "GET", "/v1/players/bo", key=key)
        assert shown.json()["name"] == "bo"
        assert len(shown.json()["sessions"]) == 1
        found = await call(alone, "GET", "/v1/players?name=B", key=key)
        assert [each["player"] for each in found.json()["players"]] == ["bo"]
    forbidden = await call(alone, "POST", "/v1/players/bo/ban", REASON, key=key)
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "staff.forbidden")

    guildhall(alone, "key", "revoke", key.split("_")[1])

    gone = await call(alone, "GET", "/v1/players/bo", key=key)
    assert (gone.status_code, gone.json()["code"]) == (401, "auth.invalid")
    assert key not in alone.log.read_text()


async def test_a_restart_forgets_neither_a_ban_nor_an_answer(alone: NodeProcess) -> None:
    async with outside(alone.url, "bo"):
        pass
    first = await call(alone, "POST", "/v1/players/bo/ban", REASON, op="ban-1")
    alone.kill()
    alone.start()

    assert await refused(alone.url, "bo") == ("account.banned", BANNED)
    again = await call(alone, "POST", "/v1/players/bo/ban", REASON, op="ban-1")
    assert again.content == first.content
    lifted = await call(alone, "POST", "/v1/players/bo/unban")
    assert lifted.status_code == 200
    async with outside(alone.url, "bo") as bo:
        assert bo.welcome["t"] == "welcome"


async def test_a_notice_waits_for_a_player_who_was_never_here(alone: NodeProcess) -> None:
    notice = {"kind": "staff.gift", "title": "Welcome", "data": {"gems": 5}}
    for _ in range(2):
        answer = await call(alone, "POST", "/v1/players/newcomer/notices", notice, op="gift-1")
        assert answer.status_code == 200
    async with outside(alone.url, "newcomer") as player:
        assert player.welcome["state"]["mail"]["unread"] == 1
        page = await player.ask("inbox.list")
        assert [(each["kind"], each["data"]) for each in page["notices"]] == [("staff.gift", {"gems": 5})]


async def test_no_client_can_ask_what_staff_asks(alone: NodeProcess) -> None:
    by = {"key": "k", "name": "n", "address": "", "op": "o", "digest": ""}
    async with outside(alone.url, "eve") as eve:
        for t in ("moderation.ban", "moderation.unban", "moderation.mute", "moderation.inspect", "guild.inspect"):
            asked = await eve.ask(t, player="bo", guild="g", reason="r", by=by)
            assert asked["code"] == "protocol.invalid", t


async def test_an_address_of_its_own_takes_the_api_off_the_http_port(tmp_path: Path) -> None:
    staff = f"127.0.0.1:{free_port()}"
    options = ("--store", f"sqlite:///{tmp_path}/g.db", "--staff-address", staff)
    with node(tmp_path, "apart", *options) as apart:
        assert (await call(apart, "GET", "/v1/nodes")).status_code == 404
        assert (await call(f"http://{staff}", "GET", "/v1/nodes")).status_code == 200
        assert (await call(f"http://{staff}", "GET", "/v1/docs")).headers["content-type"].startswith("text/html")
        assert (await call(f"http://{staff}", "GET", "/staff")).headers["content-type"].startswith("text/html")
        for path in ("/healthz", "/metrics", "/v1/config", "/", "/index.html"):
            assert (await call(f"http://{staff}", "GET", path)).status_code == 404, path
