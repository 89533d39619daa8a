"""What a commit asks of MySQL and MariaDB: one packet where every row is as its write says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from storage import NodeRow, Outcome, TellRow, migrate
from storage.mysql import MysqlStore
from storage.mysql_link import Link, MysqlPool
from storage.mysql_wire import Rows
from storage.urls import MysqlPlace, parse_store_url
from tests.conformance.nodes import at, line, note, op, taken, write


class Overheard(MysqlPool):
    """Keeps what was sent."""

    packets: list[bytes]

    async def run(self, work: Callable[[Link], Awaitable[Any]], **options: Any) -> Any:
        async def listened(link: Link) -> Any:
            return await work(cast("Link", Ear(link, self.packets)))

        return await super().run(listened, **options)


class Ear:
    """A connection that notes what is run on it."""

    def __init__(self, link: Link, packets: list[bytes]) -> None:
        self._link = link
        self._packets = packets

    async def run(self, packet: bytes) -> list[Rows]:
        self._packets.append(packet)
        return await self._link.run(packet)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[MysqlStore, list[bytes]]]:
    """A store, and what it has sent so far."""
    await migrate(url, {})
    place = parse_store_url(url)
    assert isinstance(place, MysqlPlace)
    pool = Overheard(place, size=2, timeout_s=10)
    pool.packets = []
    store = MysqlStore(pool, max_packet=1 << 20)
    try:
        await store.renew(NodeRow("north", "north:7350", draining=False), 60)
        yield store, pool.packets
    finally:
        await pool.aclose()


async def test_a_batch_of_rows_that_are_as_they_should_be_is_one_packet(mysql_url: str) -> None:
    async with opened(mysql_url) as (store, packets):
        writer, teller, leaver, idle, new = [await taken(store, f"guild:{n}") for n in range(5)]
        await store.commit([write(idle, slices=note("before"))])
        packets.clear()

        done = await store.commit(
            [
                write(writer, slices=note("x"), ops=[op(1)], topics={"t": at(1)}, events=[line("t", 1)]),
                write(teller, told=1, outbox=[TellRow(1, "player:bo", b"hi", 10)]),
                write(leaver, slices=note("last words"), release=True),
                write(idle, version=1, release=True),
                write(new, release=True),
            ]
        )

    assert done == [Outcome.DONE] * 5
    assert len(packets) == 1


async def test_a_row_that_is_not_costs_the_others_nothing_but_time(mysql_url: str) -> None:
    async with opened(mysql_url) as (store, packets):
        held = [await taken(store, f"guild:{n}") for n in range(3)]
        packets.clear()

        done = await store.commit([write(one, version=n % 2, slices=note("x")) for n, one in enumerate(held)])

        rows = await store.select("SELECT actor, version FROM actors ORDER BY actor")
    assert done == [Outcome.DONE, Outcome.FENCED, Outcome.DONE]
    assert rows == [("guild:0", 1), ("guild:1", 0), ("guild:2", 1)]
    assert b"FOR UPDATE" in packets[1], "only then are rows read"
