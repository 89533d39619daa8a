"""Answers tickets from storage: what a turn has allowed, without the actor's time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from msgspec import MsgspecError

from actors.runtime.answer import Answer
from actors.runtime.blueprint import Blueprint
from actors.runtime.reach import Reach
from actors.runtime.tickets import EventTicket, FetchTicket, RowTicket, Ticket
from protocol import Busy, Defect, GuildhallError, Message, Tell, Unavailable
from storage import EventRange, EventRow, RanksDown, Store, StoreDown

log = structlog.get_logger()
UNDER_WAY = 1024  # queries at the same time; past that refusing beats queueing
CALLS_S = 1.0  # that a node which ends gives its calls; they are lost with it then, as with any node


class Queries:
    """Runs each ticket in a task of its own; equal stretches of a log that are asked for at once are read once."""

    def __init__(self, store: Store, blueprint: Blueprint, decode_event: Callable[[bytes], Message]) -> None:
        self._store = store
        self._queries = blueprint.queries
        self._fetched = blueprint.fetched
        self._called = blueprint.called
        self._reach: Reach | None = None
        self._decode_event = decode_event
        self._tasks: asyncio.TaskGroup | None = None
        self._under_way = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._reads: dict[EventRange, asyncio.Future[Sequence[EventRow]]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer until the context is left; what is under way then is answered first. Calls may wait for what has ended
        before, so they have ``CALLS_S``."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                await self._end_calls(tasks)

    async def _end_calls(self, tasks: asyncio.TaskGroup) -> None:
        if not self._calls or self._reach is None:
            return
        patience = tasks.create_task(self._reach.clock.sleep(CALLS_S), name="calls-closing")
        while self._calls and not patience.done():
            await asyncio.wait({*self._calls, patience}, return_when=asyncio.FIRST_COMPLETED)
        patience.cancel()
        for call in self._calls:
            call.cancel()

    def attach(self, reach: Reach) -> None:
        """What fetches and calls get to touch. Called once, when the node is put together."""
        self._reach = reach

    def call(self, message: Tell, deliver: Callable[[Tell], None]) -> None:
        """Run a room's async function; what it returns, if anything, is delivered. Lost when the node stops."""
        if self._tasks is not None:
            call = self._tasks.create_task(self._call(message, deliver), name="call")
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, message: Tell, deliver: Callable[[Tell], None]) -> None:
        try:
            told = await self._called[type(message)](message, self._reach)
        except (StoreDown, RanksDown, GuildhallError) as error:
            log.warning("call.failed", message=type(message).__name__, reason=str(error))
        except Exception:
            log.exception("call.defect", message=type(message).__name__)
        else:
            if told is not None:
                deliver(told)

    def redeem(self, ticket: Ticket, deliver: Callable[[Answer], None]) -> None:
        """Read, make the reply, deliver it."""
        # What a kept ticket stands for is committed and has to come to its end; they are no more than the requests are.
        if self._tasks is None or (self._under_way >= UNDER_WAY and not ticket.kept):
            deliver(Answer(error=Busy("too many queries under way", retry_after_ms=500)))
            return
        self._under_way += 1
        self._tasks.create_task(self._redeem(ticket, deliver), name="query")

    async def read(self, span: EventRange) -> Sequence[EventRow]:
        """``Store.read_events``, once for all who ask for the same stretch at the same time."""
        known = self._reads.get(span)
        if known is not None:
            return await asyncio.shield(known)
        future = self._reads[span] = asyncio.get_running_loop().create_future()
        try:
            rows = await self._store.read_events(span)
        except BaseException as error:
            if isinstance(error, StoreDown):
                future.set_exception(error)
                future.exception()  # seen: nobody else may be waiting
            else:
                future.cancel()
            raise
        else:
            future.set_result(rows)
            return rows
        finally:
            del self._reads[span]

    async def _redeem(self, ticket: Ticket, deliver: Callable[[Answer], None]) -> None:
        try:
            answer = Answer(await self._answer(ticket))
        except StoreDown:
            answer = Answer(error=Unavailable("the store does not answer", retry_after_ms=1_000))
        except RanksDown:
            answer = Answer(error=Unavailable("the ranks are not known now", retry_after_ms=1_000))
        except GuildhallError as refusal:
            answer = Answer(error=refusal)
        except Exception:
            log.exception("query.failed", ticket=type(ticket).__name__)
            answer = Answer(error=Defect("an unexpected error"))
        finally:
            self._under_way -= 1
        deliver(answer)

    def _events(self, rows: Sequence[EventRow]) -> Iterator[Message]:
        """What this release knows of them; the others are of a newer one, while nodes are replaced."""
        for row in rows:
            with suppress(MsgspecError):
                yield self._decode_event(row.body)

    async def _answer(self, ticket: Ticket) -> Any:
        if isinstance(ticket, FetchTicket):
            return await self._fetched[type(ticket)](ticket, self._reach)
        make = self._queries[type(ticket)]
        if isinstance(ticket, EventTicket):
            rows = await self.read(ticket.span)
            return make(ticket, list(self._events(rows)))
        assert isinstance(ticket, RowTicket)
        return make(ticket, await self._store.select(ticket.sql, ticket.values))
