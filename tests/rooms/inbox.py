"""Bo's inbox under test, in a topic that another room fills too."""

from typing import Any

from msgspec import Struct

from actors.mail import InboxDeliver, InboxList, InboxPage, InboxRead, MailGreeting, NoticeTold, mail
from actors.runtime import Context, Feature, TopicOpen
from protocol import Event, Tell
from storage import Snapshot
from tests.support.room import Room
from tests.support.talk import redeem

TOPIC = "player:bo"


class Noise(Tell, tag="test.noise", frozen=True, kw_only=True):
    """Has another room of the player publish ``times`` events."""

    times: int = 1


class NoiseMade(Event, tag="test.noise_made", frozen=True, kw_only=True):
    pass


class Silence(Struct):
    pass


noise = Feature(name="noise", actor="player", state=Silence, keep_events=1500)
"""Owns the topic, as the profile does, and publishes to it, as many rooms do."""
noise.publishes(NoiseMade)


@noise.readable("")
def may_read(_state: Silence, _player: str, _actor: str) -> bool:
    return True


@noise.hears(Noise)
def make_noise(ctx: Context, _state: Silence, msg: Noise) -> None:
    for _ in range(msg.times):
        ctx.publish(ctx.actor, NoiseMade())


def bo(snapshot: Snapshot | None = None) -> Room:
    return Room([mail, noise], actor=TOPIC, caller="bo", snapshot=snapshot)


def told(title: str = "Hello", **fields: Any) -> NoticeTold:
    return NoticeTold(**{"kind": "test.hello", "title": title, "body": "", **fields})


def send(room: Room, *titles: str, **fields: Any) -> None:
    for title in titles:
        room.hear(told(title, **fields), sender="guild:42")


def chatter(room: Room, times: int = 1) -> None:
    room.hear(Noise(times=times), sender="guild:7")


def deliver(room: Room, notice: str = "n1", **fields: Any) -> Any:
    asked = {"kind": "staff.gift", "title": "A gift", **fields}
    return room.ask(InboxDeliver(id=f"s{len(room.effects)}", player="bo", notice=notice, **asked), caller="server")


def page(room: Room, **asked: Any) -> InboxPage:
    given = redeem(room, room.ask(InboxList(id="l", **asked)))
    assert isinstance(given, InboxPage)
    return given


def titles(given: InboxPage) -> list[str]:
    return [notice.title for notice in given.notices]


def read(room: Room, upto: int) -> int:
    unread = room.ask(InboxRead(id=f"r{len(room.effects)}-{upto}-{room.now_ms}", upto=upto)).unread
    assert isinstance(unread, int)
    return unread


def greeting(room: Room) -> MailGreeting:
    found = room.ask(TopicOpen(id="o", topic=TOPIC, greet=True)).state["mail"]
    assert isinstance(found, MailGreeting)
    return found
