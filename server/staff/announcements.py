"""Announcements: make, look at, cancel."""

from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, QueryParameter
from msgspec import Meta, Struct

from actors.broadcasts import (
    AnnouncementCancel,
    AnnouncementCancelled,
    AnnouncementInPast,
    AnnouncementMade,
    AnnouncementMake,
    AnnouncementNotFound,
    AnnouncementOver,
    Audience,
    Texts,
    TimeMs,
    Titles,
    TooManyAnnouncements,
)
from actors.broadcasts import Body as Announced
from protocol import settled
from server.staff.access import Endpoints
from server.staff.changes import Changes
from server.staff.desk import Desk
from server.staff.inputs import Announcement, Asked, Limit

Before = Annotated[
    int | None,
    QueryParameter(ge=1, le=2**53, description="Only those made before, in milliseconds since the Unix epoch."),
]
_COLUMNS = "id, state, made_ms, at_ms, expires_ms, sent, reached, readers, body"
_decode = msgspec.msgpack.Decoder(Announced).decode


class AudienceOrder(Audience, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom it is for: who has signed in before, and meets all that is named here."""

    def audience(self) -> Audience:
        """As it is kept."""
        return msgspec.convert(self, Audience, from_attributes=True)


class AnnouncementOrder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An announcement, in one language or several."""

    text: Annotated[Texts, Meta(description="By locale, e.g. `en`, `pt-BR`; who has another one gets the nearest.")]
    title: Annotated[Titles | None, Meta(description="By locale; of the notice, where there is an audience.")] = None
    data: Annotated[dict[str, Any] | None, Meta(description="The game's own; at most 4 KiB.")] = None
    audience: Annotated[AudienceOrder | None, Meta(description="Not given: everybody.")] = None
    at: Annotated[TimeMs | None, Meta(description="When; not given: now. Milliseconds since the Unix epoch.")] = None
    expires_at: Annotated[TimeMs | None, Meta(description="Not given: a week later.")] = None


class AnnouncementShown(Struct, frozen=True, kw_only=True):
    """An announcement. ``state``: scheduled, live, sending, sent, cancelled or over.

    ``reached`` counts sessions, or the players of an audience whose inboxes have it; ``read`` players.
    """

    announcement: str
    state: str
    made_at: int
    at: int
    expires_at: int
    reached: int
    read: int
    text: dict[str, str]
    title: dict[str, str] | None
    data: dict[str, Any] | None
    audience: Audience | None


class AnnouncementList(Struct, frozen=True):
    """The newest first."""

    announcements: list[AnnouncementShown]


def announcement_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/announcements``."""

    @at.change("POST", "/v1/announcements", "announcements.write", AnnouncementInPast, TooManyAnnouncements)
    async def make(data: Annotated[AnnouncementOrder, Body()], request: Asked) -> Response[AnnouncementMade]:
        """Announce now or later, to everybody or to an audience."""
        order = settled(data)
        return await changes.run(
            request,
            lambda id_, by: AnnouncementMake(
                id=id_,
                text=order.text,
                title=order.title,
                data=order.data,
                audience=order.audience.audience() if order.audience else None,
                at=order.at,
                expires_at=order.expires_at,
                by=by,
            ),
        )

    @at.show("/v1/announcements", "announcements.read")
    async def list_them(before: Before = None, limit: Limit = 50) -> AnnouncementList:
        """List announcements, the newest first."""
        rows = await desk.select(
            f"SELECT {_COLUMNS} FROM announcements WHERE made_ms < ? ORDER BY made_ms DESC, id DESC LIMIT ?",  # noqa: S608
            (before or 2**53, limit),
        )
        return AnnouncementList([_shown(row) for row in rows])

    @at.show("/v1/announcements/{announcement:str}", "announcements.read", AnnouncementNotFound)
    async def show(announcement: Announcement) -> AnnouncementShown:
        """Show an announcement, with how many it has reached and how many have read it."""
        rows = await desk.select(f"SELECT {_COLUMNS} FROM announcements WHERE id = ?", (announcement,))  # noqa: S608
        if not rows:
            raise AnnouncementNotFound(f"no announcement {announcement}")
        return _shown(rows[0])

    @at.change(
        "DELETE",
        "/v1/announcements/{announcement:str}",
        "announcements.write",
        AnnouncementNotFound,
        AnnouncementOver,
    )
    async def cancel(announcement: Announcement, request: Asked) -> Response[AnnouncementCancelled]:
        """Cancel an announcement, before or while it is told. What is in inboxes stays there."""
        again = await changes.again(request)
        if again is not None:
            return again
        if not await desk.select("SELECT id FROM announcements WHERE id = ?", (announcement,)):
            raise AnnouncementNotFound(f"no announcement {announcement}")
        return await changes.run(request, lambda id_, by: AnnouncementCancel(id=id_, announcement=announcement, by=by))

    return [make, list_them, show, cancel]


def _shown(row: tuple[Any, ...]) -> AnnouncementShown:
    announcement, state, made_ms, at_ms, expires_ms, sent, reached, readers, packed = row
    body = _decode(bytes(packed))
    return AnnouncementShown(
        announcement=announcement,
        state=state,
        made_at=made_ms,
        at=at_ms,
        expires_at=expires_ms,
        reached=max(sent, reached),
        read=readers,
        text=body.texts,
        title=body.titles,
        data=body.data,
        audience=body.audience,
    )
