"""What a guild and a player's seat tell each other. Nobody else sends or hears these.

``attempt`` numbers a player's tries to get a seat, in this or any guild, from 1. A member keeps the attempt that was
admitted as ``stint``: a late word about an earlier stay in the same guild hits nothing.

    player:ann                          guild:42
    guild.create   ── Open ──────────→  founds, or the name is taken
    guild.join     ── Admit ─────────→  decides
                   ←── Admitted / NotAdmitted
    guild.leave    ── Resign ────────→  removes
                   ←── Vacated          (also after a kick, a ban, a disbanding)
                   ←── SeatOffered      an application was accepted
                   ── Admit / SeatDeclined ──→
                   ←── Invited, InviteWithdrawn
                   ── InviteRejected ──→
"""

from actors.guild.errors import Refusal
from actors.guild.terms import LeaveReason, Mode
from protocol import Tell


# To the guild.
class Open(Tell, tag="guild.open_new", frozen=True, kw_only=True):
    """Found the guild with the sender as its leader; ``player_name`` is how the player is shown."""

    attempt: int
    player_name: str
    name: str
    tag: str
    mode: Mode
    description: str


class Admit(Tell, tag="guild.admit", frozen=True, kw_only=True):
    """The sender asks to be a member and has reserved the seat. ``player_name`` is empty after an offer."""

    attempt: int
    player_name: str = ""


class Resign(Tell, tag="guild.resign", frozen=True, kw_only=True):
    """The sender leaves, or does not hold the seat that ``stint`` stands for."""

    stint: int


class SeatDeclined(Tell, tag="guild.seat_declined", frozen=True, kw_only=True):
    """The sender has a seat already: the application is void."""


class InviteRejected(Tell, tag="guild.invite_turned_down", frozen=True, kw_only=True):
    """The sender does not want the invitation made at ``made_ms``."""

    made_ms: int


class ExpiryDue(Tell, tag="guild.expiry_due", frozen=True, kw_only=True):
    """Timer: an invitation or application has run out."""


# To the player.
class Admitted(Tell, tag="seat.admitted", frozen=True, kw_only=True):
    """The sender has taken the player in; ``name`` is the guild's."""

    attempt: int
    name: str


class NotAdmitted(Tell, tag="seat.not_admitted", frozen=True, kw_only=True):
    """The sender has not taken the player in."""

    attempt: int
    why: Refusal


class Vacated(Tell, tag="seat.vacated", frozen=True, kw_only=True):
    """The player is no longer a member of the sender."""

    stint: int
    reason: LeaveReason


class SeatOffered(Tell, tag="seat.offered", frozen=True, kw_only=True):
    """The sender has accepted the player's application."""


class Invited(Tell, tag="seat.invited", frozen=True, kw_only=True):
    """The sender, a guild called ``name``, invites the player."""

    name: str
    by: str
    made_ms: int
    expires_ms: int


class InviteWithdrawn(Tell, tag="seat.invite_withdrawn", frozen=True, kw_only=True):
    """The sender's invitation is void."""
