"""The rank index of a node that runs alone: each table a sorted list of bytes and a dict, in this process.

A record of about 100 bytes an owner is the same object in both; neither it nor its key is anything that the garbage
collector has to visit. Docs: ``docs/decisions/006-rank-index.md``.
"""

import asyncio
import struct
from collections import defaultdict
from collections.abc import Sequence
from itertools import count

from sortedcontainers import SortedList

from storage.rank_keys import KEY_BYTES, numbers_of, order_key
from storage.ranks import Around, Incomplete, Of, Page, Placed, Ranked, RankTable, Standing, Top, check_put, check_read

FREED_AT_ONCE = 1000  # records of a forgotten table freed in one turn of the loop, about 1 ms; a million take 0.5 s

PLACED_AT_ONCE = 250  # standings of a put in one turn of the loop, about 1 ms
SHARDS = 1024  # dicts for a table's owners: a single one of a million holds the loop for 0.09 s whenever it grows

_TAIL = struct.Struct(">q?")  # count, removed


class LocalRanks:
    """``Ranks`` in process; see there for the contract. Nothing is lost, no call waits."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._tokens = count(1)
        self._forgotten: list[_Table] = []

    async def put(self, table: RankTable, standings: Sequence[Standing], *, filling: bool = False) -> list[Placed]:
        check_put(standings)
        placed: list[Placed] = []
        complete = True
        for at in range(0, len(standings), PLACED_AT_ONCE):
            if at:
                await asyncio.sleep(0)  # noqa: TID251 - no time passes, others get their turn
            held = self._tables.get(table.name)
            if held is None:
                held = self._tables[table.name] = _Table()
            complete = complete and held.through is not None
            for standing in standings[at : at + PLACED_AT_ONCE]:
                if filling or not complete:
                    held.put(table, standing)
                else:
                    placed.append(held.place(table, standing))
        if filling:
            return []
        if not complete:
            raise Incomplete(table.name)
        return placed

    async def read(self, table: RankTable, what: Top | Around | Of) -> Page:
        check_read(what)
        held = self._tables.get(table.name)
        if held is None or held.through is None:
            raise Incomplete(table.name)
        match what:
            case Top(start, limit):
                return held.page(table, start, limit)
            case Around(owner, limit):
                return held.around(table, owner, limit)
            case Of(owners):
                return held.of(table, owners)

    async def begin(self, table: RankTable) -> str:
        self._forget(table)
        held = self._tables[table.name] = _Table()
        held.token = str(next(self._tokens))
        return held.token

    async def finish(self, table: RankTable, token: str, through_us: int) -> bool:
        held = self._tables.get(table.name)
        if held is None or held.token != token:
            return False
        if held.through is None:
            held.through = through_us
        return True

    async def through(self, table: RankTable) -> int | None:
        held = self._tables.get(table.name)
        return held.through if held else None

    async def advance(self, table: RankTable, expected_us: int, through_us: int) -> bool:
        held = self._tables.get(table.name)
        if held is None or held.through not in (expected_us, through_us):
            return False
        held.through = through_us
        return True

    async def drop(self, table: RankTable) -> None:
        self._forget(table)

    def _forget(self, table: RankTable) -> None:
        """Freed bit by bit: a million records at once would hold the loop for a tenth of a second."""
        held = self._tables.pop(table.name, None)
        if held is None:
            return
        if not self._forgotten:
            asyncio.get_running_loop().call_soon(self._free)
        self._forgotten.append(held)

    def _free(self) -> None:
        if self._forgotten[-1].shrink(FREED_AT_ONCE):
            self._forgotten.pop()
        if self._forgotten:
            asyncio.get_running_loop().call_soon(self._free)


class _Table:
    """One table. Pure; a call is O(log n), but for the few that split or join lists of a thousand."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.through: int | None = None
        self._order: SortedList = SortedList()
        """Records of those who are ranked. A record is key, owner, NUL, count, removed, name: it sorts as key and owner
        do, because an owner holds nothing below NUL and stands in one record only."""
        self._shards: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        """The record of each owner, the removed included."""

    def put(self, table: RankTable, standing: Standing) -> bool:
        """False: it is not newer than what is known."""
        owner = standing.owner.encode()
        shard = self._shard(owner)
        old = shard.get(owner)
        if old is not None:
            known, removed = _TAIL.unpack_from(old, KEY_BYTES + len(owner) + 1)
            if known >= standing.count:
                return False
            if not removed:
                self._order.remove(old)
        new = b"%b%b\0%b%b" % (
            order_key(table, standing),
            owner,
            _TAIL.pack(standing.count, standing.removed),
            standing.name.encode(),
        )
        shard[owner] = new
        if not standing.removed:
            self._order.add(new)
        return True

    def place(self, table: RankTable, standing: Standing) -> Placed:
        owner = standing.owner.encode()
        was = self._rank(owner)
        return Placed(self._rank(owner) if self.put(table, standing) else was, was)

    def page(self, table: RankTable, start: int, limit: int) -> Page:
        records = self._order.islice(start, start + limit)
        return Page(
            len(self._order), [Ranked(start + n, _standing(table, record)) for n, record in enumerate(records, start=1)]
        )

    def around(self, table: RankTable, owner: str, limit: int) -> Page:
        rank = self._rank(owner.encode())
        if not rank:
            return Page(len(self._order), [])
        start = max(0, min(rank - 1 - limit // 2, len(self._order) - limit))
        return self.page(table, start, limit)

    def of(self, table: RankTable, owners: Sequence[str]) -> Page:
        records = [record for owner in set(owners) if (record := self._ranked(owner.encode()))]
        entries = [Ranked(self._order.bisect_left(record) + 1, _standing(table, record)) for record in sorted(records)]
        return Page(len(self._order), entries)

    def shrink(self, records: int) -> bool:
        """Forget so many, or more by a thousandth of all; True if none is left."""
        for _ in range(min(records, len(self._order))):
            self._order.pop()
        while records > 0 and self._shards:
            records -= len(self._shards.popitem()[1])
        return not self._shards and not self._order

    def _shard(self, owner: bytes) -> dict[bytes, bytes]:
        return self._shards[hash(owner) % SHARDS]

    def _ranked(self, owner: bytes) -> bytes | None:
        """The record of an owner who is not removed."""
        record = self._shard(owner).get(owner)
        if record is None or _TAIL.unpack_from(record, KEY_BYTES + len(owner) + 1)[1]:
            return None
        return record

    def _rank(self, owner: bytes) -> int:
        """0: not ranked."""
        record = self._ranked(owner)
        if record is None:
            return 0
        rank: int = self._order.bisect_left(record) + 1
        return rank


def _standing(table: RankTable, record: bytes) -> Standing:
    nul = record.index(0, KEY_BYTES)
    score, subscore, at_us = numbers_of(table, record[:KEY_BYTES])
    known, removed = _TAIL.unpack_from(record, nul + 1)
    return Standing(
        owner=record[KEY_BYTES:nul].decode(),
        name=record[nul + 1 + _TAIL.size :].decode(),
        score=score,
        subscore=subscore,
        at_us=at_us,
        count=known,
        removed=removed,
    )
