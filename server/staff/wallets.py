"""Wallets: look at balances and ledger, grant and revoke."""

from secrets import token_hex
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, QueryParameter
from msgspec import Meta, Struct

from actors.player import PlayerNotFound
from actors.staff import shown
from actors.wallet import (
    ENTRY_LIMIT,
    BalanceFull,
    CurrencyNotFound,
    Insufficient,
    WalletGrant,
    WalletGranted,
    WalletInspect,
)
from actors.wallet import REASON_LIMIT as GRANT_REASON_LIMIT
from protocol import Invalid, clean, settled
from server.staff.access import Endpoints
from server.staff.changes import PRIVATE, Changes
from server.staff.desk import Desk
from server.staff.inputs import Asked, Limit, PlayerId
from server.staff.leaderboards import Number, int64

_LEDGER = (
    "SELECT number, at_ms, currency, delta, balance, reason, other, gift, note, entry FROM wallet_ledger"
    " WHERE player = ? AND number < ? ORDER BY number DESC LIMIT ?"
)
Before = Annotated[
    int | None, QueryParameter(ge=1, le=2**53, description="Rows before this `entry`; not given: the newest.")
]


# What is sent.
class GrantOrder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is added to a balance, or with a negative ``amount`` taken away."""

    currency: Annotated[str, Meta(min_length=1, max_length=32)]
    amount: Number
    reason: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=GRANT_REASON_LIMIT,
            description="For the ledger and the audit; the player is not told.",
            extra={"text": clean},
        ),
    ]


# What is shown.
class LedgerRow(Struct, frozen=True, kw_only=True):
    """A change of a balance; ``cause`` is what it was entered for, once for ever."""

    entry: int
    at: int
    currency: str
    delta: str
    balance: str
    reason: str
    other: str
    """The other player of a gift, or the id of the key that granted."""
    gift: str
    note: str
    cause: str


class WalletView(Struct, frozen=True, kw_only=True):
    """Balances, gifts on their way, and the ledger, the newest row first; 64-bit numbers are decimal strings."""

    player: str
    balances: dict[str, str]
    sending: list[dict[str, Any]]
    ledger: list[LedgerRow]
    more: bool


def wallet_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/players/ID/wallet``."""

    @at.show("/v1/players/{player:str}/wallet", "wallet.read", PlayerNotFound)
    async def show(player: PlayerId, before: Before = None, limit: Limit = 50) -> Response[WalletView]:
        """Show a player's balances, gifts on their way, and ledger."""
        sheet = msgspec.json.decode(shown(await desk.ask(WalletInspect(id=token_hex(12), player=player))))
        rows = await desk.select(_LEDGER, (player, before or 2**62, limit + 1))
        view = WalletView(**sheet, ledger=[_row(*row) for row in rows[:limit]], more=len(rows) > limit)
        return Response(view, headers=PRIVATE)

    @at.change(
        "POST",
        "/v1/players/{player:str}/wallet/grants",
        "wallet.write",
        PlayerNotFound,
        CurrencyNotFound,
        Insufficient,
        BalanceFull,
    )
    async def grant(player: PlayerId, data: Annotated[GrantOrder, Body()], request: Asked) -> Response[WalletGranted]:
        """Add to a balance, or take away what is there."""
        order = settled(data)
        amount = int64(order.amount)
        if not 0 < abs(amount) <= ENTRY_LIMIT:
            raise Invalid(f"amount {amount}; allowed: 1 to {ENTRY_LIMIT}, or the same below 0")
        return await changes.run(
            request,
            lambda id_, by: WalletGrant(
                id=id_, player=player, currency=order.currency, amount=amount, reason=order.reason, by=by
            ),
        )

    return [show, grant]


def _row(number: int, at_ms: int, currency: str, delta: int, balance: int, *rest: Any) -> LedgerRow:
    reason, other, gift, note, entry = rest
    return LedgerRow(
        entry=number,
        at=at_ms,
        currency=currency,
        delta=str(delta),
        balance=str(balance),
        reason=reason,
        other=other,
        gift=gift,
        note=note,
        cause=bytes(entry).decode(),
    )
