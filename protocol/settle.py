"""What the decoders cannot check of a message: text to clean, free-form values, stray numbers.

The work is found out once for each type; for most types there is none.
"""

import re
from collections.abc import Callable
from math import isfinite
from operator import is_
from typing import Any

from msgspec import Struct, inspect, structs

from protocol.int64 import INT64_MAX, INT64_MIN, Fix

DATA_ENTRIES = 256  # keys and list items in one free-form value, counted over all its levels


class Unfit(ValueError):
    """A value does not fit its field; the message says where and why."""


class Settler:
    """Makes the functions that bring a decoded message into its final form.

    ``max_depth`` bounds free-form values; the message's own map is level 1.
    """

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth

    def of(self, message: type[Struct]) -> Fix | None:
        """What is left to do for a decoded ``message``; None: nothing."""
        return self._fix(inspect.type_info(message), "$", 1)

    def _fix(self, node: inspect.Type, path: str, depth: int) -> Fix | None:
        fix: Fix | None = None
        match node:
            case inspect.Metadata(extra={"text": make}):
                fix = _text(make, node.type, path)
            case inspect.Metadata():
                fix = self._fix(node.type, path, depth)
            case inspect.UnionType():
                fix = self._union(node, path, depth)
            case inspect.StructType():
                fix = self._struct(node, path, depth)
            case inspect.IntType() if not _is_bounded(node):
                fix = _whole(path)
            case inspect.FloatType():
                fix = _finite(path)
            case inspect.RawType():
                raise TypeError(f"Raw cannot be read by the other wire format, at {path}")
            case _:
                fix = self._fix_items(node, path, depth)
        return fix

    def _fix_items(self, node: inspect.Type, path: str, depth: int) -> Fix | None:
        item, fix = f"{path}[...]", None
        match node:
            case (
                inspect.AnyType()
                | inspect.DictType(value_type=inspect.AnyType())
                | inspect.CollectionType(item_type=inspect.AnyType())
            ):
                return self._data(path, depth)
            case inspect.DictType():
                fix = self._fix(node.value_type, item, depth + 1)
                return _each_value(fix) if fix else None
            case inspect.CollectionType():
                fix = self._fix(node.item_type, item, depth + 1)
                return _each_item(fix) if fix else None
            case inspect.TupleType():
                fixes = [self._fix(each, item, depth + 1) for each in node.item_types]
                return _each_place(fixes) if any(fixes) else None
            case _:
                return None

    def _union(self, node: inspect.UnionType, path: str, depth: int) -> Fix | None:
        fixes: dict[type | None, Fix] = {_python_type(t): fix for t in node.types if (fix := self._fix(t, path, depth))}
        if not fixes:
            return None
        if len(node.types) == 2 and node.includes_none:
            (only,) = fixes.values()
            return lambda value: None if value is None else only(value)
        return lambda value: fixes.get(type(value), _same)(value)

    def _struct(self, node: inspect.StructType, path: str, depth: int) -> Fix | None:
        if depth > self._max_depth:
            raise TypeError(f"{node.cls.__name__} is nested too deep, or holds itself, at {path}")
        fixes = [
            (field.name, fix)
            for field in node.fields
            if (fix := self._fix(field.type, f"{path}.{field.encode_name}", depth + 1))
        ]
        return _each_field(fixes) if fixes else None

    def _data(self, path: str, depth: int) -> Fix:
        """Refuse what one of the wire formats, or a careful reader, cannot take.

        JSON has no bytes, extension types, NaN or keys other than strings; MessagePack and most
        languages have no integers past 64 bits.
        """

        def check(value: Any) -> Any:
            entries = 0
            waiting = [(value, depth)]
            while waiting:
                item, level = waiting.pop()
                if type(item) in _LEAVES:
                    _LEAVES[type(item)](item, path)
                    continue
                if level > self._max_depth:
                    raise Unfit(f"Nested deeper than {self._max_depth} levels - at `{path}`")
                inside = _inside(item, path)
                entries += len(inside)
                if entries > DATA_ENTRIES:
                    raise Unfit(f"More than {DATA_ENTRIES} keys and items - at `{path}`")
                waiting.extend((each, level + 1) for each in inside)
            return value

        return check


def _inside(item: Any, path: str) -> list[Any]:
    if type(item) is list:
        return item
    if type(item) is dict:
        if not all(type(key) is str for key in item):
            raise Unfit(f"Expected `str` for every key - at `{path}`")
        return list(item.values())
    raise Unfit(f"A {type(item).__name__} cannot travel in JSON - at `{path}`")


def _same(value: Any) -> Any:
    return value


def _any(_value: Any, _path: str) -> None:
    return


def _within_int64(value: int, path: str) -> None:
    if not INT64_MIN <= value <= INT64_MAX:
        raise Unfit(f"Integer does not fit 64 bits - at `{path}`")


def _is_finite(value: float, path: str) -> None:
    if not isfinite(value):
        raise Unfit(f"Expected a finite number - at `{path}`")


_LEAVES: dict[type, Callable[[Any, str], None]] = {
    str: _any,
    bool: _any,
    type(None): _any,
    int: _within_int64,
    float: _is_finite,
}


def _whole(path: str) -> Fix:
    def fix(value: int) -> int:
        _within_int64(value, path)
        return value

    return fix


def _finite(path: str) -> Fix:
    def fix(value: float) -> float:
        _is_finite(value, path)
        return value

    return fix


def _text(make: Callable[[str], str], node: inspect.Type, path: str) -> Fix:
    if not isinstance(node, inspect.StrType):
        raise TypeError(f"extra['text'] belongs to a str, at {path}")
    shortest, longest = node.min_length or 0, node.max_length
    pattern = re.compile(node.pattern) if node.pattern else None

    def fix(value: str) -> str:
        try:
            made = make(value)
        except ValueError as error:
            raise Unfit(f"{error} - at `{path}`") from None
        if made == value:
            return value
        if len(made) < shortest:
            raise Unfit(f"Expected `str` of length >= {shortest} after cleaning - at `{path}`")
        if longest is not None and len(made) > longest:
            raise Unfit(f"Expected `str` of length <= {longest} after cleaning - at `{path}`")
        if pattern and not pattern.search(made):
            raise Unfit(f"Expected `str` matching {node.pattern!r} after cleaning - at `{path}`")
        return made

    return fix


def _each_field(fixes: list[tuple[str, Fix]]) -> Fix:
    def fix(value: Struct) -> Struct:
        changed = None
        for name, settle in fixes:
            old = getattr(value, name)
            if old is None:
                continue  # there is nothing to do about it, and most optional fields are not sent
            new = settle(old)
            if new is not old:
                changed = changed or {}
                changed[name] = new
        return structs.replace(value, **changed) if changed else value

    return fix


def _each_item(settle: Fix) -> Fix:
    def fix(value: Any) -> Any:
        new = [settle(item) for item in value]
        return value if all(map(is_, new, value)) else type(value)(new)

    return fix


def _each_value(settle: Fix) -> Fix:
    def fix(value: dict[Any, Any]) -> dict[Any, Any]:
        new = {key: settle(item) for key, item in value.items()}
        return value if all(map(is_, new.values(), value.values())) else new

    return fix


def _each_place(fixes: list[Fix | None]) -> Fix:
    def fix(value: tuple[Any, ...]) -> tuple[Any, ...]:
        new = tuple(f(v) if f else v for f, v in zip(fixes, value, strict=True))
        return value if all(map(is_, new, value)) else new

    return fix


def _is_bounded(node: inspect.IntType) -> bool:
    least = node.ge if node.ge is not None else node.gt
    most = node.le if node.le is not None else node.lt
    return least is not None and most is not None


def _python_type(node: inspect.Type) -> type | None:
    """What a decoder makes of ``node``, to tell the members of a union apart."""
    match node:
        case inspect.Metadata():
            return _python_type(node.type)
        case inspect.StructType():
            return node.cls
        case _:
            return _PYTHON_TYPES.get(type(node))


_PYTHON_TYPES: dict[type[inspect.Type], type] = {
    inspect.StrType: str,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.DictType: dict,
    inspect.ListType: list,
    inspect.SetType: set,
    inspect.FrozenSetType: frozenset,
    inspect.VarTupleType: tuple,
    inspect.TupleType: tuple,
}
