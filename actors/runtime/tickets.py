"""Queries: a turn checks the right to read and hands out a ticket; the answer comes from storage."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from storage import EventRange


class Ticket(Struct, frozen=True, kw_only=True, tag=True):
    """The right to one read of storage. Subclasses add what the answer needs besides."""


class EventTicket(Ticket, frozen=True, kw_only=True):
    """A stretch of a topic's log; ``answers`` gets the events, decoded, in rising order."""

    span: EventRange


class RowTicket(Ticket, frozen=True, kw_only=True):
    """One SELECT on a room's own tables; ``answers`` gets the rows."""

    sql: str
    values: Sequence[Any] = ()
