"""What a player can be sure of: one name, one inbox, and sessions that do not fight."""

import pytest
from msgspec import to_builtins

from actors.player import (
    LATE_MS,
    MAX_SESSIONS,
    NameNotAllowed,
    PlayerGet,
    PlayerLook,
    PlayerNotFound,
    PlayerRename,
    Profile,
    SessionClose,
    SessionOpen,
    SessionOpened,
    SessionSuperseded,
    profile,
    sessions,
)
from actors.runtime import Blueprint, CloseSession, RenameSession, SessionRef, ShareRates
from actors.standing import standing
from protocol import CloseCode
from tests.support.room import NOON, Room, tags


def player() -> Room:
    return Room([profile, sessions, standing], actor="player:ann")


def sign_in(
    room: Room,
    session: str = "s1",
    generation: str = "g1",
    *,
    resumes: str = "",
    name_hint: str = "",
    hello_ms: int = 0,
    node: str = "node1",
) -> SessionOpened:
    ref = SessionRef(session, node, generation)
    op = f"open {session} {generation}"
    reply = room.ask(
        SessionOpen(id=op, player="ann", session=ref, resumes=resumes, name_hint=name_hint, hello_ms=hello_ms)
    )
    assert isinstance(reply, SessionOpened)
    return reply


def sign_out(room: Room, session: str, generation: str) -> None:
    ref = SessionRef(session, "node1", generation)
    room.ask(SessionClose(id=f"close {session} {generation}", player="ann", session=ref))


def live(room: Room) -> dict[str, str]:
    """Session id to generation."""
    return {name: s.ref.generation for name, s in room.actor.states()["sessions"].live.items()}  # type: ignore[attr-defined]


def closed(room: Room) -> list[tuple[str, str, int]]:
    return [(c.to.session, c.to.generation, c.code) for c in room.effects_of(CloseSession)]


class TestSigningIn:
    def test_for_the_first_time_creates_the_profile(self) -> None:
        ann = player()

        reply = sign_in(ann)

        assert (reply.session, reply.name, reply.created) == ("s1", "ann", True)
        assert ann.state == Profile(name="ann", created_ms=NOON, seen_ms=NOON)
        assert "profile" in ann.commit().slices

    def test_again_writes_nothing(self) -> None:
        ann = player()
        sign_in(ann)
        ann.commit()

        reply = sign_in(ann, "s2")

        assert not reply.created
        assert ann.actor.draft.empty

    def test_takes_the_tokens_name_for_a_new_player_only(self) -> None:
        ann = player()

        assert sign_in(ann, name_hint="Ann of Ayr").name == "Ann of Ayr"
        assert sign_in(ann, "s2", name_hint="Somebody").name == "Ann of Ayr"

    def test_falls_back_to_the_id_when_the_tokens_name_is_unfit(self) -> None:
        assert sign_in(player(), name_hint="<b>").name == "ann"

    def test_again_with_the_same_connection_changes_nothing(self) -> None:
        ann = player()
        sign_in(ann)

        ann.ask(SessionOpen(id="repeated", player="ann", session=SessionRef("s1", "node1", "g1")))

        assert live(ann) == {"s1": "g1"}
        assert not closed(ann)

    def test_on_one_device_too_many_closes_the_oldest_session(self) -> None:
        ann = player()
        for n in range(MAX_SESSIONS + 1):
            sign_in(ann, f"s{n}")

        assert closed(ann) == [("s0", "g1", CloseCode.SIGNED_IN_ELSEWHERE)]
        assert list(live(ann)) == [f"s{n}" for n in range(1, MAX_SESSIONS + 1)]


class TestResuming:
    def test_a_live_session_closes_its_old_connection(self) -> None:
        ann = player()
        sign_in(ann, "s1", "g1")

        reply = sign_in(ann, "fresh", "g2", resumes="s1")

        assert reply.session == "s1"
        assert live(ann) == {"s1": "g2"}
        assert closed(ann) == [("s1", "g1", CloseCode.SIGNED_IN_ELSEWHERE)]

    def test_at_the_bound_costs_nobody_else_the_session(self) -> None:
        ann = player()
        for n in range(MAX_SESSIONS):
            sign_in(ann, f"s{n}")

        sign_in(ann, "fresh", "g2", resumes="s3")

        assert [session for session, _, _ in closed(ann)] == ["s3"]
        assert len(live(ann)) == MAX_SESSIONS

    def test_a_connection_that_was_given_up_and_is_late_does_not_cut_the_one_that_took_its_place(self) -> None:
        """Its sign-in was on the way to another node for a second. It closed the newer one with 4503, after which no
        client comes back by itself."""
        ann = player()
        sign_in(ann, "s1", "g1", hello_ms=NOON - 2_000)
        sign_in(ann, "fresh", "g3", resumes="s1", hello_ms=NOON)
        before = closed(ann)

        with pytest.raises(SessionSuperseded):
            sign_in(ann, "fresh too", "g2", resumes="s1", hello_ms=NOON - 1_000)

        assert live(ann) == {"s1": "g3"}
        assert closed(ann) == before

    def test_a_node_whose_clock_is_far_behind_takes_a_session_over_all_the_same(self) -> None:
        ann = player()
        sign_in(ann, "s1", "g1", hello_ms=NOON)

        assert sign_in(ann, "fresh", "g2", resumes="s1", hello_ms=NOON - LATE_MS).session == "s1"

    def test_a_session_that_is_gone_opens_the_proposed_one(self) -> None:
        ann = player()

        assert sign_in(ann, "fresh", resumes="long gone").session == "fresh"


class TestSigningOut:
    def test_ends_the_session(self) -> None:
        ann = player()
        sign_in(ann)

        sign_out(ann, "s1", "g1")

        assert live(ann) == {}

    def test_late_on_an_old_connection_does_not_hit_the_new_one(self) -> None:
        ann = player()
        sign_in(ann, "s1", "g1")
        sign_in(ann, "fresh", "g2", resumes="s1")

        sign_out(ann, "s1", "g1")

        assert live(ann) == {"s1": "g2"}

    def test_of_an_unknown_session_is_no_error(self) -> None:
        sign_out(player(), "never", "opened")


class TestTheProfile:
    def test_is_read_without_a_commit(self) -> None:
        ann = player()
        sign_in(ann)
        ann.commit()

        reply = ann.ask(PlayerGet(id="1"))

        assert to_builtins(reply) == {"t": "player.profile", "id": "ann", "name": "ann", "created_at": NOON}
        assert ann.actor.draft.empty

    def test_shows_others_the_name_alone(self) -> None:
        ann = player()
        sign_in(ann)

        reply = ann.ask(PlayerLook(id="1", player="ann"), caller="bo")

        assert to_builtins(reply) == {"t": "player.view", "id": "ann", "name": "ann"}

    def test_of_somebody_who_never_signed_in_is_not_found(self) -> None:
        with pytest.raises(PlayerNotFound):
            player().ask(PlayerLook(id="1", player="ann"), caller="bo")

    def test_greets_with_the_name(self) -> None:
        ann = player()
        sign_in(ann, name_hint="Ann of Ayr")

        assert to_builtins(ann.actor.greetings()) == {"profile": {"name": "Ann of Ayr"}, "standing": {"muted_until": 0}}

    def test_is_the_only_one_that_may_follow_its_inbox(self) -> None:
        may_read = profile.topics[""]

        assert may_read(Profile(), "ann", "player:ann")
        assert not may_read(Profile(), "bo", "player:ann")


class TestRenaming:
    def test_reaches_the_profile_the_inbox_and_every_session(self) -> None:
        ann = player()
        sign_in(ann, "s1")
        sign_in(ann, "s2")

        reply = ann.ask(PlayerRename(id="1", name="Ann the Bold"))

        assert reply.name == ann.state.name == "Ann the Bold"
        assert [(topic, tag) for (topic, _), tag in zip(ann.published, tags(ann.published), strict=True)] == [
            ("player:ann", "player.renamed")
        ]
        assert [(r.to.session, r.name) for r in ann.effects_of(RenameSession)] == [
            ("s1", "Ann the Bold"),
            ("s2", "Ann the Bold"),
        ]

    @pytest.mark.parametrize("name", ["ab", "x" * 25, " ann", "an  n", "<script>", "...", "a\nb\nc"])
    def test_refuses_what_is_not_fit_to_be_a_name(self, name: str) -> None:
        ann = player()
        sign_in(ann)

        with pytest.raises(NameNotAllowed):
            ann.ask(PlayerRename(id="1", name=name))

    def test_drops_what_nobody_sees(self) -> None:
        ann = player()
        sign_in(ann)

        assert ann.ask(PlayerRename(id="1", name="Ann\u202e")).name == "Ann"

    def test_to_the_present_name_says_nothing(self) -> None:
        ann = player()
        sign_in(ann)

        ann.ask(PlayerRename(id="1", name="ann"))

        assert not ann.published


class TestSharingRates:
    """A player may ask for as much as one, on however many nodes; the actor knows on how many."""

    def test_with_all_sessions_on_one_node_nobody_is_told_anything(self) -> None:
        ann = player()
        sign_in(ann, "s1")
        sign_in(ann, "s2", "g2")
        sign_out(ann, "s1", "g1")

        assert ann.effects_of(ShareRates) == []

    def test_each_node_is_told_when_there_is_another_and_when_there_is_not(self) -> None:
        ann = player()
        sign_in(ann, "s1")
        sign_in(ann, "s2", "g2", node="node2")
        assert shares(ann) == [("node1", 2), ("node2", 2)]

        sign_out(ann, "s1", "g1")
        assert shares(ann) == [("node2", 1)]

    def test_a_further_session_has_its_node_told_again(self) -> None:
        """The first word may have been lost."""
        ann = player()
        sign_in(ann, "s1")
        sign_in(ann, "s2", "g2", node="node2")
        shares(ann)

        sign_in(ann, "s3", "g3", node="node2")
        assert shares(ann) == [("node2", 2)]

    def test_a_session_that_goes_on_elsewhere_leaves_one_node(self) -> None:
        ann = player()
        sign_in(ann, "s1")
        sign_in(ann, "s2", "g2", node="node2", resumes="s1")

        assert shares(ann) == [("node2", 1)]


def shares(room: Room) -> list[tuple[str, int]]:
    """Which nodes were told of how many, since the last time."""
    told = [(share.to.node, share.among) for share in room.effects_of(ShareRates)]
    assert {share.player for share in room.effects_of(ShareRates)} <= {"ann"}
    room.effects.clear()
    return told


def test_a_sign_in_is_answered_with_where_the_inbox_stands_and_what_the_rooms_say() -> None:
    room = player()
    sign_in(room, "s1", "g1")
    room.ask(PlayerRename(id="r", name="Annabel"))

    inbox = sign_in(room, "s2", "g2").inbox

    assert inbox is not None
    assert (inbox.epoch, inbox.seq, inbox.floor) == ("e1", 1, 1)
    assert to_builtins(inbox.state) == {"profile": {"name": "Annabel"}, "standing": {"muted_until": 0}}


def test_only_the_servers_own_parts_open_and_close_sessions() -> None:
    blueprint = Blueprint([profile, sessions])

    assert {SessionOpen, SessionClose}.isdisjoint(blueprint.requests)
    assert {SessionOpen, SessionClose} <= set(blueprint.internal)
