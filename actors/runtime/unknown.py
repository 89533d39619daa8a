"""Fields that a newer release has written and this one does not know: kept beside the state, written back with it.

A node that reads a slice of its own schema number may still meet new fields: a field with a default needs no new
number. They belong to the very object that they were read with. Whatever a turn does to that object, they stay with it;
an object that a turn puts in its place, or makes anew, has none.

Where there are none, which is nearly always, this costs one encoding at load (the bytes are compared), and nothing
later.
"""

from typing import Any

import msgspec
from msgspec import Struct

_encode = msgspec.msgpack.Encoder().encode
Found = dict[int, tuple[Struct, Any]]
"""By the id of an object: the object, which keeps the id from being used again, and what is unknown of it."""


class Unknown:
    """What is unknown of one slice."""

    __slots__ = ("_found",)

    def __init__(self, found: Found) -> None:
        self._found = found

    def encode(self, state: Struct) -> bytes:
        """The slice as it is saved; objects that are no longer part of ``state`` are forgotten."""
        config = state.__struct_config__
        if self._found.keys() == {id(state)} and not config.array_like and config.tag is None:
            names = zip(state.__struct_encode_fields__, state.__struct_fields__, strict=True)
            return _encode({wire: getattr(state, name) for wire, name in names} | self._found[id(state)][1])
        kept: Found = {}
        body = _encode(self._plain(state, kept))
        self._found = kept
        return body

    def pack(self, part: Struct) -> bytes:
        """An object of the slice, encoded by itself."""
        return _encode(self._plain(part, {}))

    def _plain(self, value: Any, kept: Found) -> Any:
        if isinstance(value, Struct):
            return self._plain_struct(value, kept)
        if isinstance(value, dict):
            return {key: self._plain(item, kept) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item, kept) for item in value]
        return value

    def _plain_struct(self, value: Struct, kept: Found) -> Any:
        config = value.__struct_config__
        found = self._found.get(id(value))
        more = None
        if found is not None:
            kept[id(value)] = found
            more = found[1]
        known = [self._plain(getattr(value, name), kept) for name in value.__struct_fields__]
        if config.array_like:
            return [*([] if config.tag is None else [config.tag]), *known, *(more or ())]
        head = {} if config.tag is None else {config.tag_field: config.tag}
        return {**head, **dict(zip(value.__struct_encode_fields__, known, strict=True)), **(more or {})}


def unknown_of(state: Struct, body: bytes) -> Unknown | None:
    """What ``body`` holds that did not get into ``state``, which was read from it."""
    if _encode(state) == body:
        return None
    found: Found = {}
    _search(state, msgspec.msgpack.decode(body), found)
    return Unknown(found) if found else None


def _search(value: Any, plain: Any, found: Found) -> None:
    """Compare an object with what it was read from, level by level."""
    if isinstance(value, Struct):
        _search_struct(value, plain, found)
    elif isinstance(value, dict) and isinstance(plain, dict):
        for key, item in value.items():
            if key in plain:
                _search(item, plain[key], found)
    elif isinstance(value, list | tuple) and isinstance(plain, list):
        for item, read_from in zip(value, plain, strict=False):
            _search(item, read_from, found)


def _search_struct(value: Struct, plain: Any, found: Found) -> None:
    config = value.__struct_config__
    if isinstance(plain, dict):
        wires = value.__struct_encode_fields__
        more: Any = {key: item for key, item in plain.items() if key not in wires and key != config.tag_field}
        pairs = [
            (name, plain[wire]) for name, wire in zip(value.__struct_fields__, wires, strict=True) if wire in plain
        ]
    elif isinstance(plain, list):
        items = plain if config.tag is None else plain[1:]
        more = items[len(value.__struct_fields__) :]
        pairs = list(zip(value.__struct_fields__, items, strict=False))
    else:
        return
    if more:
        found[id(value)] = (value, more)
    for name, item in pairs:
        _search(getattr(value, name), item, found)
