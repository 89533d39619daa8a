"""Announcements under test: the room, and what it has written down."""

from typing import Any

from actors.broadcasts import AnnouncementCancel, AnnouncementMade, AnnouncementMake, broadcasts
from actors.broadcasts.messages import AnnouncementsCount, AnnouncementsCounted
from actors.runtime.context import CallEffect, Keep
from actors.staff import By
from storage import Insert, Upsert
from tests.support.room import Room

BY = By(key="k1", name="Ann Ops", address="203.0.113.9", op="op-1", digest=b"d" * 32)
TEXTS = {"en": "Hello", "tr": "Merhaba"}
MINUTE_MS = 60_000


def hall() -> Room:
    return Room(broadcasts, actor="broadcasts:all", caller="server:")


def make(room: Room, **fields: Any) -> AnnouncementMade:
    op = f"{len(room.effects)}-{room.now_ms}"
    made = room.ask(AnnouncementMake(id=op, by=BY, **{"text": TEXTS, **fields}))
    assert isinstance(made, AnnouncementMade)
    return made


def cancel(room: Room, made: AnnouncementMade) -> None:
    room.ask(AnnouncementCancel(id=f"c{len(room.effects)}", announcement=made.announcement, by=BY))


def rows(room: Room) -> dict[str, Any]:
    """The table as it is after all effects so far, by announcement."""
    records = [effect.record for effect in room.effects_of(Keep)]
    kept = [record for record in records if isinstance(record, Upsert) and record.table == "announcements"]
    return {str(record.values["id"]): dict(record.values) for record in kept}


def state_of(room: Room, made: AnnouncementMade) -> str:
    return str(rows(room)[made.announcement]["state"])


def audits(room: Room) -> list[str]:
    records = [effect.record for effect in room.effects_of(Keep)]
    return [str(r.values["action"]) for r in records if isinstance(r, Insert) and r.table == "audit"]


def calls(room: Room) -> list[Any]:
    return [effect.message for effect in room.effects_of(CallEffect)]


def count(room: Room, node: str, reached: dict[str, int], read: dict[str, int] | None = None) -> AnnouncementsCounted:
    counted = room.ask(AnnouncementsCount(id=f"n{len(room.effects)}", node=node, reached=reached, read=read or {}))
    assert isinstance(counted, AnnouncementsCounted)
    return counted
