"""The rank index of a cluster: two keys of Redis for each table, and a script for each call.

The names of a table's keys share a hash tag, so that a Redis Cluster would keep them on one node.
"""

import secrets
import struct
from collections.abc import Sequence

from redis.exceptions import NoScriptError

from storage import redis_rank_scripts as scripts
from storage.rank_keys import KEY_BYTES, numbers_of, order_key
from storage.ranks import (
    Around,
    Incomplete,
    Of,
    Page,
    Placed,
    Ranked,
    RanksDown,
    RankTable,
    Standing,
    Top,
    check_put,
    check_read,
)
from storage.redis_pipeline import Answer, Command, RedisPipeline, Unanswered

SCRIPT_STANDINGS = 100  # in one script; among a million owners that stops Redis for 1 ms, 3 ms if ranks are asked for

_BIAS = 1 << 63  # int64 to uint64, in order
_HEAD = struct.Struct(">Q?")  # count, removed
_NAME_AT = _HEAD.size + KEY_BYTES


class RedisRanks:
    """``Ranks`` on one Redis; see there for the contract. Works while the pipeline runs."""

    def __init__(self, pipeline: RedisPipeline, scope: str) -> None:
        """Who gives the same ``scope`` shares the tables."""
        self._pipeline = pipeline
        self._scope = scope
        self._begun: dict[str, tuple[str, int]] = {}
        """Of each table, the fill that we began last and the connection over which."""
        self._told: dict[str, int] = {}
        """Of each table, the connection over which we last heard the watermark. As long as it lives, Redis is still the
        process that it was: what that was told, it has not forgotten for an older copy."""

    async def put(self, table: RankTable, standings: Sequence[Standing], *, filling: bool = False) -> list[Placed]:
        check_put(standings)
        placed: list[Placed] = []
        complete = True
        for at in range(0, len(standings), SCRIPT_STANDINGS):
            arguments = [b"0" if filling else b"1"]
            for standing in standings[at : at + SCRIPT_STANDINGS]:
                arguments += _packed(table, standing)
            (whole, *ranks), _ = await self._run(scripts.PUT, table, arguments)
            complete = complete and whole == 1
            placed += [Placed(ranks[n], ranks[n + 1]) for n in range(0, len(ranks), 2)]
        if filling:
            return []
        if not complete:
            raise Incomplete(table.name)
        return placed

    async def read(self, table: RankTable, what: Top | Around | Of) -> Page:
        check_read(what)
        script, arguments = _question(what)
        answer, _ = await self._run(script, table, arguments)
        if answer is None:
            raise Incomplete(table.name)
        entries = [Ranked(answer[n], _standing(table, answer[n + 1], answer[n + 2])) for n in range(1, len(answer), 3)]
        if isinstance(what, Of):
            entries.sort(key=lambda entry: entry.rank)
        return Page(answer[0], entries)

    async def begin(self, table: RankTable) -> str:
        token = secrets.token_hex(8)
        _, link = await self._run(scripts.BEGIN, table, [token.encode()])
        self._begun[table.name] = token, link
        return token

    async def finish(self, table: RankTable, token: str, through_us: int) -> bool:
        same = self._begun.get(table.name) == (token, self._pipeline.link)
        answer, link = await self._run(scripts.FINISH, table, [token.encode(), b"%d" % through_us, b"%d" % same])
        return self._heard(table, link, told=answer == 1)

    async def through(self, table: RankTable) -> int | None:
        answer, link = await self._run(scripts.THROUGH, table, [])
        self._heard(table, link, told=answer is not None)
        return None if answer is None else int(answer)

    async def advance(self, table: RankTable, expected_us: int, through_us: int) -> bool:
        same = self._told.get(table.name) == self._pipeline.link
        answer, link = await self._run(scripts.ADVANCE, table, [b"%d" % expected_us, b"%d" % through_us, b"%d" % same])
        return self._heard(table, link, told=answer == 1)

    async def drop(self, table: RankTable) -> None:
        self._begun.pop(table.name, None)
        self._told.pop(table.name, None)
        await self._call((b"UNLINK", *self._keys(table)))

    def _heard(self, table: RankTable, link: int, *, told: bool) -> bool:
        if told:
            self._told[table.name] = link
        else:
            self._told.pop(table.name, None)
        return told

    def _keys(self, table: RankTable) -> tuple[bytes, bytes]:
        tag = f"ranks:{{{self._scope}/{table.name}}}"
        return f"{tag}:order".encode(), f"{tag}:owners".encode()

    async def _run(self, script: scripts.Script, table: RankTable, arguments: Sequence[bytes]) -> Answer:
        rest = (b"2", *self._keys(table), *arguments)
        try:
            return await self._call((b"EVALSHA", script.digest, *rest))
        except NoScriptError:
            return await self._call((b"EVAL", script.text, *rest))

    async def _call(self, command: Command) -> Answer:
        try:
            return await self._pipeline.call(command)
        except Unanswered as down:
            raise RanksDown(str(down)) from None


def _question(what: Top | Around | Of) -> tuple[scripts.Script, list[bytes]]:
    match what:
        case Top(start, limit):
            return scripts.TOP, [b"%d" % start, b"%d" % limit]
        case Around(owner, limit):
            return scripts.AROUND, [owner.encode(), b"%d" % limit]
        case Of(owners):
            return scripts.OF, [owner.encode() for owner in set(owners)]


def _packed(table: RankTable, standing: Standing) -> tuple[bytes, bytes, bytes]:
    """Owner, score in the zset, row in the hash."""
    score = standing.score if table.lowest_first else -standing.score
    head = _HEAD.pack(standing.count + _BIAS, standing.removed)
    row = b"%b%b%b" % (head, order_key(table, standing), standing.name.encode())
    return standing.owner.encode(), b"%r" % float(score), row


def _standing(table: RankTable, owner: bytes, row: bytes) -> Standing:
    count, removed = _HEAD.unpack_from(row)
    score, subscore, at_us = numbers_of(table, row[_HEAD.size : _NAME_AT])
    return Standing(
        owner=owner.decode(),
        name=row[_NAME_AT:].decode(),
        score=score,
        subscore=subscore,
        at_us=at_us,
        count=count - _BIAS,
        removed=removed,
    )
