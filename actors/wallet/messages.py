"""What is said of wallets: to clients, to staff, and what is refused."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from actors.staff import By
from protocol import Event, GuildhallError, Id, Int64, Reply, Request, clean

ENTRY_LIMIT = 10**12  # of a currency in one gift, grant or purchase
MESSAGE_LIMIT = 200  # characters of a gift's message, after cleaning
REASON_LIMIT = 500  # characters of what staff says of a grant, after cleaning

Reason = Literal["granted", "revoked", "gift_sent", "gift_received", "gift_returned"]
"""Why a balance has changed; rooms of later releases add to it."""
CurrencyName = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,31}\Z")]
Refusal = Literal["unknown", "full", "closed"]
"""Why a receiver does not take a gift."""


# What the player asks.
class GiftOnItsWay(Struct, frozen=True, kw_only=True):
    """A gift that its receiver has not answered yet; ``amount`` has left the balance."""

    gift: str
    to: str
    currency: str
    amount: Int64
    at: int


class WalletShown(Reply, tag="wallet.shown", frozen=True, kw_only=True):
    """What the player has, as of event ``seq`` of ``player:ID``; a currency that is not named stands at 0."""

    balances: dict[str, Int64]
    sending: list[GiftOnItsWay]
    seq: int


class WalletGet(Request[WalletShown], tag="wallet.get", frozen=True, kw_only=True):
    """The caller's own wallet."""


class WalletGiven(Reply, tag="wallet.given", frozen=True, kw_only=True):
    """The receiver has the gift; ``balance`` is what is left of the currency."""

    gift: str
    to: str
    currency: str
    amount: Int64
    balance: Int64


class WalletGive(Request[WalletGiven], tag="wallet.give", frozen=True, kw_only=True):
    """Give a player some of a currency.

    Answered when the receiver has it, or with the refusal when it came back. It leaves the balance at once
    (``wallet.changed``); until it is answered it is listed as ``sending``. No answer in time (``unavailable``) does not
    stop it: the same id finds out.
    """

    to: Id
    currency: CurrencyName
    amount: Annotated[int, Meta(ge=1, le=ENTRY_LIMIT, extra={"int64": True})]
    message: Annotated[str, Meta(max_length=MESSAGE_LIMIT, extra={"text": clean})] = ""


# What everybody with the player's inbox topic hears.
class WalletChanged(Event, tag="wallet.changed", frozen=True, kw_only=True):
    """A balance has changed by ``delta`` to ``balance``.

    ``reason``: ``granted`` and ``revoked`` (staff), ``gift_sent``, ``gift_received``, ``gift_returned`` (nobody took
    it), and others in later releases. ``other`` is the other player of a gift.
    """

    currency: str
    delta: Int64
    balance: Int64
    reason: str
    other: str | None = None
    gift: str | None = None


class WalletGiftSettled(Event, tag="wallet.gift_settled", frozen=True, kw_only=True):
    """The player's gift is on its way no more: its receiver has it, or it has come back (``taken`` is false)."""

    gift: str
    taken: bool


# What staff asks.
class WalletGranted(Reply, tag="wallet.granted", frozen=True, kw_only=True):
    """``entry`` is the number of the row in the player's ledger."""

    player: str
    currency: str
    amount: Int64
    balance: Int64
    entry: int


class WalletGrant(Request[WalletGranted], tag="wallet.grant", frozen=True, kw_only=True):
    """Add ``amount`` to a balance of ``player``, or take ``-amount`` away."""

    player: Id
    currency: CurrencyName
    amount: Annotated[int, Meta(ge=-ENTRY_LIMIT, le=ENTRY_LIMIT, extra={"int64": True})]
    reason: Annotated[str, Meta(min_length=1, max_length=REASON_LIMIT, extra={"text": clean})]
    by: By


class WalletSheet(Reply, tag="wallet.sheet", frozen=True, kw_only=True):
    """A wallet, for staff."""

    player: str
    balances: dict[str, Int64]
    sending: list[GiftOnItsWay]


class WalletInspect(Request[WalletSheet], tag="wallet.inspect", frozen=True, kw_only=True):
    """Look at a player's wallet."""

    player: Id


# What is refused.
class CurrencyNotFound(GuildhallError):
    """There is no such currency."""

    code = "wallet.currency_not_found"


class Insufficient(GuildhallError):
    """The balance is lower than the amount."""

    code = "wallet.insufficient"


class BalanceFull(GuildhallError):
    """The balance, with what is on its way from here, would pass its limit."""

    code = "wallet.full"


class GiftLimit(GuildhallError):
    """The amount is above what may be given of this currency, or the player has given as often as may be on one day."""

    code = "wallet.limit"


class GiftPending(GuildhallError):
    """Too many gifts of the player have not been answered yet."""

    code = "wallet.pending"
    retry = "later"


class GiftToSelf(GuildhallError):
    """Nobody gives to herself."""

    code = "wallet.to_self"


class ReceiverFull(GuildhallError):
    """The receiver's balance has no room for the gift; it has come back."""

    code = "wallet.receiver_full"


class ReceiverClosed(GuildhallError):
    """The receiver cannot be given anything now; the gift has come back."""

    code = "wallet.receiver_closed"
