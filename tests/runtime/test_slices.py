"""Delivery to more readers than one turn of the loop serves: a slice at a time, each reader everything once in order.

These tests turn the loop themselves: between two slices is where things happen.
"""
# ruff: noqa: ASYNC110

import asyncio
from random import Random

import msgspec
import pytest

from actors.runtime import stream
from actors.runtime.draft import Published
from actors.runtime.topics import PACE_S
from protocol import Wire
from storage import Position
from tests.runtime.rooms import TOPIC, Join, Kick, Leave, Said, Say, Whisper, talk
from tests.support.clock import settle
from tests.support.cluster import Cluster, Heard, Member, Phone

OTHER = "talk:other"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """A slice of a few readers."""
    monkeypatch.setattr(stream, "SLICE", 5)
    return 5


def join(member: Member, phone: Phone, number: int, talk: str = "t") -> Heard:
    """Have ``phone`` follow from where it was, as after a reconnect: until it does it gets nothing."""
    member.node.hub.unfollow(phone, f"talk:{talk}")
    after = (phone.seqs(f"talk:{talk}") or [0])[-1]
    return member.ask(Join(id=f"j{number}", after=("e1", after), talk=talk), phone.player, phone)


async def readers(member: Member, count: int) -> list[Phone]:
    phones = [Phone(f"p{n}", (Wire.JSON, Wire.MSGPACK)[n % 2]) for n in range(count)]
    for start in range(0, count, 400):
        for n, phone in enumerate(phones[start : start + 400]):
            join(member, phone, start + n)
        await settle()
    return phones


async def turns(count: int) -> None:
    """Let the loop turn ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)


def waiting(member: Member) -> int:
    """Batches of the talk that are under way."""
    return len(member.node.hub._streams[TOPIC]._batches)


async def until_waiting(member: Member) -> None:
    """Turn the loop until readers wait for what was said, and then once more: some have it, others do not."""
    while not waiting(member):
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_crowd_gets_every_event_once_in_order(north: Member) -> None:
    phones = await readers(north, 2 * stream.SLICE + 1)
    for n in range(10):
        north.ask(Say(id=f"s{n}", text=f"{n}", times=3))
        await turns(n)
    await settle()

    assert {tuple(phone.seqs(TOPIC)) for phone in phones} == {tuple(range(1, 31))}
    assert waiting(north) == 0


async def test_the_loop_turns_between_two_slices(north: Member, small: int) -> None:
    phones = await readers(north, 4 * small)
    north.ask(Say(id="s"))
    reached = []
    while not all(phone.frames for phone in phones):
        await asyncio.sleep(0)
        reached.append(sum(bool(phone.frames) for phone in phones))

    assert [n for n in sorted(set(reached)) if n] == [5, 10, 15, 20]


async def test_another_topic_is_not_held_up(north: Member, small: int) -> None:
    phones = await readers(north, 60 * small)
    few = Phone("few")
    join(north, few, 0, talk="other")
    await settle()
    north.ask(Say(id="many"))
    await until_waiting(north)
    north.ask(Say(id="few", talk="other"))
    while not few.frames:
        await asyncio.sleep(0)

    assert sum(bool(phone.frames) for phone in phones) < len(phones) / 2


async def test_two_crowds_take_turns(north: Member, small: int) -> None:
    phones = await readers(north, 20 * small)
    for n, phone in enumerate(phones):
        join(north, phone, 1000 + n, talk="other")
    await settle()
    for name in ("t", "other"):
        north.ask(Say(id=f"say-{name}", talk=name))
    while sum(bool(phone.seqs(OTHER)) for phone in phones) < len(phones) / 2:
        await asyncio.sleep(0)
    assert not all(phone.seqs(TOPIC) for phone in phones)
    await settle()

    assert all(phone.seqs(TOPIC) == phone.seqs(OTHER) == [1] for phone in phones)


async def test_what_is_said_faster_than_a_crowd_is_served_does_not_pile_up(north: Member, small: int) -> None:
    """Every event was a round of its own through all readers: the topic fell behind, further with every event."""
    phones = await readers(north, 20 * small)
    hub, most = north.node.hub, 0
    for seq in range(1, 301):
        said = Said(topic=TOPIC, seq=seq, text="")
        hub.released([Published(TOPIC, seq, said, msgspec.msgpack.encode(said), None)])
        await asyncio.sleep(0)
        most = max(most, waiting(north))
    late = 0
    while waiting(north):
        await asyncio.sleep(0)
        late += 1

    assert {tuple(phone.seqs(TOPIC)) for phone in phones} == {tuple(range(1, 301))}
    assert most <= 25
    assert late <= 25


async def test_who_leaves_while_it_waits_gets_nothing_more_and_from_where_it_was_when_it_comes_back(
    north: Member, small: int
) -> None:
    phones = await readers(north, 6 * small)
    north.ask(Say(id="1"))
    await until_waiting(north)
    missed = [phone for phone in phones if not phone.frames]
    for phone in missed[::2]:
        north.node.hub.unfollow(phone, TOPIC)
    await settle()
    assert all(phone.frames == [] for phone in missed[::2])
    for n, phone in enumerate(missed[::2]):
        join(north, phone, 100 + n)
    await settle()
    await north.said(Say(id="2"))

    assert {tuple(phone.seqs(TOPIC)) for phone in phones} == {(1, 2)}


async def test_who_comes_while_others_wait_gets_each_once(north: Member, small: int) -> None:
    phones = await readers(north, 6 * small)
    north.ask(Say(id="1"))
    await until_waiting(north)
    new, again = Phone("new"), next(phone for phone in phones if not phone.frames)
    for n, phone in enumerate((new, again)):
        join(north, phone, 100 + n)
    north.ask(Say(id="2"))
    await settle()

    assert {tuple(phone.seqs(TOPIC)) for phone in (*phones, new)} == {(1, 2)}


async def test_who_is_removed_while_it_waits_is_told_so_last(north: Member, small: int) -> None:
    phones = await readers(north, 6 * small)
    last = phones[-1].player
    north.ask(Say(id="1"))
    north.ask(Kick(id="k", player=last))
    north.ask(Say(id="2"))
    await until_waiting(north)
    north.ask(Say(id="3"))
    await settle()

    assert {tuple(phone.seqs(TOPIC)) for phone in phones[:-1]} == {(1, 2, 3, 4)}
    assert phones[-1].seqs(TOPIC) == [1, 2]
    assert phones[-1].topics == set()


async def test_who_is_removed_while_an_earlier_event_waits_for_it_gets_that_first(north: Member, small: int) -> None:
    phones = await readers(north, 6 * small)
    north.ask(Say(id="1"))
    await until_waiting(north)
    last = next(phone for phone in phones if not phone.frames)
    north.ask(Kick(id="k", player=last.player))
    await settle()
    north.ask(Say(id="2"))
    await settle()

    assert last.seqs(TOPIC) == [1, 2]


async def test_an_ephemeral_event_keeps_its_place_among_the_others(north: Member, small: int) -> None:
    phones = await readers(north, 6 * small)
    await north.said(Leave(id="warm up"), "nobody", Phone("nobody"))
    north.ask(Say(id="1", text="one"))
    await until_waiting(north)
    north.ask(Whisper(id="2", text="psst"))
    await settle()

    for phone in phones:
        assert sorted(frame["text"] for frame in phone.frames) == ["one", "psst"]


@pytest.mark.parametrize("seed", range(12))
async def test_in_any_coming_and_going_everybody_gets_each_event_once_in_order(
    cluster: Cluster, north: Member, small: int, seed: int
) -> None:
    random = Random(seed)
    phones = await readers(north, 8 * small)
    joining: dict[Phone, Heard] = {}
    for n in range(150):
        phone = random.choice(phones)
        roll = random.randrange(8)
        if roll == 0 and (phone not in joining or joining[phone].answer is not None):
            joining[phone] = join(north, phone, 1000 + n)
        elif roll == 1:
            north.ask(Leave(id=f"l{n}"), phone.player, phone)
        elif roll == 2:
            north.ask(Kick(id=f"k{n}", player=phone.player))
        elif roll == 3:
            phone.behind = not phone.behind
        else:
            north.ask(Say(id=f"s{n}", times=55 if n in (30, 90) else 1))
        await turns(random.randrange(6))
        if random.random() < 0.1:
            await cluster.clock.advance(PACE_S)
    for phone in phones:
        phone.behind = False
    await cluster.clock.advance(1)
    for n, phone in enumerate(phones):
        join(north, phone, 9000 + n)
    await cluster.clock.advance(1)

    last = north.node.hub._streams[TOPIC].seq
    assert last < talk.keep_events
    for phone in phones:
        assert phone.seqs(TOPIC) == list(range(1, last + 1))


async def test_what_a_reader_has_been_given_is_known_while_it_waits(
    cluster: Cluster, north: Member, small: int
) -> None:
    """A session that ended then was once noted to have seen what it had not been sent."""
    phones = await readers(north, 6 * small)
    await north.said(Say(id="1"))
    assert {north.node.hub.given(phone, TOPIC) for phone in phones} == {Position("e1", 1)}
    north.ask(Say(id="2"))
    await until_waiting(north)
    north.ask(Say(id="3"))
    for phone in phones:
        given = north.node.hub.given(phone, TOPIC)
        assert given == Position("e1", (phone.seqs(TOPIC) or [0])[-1])
    late = Phone("late")
    late.behind = True
    await north.said(Say(id="4", times=60))
    join(north, late, 99)
    await settle()
    assert north.node.hub.given(late, TOPIC) is None
    assert north.node.hub.given(Phone("nobody"), TOPIC) is None
    assert north.node.hub.given(late, "talk:nothing") is None
    late.behind = False
    await cluster.clock.advance(1)

    assert {north.node.hub.given(phone, TOPIC) for phone in (*phones, late)} == {Position("e1", 63)}
