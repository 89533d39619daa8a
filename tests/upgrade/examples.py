"""Makes a value of any type that is stored, with every field filled: what golden files are made of. Always the same."""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Raw, inspect

WORDS = ("gold", "room:lobby", "1.4.2", "a" * 16)
"""Tried in this order where a text has to be of some form; a new form needs a word of its own here."""


def example(kind: Any) -> Any:
    """A value of ``kind``."""
    return _make(inspect.type_info(kind))


def _make(node: inspect.Type) -> Any:  # noqa: C901, PLR0911, PLR0912 - one line for each sort of type
    match node:
        case inspect.Metadata():
            return _make(node.type)
        case inspect.StructType():
            return node.cls(**{field.name: _make(field.type) for field in node.fields})
        case inspect.UnionType():
            return _make(_richest(node.types))
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            made = [_make(node.item_type)] * max(1, node.min_length or 0)
            return {"list": list, "vartuple": tuple, "set": set, "frozenset": frozenset}[_word(node)](made)
        case inspect.TupleType():
            return tuple(_make(each) for each in node.item_types)
        case inspect.DictType():
            return {_make(node.key_type): _make(node.value_type)}
        case inspect.StrType():
            return _text(node)
        case inspect.IntType():
            return _within(7, node.ge, node.le)
        case inspect.FloatType():
            return float(_within(1.5, node.ge, node.le))
        case inspect.BytesType():
            return b"\x00\xff" * max(8, (node.min_length or 0))
        case inspect.BoolType():
            return True
        case inspect.NoneType():
            return None
        case inspect.LiteralType():
            return min(node.values, key=str)
        case inspect.EnumType():
            return next(iter(node.cls))
        case inspect.RawType():
            return Raw(b"\x01")
        case inspect.AnyType():
            return {"n": 1, "words": ["a", None, True]}
        case _:
            raise TypeError(f"no example for {node}: add a line to tests/upgrade/examples.py")


def _richest(types: tuple[inspect.Type, ...]) -> inspect.Type:
    """Of a union the type that says most."""
    order = (inspect.StructType, inspect.DictType, inspect.ListType, inspect.StrType)
    for wanted in order:
        for each in types:
            bare = each.type if isinstance(each, inspect.Metadata) else each
            if isinstance(bare, wanted):
                return each
    return next(each for each in types if not isinstance(each, inspect.NoneType))


def _text(node: inspect.StrType) -> str:
    for word in _words(node):
        if node.pattern is None or re.search(node.pattern, word):
            return word
    raise TypeError(f"no word of the form {node}: add one to WORDS")


def _words(node: inspect.StrType) -> Iterator[str]:
    for word in WORDS:
        if node.min_length is None or len(word) >= node.min_length:
            yield word if node.max_length is None else word[: node.max_length]
    if node.min_length is not None and node.pattern is None:
        yield "x" * node.min_length


def _within(wanted: float, low: float | None, high: float | None) -> Any:
    if low is not None and wanted < low:
        return low
    return high if high is not None and wanted > high else wanted


def _word(node: inspect.Type) -> str:
    return type(node).__name__.removesuffix("Type").lower()
