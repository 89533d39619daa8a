"""A migrated store of each engine: every promise of ``Store`` is tested on all of them."""

from collections.abc import AsyncIterator

import pytest

from storage import Migration, Store, migrate, open_store
from tests.conformance.nodes import alive

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


@pytest.fixture
async def store_url(empty_url: str) -> str:
    """Storage URL of a migrated database."""
    await migrate(empty_url, {"purse": ROOM})
    return empty_url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open store on which nodes ``north`` and ``south`` are alive."""
    async with open_store(store_url) as opened:
        await alive(opened, "north")
        await alive(opened, "south")
        yield opened
