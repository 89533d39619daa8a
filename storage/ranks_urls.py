"""From a bus URL to the rank index that lives at the same place."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from storage.bus_urls import redis_address
from storage.local_ranks import LocalRanks
from storage.ranks import Ranks
from storage.redis_address import RedisAddress


def open_ranks(bus_url: str, scope: str) -> AbstractAsyncContextManager[Ranks]:
    """The rank index at ``bus_url`` (as ``open_bus`` takes it), open until the end of the block.

    ``local:`` is in process and starts incomplete. At ``redis://`` and ``rediss://`` all who give the same DB and the
    same ``scope`` share it. Redis may be away: it is connected to when it comes.

    Raises:
        ValueError: at once, for a wrong URL. The text never holds the password.
    """
    if bus_url == "local:":
        return _open_local()
    return _open_redis(redis_address(bus_url), scope)


@asynccontextmanager
async def _open_local() -> AsyncIterator[Ranks]:
    yield LocalRanks()


@asynccontextmanager
async def _open_redis(address: RedisAddress, scope: str) -> AsyncIterator[Ranks]:
    from storage.redis_pipeline import PipelineOptions, RedisPipeline  # noqa: PLC0415
    from storage.redis_ranks import RedisRanks  # noqa: PLC0415 - a node without Redis starts sooner

    pipeline = RedisPipeline(address, PipelineOptions(), jitter=lambda: secrets.randbelow(1000) / 1000)
    async with pipeline.running():
        yield RedisRanks(pipeline, scope)
