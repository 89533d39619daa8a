"""Keeps the rank index right: it follows the table of entries, and may be lost at any time.

Whoever commits a score places it in the index right afterwards; that is all there is to do, until a node dies in
between, the index is flushed, or restored from an older copy. So each table of the index has a watermark, up to which
everything is surely in, and the node that a board belongs to looks at it every ``LOOK_S`` seconds:

    no watermark                    the table is filled from the database
    a node has gone, or it is the   what was committed since some time before the watermark is placed again,
    first look                      then the watermark is moved on
    nothing has happened            the watermark is moved on, ``LAG_S`` behind the present: a node that has died is
                                    missed sooner

Placing twice does no harm, so neither does a second node that believes a board to be its own.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from secrets import token_hex

import structlog

from actors.leaderboards.definition import Board, Boards, Table
from actors.leaderboards.messages import SHOWN
from actors.leaderboards.placing import Placing
from actors.leaderboards.requests import BoardFill, BoardTouched
from actors.leaderboards.rows import page_by_rows
from actors.leaderboards.tables import all_after, standing_of
from actors.runtime import SERVER, Answer, Reach
from protocol import Busy, GuildhallError
from storage import Around, Incomplete, Of, Page, Placed, RanksDown, Standing, StoreDown, Top

log = structlog.get_logger()
LOOK_S = 5.0
MISSED_S = 0.5  # instead, while there is anything that the index has not been told
LAG_S = 60.0  # of a watermark behind the present; longer than it takes to notice that a node has died
BACK_S = 600.0  # before the watermark, from where everything is placed again after a node has gone
CHUNK = 1_000  # standings read and placed at once
FILLS = 5  # tries of one fill before the next look
FILL_PATIENCE_S = 1.0  # for a table that is being filled; then the database answers
MISSED = 100_000  # standings that wait for an index that is away; more, and the tables are filled anew
ROWS_AT_ONCE = 4  # readings of ranks from the database at the same time: each goes through many rows
TOUCH_S = 0.1  # between two words to a board that its first places have changed
RANKING = 256  # submissions that wait for a rank that the index could not tell at once
OLD_S = 60.0  # after its end a period leaves the index: by then the last score of it has been placed


class Keeper:
    """One for each node: places and reads for this node's players, repairs for the boards that belong to it."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._ranks = reach.ranks
        self._placing = Placing(reach.ranks)
        self._filling: set[Table] = set()
        self._trusted: set[Table] = set()
        self._doubts = 0
        self._missed: dict[Table, dict[str, Standing]] = {}
        self._lost: set[Table] = set()
        self._touched: set[str] = set()
        self._telling: set[str] = set()
        self._bell = asyncio.Event()
        self._by_rows = asyncio.Semaphore(ROWS_AT_ONCE)
        self._ranking = 0
        self._present: dict[str, Table] = {}
        """By board of this node: the table of the last look."""
        self._leaving: dict[Table, float] = {}
        """Tables of periods that are over, and when they leave the index, in monotonic seconds."""
        reach.membership.on_change(lambda change: self._doubt() if change.gone else None)
        reach.membership.on_lapse(self._doubt)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after the index until the context is left."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._look_again(), name="ranks-look"),
                tasks.create_task(self._tell_touched(), name="ranks-touched"),
            ]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    # For this node's players.
    async def place(self, table: Table, standing: Standing) -> int:
        """Place a committed standing; its rank, 0 for one that was removed.

        Raises:
            Busy: it is placed, but too many wait for a rank that has to be looked for.
        """
        placed = await self.place_quietly(table, standing)
        if placed is not None:
            return placed.rank
        if standing.removed:
            return 0
        if self._ranking >= RANKING:
            raise Busy("the score is taken; its rank is not known now", retry_after_ms=2_000)
        self._ranking += 1
        try:
            page = await self.read(table, Of([standing.owner]))
        finally:
            self._ranking -= 1
        return page.entries[0].rank if page.entries else 0

    async def place_quietly(self, table: Table, standing: Standing) -> Placed | None:
        """Place a committed standing; where it is now, if the index says so."""
        if self._is_over(table, ago_s=OLD_S):
            return None  # its table has left the index
        try:
            placed = await self._placing.place(table, standing)
        except Incomplete:
            self.touch(table.board)
            return None
        except RanksDown:
            self._miss(table, standing)
            return None
        if min(placed.rank or SHOWN + 1, placed.was or SHOWN + 1) <= SHOWN:
            self.touch(table.board)
        return placed

    async def read(self, table: Table, what: Top | Around | Of) -> Page:
        """A page of the present period."""
        if not self._is_over(table, ago_s=OLD_S):
            with suppress(Incomplete, RanksDown):
                return await self._read_index(table, what)
        return await self.read_rows(table, what)

    async def read_rows(self, table: Table, what: Top | Around | Of) -> Page:
        """A page of any period from the database: slower, the more owners there are."""
        async with self._by_rows:
            return await page_by_rows(self._reach.store, table, what)

    async def _read_index(self, table: Table, what: Top | Around | Of) -> Page:
        try:
            return await self._ranks.read(table.ranks, what)
        except Incomplete:
            if not await self._filled(table):
                raise
        return await self._ranks.read(table.ranks, what)

    async def _filled(self, table: Table) -> bool:
        """Have the board's node fill the table; whether that was done within ``FILL_PATIENCE_S``."""
        try:
            await self._reach.ask(_fill_of(table))
        except GuildhallError:
            return False
        until = self._reach.clock.monotonic() + FILL_PATIENCE_S
        while self._reach.clock.monotonic() < until:
            if await self._ranks.through(table.ranks) is not None:
                return True
            await self._reach.clock.sleep(0.02)
        return False

    def _is_over(self, table: Table, *, ago_s: float) -> bool:
        """Whether the table's period was over so long ago."""
        board = self._boards.get(table.board)
        now_ms = self._reach.clock.now_ms()
        return board is not None and board.is_over(table.period, now_ms - int(ago_s * 1000))

    # For the boards of this node.
    async def fill(self, table: Table) -> None:
        """Fill the table from the database; nothing to do while that is under way, or was done meanwhile."""
        if table in self._filling:
            return
        self._filling.add(table)
        try:
            for _ in range(FILLS):
                if await self._ranks.through(table.ranks) is not None or await self._fill_once(table):
                    self.touch(table.board)
                    return
            log.warning("ranks.not_filled", board=table.board, period=table.period, tries=FILLS)
        finally:
            self._filling.discard(table)

    async def _fill_once(self, table: Table) -> bool:
        through_us = self._reach.clock.now_us() - int(LAG_S * 1_000_000)
        started = self._reach.clock.monotonic()
        token = await self._ranks.begin(table.ranks)
        count = await self._place_all(table, 0)
        if not await self._ranks.finish(table.ranks, token, through_us):
            return False
        took_ms = round((self._reach.clock.monotonic() - started) * 1000)
        log.info("ranks.filled", board=table.board, period=table.period, owners=count, took_ms=took_ms)
        return True

    async def _look_again(self) -> None:
        away = False
        while True:
            try:
                await self._place_missed()
                for board in list(self._boards.values()):
                    await self._look_at(board)
                await self._drop_old()
                away = False
            except (RanksDown, StoreDown) as error:
                if not away:
                    log.warning("ranks.not_looked_at", reason=str(error))
                away = True
                self._doubt()
            await self._reach.clock.sleep(MISSED_S if self._missed or self._lost else LOOK_S)

    @property
    def _boards(self) -> Boards:
        boards: Boards = self._reach.replicas.values["boards"]
        return boards

    async def _look_at(self, board: Board) -> None:
        membership = self._reach.membership
        if not membership.serving or membership.owner_by_hash(f"leaderboard:{board.name}") != membership.node:
            self._present.pop(board.name, None)
            return
        span = board.span(self._reach.clock.now_ms())
        table = board.table(span.name)
        before = self._present.get(board.name)
        if before is None:  # the node that looked until now may have gone before it let go of the last period
            before = board.table(board.span(max(0, span.start_ms - 1)).name)
        if before != table:
            self._leaving[before] = self._reach.clock.monotonic() + OLD_S
        self._present[board.name] = table
        await self._look(table)

    async def _drop_old(self) -> None:
        for table, due in list(self._leaving.items()):
            if due <= self._reach.clock.monotonic():
                if table not in self._present.values():  # a clock may be set back
                    await self._ranks.drop(table.ranks)
                self._trusted.discard(table)
                del self._leaving[table]

    async def _look(self, table: Table) -> None:
        since_us = await self._ranks.through(table.ranks)
        if since_us is None:
            # By the board's actor, so that no two nodes fill it at once: each would undo what the other has begun.
            self._reach.router.ask(_fill_of(table), SERVER, _ignore)
            return
        doubts = self._doubts
        if table not in self._trusted:
            await self._place_all(table, since_us - int(BACK_S * 1_000_000))
            self.touch(table.board)
        until_us = self._reach.clock.now_us() - int(LAG_S * 1_000_000)
        sure = until_us <= since_us or await self._ranks.advance(table.ranks, since_us, until_us)
        if sure and doubts == self._doubts:
            self._trusted.add(table)
        else:
            self._trusted.discard(table)

    async def _place_all(self, table: Table, since_us: int) -> int:
        """Place every standing that has changed since ``since_us``; how many they were."""
        owner, count = "", 0
        while rows := await self._reach.store.select(*all_after(table, owner, CHUNK, since_us=since_us)):
            await self._ranks.put(table.ranks, [standing_of(row) for row in rows], filling=True)
            owner, count = rows[-1][0], count + len(rows)
            if len(rows) < CHUNK:
                break
        return count

    def _doubt(self) -> None:
        """Something may be missing from the index that was to be placed by now."""
        self._doubts += 1
        self._trusted.clear()

    # While the index is away.
    def _miss(self, table: Table, standing: Standing) -> None:
        if sum(map(len, self._missed.values())) >= MISSED:
            self._lost.update(self._missed)
            self._missed.clear()
        if table in self._lost:
            return
        owners = self._missed.setdefault(table, {})
        known = owners.get(standing.owner)
        if known is None or known.count < standing.count:
            owners[standing.owner] = standing

    async def _place_missed(self) -> None:
        for table in list(self._lost):
            await self._ranks.drop(table.ranks)
            self._lost.discard(table)
        for table, owners in list(self._missed.items()):
            waiting = list(owners.values())
            for start in range(0, len(waiting), CHUNK):
                placed = waiting[start : start + CHUNK]
                if not self._is_over(table, ago_s=OLD_S):
                    await self._ranks.put(table.ranks, placed, filling=True)
                self._not_missed(table, placed)
            self.touch(table.board)

    def _not_missed(self, table: Table, placed: Sequence[Standing]) -> None:
        """They are in; what an owner has missed since is not."""
        owners = self._missed.get(table, {})
        for standing in placed:
            if owners.get(standing.owner) is standing:
                del owners[standing.owner]
        if not owners:
            self._missed.pop(table, None)

    # For watchers.
    def touch(self, board: str) -> None:
        """The first places of the board may have changed: have it show them to watchers."""
        self._touched.add(board)
        self._bell.set()

    async def _tell_touched(self) -> None:
        """Tell boards that their first places have changed: many changes in one word, no board waits for another."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            for board in sorted(self._touched - self._telling):
                self._touched.discard(board)
                self._telling.add(board)
                touched = BoardTouched(id=token_hex(12), board=board)
                self._reach.router.ask(touched, SERVER, partial(self._told, board))
            await self._reach.clock.sleep(TOUCH_S)

    def _told(self, board: str, answer: Answer) -> None:
        self._telling.discard(board)
        if answer.error is not None:  # its node may be gone, and there may be no other change after this one
            self._touched.add(board)
        if board in self._touched:
            self._bell.set()


def _fill_of(table: Table) -> BoardFill:
    return BoardFill(id=token_hex(12), board=table.board, period=table.period)


def _ignore(_answer: Answer) -> None:
    """Whether it is filled is seen at the next look."""
