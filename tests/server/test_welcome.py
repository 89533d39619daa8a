"""What a welcome says of topics, and that nothing falls between what it says and what comes after it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from actors.mail import InboxDeliver
from actors.player import SessionOpened
from actors.runtime import SERVER, Answer
from actors.runtime.answer import Deliver, nobody
from actors.runtime.router import Router
from protocol import Request
from tests.fuzz.house import Guest, House, house
from tests.support.clock import settle


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as made:
        yield made


class OlderOwners:
    """A router whose players' actors are on nodes of a release that said nothing of the inbox at a sign-in."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def ask(self, request: Request[Any], caller: Any, deliver: Deliver) -> None:
        def told(answer: Answer) -> None:
            if isinstance(answer.reply, SessionOpened):
                answer.reply = structs.replace(answer.reply, inbox=None)
            deliver(answer)

        self._router.ask(request, caller, told)


def notice(home: House, name: str) -> None:
    told = InboxDeliver(id=name, player="ann", notice=name, kind="staff.gift", title=name)
    home.member.node.router.ask(told, SERVER, nobody)


async def welcomed(home: House, **hello: Any) -> list[dict[str, Any]]:
    """All that a client hears from its hello on."""
    guest = Guest(home)
    guest.line.feed(guest.frame({"t": "hello", "id": "h", "token": "dev:ann", **hello}))
    await settle()
    return guest.heard()


async def test_what_is_told_while_a_player_signs_in_follows_the_welcome_without_a_gap(home: House) -> None:
    guest = Guest(home)
    notice(home, "before")
    guest.line.feed(guest.frame({"t": "hello", "id": "h", "token": "dev:ann"}))
    notice(home, "meanwhile")
    await settle()

    welcome, event = guest.heard()

    assert (welcome["t"], welcome["topics"]["player:ann"]["seq"]) == ("welcome", 1)
    assert (event["title"], event["seq"]) == ("meanwhile", 2)


async def test_a_resumed_inbox_goes_on_after_its_cursor(home: House) -> None:
    (first,) = await welcomed(home)
    epoch = first["topics"]["player:ann"]["epoch"]
    for name in ("one", "two"):
        notice(home, name)
    await settle()

    welcome, *events = await welcomed(home, resume={"session": "gone", "cursors": {"player:ann": [epoch, 1]}})

    assert welcome["topics"]["player:ann"] == {"epoch": epoch, "seq": 2, "status": "resumed"}
    assert [event["title"] for event in events] == ["two"]


async def test_a_player_whose_actor_is_on_a_node_of_an_older_release_is_told_the_same(home: House) -> None:
    notice(home, "waits")
    (ours,) = await welcomed(home)
    welcomer = home.gateway._parts.welcomer
    welcomer.router = OlderOwners(welcomer.router)  # type: ignore[assignment]

    (theirs,) = await welcomed(home)

    assert {**theirs, "session": ""} == {**ours, "session": ""}


@pytest.mark.parametrize("cursors", [{}, {"guild:1": ["e", 1]}], ids=["own topics", "one more"])
async def test_a_player_who_leaves_leaves_no_topic_behind(home: House, cursors: dict[str, Any]) -> None:
    guest = await home.guest("ann", resume={"session": "gone", "cursors": cursors})
    hub = home.member.node.hub
    assert hub.place("player:ann") is not None

    guest.line.end()
    await settle()

    assert hub.place("player:ann") is None
