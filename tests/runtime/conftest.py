"""A running cluster without nodes, its first one, and what was logged."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.runtime.rooms import ALL
from tests.support.cluster import Cluster, Member


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """Log lines so far; they are not rendered, which for a traceback would read files on the loop."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Bring nodes up with ``start``."""
    async with Cluster(ALL).running() as running:
        yield running


@pytest.fixture
async def north(cluster: Cluster) -> Member:
    """The first node."""
    return await cluster.start("north")
