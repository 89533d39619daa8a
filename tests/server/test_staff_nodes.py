"""What nodes tell each other for staff: numbers within a second, and the order to drain for one process only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from server.staff.node_numbers import Counted, NodeNumbers
from storage.local_bus import LocalBus, LocalHub
from tests.support.clock import START_MS, FakeClock


class Post:
    """Some nodes on one bus."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.hub = LocalHub()
        self.drained: list[str] = []
        self.counts = {"north": Counted(1, 2, 0, 0), "south": Counted(3, 4, 0, 0)}
        self.up = AsyncExitStack()

    async def start(self, name: str) -> NodeNumbers:
        bus = LocalBus(self.hub)
        await self.up.enter_async_context(bus.running())
        numbers = NodeNumbers(
            name, bus, self.clock, count=lambda: self.counts[name], drain=lambda: self.drained.append(name)
        )
        await self.up.enter_async_context(numbers.running())
        return numbers


@asynccontextmanager
async def post() -> AsyncIterator[Post]:
    made = Post()
    async with made.up:
        yield made


async def test_a_node_asks_another_and_itself() -> None:
    async with post() as place:
        north = await place.start("north")
        await place.clock.advance(5)
        await place.start("south")
        here, there = await north.ask("north"), await north.ask("south")

    assert here is not None
    assert there is not None
    assert (here.started_at, here.sessions, here.actors) == (START_MS, 1, 2)
    assert (there.started_at, there.sessions, there.actors) == (START_MS + 5_000, 3, 4)


async def test_who_does_not_answer_is_reported_and_not_waited_for() -> None:
    async with post() as place:
        north = await place.start("north")
        started = asyncio.get_running_loop().time()

        assert await north.ask("nobody") is None
        assert asyncio.get_running_loop().time() - started < 5


async def test_rates_are_means_of_the_last_seconds() -> None:
    async with post() as place:
        north = await place.start("north")
        for second in range(1, 21):
            place.counts["north"] = Counted(1, 2, 10 * second, 100 * second)
            await place.clock.advance(1)
        busy = north.now()
        await place.clock.advance(10)
        quiet = north.now()

    assert (busy.messages_in_per_s, busy.messages_out_per_s) == (10.0, 100.0)
    assert (quiet.messages_in_per_s, quiet.messages_out_per_s) == (0.0, 0.0)


async def test_the_order_to_drain_is_for_one_process_and_not_for_its_name() -> None:
    async with post() as place:
        north, _south = await place.start("north"), await place.start("south")
        north.drain("south", START_MS - 1)  # one that was started earlier
        await place.clock.advance(0.1)
        assert place.drained == []

        north.drain("south", START_MS)
        await place.clock.advance(0.1)
        assert place.drained == ["south"]


async def test_what_is_no_frame_of_ours_is_left_out() -> None:
    async with post() as place:
        north = await place.start("north")
        bus = LocalBus(place.hub)
        async with bus.running():
            bus.publish("staff:north", b"\xc1")
            await place.clock.advance(0.1)
        assert await north.ask("north") is not None
