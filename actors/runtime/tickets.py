"""Queries: a turn checks the right to read and hands out a ticket; the answer comes from storage."""

from collections.abc import Sequence
from typing import Any, ClassVar

from msgspec import Struct

from storage import EventRange


class Ticket(Struct, frozen=True, kw_only=True, tag=True):
    """The right to one read of storage. Subclasses add what the answer needs besides."""

    kept: ClassVar[bool] = False
    """Whether the turn that hands it out has changed something: it is then kept under the op id until it is redeemed,
    by the actor's node, and its reply from then on. Redeeming it twice must do no harm."""


class EventTicket(Ticket, frozen=True, kw_only=True):
    """A stretch of a topic's log; ``answers`` gets the events, decoded, in rising order."""

    span: EventRange


class FetchTicket(Ticket, frozen=True, kw_only=True):
    """What an async function of the room answers (``Feature.fetches``): more than one read, or an index."""


class RowTicket(Ticket, frozen=True, kw_only=True):
    """One SELECT on a room's own tables; ``answers`` gets the rows."""

    sql: str
    values: Sequence[Any] = ()
