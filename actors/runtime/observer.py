"""Small typed events of the runtime. Metrics and tests are their two users; tests wait on them instead of sleeping."""

from collections.abc import Callable

from msgspec import Struct


class Activated(Struct, frozen=True):
    """An actor was loaded and is now run by this node."""

    actor: str
    fence: int


class Passivated(Struct, frozen=True):
    """An idle actor was given up; anybody may take it."""

    actor: str


class Dropped(Struct, frozen=True):
    """An activation was ended because another node had taken over, or the lease had run out."""

    actor: str


class Isolated(Struct, frozen=True):
    """An actor was quarantined."""

    actor: str
    reason: str


class Lifted(Struct, frozen=True):
    """An actor's quarantine was ended by request; it is loaded anew."""

    actor: str


class Committed(Struct, frozen=True):
    """One group commit. ``lost`` of its ``actors`` were fenced out."""

    actors: int
    lost: int
    seconds: float


class StoreLost(Struct, frozen=True):
    """The store did not answer; the work is kept and tried again."""

    what: str


class LeaseTaken(Struct, frozen=True):
    """This node holds its lease (again) until ``seconds`` from now."""

    node: str
    seconds: float


class LeaseLost(Struct, frozen=True):
    """This node could not renew in time and has stopped serving."""

    node: str


class NodesChanged(Struct, frozen=True):
    """Who is alive, in order."""

    nodes: tuple[str, ...]


class TurnRan(Struct, frozen=True):
    """A sampled turn: how long the message waited and how long the turn took, in seconds."""

    kind: str
    waited: float
    took: float


class SlowTurn(Struct, frozen=True):
    """A turn that took over ``SLOW_TURN_S``."""

    actor: str
    message: str
    took: float


class Delivered(Struct, frozen=True):
    """Events of one topic handed to ``readers`` sessions of this node."""

    topic: str
    events: int
    readers: int


RuntimeEvent = (
    Activated
    | Passivated
    | Dropped
    | Lifted
    | Isolated
    | Committed
    | StoreLost
    | LeaseTaken
    | LeaseLost
    | NodesChanged
    | TurnRan
    | SlowTurn
    | Delivered
)
Observer = Callable[[RuntimeEvent], None]


def ignore(_event: RuntimeEvent) -> None:
    """The observer of those who want none."""
