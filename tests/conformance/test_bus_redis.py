"""What ``RedisBus`` promises when Redis goes away, and what only Redis has: batches and a bound."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from storage.bus import Bus
from storage.bus_urls import redis_address
from storage.redis_address import RedisAddress
from storage.redis_bus import RedisBus, RedisBusOptions
from storage.redis_outgoing import BATCH_MESSAGES, MESSAGE_OVERHEAD
from tests.support.ear import Ear
from tests.support.servers import RedisServer

QUICK = RedisBusOptions(ping_s=0.1, answer_s=0.5, first_pause_s=0.02, longest_pause_s=0.05, closing_s=0.2)


@asynccontextmanager
async def running(url: str, options: RedisBusOptions = QUICK) -> AsyncIterator[RedisBus]:
    bus = RedisBus(redis_address(url), options, jitter=lambda: 1.0)
    async with bus.running():
        yield bus


@pytest.fixture
async def bus(own_redis: RedisServer) -> AsyncIterator[RedisBus]:
    async with running(own_redis.url) as opened:
        await until_published(opened)
        yield opened


async def until_published(bus: Bus) -> None:
    """Until both ways of the bus work."""
    ear = Ear()
    await bus.subscribe("works", ear)
    bus.publish("works", b"")
    await ear.heard(1)
    await bus.unsubscribe("works")


async def until(fact: Callable[[], bool]) -> None:
    """The bus tells nobody when it loses its connections, so this has to look again and again."""
    while not fact():  # noqa: ASYNC110
        await asyncio.sleep(0.002)


def gaps(bus: Bus) -> Ear:
    """Hears of every gap."""
    ear = Ear()
    bus.on_gap(lambda: ear(b"gap"))
    return ear


# Redis goes away.
async def test_after_a_crash_of_redis_a_gap_is_told_and_every_subscription_lives(
    bus: RedisBus, own_redis: RedisServer
) -> None:
    ears = {f"guild:{n}": Ear() for n in range(50)}
    for channel, ear in ears.items():
        await bus.subscribe(channel, ear)
    gap = gaps(bus)

    own_redis.kill()
    own_redis.start()
    await gap.heard(1)
    await until(lambda: bus.connected)
    for channel in ears:
        bus.publish(channel, channel.encode())

    for channel, ear in ears.items():
        assert await ear.heard(1) == [channel.encode()]
    assert gap.payloads == [b"gap"]


async def test_publishing_while_redis_is_away_neither_fails_nor_waits_and_arrives_later(
    bus: RedisBus, own_redis: RedisServer
) -> None:
    ear = Ear()
    await bus.subscribe("guild:42", ear)
    own_redis.kill()
    await until(lambda: not bus.connected and not bus._publishing)

    for n in range(100):
        bus.publish("guild:42", b"%d" % n)
    own_redis.start()

    # The publisher may be back before the listener is: what was said between is lost, not late.
    await until_published(bus)
    assert ear.payloads == [b"%d" % n for n in range(100)][100 - len(ear.payloads) :]
    assert bus.dropped == 0


async def test_subscribing_while_redis_is_away_waits_for_it(own_redis: RedisServer) -> None:
    own_redis.kill()
    async with running(own_redis.url) as bus, asyncio.TaskGroup() as tasks:
        ear = Ear()
        subscribed = tasks.create_task(bus.subscribe("guild:42", ear))
        await asyncio.sleep(0.05)
        assert not subscribed.done()

        own_redis.start()
        await subscribed
        bus.publish("guild:42", b"hello")
        assert await ear.heard(1) == [b"hello"]


async def test_a_cancelled_subscribe_leaves_nothing_behind(own_redis: RedisServer) -> None:
    ear = Ear()
    own_redis.kill()
    async with running(own_redis.url) as bus:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await bus.subscribe("guild:42", ear)
        own_redis.start()
        await until_published(bus)

        bus.publish("guild:42", b"nobody listens")
        await until_published(bus)
        assert ear.payloads == []

        await bus.subscribe("guild:42", ear)
        bus.publish("guild:42", b"hello")
        assert await ear.heard(1) == [b"hello"]


async def test_unsubscribing_releases_whoever_waits_for_the_subscription(
    own_redis: RedisServer,
) -> None:
    own_redis.kill()
    async with running(own_redis.url) as bus, asyncio.TaskGroup() as tasks:
        tasks.create_task(bus.subscribe("guild:42", Ear()))
        await asyncio.sleep(0)
        await bus.unsubscribe("guild:42")
    own_redis.start()


@pytest.mark.parametrize("link", ["listen", "publish"])
async def test_a_connection_that_redis_closes_is_made_again(bus: RedisBus, own_redis: RedisServer, link: str) -> None:
    ear, gap = Ear(), gaps(bus)
    await bus.subscribe("guild:42", ear)

    await close_clients(own_redis.url, f"guildhall-{link}")
    if link == "listen":
        await gap.heard(1)
    else:
        await until(lambda: not bus.connected)
        await until(lambda: bus.connected)

    bus.publish("guild:42", b"hello")
    assert await ear.heard(1) == [b"hello"]


async def close_clients(url: str, name: str) -> None:
    async with Redis.from_url(url) as operator:
        for client in await operator.client_list():
            if client["name"] == name:
                await operator.client_kill_filter(_id=client["id"])


async def test_a_redis_that_stays_silent_is_noticed(bus: RedisBus, own_redis: RedisServer) -> None:
    gap = gaps(bus)
    own_redis.pause()
    try:
        async with asyncio.timeout(5):
            await until(lambda: not bus._listening and not bus._publishing)
    finally:
        own_redis.resume()

    await gap.heard(1)
    await until_published(bus)


async def test_a_notice_that_fails_is_logged_and_stops_nobody(bus: RedisBus, own_redis: RedisServer) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    bus.on_gap(fail)
    gap = gaps(bus)
    with capture_logs() as logs:
        await close_clients(own_redis.url, "guildhall-listen")
        await gap.heard(1)

    assert "bus.notice_failed" in [entry["event"] for entry in logs]


async def test_a_loss_and_the_return_are_logged_once_each(own_redis: RedisServer) -> None:
    with capture_logs() as logs:
        async with running(own_redis.url) as bus:
            await until_published(bus)
            own_redis.kill()
            await asyncio.sleep(0.2)  # several attempts
            own_redis.start()
            await until(lambda: bus.connected)

    events = [(entry["event"], entry["link"]) for entry in logs]
    assert sorted(events) == [
        ("bus.lost", "listen"),
        ("bus.lost", "publish"),
        ("bus.restored", "listen"),
        ("bus.restored", "publish"),
    ]


async def test_a_wrong_password_is_logged_and_tried_again_until_it_is_right(
    own_redis: RedisServer,
) -> None:
    url = own_redis.url.replace("redis://", "redis://:p%40ss@")
    async with Redis.from_url(own_redis.url) as operator:
        await operator.config_set("requirepass", "another")
        with capture_logs() as logs:
            async with running(url) as bus:
                await until(lambda: bool(logs))
                assert not bus.connected
                await operator.config_set("requirepass", "p@ss")
                await until_published(bus)
        await operator.config_set("requirepass", "")

    assert "p@ss" not in str(logs)


async def test_a_defect_ends_the_block_instead_of_half_a_bus(own_redis: RedisServer) -> None:
    def defect() -> float:
        raise ZeroDivisionError

    address = RedisAddress(host="127.0.0.1", port=1)  # nobody listens there
    with pytest.raises(ExceptionGroup) as ended:
        async with RedisBus(address, QUICK, jitter=defect).running():
            await asyncio.Event().wait()

    assert ended.value.subgroup(ZeroDivisionError)


# Sending.
async def test_what_one_turn_publishes_goes_out_together(bus: RedisBus, own_redis: RedisServer) -> None:
    ear = Ear()
    await bus.subscribe("guild:42", ear)
    async with Redis.from_url(own_redis.url) as operator:
        before = (await operator.info("stats"))["total_reads_processed"]
        for n in range(100):
            bus.publish("guild:42", b"%d" % n)
        await ear.heard(100)
        after = (await operator.info("stats"))["total_reads_processed"]

    assert after - before < 10  # the pipeline, INFO itself, perhaps a ping


async def test_what_is_published_last_is_sent_before_the_bus_closes(bus: RedisBus, own_redis: RedisServer) -> None:
    ear = Ear()
    await bus.subscribe("nodes", ear)
    async with running(own_redis.url) as leaving:
        await until_published(leaving)
        for n in range(2 * BATCH_MESSAGES):
            leaving.publish("nodes", b"%d" % n)

    assert await ear.heard(2 * BATCH_MESSAGES) == [b"%d" % n for n in range(2 * BATCH_MESSAGES)]


async def test_what_cannot_be_sent_before_the_bus_closes_is_counted(
    own_redis: RedisServer,
) -> None:
    own_redis.kill()
    async with running(own_redis.url) as leaving:
        for _ in range(10):
            leaving.publish("nodes", b"leaving")
    own_redis.start()

    assert leaving.dropped == 10


async def test_numbered_databases_are_apart(own_redis: RedisServer) -> None:
    one, other = Ear(), Ear()
    url = own_redis.url.removesuffix("/0")
    async with running(f"{url}/0") as first, running(f"{url}/1") as second:
        await first.subscribe("guild:42", one)
        await second.subscribe("guild:42", other)

        first.publish("guild:42", b"for the first")
        second.publish("guild:42", b"for the second")

        assert await one.heard(1) == [b"for the first"]
        assert await other.heard(1) == [b"for the second"]


async def test_an_outage_fills_the_buffer_to_its_bound_and_the_newest_survive(
    own_redis: RedisServer,
) -> None:
    ear = Ear()
    size = 1000 + MESSAGE_OVERHEAD + len("gh0:guild:42")
    small = RedisBusOptions(buffer_bytes=10 * size, first_pause_s=0.02, longest_pause_s=0.05)
    async with running(own_redis.url) as there, running(own_redis.url, small) as here:
        await there.subscribe("guild:42", ear)
        await until_published(here)
        own_redis.pause()  # not killed, so that the other node keeps its subscription
        here.publish("guild:42", b"on its way")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        for n in range(100):
            here.publish("guild:42", b"%1000d" % n)
        own_redis.resume()

        assert await ear.heard(11) == [b"on its way", *(b"%1000d" % n for n in range(90, 100))]
        assert here.dropped == 90
