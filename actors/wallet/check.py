"""Whether wallets and ledger agree: for ``guildhall doctor``. Reads only, in pages, on a database that is in use.

What is read at two moments may differ for that alone: whoever asks asks again before believing it.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from actors.wallet.ledger import Sending, Wallet, wallet
from storage import Store

PAGE = 500  # wallets compared at a time
LATE_MS = 60_000  # a gift is answered within seconds; one that is not has met a fault
_WALLETS = f"SELECT actor, body FROM slices WHERE slice = '{wallet.name}' AND actor > ? ORDER BY actor LIMIT {PAGE}"  # noqa: S608
_PLAYERS = f"SELECT player FROM wallet_ledger WHERE player > ? GROUP BY player ORDER BY player LIMIT {PAGE}"  # noqa: S608
_DOUBLED = (
    "SELECT gift, COUNT(*) FROM wallet_ledger WHERE gift <> '' AND reason <> 'gift_sent'"
    " GROUP BY gift HAVING COUNT(*) > 1 ORDER BY gift"
)
_UNSETTLED = (
    "SELECT s.player, s.gift, s.other, s.currency, -s.delta, s.at_ms FROM wallet_ledger s"
    " LEFT JOIN wallet_ledger e ON e.gift = s.gift AND e.reason <> 'gift_sent'"
    " WHERE s.reason = 'gift_sent' AND e.gift IS NULL AND s.at_ms < ? ORDER BY s.player, s.number"
)


class Sums(Struct):
    """What a player's rows in the ledger come to."""

    balances: dict[str, int] = {}
    rows: int = 0
    last: int = 0


async def wallet_faults(store: Store, now_ms: int) -> list[str]:
    """A line for everything that does not agree; nothing is all right."""
    faults: list[str] = []
    async for purses in _pages(store):
        sums = await _sums(store, list(purses))
        for player, purse in purses.items():
            faults += _compare(player, purse, sums.get(player, Sums()))
            faults += _late(player, purse, now_ms)
    faults += [f"wallet of {player}: is in the ledger, but is not kept" async for player in _unkept(store)]
    faults += [f"gift {gift}: settled {times} times" for gift, times in await store.select(_DOUBLED)]
    return faults + await _lost(store, now_ms)


def _compare(player: str, purse: Wallet, sums: Sums) -> Iterable[str]:
    for currency in sorted(purse.balances.keys() | sums.balances.keys()):
        stands, adds_up = purse.balances.get(currency, 0), sums.balances.get(currency, 0)
        if stands != adds_up:
            yield f"wallet of {player}: {currency} stands at {stands}, its ledger adds up to {adds_up}"
        if stands < 0:
            yield f"wallet of {player}: {currency} stands at {stands}, below 0"
    if (sums.rows, sums.last) != (purse.entries, purse.entries):
        yield f"wallet of {player}: {purse.entries} entries, the ledger has {sums.rows}, the last is {sums.last}"


def _late(player: str, purse: Wallet, now_ms: int) -> Iterable[str]:
    for gift, sent in purse.sending.items():
        if sent.at_ms < now_ms - LATE_MS:
            minutes = (now_ms - sent.at_ms) // 60_000
            yield f"gift {gift}: {_told(player, sent)} has been on its way for {minutes} min"


async def _lost(store: Store, now_ms: int) -> list[str]:
    """Gifts that have left, and are neither there, nor back, nor on their way."""
    faults = []
    rows = await store.select(_UNSETTLED, (now_ms - LATE_MS,))
    purses = await _purses(store, sorted({row[0] for row in rows}))
    for player, gift, to, currency, amount, _ in rows:
        if player not in purses or gift not in purses[player].sending:
            faults.append(f"gift {gift}: {amount} {currency} of {player} to {to} is lost: not there, not back")
    return faults


def _told(player: str, sent: Sending) -> str:
    return f"{sent.amount} {sent.currency} of {player} to {sent.to}"


# Reading.
async def _pages(store: Store) -> AsyncIterator[dict[str, Wallet]]:
    after = ""
    while rows := await store.select(_WALLETS, (after,)):
        after = rows[-1][0]
        yield _decoded(rows)


async def _unkept(store: Store) -> AsyncIterator[str]:
    after = ""
    while rows := await store.select(_PLAYERS, (after,)):
        after = rows[-1][0]
        players = [player for (player,) in rows]
        kept = await _purses(store, players)
        for player in players:
            if player not in kept:
                yield player


async def _purses(store: Store, players: Sequence[str]) -> Mapping[str, Wallet]:
    found: dict[str, Wallet] = {}
    for start in range(0, len(players), PAGE):
        actors = [f"player:{player}" for player in players[start : start + PAGE]]
        sql = f"SELECT actor, body FROM slices WHERE slice = ? AND actor IN ({_marks(actors)})"  # noqa: S608
        found |= _decoded(await store.select(sql, (wallet.name, *actors)))
    return found


def _decoded(rows: Sequence[tuple[Any, ...]]) -> dict[str, Wallet]:
    return {actor.partition(":")[2]: msgspec.msgpack.decode(body, type=Wallet) for actor, body in rows}


async def _sums(store: Store, players: Sequence[str]) -> dict[str, Sums]:
    sql = (
        "SELECT player, currency, SUM(delta), COUNT(*), MAX(number) FROM wallet_ledger"  # noqa: S608
        f" WHERE player IN ({_marks(players)}) GROUP BY player, currency"
    )
    found: dict[str, Sums] = {}
    for player, currency, total, rows, last in await store.select(sql, players):
        sums = found.setdefault(player, Sums())
        sums.balances[currency] = int(total)
        sums.rows += rows
        sums.last = max(sums.last, last)
    return found


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
