"""More than can be done: it is refused early and clearly, and whoever asks for little is served as ever."""

from collections import Counter
from math import ceil

import pytest

from actors.runtime import Caller, Context, Feature, NodeOptions
from actors.runtime.host import CLAIMS, HostOptions
from actors.runtime.observer import LeaseLost
from actors.runtime.topics import PAGE_TO_READER
from protocol import Busy
from tests.runtime.rooms import ALL, TOPIC, Add, Count, Counted, Get, Join, Say
from tests.support.clock import FakeClock, settle
from tests.support.cluster import LEASE_S, Cluster, Heard, Member, Phone

TURN_S = 0.001  # a slow turn, but none that would be logged
WAIT_S = 0.010  # promised to the actors beside a hot one
BOUND = 100
SMALL = NodeOptions(lease_s=LEASE_S, host=HostOptions(mailbox=BOUND))


# A hot actor.
async def test_a_hot_actor_with_slow_turns_does_not_make_another_wait_for_ten_milliseconds() -> None:
    """What it might run at once was once counted in turns alone: 64 of a millisecond each held up the whole node."""
    clock = FakeClock()
    slow = Feature(name="slow", actor="counter", state=Count)

    @slow.handles(Get, key="counter", writes=False)
    def get(_ctx: Context, count: Count, _msg: Get) -> Counted:
        clock.spend(TURN_S)
        return Counted(value=count.value)

    async with Cluster([slow], clock=clock).running() as cluster:
        north = await cluster.start("north")
        for counter in ("hot", "quiet"):
            await north.said(Get(id="0", counter=counter))
        answered: list[float] = []
        asked = clock.monotonic()
        for n in range(500):
            north.ask(Get(id=f"{n}", counter="hot"), f"p{n % 20}")
        north.node.router.ask(Get(id="1", counter="quiet"), Caller("bo"), lambda _: answered.append(clock.monotonic()))
        await settle()

    assert answered[0] - asked < WAIT_S


@pytest.mark.parametrize("loud", [1, 3])
async def test_however_loud_some_are_a_full_mailbox_has_room_for_others(loud: int) -> None:
    """Whoever came first with enough messages once had the whole mailbox, and everybody else was told to come later."""
    async with Cluster(ALL, SMALL).running() as cluster:
        north = await cluster.start("north")
        flood = [north.ask(Add(id=f"{n}"), f"loud{n % loud}") for n in range(20 * BOUND)]
        quiet = [north.ask(Add(id=f"{n}"), f"quiet{who}") for who in range(3) for n in range(3)]
        await settle()

        assert [ask.code for ask in quiet] == ["ok"] * len(quiet)
        codes = [ask.code for ask in flood]
        assert set(codes) == {"ok", "actor.busy"}
        assert codes.count("ok") >= BOUND // 2
        refused = flood[-1].answer
        assert refused is not None
        assert isinstance(refused.error, Busy)
        assert refused.error.retry_after_ms


async def test_many_senders_of_a_message_each_have_the_whole_mailbox() -> None:
    async with Cluster(ALL, SMALL).running() as cluster:
        north = await cluster.start("north")
        asks = [north.ask(Add(id="1"), f"p{n}") for n in range(BOUND + 5)]
        await settle()

        assert [ask.code for ask in asks] == ["ok"] * BOUND + ["actor.busy"] * 5


# A store that is slow.
async def test_while_commits_take_two_seconds_mailboxes_fill_the_rest_is_refused_and_later_all_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.runtime.activation.OPEN_TURNS", BOUND)
    async with Cluster(ALL, SMALL).running() as cluster:
        north = await cluster.start("north")
        await north.said(Get(id="0"))
        asks: list[Heard] = []
        for _ in range(3):
            with north.store.holding("commit"):
                for _ in range(5):
                    asks += [north.ask(Add(id="1"), f"p{len(asks) + n}") for n in range(BOUND)]
                    await settle()
                waiting = [ask.code for ask in asks].count("waiting")
                assert waiting <= 3 * BOUND  # in the commit, in the next one, in the mailbox
                await cluster.clock.advance(2)
        await cluster.clock.advance(1)

        codes = Counter(ask.code for ask in asks)
        assert set(codes) == {"ok", "actor.busy"}
        assert codes["ok"] >= 4 * BOUND
        assert not north.seen(LeaseLost)
        refused = [n for n, ask in enumerate(asks) if ask.code == "actor.busy"][:20]
        for n in refused:
            await north.said(Add(id="1"), f"p{n}")
        assert (await north.said(Get(id="g"))).value == codes["ok"] + len(refused)


# A herd.
async def test_a_herd_of_actors_is_loaded_in_bounded_claims_one_by_one(cluster: Cluster, north: Member) -> None:
    """Of a node that died with twenty thousand players: the database is asked for so many at a time, and no faster than
    it answers."""
    herd = 4 * CLAIMS
    with north.store.holding("claim") as hold:
        asks = [north.ask(Add(id="1", counter=f"{n}"), f"p{n}") for n in range(herd)]
        await hold.reached.wait()
        await settle()
        assert north.store.calls.count("claim") == 1
        assert {ask.code for ask in asks} == {"waiting"}
    await settle()

    assert {ask.code for ask in asks} == {"ok"}
    assert north.store.calls.count("claim") == herd / CLAIMS


async def test_a_herd_of_readers_is_served_from_memory_where_that_reaches_back(cluster: Cluster, north: Member) -> None:
    await north.said(Join(id="j"), "keeps the stream in memory", Phone("keeps the stream in memory"))
    for n in range(60):
        await north.said(Say(id=f"{n}"))
    phones = [Phone(f"p{n}") for n in range(100)]
    for phone in phones:
        north.ask(Join(id="j", after=("e1", 0)), phone.player, phone)
    await settle()

    assert all(phone.seqs(TOPIC) == list(range(1, 61)) for phone in phones)
    assert "read_events" not in north.store.calls


async def test_a_herd_of_readers_shares_its_reads_wherever_each_stood(cluster: Cluster, north: Member) -> None:
    """On the node that they come to nothing of the topic is in memory."""
    for n in range(120):
        await north.said(Say(id=f"{n}"))
    phones = {Phone(f"p{n}"): n % PAGE_TO_READER for n in range(200)}
    with north.store.holding("read_events"):
        for phone, after in phones.items():
            north.ask(Join(id="j", after=("e1", after)), phone.player, phone)
        await settle()
    await settle()

    assert all(phone.seqs(TOPIC) == list(range(after + 1, 121)) for phone, after in phones.items())
    pages = ceil(120 / PAGE_TO_READER)
    assert north.store.calls.count("read_events") <= 2 * pages  # one for each cursor would be fifty at once
