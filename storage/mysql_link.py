"""Connections to MySQL and MariaDB: what runs a packet of statements, and the pool that keeps them."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiomysql
from pymysql import err
from pymysql.constants import CR, ER

from storage.faults import Clash, Contended, Unusable
from storage.mysql_wire import QUIT, Answer, Rows, asked
from storage.store import StoreDown
from storage.urls import MysqlPlace

T = TypeVar("T")

LOCK_WAIT_S = 3
"""How long a statement waits for another transaction's row lock, whole seconds; then the batch is tried again."""

TRANSACTION_IDLE_S = 2
"""A node that falls silent inside a transaction, paused or cut off, keeps its row locks for so long, whole seconds;
then the server rolls back. Else nobody could take its actors over before the server noticed: by default in 8 hours."""

# wait_timeout is what both MySQL and MariaDB have; between transactions an idle connection may live.
BEGIN = b"SET SESSION wait_timeout = %d;START TRANSACTION" % TRANSACTION_IDLE_S
COMMIT = b"COMMIT;SET SESSION wait_timeout = DEFAULT"
ROLLBACK = b"ROLLBACK;SET SESSION wait_timeout = DEFAULT"

SILENT_S = 5
"""How long the server waits for the rest of a packet, or for room to send an answer, whole seconds."""

TEXT_BYTES = 4 << 20
"""Of one text that is put together from many rows: a batch of 1,000 actors takes some 300 KB."""

SESSION = (
    # Too long a value is an error, and a backslash escapes.
    b"SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'",
    # UNIX_TIMESTAMP(NOW(6)) would jump when summer time ends in the server's zone.
    b"SET SESSION time_zone = '+00:00'",
    # No gap locks between batches of neighbouring keys.
    b"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    b"SET SESSION innodb_lock_wait_timeout = %d" % LOCK_WAIT_S,
    # A client that stops in the middle of a packet or of an answer holds its locks no longer than this.
    b"SET SESSION net_read_timeout = %d, net_write_timeout = %d" % (SILENT_S, SILENT_S),
    # The locked rows of a whole batch come as one text; by default MySQL would cut it at 1 KB.
    b"SET SESSION group_concat_max_len = %d" % TEXT_BYTES,
)

_CONTENDED = {ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT}
_UNUSABLE_CLASSES = (
    err.DataError,
    err.IntegrityError,
    err.ProgrammingError,
    err.NotSupportedError,
)
EXISTS = {ER.TABLE_EXISTS_ERROR, ER.DUP_FIELDNAME, ER.DUP_KEYNAME}
GONE = {ER.BAD_TABLE_ERROR, ER.CANT_DROP_FIELD_OR_KEY}
_UNUSABLE = {
    ER.SUBQUERY_NO_1_ROW,  # what ``advanced`` fails with
    *EXISTS,
    *GONE,
    ER.BAD_FIELD_ERROR,
    ER.NO_DEFAULT_FOR_FIELD,
    ER.WRONG_VALUE_COUNT_ON_ROW,
    ER.TRUNCATED_WRONG_VALUE_FOR_FIELD,
    ER.CONSTRAINT_FAILED,  # CHECK in MariaDB
    3819,  # CHECK in MySQL 8
    1118,  # row too large
    1153,  # packet too large
}


def translated(error: err.MySQLError, place: MysqlPlace) -> Exception:
    """What a driver's error means for the transaction that met it."""
    code = error.args[0] if error.args else None
    reason = f"{place}: {': '.join(str(part) for part in error.args)}"
    if code in _CONTENDED:
        return Contended(reason)
    if code == ER.DUP_ENTRY:
        return Clash(reason)
    if code in _UNUSABLE or isinstance(error, _UNUSABLE_CLASSES):
        return Unusable(": ".join(str(part) for part in error.args[1:]), code)
    return StoreDown(reason)


class _Line(asyncio.Protocol):
    """A connection that was admitted: one packet of statements and its answer after the other."""

    def __init__(self) -> None:
        self._answer = Answer()
        self._whole: asyncio.Future[list[Rows]] | None = None

    def expect(self) -> asyncio.Future[list[Rows]]:
        """The answer to what is sent next."""
        self._answer = Answer()
        self._whole = asyncio.get_running_loop().create_future()
        return self._whole

    def data_received(self, data: bytes) -> None:
        whole = self._whole
        if whole is None or whole.done():
            return  # the server says why it is about to close
        try:
            if self._answer.feed(data):
                whole.set_result(self._answer.results)
        except err.MySQLError as error:
            whole.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(err.OperationalError(CR.CR_SERVER_LOST, f"lost during a query: {exc}"))


class Link:
    """One connection. ``connection``: the driver's, which has been admitted and is idle; from now on it only closes."""

    def __init__(self, connection: Any, place: MysqlPlace) -> None:
        self._connection = connection
        self._transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001 - it has no other door
        self._line = _Line()
        self._transport.set_protocol(self._line)
        self._place = place
        self.used = False
        """Whether it has answered before: then it may have died while it was idle."""

    async def run(self, packet: bytes) -> list[Rows]:
        """Run the statements of one packet; the rows of each, empty for those that give none.

        Raises:
            Clash, Unusable, Contended: the statement that failed had no effect, those behind it did not run.
            StoreDown: nothing is known; the connection is of no more use.
        """
        if self._transport.is_closing():
            raise StoreDown(f"{self._place}: the connection was lost while it was idle")
        whole = self._line.expect()
        self._transport.write(asked(packet))
        try:
            rows = await whole
        except err.MySQLError as error:
            raise translated(error, self._place) from error
        except asyncio.CancelledError:
            self.close()  # or the next packet would get this one's answer
            raise
        self.used = True
        return rows

    def quit(self) -> None:
        """Take leave of the server."""
        self._transport.write(QUIT)
        self._connection.close()

    def close(self) -> None:
        """Drop the connection without a word; the server rolls back."""
        self._connection.close()


async def connected(place: MysqlPlace, *, database: str | None, timeout_s: float) -> Link:
    """A new connection, its session set up.

    Raises:
        StoreDown: no server, no such database, not admitted, or no answer within ``timeout_s``.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _connected(place, database)
    except TimeoutError as error:
        raise StoreDown(f"{place}: no answer within {timeout_s:g} s") from error


async def _connected(place: MysqlPlace, database: str | None) -> Link:
    try:
        connection = await aiomysql.connect(
            host=place.host,
            port=place.port,
            user=place.user,
            password=place.password,
            db=database,
            charset="utf8mb4",
            autocommit=True,
        )
    except err.MySQLError as error:
        if error.args and error.args[0] == ER.BAD_DB_ERROR:
            raise StoreDown(f"{place}: the database does not exist") from error
        raise StoreDown(f"{place}: {': '.join(str(part) for part in error.args)}") from error
    except OSError as error:
        raise StoreDown(f"{place}: {error}") from error
    link = Link(connection, place)
    try:
        await link.run(b";".join(SESSION))
        link.used = False
    except BaseException:
        link.close()
        raise
    return link


class MysqlPool:
    """At most ``size`` connections; further callers wait for one, as long as their deadline allows."""

    def __init__(self, place: MysqlPlace, *, size: int, timeout_s: float) -> None:
        self._place = place
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(size)
        self._idle: list[Link] = []
        self._held: dict[asyncio.Timeout, float] = {}
        """Since when each caller that is not waiting for a place has one."""
        self._closed = False

    async def run(self, work: Callable[[Link], Awaitable[T]], *, within_s: float = math.inf) -> T:
        """Do ``work`` on a connection. A transaction that ``work`` leaves open by an error is rolled back.

        The deadline is the pool's, or ``within_s`` where that is shorter.

        Raises:
            StoreDown: connecting, waiting and ``work`` took longer than the deadline, or the connection broke.
        """
        timeout_s = min(self._timeout_s, within_s)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                try:
                    return await self._run(work, deadline)
                except _Stale:
                    return await self._run(work, deadline)
        except TimeoutError as error:
            self._drop_idle()  # they may lead where this one did, and would each cost as long
            waited_s = min(clock() - started, timeout_s)
            raise StoreDown(f"{self._place}: no answer within {waited_s:.3g} s") from error

    def abandon(self, before: float) -> None:
        """Give up, as StoreDown, what has held a connection since ``before``, in the loop's seconds, and drop the idle
        ones: for a caller who knows that new connections are answered and has reason to doubt the old."""
        self._drop_idle()
        for deadline, since in self._held.items():
            if since < before and not deadline.expired():
                deadline.reschedule(before)

    async def _run(self, work: Callable[[Link], Awaitable[T]], deadline: asyncio.Timeout) -> T:
        async with self._places:
            self._held[deadline] = asyncio.get_running_loop().time()
            try:
                async with self._link() as link:
                    try:
                        return await work(link)
                    except (Clash, Contended, Unusable):
                        await link.run(ROLLBACK)
                        raise
            finally:
                del self._held[deadline]

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[Link]:
        if self._idle:
            link = self._idle.pop()
        else:
            link = await connected(self._place, database=self._place.database, timeout_s=self._timeout_s)
        was_idle = link.used
        try:
            yield link
        except (Clash, Contended, Unusable):
            self._keep(link)
            raise
        except StoreDown as error:
            link.close()
            self._drop_idle()  # what one connection met the others have met, or will
            if was_idle:
                raise _Stale(*error.args) from error
            raise
        except BaseException:
            link.close()
            raise
        else:
            self._keep(link)

    def _keep(self, link: Link) -> None:
        if self._closed:
            link.close()
        else:
            self._idle.append(link)

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def aclose(self) -> None:
        """Take leave of the server; connections still in use are dropped when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().quit()


class _Stale(StoreDown):
    """A connection that had been idle broke: a server that restarted is back, so one more try is worth it."""
