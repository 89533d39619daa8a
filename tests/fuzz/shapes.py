"""Values of any message type, made from the type: a new message is covered without anybody's doing.

``values`` are good ones, for hypothesis; ``edges`` and ``wrongs`` are what stands at each bound of a field and past it.
"""

from collections.abc import Iterator
from functools import cache
from math import inf, nan
from typing import Any

from hypothesis import strategies as st
from msgspec import UNSET, inspect

from protocol import DATA_ENTRIES, INT64_MAX, INT64_MIN, SESSION_REQUESTS, Message, Request, tag_of
from protocol.catalogue import reply_of
from protocol.messages import ErrorReply
from server.features import blueprint

Fields = dict[str, Any]
Strategy = st.SearchStrategy[Any]
PLAN = blueprint()
REQUESTS: dict[str, type[Request[Any]]] = {tag_of(r): r for r in (*SESSION_REQUESTS, *PLAN.requests)}
_SAID: list[type[Message]] = [ErrorReply, *map(reply_of, REQUESTS.values()), *PLAN.events()]
SAID = {tag_of(message): message for message in _SAID}
"""Every reply and event, by tag."""

# Strings without surrogates, which no decoder lets in; control, bidi and look-alike characters among them.
texts = st.text(max_size=8) | st.text("ab\x00\x1b\u202e\u2066\u200d\ufeff\u0430e\u0301 \U0001f600", max_size=8)
int64s = st.integers(INT64_MIN, INT64_MAX) | st.sampled_from((0, 2**53, 2**53 + 1, INT64_MAX, INT64_MIN))
floats = st.floats(allow_nan=False, allow_infinity=False)
free: Strategy = st.recursive(
    st.none() | st.booleans() | int64s | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@cache
def values(kind: Any) -> Strategy:
    """Values of ``kind``, within all its bounds."""
    return _values(inspect.type_info(kind))


def _values(node: inspect.Type) -> Strategy:  # noqa: C901, PLR0911, PLR0912 - one line for each sort of type
    match node:
        case inspect.Metadata(extra={"text": make}):
            return _texts(node.type).filter(lambda text: _is_clean(make, text))
        case inspect.Metadata():
            return _values(node.type)
        case inspect.UnionType():
            return st.one_of([_values(each) for each in node.types])
        case inspect.StructType():
            return _structs(node)
        case inspect.DictType():
            return st.dictionaries(_values(node.key_type), _values(node.value_type), max_size=3)
        case inspect.ListType():
            least = node.min_length or 0
            return st.lists(_values(node.item_type), min_size=least, max_size=min(least + 3, node.max_length or 3))
        case inspect.VarTupleType():
            return st.lists(_values(node.item_type), max_size=3).map(tuple)
        case inspect.TupleType():
            return st.tuples(*map(_values, node.item_types))
        case inspect.StrType():
            return _texts(node)
        case inspect.IntType():
            least, most = bounds(node)
            return st.integers(least, most) | st.sampled_from((least, most))
        case inspect.FloatType():
            return floats
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType():
            return st.sampled_from(sorted(node.values, key=str))
        case inspect.EnumType():
            return st.sampled_from(list(node.cls))
        case inspect.AnyType():
            return free
        case _:
            raise TypeError(f"no values for {node}: add a line to tests/fuzz/shapes.py")


def _structs(node: inspect.StructType) -> Strategy:
    required = {field.name: _values(field.type) for field in node.fields if field.required}
    optional = {field.name: _values(field.type) for field in node.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: node.cls(**fields))


def _texts(node: inspect.Type) -> Strategy:
    assert isinstance(node, inspect.StrType)
    if node.pattern:
        return st.from_regex(node.pattern)
    short, long = node.min_length or 0, node.max_length
    some = st.text(min_size=short, max_size=min(long, short + 12) if long else short + 12)
    return some if long is None else some | st.sampled_from(("x" * short, "x" * min(long, 100)))


def _is_clean(make: Any, text: str) -> bool:
    """Whether cleaning leaves ``text`` as it is."""
    try:
        return bool(make(text) == text)
    except ValueError:
        return False


def bounds(node: inspect.IntType) -> tuple[int, int]:
    """The least and the most that a whole number may be."""
    least = node.ge if node.ge is not None else node.gt + 1 if node.gt is not None else INT64_MIN
    most = node.le if node.le is not None else node.lt - 1 if node.lt is not None else INT64_MAX
    return least, most


class Place:
    """A place in the map of a message where a value stands: ``keys`` lead to it."""

    def __init__(self, keys: tuple[Any, ...], node: inspect.Type, *, required: bool, nullable: bool) -> None:
        self.keys = keys
        self.node = node
        self.required = required
        self.nullable = nullable

    def __repr__(self) -> str:
        return ".".join(map(str, self.keys))

    def put(self, fields: Fields, value: Any) -> Fields:
        """A copy of ``fields`` with ``value`` in this place; ``UNSET`` takes the place out."""
        made: Fields = _put(fields, self.keys, value)
        return made


def _put(within: Any, keys: tuple[Any, ...], value: Any) -> Any:
    first, *rest = keys
    made: Any = dict(within) if isinstance(within, dict) else list(within)
    if rest:
        made[first] = _put(made[first], tuple(rest), value)
    elif value is UNSET:
        del made[first]
    else:
        made[first] = value
    return made


def full(request: type[Request[Any]]) -> Fields:
    """The map of a good request with every field in it, and an entry in every list and map."""
    made = _full(inspect.type_info(request))
    assert isinstance(made, dict)
    return made


def _full(node: inspect.Type) -> Any:  # noqa: C901, PLR0911, PLR0912 - one line for each sort of type
    match node:
        case inspect.Metadata():
            return _full(node.type)
        case inspect.UnionType():
            return _full(next(each for each in node.types if not isinstance(each, inspect.NoneType)))
        case inspect.StructType():
            tag = {node.tag_field: node.tag} if node.tag_field else {}
            return {**tag, **{field.encode_name: _full(field.type) for field in node.fields}}
        case inspect.DictType():
            return {_full(node.key_type): _full(node.value_type)}
        case inspect.ListType() | inspect.VarTupleType():
            return [_full(node.item_type)] * max(1, node.min_length or 0)
        case inspect.TupleType():
            return [_full(each) for each in node.item_types]
        case inspect.StrType():
            return (
                "room:lobby"
                if node.pattern and ":" in node.pattern
                else "a" * max(3, node.min_length or 0, _fixed(node))
            )
        case inspect.IntType():
            return max(1, bounds(node)[0])
        case inspect.LiteralType():
            return min(node.values, key=str)
        case inspect.BoolType():
            return True
        case inspect.FloatType():
            return 1.5
        case inspect.AnyType():
            return {"n": 1}
        case _:
            raise TypeError(f"no example for {node}: add a line to tests/fuzz/shapes.py")


def _fixed(node: inspect.StrType) -> int:
    """How long a text is whose pattern ends in ``{N}``; else 0."""
    tail = (node.pattern or "").rpartition("{")[2].partition("}")[0]
    return int(tail) if tail.isdecimal() else 0


def places(request: type[Request[Any]]) -> Iterator[Place]:
    """Every place of ``full(request)`` that has a type of its own."""
    node = inspect.type_info(request)
    yield Place(("t",), inspect.LiteralType((tag_of(request),)), required=True, nullable=False)
    yield from _places((), node, required=True)


def _places(keys: tuple[Any, ...], node: inspect.Type, *, required: bool) -> Iterator[Place]:
    nullable = False
    if isinstance(node, inspect.UnionType):
        nullable = node.includes_none
        node = next(each for each in node.types if not isinstance(each, inspect.NoneType))
    bare = node.type if isinstance(node, inspect.Metadata) else node
    if keys:
        yield Place(keys, node, required=required, nullable=nullable)
    match bare:
        case inspect.StructType():
            for field in bare.fields:
                yield from _places((*keys, field.encode_name), field.type, required=field.required)
        case inspect.TupleType():
            for n, each in enumerate(bare.item_types):
                yield from _places((*keys, n), each, required=True)
        case inspect.DictType() if not isinstance(bare.value_type, inspect.AnyType):
            yield from _places((*keys, _full(bare.key_type)), bare.value_type, required=False)
        case inspect.ListType() | inspect.VarTupleType() if not isinstance(bare.item_type, inspect.AnyType):
            yield from _places((*keys, 0), bare.item_type, required=bool(bare.min_length))
        case _:
            return


def edges(node: inspect.Type) -> Iterator[Any]:
    """What is just within the bounds of a place."""
    bare = node.type if isinstance(node, inspect.Metadata) else node
    match bare:
        case inspect.IntType():
            yield from bounds(bare)
        case inspect.StrType() if bare.pattern is None:
            yield "x" * (bare.min_length or 0)
            yield "x" * (300 if bare.max_length is None else bare.max_length)
        case inspect.DictType(value_type=inspect.AnyType()):
            yield {str(n): n for n in range(DATA_ENTRIES)}
        case inspect.ListType() if bare.max_length is not None:
            yield [_full(bare.item_type)] * bare.max_length
        case inspect.LiteralType():
            yield from bare.values
        case _:
            return


def wrongs(place: Place) -> Iterator[Any]:
    """What may not stand in a place: other types, and what is just past its bounds."""
    bare = place.node.type if isinstance(place.node, inspect.Metadata) else place.node
    if not place.nullable:
        yield None
    yield from (value for kind, value in _OTHERS if not isinstance(bare, kind))
    match bare:
        case inspect.IntType():
            least, most = bounds(bare)
            yield from (least - 1, most + 1, 1.5, "1x", "", "0x1", " 1", "9" * 25)
        case inspect.FloatType():
            yield from (nan, inf, -inf)
        case inspect.StrType():
            yield from _wrong_texts(bare)
        case inspect.LiteralType():
            yield from ("", "no such thing", "\u202e")
        case inspect.DictType(value_type=inspect.AnyType()):
            yield {str(n): n for n in range(DATA_ENTRIES + 1)}
            yield from ({"n": INT64_MAX + 1}, {"n": INT64_MIN - 1}, {"n": nan}, {"n": inf})
        case inspect.DictType() | inspect.ListType() if bare.max_length is not None:
            yield _too_many(bare)
        case _:
            return


def _wrong_texts(node: inspect.StrType) -> Iterator[str]:
    if node.min_length:
        yield "x" * (node.min_length - 1)
    if node.max_length is not None:
        yield "x" * (node.max_length + 1)
    if node.pattern is not None:
        yield from ("\x00", "\u202e", "a\n", "\u0430", "a b", "x" * 200, "../a", "';--")


def _too_many(node: inspect.DictType | inspect.ListType) -> Any:
    assert node.max_length is not None
    if isinstance(node, inspect.ListType):
        return [_full(node.item_type)] * (node.max_length + 1)
    return {str(n): _full(node.value_type) for n in range(node.max_length + 1)}


_OTHERS: tuple[tuple[type | tuple[type, ...], Any], ...] = (
    ((inspect.StrType, inspect.LiteralType), "text"),
    (inspect.IntType, 7),
    (inspect.FloatType, 2**63),
    (inspect.BoolType, True),
    ((inspect.ListType, inspect.TupleType, inspect.VarTupleType), []),
    ((inspect.DictType, inspect.StructType), {}),
)
