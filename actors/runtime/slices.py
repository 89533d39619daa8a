"""Opening and saving a room's slice of an actor, each with its own schema number."""

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, cast

import msgspec

from actors.runtime.blueprint import Kind
from actors.runtime.feature import Feature
from storage import SliceRow

_encode = msgspec.msgpack.Encoder().encode


class NewerSchema(Exception):
    """The slice was written by a newer release; the actor is for a node that knows it."""


class Slot:
    """One slice in memory."""

    __slots__ = ("feature", "state", "stored")

    def __init__(self, feature: Feature[Any], state: Any, *, stored: bool) -> None:
        self.feature = feature
        self.state = state
        self.stored = stored
        """False for a transient slice: it is never saved."""

    def row(self) -> SliceRow:
        """The slice as it is saved."""
        return SliceRow(self.feature.schema, _encode(self.state))


def open_slots(kind: Kind, rows: Mapping[str, SliceRow]) -> dict[str, Slot]:
    """Every slice of ``kind``, as saved or, where nothing was, as a new one.

    Raises:
        NewerSchema: a slice has a higher schema number than this build knows.
        msgspec.MsgspecError: a slice cannot be read.
    """
    slots = {}
    for name, feature in kind.features.items():
        stored = kind.name not in feature.transient
        row = rows.get(name) if stored else None
        slots[name] = Slot(feature, _load(feature, row) if row else feature.state(), stored=stored)
    return slots


def _load(feature: Feature[Any], row: SliceRow) -> Any:
    if row.schema > feature.schema:
        raise NewerSchema(f"slice {feature.name} has schema {row.schema}, this build knows {feature.schema}")
    if row.schema == feature.schema:
        return _decoder(cast("Hashable", feature.state)).decode(row.body)
    plain = msgspec.msgpack.decode(row.body)
    for schema in range(row.schema, feature.schema):
        plain = feature.upgrades[schema](plain)
    return msgspec.convert(plain, feature.state)


@cache
def _decoder(state: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cast("type[Any]", state))
