"""A database that takes no writes for a while: nothing is lost, nothing is anybody's defect, and it ends by itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pymysql import err

from storage import Outcome, StoreDown, migrate, open_store
from storage.mysql_link import translated
from storage.sqlite_link import translating
from storage.urls import MysqlPlace, parse_store_url
from tests.conformance.nodes import alive, committed, note, reloaded, taken
from tests.support.servers import MariadbServer


@contextmanager
def plain_user(mariadb: MariadbServer, database: str) -> Iterator[str]:
    """The URL of a user without an administrator's rights, whom ``read_only`` binds."""
    mariadb.run(
        f"CREATE DATABASE {database}",
        f"CREATE USER '{database}'@'%' IDENTIFIED BY 'x'",
        f"GRANT ALL ON {database}.* TO '{database}'@'%'",
    )
    try:
        yield f"mysql://{database}:x@{mariadb.host}:{mariadb.port}/{database}"
    finally:
        mariadb.run("SET GLOBAL read_only = OFF", f"DROP USER '{database}'@'%'")


async def test_a_server_that_only_reads_is_down_until_it_writes_again(mysql_url: str, mariadb: MariadbServer) -> None:
    """As a source that was made a replica, or that an operator has stopped for a backup."""
    with plain_user(mariadb, mysql_url.rpartition("/")[2]) as url:
        await migrate(url, {})
        async with open_store(url) as store:
            await alive(store, "north")
            held = await taken(store, "guild:42")
            mariadb.run("SET GLOBAL read_only = ON")
            with pytest.raises(StoreDown, match="read-only"):
                await committed(store, held, slices=note("refused"))
            with pytest.raises(StoreDown, match="read-only"):
                await alive(store, "north")
            assert await store.select("SELECT body FROM slices") == []

            mariadb.run("SET GLOBAL read_only = OFF")
            assert await committed(store, held, slices=note("kept")) is Outcome.DONE
            assert (await reloaded(store, held)).slices == note("kept")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (1021, "Disk full"),
        (1028, "Sort aborted"),
        (1114, "The table is full"),
        (1206, "The total number of locks exceeds the lock table size"),
        (1290, "--read-only"),
        (1792, "READ ONLY transaction"),
        (1836, "Running in read-only mode"),
        (3100, "Error on observer while running replication hook"),
    ],
)
def test_what_a_server_cannot_do_now_is_no_defect_of_the_write(code: int, says: str) -> None:
    place = parse_store_url("mysql://u:secret@db/game")
    assert isinstance(place, MysqlPlace)
    for kind in (err.OperationalError, err.InternalError):
        assert isinstance(translated(kind(code, says), place), StoreDown)


def test_a_file_that_may_only_be_read_is_down(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE t (n)")
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as only_reads,
        pytest.raises(StoreDown, match="readonly"),
        translating(),
    ):
        only_reads.execute("INSERT INTO t VALUES (1)")
