"""The Python client against a server that misbehaves on purpose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import uvloop

from clients.python import Client, ClientOptions, NotConnected, OutcomeUnknown, Refused, SessionEnded, TokenSource
from protocol import TooManyPending
from tests.clients.peer import Line, NoPause, Peer

LOBBY = "chat:room:lobby"
JOINED = {"t": "chat.joined", "channel": "room:lobby", "epoch": "e1", "seq": 5, "recent": [], "members": 1}
RESUMED = {"epoch": "e1", "seq": 7, "status": "resumed"}


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A server that says what the test tells it to."""
    async with Peer().listening() as listening:
        yield listening


def connect(
    peer: Peer, *, token: str | TokenSource = "dev:ann", within_s: float = 10.0, event_limit: int = 100
) -> AbstractAsyncContextManager[Client]:
    """A client that never pauses for longer than it must."""
    options = ClientOptions(within_s=within_s, event_limit=event_limit, dice=NoPause(1))
    return Client.connect(peer.url, token=token, wire="json", options=options)


@asynccontextmanager
async def online(client: AbstractAsyncContextManager[Client], peer: Peer) -> AsyncIterator[tuple[Client, Line]]:
    """A client that is online, and the server's end of its connection."""
    async with asyncio.TaskGroup() as tasks:
        line = tasks.create_task(peer.welcomed())
        async with client as me:
            yield me, await line


async def test_a_request_without_an_answer_is_sent_again_with_its_id_after_a_lost_connection(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(me.say("room:lobby", "hello", mood=1))
        first = await line.read()
        assert (
            first.items() >= {"t": "chat.send", "channel": "room:lobby", "text": "hello", "data": {"mood": 1}}.items()
        )
        line.cut()
        again = await peer.welcomed()
        assert again.hello["resume"] == {"session": "s1", "cursors": {}}
        assert await again.read() == first
        await again.send({"t": "chat.sent", "re": first["id"], "channel": "room:lobby", "seq": 1, "at": 2})
        assert (await asked)["seq"] == 1


@pytest.mark.parametrize("rule", [{"retry": "now"}, {"retry": "later", "retry_after_ms": 1}])
async def test_an_error_that_may_be_repeated_is_repeated_with_the_same_id(peer: Peer, rule: dict[str, object]) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(me.request("guild.find", name="Owls"))
        first = await line.read()
        await line.send({"t": "error", "re": first["id"], "code": "actor.moved", "message": "", "trace": "", **rule})
        assert await line.read() == first
        await line.send({"t": "guild.found", "re": first["id"], "guild": "g", "name": "Owls"})
        assert (await asked)["guild"] == "g"


async def test_a_refusal_is_raised_with_all_that_the_server_said_and_as_it_is(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(_failure(me.request("guild.join", guild="g")))
        request = await line.read()
        error = {"code": "guild.full", "message": "30 of 30", "retry": "never", "trace": "t1"}
        await line.send({"t": "error", "re": request["id"], **error})
        refused = await asked
        assert isinstance(refused, Refused)
        assert (refused.code, refused.message, refused.trace) == ("guild.full", "30 of 30", "t1")


async def test_what_goes_wrong_in_the_block_comes_out_of_it_unwrapped(peer: Peer) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(peer.welcomed())
        with pytest.raises(KeyError, match="mine"):
            async with connect(peer):
                raise KeyError("mine")


async def test_a_missing_answer_is_an_unknown_outcome_which_can_be_waited_for(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line):
        with pytest.raises(OutcomeUnknown) as unknown:
            await me.ask("guild.leave", {}, within_s=0)
        request = await line.read()
        assert unknown.value.op == request["id"]
        await line.send({"t": "guild.left", "re": request["id"], "guild": "g"})
        assert (await me.outcome(unknown.value))["guild"] == "g"


@pytest.mark.parametrize("how", ["forgotten", "cancelled"])
async def test_a_request_that_is_given_up_is_not_sent_again(peer: Peer, how: str) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        if how == "forgotten":
            with pytest.raises(OutcomeUnknown) as unknown:
                await me.ask("guild.leave", {}, within_s=0)
            me.forget(unknown.value)
        else:
            asked = tasks.create_task(me.request("guild.leave"))
            assert (await line.read())["t"] == "guild.leave"
            asked.cancel()
            await asyncio.wait([asked])
        line.cut()
        again = await peer.welcomed()
        tasks.create_task(me.request("player.get"))
        request = await again.read()
        assert request["t"] == "player.get"
        await again.send({"t": "player.profile", "re": request["id"]})


async def test_events_of_a_joined_channel_come_in_order_each_once_over_a_reconnect(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        joined = tasks.create_task(me.join("room:lobby"))
        await line.send({**JOINED, "re": (await line.read())["id"]})
        await joined
        await line.event(LOBBY, 6, text="six")
        events = me.events("chat.message")
        assert (await anext(events))["text"] == "six"
        line.cut()
        again = await peer.welcomed(topics={LOBBY: RESUMED})
        assert again.hello["resume"]["cursors"] == {LOBBY: ["e1", 6]}
        for seq, text in ((6, "six"), (7, "seven"), (7, "seven"), (8, "eight")):
            await again.event(LOBBY, seq, text=text)
        assert [(await anext(events))["text"] for _ in range(2)] == ["seven", "eight"]


async def test_a_silent_server_is_left_for_a_new_connection_which_the_end_of_the_old_one_does_not_disturb(
    peer: Peer,
) -> None:
    async with asyncio.TaskGroup() as tasks:
        silent = tasks.create_task(peer.welcomed(heartbeat_ms=20))
        async with connect(peer) as me:
            again = await peer.welcomed()
            old = (await silent).socket
            await old.wait_closed()
            assert old.close_code == 4002
            asked = tasks.create_task(me.request("player.get"))
            await again.send({"t": "player.profile", "re": (await again.read())["id"], "id": "ann"})
            assert (await asked)["id"] == "ann"
            assert me.online
    assert again.socket.close_code == 1000


async def test_the_reader_hears_of_lost_connections_and_of_topics_to_load_again(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        joined = tasks.create_task(me.join("room:lobby"))
        await line.send({**JOINED, "re": (await line.read())["id"]})
        await joined
        await line.close(4000, '{"retry_after_ms":1}')
        await peer.welcomed(topics={LOBBY: {"epoch": "e2", "seq": 1, "status": "reset"}})
        events = me.events()
        heard = [await anext(events) for _ in range(4)]
        assert [event["t"] for event in heard] == ["client.online", "client.offline", "client.online", "client.reset"]
        assert heard[1]["code"] == 4000
        assert heard[3]["topic"] == LOBBY


async def test_a_guild_that_is_watched_is_followed_from_the_place_that_its_view_shows(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(me.watch_guild("g"))
        request = await line.read()
        watched = {"t": "guild.watched", "guild": {"guild": "g"}, "topic": "guild:g", "epoch": "e1", "seq": 3}
        await line.send({**watched, "re": request["id"]})
        await line.event("guild:g", 3, text="in the view already")
        await line.event("guild:g", 4, text="new")
        await watching
        assert (await anext(me.events("chat.message")))["text"] == "new"


async def test_a_code_from_4500_on_ends_everything_that_waits_for_the_server(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(_failure(me.request("player.get")))
        await line.read()
        await line.event(LOBBY, text="the last one")
        await line.close(4502, "banned")
        ended = await asked
        assert isinstance(ended, SessionEnded)
        assert (ended.code, ended.reason) == (4502, "banned")
        heard = []
        with pytest.raises(SessionEnded):
            async for event in me.events("chat.message"):
                heard.append(event["text"])  # noqa: PERF401 - what came before the end is the point
        assert heard == ["the last one"]
        with pytest.raises(SessionEnded):
            await me.request("player.get")


async def test_a_token_that_has_become_too_old_is_replaced_by_a_new_one(peer: Peer) -> None:
    tokens = iter(["first", "second"])

    async def source() -> str:
        return next(tokens)

    async with online(connect(peer, token=source), peer) as (me, line), asyncio.TaskGroup() as tasks:
        assert line.hello["token"] == "first"
        asked = tasks.create_task(me.request("player.get"))
        request = await line.read()
        await line.close(4501, "auth.expired")
        again = await peer.welcomed()
        assert again.hello["token"] == "second"
        assert await again.read() == request
        await again.send({"t": "player.profile", "re": request["id"], "id": "ann"})
        assert (await asked)["id"] == "ann"


async def test_a_refused_token_ends_the_sign_in_at_once(peer: Peer) -> None:
    async def refuse() -> None:
        line = await peer.line()
        hello = await line.read()
        await line.send({"t": "error", "re": hello["id"], "code": "auth.invalid", "message": "", "retry": "never"})

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(refuse())
        with pytest.raises(SessionEnded, match=r"4501 auth\.invalid"):
            async with connect(peer):
                pass


async def test_a_server_that_takes_nobody_is_not_connected_in_time_and_the_reason_is_told(peer: Peer) -> None:
    peer.refuse = 503
    with pytest.raises(NotConnected, match="HTTP 503"):
        async with connect(peer, within_s=0.3):
            pass


async def test_requests_that_wait_are_bounded(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(me.request("player.get")) for _ in range(64)]
        for _ in waiting:
            await line.read()
        with pytest.raises(TooManyPending):
            await me.request("player.get")
        for task in waiting:
            task.cancel()


async def test_a_message_in_many_pieces_is_one_message(peer: Peer) -> None:
    async with online(connect(peer), peer) as (me, line):
        for text in ("whole", "again"):
            await line.socket.send(iter(['{"t":"chat.me', 'ssage","te', f'xt":"{text}"}}']))
            assert (await anext(me.events("chat.message")))["text"] == text
        await line.event(LOBBY, text="x" * 2_000_000)
        assert len((await anext(me.events("chat.message")))["text"]) == 2_000_000


def test_uvloop_runs_it_as_well() -> None:
    async def talk() -> None:
        async with Peer().listening() as peer, online(connect(peer), peer) as (me, line), asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(me.request("player.get"))
            await line.send({"t": "player.profile", "re": (await line.read())["id"], "id": "ann"})
            assert (await asked)["id"] == "ann"
        assert line.socket.close_code == 1000

    uvloop.run(talk())


async def test_leaving_the_block_says_goodbye_and_ends_the_readers(peer: Peer) -> None:
    async with asyncio.TaskGroup() as tasks:
        async with online(connect(peer), peer) as (me, line):
            reader = tasks.create_task(_all(me))
            asked = tasks.create_task(_failure(me.request("player.get")))
            assert (await line.read())["t"] == "player.get"
        await line.socket.wait_closed()
        assert line.socket.close_code == 1000
        assert isinstance(await asked, NotConnected)
        assert [event["t"] for event in await reader] == ["client.online"]


async def _all(me: Client) -> list[dict[str, object]]:
    return [event async for event in me.events()]


async def _failure(asked: Awaitable[object]) -> Exception | None:
    """What ``asked`` raises."""
    try:
        await asked
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        return error
    return None
