"""A guild under test: every action is checked to leave watchers with the view that they would be given afresh."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from actors.chat import channels, chat
from actors.guild import (
    Admit,
    GuildAccept,
    GuildApply,
    GuildBan,
    GuildDecline,
    GuildDemote,
    GuildDisband,
    GuildEdit,
    GuildGet,
    GuildInvite,
    GuildKick,
    GuildPromote,
    GuildRevokeInvite,
    GuildSetMotd,
    GuildSetPermissions,
    GuildTransfer,
    GuildUnban,
    GuildView,
    GuildWatch,
    NotAdmitted,
    Open,
    apply,
    guild,
    seat,
    view_of,
)
from actors.runtime.context import Publish
from protocol import Event, GuildhallError, Request, Tell, tag_of
from tests.support.room import Room, tags

GUILD = "guild:42"


class Hall:
    """Guild 42. ``ask`` and ``hear`` run a turn and hold it to the rule: old view plus events equals fresh view."""

    def __init__(self) -> None:
        self.room = Room([guild, chat, channels, seat], actor=GUILD)
        self._ops = 0

    @property
    def roster(self) -> Any:
        return self.room.state

    @property
    def view(self) -> GuildView:
        return view_of(self.room.state, "42")

    @property
    def chatters(self) -> list[str]:
        """Who belongs to the guild's conversation."""
        return list(self.room.actor.states()["chat"].members)  # type: ignore[attr-defined]

    def ask(self, request: type[Request[Any]], caller: str, /, **fields: Any) -> Any:
        """The reply of a new request to guild 42."""
        self._ops += 1
        before = self._watch()
        make: Any = request
        reply = self.room.ask(make(id=f"op-{self._ops}", guild="42", **fields), caller=caller, name=caller.title())
        self._catch_up(*before)
        return reply

    def hear(self, player: str, tell: Tell, refused: type[GuildhallError] | None = None) -> list[Tell]:
        """What ``player`` is told back."""
        before = self._watch()
        told = len(self.room.told)
        self.room.hear(tell, sender=f"player:{player}", refused=refused)
        self._catch_up(*before)
        return [tell for to, tell in self.room.told[told:] if to == f"player:{player}"]

    def pass_time(self, seconds: float) -> None:
        before = self._watch()
        self.room.pass_time(seconds)
        self._catch_up(*before)

    def told(self, player: str) -> list[Tell]:
        """Everything that the seat of ``player`` has been told so far; what the conversation tells left out."""
        mine = [tell for to, tell in self.room.told if to == f"player:{player}"]
        return [tell for tell in mine if tag_of(tell).startswith("seat.")]

    def heard_by(self, player: str, request: type[Request[Any]], caller: str, /, **fields: Any) -> list[Tell]:
        """What the seat of ``player`` is told by a request of ``caller``."""
        before = len(self.told(player))
        self.ask(request, caller, **fields)
        return self.told(player)[before:]

    @property
    def events(self) -> list[Event]:
        """Everything published on the guild's topic."""
        return [event for topic, event in self.room.published if topic == GUILD]

    @property
    def tags(self) -> list[str]:
        return [tag.removeprefix("guild.") for tag in tags([(GUILD, event) for event in self.events])]

    def ends(self, topic: str = GUILD) -> list[str]:
        """Players whose subscriptions to ``topic`` were ended, in order."""
        return [p.ends for p in self.room.effects_of(Publish) if p.topic == topic and p.ends]

    def _watch(self) -> tuple[GuildView, int]:
        return deepcopy(self.view), len(self.events)

    def _catch_up(self, stale: GuildView, seen: int) -> None:
        for event in self.events[seen:]:
            apply(stale, event)  # type: ignore[arg-type]
        assert stale == self.view, f"watchers see {stale}, the guild is {self.view}"


def founded(*members: str, officers: Iterable[str] = (), mode: str = "open") -> Hall:
    """Guild 42, led by ann, with ``members`` in the order of joining; ``officers`` among them."""
    hall = Hall()
    hall.hear("ann", opening(mode=mode))
    hall.roster.mode = "open"
    for player in members:
        hall.hear(player, Admit(attempt=1, player_name=player.title()))
    for player in officers:
        hall.roster.members[player].role = "officer"
    hall.roster.mode = mode
    return hall


def opening(*, attempt: int = 1, name: str = "Iron Wolves", mode: Any = "open") -> Open:
    """Ann's tell that founds a guild."""
    return Open(attempt=attempt, player_name="Ann", name=name, tag="IW", mode=mode, description="We howl.")


def admit(attempt: int = 1, name: str = "Bo") -> Admit:
    """A player's tell that asks to be a member."""
    return Admit(attempt=attempt, player_name=name)


def refused(why: Any, attempt: int = 1) -> list[NotAdmitted]:
    """What a player who is not admitted is told."""
    return [NotAdmitted(attempt=attempt, why=why)]


ASKED_OF_OFFICERS: list[tuple[type[Request[Any]], str, dict[str, Any]]] = [
    (GuildAccept, "ann", {"player": "bo"}),
    (GuildDecline, "ann", {"player": "bo"}),
    (GuildInvite, "ann", {"player": "di"}),
    (GuildRevokeInvite, "ann", {"player": "di"}),
    (GuildPromote, "ann", {"player": "bo"}),
    (GuildDemote, "ann", {"player": "bo"}),
    (GuildTransfer, "ann", {"player": "bo"}),
    (GuildKick, "ann", {"player": "bo"}),
    (GuildBan, "ann", {"player": "di"}),
    (GuildUnban, "ann", {"player": "di"}),
    (GuildSetPermissions, "ann", {"role": "member", "permissions": ["kick"]}),
    (GuildSetMotd, "ann", {"motd": "x"}),
    (GuildEdit, "ann", {"mode": "open"}),
    (GuildDisband, "ann", {}),
]
ASKED: list[tuple[type[Request[Any]], str, dict[str, Any]]] = [
    *ASKED_OF_OFFICERS,
    (GuildGet, "cy", {}),
    (GuildWatch, "ann", {}),
    (GuildApply, "cy", {}),
]
