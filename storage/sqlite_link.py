"""SQLite from asyncio: a connection that lives in a thread of its own, and the lock that keeps other processes out."""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from storage.commits import Change, Put, Step
from storage.faults import Clash, Unusable
from storage.store import StoreDown
from storage.urls import SqlitePlace

T = TypeVar("T")

BUSY_S = 5.0
"""How long to wait for another writer: only a migration or an operator's own tool can be one."""
WAL_TRIES, WAL_PAUSE_S = 500, 0.01

NOW_MS = (
    "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    if sqlite3.sqlite_version_info >= (3, 42)
    else "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
)
"""The database's clock: milliseconds since the Unix epoch."""

_CLASHES = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
}
_UNUSABLE = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
}


FAILURES = (sqlite3.Error, OverflowError, UnicodeEncodeError)
"""What the driver raises; the last two for a number of 2^63 and more and for half of a surrogate pair."""


class StoreLocked(Exception):
    """Another process serves from this SQLite file; a second one would fork its history."""


@contextmanager
def locked(place: SqlitePlace) -> Iterator[None]:
    """Hold the lock of the database until the end; the kernel gives it back if the process dies.

    Raises:
        StoreLocked: another process holds it.
        StoreDown: the lock file cannot be made.
    """
    try:
        handle = os.open(place.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreDown(f"{place.lock_path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLocked(
                f"{place.path} is in use by another process (it holds {place.lock_path}); "
                f"one SQLite file serves one node"
            ) from None
        yield
    finally:
        os.close(handle)


def opened(path: Path, *, create: bool = False, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit, ready for explicit transactions; every commit reaches the disk."""
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,  # closed by the thread that ends the store
        cached_statements=256,
    )
    _begin_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _begin_wal(connection: sqlite3.Connection) -> None:
    """Keep a write-ahead log, whoever else begins with it at the same moment: where two would wait for each other
    SQLite refuses one at once, whatever its busy timeout (https://www.sqlite.org/c3ref/busy_handler.html)."""
    for tries in count(1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or tries == WAL_TRIES:
                raise
            time.sleep(WAL_PAUSE_S)
        else:
            return


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; the write lock is taken at once, so that a transaction never has to be repeated."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def apply(connection: sqlite3.Connection, step: Step) -> None:
    """Run one step of a commit.

    Raises:
        Clash, Unusable, StoreDown: the transaction is to be rolled back.
    """
    if isinstance(step, Put):
        sql = _put(step.table, step.columns, step.keys)
    elif isinstance(step, Change):
        sql = _change(step.table, step.columns, step.keys)
    else:
        sql = _cut(step.table, step.columns, step.below)
    try:
        connection.executemany(sql, step.rows)
    except FAILURES as error:
        raise translated(error) from error


@lru_cache(maxsize=512)
def _put(table: str, columns: tuple[str, ...], keys: tuple[str, ...]) -> str:
    sql = f"INSERT INTO `{table}` ({_names(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    if keys:
        changed = [f"`{c}` = excluded.`{c}`" for c in columns if c not in keys]
        sql += f" ON CONFLICT ({_names(keys)}) DO UPDATE SET {', '.join(changed)}"
    return sql


@lru_cache(maxsize=512)
def _change(table: str, columns: tuple[str, ...], keys: tuple[str, ...]) -> str:
    new = ", ".join(f"`{name}` = ?" for name in columns)
    same = " AND ".join(f"`{name}` = ?" for name in keys)
    return f"UPDATE `{table}` SET {new} WHERE {same}"  # noqa: S608


@lru_cache(maxsize=512)
def _cut(table: str, columns: tuple[str, ...], below: bool) -> str:
    terms = [f"`{name}` IS ?" for name in columns]
    if below:
        terms[-1] = f"`{columns[-1]}` < ?"
    return f"DELETE FROM `{table}` WHERE {' AND '.join(terms)}"  # noqa: S608


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in columns)


@contextmanager
def translating() -> Iterator[None]:
    """Turn the driver's errors into what they mean for the transaction that met them."""
    try:
        yield
    except FAILURES as error:
        raise translated(error) from error


def translated(error: Exception) -> Exception:
    """What one of ``FAILURES`` means for the transaction that met it."""
    if not isinstance(error, sqlite3.Error):
        return Unusable(str(error))
    code = getattr(error, "sqlite_errorcode", None)  # absent where the driver itself refused
    if code in _CLASHES:
        return Clash(str(error))
    refused = isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError)
    if refused if code is None else code & 0xFF in _UNUSABLE:
        return Unusable(str(error), code)
    return StoreDown(f"sqlite: {error}")


class SqliteThread:
    """One connection and the thread that all its work runs in, in the order of the calls."""

    def __init__(self, connection: sqlite3.Connection, executor: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._executor = executor

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` in the thread. It runs to its end even if the caller is cancelled.

        Raises:
            Clash, Unusable, StoreDown: as ``work`` met them.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._do, work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with translating():
            return work(self._connection)


@asynccontextmanager
async def thread_for(path: Path, *, name: str, read_only: bool) -> AsyncIterator[SqliteThread]:
    """Open the database in a thread; both end with the block, after the work that waits.

    Raises:
        StoreDown: the file cannot be opened.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix=name)
    loop = asyncio.get_running_loop()

    def connect() -> sqlite3.Connection:
        with translating():
            return opened(path, read_only=read_only)

    try:
        connection = await loop.run_in_executor(executor, connect)
        try:
            yield SqliteThread(connection, executor)
        finally:
            await loop.run_in_executor(executor, connection.close)
    finally:
        # The thread has nothing left to do, so this does not wait.
        executor.shutdown(wait=False)
