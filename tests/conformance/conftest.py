"""A migrated store of each engine: every promise of ``Store`` is tested on all of them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from os import getpid

import pytest
from redis.asyncio import Redis

from storage import Migration, Store, migrate, open_store
from storage.redis_ranks import RedisRanks
from tests.conformance.nodes import alive
from tests.conformance.ranked import HIGHEST
from tests.conformance.ranked_redis import running
from tests.support.memory_store import MemoryStore
from tests.support.servers import MariadbServer, RedisServer, private_redis

ROOM = (
    Migration(
        1,
        """
        CREATE TABLE purse_log (
            id VARCHAR(32) NOT NULL PRIMARY KEY,
            amount BIGINT NOT NULL,
            note VARCHAR(16) NULL,
            proof VARBINARY(300) NULL
        )
        """,
    ),
)
"""Tables of a room that the tests invent."""


@pytest.fixture(params=["sqlite", "mysql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """Storage URL of a database that does not exist yet."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["memory", "sqlite", "mysql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An open store on which nodes ``north`` and ``south`` are alive; ``memory`` is the one that other tests run on."""
    async with _opened(request) as opened:
        await alive(opened, "north")
        await alive(opened, "south")
        yield opened


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RedisServer]:
    """A Redis that these tests may flush and kill; each leaves it running."""
    with private_redis() as server:
        yield server


@pytest.fixture
async def operator(own_redis: RedisServer) -> AsyncIterator[Redis]:
    """A client of that Redis, which is empty at the start of a test."""
    async with Redis.from_url(own_redis.url) as client:
        await client.flushall()
        yield client


@pytest.fixture
async def ranks(own_redis: RedisServer, operator: Redis) -> AsyncIterator[RedisRanks]:
    """Ranks on that Redis, of which ``HIGHEST`` is complete and empty."""
    async with running(own_redis.url) as opened:
        await opened.through(HIGHEST)
        yield opened


@pytest.fixture(scope="session")
def shared_mysql_url(mariadb: MariadbServer) -> Iterator[str]:
    """Storage URL of a database that tests share: to make one costs more than most of them."""
    name = f"guildhall_conformance_{getpid()}"
    yield mariadb.url(name)
    mariadb.run(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def emptied_mysql_url(mariadb: MariadbServer, shared_mysql_url: str) -> str:
    """Storage URL of that database, without a row but for the note of what was migrated."""
    database = shared_mysql_url.rpartition("/")[2]
    tables = mariadb.column(
        f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{database}'"
        " AND table_name <> 'migrations'"
    )
    mariadb.run(*(f"DELETE FROM {database}.{table}" for table in tables))
    return shared_mysql_url


@asynccontextmanager
async def _opened(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        with closing(MemoryStore({"purse": ROOM})) as memory:
            yield memory
        return
    url: str = request.getfixturevalue({"sqlite": "sqlite_url", "mysql": "emptied_mysql_url"}[request.param])
    await migrate(url, {"purse": ROOM})
    async with open_store(url) as opened:
        yield opened
