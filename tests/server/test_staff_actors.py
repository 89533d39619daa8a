"""Staff has an actor that is quarantined tried again at once, on whatever node it is, once for each Idempotency-Key."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.runtime.activation import DEFECTS
from actors.runtime.observer import Isolated, Lifted
from actors.wallet import WalletGet
from tests.server.staff_kit import Office, code_of, office
from tests.server.test_staff_set_aside import broken
from tests.support.clock import settle
from tests.support.cluster import Member

ANN = "/v1/actors/player:ann/retry"
GRANTS = "/v1/players/ann/wallet/grants"
GRANT = {"currency": "gold", "amount": 10, "reason": "r"}


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    """Tracebacks are not rendered, which would read files on the loop."""
    with capture_logs():
        yield


async def quarantined(place: Office, member: Member) -> None:
    """Have ann's actor, on ``member``, fail until it is quarantined."""
    with broken(place, "player", WalletGet):
        for n in range(DEFECTS):
            await asked(member, f"a-{n}")
    assert await asked(member, "b") == "actor.quarantined"


async def asked(member: Member, op: str) -> str:
    """The code of ann's look into her wallet."""
    heard = member.ask(WalletGet(id=op), "ann")
    await settle()
    return heard.code


async def test_a_quarantined_actor_answers_again_at_once_and_the_audit_says_why_it_was() -> None:
    async with office() as place:
        key = await place.key("admin")
        await place.signed_in("ann")
        await quarantined(place, place.member)
        first = await place.ask("POST", ANN, key, op="op-1")
        after = await asked(place.member, "c")
        again = await place.ask("POST", ANN, key, op="op-1")
        (entry,) = await place.audit()

    reason = first.json()["reason"]
    assert first.json() == {"actor": "player:ann", "reason": reason}
    assert reason.startswith(f"{DEFECTS} defects in a row")
    assert after == "ok"
    assert (again.status_code, again.content) == (200, first.content)
    assert (entry["action"], entry["target"], entry["before"]) == ("actor.retried", "player:ann", {"reason": reason})
    assert [event.actor for event in place.member.seen(Lifted)] == ["player:ann"]


async def test_one_that_cannot_be_loaded_is_quarantined_anew_until_it_can_be() -> None:
    async with office() as place:
        key = await place.key("admin")
        await place.signed_in("ann")
        await place.ask("POST", GRANTS, key, json=GRANT)
        place.member.node.host.give_up("player:ann")
        await settle()
        db = place.cluster.store._db
        whole = db.execute("SELECT slice, body FROM slices WHERE actor = 'player:ann'").fetchall()
        db.execute("UPDATE slices SET body = x'c1' WHERE actor = 'player:ann'")
        assert await asked(place.member, "a") == "actor.quarantined"
        still = await place.ask("POST", ANN, key, op="op-1")
        for name, body in whole:
            db.execute("UPDATE slices SET body = ? WHERE actor = 'player:ann' AND slice = ?", (body, name))
        well = await place.ask("POST", ANN, key, op="op-1")
        shown = (await place.ask("GET", "/v1/players/ann/wallet", key)).json()
        actions = [entry["action"] for entry in await place.audit()]

    assert code_of(still) == (503, "actor.quarantined")
    assert "cannot be loaded" in still.text
    assert well.json()["reason"].startswith("cannot be loaded")
    assert shown["balances"] == {"gold": "10"}
    assert actions.count("actor.retried") == 1
    assert len(place.member.seen(Isolated)) == 2


async def test_it_is_retried_on_the_node_that_has_it() -> None:
    async with office() as place:
        key = await place.key("admin")
        south = await place.cluster.start("south")
        south.node.host.open("player:ann")  # as where her session is
        await settle()
        await quarantined(place, south)
        assert "player:ann" not in place.member.node.host.activations
        answer = await place.ask("POST", ANN, key)
        after = await asked(south, "c")

    assert answer.status_code == 200
    assert [event.actor for event in south.seen(Lifted)] == ["player:ann"]
    assert after == "ok"


@pytest.mark.parametrize("actor", ["player:ann", "player:nobody", "nothing:ann"])
async def test_what_is_not_quarantined_is_told_so_and_no_actor_is_made_for_it(actor: str) -> None:
    async with office() as place:
        key = await place.key("admin")
        await place.signed_in("ann")
        answer = await place.ask("POST", f"/v1/actors/{actor}/retry", key)
        rows: list[Any] = await place.cluster.store.select("SELECT actor FROM actors WHERE actor LIKE '%nobody'")
        actions = [entry["action"] for entry in await place.audit()]

    assert code_of(answer) == (409, "actor.not_quarantined")
    assert rows == []
    assert "actor.retried" not in actions


async def test_looking_does_not_allow_retrying() -> None:
    async with office() as place:
        answer = await place.ask("POST", ANN, await place.key("players.read", "outbox.requeue"))

    assert code_of(answer) == (403, "staff.forbidden")
