"""What a ClientSession has done for it: by the shell around its sockets, and by the application."""

from msgspec import Struct

from protocol.cursors import Fields, TopicMoved


# For the shell.
class OpenSocket(Struct, frozen=True):
    """Open a connection, offering the subprotocol of the session's wire format."""


class CloseSocket(Struct, frozen=True):
    """Close the connection."""

    code: int
    reason: str = ""


class Send(Struct, frozen=True):
    """Send one WebSocket message, in a text or binary frame as the wire format says."""

    payload: bytes


# For the application.
class Welcomed(Struct, frozen=True):
    """Online; ``welcome`` is the server's message. A TopicMoved for each topic follows, then the missed events."""

    welcome: Fields


class Replied(Struct, frozen=True):
    """The answer to the request ``id``: a reply, or an error whose rule is ``never``."""

    id: str
    reply: Fields


class Happened(Struct, frozen=True):
    """An event; those of a durable topic that is followed come in order, each once."""

    event: Fields


class Disconnected(Struct, frozen=True):
    """The connection is lost; it is opened again after ``retry_in_s`` seconds."""

    code: int
    reason: str
    retry_in_s: float


class Blocked(Struct, frozen=True):
    """It will not be opened again by itself. After 4501 a new token is needed, else ``connect`` tries once more."""

    code: int
    reason: str


Output = OpenSocket | CloseSocket | Send | Welcomed | Replied | Happened | TopicMoved | Disconnected | Blocked


class TooManyPending(Exception):
    """``PENDING_LIMIT`` requests wait for their answers; the request was not taken."""


class TooLong(Exception):
    """The server would not read a message of this size; the request was not taken."""
