"""A topic with a name of its own, told to each reader in its own form; taps; and events that are redacted."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from actors.runtime import Blueprint, Caller, NotReadable, TopicOpen, TopicOpened
from actors.runtime.blueprint import Ambiguous
from actors.runtime.context import Follow
from actors.runtime.stream import AT_ONCE
from actors.runtime.topics import CHECK_S
from protocol import Message, Wire
from tests.runtime.reaching import BANNED, NEWS, ROOMS, Print, Printed, Take, Withdraw, news, owner_of
from tests.support.clock import START_MS, settle
from tests.support.cluster import Cluster, Heard, Member, Phone

TEXTS = {"en": "Hello", "de": "Hallo", "tr": "Merhaba"}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(ROOMS).running() as running:
        yield running


@pytest.fixture
async def pair(cluster: Cluster, north: Member) -> tuple[Member, Member]:
    """The node that runs the press, and the other."""
    south = await cluster.start("south")
    await print_it(north, "first")
    return owner_of("press:main", north, south)


def phone(player: str, locale: str = "en", wire: Wire = Wire.MSGPACK) -> Phone:
    made = Phone(player, wire)
    made.locale = locale
    return made


async def print_it(member: Member, text: str, **fields: Any) -> int:
    seq: int = (await member.said(Print(id=f"print-{text}", texts={**TEXTS, "en": text}, **fields))).seq
    return seq


async def taking(member: Member, reader: Phone, after: int | None = None) -> Phone:
    """A reader that follows the news, from ``after`` on or from now."""
    cursor = None if after is None else ("e1", after)
    await member.said(Take(id=f"take-{reader.player}-{after}", after=cursor), reader.player, reader)
    return reader


def texts(reader: Phone) -> list[str]:
    """What a reader was told, in order; ``-`` for what was withdrawn."""
    return [frame.get("text", "-") for frame in reader.frames]


async def opened(member: Member, topic: str, player: str = "ann", actor: str = "press:main") -> Any:
    """What an actor says to who wants to follow."""
    heard = Heard()
    member.node.router.ask(TopicOpen(id="o", topic=topic), Caller(player), heard.answers.append, actor)
    await settle()
    return heard.reply


# Its name.
async def test_its_actor_is_found_by_its_name(north: Member) -> None:
    assert north.node.router.actor_of(NEWS) == "press:main"
    assert north.node.router.has_topic(NEWS)
    assert not north.node.router.has_topic("news:press:main")
    assert not north.node.router.has_topic("newsletter")
    assert not north.node.router.has_topic("press:main")


async def test_only_its_own_actor_opens_it(north: Member) -> None:
    assert isinstance(await opened(north, NEWS), TopicOpened)
    with pytest.raises(NotReadable):
        await opened(north, NEWS, actor="press:other")
    with pytest.raises(NotReadable):
        await opened(north, "press:main")


async def test_who_may_follow_is_the_rooms_to_say(north: Member) -> None:
    with pytest.raises(NotReadable):
        await opened(north, NEWS, BANNED)


def test_two_rooms_cannot_have_one_name() -> None:
    with pytest.raises(Ambiguous):
        Blueprint([news, news])


def test_its_log_is_kept_as_long_as_its_room_says() -> None:
    kind = Blueprint(ROOMS).kind_of("press:main")
    assert kind is not None
    assert kind.keep_events(NEWS) == news.keep_events == 500


# Each in its own form.
async def test_each_reader_on_every_node_is_told_in_its_own_language_in_both_formats(
    pair: tuple[Member, Member],
) -> None:
    readers = {
        (member.name, locale, wire): await taking(member, phone(f"{member.name}-{locale}-{wire.name}", locale, wire))
        for member in pair
        for locale in ("en", "de", "tr", "")
        for wire in Wire
    }
    await print_it(pair[0], "Hello")
    await print_it(pair[1], "Bye")

    for (_, locale, _), reader in readers.items():
        assert texts(reader) == {"de": ["Hallo"] * 2, "tr": ["Merhaba"] * 2}.get(locale, ["Hello", "Bye"])
        assert reader.seqs(NEWS) == [2, 3]
        assert {frame["t"] for frame in reader.frames} == {"news.news"}
        assert all("texts" not in frame and frame["at"] >= START_MS for frame in reader.frames)


@pytest.mark.parametrize("missed", [1, AT_ONCE, AT_ONCE + 1, 180])
async def test_who_comes_back_is_told_what_was_missed_in_its_language_then_what_comes(
    cluster: Cluster, north: Member, missed: int
) -> None:
    for kept in (False, True):
        if kept:
            await taking(north, phone("keeps the stream in memory"))
        for n in range(missed):
            await print_it(north, f"{kept}-{n}")
        reader = await taking(north, phone(f"bo-{kept}", "de", Wire.JSON), after=missed if kept else 0)
        await print_it(north, f"live-{kept}")
        await cluster.clock.advance(1)

        assert texts(reader) == ["Hallo"] * (missed + 1 + kept)
        first = missed + 1 if kept else 1
        assert reader.seqs(NEWS) == list(range(first, first + missed + 1 + kept))


async def test_what_is_rendered_depends_on_when_it_is_told(cluster: Cluster, north: Member) -> None:
    early = await taking(north, phone("ann"))
    await print_it(north, "soon over", until_ms=START_MS + 5_000)
    await cluster.clock.advance(6)
    late = await taking(north, phone("bo"), after=0)

    assert (texts(early), texts(late)) == (["soon over"], ["-"])
    assert early.seqs(NEWS) == late.seqs(NEWS) == [1]


async def test_a_rendering_that_fails_stops_neither_other_topics_nor_later_news(
    north: Member, logged: list[Any]
) -> None:
    reader = await taking(north, phone("ann"))
    await north.said(Print(id="bad", texts={"fr": "no english"}))
    await print_it(north, "good")

    assert texts(reader) == ["good"]
    assert [line["event"] for line in logged if line["event"].startswith("topic.")] == ["topic.not_delivered"]


# Taps.
class Counts:
    """A tap."""

    def __init__(self, member: Member) -> None:
        self.seqs: dict[int, int] = {}
        member.node.hub.tap(NEWS, self)

    def __call__(self, events: Sequence[Message], readers: int) -> None:
        for event in events:
            assert isinstance(event, Printed), event
            assert event.seq is not None
            self.seqs[event.seq] = self.seqs.get(event.seq, 0) + readers


async def test_a_tap_hears_of_every_stored_event_and_to_how_many_it_went(cluster: Cluster, north: Member) -> None:
    counts = Counts(north)
    for n in range(3):
        await taking(north, phone(f"p{n}", "de"))
    await print_it(north, "one")
    await taking(north, phone("later"), after=0)
    await print_it(north, "two")

    assert counts.seqs == {1: 4, 2: 4}


async def test_a_tap_hears_of_what_is_replayed_from_the_log(cluster: Cluster, north: Member) -> None:
    for n in range(80):
        await print_it(north, f"{n}")
    counts = Counts(north)
    await taking(north, phone("ann"), after=0)
    await cluster.clock.advance(1)

    assert counts.seqs == dict.fromkeys(range(1, 81), 1)


async def test_a_topic_that_is_held_is_kept_though_nobody_reads_it(pair: tuple[Member, Member]) -> None:
    owner, other = pair
    counts = Counts(other)
    for member in pair:
        member.node.hub.hold(Follow(NEWS, "e1", 1, 1, durable=True))
        await settle()
    for n in range(5):
        await print_it(owner, f"{n}")
    place = other.node.hub.place(NEWS)
    assert place is not None
    assert (place.epoch, place.seq) == ("e1", 6)
    before = other.store.calls.count("read_events")
    reader = await taking(other, phone("bo"), after=2)

    assert texts(reader) == ["1", "2", "3", "4"]
    assert other.store.calls.count("read_events") == before
    assert counts.seqs == dict.fromkeys((3, 4, 5, 6), 1)


async def test_the_place_of_a_topic_with_a_hole_is_not_known(cluster: Cluster, pair: tuple[Member, Member]) -> None:
    owner, other = pair
    other.node.hub.hold(Follow(NEWS, "e1", 1, 1, durable=True))
    await settle()
    losses = iter([0])
    owner.bus.fate = lambda channel, _payload: next(losses, 1) if channel.startswith("topic:") else 1
    await print_it(owner, "lost")
    with other.store.holding("read_events") as hold:
        owner.ask(Print(id="next", texts=TEXTS))
        await hold.reached.wait()
        assert other.node.hub.place(NEWS) is None
    await settle()

    place = other.node.hub.place(NEWS)
    assert place is not None
    assert place.seq == 3
    assert other.node.hub.place("nothing that is followed") is None


# Redaction.
async def test_whoever_comes_later_sees_the_new_body_on_every_node(pair: tuple[Member, Member]) -> None:
    for member in pair:
        await taking(member, phone(f"keeps it at {member.name}"))
    seq = await print_it(pair[1], "secret")
    await print_it(pair[1], "after")
    await pair[1].said(Withdraw(id="w", seq=seq))
    for member in pair:
        reader = await taking(member, phone(f"later at {member.name}"), after=1)
        assert texts(reader) == ["-", "after", "-"]
        assert reader.seqs(NEWS) == [2, 3, 4]


async def test_who_has_seen_it_is_told_by_an_event_of_its_own(pair: tuple[Member, Member]) -> None:
    readers = [await taking(member, phone(f"at {member.name}")) for member in pair]
    seq = await print_it(pair[0], "secret")
    await pair[0].said(Withdraw(id="w", seq=seq))

    assert [texts(reader) for reader in readers] == [["secret", "-"]] * 2


async def test_an_event_may_be_redacted_before_its_commit_is_over(north: Member) -> None:
    await taking(north, phone("ann"))
    with north.store.holding("commit") as hold:
        north.ask(Print(id="p", texts=TEXTS))
        north.ask(Withdraw(id="w", seq=1))
        await hold.reached.wait()
    await settle()
    late = await taking(north, phone("bo"), after=0)

    assert texts(late) == ["-", "-"]


async def test_nobody_is_shown_it_when_the_word_of_its_redaction_was_lost(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    """The other node found that it had missed something, filled the hole, and went on showing what it remembered."""
    owner, other = pair
    await taking(other, phone("keeps it"))
    seq = await print_it(owner, "secret")
    owner.bus.fate = lambda channel, _payload: 0 if channel.startswith("topic:") else 1
    await owner.said(Withdraw(id="w", seq=seq))
    await cluster.clock.advance(CHECK_S)
    late = await taking(other, phone("bo"), after=1)

    assert texts(late) == ["-", "-"]


async def test_nobody_is_shown_it_when_it_was_read_from_the_log_just_before(
    cluster: Cluster, pair: tuple[Member, Member]
) -> None:
    """What fills a hole was read before the redaction and came after the word of it."""
    owner, other = pair
    await taking(other, phone("keeps it"))
    losses = iter([0])
    owner.bus.fate = lambda channel, _payload: next(losses, 1) if channel.startswith("topic:") else 1
    seq = await print_it(owner, "secret")
    with other.store.holding("read_events", applied=True) as hold:
        owner.ask(Print(id="next", texts=TEXTS))
        await hold.reached.wait()
        owner.ask(Withdraw(id="w", seq=seq))
        await settle()
    await settle()
    late = await taking(other, phone("bo"), after=1)

    assert texts(late) == ["-", "Hello", "-"]


async def test_it_is_gone_from_the_log_also_after_a_crash(cluster: Cluster, pair: tuple[Member, Member]) -> None:
    owner, other = pair
    seq = await print_it(owner, "secret")
    await owner.said(Withdraw(id="w", seq=seq))
    cluster.crash(owner)
    await cluster.pass_lease()
    late = await taking(other, phone("bo"), after=1)

    assert texts(late) == ["-", "-"]


async def test_whose_right_ends_with_an_event_is_told_that_one_last(pair: tuple[Member, Member]) -> None:
    readers = [await taking(member, phone("bo", "de")) for member in pair]
    await print_it(pair[0], "last", ends="bo")
    await print_it(pair[0], "more")

    assert [texts(reader) for reader in readers] == [["Hallo"]] * 2
    assert [reader.topics for reader in readers] == [set(), set()]
