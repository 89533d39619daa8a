"""The contract of ``storage.bus.Bus``, for two nodes on every bus there is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from storage.bus import Bus
from storage.bus_urls import open_bus
from storage.local_bus import LocalBus, LocalHub
from tests.support.ear import Ear


class Nodes(NamedTuple):
    """The buses of two nodes that hear each other."""

    here: Bus
    there: Bus


@pytest.fixture(params=["local", "redis"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as opened:
        if request.param == "local":
            hub = LocalHub()
            buses = [await opened.enter_async_context(LocalBus(hub).running()) for _ in range(2)]
            yield Nodes(*buses)
        else:
            url = request.getfixturevalue("redis_server").url
            yield Nodes(*[await opened.enter_async_context(open_bus(url)) for _ in range(2)])


async def test_one_node_hears_another(nodes: Nodes) -> None:
    ear = Ear()
    await nodes.there.subscribe("guild:42", ear)

    nodes.here.publish("guild:42", b"hello")

    assert await ear.heard(1) == [b"hello"]


async def test_a_publisher_hears_itself(nodes: Nodes) -> None:
    ear = Ear()
    await nodes.here.subscribe("guild:42", ear)

    nodes.here.publish("guild:42", b"hello")

    assert await ear.heard(1) == [b"hello"]


async def test_every_subscribed_node_hears_a_message_once(nodes: Nodes) -> None:
    here, there = Ear(), Ear()
    await nodes.here.subscribe("guild:42", here)
    await nodes.there.subscribe("guild:42", there)

    for n in range(3):
        nodes.here.publish("guild:42", b"%d" % n)

    assert await here.heard(3) == await there.heard(3) == [b"0", b"1", b"2"]


async def test_ten_thousand_messages_arrive_in_order(nodes: Nodes) -> None:
    ear = Ear()
    await nodes.there.subscribe("world:1", ear)

    for n in range(10_000):
        nodes.here.publish("world:1", b"%d" % n)
        if n % 100 == 0:
            await asyncio.sleep(0)  # over many turns of the loop

    assert await ear.heard(10_000) == [b"%d" % n for n in range(10_000)]
    assert nodes.here.dropped == 0


async def test_each_channel_has_its_own_order_and_its_own_receiver(nodes: Nodes) -> None:
    ears = [Ear() for _ in range(20)]
    for n, ear in enumerate(ears):
        await nodes.there.subscribe(f"guild:{n}", ear)

    for line in range(50):
        for n in range(20):
            nodes.here.publish(f"guild:{n}", b"%d of %d" % (line, n))

    for n, ear in enumerate(ears):
        assert await ear.heard(50) == [b"%d of %d" % (line, n) for line in range(50)]


async def test_once_subscribe_returns_nothing_is_missed(nodes: Nodes) -> None:
    for n in range(100):
        ear = Ear()
        await nodes.there.subscribe(f"guild:{n}", ear)
        nodes.here.publish(f"guild:{n}", b"at once")
        assert await ear.heard(1) == [b"at once"]


async def test_many_may_subscribe_at_once(nodes: Nodes) -> None:
    async def subscribe_and_hear(n: int) -> None:
        ear = Ear()
        await nodes.there.subscribe(f"player:{n}", ear)
        nodes.here.publish(f"player:{n}", b"%d" % n)
        assert await ear.heard(1) == [b"%d" % n]

    async with asyncio.TaskGroup() as tasks:
        for n in range(2_500):  # more than one SUBSCRIBE holds
            tasks.create_task(subscribe_and_hear(n))


async def test_once_many_channels_are_subscribed_to_nothing_is_missed_on_any(nodes: Nodes) -> None:
    ear = Ear()
    channels = [f"player:{n}" for n in range(2_500)]  # more than one SUBSCRIBE holds
    await nodes.there.subscribe_all(channels, ear)

    for channel in channels:
        nodes.here.publish(channel, channel.encode())

    assert sorted(await ear.heard(2_500)) == sorted(channel.encode() for channel in channels)


async def test_subscribing_to_no_channels_is_done_at_once(nodes: Nodes) -> None:
    await nodes.there.subscribe_all([], Ear())


async def test_nothing_is_heard_after_unsubscribe(nodes: Nodes) -> None:
    ear, last = Ear(), Ear()
    await nodes.there.subscribe("guild:42", ear)
    await nodes.there.subscribe("end", last)

    nodes.here.publish("guild:42", b"on its way")
    await nodes.there.unsubscribe("guild:42")
    nodes.here.publish("guild:42", b"later")
    nodes.here.publish("end", b"")

    await last.heard(1)
    assert ear.payloads == []


async def test_a_node_that_unsubscribes_leaves_the_other_one_its_subscription(nodes: Nodes) -> None:
    here, there = Ear(), Ear()
    await nodes.here.subscribe("guild:42", here)
    await nodes.there.subscribe("guild:42", there)

    await nodes.here.unsubscribe("guild:42")
    nodes.here.publish("guild:42", b"still")

    assert await there.heard(1) == [b"still"]
    assert here.payloads == []


async def test_unsubscribing_what_was_never_subscribed_is_ignored(nodes: Nodes) -> None:
    await nodes.here.unsubscribe("guild:42")


async def test_subscribing_again_after_unsubscribe_works_at_once(nodes: Nodes) -> None:
    """An old confirmation of Redis must not pass for the new one."""
    for n in range(50):
        ear = Ear()
        await nodes.there.subscribe("guild:42", ear)
        nodes.here.publish("guild:42", b"%d" % n)
        assert await ear.heard(1) == [b"%d" % n]
        await nodes.there.unsubscribe("guild:42")


async def test_a_second_receiver_takes_the_place_of_the_first(nodes: Nodes) -> None:
    first, second = Ear(), Ear()
    await nodes.there.subscribe("guild:42", first)
    await nodes.there.subscribe("guild:42", second)

    nodes.here.publish("guild:42", b"hello")

    assert await second.heard(1) == [b"hello"]
    assert first.payloads == []


@pytest.mark.parametrize(
    "payload",
    [b"", bytes(range(256)), b"\r\n$5\r\nhello\r\n", b"\xff" * 1_000_000],
    ids=["empty", "every byte", "looks like Redis", "a megabyte"],
)
async def test_payloads_are_bytes_of_any_kind(nodes: Nodes, payload: bytes) -> None:
    ear = Ear()
    await nodes.there.subscribe("guild:42", ear)

    nodes.here.publish("guild:42", payload)

    assert await ear.heard(1) == [payload]


async def test_channel_names_may_hold_any_text(nodes: Nodes) -> None:
    ear = Ear()
    await nodes.there.subscribe("Gökyüzü *?[a] \r\n", ear)

    nodes.here.publish("Gökyüzü *?[a] \r\n", b"hello")

    assert await ear.heard(1) == [b"hello"]


async def test_a_receiver_that_fails_is_logged_and_stops_nobody(nodes: Nodes) -> None:
    def fail(payload: bytes) -> None:
        raise ZeroDivisionError(payload)

    ear = Ear()
    await nodes.there.subscribe("guild:1", fail)
    await nodes.there.subscribe("guild:2", ear)

    with capture_logs() as logs:
        nodes.here.publish("guild:1", b"boom")
        nodes.here.publish("guild:1", b"boom")
        nodes.here.publish("guild:2", b"fine")
        assert await ear.heard(1) == [b"fine"]

    failed = [entry for entry in logs if entry["event"] == "bus.receiver_failed"]
    assert [entry["channel"] for entry in failed] == ["guild:1", "guild:1"]


async def test_a_receiver_may_publish(nodes: Nodes) -> None:
    ear = Ear()
    await nodes.here.subscribe("pong", ear)
    await nodes.there.subscribe("ping", lambda payload: nodes.there.publish("pong", payload))

    for n in range(3):
        nodes.here.publish("ping", b"%d" % n)

    assert await ear.heard(3) == [b"0", b"1", b"2"]


async def test_a_working_bus_is_connected(nodes: Nodes) -> None:
    ear = Ear()
    await nodes.here.subscribe("guild:42", ear)
    nodes.here.publish("guild:42", b"hello")
    await ear.heard(1)

    assert nodes.here.connected


@pytest.mark.parametrize("kind", ["local", "redis"])
async def test_what_is_published_after_the_end_is_dropped_and_counted(
    request: pytest.FixtureRequest, kind: str
) -> None:
    url = "local:" if kind == "local" else request.getfixturevalue("redis_server").url
    async with open_bus(url) as bus:
        await bus.subscribe("guild:42", Ear())

    bus.publish("guild:42", b"too late")

    assert bus.dropped == 1
    assert not bus.connected
    with pytest.raises(RuntimeError):
        await bus.subscribe("guild:42", Ear())
