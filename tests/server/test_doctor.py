"""The doctor finds each fault in a database, says it in one line, and is content with what is on its way."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from actors.runtime.context import OpRef
from actors.wallet import Sending, Wallet
from server.app import doctor
from server.config import Config, StoreConfig
from server.doctor import Finding
from server.doctor_rows import LATE_MS, SHOWN, again, look_at_rows
from server.features import blueprint
from storage import SET_ASIDE, Insert, Record, edit_store, look_into_store, migrate
from tests.support.clock import START_MS, FakeClock

NOW = START_MS
LATE = NOW - LATE_MS - 1
MINUTES_5 = NOW - 5 * 60_000
AGAIN = "; to try it again: POST /v1"


def actor(name: str, told: int = 0) -> Insert:
    return Insert("actors", {"actor": name, "owner": None, "fence": 1, "version": 1, "told": told})


def tell(number: int, at_ms: int = NOW, failed: str | None = None, sender: str = "player:ann") -> Insert:
    row = {"actor": sender, "number": number, "shard": 0, "to_actor": "player:bo", "at_ms": at_ms, "body": b""}
    return Insert("outbox", {**row, "failed": failed})


def timer(due_ms: int, owner: str = "player:ann", failed: str | None = None) -> Insert:
    row = {"actor": owner, "name": "alarm", "shard": 0 if failed is None else SET_ASIDE, "due_ms": due_ms, "body": b""}
    return Insert("timers", {**row, "failed": failed})


def topic(newest: int, floor: int = 1, name: str = "player:ann") -> Insert:
    return Insert("topics", {"topic": name, "actor": "player:ann", "epoch": "e", "seq": newest, "floor_seq": floor})


def events(*seqs: int, name: str = "player:ann") -> list[Record]:
    return [Insert("topic_events", {"topic": name, "seq": seq, "at_ms": NOW, "part": 0, "body": b""}) for seq in seqs]


def purse(player: str, gold: int, entries: int, **sending: Sending) -> Insert:
    wallet = Wallet(balances={"gold": gold}, entries=entries, sending=sending)
    body = msgspec.msgpack.encode(wallet)
    return Insert("slices", {"actor": f"player:{player}", "slice": "wallet", "schema_no": 1, "body": body})


def sent(amount: int, at_ms: int) -> Sending:
    return Sending(to="bo", currency="gold", amount=amount, at_ms=at_ms, op=OpRef("ann", "o"))


def entry(player: str, number: int, delta: int, reason: str = "granted", gift: str = "", at_ms: int = NOW) -> Insert:
    row = {"player": player, "number": number, "at_ms": at_ms, "currency": "gold", "delta": delta, "balance": 0}
    return Insert(
        "wallet_ledger",
        {**row, "reason": reason, "other": "bo", "gift": gift, "note": "", "entry": f"{reason}{number}".encode()},
    )


HEALTHY: Sequence[Record] = [
    actor("player:ann", told=9),
    actor("player:bo", told=1),
    tell(9),
    timer(NOW - LATE_MS + 1),
    topic(20, floor=3),
    *events(*range(3, 21)),
    Insert("heard", {"actor": "player:bo", "sender": "player:ann", "number": 8}),
    purse("ann", 60, 2, g1=sent(40, NOW)),
    entry("ann", 1, 100),
    entry("ann", 2, -40, "gift_sent", "g1"),
]
"""A database in use: a tell, a timer and a gift are on their way."""


@pytest.fixture(params=["sqlite", "mysql"])
async def url(request: pytest.FixtureRequest) -> str:
    """A migrated database with ``HEALTHY`` in it."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    await migrate(url, blueprint().migrations())
    async with edit_store(url) as editor:
        await editor.edit(HEALTHY)
    return url


async def found(url: str, *faults: Record) -> list[str]:
    """What the doctor says of the healthy database with these rows besides."""
    async with edit_store(url) as editor:
        await editor.edit(faults)
    async with look_into_store(url) as store:
        return [finding.text for finding in await look_at_rows(store, NOW) if not finding.well]


async def test_a_database_in_use_is_well_with_a_line_for_each_look(url: str) -> None:
    async with look_into_store(url) as store:
        findings = await look_at_rows(store, NOW)

    assert [finding.text for finding in findings if not finding.well] == []
    assert [finding.text.partition(":")[0] for finding in findings] == ["rows", "outbox", "timers", "topics", "wallets"]


async def test_rows_of_actors_that_do_not_exist_are_found(url: str) -> None:
    ghost = "guild:ghost"
    lines = await found(
        url,
        Insert("slices", {"actor": ghost, "slice": "guild", "schema_no": 1, "body": b""}),
        Insert(
            "ops",
            {"actor": ghost, "player": "p", "slot": 1, "op": b"o", "op_count": 1, "digest": b"", "at_ms": 0},
        ),
        Insert("topics", {"topic": ghost, "actor": ghost, "epoch": "e", "seq": 1, "floor_seq": 1}),
        *events(1, name=ghost),
        *events(1, name="chat:nowhere"),
        timer(NOW, ghost),
        tell(1, sender=ghost),
        Insert("heard", {"actor": ghost, "sender": "player:ann", "number": 1}),
    )

    assert lines == [
        *[
            f"rows: 1 in table {table} without their actor, e.g. {ghost}"
            for table in ("slices", "ops", "topics", "timers", "outbox", "heard")
        ],
        "rows: 1 in table topic_events without their topic, e.g. chat:nowhere",
    ]


async def test_a_receiver_that_has_heard_more_than_was_told_is_found(url: str) -> None:
    """A part of the database was restored: the sender's next tells would be lost without a word."""
    lines = await found(
        url,
        Insert("heard", {"actor": "player:ann", "sender": "player:bo", "number": 3}),
        Insert("heard", {"actor": "player:ann", "sender": "player:gone", "number": 2}),
    )

    assert lines == [
        "rows: player:ann has heard tell 3 of player:bo, which has told only 1: the next are taken for repeats",
        "rows: player:ann has heard tell 2 of player:gone, which has told only 0: the next are taken for repeats",
    ]


async def test_tells_that_are_stuck_or_set_aside_are_found(url: str) -> None:
    lines = await found(url, tell(1, MINUTES_5), tell(2, failed="why"))

    assert lines == [
        f"outbox: tell 2 of player:ann to player:bo was set aside: why{AGAIN}/outbox/set-aside/player:ann/2/requeue",
        "outbox: tell 1 of player:ann to player:bo has been waiting for 5 min",
    ]


async def test_timers_that_are_overdue_or_set_aside_are_found(url: str) -> None:
    lines = await found(
        url, actor("guild:42"), timer(MINUTES_5, "player:bo"), timer(MINUTES_5, "guild:42", failed="internal")
    )

    assert lines == [
        f"timers: alarm of guild:42 was set aside: internal{AGAIN}/timers/set-aside/guild:42/alarm/requeue",
        "timers: alarm of player:bo has been due for 5 min",
    ]


@pytest.mark.parametrize(
    ("newest", "floor", "seqs", "line"),
    [
        (5, 1, [1, 2, 4, 5], "holds 4 of the events 1 to 5, the first that is missing is 3"),
        (5, 1, [1, 2, 3], "holds 3 of the events 1 to 5, the first that is missing is 4"),
        (5, 4, [1, 2, 5], "holds 1 of the events 4 to 5, the first that is missing is 4"),
        (2, 1, [], "holds 0 of the events 1 to 2, the first that is missing is 1"),
        (2, 1, [1, 2, 3], "stands at 2, but holds an event 3"),
        (3, 1, [1, 2, 4], "stands at 3, but holds an event 4"),
    ],
    ids=str,
)
async def test_a_sequence_with_a_hole_above_its_floor_is_found(
    url: str, newest: int, floor: int, seqs: list[int], line: str
) -> None:
    holes = [topic(newest, floor, "chat:guild:1"), *events(*seqs, name="chat:guild:1")]

    assert await found(url, *holes) == [f"topics: chat:guild:1 {line}"]


async def test_what_lies_below_a_floor_is_no_hole(url: str) -> None:
    assert await found(url, topic(5, 4, "chat:guild:1"), *events(1, 3, 4, 5, name="chat:guild:1")) == []


async def test_a_balance_that_its_ledger_does_not_prove_is_found(url: str) -> None:
    lines = await found(
        url,
        purse("bo", 70, 2),
        entry("bo", 1, 100),
        entry("bo", 3, -20),
        purse("cy", -5, 0),
        actor("player:cy"),
        entry("di", 1, 5),
    )

    assert lines == [
        "wallets: wallet of bo: gold stands at 70, its ledger adds up to 80",
        "wallets: wallet of bo: 2 entries, the ledger has 2, the last is 3",
        "wallets: wallet of cy: gold stands at -5, its ledger adds up to 0",
        "wallets: wallet of cy: gold stands at -5, below 0",
        "wallets: wallet of di: is in the ledger, but is not kept",
    ]


async def test_a_gift_that_is_lost_doubled_or_late_is_found(url: str) -> None:
    lines = await found(
        url,
        purse("bo", 50, 5, g4=sent(10, MINUTES_5)),
        entry("bo", 1, 80),
        entry("bo", 2, -10, "gift_sent", "g2", LATE),
        entry("bo", 3, -20, "gift_sent", "g3", LATE),
        entry("bo", 4, -10, "gift_sent", "g4", LATE),
        entry("bo", 5, 10, "gift_returned", "g3"),
        purse("cy", 10, 1),
        actor("player:cy"),
        entry("cy", 1, 10, "gift_received", "g3"),
    )

    assert lines == [
        "wallets: gift g4: 10 gold of bo to bo has been on its way for 5 min",
        "wallets: gift g3: settled 2 times",
        "wallets: gift g2: 10 gold of bo to bo is lost: not there, not back",
    ]


async def test_of_many_faults_of_a_sort_some_are_shown_and_the_rest_counted(url: str) -> None:
    lines = await found(url, *[tell(100 + n, LATE) for n in range(SHOWN + 5)])

    assert len(lines) == SHOWN + 1
    assert lines[-1] == "outbox: and 5 more"


def test_only_what_is_seen_twice_is_believed() -> None:
    well, fault, passing, new = (Finding(text, well=text == "well") for text in ("well", "fault", "passing", "new"))

    assert again([well, fault, passing], [well, fault, new]) == [well, fault]


async def test_the_command_looks_again_at_what_it_has_found(sqlite_url: str) -> None:
    await migrate(sqlite_url, blueprint().migrations())
    async with edit_store(sqlite_url) as editor:
        await editor.edit([actor("player:ann"), tell(1, failed="no reason")])
    clock = FakeClock()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(doctor(Config(store=StoreConfig(url=sqlite_url)), clock))
        while not looking.done():  # the file is read in a thread
            await clock.advance(1)
            await asyncio.sleep(0.01)

    (fault,) = [finding.text for finding in looking.result() if not finding.well]
    assert fault.startswith("outbox: tell 1 of player:ann to player:bo was set aside: no reason")
