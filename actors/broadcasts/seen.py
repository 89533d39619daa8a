"""How far a player has seen announcements: one mark, whatever the number of announcements and devices.

Owns the ``announced`` slice of a player. The mark moves when a session ends, and at a sign-in that has shown something:
an announcement costs no write for those who are online.
"""

from msgspec import Struct

from actors.broadcasts.crier import Crier
from actors.broadcasts.messages import AnnounceMarked, AnnounceRead
from actors.runtime import CALLER, Context, Feature, Reach
from protocol import Id, Reply, Request, Tell

READ_LIMIT = 100  # announcements remembered as read, so that each is counted once


class AnnounceNoted(Reply, tag="announce.noted", frozen=True, kw_only=True):
    """The mark is there, or further."""


class AnnounceNote(Request[AnnounceNoted], tag="announce.note", frozen=True, kw_only=True):
    """Everything up to the place ``seq`` of the topic has been sent to a session of ``player``."""

    player: Id
    epoch: str
    seq: int


class ReadCall(Tell, tag="announce.read_call", frozen=True, kw_only=True):
    """Count a reader."""

    announcement: str


class Announced(Struct):
    epoch: str = ""
    seen: int = 0
    """Place in the topic, in that epoch, up to which everything was sent to some session."""
    read: list[str] = []
    """Announcements that the player has read, the newest last."""


class SeenGreeting(Struct, frozen=True):
    """Announcements' part of the welcome: the mark."""

    epoch: str
    seen: int


announced = Feature(name="announced", actor="player", state=Announced)


@announced.greeting
def greet(_ctx: Context, mine: Announced) -> SeenGreeting:
    """Say at sign-in how far the player has seen."""
    return SeenGreeting(mine.epoch, mine.seen)


@announced.handles(AnnounceNote, key="player", writes=False, internal=True)
def note(ctx: Context, mine: Announced, msg: AnnounceNote) -> AnnounceNoted:
    """Move the mark; it never goes back within an epoch."""
    if (mine.epoch, mine.seen) != (msg.epoch, max(mine.seen, msg.seq)):
        mine = ctx.use(announced)
        mine.seen = max(mine.seen, msg.seq) if mine.epoch == msg.epoch else msg.seq
        mine.epoch = msg.epoch
    return AnnounceNoted()


@announced.handles(AnnounceRead, key=CALLER, writes=False)
def read(ctx: Context, mine: Announced, msg: AnnounceRead) -> AnnounceMarked:
    """Count the player as a reader, once."""
    if msg.announcement not in mine.read:
        mine = ctx.use(announced)
        mine.read = [*mine.read, msg.announcement][-READ_LIMIT:]
        ctx.call(ReadCall(announcement=msg.announcement))
    return AnnounceMarked(announcement=msg.announcement)


@announced.calls(ReadCall)
async def count(call: ReadCall, reach: Reach) -> None:
    """Count the reader on this node."""
    crier = reach.services["broadcasts"]
    assert isinstance(crier, Crier)
    crier.read_by_one(call.announcement)
