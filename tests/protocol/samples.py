"""Messages in the shapes that rooms use, for the protocol's own tests."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from protocol import INT64_MAX, ChannelName, Codec, DisplayName, Event, Int64, Reply, Request, clean


class ChatSent(Reply, tag="chat.sent", frozen=True, kw_only=True):
    channel: str
    seq: int
    at: int


class ChatSend(Request[ChatSent], tag="chat.send", frozen=True, kw_only=True):
    channel: ChannelName
    text: Annotated[str, Meta(min_length=1, max_length=40, extra={"text": clean})]
    data: dict[str, Any] | None = None


class ChatJoined(Reply, tag="chat.joined", frozen=True, kw_only=True):
    channel: str
    epoch: str
    seq: int


class ChatJoin(Request[ChatJoined], tag="chat.join", frozen=True, kw_only=True):
    channel: ChannelName


class ChatMessage(Event, tag="chat.message", frozen=True, kw_only=True):
    op: str
    text: str


class Line(Struct, frozen=True, kw_only=True):
    owner: str
    score: Int64


class Submitted(Reply, tag="leaderboard.submitted", frozen=True, kw_only=True):
    score: Int64
    best: Int64 | None = None
    around: list[Line] = []


class Submit(Request[Submitted], tag="leaderboard.submit", frozen=True, kw_only=True):
    board: str
    score: Int64
    subscore: Annotated[int, Meta(ge=0, le=INT64_MAX, extra={"int64": True})] | None = None
    lines: list[Line] = []
    data: dict[str, Any] | None = None


class Badge(Struct, frozen=True, kw_only=True):
    label: Annotated[str, Meta(min_length=1, max_length=8, extra={"text": clean})]
    weight: float = 1.0


class Founded(Reply, tag="guild.founded", frozen=True, kw_only=True):
    """The guild exists."""


class Found(Request[Founded], tag="guild.found", frozen=True, kw_only=True):
    name: DisplayName
    badges: list[Badge] = []
    prices: dict[str, int] = {}
    spot: tuple[float, float] | None = None


REQUESTS: list[type[Request[Any]]] = [ChatSend, ChatJoin, Submit, Found]
CODEC = Codec(REQUESTS)
