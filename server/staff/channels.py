"""Channels: what was said, and the removal of a line."""

from typing import Annotated

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from actors.chat import ChatErase, ChatErased, ChatMessage, NoSuchMessage, NothingStored
from server.staff.access import Endpoints
from server.staff.changes import Changes
from server.staff.desk import Desk
from server.staff.inputs import Asked, Channel, Limit, Seq
from storage import EventRange, EventRow

Before = Annotated[int | None, QueryParameter(ge=1, le=2**53, description="Only lines with a lower `seq`.")]
_decode = msgspec.msgpack.Decoder(ChatMessage).decode


class ChannelShown(Struct, frozen=True, kw_only=True):
    """Lines, oldest first. With ``more``, ``next_before`` is the next page's ``before``."""

    channel: str
    messages: list[ChatMessage]
    more: bool
    next_before: int | None = None


def channel_routes(at: Endpoints, desk: Desk, changes: Changes) -> list[HTTPRouteHandler]:
    """``/v1/channels``."""

    @at.show("/v1/channels/{channel:str}", "channels.read", NothingStored)
    async def show(channel: Channel, before: Before = None, limit: Limit = 50) -> ChannelShown:
        """Show the newest lines of a channel; one that nobody has written to is empty."""
        name = _stored(channel)
        rows = await desk.read_events(EventRange(topic=f"chat:{name}", before=before, limit=limit, newest=True))
        more = len(rows) == limit and rows[0].seq > 1
        lines = [line for row in rows if (line := _line(row)) is not None]
        return ChannelShown(channel=name, messages=lines, more=more, next_before=rows[0].seq if more else None)

    @at.change(
        "DELETE", "/v1/channels/{channel:str}/messages/{seq:int}", "channels.moderate", NothingStored, NoSuchMessage
    )
    async def delete(channel: Channel, seq: Seq, request: Asked) -> Response[ChatErased]:
        """Remove a line: it is emptied where it is kept, and clients that have shown it are told."""
        name = _stored(channel)
        again = await changes.again(request)
        if again is not None:
            return again
        rows = await desk.read_events(EventRange(topic=f"chat:{name}", after=seq - 1, before=seq + 1, limit=1))
        line = _line(rows[0]) if rows else None
        if line is None:
            raise NoSuchMessage(f"{name} has no line {seq}")
        return await changes.run(request, lambda id_, by: ChatErase(id=id_, channel=name, line=line, by=by))

    return [show, delete]


def _stored(name: str) -> str:
    """``name``, if there is a log of it."""
    if name.startswith("world:"):
        raise NothingStored(f"nothing of {name} is stored")
    return name


def _line(row: EventRow) -> ChatMessage | None:
    """The line of a row; None where it is another event."""
    try:
        return _decode(row.body)
    except msgspec.ValidationError:
        return None
