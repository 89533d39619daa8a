"""What every test may ask for: servers, databases, and a loop that must never block."""

import os
import sys
from collections.abc import Iterator
from itertools import count
from os import getpid
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster

from tests.support import servers
from tests.support.servers import MariadbServer, RedisServer

if TYPE_CHECKING:
    from tests.e2e.browser import Browser

# Images of Python often forbid it to keep bytecode. The tests are some hundred processes, and each of them would spend
# half a second or more on compiling the same sources.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_OURS = ("protocol", "storage", "actors", "server", "loadtest", "clients")
_databases = count(1)
_LONG = ("faults", "e2e", "simulation")
"""Folders whose files take the longest. They begin; what takes moments fills what is left of the others' time."""


def pytest_configure(config: pytest.Config) -> None:
    """Let tests be marked."""
    config.addinivalue_line("markers", "long: takes minutes; only with -m long")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests marked ``long`` out unless a mark was asked for (``-m "long or not long"``).

    Of the others put the files of long tests first, else in the order that was drawn. Handed out last, as xdist would
    with files of few tests, the longest of them has one process work for half a minute while the other is done.
    """
    if not config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    root = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(root).parts[0] if item.path.is_relative_to(root) else ""
        return _LONG.index(folder) if folder in _LONG else len(_LONG)

    items.sort(key=rank)


def _package(name: str) -> ModuleType:
    """Stands for a package by its folder, so that looking for blocking calls in it does not import it."""
    module = ModuleType(name)
    module.__path__ = [str(Path(__file__).parent.parent / name) + "/"]
    return module


@pytest.fixture(autouse=True, scope="session")
def _the_loop_never_blocks() -> Iterator[None]:
    """A blocking call that our code makes on the event loop fails the test; worker threads and tests may block.

    For all tests at once: for each it took a millisecond.
    """
    guard = BlockBuster([_package(name) for name in _OURS])
    # A traceback in a log line reads the source, once.
    for function in guard.functions.values():
        function.can_block_in("/linecache.py", {"updatecache"})
        # A database without a file waits for nothing, and without threads a run is the same every time.
        function.can_block_in("/tests/support/memory_store.py", {"__init__", "run", "close"})
        function.can_block_in("/loadtest/bench/spent.py", {"processor_s"})  # reads /proc, which is memory
        function.can_block_in("/server/telemetry.py", {"resident_bytes"})  # as above
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    """The MariaDB or MySQL that tests share; ask ``mysql_url`` for a database."""
    with servers.mariadb_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis that tests share."""
    with servers.redis_server() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of the Redis that tests share."""
    return redis_server.url


@pytest.fixture
def mysql_url(mariadb: MariadbServer) -> Iterator[str]:
    """Storage URL of a database that does not exist yet; dropped afterwards."""
    name = f"guildhall_test_{getpid()}_{next(_databases)}"
    yield mariadb.url(name)
    mariadb.run(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Storage URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path}/guildhall.db"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Browser]":
    """The Chromium that the tests of a file share; ask it for windows.

    Selenium's thread for it draws random numbers, which Hypothesis takes for a mistake of whatever test runs meanwhile.
    """
    from tests.e2e.browser import chromium  # noqa: PLC0415 - few tests want Selenium

    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running
