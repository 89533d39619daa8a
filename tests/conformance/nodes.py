"""What a node does with a store, in the few words that the tests need."""

from typing import Any

from storage import (
    ActorWrite,
    CommitResult,
    EventRow,
    NodeRow,
    OpRow,
    OwnedElsewhere,
    Position,
    SliceRow,
    Snapshot,
    Store,
)


async def alive(store: Store, node: str, lease_s: float = 60, *, held: bool = False) -> list[NodeRow]:
    """Give ``node`` a lease; 0 ends it, ``held`` prolongs one that it has."""
    return await store.renew(NodeRow(node, f"{node}:7350", draining=False), lease_s, held=held)


async def run_out(store: Store, node: str) -> None:
    """Wait until a lease of a millisecond has run out by the database's clock."""
    while node in [row.node for row in await alive(store, "south")]:
        pass


async def taken(store: Store, actor: str, node: str = "north") -> Snapshot:
    """Claim an actor that is free."""
    (claimed,) = await store.claim(node, [actor])
    assert isinstance(claimed, Snapshot), claimed
    return claimed


async def owner_seen_by(store: Store, node: str, actor: str) -> str:
    """Who owns an actor that ``node`` cannot have."""
    (answer,) = await store.claim(node, [actor])
    assert isinstance(answer, OwnedElsewhere), answer
    return answer.node


def write(held: Snapshot, **changes: Any) -> ActorWrite:
    """The next write of an actor as ``held``; without changes it still raises the version."""
    changes.setdefault("told", held.told)
    changes.setdefault("version", held.version)
    return ActorWrite(actor=held.actor, fence=held.fence, **changes)


async def committed(store: Store, held: Snapshot, **changes: Any) -> CommitResult:
    """Commit ``write(held, ...)`` alone."""
    (result,) = await store.commit([write(held, **changes)])
    return result


async def reloaded(store: Store, held: Snapshot, node: str = "north") -> Snapshot:
    """The actor as the database has it; this raises its fence."""
    return await taken(store, held.actor, node)


def note(text: str) -> dict[str, SliceRow]:
    """One slice."""
    return {"note": SliceRow(1, text.encode())}


def op(number: int, player: str = "ann") -> OpRow:
    """The player's op with this number."""
    return OpRow(player, f"a1-{number}", number, b"d" * 16, 1000 + number, b"reply")


def line(topic: str, seq: int, **fields: Any) -> EventRow:
    """An event of a topic."""
    return EventRow(topic, seq, 1000 + seq, b"line %d" % seq, **fields)


def at(seq: int, floor: int = 1) -> Position:
    """A topic's position."""
    return Position("e1", seq, floor)
