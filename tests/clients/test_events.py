"""What waits for the application's reader, and what happens when there is too much of it."""

import asyncio
from typing import Any

import pytest

from clients.python import EventQueue


def durable(topic: str, seq: int) -> dict[str, Any]:
    return {"t": "chat.message", "topic": topic, "seq": seq}


def ephemeral(topic: str) -> dict[str, Any]:
    return {"t": "chat.typing", "topic": topic}


async def drained(queue: EventQueue) -> list[dict[str, Any]]:
    queue.end(LookupError("the end"))
    events = []
    with pytest.raises(LookupError):
        while True:
            events.append(await queue.get())
    return events


async def test_events_are_read_in_the_order_in_which_they_came() -> None:
    queue = EventQueue(limit=3)
    for event in (durable("a", 1), ephemeral("a"), durable("b", 1)):
        queue.put(event)
    assert await drained(queue) == [durable("a", 1), ephemeral("a"), durable("b", 1)]


async def test_a_reader_that_waits_is_woken() -> None:
    queue = EventQueue(limit=3)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put(durable("a", 1))
        assert await reading == durable("a", 1)


async def test_a_full_queue_refuses_ephemeral_events() -> None:
    queue = EventQueue(limit=2)
    for event in (durable("a", 1), durable("a", 2), ephemeral("a")):
        queue.put(event)
    assert await drained(queue) == [durable("a", 1), durable("a", 2)]


async def test_a_durable_event_that_does_not_fit_turns_what_waits_into_a_reset_of_each_topic_that_lost_some() -> None:
    queue = EventQueue(limit=3)
    for event in (durable("a", 1), ephemeral("c"), durable("b", 7), durable("a", 2)):
        queue.put(event)
    queue.put(durable("a", 3))
    assert await drained(queue) == [
        {"t": "client.reset", "topic": "a", "seq": 2},
        {"t": "client.reset", "topic": "b", "seq": 7},
        durable("a", 3),
    ]


async def test_however_long_nobody_reads_the_queue_stays_small_and_forgets_no_topic() -> None:
    queue = EventQueue(limit=10)
    for seq in range(1, 1_000):
        queue.put(durable(f"topic {seq % 5}", seq))
        queue.mark({"t": "client.offline", "code": seq})
        queue.mark({"t": "client.online"})
    events = await drained(queue)
    assert len(events) <= 10 + 10 + 5
    assert {event["topic"] for event in events if "topic" in event} == {f"topic {n}" for n in range(5)}
    assert events[-1] == {"t": "client.online"}
