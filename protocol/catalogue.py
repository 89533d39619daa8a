"""Every message and error as one document, and what may not change about them.

``build`` makes it from the types; it is generated, committed, and compared with the last release: adding is free,
whatever breaks a client in the field is listed by ``compare``.
"""

import inspect as python
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import msgspec
from msgspec import inspect, structs

from protocol.closing import CloseCode, may_reconnect
from protocol.errors import GuildhallError
from protocol.messages import ErrorReply, Event, Message, Reply, Request, tag_of

VERSION = 1  # of PROTOCOL.md

Document = dict[str, Any]

_NAMES: Mapping[type[inspect.Type], str] = {
    inspect.AnyType: "any",
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "string",
}
_BOUNDS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length")
_LOWER = frozenset({"ge", "gt", "min_length"})


def build(
    requests: Iterable[type[Request[Any]]],
    events: Iterable[type[Event]],
    errors: Iterable[type[GuildhallError]],
) -> Document:
    """The catalogue: the same types give the same document, whatever their order.

    The replies are those that the requests name, and ``error``.

    Raises:
        ValueError: two types share a tag, or two errors a code.
    """
    messages: dict[str, Document] = {}
    replies: dict[type[Message], None] = {ErrorReply: None}
    for request in dict.fromkeys(requests):
        reply = reply_of(request)
        replies[reply] = None
        _add(messages, tag_of(request), {"direction": "request", "reply": tag_of(reply), **_message(request)})
    for each in replies:
        _add(messages, tag_of(each), {"direction": "reply", **_message(each)})
    for event in dict.fromkeys(events):
        _add(messages, tag_of(event), {"direction": "event", **_message(event)})
    codes: dict[str, Document] = {}
    for error in dict.fromkeys(errors):
        _add(codes, error.code, {"retry": error.retry, "doc": _doc(error)})
    closes = {str(c.value): {"name": c.name.lower(), "reconnect": may_reconnect(c)} for c in CloseCode}
    return {
        "version": VERSION,
        "messages": dict(sorted(messages.items())),
        "errors": dict(sorted(codes.items())),
        "close_codes": closes,
    }


def render(document: Document) -> str:
    """The text that is committed: keys in the order of ``build``, two spaces of indent, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def reply_of(request: type[Request[Any]]) -> type[Reply]:
    """The reply that ``request`` names: the argument of its ``Request[...]``."""
    for kind in request.__mro__:
        for origin in getattr(kind, "__orig_bases__", ()):
            for argument in get_args(origin):
                if isinstance(argument, type) and issubclass(argument, Reply):
                    return argument
    raise TypeError(f"{request.__name__} names no reply")


def _add(entries: dict[str, Document], name: str, entry: Document) -> None:
    if name in entries:
        raise ValueError(f"{name} is declared twice")
    entries[name] = entry


def _doc(kind: type) -> str:
    doc = kind.__dict__.get("__doc__") or ""
    return python.cleandoc(doc).partition("\n")[0] if doc else ""


def _message(message: type[Message]) -> Document:
    node = inspect.type_info(message)
    if not isinstance(node, inspect.StructType):
        raise TypeError(f"{message} is no message")
    return {"doc": _doc(message), "fields": _fields(node, ())}


def _fields(node: inspect.StructType, above: tuple[type, ...]) -> Document:
    return {field.encode_name: _field(field, (*above, node.cls)) for field in node.fields}


def _field(field: inspect.Field, above: tuple[type, ...]) -> Document:
    shown = {**_type(field.type, above), "required": field.required}
    if field.default is not structs.NODEFAULT:  # type: ignore[attr-defined]
        shown["default"] = msgspec.to_builtins(field.default)
    elif field.default_factory is not structs.NODEFAULT:  # type: ignore[attr-defined]
        shown["default"] = msgspec.to_builtins(field.default_factory())
    return shown


def _type(node: inspect.Type, above: tuple[type, ...]) -> Document:
    match node:
        case inspect.Metadata():
            shown = {**_type(node.type, above), **_extras(node)}
        case inspect.UnionType():
            shown = _union(node, above)
        case inspect.StructType():
            shown = _object(node, above)
        case inspect.LiteralType() | inspect.EnumType():
            shown = _choice(node)
        case inspect.DictType():
            shown = {"type": "map", "items": _type(node.value_type, above), **_bounds(node)}
        case inspect.TupleType():
            shown = {"type": "tuple", "members": [_type(each, above) for each in node.item_types]}
        case inspect.CollectionType():
            shown = {"type": "array", "items": _type(node.item_type, above), **_bounds(node)}
        case _ if type(node) in _NAMES:
            shown = {"type": _NAMES[type(node)], **_bounds(node)}
        case _:
            raise TypeError(f"{node} has no place on the wire")
    return shown


def _object(node: inspect.StructType, above: tuple[type, ...]) -> Document:
    if node.cls in above:
        return {"type": "object", "same_as": node.cls.__name__}
    tag = {"tag": node.tag} if node.tag is not None else {}
    return {"type": "object", **tag, "fields": _fields(node, above)}


def _union(node: inspect.UnionType, above: tuple[type, ...]) -> Document:
    members = [_type(each, above) for each in node.types if not isinstance(each, inspect.NoneType)]
    shown = members[0] if len(members) == 1 else {"type": "any_of", "members": members}
    return {**shown, "nullable": True} if node.includes_none else shown


def _choice(node: inspect.LiteralType | inspect.EnumType) -> Document:
    values = list(node.values) if isinstance(node, inspect.LiteralType) else [each.value for each in node.cls]
    return {"type": "string" if all(isinstance(v, str) for v in values) else "integer", "choices": sorted(values)}


def _extras(node: inspect.Metadata) -> Document:
    extras: Document = {}
    if (node.extra or {}).get("int64"):
        extras["format"] = "int64"
    elif text := (node.extra or {}).get("text"):
        extras["format"] = "text" if text.__name__ == "clean" else text.__name__
    if about := (node.extra_json_schema or {}).get("description"):
        extras["doc"] = about
    return extras


def _bounds(node: inspect.Type) -> Document:
    bounds = {name: bound for name in _BOUNDS if (bound := getattr(node, name, None)) is not None}
    if pattern := getattr(node, "pattern", None):
        # As other languages write it: \A and \Z are Python's.
        bounds["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    return bounds


def compare(old: Document, new: Document) -> list[str]:
    """What in ``new`` breaks clients that were written against ``old``, one sentence each; empty: nothing."""
    breaks: list[str] = []
    for tag, was in old["messages"].items():
        now = new["messages"].get(tag)
        if now is None:
            breaks.append(f"{tag}: removed")
        else:
            breaks.extend(_message_breaks(tag, was, now))
    for code, was in old["errors"].items():
        now = new["errors"].get(code)
        if now is None:
            breaks.append(f"error {code}: removed")
        elif now["retry"] != was["retry"]:
            breaks.append(f"error {code}: retry was {was['retry']}, is {now['retry']}")
    for code, was in old["close_codes"].items():
        if new["close_codes"].get(code) != was:
            breaks.append(f"close code {code}: removed or changed")
    return breaks


def _message_breaks(tag: str, was: Document, now: Document) -> list[str]:
    breaks = [
        f"{tag}: {what} was {was.get(what)}, is {now.get(what)}"
        for what in ("direction", "reply")
        if was.get(what) != now.get(what)
    ]
    return breaks + _fields_breaks(tag, was["fields"], now["fields"], sent=was["direction"] == "request")


def _fields_breaks(path: str, was: Document, now: Document, *, sent: bool) -> list[str]:
    """``sent``: clients send these fields; else they read them."""
    breaks = []
    for name, field in was.items():
        if name not in now:
            breaks.append(f"{path}.{name}: removed")
            continue
        breaks.extend(_type_breaks(f"{path}.{name}", field, now[name], sent=sent))
        if sent and now[name]["required"] and not field["required"]:
            breaks.append(f"{path}.{name}: now required")
        if not sent and field["required"] and not now[name]["required"]:
            breaks.append(f"{path}.{name}: may now be absent")
    if sent:
        new = now.keys() - was.keys()
        breaks.extend(f"{path}.{name}: new and required" for name in new if now[name]["required"])
    return sorted(breaks)


def _type_breaks(path: str, was: Document, now: Document, *, sent: bool) -> list[str]:
    for what in ("type", "format", "same_as", "tag"):
        if was.get(what) != now.get(what):
            return [f"{path}: {what} was {was.get(what)}, is {now.get(what)}"]
    breaks = _null_breaks(path, was, now, sent=sent)
    if sent:
        breaks += _tightened(path, was, now)
    if "items" in was:
        breaks += _type_breaks(f"{path}[]", was["items"], now["items"], sent=sent)
    breaks += _member_breaks(path, was.get("members", []), now.get("members", []), sent=sent)
    if "fields" in was and "fields" in now:
        breaks += _fields_breaks(path, was["fields"], now["fields"], sent=sent)
    return breaks


def _null_breaks(path: str, was: Document, now: Document, *, sent: bool) -> list[str]:
    if sent and was.get("nullable") and not now.get("nullable"):
        return [f"{path}: null is refused"]
    if not sent and now.get("nullable") and not was.get("nullable"):
        return [f"{path}: may now be null"]
    return []


def _member_breaks(path: str, was: list[Document], now: list[Document], *, sent: bool) -> list[str]:
    """Of a tuple's places or a union's types, told apart by their order."""
    if len(was) > len(now):
        return [f"{path}: has fewer members"]
    pairs = enumerate(zip(was, now, strict=False))
    return [line for n, (old, new) in pairs for line in _type_breaks(f"{path}[{n}]", old, new, sent=sent)]


def _tightened(path: str, was: Document, now: Document) -> list[str]:
    breaks = []
    for name in _BOUNDS:
        old, new = was.get(name), now.get(name)
        if new is None or new == old:
            continue
        if name == "multiple_of" or old is None or (new > old if name in _LOWER else new < old):
            breaks.append(f"{path}: {name} was {old}, is {new}")
    if now.get("pattern") not in {None, was.get("pattern")}:
        breaks.append(f"{path}: pattern was {was.get('pattern')}, is {now['pattern']}")
    gone = _choices(was) - _choices(now)
    if gone and _choices(now):
        breaks.append(f"{path}: {', '.join(sorted(map(str, gone)))} refused")
    return breaks


def _choices(field: Document) -> set[Any]:
    return set(field.get("choices", ()))
