"""The grammar that every message follows, and the messages of the session itself.

A message is a flat map whose ``t`` names its type. Rooms declare theirs with the same bases::

    class ChatSent(Reply, tag="chat.sent", frozen=True, kw_only=True): ...
    class ChatSend(Request[ChatSent], tag="chat.send", frozen=True, kw_only=True): ...
    class ChatMessage(Event, tag="chat.message", frozen=True, kw_only=True): ...

Grammar of names: a request is an imperative (``chat.send``), its reply the past (``chat.sent``), an event what
happened (``chat.message``, ``guild.member_joined``). Unknown fields are ignored by both sides, so a new field has a
default; a tag is never renamed or reused.
"""

from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct

from protocol.errors import Retry

RequestId = Annotated[str, Meta(min_length=1, max_length=36)]
"""Request id and idempotency key: unique for its player for ever."""

Id = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.~-]{1,64}\Z")]
"""Id of a player, a guild or a room: 1 to 64 characters that need no escaping anywhere."""

ChannelName = Annotated[
    str, Meta(pattern=r"\A(room|guild|party|world|dm):[A-Za-z0-9_.~-]{1,64}(:[A-Za-z0-9_.~-]{1,64})?\Z")
]
"""Name of a chat place: ``room:NAME``, ``guild:ID``, ``party:ID``, ``world:N``, ``dm:A:B`` with ids sorted."""

Cursor = tuple[str, int]
"""``[epoch, last seq seen]`` of a durable topic."""


class Message(Struct, tag_field="t", frozen=True, kw_only=True, omit_defaults=True):
    """Anything that travels: its tag is the wire's ``t``."""


class Reply(Message, frozen=True, kw_only=True):
    """The answer to one request; ``re`` is that request's id and is stamped by the runtime."""

    re: str = ""


ReplyT = TypeVar("ReplyT", bound=Reply, covariant=True)  # noqa: PLC0105 - it reads better without _co


class Request(Message, Generic[ReplyT], frozen=True, kw_only=True):
    """What a client asks; ``id`` is the reply's address and the op id."""

    id: RequestId


class Event(Message, frozen=True, kw_only=True):
    """What happened in a topic. ``topic``, ``seq`` and ``at`` are stamped by the runtime.

    An ephemeral event has no ``seq``. ``at`` is server time in milliseconds since the Unix epoch.
    """

    topic: str | None = None
    seq: int | None = None
    at: int | None = None


class Tell(Message, frozen=True, kw_only=True):
    """What one actor tells another, or a timer its own actor. Never seen by a client."""


class ErrorReply(Reply, tag="error", frozen=True, kw_only=True):
    """A refusal. ``re`` is empty where no request id could be read."""

    code: str
    message: str
    retry: Retry
    retry_after_ms: int | None = None
    trace: str


class ClientInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the client says of itself; every field is optional and bounded."""

    app: Annotated[str, Meta(max_length=32)] = ""
    platform: Annotated[str, Meta(max_length=32)] = ""
    sdk: Annotated[str, Meta(max_length=32)] = ""
    locale: Annotated[str, Meta(max_length=35)] = ""  # BCP 47 longest common form


class Resume(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which session to go on with, and how far each topic was seen."""

    session: Annotated[str, Meta(max_length=64)] = ""
    cursors: Annotated[dict[str, Cursor], Meta(max_length=256)] = {}


class TopicStatus(Struct, frozen=True, kw_only=True):
    """Where a topic stands at the welcome: ``resumed``, ``reset`` or ``gone`` (PROTOCOL.md, Session 2)."""

    epoch: str = ""
    seq: int = 0
    status: str


class Limits(Struct, frozen=True, kw_only=True):
    """The bounds a client has to keep."""

    message_bytes: int
    text_chars: int
    requests_per_s: float


class ConfigVersion(Struct, frozen=True, kw_only=True):
    """Which live configuration the session has been given."""

    version: str


class Welcome(Reply, tag="welcome", frozen=True, kw_only=True):
    """The session is online; the missed events of every resumed topic follow, then live ones."""

    session: str
    player: str
    now: int
    heartbeat_ms: int
    topics: dict[str, TopicStatus]
    limits: Limits
    config: ConfigVersion
    state: dict[str, Any] = {}
    """What each room of the player's actor has to say at sign-in, by room, e.g. ``{"profile": {"name": "Ann"}}``."""


class Hello(Request[Welcome], tag="hello", frozen=True, kw_only=True):
    """First message of every connection, within 5 s of the upgrade."""

    token: Annotated[str, Meta(max_length=8192)]
    client: ClientInfo = ClientInfo()
    resume: Resume | None = None


class Pong(Reply, tag="pong", frozen=True, kw_only=True):
    """``now`` is the server's time in milliseconds since the Unix epoch."""

    now: int


class Ping(Request[Pong], tag="ping", frozen=True, kw_only=True):
    """Either side may send it; a client must be heard once every ``heartbeat_ms``."""


class TopicSynced(Reply, tag="topic.synced", frozen=True, kw_only=True):
    """``status`` as at the welcome; after ``resumed`` the missing events follow in order."""

    topic: str
    epoch: str
    seq: int
    status: str


class TopicSync(Request[TopicSynced], tag="topic.sync", frozen=True, kw_only=True):
    """Sent by a client that saw ``seq`` jump: send again what came after ``after``."""

    topic: Annotated[str, Meta(min_length=1, max_length=160)]
    after: Annotated[int, Meta(ge=0)]


def tag_of(message: type[Message] | Message) -> str:
    """The wire's ``t`` of a message or its type."""
    tag: str = message.__struct_config__.tag  # type: ignore[assignment]  # all of ours have text
    return tag
