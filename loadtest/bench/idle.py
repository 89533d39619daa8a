"""Sessions that say nothing, and what each of them takes in memory."""

import asyncio
from collections.abc import Callable
from functools import partial

from loadtest.bench.driver import Client, in_groups, sign_in
from loadtest.bench.loads import Place
from loadtest.bench.spent import spending
from loadtest.bench.targets import Figures

QUIET_S = 3.0


async def idle(place: Place, clients: int, memory_kib: Callable[[int], int]) -> Figures:
    """Sign ``clients`` players in and let them be; ``memory_kib`` tells the memory of a process."""
    before = memory_kib(place.pid)
    enter = partial(sign_in, place.host, place.port)
    players: list[Client] = await in_groups([partial(enter, f"i{n}") for n in range(clients)])
    await asyncio.sleep(1.0)
    with spending(place.pid) as spent:
        await asyncio.sleep(QUIET_S)
    each = (memory_kib(place.pid) - before) / len(players)
    if any(player.transport.is_closing() for player in players):
        raise SystemExit("some of the idle sessions were closed")
    for player in players:
        player.transport.abort()
    return {
        "kib_per_connection": each,
        "connections": len(players),
        "server_us": spent.server_us(len(players) * QUIET_S),
        "server_share": spent.server_share,
        "driver_share": spent.driver_share,
    }
