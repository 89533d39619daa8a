"""One room in three releases: what a node meets during a rolling deploy, and after one that was taken back."""

from typing import Any

from msgspec import Struct

from actors.runtime import Context, Feature
from protocol import Reply, Request, Tell


class Stocked(Reply, tag="chest.stocked", frozen=True, kw_only=True):
    count: int


class Stock(Request[Stocked], tag="chest.stock", frozen=True, kw_only=True):
    """Put one more of an item into the chest."""

    chest: str = "1"
    item: str = "potion"


class Peek(Request[Stocked], tag="chest.peek", frozen=True, kw_only=True):
    chest: str = "1"
    item: str = "potion"


class Remind(Tell, tag="chest.remind", frozen=True, kw_only=True):
    pass


# Release 1.
class Item(Struct):
    count: int = 0


class Mark(Struct, frozen=True, array_like=True):
    """What happened to the chest."""

    what: str


class Chest(Struct):
    items: dict[str, Item] = {}
    marks: list[Mark] = []


# Release 2 has new fields, each with a default: the schema number stays. It can read the form of release 3.
class Item2(Struct):
    count: int = 0
    colour: str = "none"


class Mark2(Struct, frozen=True, array_like=True):
    what: str
    by: str = ""


class Chest2(Struct):
    items: dict[str, Item2] = {}
    marks: list[Mark2] = []
    lock: str = ""


# Release 3 keeps counts only: another form, so another number.
class Chest3(Struct):
    counts: dict[str, int] = {}


def from_1(plain: dict[str, Any]) -> dict[str, Any]:
    return {"counts": {name: item["count"] for name, item in plain["items"].items()}}


def to_1(plain: dict[str, Any]) -> dict[str, Any]:
    counts = plain.pop("counts")
    return {**plain, "items": {name: {"count": count} for name, count in counts.items()}}


def chest(release: int) -> Feature[Any]:
    """The room as that release has it."""
    states: dict[int, type[Struct]] = {1: Chest, 2: Chest2, 3: Chest3}
    feature: Feature[Any] = Feature(
        name="chest",
        actor="chest",
        state=states[release],
        schema=2 if release == 3 else 1,
        upgrades={1: from_1} if release == 3 else None,
        downgrades={2: to_1} if release == 2 else None,
    )

    @feature.handles(Stock, key="chest")
    def stock(_ctx: Context, kept: Any, msg: Stock) -> Stocked:
        """Count one more."""
        if release == 3:
            kept.counts[msg.item] = kept.counts.get(msg.item, 0) + 1
            return Stocked(count=kept.counts[msg.item])
        item = kept.items.setdefault(msg.item, Item() if release == 1 else Item2(colour="red"))
        item.count += 1
        kept.marks.append(Mark(msg.item) if release == 1 else Mark2(msg.item, "ann"))
        if release == 2:
            kept.lock = "brass"
        return Stocked(count=item.count)

    @feature.handles(Peek, key="chest", writes=False)
    def peek(_ctx: Context, kept: Any, msg: Peek) -> Stocked:
        """Say how many there are."""
        if release == 3:
            return Stocked(count=kept.counts.get(msg.item, 0))
        return Stocked(count=kept.items[msg.item].count if msg.item in kept.items else 0)

    return feature
