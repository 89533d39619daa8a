"""Servers that may be hurt, clusters, and the table that is made of what was measured."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

import pytest

from tests.faults.experiment import Cluster, Measured
from tests.support import servers
from tests.support.servers import MariadbServer, RedisServer

PAGE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- table: made by `make faults` -->", "<!-- end of the table -->"
HEAD = (
    "| fault | load | longest wait of a line or score | of what takes two actors | p99 of the others"
    " | repeats | lost | doubled |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)
_databases = count(1)
Report = Callable[[Measured], None]


def pytest_configure(config: pytest.Config) -> None:
    """Let tests be marked."""
    config.addinivalue_line("markers", "faults: takes minutes; `make faults` runs them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out unless a mark was asked for."""
    if not config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("faults")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="package")
def database() -> Iterator[MariadbServer]:
    """A MariaDB that may be killed; its commits reach the disk."""
    with servers.private_mariadb(durable=True) as server:
        yield server


@pytest.fixture(scope="package")
def broker() -> Iterator[RedisServer]:
    """A Redis that may be killed."""
    with servers.private_redis() as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path, database: MariadbServer, broker: RedisServer) -> Iterator[Cluster]:
    """No node yet; nothing is left broken to the next test."""
    with ExitStack() as running:
        yield Cluster(tmp_path, database.url(f"experiment_{next(_databases)}"), broker.url, running)
        for server in (database, broker):
            with suppress(servers.ServerMissing):
                server.resume()
            if not server.answers():
                server.start()


@pytest.fixture(scope="session")
def _rows() -> Iterator[dict[str, str]]:
    rows: dict[str, str] = {}
    yield rows
    if rows and os.environ.get("FAULTS_TABLE"):
        write_table(PAGE, rows)


@pytest.fixture
def report(_rows: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Report:
    """Prints what was measured; with FAULTS_TABLE it becomes a line of docs/reliability.md."""

    def take(measured: Measured) -> None:
        _rows[measured.fault] = measured.row
        with capsys.disabled():
            sys.stdout.write(f"\n{measured.row}\n")

    return take


def write_table(page: Path, rows: dict[str, str]) -> None:
    """Put rows into the page's table: each in the place of the one that had its fault, or at the end."""
    text = page.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    kept = {line.split("|")[1].strip(): line for line in re.findall(r"^\|.*\|$", old, re.MULTILINE)[2:]}
    page.write_text("\n".join([before + BEGIN, "", HEAD, *(kept | rows).values(), "", END]) + after, "utf-8")
