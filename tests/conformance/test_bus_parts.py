"""The parts of the bus that do no I/O: what waits, what is subscribed, what a URL says."""

import asyncio
from collections.abc import Callable

import pytest

from storage.bus_urls import open_bus, redis_address
from storage.redis_address import RedisAddress
from storage.redis_outgoing import BATCH_BYTES, BATCH_MESSAGES, Outgoing
from storage.redis_subscriptions import CHANNELS_PER_COMMAND, Subscriptions


# What waits to be sent.
def test_a_message_larger_than_the_buffer_is_dropped_and_takes_none_with_it() -> None:
    outgoing = Outgoing(limit_bytes=1000)
    outgoing.add(b"a", b"small")
    outgoing.add(b"a", bytes(1000))

    assert outgoing.take() == [(b"PUBLISH", b"a", b"small")]
    assert outgoing.dropped == 1


def test_what_waits_never_passes_the_bound_and_is_all_given_back() -> None:
    outgoing = Outgoing(limit_bytes=10_000)
    for n in range(1000):
        outgoing.add(b"a", bytes(n % 300))
        assert outgoing.size_bytes <= 10_000

    outgoing.take()
    assert outgoing.size_bytes == 0
    assert not outgoing


def test_a_batch_is_bounded_in_messages_and_bytes() -> None:
    outgoing = Outgoing(limit_bytes=10 * BATCH_BYTES)
    for _ in range(BATCH_MESSAGES + 1):
        outgoing.add(b"a", b"")
    assert [len(outgoing.take()), len(outgoing.take())] == [BATCH_MESSAGES, 1]

    for _ in range(3):
        outgoing.add(b"a", bytes(BATCH_BYTES // 2))
    assert [len(outgoing.take()), len(outgoing.take())] == [2, 1]


# What is subscribed.
def receive(payload: bytes) -> None:
    """Hears, and does nothing with it."""


async def turn() -> None:
    await asyncio.sleep(0)


async def test_a_subscription_is_confirmed_by_the_answer_to_its_own_command() -> None:
    """Subscribed, forgotten and subscribed again: the first two answers are old."""
    subscriptions = Subscriptions()
    subscriptions.want(b"a", receive)
    assert subscriptions.commands() == [(b"SUBSCRIBE", b"a")]
    subscriptions.forget(b"a")
    assert subscriptions.commands() == [(b"UNSUBSCRIBE", b"a")]
    subscriptions.want(b"a", receive)

    async with asyncio.TaskGroup() as tasks:
        confirmed = tasks.create_task(subscriptions.confirmed(b"a"))
        await turn()
        assert subscriptions.commands() == [(b"SUBSCRIBE", b"a")]
        for _ in range(2):
            subscriptions.answered(b"a")
            await turn()
            assert not confirmed.done()
        subscriptions.answered(b"a")


async def test_an_answer_of_before_does_not_confirm_what_redis_was_not_told_yet() -> None:
    subscriptions = Subscriptions()
    subscriptions.want(b"a", receive)
    subscriptions.commands()
    subscriptions.forget(b"a")
    subscriptions.commands()
    subscriptions.answered(b"a")
    subscriptions.want(b"a", receive)

    async with asyncio.TaskGroup() as tasks:
        confirmed = tasks.create_task(subscriptions.confirmed(b"a"))
        await turn()
        subscriptions.answered(b"a")  # of the UNSUBSCRIBE
        await turn()
        assert not confirmed.done()
        assert subscriptions.commands() == [(b"SUBSCRIBE", b"a")]
        subscriptions.answered(b"a")


async def test_changes_that_cancel_out_are_not_sent() -> None:
    subscriptions = Subscriptions()
    subscriptions.want(b"a", receive)
    subscriptions.commands()
    subscriptions.answered(b"a")
    subscriptions.forget(b"a")
    subscriptions.want(b"a", receive)
    subscriptions.want(b"b", receive)
    subscriptions.forget(b"b")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(subscriptions.confirmed(b"a"))
        await turn()
        assert subscriptions.commands() == []


async def test_a_new_connection_is_told_everything_and_waits_for_every_answer() -> None:
    subscriptions = Subscriptions()
    subscriptions.want(b"a", receive)
    subscriptions.commands()  # sent, and lost with the connection

    async with asyncio.TaskGroup() as tasks:
        confirmed = tasks.create_task(subscriptions.confirmed(b"a"))
        await turn()
        subscriptions.start_again()
        assert subscriptions.commands() == [(b"SUBSCRIBE", b"a")]
        await turn()
        assert not confirmed.done()
        subscriptions.answered(b"a")


@pytest.mark.parametrize("act", [Subscriptions.want, Subscriptions.forget], ids=["want", "forget"])
def test_many_channels_are_told_in_pieces(act: Callable[..., None]) -> None:
    subscriptions = Subscriptions()
    for n in range(2 * CHANNELS_PER_COMMAND + 1):
        subscriptions.want(b"%d" % n, receive)
    if act is Subscriptions.forget:
        subscriptions.commands()
        for n in range(2 * CHANNELS_PER_COMMAND + 1):
            subscriptions.forget(b"%d" % n)

    sizes = [len(command) - 1 for command in subscriptions.commands()]
    assert sizes == [CHANNELS_PER_COMMAND, CHANNELS_PER_COMMAND, 1]


# URLs.


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache:6380", RedisAddress(host="cache", port=6380)),
        ("redis://cache", RedisAddress(host="cache")),
        ("redis://:p%40s%2Fs@cache:6380/3", RedisAddress(host="cache", port=6380, db=3, password="p@s/s")),
        ("rediss://app:pw@[::1]:6380/", RedisAddress(host="::1", port=6380, username="app", password="pw", tls=True)),
    ],
)  # fmt: skip
def test_a_url_says_where_redis_is(url: str, address: RedisAddress) -> None:
    assert redis_address(url) == address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "its beginning is not known"),
        ("local", "its beginning is not known"),
        ("local:x", "its beginning is not known"),
        ("http://:hunter2@cache:6379", "its beginning is not known"),
        (":hunter2@cache:6379", "its beginning is not known"),
        ("redis://:hunter2@:6379", "the host is missing"),
        ("redis://:hunter2@cache:port", "the host or the port cannot be read"),
        ("redis://:hun/hunter2@cache:6379", "the host or the port cannot be read"),
        ("redis://:hunter2@cache:99999", "the host or the port cannot be read"),
        ("redis://:hunter2@cache:0", "the port is not between 1 and 65535"),
        ("redis://:hunter2@cache:6379/x", "what follows the port is not the number of a DB"),
        ("redis://:hunter2@cache:6379/-1", "what follows the port is not the number of a DB"),
        ("redis://:hunter2@cache:6379?db=1", "it has a query or a fragment, which means nothing here"),
        ("redis://:hunter2@[cache:6379", "the host or the port cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_at_once_and_never_shows_its_password(url: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:
        open_bus(url)

    assert str(refused.value).startswith(f"the bus URL is wrong: {why}; it has to be local:")
    assert "hun" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_an_address_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(redis_address("redis://:hunter2@cache:6379"))
