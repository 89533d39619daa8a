"""What an attacker with a socket, or with a good token, can do to a node: nothing that the others notice."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.app import Server, running_server
from server.config import Auth, Config, Gateway, Http, Limits, StoreConfig
from server.limits import AdmissionLimits, Rate
from tests.support.raw import CLOSE, CONT, PATIENCE_S, PING, PONG, TEXT, Raw, frame, raw, say, signed_in, upgrade
from tests.support.wire import outside


@asynccontextmanager
async def serving(folder: Path, limits: Limits = Limits(), **gateway: Any) -> AsyncIterator[Server]:  # noqa: B008 - frozen
    """A node in this process, so that a test may look at what it holds."""
    config = Config(
        gateway=Gateway(port=0, **gateway),
        http=Http(port=0),
        store=StoreConfig(url=f"sqlite:///{folder}/g.db"),
        auth=Auth(dev=True),
        limits=limits,
    )
    async with running_server(config) as server:
        yield server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        yield running


def url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.gateway.port}/ws"


async def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in this process without a sign to the outside."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - nobody in the node knows that a test waits
            await asyncio.sleep(0.005)


# Handshakes.
async def test_hello_and_first_requests_may_come_in_the_packet_of_the_handshake(server: Server) -> None:
    async with raw(server.gateway.port) as socket:
        socket.put(upgrade(), frame(PING, b"?"), say("hello", "h", token="dev:eve"), say("player.get", "p"))
        assert (await socket.answered()).status == 101
        assert await socket.next() == b"?"
        assert (await socket.reply("h"))["t"] == "welcome"
        assert (await socket.reply("p"))["t"] == "player.profile"


ORIGINS = {
    "another site": "Origin: https://evil.example\r\n",
    "no URL": "Origin: https://[evil\r\n",
    "none of this world": "Origin: null\r\n",
    "two": "Origin: http://127.0.0.1\r\nOrigin: https://evil.example\r\n",
    "no text": "Origin: \xff\xfe\r\n",
    "two hosts": "Host: evil.example\r\nOrigin: https://evil.example\r\n",
}


@pytest.mark.parametrize("what", ORIGINS)
async def test_an_origin_that_is_not_known_for_ours_is_answered_403(server: Server, what: str) -> None:
    """Two of a header, and what is no URL, left a traceback in the log and the client without an answer."""
    async with raw(server.gateway.port) as socket:
        socket.put(upgrade(headers=ORIGINS[what]))
        assert (await socket.answered()).status == 403


@pytest.mark.parametrize("host", ["", "[evil"])
async def test_an_origin_without_a_host_is_not_the_host_that_is_missing_too(server: Server, host: str) -> None:
    async with raw(server.gateway.port) as socket:
        socket.put(upgrade(headers="Origin: null\r\n", host=host))
        assert (await socket.answered()).status == 403


async def test_a_token_in_the_url_signs_nobody_in(server: Server) -> None:
    async with raw(server.gateway.port) as socket:
        socket.put(upgrade().replace(b"/ws", b"/ws?token=dev:eve"), say("player.get", "p"))
        await socket.answered()
        assert (await socket.reply("p"))["code"] == "auth.invalid"


FEW = Limits(admission=AdmissionLimits(connections_per_address=3, full_retry_s=7))


async def test_more_connections_than_an_address_may_have_get_503_and_when_to_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path, FEW) as server:
        async with raw(server.gateway.port), raw(server.gateway.port), raw(server.gateway.port) as last:
            last.put(upgrade())
            await last.answered()
            for _ in range(20):
                async with raw(server.gateway.port) as refused:
                    refused.put(upgrade(), say("hello", "h", token="dev:eve"))
                    assert (await refused.answered()).status == 503
                    assert "Retry-After: 7" in refused.head
        await until(lambda: held(server)["admitted"] == 0)
        async with signed_in(server.gateway.port, "ann") as ann:
            assert (await ann.reply("h"))["t"] == "welcome"


# Signing in.
async def test_of_a_hundred_sessions_of_one_player_five_live_and_the_others_are_closed_with_4503(
    server: Server,
) -> None:
    sockets = [await asyncio.open_connection("127.0.0.1", server.gateway.port) for _ in range(100)]
    all_of_them = [Raw(*socket) for socket in sockets]
    for n, socket in enumerate(all_of_them):
        socket.put(upgrade(), say("hello", f"h{n}", token="dev:eve"))
    for socket in all_of_them:
        await socket.answered()
    async with asyncio.timeout(PATIENCE_S):
        ends = [await socket.close_code() for socket in all_of_them[:95]]
    assert Counter(ends) == {4503: 95}
    for n, socket in enumerate(all_of_them[95:], 95):
        assert (await socket.reply(f"h{n}"))["t"] == "welcome"
    assert held(server)["live in actors"] == 5
    for socket in all_of_them:
        socket.writer.transport.abort()


async def test_another_hello_while_the_first_is_under_way_is_refused_and_changes_nothing(server: Server) -> None:
    async with raw(server.gateway.port) as socket:
        socket.put(upgrade(), say("hello", "h", token="dev:eve"), say("hello", "h2", token="dev:fay"))
        await socket.answered()
        assert (await socket.reply("h2"))["code"] == "protocol.invalid"
        assert (await socket.reply("h"))["player"] == "eve"


INTERNAL: dict[str, dict[str, Any]] = {
    "session.open": {"player": "ann", "session": {"session": "s", "node": "n", "generation": "g"}},
    "session.close": {"player": "ann", "session": {"session": "s", "node": "n", "generation": "g"}},
    "account.open": {"device": "d" * 43},
    "family.rotate": {"family": "f", "presented": {"anchor": "a", "secret": "s"}, "fresh": "x", "expires_ms": 1},
    "runtime.topic_open": {"topic": "player:ann", "greet": True},
    "welcome": {},
    "chat.message": {},
}


@pytest.mark.parametrize("tag", INTERNAL)
async def test_what_the_servers_parts_say_to_each_other_is_not_for_clients(server: Server, tag: str) -> None:
    async with signed_in(server.gateway.port, "eve") as eve:
        eve.put(say(tag, "x", **INTERNAL[tag]))
        assert (await eve.reply("x"))["code"] == "protocol.invalid"


NOT_HERS = [
    "player:ann",
    "chat:player:ann",
    "account:x",
    "chat:account:x",
    "family:x",
    "runtime:x",
    "room:x",
    "guild:nobody",
    "chat:room:never",
    "chat:dm:ann:bo",
    "chat:chat:room:x",
    "",
    ":",
    "guild:",
    "guild:\0",
    "room:\U0001f600",
    "player:ann ",
    "guild:'; DROP TABLE actors;--",
    "chat:room:" + "a" * 500,
    "guild:" + "b" * 3_000,
    "world:" + "9" * 155,
]


async def test_every_topic_that_is_not_the_players_to_read_is_gone_and_the_node_lives_on(server: Server) -> None:
    """A topic whose name no database would take ended the whole node, and the next one that the client came to."""
    async with outside(url(server), "ann") as ann:
        cursors = {topic: ["e", 0] for topic in NOT_HERS}
        async with signed_in(server.gateway.port, "eve", resume={"session": "s", "cursors": cursors}) as eve:
            welcome = await eve.reply("h")
            statuses = {topic: status["status"] for topic, status in welcome["topics"].items()}
            assert statuses == {**dict.fromkeys(NOT_HERS, "gone"), "player:eve": "reset", "announce": "reset"}
            eve.put(say("topic.sync", "s", topic="player:ann", after=0))
            assert (await eve.reply("s"))["code"] == "topic.not_readable"
        assert (await ann.ask("player.get"))["t"] == "player.profile"
        longest = max(server.node.host.activations, key=len)
        assert len(longest) <= 160


@pytest.mark.parametrize("seq", [-1, -(2**62), 2**53, 2**63 - 1])
async def test_a_cursor_from_nowhere_is_reset(server: Server, seq: int) -> None:
    async with signed_in(server.gateway.port, "eve") as eve:
        epoch = (await eve.reply("h"))["topics"]["player:eve"]["epoch"]
    async with signed_in(server.gateway.port, "eve", resume={"cursors": {"player:eve": [epoch, seq]}}) as eve:
        assert (await eve.reply("h"))["topics"]["player:eve"]["status"] == "reset"


@pytest.mark.parametrize("cursor", [["e", 2**63], ["e", 1.5], ["e", "1"], [1, 1], ["e"], ["e", 1, 2], None, {"a": 1}])
async def test_what_is_no_cursor_makes_the_hello_invalid_and_a_better_one_may_follow(
    server: Server, cursor: object
) -> None:
    async with signed_in(server.gateway.port, "eve", resume={"cursors": {"player:eve": cursor}}) as eve:
        assert (await eve.reply("h"))["code"] == "protocol.invalid"
        eve.put(say("hello", "h2", token="dev:eve"))
        assert (await eve.reply("h2"))["t"] == "welcome"


async def test_as_many_topics_as_a_hello_may_name_are_followed_and_one_more_makes_it_invalid(server: Server) -> None:
    """256 of the client's own choice, beside the inbox and announcements, which it need not name."""
    cursors = {f"chat:world:{n}": ["e", 0] for n in range(257)}
    async with signed_in(server.gateway.port, "eve", resume={"cursors": cursors}) as eve:
        assert (await eve.reply("h"))["code"] == "protocol.invalid"
        del cursors["chat:world:256"]
        eve.put(say("hello", "h2", token="dev:eve", resume={"cursors": cursors}))
        assert (await eve.reply("h2"))["topics"].keys() == {*cursors, "player:eve", "announce"}
    await until(lambda: held(server)["streams"] == 0)


# Floods.
async def test_too_many_requests_are_told_when_to_come_back_and_abuse_ends_with_4004(server: Server) -> None:
    async with outside(url(server), "ann") as ann, signed_in(server.gateway.port, "eve") as eve:
        await eve.reply("h")
        for n in range(400):
            eve.put(say("player.get", f"p{n}"))
        limited = []
        while isinstance(answer := await eve.next(), dict):
            limited += [answer] if answer["t"] == "error" else []
        assert answer == 4004
        assert {(a["code"], a["retry"]) for a in limited} == {("rate.limited", "later")}
        assert all(0 < a["retry_after_ms"] <= 1_000 for a in limited)
        assert (await ann.ask("player.get"))["t"] == "player.profile"


FLOODS = {
    "pings": frame(PING, b"x" * 125),
    "pongs": frame(PONG),
    "pings in JSON": say("ping", "p"),
    "fragments": frame(CONT, b"", fin=False),
}


async def test_a_flood_before_the_welcome_ends_with_4004(server: Server) -> None:
    async with raw(server.gateway.port) as socket:
        socket.put(upgrade(), say("hello", "h", token="dev:eve"), say("player.get", "p") * 400)
        await socket.answered()
        assert await socket.close_code() == 4004


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_of_what_is_no_request_ends_with_4004_too(server: Server, what: str) -> None:
    """Pings of both kinds, pongs and fragments were free, and one socket could keep a core busy with them."""
    async with signed_in(server.gateway.port, "eve") as eve:
        assert (await eve.reply("h"))["t"] == "welcome"
        eve.put(frame(TEXT, b"", fin=False) if what == "fragments" else b"")
        eve.put(FLOODS[what] * 1_000)
        assert await eve.close_code() == 4004


async def test_a_hello_behind_a_flood_of_pings_is_not_left_without_an_end(server: Server) -> None:
    async with raw(server.gateway.port) as socket:
        socket.put(upgrade(), say("ping", "p") * 95, say("hello", "h", token="dev:eve"))
        await socket.answered()
        assert (await socket.reply("h"))["code"] == "rate.limited"
        assert await socket.close_code() == 4004


@pytest.mark.parametrize("what", ["pings in JSON", "history"])
async def test_answers_to_who_does_not_read_are_bounded_and_end_with_4001(tmp_path: Path, what: str) -> None:
    """Only events were: a client that asked for history and never read it could fill the node's memory."""
    async with (
        serving(tmp_path, Limits(enabled="off"), outbound_bytes=65_536) as server,
        outside(url(server), "ann") as ann,
    ):
        await ann.ask("chat.join", channel="room:raid")
        for _ in range(20):
            await ann.ask("chat.send", channel="room:raid", text="x" * 1_900)
        async with signed_in(server.gateway.port, "eve") as eve:
            await eve.reply("h")
            eve.put(say("chat.join", "j", channel="room:raid"))
            await eve.reply("j")
            eve.reader._transport.pause_reading()  # type: ignore[attr-defined]
            (connection,) = [c for c, s in server.gateway._connections.items() if s and s.player == "eve"]
            most = 0
            for n in range(3_000):
                eve.put(
                    say("chat.history", f"c{n}", channel="room:raid") if what == "history" else say("ping", "p") * 50
                )
                await asyncio.sleep(0)
                most = max(most, connection.unsent_bytes)
                if not connection.open:
                    break
            assert not connection.open
            assert most < 300_000
            framing = connection._ws
            assert framing is not None
            assert framing.close_sent is not None
            assert framing.close_sent.code == 4001


# Alive.
async def test_a_websocket_ping_is_a_frame_and_keeps_the_session(tmp_path: Path) -> None:
    """PROTOCOL.md, Session 3: a client sends at least one frame every ``heartbeat_ms``; native ones ping."""
    async with serving(tmp_path, heartbeat_s=0.2) as server:
        async with signed_in(server.gateway.port, "eve") as eve, signed_in(server.gateway.port, "mute") as mute:
            await eve.reply("h")
            silence = asyncio.ensure_future(mute.close_code())
            while not silence.done():
                eve.put(frame(PING, b"!"))
                assert await eve.next() == b"!"
                await asyncio.sleep(0.02)
            assert silence.result() == 4002
            eve.put(say("player.get", "p"))
            assert (await eve.reply("p"))["t"] == "player.profile"


async def test_a_text_frame_in_a_messagepack_session_is_told_what_is_wrong_with_it(server: Server) -> None:
    async with raw(server.gateway.port) as socket:
        socket.put(upgrade(headers="Sec-WebSocket-Protocol: guildhall.v1.msgpack\r\n"), b"")
        await socket.answered()
        socket.put(say("hello", "h", token="dev:eve"))
        assert b"guildhall.v1.msgpack travels in binary frames" in await socket.reader.read(65_536)


# Leaving nothing behind.
MANY = Limits(admission=AdmissionLimits(handshakes_per_address=Rate(per_s=1_000, burst=1_000)))


async def test_nothing_is_left_of_500_connections_that_ended_at_every_step(tmp_path: Path) -> None:
    async with serving(tmp_path, MANY) as server:
        async with outside(url(server), "ann") as ann:
            await ann.ask("chat.join", channel="room:raid")
            before = held(server)
            for n in range(500):
                await one_that_ends(server, n)
                if n % 50 == 0:
                    assert (await ann.ask("player.get"))["t"] == "player.profile"
            await until(lambda: held(server) == before)
        await until(lambda: not any(held(server).values()))


async def one_that_ends(server: Server, n: int) -> None:
    """A connection that ends at the ``n``-th step, modulo the number of steps."""
    hello = say("hello", "h", token=f"dev:p{n % 7}", resume={"cursors": {"chat:room:raid": ["e", 0]}})
    join = say("chat.join", f"j{n}-{os.urandom(3).hex()}", channel="room:raid")
    steps: list[list[bytes]] = [
        [],
        [upgrade()[:40]],
        [upgrade().replace(b"/ws", b"/healthz")],
        [upgrade(headers="Origin: https://evil.example\r\n")],
        [upgrade()],
        [upgrade(), hello],
        [upgrade(), hello, join],
        [upgrade(), hello[:50]],
        [upgrade(), hello.replace(b"dev:", b"bad:")],
        [upgrade(), hello, frame(CLOSE, b"\x03\xe8")],
        [upgrade(), hello, join, frame(3)],
        [upgrade(), hello, join, join, say("chat.history", "c", channel="room:raid")],
    ]
    async with raw(server.gateway.port) as socket:
        parts = steps[n % len(steps)]
        socket.put(*parts)
        patience = n // len(steps) % 4
        if patience and len(parts) > 1:
            await socket.answered()
        if patience > 1 and hello in parts and len(parts) > 2:
            await socket.next()  # the welcome, or the end where the last part has closed the connection
        for _ in range(patience):
            await asyncio.sleep(0)


def held(server: Server) -> dict[str, int]:
    """What the node holds for its sessions."""
    gateway, node = server.gateway, server.node
    admission = gateway._parts.admission
    live = 0
    for address, activation in node.host.activations.items():
        actor = activation.actor
        if address.startswith("player:") and actor is not None:
            sessions: Any = actor.states()["sessions"]
            live += len(sessions.live)
    return {
        "connections": len(gateway._connections),
        "sessions": len(gateway._by_generation),
        "players": len(gateway._by_player),
        "streams": len(node.hub._streams.keys() - {"announce"}),  # which every node follows by itself
        "live in actors": live,
        "admitted": admission.connections if admission else 0,
    }
