"""What a network does to a player's connections, in simulated time."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec
import pytest

from clients.python import Link
from loadtest.players.networks import NETWORKS, Network, Trouble
from loadtest.players.pipe import OVERHEAD_BYTES, SEGMENT_BYTES
from loadtest.players.shaping import CHANGED, CLOSING_S, WINDOW_BYTES, ShapedDial
from protocol import Wire
from tests.loadtest.far import App, Line, Server, now, simulated

MANY = [b"%d" % n for n in range(500)]


class Call:
    """One player, connected."""

    def __init__(self, network: Network, seed: int = 1) -> None:
        self.server = Server()
        self.app = App()
        self.dial = ShapedDial(self.server, network, Random(seed))

    async def stands(self, wire: Wire = Wire.JSON) -> tuple[Link, Line]:
        """The application's end and the server's."""
        return await self.dial(wire, self.app), self.server.line


def in_a_call(network: Network, play: Callable[[Call], Awaitable[None]], seed: int = 1) -> None:
    """Play on such a network."""

    async def whole() -> None:
        await play(Call(network, seed))

    simulated(whole, seed)


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"perfect"}))
def test_everything_arrives_once_and_in_order_on_every_network(name: str) -> None:
    network = msgspec.structs.replace(NETWORKS[name], dial_fails=0.0, twice=False)

    async def play(call: Call) -> None:
        link, line = await call.stands()
        for payload in MANY:
            link.send(payload)
            line.say(payload)
            await asyncio.sleep(0.01)
        await asyncio.sleep(600)
        assert line.payloads == call.app.payloads == MANY
        assert call.dial.injected[Trouble.STALL] > 0

    in_a_call(network, play)


def test_a_perfect_network_adds_nothing_not_even_an_object() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        assert link is line
        assert now() == 0

    in_a_call(NETWORKS["perfect"], play)


def test_a_message_takes_the_latency_each_way_and_a_connection_its_round_trips() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        assert now() == pytest.approx(3 * 0.2)
        link.send(b"up")
        line.say(b"down")
        await asyncio.sleep(1)
        assert [at for at, _ in line.came] == [at for at, _ in call.app.came] == [pytest.approx(0.7)]

    in_a_call(Network(latency_ms=100, connect_trips=3), play)


def test_bytes_queue_behind_each_other_as_the_bandwidth_has_it() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        size = 1_000 - OVERHEAD_BYTES
        for letter in (b"a", b"b"):
            link.send(letter * size)
            line.say(letter * size)
        link.send(b"c" * (2_000 - OVERHEAD_BYTES))
        await asyncio.sleep(60)
        assert [at for at, _ in line.came] == pytest.approx([1, 2, 4])
        assert [at for at, _ in call.app.came] == pytest.approx([0.5, 1])

    in_a_call(Network(up_kbps=8, down_kbps=16), play)


def test_a_loss_is_a_wait_for_the_retransmission_for_all_that_is_behind_it() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        for payload in MANY:
            link.send(payload)
            await asyncio.sleep(10)
        late = [round(at - 10 * n, 3) for n, (at, _) in enumerate(line.came)]
        assert set(late) <= {0.05, 0.35, 0.95, 2.15, 4.55, 9.35}  # 0.3 s after the first time, 0.6 s after the second
        assert {0.05, 0.35, 0.95} < set(late)
        assert call.dial.injected[Trouble.STALL] == sum(delay > 0.05 for delay in late)
        assert 0.15 < sum(delay > 0.05 for delay in late) / len(MANY) < 0.25
        began = now()
        for payload in MANY:
            link.send(payload)
        await asyncio.sleep(60)
        arrivals = [round(at - began, 3) for at, _ in line.came[len(MANY) :]]
        assert arrivals == sorted(arrivals)
        assert sum(at == 0.05 for at in arrivals) < 50  # the first that is lost has the others wait

    in_a_call(Network(latency_ms=50, loss=0.2), play)


def test_of_a_long_message_each_segment_may_be_lost() -> None:
    async def play(call: Call) -> None:
        link, _ = await call.stands()
        for _ in range(300):
            link.send(bytes(20 * SEGMENT_BYTES))
        assert 0.5 < call.dial.injected[Trouble.STALL] / 300 < 0.8  # 1 - 0.95 ** 21 = 0.66
        link.abort()

    in_a_call(Network(loss=0.05), play)


# The end of a connection.
def test_what_was_on_its_way_arrives_before_the_end_of_the_connection() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        line.say(*MANY)
        line.end(4000, "draining")
        await link.wait_gone()
        assert call.app.payloads == MANY
        assert [(code, reason) for _, code, reason in call.app.losses] == [(4000, "draining")]

    in_a_call(Network(latency_ms=100, jitter_ms=90, loss=0.1), play)


def test_a_goodbye_goes_behind_what_was_sent_and_nothing_is_heard_after_it() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        link.send(b"last")
        line.say(b"too late")
        link.close(1000, "")
        link.send(b"after the goodbye")
        await link.wait_gone()
        assert line.came == [(pytest.approx(0.1), b"last")]
        assert line.goodbyes == [(pytest.approx(0.1), 1000)]
        assert (call.app.came, call.app.losses) == ([], [(pytest.approx(0.2), 1000, "")])

    in_a_call(Network(latency_ms=100), play)


def test_an_abort_is_at_once_and_loses_what_was_on_its_way() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        link.send(b"lost")
        line.say(b"lost")
        link.abort()
        await link.wait_gone()
        assert line.cut_at == 0
        await asyncio.sleep(10)
        link.send(b"nobody is there")
        link.abort()
        assert (line.came, call.app.came) == ([], [])
        assert [code for _, code, _ in call.app.losses] == [1006]

    in_a_call(Network(latency_ms=100), play)


def test_a_dial_may_fail_and_a_cancelled_one_leaves_nothing_open() -> None:
    async def play(call: Call) -> None:
        failed = 0
        for _ in range(200):
            try:
                (await call.stands())[0].abort()
            except OSError:
                failed += 1
        assert 0.4 < failed / 200 < 0.6
        assert failed == call.dial.injected[Trouble.UNREACHED]
        opened = len(call.server.lines)
        assert opened == 200 - failed
        for _ in range(20):
            async with asyncio.TaskGroup() as tasks:
                dialling = tasks.create_task(call.stands())
                await asyncio.sleep(0.27)  # the last half of a round trip is missing
                dialling.cancel()
        assert len(call.server.lines) > opened
        assert all(line.cut_at is not None for line in call.server.lines)

    in_a_call(Network(latency_ms=50, connect_trips=3, dial_fails=0.5), play)


def test_what_the_server_says_before_the_dial_has_returned_is_heard_after_it() -> None:
    async def play(call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            dialling = tasks.create_task(call.stands())
            await asyncio.sleep(0.51)
            call.server.line.say(b"early")
            await asyncio.sleep(0.08)
            assert not dialling.done()
            assert call.app.came == []
            await dialling
        await asyncio.sleep(1)
        assert call.app.payloads == [b"early"]

    for seed in range(10):  # of some the message is faster than the last half of the round trip
        in_a_call(Network(latency_ms=100, jitter_ms=99, connect_trips=3), play, seed)


# What happens to a phone.
def test_in_a_tunnel_nothing_gets_through_and_after_it_everything_in_order() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        link.send(b"0")
        line.say(b"0")
        call.dial.tunnel(20)
        for n in range(1, 20):
            link.send(b"%d" % n)
            line.say(b"%d" % n)
            await asyncio.sleep(1)
        assert (line.came, call.app.came) == ([], [])
        assert line.unread > 0, "the server's own buffers fill"
        async with asyncio.TaskGroup() as tasks:
            another = tasks.create_task(call.stands())
            await asyncio.sleep(0.9)
            assert not another.done()
        assert now() >= 20, "nobody connects in a tunnel"
        await asyncio.sleep(60)
        assert line.payloads == call.app.payloads == [b"%d" % n for n in range(20)]
        assert all(20 <= at <= 42 for at, _ in line.came + call.app.came), "sent again after twice the time at most"
        assert call.dial.injected == {Trouble.TUNNEL: 1}

    in_a_call(Network(latency_ms=50, connect_trips=1, tunnel_every_s=1e6), play)


def test_a_tunnel_that_begins_while_something_arrives_keeps_back_what_is_behind_it() -> None:
    class Driver(App):
        def __init__(self, call: Call) -> None:
            super().__init__()
            self._call = call

        def heard(self, payload: bytes) -> None:
            super().heard(payload)
            self._call.dial.tunnel(20)

    async def play(call: Call) -> None:
        driver = call.app = Driver(call)
        _, line = await call.stands()
        line.say(b"before", b"behind")
        await asyncio.sleep(60)
        assert driver.payloads == [b"before", b"behind"]
        assert driver.came[0][0] == pytest.approx(0.1)
        assert driver.came[1][0] > 20

    in_a_call(Network(latency_ms=100, tunnel_every_s=1e6), play)


def test_who_gives_a_connection_up_in_a_tunnel_is_not_heard_by_the_server() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        call.dial.tunnel(20)
        await asyncio.sleep(5)
        link.close(1000, "")
        await link.wait_gone()
        assert now() == pytest.approx(5 + CLOSING_S)
        assert call.app.losses == [(pytest.approx(7), 1006, "")]
        await asyncio.sleep(12)
        assert (line.came, line.goodbyes, line.cut_at) == ([], [], None)
        await asyncio.sleep(2)
        assert line.cut_at == pytest.approx(20)

    in_a_call(Network(latency_ms=50), play)


def test_a_switch_is_heard_at_once_and_the_server_keeps_an_end_on_which_nobody_is() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        link.send(b"on its way")
        line.say(b"on its way")
        call.dial.switch()
        await link.wait_gone()
        assert call.app.losses == [(0, 1006, CHANGED)]
        link.send(b"too late")
        link.abort()  # as a shell does with a link that is gone
        second = App()
        await call.dial(Wire.JSON, second)
        call.server.line.say(b"the new one")
        await asyncio.sleep(4.9)
        line.say(b"are you there")
        assert second.payloads == [b"the new one"]
        assert (line.came, line.goodbyes, line.cut_at, call.app.came) == ([], [], None, [])
        await asyncio.sleep(11)
        assert line.cut_at is not None
        assert 5 <= line.cut_at <= 15
        assert call.app.came == []
        assert (call.server.line.cut_at, second.losses) == (None, [])

    in_a_call(Network(latency_ms=50, half_open_s=10), play)


def test_a_switch_while_dialling_has_the_dial_fail() -> None:
    async def play(call: Call) -> None:
        asyncio.get_running_loop().call_later(0.27, call.dial.switch)
        with pytest.raises(ConnectionResetError):
            await call.stands()
        assert call.server.line.cut_at == pytest.approx(0.3)
        await asyncio.sleep(60)
        assert call.app.losses == []

    in_a_call(Network(latency_ms=50, connect_trips=3), play)


def test_a_frozen_application_neither_hears_nor_writes_and_finds_everything_when_it_comes_back() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        link.send(b"sent before")
        line.say(b"0")
        call.dial.freeze()
        line.say(b"1")
        link.send(b"written after")
        await asyncio.sleep(30)
        assert line.payloads == [b"sent before"], "the kernel still sends"
        assert call.app.came == []
        assert line.unread == 1
        line.say(b"2")
        call.dial.thaw()
        await asyncio.sleep(1)
        assert [(round(at, 1), payload) for at, payload in call.app.came] == [(30, b"0"), (30.1, b"1"), (30.1, b"2")]
        assert line.payloads == [b"sent before", b"written after"]
        assert call.dial.injected == {Trouble.BACKGROUND: 1}

    in_a_call(Network(latency_ms=100), play)


def test_what_a_slow_phone_has_not_taken_waits_at_the_server() -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        said = [bytes([n]) * 10_000 for n in range(100)]
        for payload in said:
            line.say(payload)
        assert len(said) * 10_000 - line.unread <= WINDOW_BYTES + 10_000
        await asyncio.sleep(4)
        assert 0 < line.unread < len(said) * 10_000 - WINDOW_BYTES
        await asyncio.sleep(10)
        assert call.app.payloads == said
        link.abort()

    in_a_call(Network(down_kbps=800), play)


# Twice.
def frame(t: str, n: int = 0, wire: Wire = Wire.JSON) -> bytes:
    """A request."""
    encode: Callable[[Any], bytes] = msgspec.msgpack.encode if wire.binary else msgspec.json.encode
    return encode({"id": f"a-{n}", "t": t, "text": "hello"})


@pytest.mark.parametrize("wire", list(Wire))
def test_every_request_is_sent_twice_byte_for_byte_and_what_begins_a_session_or_a_topic_is_not(wire: Wire) -> None:
    requests = [frame("chat.send", n, wire) for n in range(200)]
    once = [frame(t, 0, wire) for t in ("hello", "ping", "pong", "chat.join", "guild.watch", "topic.sync")]

    async def play(call: Call) -> None:
        link, first = await call.stands(wire)
        for payload in [*once, *requests]:
            link.send(payload)
        await asyncio.sleep(5)
        behind = len(first.came) - len(once) - len(requests)
        assert 0 < behind < len(requests), "some wait for the next connection"
        link.abort()
        second_link, second = await call.stands(wire)
        second_link.send(once[0])
        await asyncio.sleep(5)
        assert second.payloads == once[:1], "nothing comes before the welcome"
        second_link.send(once[1])
        await asyncio.sleep(5)
        came = first.payloads + second.payloads[2:]
        assert all(came.count(payload) == 2 for payload in requests[-64:])
        assert sum(came.count(payload) == 1 for payload in once) == len(once)
        assert len(came) == len(once) + 2 * len(requests)
        assert call.dial.injected == {Trouble.REPEATED: len(requests)}

    in_a_call(Network(twice=True), play)


@pytest.mark.parametrize("t", ["chat.leave", "leaderboard.unwatch"])
def test_what_is_about_a_connection_is_repeated_before_anything_can_follow_it(t: str) -> None:
    async def play(call: Call) -> None:
        link, line = await call.stands()
        for n in range(20):
            link.send(frame(t, n))
        await asyncio.sleep(5)
        assert line.payloads == [frame(t, n) for n in range(20) for _ in range(2)]

    in_a_call(Network(twice=True), play)
