"""Bytes to messages and back, in both wire formats, with every limit of PROTOCOL.md.

A request is decoded and checked in one pass by msgspec. What it cannot check (text to clean,
free-form values, int64 in JSON) is found out once for each type, when the codec is built; a type
that has none of it pays one dictionary look-up.
"""

import re
from collections.abc import Iterable
from enum import Enum
from functools import cache, reduce
from hashlib import blake2b
from operator import or_
from typing import Any, TypeVar

from msgspec import UNSET, Struct, ValidationError, convert, defstruct, json, msgpack, structs, to_builtins

from protocol.errors import Invalid
from protocol.int64 import Fix, int64_map
from protocol.messages import Hello, Message, Ping, Request, RequestId, TopicSync, tag_of
from protocol.settle import Settler, Unfit
from protocol.text import clean

SESSION_REQUESTS: tuple[type[Request[Any]], ...] = (Hello, Ping, TopicSync)
"""What every codec understands, whatever the rooms are."""

MAX_BYTES = 16_384  # of one inbound message
MAX_DEPTH = 16  # levels of maps and lists, the message's own map included
REASON_CHARS = 200  # of an error's message: it may quote what was sent
DIGEST_BYTES = 16

_DECIMAL = re.compile(r"-?[0-9]{1,19}")
S = TypeVar("S", bound=Struct)


class Wire(Enum):
    """A wire format, as the WebSocket subprotocol names it."""

    JSON = ("guildhall.v1.json", False)
    MSGPACK = ("guildhall.v1.msgpack", True)

    def __init__(self, subprotocol: str, binary: bool) -> None:
        self.subprotocol = subprotocol
        self.binary = binary
        """Whether it is MessagePack, which travels in binary frames; JSON does in text frames."""

    __hash__ = object.__hash__  # Enum's hashes the name each time; wires are keys on the hot path


class Codec:
    """Decodes what clients send: the given requests and ``SESSION_REQUESTS``.

    ``max_depth`` bounds what is kept of a message; an unknown field is skipped unread, however deep
    it is, up to where the decoder refuses the message.
    """

    def __init__(
        self,
        requests: Iterable[type[Request[Any]]],
        max_bytes: int = MAX_BYTES,
        max_depth: int = MAX_DEPTH,
    ) -> None:
        self.max_bytes = max_bytes
        known = tuple(dict.fromkeys((*SESSION_REQUESTS, *requests)))
        settler = Settler(max_depth)
        self.tags = {request: tag_of(request) for request in known}
        """The wire's ``t`` of every request: asking its type for it each time takes as long as decoding it."""
        self._settle: dict[type, Fix] = {}
        for request in known:
            if settle := settler.of(request):
                self._settle[request] = settle
        in_json = tuple(self._json_form(request) for request in known)
        self._json = json.Decoder(_one_of(in_json)).decode
        self._msgpack = msgpack.Decoder(_one_of(known)).decode

    def decode(self, wire: Wire, payload: bytes) -> Request[Any]:
        """The request in ``payload``, its text cleaned.

        Raises:
            Invalid: it is not a message that this codec knows, or out of bounds; ``re`` is its id
                where one can be read.
        """
        if len(payload) > self.max_bytes:
            raise Invalid(f"Message is longer than {self.max_bytes} bytes")
        try:
            message = self._msgpack(payload) if wire.binary else self._json(payload)
            settle = self._settle.get(type(message))
            return message if settle is None else settle(message)  # type: ignore[no-any-return]
        except (ValueError, RecursionError, OverflowError) as error:
            raise Invalid(_reason(error), re=_readable_id(wire, payload)) from None

    def _json_form(self, request: type[Request[Any]]) -> type[Struct]:
        """The type that JSON is decoded to: ``request``, or one with room for int64 strings."""
        int64s = int64_map(request, _from_decimal)
        if not int64s:
            return request
        form, names = _with_open_fields(request, int64s)
        settle = self._settle.get(request)

        def close(message: Struct) -> Struct:
            values = {k: v for k, v in structs.asdict(message).items() if v is not UNSET}
            for name, (wire_name, kind) in names.items():
                if name in values:
                    values[name] = _closed(int64s[wire_name](values[name]), kind, wire_name)
            made = request(**values)
            return settle(made) if settle else made

        self._settle[form] = close
        return form


def _with_open_fields(request: type[Struct], opened: Iterable[str]) -> tuple[type[Struct], dict[str, tuple[str, Any]]]:
    """A twin of ``request`` whose ``opened`` fields take any value, and those fields' own types.

    A field that was not sent is UNSET in the twin, so that ``request`` supplies its default.
    """
    fields: list[Any] = []
    names = {}
    for field in structs.fields(request):
        kind = Any if field.encode_name in opened else field.type
        fields.append((field.name, kind) if field.required else (field.name, kind, UNSET))
        if field.encode_name in opened:
            names[field.name] = (field.encode_name, field.type)
    config = request.__struct_config__
    form = defstruct(
        f"{request.__name__}InJson",
        fields,
        tag_field=config.tag_field,
        tag=config.tag,
        rename={f.name: f.encode_name for f in structs.fields(request)},
        kw_only=True,
        frozen=True,
    )
    return form, names


def _closed(value: Any, kind: Any, wire_name: str) -> Any:
    try:
        return convert(value, kind)
    except ValidationError as error:
        raise Unfit(f"{str(error).partition(' - at ')[0]} - at `$.{wire_name}`") from None


def _from_decimal(value: Any) -> Any:
    return int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value


def _to_decimal(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _one_of(types: Iterable[type[Struct]]) -> Any:
    """The union of ``types``; None, which decodes no message at all, where there are none."""
    members: tuple[Any, ...] = tuple(types)
    return reduce(or_, members) if members else None


class _Addressed(Struct):
    """As much of a bad message as is needed to answer it."""

    id: RequestId


_peek_json = json.Decoder(_Addressed).decode
_peek_msgpack = msgpack.Decoder(_Addressed).decode


def _readable_id(wire: Wire, payload: bytes) -> str | None:
    try:
        return (_peek_json if wire is Wire.JSON else _peek_msgpack)(payload).id
    except (ValueError, RecursionError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "Nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"Text is not UTF-8: {error.reason}"
    return clean(str(error)[:REASON_CHARS])


@cache
def _int64s_of(message: type[Message]) -> dict[str, Fix]:
    return int64_map(message, _to_decimal)


_encode_json = json.Encoder().encode
_encode_msgpack = msgpack.Encoder().encode


def encode(wire: Wire, message: Message) -> bytes:
    """``message`` as it travels in ``wire``; in JSON, int64 fields are decimal strings."""
    if wire.binary:
        return _encode_msgpack(message)
    int64s = _int64s_of(type(message))
    if not int64s:
        return _encode_json(message)
    fields = to_builtins(message)
    for name, to_decimal in int64s.items():
        if name in fields:
            fields[name] = to_decimal(fields[name])
    return _encode_json(fields)


# Sorted all through, so that a later release may move fields about.
_encode_sorted = msgpack.Encoder(order="sorted").encode


def digest(message: Request[Any]) -> bytes:
    """16 bytes that are equal for requests that ask the same, whatever their ids and wire format."""
    body = _encode_sorted(structs.replace(message, id=""))
    return blake2b(body, digest_size=DIGEST_BYTES).digest()


class MessageDecoder:
    """Decodes MessagePack that this server has written: stored events, tells, kept replies."""

    def __init__(self, types: Iterable[type[Message]]) -> None:
        known = tuple(dict.fromkeys(types))
        self._decode = msgpack.Decoder(_one_of(known)).decode

    def decode(self, payload: bytes) -> Message:
        """The message in ``payload``.

        Raises:
            msgspec.DecodeError: it is none of the given types; a newer release may have written it.
        """
        message: Message = self._decode(payload)
        return message


@cache
def _settle_for(kind: type[Struct]) -> Fix | None:
    return Settler(MAX_DEPTH).of(kind)


def settled(value: S) -> S:
    """``value`` with its text cleaned and its free-form fields checked, as the codec does.

    For structs that come in by another way (HTTP).

    Raises:
        Invalid: a field is out of bounds, or text is once it is cleaned.
    """
    settle = _settle_for(type(value))
    try:
        return settle(value) if settle else value
    except Unfit as error:
        raise Invalid(_reason(error)) from None
