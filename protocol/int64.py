"""Integers that may pass 2^53: decimal strings in JSON, integers in MessagePack.

PROTOCOL.md, Envelope: JavaScript and many JSON readers keep numbers as doubles.
"""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct, inspect

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

Int64 = Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX, extra={"int64": True})]
"""Type of a field documented as ``int64``; the codec takes a string or an integer in JSON.

For closer bounds: ``Annotated[int, Meta(ge=0, le=INT64_MAX, extra={"int64": True})]``.
"""

Fix = Callable[[Any], Any]
"""Returns its argument, or what stands in its place."""


def int64_map(message: type[Struct], leaf: Fix) -> dict[str, Fix]:
    """By wire name, what ``leaf`` makes of every field of ``message`` that holds an ``Int64``.

    For builtins (dicts, lists), which are changed in place; a value of an unexpected type is left
    alone, for the decoder to refuse.
    """
    node = inspect.type_info(message)
    if not isinstance(node, inspect.StructType):
        raise TypeError(f"{message} is no message")
    return _mapped_fields(node, leaf, frozenset())


def _mapped_fields(node: inspect.StructType, leaf: Fix, above: frozenset[type]) -> dict[str, Fix]:
    if node.cls in above:
        raise TypeError(f"{node.cls.__name__} holds itself")
    above |= {node.cls}
    return {f.encode_name: fix for f in node.fields if (fix := _mapped(f.type, leaf, above))}


def _mapped(node: inspect.Type, leaf: Fix, above: frozenset[type]) -> Fix | None:
    match node:
        case inspect.Metadata():
            return leaf if (node.extra or {}).get("int64") else _mapped(node.type, leaf, above)
        case inspect.UnionType():
            fixes = [fix for each in node.types if (fix := _mapped(each, leaf, above))]
            return _one_after_the_other(fixes) if fixes else None
        case inspect.StructType():
            fields = _mapped_fields(node, leaf, above)
            return _mapped_dict(node, fields) if fields else None
        case inspect.DictType():
            fix = _mapped(node.value_type, leaf, above)
            return _mapped_values(fix) if fix else None
        case inspect.CollectionType():
            fix = _mapped(node.item_type, leaf, above)
            return _mapped_items(fix) if fix else None
        case _:
            return None


def _one_after_the_other(fixes: list[Fix]) -> Fix:
    def fix(value: Any) -> Any:
        for each in fixes:
            value = each(value)
        return value

    return fix


def _mapped_dict(node: inspect.StructType, fields: dict[str, Fix]) -> Fix:
    def fix(value: Any) -> Any:
        if isinstance(value, dict) and (node.tag_field is None or value.get(node.tag_field) == node.tag):
            for name, each in fields.items():
                if name in value:
                    value[name] = each(value[name])
        return value

    return fix


def _mapped_values(each: Fix) -> Fix:
    def fix(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: each(item) for key, item in value.items()}
        return value

    return fix


def _mapped_items(each: Fix) -> Fix:
    def fix(value: Any) -> Any:
        if isinstance(value, list):
            return [each(item) for item in value]
        return value

    return fix
