"""An announcement to an audience: page by page into inboxes, everybody exactly once, whatever happens on the way."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import msgspec
import pytest

from actors.broadcasts import (
    AnnouncementCancel,
    AnnouncementMade,
    AnnouncementMake,
    AnnouncementOver,
    Audience,
    Body,
    campaign,
)
from actors.broadcasts.announcements import OPEN_LIMIT, SENT_LIMIT
from actors.broadcasts.campaign import AHEAD_PAUSE_S, PAGE, WATCH_S, PageCall, PageFound
from actors.mail import NoticeTold
from server.features import FEATURES
from storage import Upsert
from tests.rooms.announcing import BY, MINUTE_MS, TEXTS, calls, cancel, count, hall, make, rows, state_of
from tests.support.clock import settle
from tests.support.cluster import LEASE_S, Cluster, Member
from tests.support.room import NOON, Room

# To an audience.
IOS = Audience(platforms=["ios"])


def page(room: Room, made: AnnouncementMade, after: str, *players: str, last: bool = False) -> PageFound:
    return PageFound(announcement=made.announcement, after=after, players=[(p, "tr") for p in players], last=last)


def notices(room: Room) -> list[tuple[str, str]]:
    """(player, text) of every notice that was sent."""
    return [(to, tell.body) for to, tell in room.told if isinstance(tell, NoticeTold)]


def test_one_to_an_audience_looks_for_its_first_page_and_says_nothing_aloud() -> None:
    room = hall()
    made = make(room, audience=IOS)

    assert made.state == "sending"
    assert room.published == []
    assert calls(room) == [PageCall(sender="broadcasts:all", announcement=made.announcement, audience=IOS, after="")]


def test_an_audience_that_names_nothing_is_everybody() -> None:
    room = hall()

    assert make(room, audience=Audience()).state == "live"


def test_a_page_is_told_in_each_ones_language_and_the_next_one_looked_for_behind_it() -> None:
    room = hall()
    made = make(room, audience=IOS, title={"en": "News", "tr": "Haber"}, data={"x": 1})
    found = PageFound(
        announcement=made.announcement, after="", players=[("ann", "tr-TR"), ("bo", ""), ("cy", "fr")], last=False
    )
    room.take(found)

    assert notices(room) == [("player:ann", "Merhaba"), ("player:bo", "Hello"), ("player:cy", "Hello")]
    [ann, *_] = [tell for _, tell in room.told if isinstance(tell, NoticeTold)]
    assert (ann.kind, ann.title, ann.expires_ms) == ("announcement", "Haber", made.expires_at)
    assert ann.data == {"x": 1, "announcement": made.announcement}
    assert calls(room)[-1].after == "cy"
    assert rows(room)[made.announcement]["sent"] == 3


def test_a_page_that_comes_twice_or_too_late_is_told_once() -> None:
    room = hall()
    made = make(room, audience=IOS)
    for _ in range(3):
        room.take(page(room, made, "", "ann", "bo"))
    room.take(page(room, made, "bo", "cy"))
    room.take(page(room, made, "", "ann", "bo"))

    assert [player for player, _ in notices(room)] == ["player:ann", "player:bo", "player:cy"]
    assert len(calls(room)) == 3


def test_the_last_page_ends_it_also_when_it_is_empty() -> None:
    room = hall()
    for players in ((), ("ann",)):
        made = make(room, audience=IOS)
        room.take(page(room, made, "", *players, last=True))
        assert (state_of(room, made), rows(room)[made.announcement]["reached"]) == ("sent", len(players))
    before = len(calls(room))
    room.pass_time(10 * WATCH_S)

    assert len(calls(room)) == before


def test_a_page_that_is_lost_is_looked_for_again_from_the_same_place() -> None:
    room = hall()
    made = make(room, audience=IOS)
    room.take(page(room, made, "", "ann"))
    room.pass_time(3 * WATCH_S)

    assert {call.after for call in calls(room)[1:]} == {"ann"}
    assert len(calls(room)) >= 3
    room.take(page(room, made, "ann", "bo", last=True))
    assert state_of(room, made) == "sent"


def test_one_that_is_cancelled_on_its_way_reaches_nobody_more() -> None:
    room = hall()
    made = make(room, audience=IOS)
    room.take(page(room, made, "", "ann"))
    cancel(room, made)
    room.take(page(room, made, "ann", "bo"))
    room.pass_time(3 * WATCH_S)

    assert [player for player, _ in notices(room)] == ["player:ann"]
    assert (state_of(room, made), rows(room)[made.announcement]["sent"]) == ("cancelled", 1)
    assert len(calls(room)) == 2
    assert room.published == []


def test_one_that_is_all_sent_cannot_be_cancelled() -> None:
    """Staff was told that it had been, though every inbox had it."""
    room = hall()
    made = make(room, audience=IOS)
    room.take(page(room, made, "", "ann", last=True))
    with pytest.raises(AnnouncementOver):
        cancel(room, made)

    assert state_of(room, made) == "sent"


def test_one_that_expires_on_its_way_is_over_and_one_that_was_sent_stays_sent() -> None:
    room = hall()
    sending = make(room, audience=IOS, expires_at=NOON + MINUTE_MS)
    sent = make(room, audience=IOS, expires_at=NOON + MINUTE_MS)
    room.take(page(room, sent, "", "ann", last=True))
    room.pass_time(61)

    assert (state_of(room, sending), state_of(room, sent)) == ("over", "sent")
    assert room.state.open == {}


def test_those_that_were_sent_take_no_place_from_others_and_the_newest_are_counted_on() -> None:
    """200 campaigns within a week were as many as there could be, though none was on its way any more."""
    room = hall()
    made = []
    for _ in range(OPEN_LIMIT + 5):
        made.append(make(room, audience=IOS))
        room.take(page(room, made[-1], "", "ann", last=True))

    assert list(room.state.open) == [each.announcement for each in made[-SENT_LIMIT:]]
    assert {state_of(room, each) for each in made} == {"sent"}
    assert count(room, "n#1", {}, {made[0].announcement: 1, made[-1].announcement: 1}).over == [made[0].announcement]
    assert rows(room)[made[-1].announcement]["readers"] == 1


def test_a_scheduled_one_begins_on_its_way_when_it_is_due() -> None:
    room = hall()
    made = make(room, audience=IOS, at=NOON + MINUTE_MS)
    assert calls(room) == []
    room.pass_time(60)

    assert (state_of(room, made), len(calls(room))) == ("sending", 1)


def test_a_page_is_one_commit_with_the_mark_behind_it() -> None:
    room = hall()
    made = make(room, audience=IOS)
    room.commit()
    room.take(page(room, made, "", *[f"p{n:03}" for n in range(PAGE)]))
    write = room.commit()

    assert (len(write.outbox), set(write.slices)) == (PAGE, {"broadcasts"})
    assert [timer.name for timer in write.timers] == [f"campaign:{made.announcement}"]


def test_the_table_keeps_what_was_announced_and_to_whom() -> None:
    room = hall()
    made = make(room, audience=IOS, title={"en": "News"}, data={"x": 1})

    body = msgspec.msgpack.decode(rows(room)[made.announcement]["body"], type=Body)
    assert body == Body(TEXTS, {"en": "News"}, {"x": 1}, IOS)


# In a cluster.
PLAYERS = [f"p{n:03}" for n in range(47)]
SMALL = 10  # players in a page


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """All rooms, a table of players, small pages."""
    monkeypatch.setattr(campaign, "PAGE", SMALL)
    monkeypatch.setattr(campaign, "AHEAD", SMALL)
    async with Cluster(FEATURES).running() as running:
        row = {"platform": "ios", "locale": "tr"}
        await running.store.edit([Upsert("players", {"player": p, "name": p, **row}, ("player",)) for p in PLAYERS])
        await running.store.edit([Upsert("players", {"player": "web", "name": "w"}, ("player",))])
        yield running


async def said(member: Member) -> AnnouncementMade:
    made = await member.said(AnnouncementMake(id="m1", text=TEXTS, audience=IOS, by=BY), "server:")
    assert isinstance(made, AnnouncementMade)
    return made


def owner(cluster: Cluster) -> Member | None:
    """The node that runs announcements."""
    running = [m for m in cluster.members.values() if not m.over and "broadcasts:all" in m.node.host.activations]
    return running[0] if running else None


async def until_sent(cluster: Cluster) -> None:
    """Let time pass until it is sent and all of it has arrived."""
    for _ in range(60):
        await cluster.clock.advance(2)
        ((waiting,),) = await cluster.store.select("SELECT COUNT(*) FROM outbox")
        if await cluster.store.select("SELECT 1 FROM announcements WHERE state = 'sent'") and not waiting:
            return
    raise AssertionError("it never ends")


async def assert_everybody_has_it_once(cluster: Cluster) -> None:
    found = await cluster.store.select("SELECT topic, COUNT(*) FROM topic_events GROUP BY topic ORDER BY topic")
    assert found == [(f"player:{player}", 1) for player in PLAYERS]
    assert await cluster.store.select("SELECT sent, reached FROM announcements") == [(len(PLAYERS),) * 2]


async def test_everybody_of_the_audience_has_the_notice(cluster: Cluster) -> None:
    north = await cluster.start("north")
    await said(north)
    await until_sent(cluster)

    await assert_everybody_has_it_once(cluster)


@pytest.mark.parametrize("calls_later", range(0, 36, 3))
async def test_a_node_that_dies_on_the_way_costs_nobody_the_notice_and_sends_none_twice(
    cluster: Cluster, calls_later: int
) -> None:
    """At every point: after each few of the store's calls that its owner makes."""
    north = await cluster.start("north")
    await cluster.start("south")
    await said(north)
    first = owner(cluster)
    assert first is not None
    before = len(first.store.calls)
    for _ in range(2_000):
        if len(first.store.calls) >= before + calls_later:
            break
        await asyncio.sleep(0)
    else:
        await cluster.clock.advance(AHEAD_PAUSE_S)
    cluster.crash(first)
    await until_sent(cluster)

    await assert_everybody_has_it_once(cluster)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_goes_wrong_it_ends_and_everybody_has_it_once(cluster: Cluster, seed: int) -> None:
    random = Random(seed)
    members = [await cluster.start("node0"), await cluster.start("node1")]
    await said(members[0])
    for turn in range(12):
        for member in members:
            for method in ("commit", "select", "claim", "due"):
                if random.random() < 0.25:
                    member.store.lose_next(method, applied=random.random() < 0.5)
            member.bus.fate = lambda _channel, _payload: random.choice((0, 1, 1, 1, 2))
        for _ in range(random.randrange(40)):
            await asyncio.sleep(0)
        if turn % 4 == 3:
            dying = random.choice(members)
            members.remove(dying)
            cluster.crash(dying)
            members.append(await cluster.start(f"node{turn}"))
        await cluster.clock.advance(random.choice((0.1, 1.0, LEASE_S)))
    for member in members:
        member.bus.fate = lambda _channel, _payload: 1
    await until_sent(cluster)

    await assert_everybody_has_it_once(cluster)


async def test_receivers_are_loaded_no_faster_than_they_take_it(cluster: Cluster) -> None:
    north = await cluster.start("north")
    most = 0
    with north.store.holding("claim"):
        north.ask(AnnouncementMake(id="m1", text=TEXTS, audience=IOS, by=BY), "server:")
        await settle()
    with north.store.holding("claim"):  # nobody takes anything
        for _ in range(20):
            await cluster.clock.advance(1)
            ((waiting,),) = await cluster.store.select("SELECT COUNT(*) FROM outbox")
            most = max(most, waiting)
    await until_sent(cluster)

    assert SMALL < most <= 2 * SMALL + 1
    await assert_everybody_has_it_once(cluster)


async def test_one_that_is_cancelled_on_its_way_stops_there(cluster: Cluster) -> None:
    north = await cluster.start("north")
    with north.store.holding("select") as hold:
        made = north.ask(AnnouncementMake(id="m1", text=TEXTS, audience=IOS, by=BY), "server:")
        await hold.reached.wait()
        await settle()
        announcement = made.reply.announcement
        by = msgspec.structs.replace(BY, op="op-2")
        await north.said(AnnouncementCancel(id="c1", announcement=announcement, by=by), "server:")
    await cluster.clock.advance(3 * WATCH_S)

    assert await cluster.store.select("SELECT state, sent FROM announcements") == [("cancelled", 0)]
    assert await cluster.store.select("SELECT COUNT(*) FROM topic_events") == [(0,)]


async def test_a_node_that_ends_on_the_way_hands_it_over_at_once(cluster: Cluster) -> None:
    north = await cluster.start("north")
    with north.store.holding("claim") as hold:
        north.ask(AnnouncementMake(id="m1", text=TEXTS, audience=IOS, by=BY), "server:")
        await settle()
        hold.over.set()
    await settle()
    started = cluster.clock.monotonic()
    await cluster.stop(north)
    assert cluster.clock.monotonic() - started <= 2.0
    await cluster.start("south")
    await until_sent(cluster)

    await assert_everybody_has_it_once(cluster)
