"""What nodes say to each other over the bus, in MessagePack.

Channels: ``node:ID`` is a node's own, ``nodes`` everybody's, ``topic:NAME`` carries one topic's ticks. At most once: an
ask is sent again with the same op id, a tell until it is noted, a hole in a topic is filled from the table.
"""

from typing import Any

import msgspec
from msgspec import Struct

from actors.runtime.context import ClosePlayer, CloseSession, Follow, MutePlayer, RenameSession, ShareRates, Unfollow
from protocol import GuildhallError, Retry


class AskFrame(Struct, tag="ask", array_like=True):
    """A request for an actor of the receiving node."""

    number: int
    node: str
    address: str
    player: str
    name: str
    session: tuple[str, str, str] | None
    body: bytes
    sure: bool = False
    """Whether the actor's row says that the receiving node owns it."""
    muted_until_ms: int = 0


class TellFrame(Struct, tag="tell", array_like=True):
    """A tell for an actor of the receiving node."""

    number: int
    node: str
    address: str
    sender: str
    sent: int
    body: bytes
    sure: bool = False


class FireFrame(Struct, tag="fire", array_like=True):
    """A timer of an actor of the receiving node is due, or with ``failed`` to be set aside for that reason. A node that
    does not know ``failed`` fires it once more."""

    number: int
    node: str
    address: str
    name: str
    due_ms: int
    sure: bool = False
    failed: str | None = None


class Refusal(Struct, array_like=True):
    """A GuildhallError on its way."""

    code: str
    message: str
    retry: Retry
    retry_after_ms: int | None
    trace: str


class AnswerFrame(Struct, tag="answer", array_like=True):
    """What became of the frame ``number``. ``moved``: not here; ``owner`` where it is known, ``sure`` if by the row."""

    number: int
    reply: bytes | None = None
    ticket: bytes | None = None
    refusal: Refusal | None = None
    follows: list[Follow | Unfollow] = []
    moved: bool = False
    owner: str | None = None
    sure: bool = False


class CommandFrame(Struct, tag="command", array_like=True):
    """For a session of the receiving node, or on the channel of all nodes for every session of a player."""

    command: CloseSession | RenameSession | ShareRates | ClosePlayer | MutePlayer


class LeasesFrame(Struct, tag="leases", array_like=True):
    """A node has come, drains or has left: on the channel of all nodes, so that they look at the leases now."""


class TickFrame(Struct, tag="tick", array_like=True):
    """What one topic gathered in one turn of the owner's event loop; ``events`` are (seq, ends, body)."""

    node: str
    topic: str
    epoch: str
    events: list[tuple[int, str | None, bytes]]
    redacted: list[int] = []
    """Seqs of older events that are not as they were."""


Frame = AskFrame | TellFrame | FireFrame | AnswerFrame | CommandFrame | LeasesFrame
encode = msgspec.msgpack.Encoder().encode
decode_frame: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
decode_tick: msgspec.msgpack.Decoder[TickFrame] = msgspec.msgpack.Decoder(TickFrame)


class RemoteRefusal(GuildhallError):
    """A refusal that another node gave, with that one's code."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message, retry_after_ms=refusal.retry_after_ms)
        self.code = refusal.code  # type: ignore[misc]
        self.retry = refusal.retry  # type: ignore[misc]
        self.trace = refusal.trace


def to_refusal(error: GuildhallError) -> Refusal:
    """A refusal as it travels."""
    return Refusal(error.code, str(error), error.retry, error.retry_after_ms, error.trace)


NODES_CHANNEL = "nodes"
"""The bus channel that every node listens on."""


def node_channel(node: str) -> str:
    """The bus channel that a node listens on."""
    return f"node:{node}"


def topic_channel(topic: str) -> str:
    """The bus channel of a topic's ticks."""
    return f"topic:{topic}"


class Decoders(Struct, frozen=True):
    """Typed decoders for what travels or is stored as MessagePack, from the blueprint's types."""

    request: Any
    reply: Any
    event: Any
    tell: Any
    ticket: Any
