"""The database dies, freezes, fills up or loses an answer: what a node sees of it, and that it recovers by itself."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import pytest

from storage import (
    EventRange,
    Outcome,
    Refused,
    SliceRow,
    StoreDown,
    StoreLocked,
    TellRow,
    migrate,
    mysql_link,
    open_store,
)
from storage.mysql import MysqlOptions, MysqlStore, open_mysql
from storage.mysql_link import MysqlPool
from storage.urls import MysqlPlace, parse_store_url
from tests.conformance.nodes import alive, at, committed, line, note, reloaded, taken
from tests.support.servers import MariadbServer, driver, private_mariadb


# MySQL.
@pytest.fixture(scope="module")
def doomed() -> Iterator[MariadbServer]:
    """A server that the tests may kill and freeze."""
    with private_mariadb() as server:
        yield server


def mysql(url: str) -> MysqlPlace:
    place = parse_store_url(url)
    assert isinstance(place, MysqlPlace)
    return place


async def test_a_server_that_was_killed_is_down_and_after_its_restart_nothing_is_lost(
    doomed: MariadbServer,
) -> None:
    url = doomed.url("killed")
    await migrate(url, {})
    async with open_store(url) as store:
        held = await taken(store, "guild:42")
        await committed(store, held, slices=note("before"))

        doomed.kill()
        with pytest.raises(StoreDown):
            await committed(store, held, version=1, slices=note("after"))
        with pytest.raises(StoreDown):
            await store.positions(["t"])
        doomed.start()

        assert (await store.select("SELECT body FROM slices")) == [(b"before",)]
        assert await committed(store, held, version=1, slices=note("after")) is Outcome.DONE


async def test_idle_connections_that_a_restart_has_cut_are_not_noticed(doomed: MariadbServer) -> None:
    url = doomed.url("restarted")
    await migrate(url, {})
    async with open_store(url) as store:
        async with asyncio.TaskGroup() as tasks:
            for node in ("north", "south", "east", "west"):
                tasks.create_task(alive(store, node))

        doomed.stop()
        doomed.start()

        assert len(await alive(store, "north")) == 4


async def test_a_server_that_hangs_is_down_within_the_time_limit(doomed: MariadbServer) -> None:
    url = doomed.url("frozen")
    await migrate(url, {})
    async with open_mysql(mysql(url), MysqlOptions(connections=2, timeout_s=0.3)) as store:
        held = await taken(store, "guild:42")

        doomed.pause()
        for _ in range(3):  # idle connections, then new ones
            with pytest.raises(StoreDown, match=r"no answer within 0\.3 s"):
                await committed(store, held, slices=note("x"))
        doomed.resume()

        assert await committed(store, held, slices=note("x")) is Outcome.DONE


async def test_more_callers_than_connections_wait_their_turn(mysql_url: str) -> None:
    await migrate(mysql_url, {})
    async with open_mysql(mysql(mysql_url), MysqlOptions(connections=2)) as store:
        async with asyncio.TaskGroup() as tasks:
            renewals = [tasks.create_task(alive(store, f"n{n:02}")) for n in range(30)]
        assert max(len(renewal.result()) for renewal in renewals) == 30


@asynccontextmanager
async def losing_commits(port: int, lose: asyncio.Event) -> AsyncIterator[int]:
    """A port that leads to ``port``; once ``lose`` is set, one COMMIT is delivered, its answer is not, and the
    connection ends."""

    carriers: set[asyncio.Task[None] | None] = set()

    async def carry(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        carriers.add(asyncio.current_task())
        server, ask = await asyncio.open_connection("127.0.0.1", port)
        committing = False

        async def back() -> None:
            while chunk := await server.read(1 << 16):
                if committing and lose.is_set():
                    lose.clear()
                    break
                answer.write(chunk)
            answer.close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(back())
            while chunk := await client.read(1 << 16):
                committing = b"COMMIT" in chunk
                ask.write(chunk)
            ask.close()
        await ask.wait_closed()

    proxy = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield proxy.sockets[0].getsockname()[1]
    finally:
        proxy.close()
        await asyncio.wait([task for task in carriers if task])


async def test_a_commit_whose_answer_is_lost_is_found_done_when_it_is_repeated(
    mysql_url: str, mariadb: MariadbServer
) -> None:
    await migrate(mysql_url, {})
    lose = asyncio.Event()
    async with losing_commits(mariadb.port, lose) as port:
        async with open_store(mysql_url.replace(str(mariadb.port), str(port))) as store:
            held = await taken(store, "guild:42")

            async def say() -> object:
                return await committed(
                    store,
                    held,
                    told=1,
                    topics={"t": at(1)},
                    events=[line("t", 1, player="ann", op="a1-1")],
                    outbox=[TellRow(1, "player:bo", b"hi", 1)],
                )

            lose.set()
            # The store itself repeats what broke on a connection that had been idle: here its first try was applied.
            assert await say() is Outcome.DONE
            assert not lose.is_set()
            assert await say() is Outcome.DONE

            found = await reloaded(store, held)
            assert (found.version, len(found.outbox)) == (1, 1)
            assert len(await store.read_events(EventRange(topic="t"))) == 1


async def test_a_batch_that_meets_a_row_lock_is_tried_again_after_a_pause(
    mysql_url: str, mariadb: MariadbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(mysql_url, {})
    impatient = (*mysql_link.SESSION, b"SET SESSION innodb_lock_wait_timeout = 1")
    monkeypatch.setattr(mysql_link, "SESSION", impatient)
    place = mysql(mysql_url)
    rival = driver(place)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.to_thread(rival.rollback)

    pool = MysqlPool(place, size=2, timeout_s=10)
    store = MysqlStore(pool, max_packet=1 << 20, random=Random(1), sleep=sleep)
    try:
        held = await taken(store, "guild:42")
        rival.cursor().execute("SELECT * FROM actors WHERE actor = 'guild:42' FOR UPDATE")

        assert await committed(store, held, slices=note("x")) is Outcome.DONE
        assert len(pauses) == 1
    finally:
        rival.close()
        await pool.aclose()


async def test_a_statement_never_exceeds_the_packet_that_the_server_takes(mysql_url: str) -> None:
    await migrate(mysql_url, {})
    pool = MysqlPool(mysql(mysql_url), size=1, timeout_s=10)
    store = MysqlStore(pool, max_packet=4096)
    try:
        held = await taken(store, "guild:42")
        many = {f"slice{n}": SliceRow(1, bytes(1000)) for n in range(50)}
        events = [line("t" * 100, n, player="p" * 60, op=f"{n}") for n in range(1, 201)]
        gone = list(range(5000, 6000))

        result = await committed(store, held, slices=many, events=events, delivered=gone)

        assert result is Outcome.DONE
        found = await reloaded(store, held)
        assert found.slices == many
        assert len(await store.read_events(EventRange(topic="t" * 100))) == 200
        refused = await committed(store, found, slices=note("x" * 5000))
        assert isinstance(refused, Refused)
        assert "max_allowed_packet" in refused.reason
    finally:
        await pool.aclose()


# SQLite.
async def test_a_second_process_cannot_open_the_file(sqlite_url: str) -> None:
    await migrate(sqlite_url, {})
    async with open_store(sqlite_url):
        with pytest.raises(StoreLocked, match="in use by another process"):
            async with open_store(sqlite_url):
                pass
    async with open_store(sqlite_url):
        pass


async def test_a_restarted_node_can_claim_at_once_whatever_its_name(sqlite_url: str) -> None:
    await migrate(sqlite_url, {})
    async with open_store(sqlite_url) as store:
        await alive(store, "before", lease_s=3600)
        held = await taken(store, "guild:42", "before")
    async with open_store(sqlite_url) as store:
        assert [row.node for row in await alive(store, "after")] == ["after"]
        assert (await taken(store, "guild:42", "after")).fence == held.fence + 1


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """What a full disk is to SQLite: a write that fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_down_and_recovers_when_space_returns(sqlite_url: str, tmp_path: Path) -> None:
    await migrate(sqlite_url, {})
    async with open_store(sqlite_url) as store:
        held = await taken(store, "guild:42")
        await committed(store, held, slices=note("before"))
        big = {"note": SliceRow(1, bytes(3_000_000))}

        with no_file_larger_than(1_000_000):
            with pytest.raises(StoreDown, match="sqlite"):
                await committed(store, held, version=1, slices=big)
            assert (await store.select("SELECT body FROM slices")) == [(b"before",)]

        assert await committed(store, held, version=1, slices=big) is Outcome.DONE
        assert (await reloaded(store, held)).slices == big


async def test_a_file_that_is_no_database_is_down(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database " * 500)
    with pytest.raises(StoreDown):
        async with open_store(f"sqlite:///{tmp_path}/text.db"):
            pass
