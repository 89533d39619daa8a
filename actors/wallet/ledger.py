"""The wallet's slice, the ledger, and ``enter``, the one function that changes a balance.

The slice is what a turn decides by; the ledger is the proof. Every change of a balance is a row, written in the commit
that changes it. ``number`` counts a player's rows from 1 without a hole. ``entry`` says what the row is for, so that
nothing is entered twice, for ever: ``op:ID`` a request of the player, ``gift:ID`` a gift received, ``back:ID`` one that
came back, ``staff:KEY:OP`` a staff request. ``guildhall doctor`` compares slice and ledger.

A gift that has left and was not answered yet is in ``sending``. Balances and what is sent share one limit, so what
comes back always has room.
"""

from collections.abc import Mapping

from msgspec import Struct

from actors.runtime import Context, Feature, OpRef
from actors.wallet.messages import (
    ENTRY_LIMIT,
    BalanceFull,
    CurrencyNotFound,
    Insufficient,
    Reason,
    WalletChanged,
    WalletGiftSettled,
)
from protocol import Defect, GuildhallError
from storage import Insert, Migration

BALANCE_LIMIT = 10**18  # of one currency, with what is on its way; a sum of nine fits into 64 bits
SENDING_LIMIT = 16  # gifts of a player on their way; fewer than the ops that are kept, so that each finds its answer


class Currency(Struct, frozen=True, kw_only=True):
    """What may be done with a currency; ``gift_limit`` 0: it cannot be given away."""

    gift_limit: int


CURRENCIES: Mapping[str, Currency] = {
    "gold": Currency(gift_limit=1_000_000),
    "gems": Currency(gift_limit=1_000),
}
"""Every currency there is. One that is taken out stays in wallets and ledgers, and what is on its way arrives."""

_LEDGER = """
CREATE TABLE wallet_ledger (
    player VARCHAR(64) NOT NULL,
    number BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    currency VARCHAR(32) NOT NULL,
    delta BIGINT NOT NULL,
    balance BIGINT NOT NULL,
    reason VARCHAR(32) NOT NULL,
    other VARCHAR(64) NOT NULL,
    gift VARCHAR(16) NOT NULL,
    note VARCHAR(500) NOT NULL,
    entry VARBINARY(200) NOT NULL,
    PRIMARY KEY (player, entry)
)
"""
"""No other key is unique: one that is taken says for certain that the entry was made. ``balance`` is the one after the
row; ``other`` is the other player of a gift, or the id of a staff key."""


# What is kept.
class Sending(Struct, frozen=True, kw_only=True):
    """A gift on its way; ``op`` waits for its end."""

    to: str
    currency: str
    amount: int
    at_ms: int
    op: OpRef


class Wallet(Struct):
    """The ``wallet`` slice of a player."""

    balances: dict[str, int] = {}
    """By currency; never below 0."""
    entries: int = 0
    """Rows of the player in the ledger."""
    sending: dict[str, Sending] = {}
    """By gift, the oldest first."""
    day: int = 0
    """Days since the Unix epoch: the one that ``given`` is about."""
    given: int = 0
    """Gifts sent on that day, also those that came back."""


wallet = Feature(
    name="wallet",
    actor="player",
    state=Wallet,
    migrations=(
        Migration(1, _LEDGER.strip()),
        Migration(2, "CREATE INDEX wallet_ledger_by_number ON wallet_ledger (player, number)"),
        Migration(3, "CREATE INDEX wallet_ledger_by_gift ON wallet_ledger (gift)"),
    ),
)
wallet.publishes(WalletChanged, WalletGiftSettled)


# Rules.
def require_currency(name: str) -> Currency:
    """Raises CurrencyNotFound where there is no such currency."""
    currency = CURRENCIES.get(name)
    if currency is None:
        raise CurrencyNotFound(f"there is no currency {name!r}; there are {', '.join(sorted(CURRENCIES))}")
    return currency


def balance_of(purse: Wallet, currency: str) -> int:
    """What the player has of a currency."""
    return purse.balances.get(currency, 0)


def has_room(purse: Wallet, currency: str, amount: int) -> bool:
    """Whether ``amount`` can be added, and everything on its way come back."""
    sent = sum(gift.amount for gift in purse.sending.values() if gift.currency == currency)
    return balance_of(purse, currency) + sent + amount <= BALANCE_LIMIT


def require_possible(purse: Wallet, currency: str, delta: int) -> None:
    """Return where a balance can change by ``delta``.

    Raises:
        Insufficient: it would fall below 0.
        BalanceFull: it would pass ``BALANCE_LIMIT``.
    """
    if balance_of(purse, currency) + delta < 0:
        raise Insufficient(f"{-delta} of {currency} asked for, the balance is {balance_of(purse, currency)}")
    if delta > 0 and not has_room(purse, currency, delta):
        raise BalanceFull(f"no room for {delta} of {currency}")


# For all turns, also those of other rooms.
class Entry(Struct, frozen=True, kw_only=True):
    """A change of a balance; ``key`` names its cause (see the module), unique for the player for ever."""

    key: str
    currency: str
    delta: int
    reason: Reason
    other: str = ""
    gift: str = ""
    note: str = ""


def enter(ctx: Context, purse: Wallet, entry: Entry, *, taken: type[GuildhallError] = Defect) -> int:
    """Change a balance, write the row and tell the player; returns the new balance.

    Where the key was entered before, the whole turn is undone, and answered ``taken``. The caller has asked
    ``require_possible`` before its first change.
    """
    balance = balance_of(purse, entry.currency) + entry.delta
    if not 0 <= balance <= BALANCE_LIMIT or not 0 < abs(entry.delta) <= ENTRY_LIMIT:
        raise ValueError(f"{entry.delta} of {entry.currency} cannot be entered, it would make {balance}")
    purse.balances[entry.currency] = balance
    purse.entries += 1
    row = {
        "player": ctx.key,
        "number": purse.entries,
        "at_ms": ctx.now_ms,
        "currency": entry.currency,
        "delta": entry.delta,
        "balance": balance,
        "reason": entry.reason,
        "other": entry.other,
        "gift": entry.gift,
        "note": entry.note,
        "entry": entry.key.encode(),
    }
    ctx.keep(Insert("wallet_ledger", row), taken=taken)
    changed = WalletChanged(
        currency=entry.currency,
        delta=entry.delta,
        balance=balance,
        reason=entry.reason,
        other=entry.other if entry.gift else None,
        gift=entry.gift or None,
    )
    ctx.publish(ctx.actor, changed)
    return balance
