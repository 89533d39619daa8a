"""A migrated store of each engine: every promise of ``Store`` is tested on all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from storage import Migration, Store, migrate, open_store
from tests.conformance.nodes import alive
from tests.support.memory_store import MemoryStore

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


@asynccontextmanager
async def _opened(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        with closing(MemoryStore({"purse": ROOM})) as memory:
            yield memory
        return
    url: str = request.getfixturevalue(f"{request.param}_url")
    await migrate(url, {"purse": ROOM})
    async with open_store(url) as opened:
        yield opened
