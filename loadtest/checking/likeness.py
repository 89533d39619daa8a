"""When two messages count as the same, although they are not equal byte for byte."""

from collections.abc import Mapping
from typing import Any

INT64_FIELDS = frozenset({"score", "subscore", "amount", "balance", "delta"})
"""Fields documented as ``int64``: decimal strings in JSON, integers in MessagePack."""
_EMPTY = (None, False, "", 0)
_ANNOUNCED = frozenset({"announce.announced", "announce.message", "announce.withdrawn"})
Message = Mapping[str, Any]


def same(one: Any, other: Any, key: str = "") -> bool:
    """Whether two values mean the same. A field that is missing has its default, which is empty."""
    if one == other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(same(one.get(name), other.get(name), name) for name in one.keys() | other.keys())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b, key) for a, b in zip(one, other, strict=True))
    if key in INT64_FIELDS and {type(one), type(other)} == {int, str}:
        return str(one) == str(other)
    return one in _EMPTY and other in _EMPTY and None in (one, other)


def same_event(one: Message, other: Message) -> bool:
    """Whether two events of one place are the same event. An announcement is heard in each reader's language, and as
    withdrawn when it is over; a line that staff has removed is heard as removed."""
    if one == other:
        return True
    kinds = {one.get("t"), other.get("t")}
    if kinds <= _ANNOUNCED:
        return one.get("announcement") == other.get("announcement") and _texts_agree(one, other)
    if kinds == {"chat.message"} and bool(one.get("deleted")) != bool(other.get("deleted")):
        return all(same(one.get(name), other.get(name)) for name in ("op", "from", "at", "seq", "topic"))
    return same(one, other)


def int64(value: Any) -> int:
    """An ``int64`` of either wire; 0 for what is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _texts_agree(one: Message, other: Message) -> bool:
    if "announce.withdrawn" in {one.get("t"), other.get("t")}:
        return True
    if not all(same(one.get(name), other.get(name)) for name in ("at", "data", "expires_at")):
        return False
    for logged, heard in ((one, other), (other, one)):
        if logged.get("t") == "announce.announced" and heard.get("t") == "announce.message":
            return heard.get("text") in logged["texts"].values()
    return True  # each in its reader's language
