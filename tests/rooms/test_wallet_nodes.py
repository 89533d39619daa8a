"""A gift between players on two nodes, one of which dies at the worst moment: it arrives once, and is answered."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from actors.player import SessionOpen
from actors.runtime import SessionRef
from actors.wallet import WalletGet, WalletGive, WalletGiven, WalletGrant
from server.features import FEATURES
from tests.rooms.purses import by
from tests.support.clock import settle
from tests.support.cluster import Cluster, Member

GIFT = WalletGive(id="a1-1", to="bo", currency="gold", amount=30)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Ann, who has 100 gold, on north; Bo on south."""
    async with Cluster(FEATURES).running() as running:
        north, south = await running.start("north"), await running.start("south")
        for member, player in ((north, "ann"), (south, "bo")):
            await sign_in(member, player)
        grant = WalletGrant(id="g", player="ann", currency="gold", amount=100, reason="r", by=by("g"))
        await north.said(grant, "server:")
        yield running


async def sign_in(member: Member, player: str) -> None:
    session = SessionRef(f"s-{player}", member.name, f"g-{player}")
    member.players.add(player)
    await member.said(SessionOpen(id=f"{member.name}-{player}", player=player, session=session), player)


async def balances(member: Member) -> tuple[int, int]:
    shown = [await member.said(WalletGet(id=f"w-{player}"), player) for player in ("ann", "bo")]
    assert [each.sending for each in shown] == [[], []]
    return shown[0].balances.get("gold", 0), shown[1].balances.get("gold", 0)


def entered(cluster: Cluster) -> list[tuple[str, int]]:
    rows = cluster.store._db.execute("SELECT player, delta FROM wallet_ledger ORDER BY player, number")
    return list(rows.fetchall())


async def test_a_gift_crosses_from_node_to_node(cluster: Cluster) -> None:
    given = await cluster.members["north"].said(GIFT)

    assert isinstance(given, WalletGiven)
    assert await balances(cluster.members["south"]) == (70, 30)


@pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("moment", ["debit", "credit", "answer"])
async def test_a_gift_survives_the_node_that_dies_around_a_commit_of_it(
    cluster: Cluster, moment: str, applied: bool
) -> None:
    north, south = cluster.members["north"], cluster.members["south"]
    dying, other = (south, north) if moment == "credit" else (north, south)
    with ExitStack() as holds:
        first = holds.enter_context((south if moment == "answer" else dying).store.holding("commit", applied=applied))
        north.ask(GIFT)
        await first.reached.wait()
        if moment == "answer":
            second = holds.enter_context(north.store.holding("commit", applied=applied))
            first.over.set()
            await second.reached.wait()
        cluster.crash(dying)
    await cluster.pass_lease()

    again = other.ask(GIFT)
    await cluster.clock.advance(10)
    await settle()
    assert isinstance(again.reply, WalletGiven)
    assert await balances(other) == (70, 30)
    assert entered(cluster) == [("ann", 100), ("ann", -30), ("bo", 30)]


async def test_a_gift_to_who_was_never_here_comes_back(cluster: Cluster) -> None:
    north = cluster.members["north"]
    asked = north.ask(WalletGive(id="a1-2", to="nobody", currency="gold", amount=30))
    await settle()

    assert asked.reply.code == "player.not_found"
    assert await balances(north) == (100, 0)
    assert entered(cluster) == [("ann", 100), ("ann", -30), ("ann", 30)]
