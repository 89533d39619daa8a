"""The endpoints of the staff API, one after the other, on the rooms that they are about."""

import re
from typing import Any

import pytest

from actors.chat import ChatHistory, ChatJoin, ChatSend
from actors.guild import GuildCreate
from actors.mail import InboxList
from server.http_page import FOLDER
from server.staff.node_numbers import Counted
from server.staff.pages import PAGES
from tests.server.staff_kit import Office, code_of, office
from tests.support.clock import START_MS
from tests.support.cluster import Phone

PARTS = re.compile(r"""(?:href|src|from)[= ]"(?:/|\./)([\w.-]+\.(?:js|css|svg))\"""")
"""What a page or a script of ours loads."""
BAD_IDS = ("a b", "a:b", "x" * 65, "ä")


async def said(place: Office, key: str, path: str, **params: Any) -> Any:
    answer = await place.ask("GET", path, key, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Players.
async def test_a_player_is_shown_whole_and_without_anything_to_sign_in_with() -> None:
    async with office() as place:
        await place.signed_in("ann")
        key = await place.key("admin")
        made = await place.member.said(GuildCreate(id="c", name="Night Watch"), "ann")
        await place.ask("POST", "/v1/players/ann/notices", key, json={"kind": "k.k", "title": "Hello"})
        await place.ask("POST", "/v1/players/ann/mute", key, json={"reason": "loud", "seconds": 60})
        answer = await place.ask("GET", "/v1/players/ann", key)

    shown = answer.json()
    assert shown | {"owner": {}, "mute": {}} == {
        "player": "ann",
        "name": "ann",
        "created_at": START_MS,
        "sessions": [{"node": "north", "since": START_MS, "client": {}}],
        "guild": made.guild,
        "ban": None,
        "mute": {},
        "inbox": {"notices": 2, "unread": 2},
        "owner": {},
    }
    assert shown["mute"]["until"] == START_MS + 60_000
    assert shown["owner"]["node"] == "north"
    assert shown["owner"]["fence"] > 0
    assert "g-ann" not in answer.text


async def test_who_was_never_here_is_not_found() -> None:
    async with office() as place:
        key = await place.key("admin")
        assert code_of(await place.ask("GET", "/v1/players/nobody", key)) == (404, "player.not_found")
        for bad in BAD_IDS:
            assert code_of(await place.ask("GET", f"/v1/players/{bad}", key)) == (400, "protocol.invalid"), bad


async def test_players_are_found_by_how_their_name_begins() -> None:
    async with office() as place:
        await place.signed_in("anna", "Annika", "bo", "an_y", "anz")
        key = await place.key("players.read")
        shown = await said(place, key, "/v1/players", name="ANN")
        some = await said(place, key, "/v1/players", name="an", limit=2)
        literal = await said(place, key, "/v1/players", name="an_")
        nobody = await said(place, key, "/v1/players", name="%")

    assert [player["player"] for player in shown["players"]] == ["anna", "Annika"]
    assert shown["players"][0] | {"seen_at": 0} == {
        "player": "anna",
        "name": "anna",
        "platform": "",
        "app": "",
        "locale": "",
        "guild": "",
        "seen_at": 0,
    }
    assert len(some["players"]) == 2
    assert [player["player"] for player in literal["players"]] == ["an_y"]
    assert nobody == {"players": []}


async def test_the_recent_ops_of_a_player_are_listed() -> None:
    async with office() as place:
        await place.signed_in("ann")
        await place.member.said(GuildCreate(id="op-9", name="Night Watch"), "ann")
        shown = await said(place, await place.key("players.read"), "/v1/players/ann/ops")

    assert [(op["op"], op["reply"]) for op in shown["ops"]] == [("op-9", "guild.created")]


async def test_a_notice_reaches_the_inbox() -> None:
    notice = {"kind": "staff.gift", "title": "A gift", "body": "For you", "data": {"gems": 5}, "expires_at": 2**52}
    async with office() as place:
        key = await place.key("players.write")
        answer = await place.ask("POST", "/v1/players/bo/notices", key, json=notice)
        page = await place.member.said(InboxList(id="l"), "bo")
        [entry] = await place.audit()

    assert answer.json() == {"seq": 1, "at": START_MS}
    [found] = page.notices
    assert (found.kind, found.title, found.body, found.data) == ("staff.gift", "A gift", "For you", {"gems": 5})
    assert (entry["action"], entry["after"]) == ("player.notified", {"seq": 1, **notice})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"title": ""}, (400, "protocol.invalid")),
        ({"title": "x" * 101}, (400, "protocol.invalid")),
        ({"kind": "no kind"}, (400, "protocol.invalid")),
        ({"data": {"x": "y" * 5000}}, (400, "protocol.invalid")),
        ({"data": []}, (400, "protocol.invalid")),
        ({"expires_at": START_MS}, (409, "inbox.expired")),
        ({"expires": 1}, (400, "protocol.invalid")),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_notice_out_of_bounds_is_refused(more: dict[str, Any], expected: tuple[int, str]) -> None:
    async with office() as place:
        key = await place.key("players.write")
        body = {"kind": "k.k", "title": "t", **more}
        assert code_of(await place.ask("POST", "/v1/players/bo/notices", key, json=body)) == expected


async def test_a_mute_has_one_end_or_none() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("players.ban")

        async def mute(**body: Any) -> Any:
            return await place.ask("POST", "/v1/players/bo/mute", key, json={"reason": "loud", **body})

        assert (await mute(seconds=60)).json() == {"player": "bo", "until": START_MS + 60_000}
        assert (await mute(until=START_MS + 1)).json() == {"player": "bo", "until": START_MS + 1}
        assert (await mute()).json() == {"player": "bo"}
        assert code_of(await mute(until=START_MS + 1, seconds=1)) == (400, "protocol.invalid")
        assert code_of(await mute(until=START_MS)) == (409, "standing.past")
        assert code_of(await mute(seconds=0)) == (400, "protocol.invalid")
        assert (await place.ask("DELETE", "/v1/players/bo/mute", key)).json() == {"player": "bo"}
        assert code_of(await place.ask("DELETE", "/v1/players/bo/mute", key)) == (409, "standing.not_muted")


async def test_a_ban_is_lifted_in_two_ways() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("players.ban")
        for method, path in (("DELETE", "/v1/players/bo/ban"), ("POST", "/v1/players/bo/unban")):
            await place.ask("POST", "/v1/players/bo/ban", key, json={"reason": "r"})
            assert (await place.ask(method, path, key)).json() == {"player": "bo"}
            assert code_of(await place.ask(method, path, key)) == (409, "standing.not_banned")


# Guilds.
async def test_a_guild_is_shown_as_its_members_see_it() -> None:
    async with office() as place:
        await place.signed_in("ann")
        made = await place.member.said(GuildCreate(id="c", name="Night Watch"), "ann")
        key = await place.key("guilds.read")
        shown = await said(place, key, f"/v1/guilds/{made.guild}")

        assert (shown["name"], shown["leader"], [m["id"] for m in shown["members"]]) == ("Night Watch", "ann", ["ann"])
        assert code_of(await place.ask("GET", "/v1/guilds/none", key)) == (404, "guild.not_found")


# Channels.
LOBBY = "/v1/channels/room:lobby"


async def chatted(place: Office, *lines: str) -> None:
    await place.signed_in("ann")
    await place.member.said(ChatJoin(id="j", channel="room:lobby"), "ann")
    for n, text in enumerate(lines, 1):
        await place.member.said(ChatSend(id=f"s{n}", channel="room:lobby", text=text, data={"n": n}), "ann")


async def test_a_channel_is_read_from_its_newest_lines_back() -> None:
    async with office() as place:
        await chatted(place, "one", "two", "three")
        key = await place.key("channels.read")
        newest = await said(place, key, LOBBY, limit=2)
        older = await said(place, key, LOBBY, limit=2, before=newest["next_before"])
        empty = await said(place, key, "/v1/channels/room:quiet")
        bad = [await place.ask("GET", f"/v1/channels/{name}", key) for name in ("lobby", "room:a b", "x:y")]
        world = await place.ask("GET", "/v1/channels/world:1", key)

    assert [(line["seq"], line["text"]) for line in newest["messages"]] == [(2, "two"), (3, "three")]
    assert newest["more"]
    assert newest["messages"][0]["from"] == {"id": "ann", "name": ""} | {"name": newest["messages"][0]["from"]["name"]}
    assert ([line["text"] for line in older["messages"]], older["more"]) == (["one"], False)
    assert empty == {"channel": "room:quiet", "messages": [], "more": False, "next_before": None}
    assert {code_of(answer) for answer in bad} == {(400, "protocol.invalid")}
    assert code_of(world) == (409, "chat.not_stored")


async def test_a_deleted_line_is_empty_wherever_it_is_read_and_those_who_saw_it_are_told() -> None:
    async with office() as place:
        await chatted(place, "one", "rude", "three")
        phone = Phone("ann")
        await place.member.said(ChatJoin(id="j2", channel="room:lobby"), "ann", phone)
        key = await place.key("channels.read", "channels.moderate")
        answer = await place.ask("DELETE", f"{LOBBY}/messages/2", key, op="d")
        again = await place.ask("DELETE", f"{LOBBY}/messages/2", key, op="d")
        shown = await said(place, key, LOBBY)
        page = await place.member.said(ChatHistory(id="h", channel="room:lobby"), "ann")
        [entry] = await place.audit()

        assert answer.json() == {"channel": "room:lobby", "deleted": 2}
        assert again.content == answer.content
        told = [frame for frame in phone.frames if frame["t"] == "chat.message_deleted"]
        assert [(frame["seq"], frame["deleted"]) for frame in told] == [(4, 2)]
        for lines in (shown["messages"], [line for line in page.messages if line.seq == 2]):
            [line] = [line for line in lines if (line["seq"] if isinstance(line, dict) else line.seq) == 2]
            if isinstance(line, dict):
                assert (line["text"], line["deleted"], "data" in line) == ("", True, False)
            else:
                assert (line.text, line.deleted, line.data) == ("", True, None)
        assert (entry["action"], entry["target"]) == ("chat.message_deleted", "room:lobby#2")
        assert (entry["before"]["from"], entry["before"]["text"]) == ("ann", "rude")


async def test_only_a_line_can_be_deleted_and_only_once() -> None:
    async with office() as place:
        await chatted(place, "one")
        key = await place.key("channels.moderate")

        async def delete(channel: str, seq: Any) -> tuple[int, str]:
            return code_of(await place.ask("DELETE", f"/v1/channels/{channel}/messages/{seq}", key))

        await place.ask("DELETE", f"{LOBBY}/messages/1", key)
        assert await delete("room:lobby", 1) == (404, "chat.message_not_found")  # deleted before
        assert await delete("room:lobby", 2) == (404, "chat.message_not_found")  # the word of that
        assert await delete("room:lobby", 99) == (404, "chat.message_not_found")
        assert await delete("room:quiet", 1) == (404, "chat.message_not_found")
        assert await delete("world:1", 1) == (409, "chat.not_stored")
        assert await delete("room:lobby", 0) == (400, "protocol.invalid")
        assert await delete("room:lobby", "one") == (404, "http.not_found")
        assert len(await place.audit()) == 1


# Nodes.
async def test_nodes_are_listed_with_what_they_do() -> None:
    async with office() as place:
        key = await place.key("nodes.read")
        await place.cluster.clock.advance(1)
        place.counted = Counted(sessions=4, actors=9, messages_in=100, messages_out=300)
        await place.cluster.clock.advance(4)
        [node] = (await said(place, key, "/v1/nodes"))["nodes"]

    assert (node["node"], node["address"], node["draining"]) == ("north", "north:7350", False)
    assert node["lease_left_ms"] > 0
    assert node["numbers"] == {
        "started_at": START_MS,
        "sessions": 4,
        "actors": 9,
        "messages_in_per_s": 20.0,
        "messages_out_per_s": 60.0,
    }


async def test_a_node_is_told_to_drain() -> None:
    async with office() as place:
        key = await place.key("nodes.drain")
        answer = await place.ask("POST", "/v1/nodes/north/drain", key, op="d")
        await place.cluster.clock.advance(0.1)
        [entry] = await place.audit()

        assert answer.json() == {"node": "north", "started_at": START_MS}
        assert place.drains == ["north"]
        assert (entry["action"], entry["target"]) == ("node.drained", "node:north")
        again = await place.ask("POST", "/v1/nodes/north/drain", key, op="d")
        assert again.content == answer.content
        assert code_of(await place.ask("POST", "/v1/nodes/south/drain", key)) == (404, "node.not_found")


# The page.
async def test_the_document_says_of_each_endpoint_what_it_needs() -> None:
    async with office() as place:
        document = (await place.ask("GET", "/v1/docs/openapi.json")).json()

    ban = document["paths"]["/v1/players/{player}/ban"]["post"]
    assert ban["x-scope"] == "players.ban"
    assert ban["security"] == [{"key": []}]
    assert [each["name"] for each in ban["parameters"]] == ["player", "Idempotency-Key"]
    assert "player.not_found" in ban["responses"]["404"]["x-codes"]
    assert "request.key_missing" in ban["responses"]["400"]["x-codes"]
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert not {"t", "re"} & document["components"]["schemas"]["PlayerBanned"]["properties"].keys()
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert all(each["summary"] and each["responses"] for each in operations)


@pytest.mark.parametrize(("path", "file"), PAGES.items(), ids=str)
async def test_a_page_is_served_whole_and_loads_nothing_from_elsewhere(path: str, file: str) -> None:
    async with office() as place:
        page = await place.ask("GET", path)
        wanted, seen = {path}, {path}
        while wanted:
            answer = await place.ask("GET", wanted.pop())
            assert answer.status_code == 200, answer.url
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            found = {f"/{name}" for name in PARTS.findall(answer.text)}
            wanted |= found - seen
            seen |= found
        others = [await place.ask("GET", other) for other in ("/app.js", "/index.html", "/..%2fpyproject.toml")]

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == (FOLDER / file).read_text("utf-8")
    assert "//" not in re.sub(r"(?m)^ *//.*", "", page.text)
    assert "<script>" not in page.text
    assert len(seen) > 3
    assert {code_of(answer) for answer in others} == {(404, "http.not_found")}
