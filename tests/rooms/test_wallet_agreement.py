"""Nothing given is lost, doubled or overdrawn, whatever dies half-way and in whatever order it is heard."""

from collections import Counter, defaultdict
from typing import Any

import pytest

from actors.runtime import Feature
from actors.wallet import WalletChanged, WalletGet, WalletGiftSettled, WalletGive, WalletGrant
from protocol import Event
from tests.rooms.purses import PLAYER_ROOM, by
from tests.support.post import PostOffice
from tests.support.room import NOON, Room

ROOMS: dict[str, list[Feature[Any]]] = {"player": PLAYER_ROOM}
PLAYERS = ["ann", "bo", "cy"]
NOBODY = "nobody"


def office(seed: int) -> PostOffice:
    """Three players with 100 gold each, and an id that never signed in."""
    post = PostOffice(ROOMS, seed, unique={"wallet_ledger": "entry", "audit": "op"})
    for player in PLAYERS:
        room = post.room(f"player:{player}")
        room.actor.states()["profile"].created_ms = NOON  # type: ignore[attr-defined]
        room.actor.draft.dirty["profile"] = room.actor._slot(room.actor.kind.features["profile"])
        request = WalletGrant(id=f"g-{player}", player=player, currency="gold", amount=100, reason="r", by=by(player))
        post.ask(request, caller="server:")
        post.commit(f"player:{player}")
    return post


def assert_nothing_is_lost(post: PostOffice) -> None:
    """Once nothing is under way: the sum is what was granted, and slice and ledger agree."""
    sums: dict[str, int] = defaultdict(int)
    numbers: dict[str, list[int]] = defaultdict(list)
    gifts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in post.tables["wallet_ledger"].values():
        sums[row["player"]] += row["delta"]
        numbers[row["player"]].append(row["number"])
        if row["gift"]:
            gifts[row["gift"]][row["reason"]] += 1
    for player, room in post.actors("player"):
        purse = room.actor.states()["wallet"]
        assert purse.sending == {}, f"{player} waits for ever"  # type: ignore[attr-defined]
        assert purse.balances.get("gold", 0) == sums[player] >= 0  # type: ignore[attr-defined]
        assert sorted(numbers[player]) == list(range(1, purse.entries + 1))  # type: ignore[attr-defined]
    assert sum(sums.values()) == 100 * len(PLAYERS)
    for reasons in gifts.values():
        assert reasons in ({"gift_sent": 1, "gift_received": 1}, {"gift_sent": 1, "gift_returned": 1})


@pytest.mark.parametrize("seed", range(40))
def test_no_gift_is_lost_or_doubled_whatever_dies_half_way(seed: int) -> None:
    post = office(seed)
    for n in range(150):
        giver, to = post.random.choice(PLAYERS), post.random.choice([*PLAYERS, *PLAYERS, NOBODY])
        amount = post.random.randrange(1, 80)
        post.ask(WalletGive(id=f"op{n}", to=to, currency="gold", amount=amount), caller=giver)
        for _ in range(post.random.randrange(4)):
            post.step()
        if post.random.random() < 0.2:
            post.crash_one()
        for _, room in post.actors("player"):
            assert all(balance >= 0 for balance in room.actor.states()["wallet"].balances.values())  # type: ignore[attr-defined]
    post.settle()

    assert_nothing_is_lost(post)
    for player in PLAYERS:
        gifts = [op for op in post.ops(f"player:{player}") if op.op.startswith("op")]
        assert all(op.reply is not None for op in gifts), "a gift was kept and never answered"


@pytest.mark.parametrize("seed", range(10))
def test_a_gift_to_nobody_is_back_and_refused_in_the_end(seed: int) -> None:
    post = office(seed)
    post.ask(WalletGive(id="lost", to=NOBODY, currency="gold", amount=100), caller="ann")
    post.commit("player:ann")
    for _ in range(seed):
        post.step()
        post.crash_one()
    post.settle()

    assert post.room("player:ann").state.balances == {"gold": 100}
    assert post.answers["ann", "lost"].code == "player.not_found"  # type: ignore[attr-defined]


class View:
    """A wallet as a client keeps it: from ``wallet.get`` at first, then from events alone."""

    def __init__(self, room: Room) -> None:
        shown = room.ask(WalletGet(id="w"))
        self.balances: dict[str, int] = dict(shown.balances)
        self.sending: set[str] = {gift.gift for gift in shown.sending}

    def apply(self, event: Event) -> None:
        if isinstance(event, WalletChanged):
            self.balances[event.currency] = event.balance
            if event.reason == "gift_sent" and event.gift:
                self.sending.add(event.gift)
        elif isinstance(event, WalletGiftSettled):
            self.sending.discard(event.gift)


@pytest.mark.parametrize("seed", range(10))
def test_an_old_view_and_the_events_since_are_the_fresh_view(seed: int) -> None:
    post = office(seed)
    rooms = {player: post.room(f"player:{player}") for player in PLAYERS}
    views = {player: View(room) for player, room in rooms.items()}
    seen = {player: len(room.published) for player, room in rooms.items()}
    for n in range(60):
        giver, to = post.random.choice(PLAYERS), post.random.choice([*PLAYERS, NOBODY])
        post.ask(WalletGive(id=f"op{n}", to=to, currency="gold", amount=post.random.randrange(1, 50)), caller=giver)
        post.step()
        for player, room in rooms.items():
            for _, event in room.published[seen[player] :]:
                views[player].apply(event)
            seen[player] = len(room.published)
            fresh = View(room)
            assert (views[player].balances, views[player].sending) == (fresh.balances, fresh.sending)
