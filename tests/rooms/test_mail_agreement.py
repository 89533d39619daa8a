"""State and events of the inbox agree: a client that counts what it is told counts right."""

from random import Random

import pytest

import actors.mail
from actors.mail import KEPT_FOR_MS, InboxNotice, InboxSeen, MailGreeting
from protocol import Event
from tests.rooms.inbox import TOPIC, bo, chatter, deliver, greeting, page, read, send
from tests.support.room import Room


class View:
    """An inbox as a client keeps it: from the welcome and the list at first, then from events alone."""

    def __init__(self, room: Room) -> None:
        self.read = greeting(room).read
        self.notices = everything(room)

    def apply(self, event: Event) -> None:
        if isinstance(event, InboxNotice):
            self.notices.append(event)
        elif isinstance(event, InboxSeen):
            self.read = event.upto

    def standing(self, now_ms: int) -> list[InboxNotice]:
        """What the docstring of ``InboxNotice`` says."""
        ends = [min((n.at or 0) + KEPT_FOR_MS, n.expires_at or now_ms + 1) for n in self.notices]
        self.notices = [n for n, end in zip(self.notices, ends, strict=True) if end > now_ms][-actors.mail.KEPT :]
        return self.notices

    def unread(self, now_ms: int) -> int:
        return sum((notice.seq or 0) > self.read for notice in self.standing(now_ms))


def everything(room: Room) -> list[InboxNotice]:
    """All pages, oldest first."""
    found: list[InboxNotice] = []
    given = page(room, limit=3)
    while True:
        found[:0] = given.notices
        if not given.more:
            return found
        given = page(room, limit=3, before=found[0].seq)


def something_happens(room: Room, random: Random, n: int) -> None:
    """Any of what may happen to an inbox."""
    match random.randrange(8):
        case 0 | 1:
            expires_ms = room.now_ms + random.randrange(1, 20) if random.random() < 0.5 else None
            send(room, str(n), expires_ms=expires_ms)
        case 2:
            deliver(room, f"n{random.randrange(30)}", kind="a")
        case 3:
            chatter(room, random.randrange(1, 4))
        case 4:
            read(room, random.randint(0, room.actor.position_of(TOPIC).seq))
        case 5:
            send(room, "late", expires_ms=room.now_ms)
        case 6:
            room.now_ms += random.randrange(8)
        case _:
            room.now_ms += random.choice([0, 0, 0, KEPT_FOR_MS // 4])


@pytest.mark.parametrize("seed", range(20))
def test_an_old_view_and_the_events_since_are_the_fresh_view(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The naive count of a client that knows events alone is the welcome's, the list's and every reply's."""
    monkeypatch.setattr(actors.mail, "KEPT", 7)
    random = Random(seed)
    room = bo()
    view, applied = View(room), 0
    for n in range(120):
        something_happens(room, random, n)
        for _, event in room.published[applied:]:
            view.apply(event)
            assert not isinstance(event, InboxSeen) or event.unread == view.unread(room.now_ms)
            view.standing(event.at or 0)
        applied = len(room.published)

        assert greeting(room) == MailGreeting(unread=view.unread(room.now_ms), read=view.read)
        if n % 10 == 0:
            assert everything(room) == view.standing(room.now_ms)
            assert page(room).unread == view.unread(room.now_ms)
