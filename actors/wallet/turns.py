"""What happens to wallets: a look, a gift from one player to another, a grant of staff.

    player:ann                              player:bo
    wallet.give: debit, ``sending``
                 ── GiftOffered ─────────→  credit, notice: the ledger takes a gift once
                 ←── GiftTaken                              or cannot take it
    answered     ←── GiftRefused
    (credit back)

Each arrow is a row of the outbox in the commit of its cause, so a crash anywhere leaves the gift in exactly one place:
Ann's balance, ``sending``, or Bo's balance. A gift is answered once: by GiftTaken or by GiftRefused, which Bo's actor
tells in the commit that decides.
"""

from actors.mail import tell_player
from actors.player import PlayerNotFound, profile
from actors.runtime import CALLER, Context, Deferred
from actors.staff import audit
from actors.standing import refuse_muted, standing
from actors.wallet.ledger import (
    SENDING_LIMIT,
    Entry,
    Sending,
    Wallet,
    balance_of,
    enter,
    has_room,
    require_currency,
    require_possible,
    wallet,
)
from actors.wallet.messages import (
    GiftLimit,
    GiftOnItsWay,
    GiftPending,
    GiftToSelf,
    ReceiverClosed,
    ReceiverFull,
    Refusal,
    WalletGet,
    WalletGiftSettled,
    WalletGive,
    WalletGiven,
    WalletGrant,
    WalletGranted,
    WalletInspect,
    WalletSheet,
    WalletShown,
)
from protocol import GuildhallError, IdReused, Invalid, Tell, TooOld

GIFTS_A_DAY = 50  # of one player (UTC), also those that come back
RETRY_MS = 1_000  # a receiver that is not far behind has answered by then
DAY_MS = 86_400_000
REFUSALS: dict[Refusal, type[GuildhallError]] = {
    "unknown": PlayerNotFound,
    "full": ReceiverFull,
    "closed": ReceiverClosed,
}


# What the two wallets tell each other.
class GiftOffered(Tell, tag="wallet.gift_offered", frozen=True, kw_only=True):
    """The sender, a player shown as ``name``, has given this away for the receiver to have."""

    gift: str
    currency: str
    amount: int
    name: str
    message: str


class GiftTaken(Tell, tag="wallet.gift_taken", frozen=True, kw_only=True):
    """The sender has the gift."""

    gift: str


class GiftRefused(Tell, tag="wallet.gift_refused", frozen=True, kw_only=True):
    """The sender does not have the gift, and never will."""

    gift: str
    why: Refusal


# What the player asks.
@wallet.handles(WalletGet, key=CALLER, writes=False)
def show(ctx: Context, purse: Wallet, _msg: WalletGet) -> WalletShown:
    """Show the caller what there is."""
    return WalletShown(balances=dict(purse.balances), sending=_on_their_way(purse), seq=ctx.position(ctx.actor).seq)


@wallet.handles(WalletGive, key=CALLER)
def give(ctx: Context, purse: Wallet, msg: WalletGive) -> Deferred:
    """Take the gift out of the balance and offer it; answered when the receiver has decided.

    Raises:
        GiftToSelf, CurrencyNotFound, GiftLimit, Insufficient: nothing has left.
        GiftPending: ``SENDING_LIMIT`` gifts have not been answered.
        ChatMuted: the gift has a message, and the caller may not write.
        TooOld: the same op was entered before, and its answer has been forgotten.
    """
    _require_giving(ctx, purse, msg)
    gift = ctx.new_id()
    day = ctx.now_ms // DAY_MS
    purse.given = purse.given + 1 if purse.day == day else 1
    purse.day = day
    purse.sending[gift] = Sending(to=msg.to, currency=msg.currency, amount=msg.amount, at_ms=ctx.now_ms, op=ctx.op_ref)
    enter(
        ctx,
        purse,
        Entry(
            key=f"op:{msg.id}",
            currency=msg.currency,
            delta=-msg.amount,
            reason="gift_sent",
            other=msg.to,
            gift=gift,
        ),
        taken=TooOld,
    )
    offer = GiftOffered(gift=gift, currency=msg.currency, amount=msg.amount, name=ctx.caller_name, message=msg.message)
    ctx.tell(f"player:{msg.to}", offer)
    return ctx.later()


# What the other wallet tells.
@wallet.hears(GiftOffered)
def receive(ctx: Context, purse: Wallet, msg: GiftOffered) -> None:
    """Take the gift and leave a notice, or say why not."""
    if ctx.refused is not None:
        ctx.tell(ctx.sender, GiftTaken(gift=msg.gift))  # it is in the ledger from before
        return
    why = _refusal_to_take(ctx, purse, msg)
    if why is not None:
        ctx.tell(ctx.sender, GiftRefused(gift=msg.gift, why=why))
        return
    giver = ctx.sender.partition(":")[2]
    enter(
        ctx,
        purse,
        Entry(
            key=f"gift:{msg.gift}",
            currency=msg.currency,
            delta=msg.amount,
            reason="gift_received",
            other=giver,
            gift=msg.gift,
        ),
    )
    ctx.tell(ctx.sender, GiftTaken(gift=msg.gift))
    tell_player(
        ctx,
        ctx.key,
        kind="wallet.gift_received",
        title=f"{msg.name or giver} gave you {msg.amount} {msg.currency}",
        body=msg.message,
        data={"gift": msg.gift, "from": giver, "name": msg.name, "currency": msg.currency, "amount": msg.amount},
    )


@wallet.hears(GiftTaken)
def settle(ctx: Context, purse: Wallet, msg: GiftTaken) -> None:
    """The gift has arrived: answer the one who gave it."""
    gift = purse.sending.pop(msg.gift, None)
    if gift is None:
        return
    ctx.publish(ctx.actor, WalletGiftSettled(gift=msg.gift, taken=True))
    given = WalletGiven(
        gift=msg.gift,
        to=gift.to,
        currency=gift.currency,
        amount=gift.amount,
        balance=balance_of(purse, gift.currency),
    )
    ctx.answer(gift.op, given)


@wallet.hears(GiftRefused)
def take_back(ctx: Context, purse: Wallet, msg: GiftRefused) -> None:
    """Compensate: the gift goes back into the balance, which has room for it."""
    gift = purse.sending.pop(msg.gift, None)
    if gift is None:
        return
    ctx.publish(ctx.actor, WalletGiftSettled(gift=msg.gift, taken=False))
    if ctx.refused is None:
        enter(
            ctx,
            purse,
            Entry(
                key=f"back:{msg.gift}",
                currency=gift.currency,
                delta=gift.amount,
                reason="gift_returned",
                other=gift.to,
                gift=msg.gift,
            ),
        )
    refusal = REFUSALS[msg.why]
    ctx.answer(gift.op, refusal(f"player:{gift.to} has not taken the gift: {msg.why}"))


# What staff asks.
@wallet.handles(WalletGrant, key="player", internal=True)
def grant(ctx: Context, purse: Wallet, msg: WalletGrant) -> WalletGranted:
    """Add to a balance, or take away from it.

    Raises:
        PlayerNotFound: nobody has signed in with this id.
        CurrencyNotFound, Insufficient, BalanceFull: nothing was changed.
        Invalid: the amount is 0.
    """
    if not msg.amount:
        raise Invalid("amount is 0; allowed: what adds to a balance, or takes away from it")
    if not ctx.look(profile).created_ms:
        raise PlayerNotFound(f"nobody has signed in as {ctx.key}")
    require_currency(msg.currency)
    require_possible(purse, msg.currency, msg.amount)
    before = balance_of(purse, msg.currency)
    balance = enter(
        ctx,
        purse,
        Entry(
            key=f"staff:{msg.by.key}:{msg.by.op}",
            currency=msg.currency,
            delta=msg.amount,
            reason="granted" if msg.amount > 0 else "revoked",
            other=msg.by.key,
            note=msg.reason,
        ),
        taken=IdReused,
    )
    reply = WalletGranted(
        player=ctx.key, currency=msg.currency, amount=msg.amount, balance=balance, entry=purse.entries
    )
    after = {"currency": msg.currency, "amount": msg.amount, "balance": balance, "reason": msg.reason}
    action = "wallet.granted" if msg.amount > 0 else "wallet.revoked"
    audit(ctx, msg.by, action, ctx.actor, before={"balance": before}, after=after, reply=reply)
    return reply


@wallet.handles(WalletInspect, key="player", writes=False, internal=True)
def inspect(ctx: Context, purse: Wallet, _msg: WalletInspect) -> WalletSheet:
    """Show staff what there is.

    Raises:
        PlayerNotFound: nobody has signed in with this id, and nothing was ever entered.
    """
    if not ctx.look(profile).created_ms and not purse.entries:
        raise PlayerNotFound(f"nobody has signed in as {ctx.key}")
    return WalletSheet(player=ctx.key, balances=dict(purse.balances), sending=_on_their_way(purse))


def _require_giving(ctx: Context, purse: Wallet, msg: WalletGive) -> None:
    if msg.to == ctx.caller:
        raise GiftToSelf
    limit = require_currency(msg.currency).gift_limit
    if msg.amount > limit:
        raise GiftLimit(f"at most {limit} of {msg.currency} may be given at once")
    if purse.day == ctx.now_ms // DAY_MS and purse.given >= GIFTS_A_DAY:
        raise GiftLimit(f"{GIFTS_A_DAY} gifts have been sent today")
    if msg.message:
        refuse_muted(ctx)
    if len(purse.sending) >= SENDING_LIMIT:
        raise GiftPending(f"{SENDING_LIMIT} gifts are on their way", retry_after_ms=RETRY_MS)
    require_possible(purse, msg.currency, -msg.amount)


def _refusal_to_take(ctx: Context, purse: Wallet, msg: GiftOffered) -> Refusal | None:
    if not ctx.look(profile).created_ms:
        return "unknown"
    if ctx.look(standing).banned_until_ms > ctx.now_ms:
        return "closed"
    return None if has_room(purse, msg.currency, msg.amount) else "full"


def _on_their_way(purse: Wallet) -> list[GiftOnItsWay]:
    return [
        GiftOnItsWay(gift=gift, to=sent.to, currency=sent.currency, amount=sent.amount, at=sent.at_ms)
        for gift, sent in purse.sending.items()
    ]
