"""What bad input gets: a stable code, a connection that lives on where PROTOCOL.md says so, and nothing half-done."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from server.config import Gateway
from tests.support.nodes import NodeProcess, node
from tests.support.servers import private_mariadb
from tests.support.wire import Outside, outside


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("node")
    with node(folder, "node", "--store", f"sqlite:///{folder}/g.db", "--limits", "off") as running:
        yield running


BAD = {
    "unknown type": {"t": "no.such.thing", "id": "bad-1"},
    "missing field": {"t": "chat.send", "id": "bad-1", "channel": "room:x"},
    "wrong type": {"t": "chat.send", "id": "bad-1", "channel": "room:x", "text": 5},
    "text too long": {"t": "chat.send", "id": "bad-1", "channel": "room:x", "text": "x" * 2001},
    "text of control characters only": {"t": "chat.send", "id": "bad-1", "channel": "room:x", "text": "\u0007\u202e"},
    "no such kind of channel": {"t": "chat.send", "id": "bad-1", "channel": "cellar:x", "text": "hi"},
    "too long": {"t": "chat.send", "id": "bad-1", "channel": "room:x", "text": "hi", "data": {"a": "x" * 17_000}},
    "number out of range": {"t": "chat.send", "id": "bad-1", "channel": "room:x", "text": "hi", "data": {"a": 2**64}},
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_message_gets_a_stable_code_and_the_connection_lives_on(server: NodeProcess, what: str) -> None:
    async with outside(server.url, "eve") as eve:
        refused = await _raw(eve, json.dumps(BAD[what]))
        assert refused["t"] == "error"
        assert refused["code"] == "protocol.invalid"
        assert refused["retry"] == "never"
        assert refused["trace"]
        assert (await eve.ask("player.get"))["t"] == "player.profile"


RAW = {
    "no JSON": "hello?",
    "a list": "[]",
    "an empty frame": "",
    "too deep": '{"t":"ping","id":"p","x":' + "[" * 5000 + "]" * 5000 + "}",
    "binary in a JSON session": msgpack.packb({"t": "ping", "id": "p"}),
    "NaN": '{"t":"chat.send","id":"p","channel":"room:x","text":"hi","data":{"a":NaN}}',
}


@pytest.mark.parametrize("what", RAW)
async def test_what_is_no_message_gets_protocol_invalid_and_the_connection_lives_on(
    server: NodeProcess, what: str
) -> None:
    async with outside(server.url, "eve") as eve:
        refused = await _raw(eve, RAW[what])
        assert refused["code"] == "protocol.invalid"
        assert (await eve.ask("player.get"))["t"] == "player.profile"


async def test_the_tenth_invalid_message_within_a_minute_ends_the_connection_with_4500(server: NodeProcess) -> None:
    async with outside(server.url, "eve") as eve:
        for _ in range(10):
            await eve.send_raw("{}")
        assert await eve.closed() == 4500


async def test_text_that_is_no_utf_8_ends_the_connection_with_1007(server: NodeProcess) -> None:
    """RFC 6455, section 8.1: it is no message, so there is none to be refused."""
    async with connect(server.url) as socket:
        await socket.send(b'{"t":"hello","id":"h","token":"dev:\xff"}', text=True)
        with pytest.raises(ConnectionClosedError) as ended:
            await socket.recv()
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1007


async def test_a_connection_without_a_hello_in_time_is_closed_with_4501(tmp_path: Path) -> None:
    """The time is 5 s where nothing else is said."""
    assert Gateway().hello_timeout_s == 5
    config = tmp_path / "soon.toml"
    config.write_text("[gateway]\nhello_timeout_s = 1\n")
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db", "--config", str(config)) as server:
        started = asyncio.get_running_loop().time()
        async with outside(server.url, "eve", hello=False) as eve:
            assert await eve.closed() == 4501
        assert 0.8 < asyncio.get_running_loop().time() - started < 4


@pytest.mark.parametrize("token", ["", "dev:", "dev:a b", "nonsense", "a.b.c"])
async def test_a_token_that_does_not_verify_ends_with_auth_invalid_and_4501(server: NodeProcess, token: str) -> None:
    async with outside(server.url, "eve", hello=False) as eve:
        refused = await eve.ask("hello", token=token)
        assert refused["code"] == "auth.invalid"
        assert await eve.closed() == 4501


async def test_the_same_id_with_another_body_is_refused_and_changes_nothing(server: NodeProcess) -> None:
    async with outside(server.url, "fay") as fay:
        await fay.ask("chat.join", channel="room:same")
        number = fay.new_id()
        first = await fay.ask("chat.send", id=number, channel="room:same", text="one")
        other = await fay.ask("chat.send", id=number, channel="room:same", text="two")
        again = await fay.ask("chat.send", id=number, channel="room:same", text="one")
        assert other["code"] == "request.id_reused"
        assert again == first
        assert [text for _, text in fay.lines("chat:room:same")] == ["one"]


async def test_an_id_older_than_the_window_is_refused_and_never_run_again(server: NodeProcess) -> None:
    async with outside(server.url, "gus") as gus:
        await gus.ask("chat.join", channel="room:old")
        first = gus.new_id()
        await gus.ask("chat.send", id=first, channel="room:old", text="first")
        for n in range(40):
            await gus.ask("chat.send", channel="room:old", text=f"later {n}")
        refused = await gus.ask("chat.send", id=first, channel="room:old", text="first")
        assert refused["code"] == "request.too_old"
        assert len(gus.lines("chat:room:old")) == 41


async def test_an_old_id_without_a_counter_is_refused_by_the_log_itself(server: NodeProcess) -> None:
    """An id that cannot be placed in time is not known to be old; the unique key of the log knows it."""
    async with outside(server.url, "hal") as hal:
        await hal.ask("chat.join", channel="room:older")
        await hal.ask("chat.send", id="justonce", channel="room:older", text="first")
        for n in range(40):
            await hal.ask("chat.send", channel="room:older", text=f"later {n}")
        refused = await hal.ask("chat.send", id="justonce", channel="room:older", text="first")
        assert refused["code"] == "request.too_old"
        after = await hal.ask("chat.send", channel="room:older", text="goes on")
        assert (after["t"], after["seq"]) == ("chat.sent", 42)


async def test_a_stranger_may_not_speak_where_it_has_not_joined(server: NodeProcess) -> None:
    async with outside(server.url, "ivy") as ivy:
        for channel in ("room:secret", "guild:nothere"):
            refused = await ivy.ask("chat.send", channel=channel, text="hi")
            assert refused["code"] == "chat.not_member"
        assert (await ivy.ask("chat.send", channel="dm:ann:bo", text="hi"))["code"] == "chat.not_allowed"


async def test_a_page_of_another_site_may_not_connect(server: NodeProcess) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(server.url, origin="https://evil.example"):  # type: ignore[arg-type]
            pass
    assert refused.value.response.status_code == 403


async def test_unknown_subprotocols_are_closed_with_4505(server: NodeProcess) -> None:
    async with connect(server.url, subprotocols=["guildhall.v9.xml"]) as socket:  # type: ignore[list-item]
        await socket.wait_closed()
        assert socket.close_code == 4505


async def test_no_subprotocol_means_json(server: NodeProcess) -> None:
    async with connect(server.url) as socket:
        await socket.send('{"t":"hello","id":"h","token":"dev:jo"}')
        assert json.loads(await socket.recv())["t"] == "welcome"


async def test_a_database_that_is_down_at_start_is_waited_for_readyz_says_so_and_sigterm_is_heard(
    tmp_path: Path,
) -> None:
    with private_mariadb() as database:
        url = database.url("late")
        database.kill()
        impatient = NodeProcess(tmp_path, "impatient", "--store", url)
        impatient.start(wait=False)
        while not (await asyncio.to_thread(impatient.readyz))[0]:  # noqa: ASYNC110 - another process: only asking tells
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(impatient.terminate) == 0, impatient.tail()
        waiting = NodeProcess(tmp_path, "waiting", "--store", url)
        try:
            waiting.start(wait=False)
            while True:
                status, body = await asyncio.to_thread(waiting.readyz)
                if status:
                    break
                await asyncio.sleep(0.05)
            assert status == 503
            assert "store" in body
            assert "p@ss" not in waiting.tail() + body
            database.start()
            await asyncio.to_thread(waiting.wait_ready)
        finally:
            waiting.stop()


async def _raw(client: Outside, payload: str | bytes) -> dict[str, object]:
    """Send a payload as it is and wait for the next thing that is no reply to anything known."""
    before = len(client.events)
    await client.send_raw(payload)
    events = await client.until(lambda events: len(events) > before)
    return events[before]
