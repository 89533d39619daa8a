"""Wallets: no balance below zero, every change in the ledger once, and a gift that arrives or comes back."""

from typing import Any

import pytest
from msgspec import structs

import actors.wallet.ledger
import actors.wallet.turns
from actors.mail import NoticeTold
from actors.player import PlayerNotFound
from actors.runtime import SessionRef
from actors.runtime.actor import Actor
from actors.runtime.context import AnswerOp, Caller
from actors.standing import ChatMuted
from actors.wallet import (
    BALANCE_LIMIT,
    CURRENCIES,
    ENTRY_LIMIT,
    GIFTS_A_DAY,
    SENDING_LIMIT,
    BalanceFull,
    CurrencyNotFound,
    Entry,
    GiftLimit,
    GiftOffered,
    GiftPending,
    GiftRefused,
    GiftTaken,
    GiftToSelf,
    Insufficient,
    ReceiverClosed,
    ReceiverFull,
    WalletChanged,
    WalletGet,
    WalletGiftSettled,
    WalletGive,
    WalletGiven,
    WalletInspect,
    enter,
)
from protocol import Defect, GuildhallError, Invalid, TooOld
from tests.rooms.purses import give, grant, ledger, purse
from tests.support.room import NOON, Room

DAY_S = 86_400.0


def offer(amount: int = 30, gift: str = "g1", message: str = "") -> GiftOffered:
    return GiftOffered(gift=gift, currency="gold", amount=amount, name="Ann", message=message)


def the_offer(room: Room) -> GiftOffered:
    """What was told to the receiver last."""
    to, told = room.told[-1]
    assert to == "player:bo"
    assert isinstance(told, GiftOffered)
    return told


def answers(room: Room) -> list[Any]:
    return [effect.reply for effect in room.effects_of(AnswerOp)]


def changes(room: Room) -> list[tuple[int, int, str]]:
    return [(e.delta, e.balance, e.reason) for _, e in room.published if isinstance(e, WalletChanged)]


# Staff.
def test_a_grant_is_in_the_balance_the_ledger_the_audit_and_the_players_topic() -> None:
    ann = purse("ann")
    granted = grant(ann, 100, op="op-7")

    assert (granted.balance, granted.entry) == (100, 1)
    assert ann.state.balances == {"gold": 100}
    assert ledger(ann) == [
        {
            "player": "ann",
            "number": 1,
            "at_ms": NOON,
            "currency": "gold",
            "delta": 100,
            "balance": 100,
            "reason": "granted",
            "other": "k1",
            "gift": "",
            "note": "an event",
            "entry": b"staff:k1:op-7",
        }
    ]
    [(topic, changed)] = ann.published
    assert topic == "player:ann"
    assert changed == WalletChanged(
        topic=topic, seq=1, at=NOON, currency="gold", delta=100, balance=100, reason="granted"
    )
    assert [record.table for record in ann.commit().records] == ["wallet_ledger", "audit"]


def test_a_negative_grant_takes_away_what_is_there_and_no_more() -> None:
    ann = purse("ann", gold=100)

    assert grant(ann, -100).balance == 0
    with pytest.raises(Insufficient):
        grant(ann, -1)
    assert changes(ann) == [(-100, 0, "revoked")]


@pytest.mark.parametrize(
    ("amount", "currency", "refusal"), [(0, "gold", Invalid), (1, "shells", CurrencyNotFound)], ids=str
)
def test_what_is_no_grant_is_refused(amount: int, currency: str, refusal: type[GuildhallError]) -> None:
    ann = purse("ann")
    with pytest.raises(refusal):
        grant(ann, amount, currency=currency)
    assert not ann.effects


def test_nobody_is_granted_anything_who_was_never_here() -> None:
    with pytest.raises(PlayerNotFound):
        grant(purse("ann", known=False), 1)


def test_a_balance_has_a_limit_that_counts_what_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors.wallet.ledger, "BALANCE_LIMIT", 100)
    ann = purse("ann", gold=100)
    give(ann, 40)

    with pytest.raises(BalanceFull):
        grant(ann, 1)
    ann.hear(GiftRefused(gift=the_offer(ann).gift, why="closed"), sender="player:bo")
    assert ann.state.balances == {"gold": 100}


def test_the_limit_fits_into_64_bits_with_one_more_entry() -> None:
    assert BALANCE_LIMIT + ENTRY_LIMIT < 2**63


def test_staff_sees_balances_and_what_is_on_its_way() -> None:
    ann = purse("ann", gold=100, gems=7)
    give(ann, 40)
    sheet = ann.ask(WalletInspect(id="i", player="ann"), caller="server:")

    assert sheet.balances == {"gold": 60, "gems": 7}
    assert [(g.to, g.amount) for g in sheet.sending] == [("bo", 40)]
    with pytest.raises(PlayerNotFound):
        purse("bo", known=False).ask(WalletInspect(id="i", player="bo"), caller="server:")


# Giving.
def test_a_gift_leaves_the_balance_with_the_offer_and_is_answered_when_it_has_arrived() -> None:
    ann = purse("ann", gold=100)
    give(ann, 30, message="for the raid")
    told = the_offer(ann)

    assert told == offer(30, told.gift, "for the raid")
    assert ann.state.balances == {"gold": 70}
    assert answers(ann) == []
    ann.hear(GiftTaken(gift=told.gift), sender="player:bo")
    [given] = answers(ann)
    assert given == WalletGiven(re="a1-1", gift=told.gift, to="bo", currency="gold", amount=30, balance=70)
    assert ann.state.sending == {}
    assert ann.published[-1][1] == WalletGiftSettled(topic="player:ann", seq=3, at=NOON, gift=told.gift, taken=True)


@pytest.mark.parametrize(
    ("why", "refusal"), [("unknown", PlayerNotFound), ("full", ReceiverFull), ("closed", ReceiverClosed)]
)
def test_a_gift_that_is_not_taken_comes_back_and_the_giver_is_told_why(why: Any, refusal: type[GuildhallError]) -> None:
    ann = purse("ann", gold=100)
    give(ann, 30)
    ann.hear(GiftRefused(gift=the_offer(ann).gift, why=why), sender="player:bo")

    assert ann.state.balances == {"gold": 100}
    assert ann.state.sending == {}
    assert changes(ann) == [(-30, 70, "gift_sent"), (30, 100, "gift_returned")]
    assert [row["entry"] for row in ledger(ann)] == [b"op:a1-1", f"back:{the_offer(ann).gift}".encode()]
    assert [answer.code for answer in answers(ann)] == [refusal.code]


def test_a_gift_is_settled_once_whatever_word_comes_again() -> None:
    ann = purse("ann", gold=100)
    give(ann, 30)
    gift = the_offer(ann).gift
    ann.hear(GiftTaken(gift=gift), sender="player:bo")
    before = list(ann.effects)
    for word in (GiftTaken(gift=gift), GiftRefused(gift=gift, why="full")):
        ann.hear(word, sender="player:bo")

    assert ann.effects == before
    assert ann.state.balances == {"gold": 70}


def test_a_return_that_the_ledger_has_is_not_entered_again() -> None:
    ann = purse("ann", gold=100)
    give(ann, 30)
    ann.hear(GiftRefused(gift=the_offer(ann).gift, why="full"), sender="player:bo", refused=Defect)

    assert (ann.state.balances, ann.state.sending) == ({"gold": 70}, {})


def test_an_op_that_the_ledger_has_is_too_old_when_its_answer_was_forgotten() -> None:
    """Its window has moved on, so the turn runs; the unique key undoes it."""
    ann = purse("ann", gold=100)
    ran = ann.actor.ask(
        WalletGive(id="one", to="bo", currency="gold", amount=5), Caller("ann", "", SessionRef("s", "n", "g")), NOON
    )

    assert [(keep.record.values["entry"], keep.taken) for keep in ran.records] == [(b"op:one", TooOld)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"amount": 101}, Insufficient),
        ({"to": "ann"}, GiftToSelf),
        ({"currency": "shells"}, CurrencyNotFound),
        ({"amount": CURRENCIES["gold"].gift_limit + 1}, GiftLimit),
    ],
    ids=str,
)
def test_what_cannot_be_given_is_refused_and_nothing_leaves(fields: Any, refusal: type[GuildhallError]) -> None:
    ann = purse("ann", gold=100)
    with pytest.raises(refusal):
        give(ann, fields.pop("amount", 10), **fields)
    assert not ann.effects


def test_gifts_are_counted_by_the_day_also_those_that_come_back() -> None:
    ann = purse("ann", gold=1000)
    for n in range(GIFTS_A_DAY):
        give(ann, 1, op=f"a-{n}")
        ann.hear(GiftRefused(gift=the_offer(ann).gift, why="unknown"), sender="player:bo")
    with pytest.raises(GiftLimit):
        give(ann, 1, op="a-one-more")

    ann.pass_time(DAY_S)
    give(ann, 1, op="a-next-day")


def test_only_so_many_gifts_are_on_their_way_at_once() -> None:
    ann = purse("ann", gold=1000)
    for n in range(SENDING_LIMIT):
        give(ann, 1, op=f"a-{n}")
    with pytest.raises(GiftPending) as refused:
        give(ann, 1, op="a-last")
    assert refused.value.retry == "later"

    ann.hear(GiftTaken(gift=the_offer(ann).gift), sender="player:bo")
    give(ann, 1, op="a-last")


def test_who_may_not_chat_gives_without_a_word() -> None:
    ann = purse("ann", gold=100)
    muted = Caller("ann", "Ann", None, muted_until_ms=NOON + 1)
    gift = WalletGive(id="m1", to="bo", currency="gold", amount=1, message="rude")
    with pytest.raises(ChatMuted):
        ann.actor.ask(gift, muted, NOON)
    ann.actor.ask(structs.replace(gift, id="m2", message=""), muted, NOON)


def test_a_client_sees_its_balances_and_what_is_on_its_way_as_of_an_event() -> None:
    ann = purse("ann", gold=100)
    give(ann, 30)
    shown = ann.ask(WalletGet(id="w"))

    assert (shown.balances, shown.seq) == ({"gold": 70}, 2)
    assert [(g.gift, g.to, g.amount, g.at) for g in shown.sending] == [(the_offer(ann).gift, "bo", 30, NOON)]


# Being given.
def test_a_gift_is_credited_with_a_notice_and_the_giver_is_told() -> None:
    bo = purse("bo", gold=5)
    bo.hear(offer(message="for the raid"), sender="player:ann")

    assert bo.state.balances == {"gold": 35}
    assert changes(bo) == [(30, 35, "gift_received")]
    assert [(row["entry"], row["other"], row["gift"]) for row in ledger(bo)] == [(b"gift:g1", "ann", "g1")]
    assert bo.told == [
        ("player:ann", GiftTaken(gift="g1")),
        (
            "player:bo",
            NoticeTold(
                kind="wallet.gift_received",
                title="Ann gave you 30 gold",
                body="for the raid",
                data={"gift": "g1", "from": "ann", "name": "Ann", "currency": "gold", "amount": 30},
            ),
        ),
    ]


def test_a_gift_that_the_ledger_has_is_not_credited_again_and_the_giver_is_told_so() -> None:
    bo = purse("bo")
    bo.hear(offer(), sender="player:ann", refused=Defect)

    assert (bo.state.balances, bo.told) == ({}, [("player:ann", GiftTaken(gift="g1"))])


def test_who_was_never_here_is_banned_or_full_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors.wallet.ledger, "BALANCE_LIMIT", 100)
    nobody, banned, full = purse("bo", known=False), purse("bo"), purse("bo", gold=71)
    banned.actor.states()["standing"].banned_until_ms = NOON + 1  # type: ignore[attr-defined]
    for bo, why in ((nobody, "unknown"), (banned, "closed"), (full, "full")):
        bo.hear(offer(), sender="player:ann")
        assert bo.told == [("player:ann", GiftRefused(gift="g1", why=why))]  # type: ignore[arg-type]
        assert not bo.published
        assert not ledger(bo)


def test_a_currency_that_was_taken_out_still_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors.wallet.ledger, "CURRENCIES", {})
    bo = purse("bo")
    bo.hear(offer(), sender="player:ann")

    assert bo.state.balances == {"gold": 30}


# For other rooms.
@pytest.mark.parametrize("delta", [-1, 0, 10**12 + 1])
def test_a_room_that_does_not_ask_first_is_stopped(delta: int) -> None:
    ann = purse("ann")
    actor: Actor = ann.actor
    with pytest.raises(ValueError, match="cannot be entered"):
        enter(actor.context, ann.state, Entry(key="x", currency="gold", delta=delta, reason="granted"))
    assert ann.state.balances == {}
