"""Who may call the staff API: every route, with every kind of key."""

import msgspec
import pytest

from server.staff.access import FAILURES, Terms
from server.staff.keys import SCOPES, SELECT, Scope, key_of, new_key, opens, split
from tests.server.staff_kit import Office, code_of, handlers, office, requests

ROUTES = requests()
MINUTE_MS = 60_000
BODIES = {
    "POST /v1/players/some/wallet/grants": {"currency": "gold", "amount": 5, "reason": "r"},
    "POST /v1/players/some/notices": {"kind": "k", "title": "t"},
    "POST /v1/players/some/ban": {"reason": "r"},
    "POST /v1/players/some/mute": {"reason": "r"},
    "POST /v1/announcements": {"text": {"en": "Hello"}},
    "PUT /v1/leaderboards/some": {},
    "PUT /v1/limits": {},
    "POST /v1/leaderboards/some/scores": {"owner": "bo", "score": 1},
}
"""Where a change needs one: a new change has its line here."""


def ids(route: tuple[str, str, Terms | None]) -> str:
    return f"{route[0]} {route[1]}"


async def revoke(place: Office, text: str) -> None:
    parts = split(text)
    assert parts is not None
    rows = await place.desk.select(f"{SELECT} WHERE id = ?", (parts[0],))
    await place.change_key(msgspec.structs.replace(key_of(rows[0]), revoked_ms=place.cluster.clock.now_ms()))


# Every route.
def test_every_route_declares_a_scope() -> None:
    assert [f"{h.http_methods} {h.paths}" for h in handlers() if not isinstance(h.opt.get("terms"), Terms)] == []
    assert {terms.scope for _, _, terms in ROUTES if terms} <= set(SCOPES)


def test_what_is_no_get_is_a_change() -> None:
    assert [(method, path) for method, path, terms in ROUTES if terms and terms.changes == (method == "GET")] == []


@pytest.mark.parametrize("route", ROUTES, ids=ids)
async def test_a_route_is_closed_to_all_but_a_good_key_with_its_scope(route: tuple[str, str, Terms]) -> None:
    method, path, terms = route
    others: list[Scope] = [scope for scope in SCOPES if scope not in {terms.scope, "admin"}]
    async with office() as place:
        good, admin = await place.key(terms.scope), await place.key("admin")
        late = await place.key("admin", expires_ms=place.cluster.clock.now_ms() + MINUTE_MS)
        revoked, wrong_scope = await place.key("admin"), await place.key(*others)
        stranger = new_key("x", ["admin"], now_ms=0, expires_ms=None, random_bytes=bytes)
        await revoke(place, revoked)
        await place.cluster.clock.advance(MINUTE_MS / 1000)

        assert code_of(await place.ask(method, path)) == (401, "auth.invalid")
        for wrong in ("dev", "x", stranger.text, good[:-1] + "~", good[:-1] + ("a" if good[-1] != "a" else "b")):
            assert code_of(await place.ask(method, path, wrong)) == (401, "auth.invalid"), wrong
        assert code_of(await place.ask(method, path, late)) == (401, "auth.expired")
        assert code_of(await place.ask(method, path, revoked)) == (401, "auth.invalid")
        refused = await place.ask(method, path, wrong_scope)
        assert code_of(refused) == (403, "staff.forbidden")
        assert terms.scope in refused.json()["detail"]
        for right in (good, admin):
            answer = await place.ask(method, path, right)
            assert answer.status_code not in {401, 403, 429, 500}, answer.text


@pytest.mark.parametrize("route", [r for r in ROUTES if r[2] and r[2].changes], ids=ids)
async def test_a_change_without_an_idempotency_key_is_refused(route: tuple[str, str, Terms]) -> None:
    method, path, _ = route
    body = BODIES.get(f"{method} {path}")
    async with office() as place:
        key = await place.key("admin")
        for op in (None, b"", b"a b", b"\xc3\xa4", b"x" * 65):
            headers = [] if op is None else [(b"idempotency-key", op)]
            answer = await place.ask(method, path, key, op=None, headers=headers, json=body)
            assert code_of(answer) == (400, "request.key_missing")
        assert await place.audit() == []


# Keys.
async def test_a_key_is_a_bearer_token_and_nothing_else() -> None:
    async with office() as place:
        key = await place.key("nodes.read")
        for header in (key, f"Basic {key}", f"Bearer {key} x", "Bearer", f"Bearer {key.upper()}"):
            answer = await place.ask("GET", "/v1/nodes", headers=[("authorization", header)])
            assert code_of(answer) == (401, "auth.invalid"), header
            assert answer.headers["www-authenticate"] == "Bearer"
        twice = [("authorization", f"Bearer {key}")] * 2
        assert code_of(await place.ask("GET", "/v1/nodes", headers=twice)) == (401, "auth.invalid")
        lower = await place.ask("GET", "/v1/nodes", headers=[("authorization", f"bearer {key}")])
        assert lower.status_code == 200


async def test_a_key_that_is_revoked_is_refused_at_the_next_request() -> None:
    async with office() as place:
        key = await place.key("nodes.read")
        assert (await place.ask("GET", "/v1/nodes", key)).status_code == 200

        await revoke(place, key)

        assert code_of(await place.ask("GET", "/v1/nodes", key)) == (401, "auth.invalid")


async def test_a_key_is_good_until_it_expires() -> None:
    async with office() as place:
        key = await place.key("nodes.read", expires_ms=place.cluster.clock.now_ms() + MINUTE_MS)
        await place.cluster.clock.advance(59.9)
        assert (await place.ask("GET", "/v1/nodes", key)).status_code == 200
        await place.cluster.clock.advance(0.1)
        assert code_of(await place.ask("GET", "/v1/nodes", key)) == (401, "auth.expired")


async def test_the_key_dev_is_an_administrator_in_development_mode_only() -> None:
    async with office(dev=True) as place:
        assert (await place.ask("GET", "/v1/nodes", "dev")).status_code == 200
    async with office() as place:
        assert code_of(await place.ask("GET", "/v1/nodes", "dev")) == (401, "auth.invalid")


async def test_no_table_and_no_log_line_holds_a_secret() -> None:
    async with office() as place:
        text = await place.key("admin")
        secret = text.split("_", 2)[2]  # which may hold one itself
        await place.ask("GET", "/v1/nodes", text)
        [row] = await place.desk.select(SELECT)

    assert secret not in repr(row)
    assert len(text) >= len("gk_") + 10 + 32


def test_a_secret_opens_its_own_key_only() -> None:
    one = new_key("one", ["admin"], now_ms=0, expires_ms=None, random_bytes=lambda n: b"1" * n)
    two = new_key("two", ["admin"], now_ms=0, expires_ms=None, random_bytes=lambda n: b"2" * n)
    parts = split(one.text)
    assert parts is not None

    assert opens(parts[1], one.key)
    assert not opens(parts[1], two.key)
    assert not opens(parts[1], None)
    assert one.text not in repr(one)


# Failures.
async def test_an_address_that_keeps_failing_waits_and_others_do_not() -> None:
    async with office() as place:
        key = await place.key("nodes.read")
        for _ in range(FAILURES.burst):
            assert code_of(await place.ask("GET", "/v1/nodes", "wrong")) == (401, "auth.invalid")

        refused = await place.ask("GET", "/v1/nodes", key)
        assert code_of(refused) == (429, "rate.limited")
        assert refused.headers["retry-after"] == "1"
        assert (await place.ask("GET", "/v1/nodes", key, address="203.0.113.10")).status_code == 200

        await place.cluster.clock.advance(1)
        assert (await place.ask("GET", "/v1/nodes", key)).status_code == 200


async def test_a_node_that_starts_says_so() -> None:
    async with office() as place:
        key = await place.key("nodes.read")
        place.desk.parts = None
        assert code_of(await place.ask("GET", "/v1/nodes", key)) == (503, "unavailable")


async def test_a_store_that_is_away_is_no_wrong_key() -> None:
    async with office() as place:
        key = await place.key("nodes.read")
        place.member.store.down = True
        try:
            assert code_of(await place.ask("GET", "/v1/nodes", key)) == (503, "unavailable")
        finally:
            place.member.store.down = False
