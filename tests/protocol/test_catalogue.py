"""The catalogue is one deterministic document, and tells what would break a client in the field."""

from collections.abc import Callable
from copy import deepcopy
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from protocol import (
    Busy,
    ErrorReply,
    Event,
    GuildhallError,
    Hello,
    Invalid,
    Ping,
    Reply,
    Request,
    TopicSync,
    catalogue,
)
from tests.protocol.samples import REQUESTS, ChatMessage, ChatSend, ChatSent


class Part(Struct, frozen=True):
    size: int


class Made(Reply, tag="thing.made", frozen=True, kw_only=True):
    """The thing exists."""

    thing: str
    note: str | None = None


class Make(Request[Made], tag="thing.make", frozen=True, kw_only=True):
    """Make a thing.

    Only the first line of this is shown.
    """

    name: Annotated[str, Meta(min_length=2, max_length=9, pattern=r"\A[a-z]+\Z")]
    kind: Literal["soft", "hard"] = "soft"
    count: Annotated[int, Meta(ge=1, le=99)] | None = None
    parts: Annotated[list[Part], Meta(max_length=4)] = []


class Changed(Event, tag="thing.changed", frozen=True, kw_only=True):
    prices: dict[str, int]
    extra: str = ""


class ThingLost(GuildhallError):
    """The thing is gone."""

    code = "thing.lost"


def sample() -> catalogue.Document:
    return catalogue.build([Make, Ping], [Changed], [ThingLost, Busy])


def test_every_message_and_error_is_shown_with_its_types_and_bounds() -> None:
    document = sample()

    assert document["messages"]["thing.make"] == {
        "direction": "request",
        "reply": "thing.made",
        "doc": "Make a thing.",
        "fields": {
            "id": {"type": "string", "min_length": 1, "max_length": 36, "required": True},
            "name": {"type": "string", "min_length": 2, "max_length": 9, "pattern": "^[a-z]+$", "required": True},
            "kind": {"type": "string", "choices": ["hard", "soft"], "required": False, "default": "soft"},
            "count": {"type": "integer", "ge": 1, "le": 99, "nullable": True, "required": False, "default": None},
            "parts": {
                "type": "array",
                "items": {"type": "object", "fields": {"size": {"type": "integer", "required": True}}},
                "max_length": 4,
                "required": False,
                "default": [],
            },
        },
    }
    assert document["messages"]["thing.made"]["direction"] == "reply"
    assert document["messages"]["thing.changed"]["fields"]["prices"]["type"] == "map"
    assert document["errors"]["thing.lost"] == {"retry": "never", "doc": "The thing is gone."}
    assert document["close_codes"]["4000"] == {"name": "draining", "reconnect": True}
    assert document["close_codes"]["4501"] == {"name": "not_authenticated", "reconnect": False}
    assert list(document["messages"]) == sorted(document["messages"])
    assert "error" in document["messages"]


def test_int64_and_cleaned_text_are_told() -> None:
    messages = catalogue.build(REQUESTS, [], [])["messages"]
    assert messages["leaderboard.submit"]["fields"]["score"]["format"] == "int64"
    assert messages["chat.send"]["fields"]["text"]["format"] == "text"
    assert messages["guild.found"]["fields"]["name"]["format"] == "display_name"


def test_the_same_types_give_the_same_text_in_whatever_order() -> None:
    requests: list[type[Request[Any]]] = [ChatSend, Make, Hello, TopicSync]
    one = catalogue.build(requests, [Changed, ChatMessage], [Busy, ThingLost, Invalid])
    other = catalogue.build(requests[::-1], [ChatMessage, Changed], [Invalid, ThingLost, Busy])

    assert catalogue.render(one) == catalogue.render(other)
    assert msgspec.json.decode(catalogue.render(one)) == msgspec.to_builtins(one)


def test_a_tag_or_code_that_is_taken_is_refused() -> None:
    class Twin(Event, tag="thing.make", frozen=True, kw_only=True):
        pass

    class LostToo(GuildhallError):
        """The same code once more."""

        code = "thing.lost"

    with pytest.raises(ValueError, match=r"thing\.make is declared twice"):
        catalogue.build([Make], [Twin], [])
    with pytest.raises(ValueError, match=r"thing\.lost is declared twice"):
        catalogue.build([], [], [ThingLost, LostToo])


def test_a_request_names_its_reply() -> None:
    assert catalogue.reply_of(ChatSend) is ChatSent
    assert ErrorReply is not catalogue.reply_of(Ping)


Change = Callable[[catalogue.Document], object]
MAKE, MADE, CHANGED = "thing.make", "thing.made", "thing.changed"


def fields(document: catalogue.Document, tag: str) -> Any:
    return document["messages"][tag]["fields"]


BREAKING: dict[str, Change] = {
    "thing.make: removed": lambda d: d["messages"].pop(MAKE),
    "thing.changed: removed": lambda d: d["messages"].pop(CHANGED),
    "thing.make: reply was thing.made, is pong": lambda d: d["messages"][MAKE].update(reply="pong"),
    "thing.changed: direction was event, is reply": lambda d: d["messages"][CHANGED].update(direction="reply"),
    "thing.made.thing: removed": lambda d: fields(d, MADE).pop("thing"),
    "thing.made.thing: type was string, is integer": lambda d: fields(d, MADE)["thing"].update(type="integer"),
    "thing.make.count: format was None, is int64": lambda d: fields(d, MAKE)["count"].update(format="int64"),
    "thing.made.thing: may now be absent": lambda d: fields(d, MADE)["thing"].update(required=False),
    "thing.changed.prices: may now be null": lambda d: fields(d, CHANGED)["prices"].update(nullable=True),
    "thing.changed.prices[]: type was integer, is string": lambda d: fields(d, CHANGED)["prices"].update(
        items={"type": "string"}
    ),
    "thing.make.kind: now required": lambda d: fields(d, MAKE)["kind"].update(required=True),
    "thing.make.more: new and required": lambda d: fields(d, MAKE).update(more={"type": "string", "required": True}),
    "thing.make.count: null is refused": lambda d: fields(d, MAKE)["count"].pop("nullable"),
    "thing.make.name: max_length was 9, is 8": lambda d: fields(d, MAKE)["name"].update(max_length=8),
    "thing.make.name: min_length was 2, is 3": lambda d: fields(d, MAKE)["name"].update(min_length=3),
    "thing.make.count: ge was 1, is 2": lambda d: fields(d, MAKE)["count"].update(ge=2),
    "thing.make.count: multiple_of was None, is 5": lambda d: fields(d, MAKE)["count"].update(multiple_of=5),
    "thing.make.name: pattern was ^[a-z]+$, is ^[a-c]+$": lambda d: fields(d, MAKE)["name"].update(pattern="^[a-c]+$"),
    "thing.make.kind: hard refused": lambda d: fields(d, MAKE)["kind"].update(choices=["soft"]),
    "thing.make.parts[].size: removed": lambda d: fields(d, MAKE)["parts"]["items"]["fields"].pop("size"),
    "thing.make.parts[].size: le was None, is 5": lambda d: fields(d, MAKE)["parts"]["items"]["fields"]["size"].update(
        le=5
    ),
    "error thing.lost: removed": lambda d: d["errors"].pop("thing.lost"),
    "error actor.busy: retry was later, is never": lambda d: d["errors"]["actor.busy"].update(retry="never"),
    "close code 4002: removed or changed": lambda d: d["close_codes"].pop("4002"),
}


@pytest.mark.parametrize("told", BREAKING)
def test_what_breaks_a_client_is_told(told: str) -> None:
    changed = deepcopy(sample())
    BREAKING[told](changed)
    assert catalogue.compare(sample(), changed) == [told]


HARMLESS: dict[str, Change] = {
    "nothing": lambda _d: None,
    "a new message": lambda d: d["messages"].update({"x.y": {"direction": "event", "fields": {}, "doc": ""}}),
    "a new error": lambda d: d["errors"].update({"x.y": {"retry": "never", "doc": ""}}),
    "a new optional field of a request": lambda d: fields(d, MAKE).update(x={"type": "string", "required": False}),
    "a new required field of a reply": lambda d: fields(d, MADE).update(x={"type": "string", "required": True}),
    "a wider bound": lambda d: fields(d, MAKE)["name"].update(max_length=99, min_length=1),
    "a bound less": lambda d: fields(d, MAKE)["count"].pop("le"),
    "a request field no longer required": lambda d: fields(d, MAKE)["name"].update(required=False, default="x"),
    "a choice more": lambda d: fields(d, MAKE)["kind"].update(choices=["hard", "soft", "wet"]),
    "a bound of what is only read": lambda d: fields(d, MADE)["thing"].update(max_length=5),
    "other words": lambda d: d["messages"][MAKE].update(doc="Make something."),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_what_no_client_notices_is_free(change: str) -> None:
    changed = deepcopy(sample())
    HARMLESS[change](changed)
    assert catalogue.compare(sample(), changed) == []
