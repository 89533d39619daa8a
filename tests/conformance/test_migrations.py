"""Schema changes: once each, in order, whoever starts first; and what is said of a database that is not ready."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from storage import (
    Migration,
    MigrationMismatch,
    SchemaBehind,
    StoreDown,
    migrate,
    mysql_migrations,
    open_store,
)
from storage.faults import Unusable
from storage.mysql_link import connected
from storage.schema import CORE
from storage.sqlite_link import opened
from storage.sqlite_migrations import checked
from storage.urls import MysqlPlace, parse_store_url
from tests.support.servers import MariadbServer

FIRST = Migration(1, "CREATE TABLE gift_log (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(8) NULL)")
SECOND = Migration(2, "ALTER TABLE gift_log ADD COLUMN sender VARCHAR(64) NULL")
THIRD = Migration(3, "CREATE INDEX gift_log_sender ON gift_log (sender)")


async def test_the_runtimes_tables_come_first_then_each_rooms_in_order(empty_url: str) -> None:
    applied = await migrate(empty_url, {"gifts": [FIRST, SECOND], "core": []})

    assert applied == [f"core/{step.number}" for step in CORE] + ["gifts/1", "gifts/2"]


async def test_what_was_applied_is_not_applied_again(empty_url: str) -> None:
    await migrate(empty_url, {"gifts": [FIRST]})

    assert await migrate(empty_url, {"gifts": [FIRST]}) == []
    assert await migrate(empty_url, {"gifts": [FIRST, SECOND]}) == ["gifts/2"]


async def test_nodes_that_start_at_once_apply_each_migration_once(empty_url: str) -> None:
    rooms = {"gifts": [FIRST, SECOND, THIRD]}
    async with asyncio.TaskGroup() as tasks:
        nodes = [tasks.create_task(migrate(empty_url, rooms)) for _ in range(4)]

    applied = [name for node in nodes for name in node.result()]
    assert len(applied) == len(set(applied)) == len(CORE) + 3
    async with open_store(empty_url) as store:
        rows = await store.select("SELECT number FROM migrations WHERE room = ?", ["gifts"])
    assert sorted(rows) == [(1,), (2,), (3,)]


def test_a_new_file_that_many_open_at_once_is_opened_by_all(tmp_path: Path) -> None:
    """SQLite refuses one of two that begin a write-ahead log at the same moment."""
    with ThreadPoolExecutor(4) as nodes:
        for n in range(40):
            for connection in nodes.map(partial(opened, create=True), [tmp_path / f"{n}.db"] * 4):
                connection.close()


async def test_a_released_migration_must_not_be_edited(empty_url: str) -> None:
    await migrate(empty_url, {"gifts": [FIRST]})
    edited = Migration(1, FIRST.sql.replace("VARCHAR(8)", "VARCHAR(9)"))

    with pytest.raises(MigrationMismatch, match="gifts/1 was applied with another text"):
        await migrate(empty_url, {"gifts": [edited]})


async def test_white_space_around_a_migration_does_not_count(empty_url: str) -> None:
    await migrate(empty_url, {"gifts": [FIRST]})

    assert await migrate(empty_url, {"gifts": [Migration(1, f"\n  {FIRST.sql}\n")]}) == []


async def test_one_release_back_runs_on_the_newer_schema(empty_url: str) -> None:
    await migrate(empty_url, {"gifts": [FIRST, SECOND], "mail": [Migration(1, "CREATE TABLE m (a INT)")]})

    assert await migrate(empty_url, {"gifts": [FIRST]}) == []


async def test_a_release_that_the_schema_has_left_behind_must_not_start(empty_url: str) -> None:
    contraction = Migration(2, "ALTER TABLE gift_log DROP COLUMN note", contracts=True)
    await migrate(empty_url, {"gifts": [FIRST, contraction]})

    with pytest.raises(MigrationMismatch, match="gifts/2 was applied by a newer release"):
        await migrate(empty_url, {"gifts": [FIRST]})


async def test_what_a_release_announces_is_left_to_the_next_one_and_can_be_gone_back_from(empty_url: str) -> None:
    announced, contraction = (
        Migration(2, "ALTER TABLE gift_log DROP COLUMN note", contracts=True, announced=announced)
        for announced in (True, False)
    )
    await migrate(empty_url, {"gifts": [FIRST, announced]})

    assert await migrate(empty_url, {"gifts": [FIRST, contraction]}) == ["gifts/2"]
    assert await migrate(empty_url, {"gifts": [FIRST, announced]}) == []


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (1, 1), (0, 1)])
async def test_a_rooms_migrations_are_numbered_from_1(empty_url: str, numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="'gifts' are not numbered 1, 2, 3"):
        await migrate(empty_url, {"gifts": [Migration(n, FIRST.sql) for n in numbers]})


async def test_a_statement_that_fails_is_named_and_may_be_corrected(empty_url: str) -> None:
    with pytest.raises(Unusable, match="gifts/1"):
        await migrate(empty_url, {"gifts": [Migration(1, "CREATE TABEL gift_log (id INT)")]})

    assert (await migrate(empty_url, {"gifts": [FIRST]}))[-1] == "gifts/1"


async def test_a_node_that_died_before_it_noted_a_migration_is_followed_up(
    mysql_url: str, mariadb: MariadbServer
) -> None:
    """On MySQL a change of the schema commits by itself, so the note may be missing behind it."""
    rooms = {"gifts": [FIRST, SECOND, THIRD]}
    await migrate(mysql_url, rooms)
    database = mysql_url.rpartition("/")[2]
    mariadb.run(f"UPDATE {database}.migrations SET applied_ms = 0 WHERE room = 'gifts'")

    assert await migrate(mysql_url, rooms) == ["gifts/1", "gifts/2", "gifts/3"]
    assert await migrate(mysql_url, rooms) == []


async def test_a_node_that_waits_too_long_for_another_to_migrate_says_so(
    mysql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(mysql_url, {})
    monkeypatch.setattr(mysql_migrations, "WAIT_S", 0)
    place = parse_store_url(mysql_url)
    assert isinstance(place, MysqlPlace)
    other = await connected(place, database=place.database, timeout_s=10)
    try:
        assert await other.run(b"SELECT GET_LOCK('guildhall:%b', 0)" % place.database.encode())

        with pytest.raises(StoreDown, match="another node has been migrating"):
            await migrate(mysql_url, {"gifts": [FIRST]})
    finally:
        other.quit()


async def test_mysql_tables_compare_text_byte_by_byte(mysql_url: str) -> None:
    await migrate(mysql_url, {"gifts": [FIRST]})
    async with open_store(mysql_url) as store:
        kinds = await store.select(
            "SELECT DISTINCT engine, table_collation FROM information_schema.tables WHERE table_schema = DATABASE()"
        )
    assert kinds == [("InnoDB", "utf8mb4_bin")]


async def test_a_user_without_the_right_to_create_databases_can_migrate(mysql_url: str, mariadb: MariadbServer) -> None:
    database = mysql_url.rpartition("/")[2]
    mariadb.run(
        f"CREATE DATABASE {database}",
        f"CREATE USER '{database}'@'%' IDENTIFIED BY 'x'",
        f"GRANT ALL ON {database}.* TO '{database}'@'%'",
    )
    url = f"mysql://{database}:x@{mariadb.host}:{mariadb.port}/{database}"
    try:
        assert await migrate(url, {"gifts": [FIRST]})
    finally:
        mariadb.run(f"DROP USER '{database}'@'%'")


def test_sqlite_is_made_to_keep_the_lengths_that_mysql_keeps() -> None:
    assert checked("CREATE TABLE t (a VARCHAR(8) NOT NULL, `b` VARBINARY( 16 ), c MEDIUMBLOB)") == (
        "CREATE TABLE t (a VARCHAR(8) CHECK (length(a) <= 8) NOT NULL,"
        " `b` VARBINARY( 16 ) CHECK (length(`b`) <= 16),"
        " c MEDIUMBLOB CHECK (length(c) <= 16777215))"
    )


# Opening what is not ready.
async def test_a_database_without_the_runtimes_tables_is_behind(
    mysql_url: str, mariadb: MariadbServer, tmp_path: Path
) -> None:
    mariadb.run(f"CREATE DATABASE {mysql_url.rpartition('/')[2]}")
    (tmp_path / "empty.db").touch()
    missing, empty = f"sqlite:///{tmp_path}/none.db", f"sqlite:///{tmp_path}/empty.db"
    for url in (mysql_url, missing, empty):
        with pytest.raises(SchemaBehind, match="run the migrations"):
            async with open_store(url):
                pass
    assert not (tmp_path / "none.db").exists()


async def test_a_mysql_database_that_does_not_exist_is_down(mysql_url: str) -> None:
    with pytest.raises(StoreDown, match="the database does not exist"):
        async with open_store(mysql_url):
            pass


async def test_a_server_that_does_not_admit_us_is_down(mariadb: MariadbServer) -> None:
    url = f"mysql://nobody:hunter2@{mariadb.host}:{mariadb.port}/x"
    with pytest.raises(StoreDown, match="Access denied") as refused:
        async with open_store(url):
            pass
    assert "hunter2" not in str(refused.value)


async def test_a_file_in_place_of_the_folder_is_down(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreDown):
        await migrate(f"sqlite:///{tmp_path}/file/x.db", {})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgres://ann:hunter2@db/x",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///x.db?mode=ro",
        "mysql://db/x",
        "mysql://ann:hunter2@db",
        "mysql://ann:hunter2@db/",
        "mysql://ann:hunter2@db:99999/x",
        "mysql://ann:hunter2@db:port/x",
        "mysql://ann:hunter2@db/x?ssl=1",
        "mysql://ann:hunter2@/x",
    ],
)
async def test_another_form_of_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|port") as refused:
        await migrate(url, {})
    assert "hunter2" not in str(refused.value)
