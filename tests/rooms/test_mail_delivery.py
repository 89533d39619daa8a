"""What the server's own parts are promised: a notice is delivered once for its key, and only what fits."""

from typing import Any

import pytest

from actors.mail import (
    BODY_LIMIT,
    DATA_BYTES,
    KEYS_FOR_MS,
    KEYS_KEPT,
    TITLE_LIMIT,
    Inbox,
    InboxDeliver,
    InboxNotice,
    NoticeExpired,
    mail,
)
from actors.runtime import Blueprint
from protocol import IdReused, Invalid
from tests.rooms.inbox import bo, chatter, deliver
from tests.support.room import NOON, tags


class TestADelivery:
    def test_by_the_servers_own_parts_is_answered_with_its_place(self) -> None:
        room = bo()

        given = deliver(room, body="Sorry for the trouble", data={"item": "potion"})

        assert (given.seq, given.at) == (1, NOON)
        [(_, notice)] = room.published
        assert isinstance(notice, InboxNotice)
        assert (notice.kind, notice.title, notice.data) == ("staff.gift", "A gift", {"item": "potion"})

    def test_is_made_once_for_its_key(self) -> None:
        room = bo()
        first = deliver(room)
        room.now_ms += 1000
        chatter(room)
        room.commit()

        assert deliver(room) == first

        assert tags(room.published).count("inbox.notice") == 1
        assert room.actor.draft.empty

    def test_sent_again_after_it_has_expired_is_still_that_delivery(self) -> None:
        room = bo()
        first = deliver(room, expires_ms=NOON + 10)
        room.now_ms += 20

        assert deliver(room, expires_ms=NOON + 10) == first

    def test_of_another_notice_under_the_same_key_is_refused(self) -> None:
        room = bo()
        deliver(room)

        with pytest.raises(IdReused):
            deliver(room, title="Another gift")

        assert tags(room.published) == ["inbox.notice"]

    def test_is_remembered_for_a_day(self) -> None:
        room = bo()
        first = deliver(room)
        room.now_ms += KEYS_FOR_MS - 1
        assert deliver(room) == first

        room.now_ms += 1
        assert deliver(room).seq == 2
        assert list(room.state.delivered) == ["n1"]

    def test_is_forgotten_first_when_there_are_too_many(self) -> None:
        room = bo()
        for n in range(KEYS_KEPT + 2):
            deliver(room, f"n{n}")

        assert list(room.state.delivered) == [f"n{n}" for n in range(2, KEYS_KEPT + 2)]
        assert deliver(room, "n2").seq == 3

    def test_that_nobody_could_read_in_time_is_refused(self) -> None:
        room = bo()

        with pytest.raises(NoticeExpired) as refusal:
            deliver(room, expires_ms=NOON)

        assert (refusal.value.code, refusal.value.retry) == ("inbox.expired", "never")
        assert not room.state.delivered

    @pytest.mark.parametrize(
        "fields",
        [
            {"title": ""},
            {"title": "\u202e"},
            {"title": "t" * (TITLE_LIMIT + 1)},
            {"body": "b" * (BODY_LIMIT + 1)},
            {"kind": ""},
            {"kind": "a b"},
            {"notice": ""},
            {"notice": "n" * 65},
            {"data": {"text": "x" * DATA_BYTES}},
            {"data": {"list": [0] * 300}},
            {"data": {"number": float("nan")}},
            {"expires_ms": -1},
        ],
        ids=str,
    )
    def test_out_of_bounds_is_refused_and_changes_nothing(self, fields: dict[str, Any]) -> None:
        room = bo()

        with pytest.raises(Invalid):
            deliver(room, **fields)

        assert not room.published
        assert room.state == Inbox()

    def test_is_cleaned_as_what_players_type(self) -> None:
        room = bo()

        deliver(room, title="A\u202e gift")

        notice = room.published[0][1]
        assert isinstance(notice, InboxNotice)
        assert notice.title == "A gift"

    def test_is_not_for_clients_to_ask(self) -> None:
        blueprint = Blueprint([mail])

        assert InboxDeliver not in blueprint.requests
        assert InboxDeliver in blueprint.internal
