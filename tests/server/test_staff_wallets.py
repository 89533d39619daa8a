"""Staff looks at wallets, and grants and revokes once for each Idempotency-Key."""

from typing import Any

import httpx
import pytest

from actors.wallet import WalletGive
from tests.server.staff_kit import Office, code_of, office

WALLET = "/v1/players/bo/wallet"
GRANTS = f"{WALLET}/grants"


async def grant(place: Office, key: str, op: str = "", **body: Any) -> httpx.Response:
    return await place.ask("POST", GRANTS, key, op=op, json={"currency": "gold", "amount": 5, "reason": "r", **body})


async def test_a_grant_and_a_revocation_are_answered_shown_and_written_down() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("wallet.read", "wallet.write")
        granted = await grant(place, key, "one", amount=100, reason="an event")
        revoked = await grant(place, key, "two", amount="-40")
        shown = (await place.ask("GET", WALLET, key)).json()
        entries = await place.audit()

    assert granted.json() == {"player": "bo", "currency": "gold", "amount": "100", "balance": "100", "entry": 1}
    assert revoked.json()["balance"] == "60"
    assert shown["balances"] == {"gold": "60"}
    key_id = key.split("_")[1]
    assert [(r["entry"], r["delta"], r["balance"], r["reason"], r["note"], r["cause"]) for r in shown["ledger"]] == [
        (2, "-40", "60", "revoked", "r", f"staff:{key_id}:two"),
        (1, "100", "100", "granted", "an event", f"staff:{key_id}:one"),
    ]
    assert [(e["action"], e["before"], e["after"]) for e in entries] == [
        (
            "wallet.revoked",
            {"balance": 100},
            {"currency": "gold", "amount": -40, "balance": 60, "reason": "r"},
        ),
        (
            "wallet.granted",
            {"balance": 0},
            {"currency": "gold", "amount": 100, "balance": 100, "reason": "an event"},
        ),
    ]


async def test_the_same_grant_again_adds_nothing() -> None:
    async with office() as place:
        await place.signed_in("bo")
        key = await place.key("admin")
        first, again = await grant(place, key, "one"), await grant(place, key, "one")
        shown = (await place.ask("GET", WALLET, key)).json()

    assert again.content == first.content
    assert (shown["balances"], len(shown["ledger"])) == ({"gold": "5"}, 1)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"amount": -1}, (409, "wallet.insufficient")),
        ({"currency": "shells"}, (404, "wallet.currency_not_found")),
        ({"amount": 0}, (400, "protocol.invalid")),
        ({"amount": 10**12 + 1}, (400, "protocol.invalid")),
        ({"amount": 1.5}, (400, "protocol.invalid")),
        ({"reason": ""}, (400, "protocol.invalid")),
    ],
    ids=str,
)
async def test_what_is_no_grant_is_refused(body: dict[str, Any], problem: tuple[int, str]) -> None:
    async with office() as place:
        await place.signed_in("bo")
        answer = await grant(place, await place.key("admin"), **body)
        entries = await place.audit()

    assert code_of(answer) == problem
    assert entries == []


async def test_reading_does_not_allow_granting() -> None:
    async with office() as place:
        await place.signed_in("bo")
        answer = await grant(place, await place.key("wallet.read", "players.write"))

    assert code_of(answer) == (403, "staff.forbidden")


async def test_the_ledger_is_read_in_pages_and_a_gift_is_seen_on_both_sides() -> None:
    async with office() as place:
        await place.signed_in("ann", "bo")
        key = await place.key("admin")
        for n in range(4):
            await grant(place, key, f"g{n}")
        await place.member.said(WalletGive(id="a-1", to="ann", currency="gold", amount=7), "bo")
        newest = (await place.ask("GET", WALLET, key, params={"limit": 2})).json()
        older = (await place.ask("GET", WALLET, key, params={"before": 4})).json()
        ann = (await place.ask("GET", "/v1/players/ann/wallet", key)).json()

    assert (newest["ledger"][0]["reason"], newest["ledger"][0]["other"]) == ("gift_sent", "ann")
    assert (newest["more"], [row["entry"] for row in newest["ledger"]]) == (True, [5, 4])
    assert (older["more"], [row["entry"] for row in older["ledger"]]) == (False, [3, 2, 1])
    assert [(row["delta"], row["other"], row["gift"]) for row in ann["ledger"]] == [
        ("7", "bo", newest["ledger"][0]["gift"])
    ]
    assert newest["sending"] == []


async def test_a_player_who_was_never_here_has_no_wallet() -> None:
    async with office() as place:
        answer = await place.ask("GET", WALLET, await place.key("wallet.read"))

    assert code_of(answer) == (404, "player.not_found")
