"""Opening and saving a room's slice of an actor, each with its own schema number."""

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import Struct

from actors.runtime.blueprint import Kind
from actors.runtime.feature import Feature
from actors.runtime.unknown import Unknown, unknown_of
from storage import SliceRow

_encode = msgspec.msgpack.Encoder().encode


class NewerSchema(Exception):
    """The slice was written by a newer release; the actor is for a node that knows it."""


class Slot:
    """One slice in memory."""

    __slots__ = ("feature", "state", "stored", "unknown")

    def __init__(self, feature: Feature[Any], state: Any, *, stored: bool, unknown: Unknown | None = None) -> None:
        self.feature = feature
        self.state = state
        self.stored = stored
        """False for a transient slice: it is never saved."""
        self.unknown = unknown
        """Fields of a newer release; None where there are none."""

    def row(self) -> SliceRow:
        """The slice as it is saved."""
        body = _encode(self.state) if self.unknown is None else self.unknown.encode(self.state)
        return SliceRow(self.feature.schema, body)

    def pack(self, part: Struct) -> bytes:
        """An object of the slice, encoded by itself, with the fields of a newer release."""
        return _encode(part) if self.unknown is None else self.unknown.pack(part)


def open_slots(kind: Kind, rows: Mapping[str, SliceRow]) -> dict[str, Slot]:
    """The slices of ``kind`` that were saved; others are new when they are first needed.

    Raises:
        NewerSchema: a slice has a higher schema number than this build can read.
        msgspec.MsgspecError: a slice cannot be read.
    """
    known = kind.features
    return {name: _load(known[name], row) for name, row in rows.items() if name in known and not _passes(kind, name)}


def _passes(kind: Kind, name: str) -> bool:
    """Whether the slice is never saved for this kind; a row of it is of an older release."""
    return kind.name in kind.features[name].transient


def new_slot(kind: Kind, feature: Feature[Any]) -> Slot:
    """A slice that nothing was saved of."""
    return Slot(feature, feature.state(), stored=feature.name in kind.features and kind.name not in feature.transient)


def _load(feature: Feature[Any], row: SliceRow) -> Slot:
    if row.schema == feature.schema:
        return _open(feature, row.body)
    if row.schema > feature.schema:
        return _open(feature, _downgraded(feature, row))
    plain = msgspec.msgpack.decode(row.body)
    for schema in range(row.schema, feature.schema):
        plain = feature.upgrades[schema](plain)
    return Slot(feature, msgspec.convert(plain, feature.state), stored=True)


def _open(feature: Feature[Any], body: bytes) -> Slot:
    state = _decoder(cast("Hashable", feature.state)).decode(body)
    return Slot(feature, state, stored=True, unknown=unknown_of(state, body))


def _downgraded(feature: Feature[Any], row: SliceRow) -> bytes:
    """A slice of a newer form in the present one. Fields that this form does not have stay in it as unknown ones, for
    the upgrade to find."""
    plain = msgspec.msgpack.decode(row.body)
    for schema in range(row.schema, feature.schema, -1):
        if schema not in feature.downgrades:
            raise NewerSchema(f"slice {feature.name} has schema {row.schema}, this build knows {feature.schema}")
        plain = feature.downgrades[schema](plain)
    return _encode(plain)


@cache
def _decoder(state: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cast("type[Any]", state))
