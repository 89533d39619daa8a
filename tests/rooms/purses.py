"""Wallets under test: Ann's, who gives, and Bo's, who is given to."""

from typing import Any

from actors.mail import mail
from actors.player import profile, sessions
from actors.runtime import Feature
from actors.runtime.context import Keep
from actors.staff import By
from actors.standing import standing
from actors.wallet import WalletGive, WalletGrant, wallet
from storage import Insert
from tests.support.room import NOON, Room

PLAYER_ROOM: list[Feature[Any]] = [wallet, profile, sessions, standing, mail]


def by(op: str) -> By:
    """A staff request."""
    return By(key="k1", name="Ann Ops", address="203.0.113.9", op=op, digest=b"d" * 32)


def purse(player: str, *, known: bool = True, **balances: int) -> Room:
    """A wallet with something in it."""
    room = Room(PLAYER_ROOM, actor=f"player:{player}", caller=player, name=player.title())
    room.actor.states()["profile"].created_ms = NOON if known else 0  # type: ignore[attr-defined]
    for currency, amount in balances.items():
        grant(room, amount, currency=currency, op=f"first-{currency}")
    room.effects.clear()
    return room


def grant(room: Room, amount: int, *, currency: str = "gold", op: str = "g1") -> Any:
    player = room.actor.address.partition(":")[2]
    request = WalletGrant(id=op, player=player, currency=currency, amount=amount, reason="an event", by=by(op))
    return room.ask(request, caller="server:")


def give(
    room: Room, amount: int, *, op: str = "a1-1", to: str = "bo", currency: str = "gold", message: str = ""
) -> Any:
    return room.ask(WalletGive(id=op, to=to, currency=currency, amount=amount, message=message))


def ledger(room: Room) -> list[dict[str, Any]]:
    """Rows entered so far."""
    records = [effect.record for effect in room.effects_of(Keep)]
    return [dict(r.values) for r in records if isinstance(r, Insert) and r.table == "wallet_ledger"]
