"""Staff sees what was set aside, and has it tried once more, or gives it up, once for each Idempotency-Key."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from msgspec import structs
from structlog.testing import capture_logs

from actors.broadcasts.announcements import AnnouncementDue
from actors.wallet import GiftOffered, WalletGive
from storage import SET_ASIDE, Insert
from tests.server.staff_kit import Office, code_of, office
from tests.support.clock import START_MS

TELLS = "/v1/outbox/set-aside"
TIMERS = "/v1/timers/set-aside"
GIVEN_UP_S = 45


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    """Tracebacks are not rendered, which would read files on the loop."""
    with capture_logs():
        yield


@contextmanager
def broken(place: Office, kind: str, message: Any) -> Iterator[None]:
    """Have the turn for ``message`` fail within the block, as in a release with a mistake."""
    turns = place.cluster.blueprint.kinds[kind].turns
    right = turns[message]

    def fail(*_: Any) -> None:
        raise RuntimeError("a mistake in the room")

    turns[message] = structs.replace(right, run=fail)
    try:
        yield
    finally:
        turns[message] = right


async def gift_set_aside(place: Office, key: str) -> Any:
    """Have ann's gift of 7 gold to bo set aside, and the next one, of 1, arrive. The gift as it is shown."""
    await place.signed_in("ann", "bo")
    grants = "/v1/players/ann/wallet/grants"
    await place.ask("POST", grants, key, json={"currency": "gold", "amount": 10, "reason": "r"})
    with broken(place, "player", GiftOffered):
        place.member.ask(WalletGive(id="a-1", to="bo", currency="gold", amount=7), "ann")
        await place.cluster.clock.advance(GIVEN_UP_S)
    await place.member.said(WalletGive(id="a-2", to="bo", currency="gold", amount=1), "ann")
    (tell,) = (await place.ask("GET", TELLS, key)).json()["tells"]
    return tell


async def gold(place: Office, key: str, player: str) -> str:
    shown = (await place.ask("GET", f"/v1/players/{player}/wallet", key)).json()
    balance: str = shown["balances"].get("gold", "0")
    return balance


async def settled(place: Office, key: str, ending: str, what: str, op: str = "") -> httpx.Response:
    answer = await place.ask("POST", f"{what}/{ending}", key, op=op)
    await place.cluster.clock.advance(5)
    return answer


# Tells.
async def test_a_tell_is_shown_with_all_but_what_it_says() -> None:
    async with office() as place:
        tell = await gift_set_aside(place, await place.key("admin"))
        answer = await place.ask("GET", TELLS, await place.key("outbox.read"))

    assert tell | {"reason": ""} == {
        "actor": "player:ann",
        "number": 1,
        "to": "player:bo",
        "type": "wallet.gift_offered",
        "at": START_MS,
        "reason": "",
    }
    assert tell["reason"].startswith("internal under trace ")
    assert answer.json() == {"tells": [tell], "more": False, "next_actor": None, "next_number": None}


async def test_a_gift_that_is_requeued_arrives_once_after_later_ones_did() -> None:
    async with office() as place:
        key = await place.key("admin")
        await gift_set_aside(place, key)
        before = await gold(place, key, "bo")
        first = await settled(place, key, "requeue", f"{TELLS}/player:ann/1", "op-1")
        again = await settled(place, key, "requeue", f"{TELLS}/player:ann/1", "op-1")
        after = await gold(place, key, "bo"), await gold(place, key, "ann")
        entry = (await place.audit())[0]
        left = (await place.ask("GET", TELLS, key)).json()["tells"]

    assert (before, after) == ("1", ("8", "2"))
    assert first.json() == {"actor": "player:ann", "number": 1, "ending": "requeued"}
    assert (again.status_code, again.content) == (200, first.content)
    assert (entry["action"], entry["target"], entry["before"]["to"]) == ("tell.requeued", "player:ann", "player:bo")
    assert left == []


async def test_two_at_once_requeue_it_once() -> None:
    async with office() as place:
        key = await place.key("admin")
        await gift_set_aside(place, key)
        path = f"{TELLS}/player:ann/1/requeue"
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(place.ask("POST", path, key, op=op)) for op in ("op-1", "op-1", "op-2")]
        await place.cluster.clock.advance(5)
        after = await gold(place, key, "bo")
        actions = [entry["action"] for entry in await place.audit()]

    answers = [task.result() for task in asked]
    assert sorted(answer.status_code for answer in answers) in ([200, 200, 404], [200, 404, 404])
    assert [a.json()["code"] for a in answers if a.status_code == 404] == ["tell.not_found"] * (
        len(answers) - sum(a.status_code == 200 for a in answers)
    )
    assert after == "8"
    assert actions.count("tell.requeued") == 1


async def test_one_that_fails_again_is_shown_again_with_its_new_number_and_reason() -> None:
    async with office() as place:
        key = await place.key("admin")
        was = await gift_set_aside(place, key)
        with broken(place, "player", GiftOffered):
            await settled(place, key, "requeue", f"{TELLS}/player:ann/1")
            await place.cluster.clock.advance(GIVEN_UP_S)
        (tell,) = (await place.ask("GET", TELLS, key)).json()["tells"]
        gone = await settled(place, key, "requeue", f"{TELLS}/player:ann/1")
        await settled(place, key, "requeue", f"{TELLS}/player:ann/{tell['number']}")
        after = await gold(place, key, "bo")

    assert tell["number"] > was["number"]
    assert tell["reason"].startswith("internal under trace ")
    assert tell["reason"] != was["reason"]
    assert code_of(gone) == (404, "tell.not_found")
    assert after == "8"


async def test_one_that_is_dropped_never_arrives_and_the_audit_says_what_it_was() -> None:
    async with office() as place:
        key = await place.key("admin")
        tell = await gift_set_aside(place, key)
        dropped = await settled(place, key, "drop", f"{TELLS}/player:ann/1", "op-1")
        again = await settled(place, key, "drop", f"{TELLS}/player:ann/1", "op-1")
        reused = await settled(place, key, "requeue", f"{TELLS}/player:ann/1", "op-1")
        after = await gold(place, key, "bo")
        entry = (await place.audit())[0]

    assert dropped.json() == {"actor": "player:ann", "number": 1, "ending": "dropped"}
    assert again.content == dropped.content
    assert code_of(reused) == (409, "request.id_reused")
    assert after == "1"
    assert (entry["action"], entry["after"]) == ("tell.dropped", None)
    assert entry["before"] == {name: tell[name] for name in ("number", "to", "type", "at", "reason")}


@pytest.mark.parametrize("ending", ["requeue", "drop"])
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (f"{TELLS}/player:ann/1", (404, "tell.not_found")),
        (f"{TELLS}/nothing:ann/1", (404, "tell.not_found")),
        (f"{TELLS}/ann/1", (400, "protocol.invalid")),
        (f"{TELLS}/player:ann/0", (400, "protocol.invalid")),
        (f"{TIMERS}/player:ann/alarm", (404, "timer.not_found")),
        (f"{TIMERS}/nothing:ann/alarm", (404, "timer.not_found")),
        (f"{TIMERS}/player:ann/{'x' * 65}", (400, "protocol.invalid")),
    ],
)
async def test_what_was_not_set_aside_is_not_found_and_no_actor_is_loaded_for_it(
    ending: str, path: str, problem: tuple[int, str]
) -> None:
    async with office() as place:
        answer = await place.ask("POST", f"{path}/{ending}", await place.key("admin"))
        loaded = list(place.member.node.host.activations)
        entries = await place.audit()

    assert code_of(answer) == problem
    assert [actor for actor in loaded if actor.startswith("player:")] == []
    assert entries == []


async def test_looking_does_not_allow_requeueing_and_requeueing_not_dropping() -> None:
    async with office() as place:
        reads = await place.key("outbox.read", "timers.read")
        requeues = await place.key("outbox.requeue", "timers.requeue")
        for what in (f"{TELLS}/player:ann/1", f"{TIMERS}/player:ann/alarm"):
            assert code_of(await place.ask("POST", f"{what}/requeue", reads)) == (403, "staff.forbidden")
            assert code_of(await place.ask("POST", f"{what}/drop", requeues)) == (403, "staff.forbidden")


async def test_both_lists_are_read_in_pages() -> None:
    async with office() as place:
        key = await place.key("outbox.read", "timers.read")
        asides = [(f"guild:{g}", n) for g in ("a", "b") for n in (1, 2, 3)]
        row = {"shard": SET_ASIDE, "body": b"\xc1 no MessagePack", "failed": "why"}
        await place.cluster.store.edit(
            [
                *(Insert("outbox", {**row, "actor": a, "number": n, "to_actor": "x:y", "at_ms": n}) for a, n in asides),
                *(Insert("timers", {**row, "actor": a, "name": f"t{n}", "due_ms": n}) for a, n in asides),
            ]
        )
        tells = await pages(place, key, TELLS, "tells", "number")
        timers = await pages(place, key, TIMERS, "timers", "timer")

    assert [[(tell["actor"], tell["number"]) for tell in page] for page in tells] == [asides[:4], asides[4:]]
    assert [[(timer["actor"], timer["timer"]) for timer in page] for page in timers] == [
        [(actor, f"t{n}") for actor, n in part] for part in (asides[:4], asides[4:])
    ]
    assert tells[0][0] == {"actor": "guild:a", "number": 1, "to": "x:y", "type": "", "at": 1, "reason": "why"}
    assert timers[0][0] == {"actor": "guild:a", "timer": "t1", "type": "", "due": 1, "reason": "why"}


async def pages(place: Office, key: str, path: str, rows: str, field: str) -> list[Any]:
    """Every page of four, one after the other."""
    found: list[Any] = []
    params: dict[str, Any] = {"limit": 4}
    while True:
        page = (await place.ask("GET", path, key, params=params)).json()
        found.append(page[rows])
        if not page["more"]:
            return found
        params |= {"after_actor": page["next_actor"], f"after_{field}": page[f"next_{field}"]}


# Timers.
async def announcement_set_aside(place: Office, key: str) -> Any:
    """Have an announcement's timer set aside. The timer as it is shown."""
    with broken(place, "broadcasts", AnnouncementDue):
        order = {"text": {"en": "Hello"}, "at": START_MS + 3_000}
        made = await place.ask("POST", "/v1/announcements", key, json=order)
        assert made.status_code == 200, made.text
        await place.cluster.clock.advance(GIVEN_UP_S + 5)
    (timer,) = (await place.ask("GET", TIMERS, key)).json()["timers"]
    return timer


async def test_a_timer_that_is_requeued_fires_late_and_once() -> None:
    async with office() as place:
        key = await place.key("admin")
        timer = await announcement_set_aside(place, key)
        path = f"{TIMERS}/{timer['actor']}/{timer['timer']}"
        before = (await place.ask("GET", "/v1/announcements", key)).json()["announcements"][0]["state"]
        first = await settled(place, key, "requeue", path, "op-1")
        again = await settled(place, key, "requeue", path, "op-1")
        after = (await place.ask("GET", "/v1/announcements", key)).json()["announcements"][0]["state"]
        entry = (await place.audit())[0]
        left = (await place.ask("GET", TIMERS, key)).json()["timers"]

    assert (before, after) == ("scheduled", "live")
    assert first.json() == {"actor": timer["actor"], "timer": timer["timer"], "ending": "requeued"}
    assert again.content == first.content
    assert (entry["action"], entry["target"]) == ("timer.requeued", timer["actor"])
    assert entry["before"] == {name: timer[name] for name in ("timer", "type", "due", "reason")}
    assert left == []


async def test_a_timer_that_is_dropped_never_fires() -> None:
    async with office() as place:
        key = await place.key("admin")
        timer = await announcement_set_aside(place, key)
        path = f"{TIMERS}/{timer['actor']}/{timer['timer']}"
        dropped = await settled(place, key, "drop", path)
        again = await settled(place, key, "drop", path)
        state = (await place.ask("GET", "/v1/announcements", key)).json()["announcements"][0]["state"]

    assert dropped.json() == {"actor": timer["actor"], "timer": timer["timer"], "ending": "dropped"}
    assert code_of(again) == (404, "timer.not_found")
    assert state == "scheduled"
