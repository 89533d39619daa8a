"""Kept tickets: a turn that changes something and is answered with what only a fetch knows. One op, one effect, and,
once its reply is saved, one reply."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.runtime.host import SWEEP_S
from protocol import IdReused
from storage import RanksDown, StoreDown
from tests.runtime.reaching import ROOMS, Bought, Buy, Closed, Priced, Seen, Send, owner_of, shop
from tests.support.clock import settle
from tests.support.cluster import OPTIONS, Cluster, Member


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(ROOMS).running() as running:
        yield running


@pytest.fixture
async def pair(cluster: Cluster, north: Member) -> tuple[Member, Member]:
    """The node that runs the errand, and the other."""
    south = await cluster.start("south")
    await north.said(Seen(id="where"))
    return owner_of("errand:a", north, south)


async def total(member: Member) -> int:
    """What was bought in all."""
    bought: Bought = await member.said(Priced(id="total"))
    return bought.total


# While it is redeemed, and after.
async def test_nothing_is_fetched_before_the_commit(north: Member) -> None:
    with north.store.holding("commit") as hold:
        heard = north.ask(Buy(id="1"))
        await hold.reached.wait()
        await settle()
        assert (heard.code, shop(north).looks) == ("waiting", 0)
    await settle()

    assert heard.reply == Bought(re="1", total=1, looked="north:1")


async def test_who_repeats_the_id_while_it_is_redeemed_gets_the_same_reply(north: Member) -> None:
    shop(north).open.clear()
    asks = [north.ask(Buy(id="1")) for _ in range(3)]
    await settle()
    asks.append(north.ask(Buy(id="1")))
    await settle()
    assert {ask.code for ask in asks} == {"waiting"}
    shop(north).open.set()
    await settle()

    assert {ask.reply for ask in asks} == {asks[0].reply}
    assert await total(north) == 1


async def test_other_turns_of_the_actor_do_not_wait_for_the_fetch(north: Member) -> None:
    shop(north).open.clear()
    slow = north.ask(Buy(id="1"))
    await settle()

    assert (await north.said(Send(id="2", things=[]))).brought == []
    assert slow.code == "waiting"


async def test_the_reply_stays_what_it_was(north: Member) -> None:
    first = await north.said(Buy(id="1"))
    await north.said(Buy(id="2"))

    assert await north.said(Buy(id="1")) == first
    assert shop(north).looks == 2


async def test_a_node_that_does_not_run_the_actor_gets_the_same_reply(pair: tuple[Member, Member]) -> None:
    owner, other = pair
    first = await other.said(Buy(id="1"))

    assert await owner.said(Buy(id="1")) == first == await other.said(Buy(id="1"))
    assert (shop(owner).looks, shop(other).looks) == (1, 0)


async def test_the_same_id_with_another_body_is_refused(north: Member) -> None:
    shop(north).open.clear()
    waiting = north.ask(Buy(id="1"))
    for _ in range(2):
        await settle()
        with pytest.raises(IdReused):
            await north.said(Buy(id="1", count=2))
        shop(north).open.set()
    await settle()

    assert waiting.code == "ok"
    assert await total(north) == 1


async def test_a_ticket_of_a_read_is_fetched_anew(north: Member) -> None:
    first, second = await north.said(Priced(id="1")), await north.said(Priced(id="1"))

    assert (first.looked, second.looked) == ("north:1", "north:2")


async def test_a_refusal_of_the_turn_keeps_nothing(north: Member) -> None:
    with pytest.raises(Closed):
        await north.said(Buy(id="1", count=101))

    assert (await north.said(Buy(id="1", count=1))).total == 1


# What goes wrong.
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreDown("away"), "unavailable"),
        (RanksDown("away"), "unavailable"),
        (Closed("closed"), "errand.closed"),
        (RuntimeError("a mistake"), "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_after_an_error_of_the_fetch_the_same_id_finds_out(north: Member, error: Exception, code: str) -> None:
    shop(north).error = error
    failed = north.ask(Buy(id="1"))
    await settle()
    assert failed.code == code
    shop(north).error = None

    assert (await north.said(Buy(id="1"))).total == 1
    assert await total(north) == 1


async def test_whoever_waited_too_long_is_told_so_and_finds_out_later(cluster: Cluster, north: Member) -> None:
    with north.store.holding("commit") as hold:
        late = north.ask(Buy(id="1"))
        await hold.reached.wait()
        await cluster.clock.advance(OPTIONS.router.deadline_s + SWEEP_S)
        assert late.code == "unavailable"
    await settle()

    assert (await north.said(Buy(id="1"))).total == 1


# Another life of the actor.
async def test_after_passivation_the_reply_is_the_same(cluster: Cluster, north: Member) -> None:
    first = await north.said(Buy(id="1"))
    await cluster.clock.advance(OPTIONS.host.idle_s + 2 * SWEEP_S)
    assert "errand:a" not in north.node.host.activations

    assert await north.said(Buy(id="1")) == first
    assert shop(north).looks == 1


@pytest.mark.parametrize("fetched", [False, True], ids=["before it was fetched", "before the reply was saved"])
async def test_after_a_crash_the_ticket_is_redeemed_again_and_the_op_takes_effect_once(
    cluster: Cluster, pair: tuple[Member, Member], fetched: bool
) -> None:
    owner, other = pair
    if not fetched:
        shop(owner).open.clear()
    owner.ask(Buy(id="1"))
    await settle()
    cluster.crash(owner)
    await cluster.pass_lease()

    again = await other.said(Buy(id="1"))
    assert again == Bought(re="1", total=1, looked=f"{other.name}:1")
    assert await other.said(Buy(id="1")) == again
    assert (await other.said(Buy(id="2"))).total == 2


async def test_after_a_crash_a_saved_reply_is_given_as_it_was(cluster: Cluster, pair: tuple[Member, Member]) -> None:
    owner, other = pair
    first = await owner.said(Buy(id="1"))
    await owner.said(Buy(id="2"))  # its commit takes the reply along
    cluster.crash(owner)
    await cluster.pass_lease()

    assert await other.said(Buy(id="1")) == first
    assert shop(other).looks == 0


async def test_a_reply_that_is_fetched_twice_at_once_is_one(north: Member) -> None:
    """Whoever asks in between has it from the first, though the second fetch has found something else."""
    shop(north).open.clear()
    first = north.ask(Buy(id="1"))
    await settle()
    second = north.ask(Buy(id="1"))
    await settle()
    assert shop(north).looks == 2
    shop(north).open.set()
    await settle()

    assert first.reply == second.reply == await north.said(Buy(id="1"))


async def test_what_a_fetch_brings_to_an_actor_that_was_loaded_anew_is_kept_all_the_same(north: Member) -> None:
    shop(north).open.clear()
    slow = north.ask(Buy(id="1"))
    await settle()
    north.ask(Send(id="2", things=["mistake"]))  # a defect of what comes back: the actor is loaded again
    shop(north).open.set()
    await settle()

    assert slow.reply == await north.said(Buy(id="1"))
    assert shop(north).looks == 2


async def test_the_window_is_full_before_the_reply_is_there(north: Member) -> None:
    shop(north).open.clear()
    slow = north.ask(Buy(id="1"))
    others: list[Any] = [north.ask(Send(id=f"s-{n}", things=[])) for n in range(300)]
    await settle()
    shop(north).open.set()
    await settle()

    assert slow.reply.total == 1
    assert {ask.code for ask in others} == {"ok"}
