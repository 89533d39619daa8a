"""Every reply and event of the catalogue, from its type: in both formats the same, and read again when stored."""

import json
from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from protocol import Message, MessageDecoder, Wire, encode
from protocol.catalogue import build
from tests.fuzz.effort import effort
from tests.fuzz.shapes import PLAN, SAID, values

DECODERS = {tag: MessageDecoder([kind]) for tag, kind in SAID.items()}
ALL = MessageDecoder(SAID.values())
CATALOGUE = build(PLAN.requests, [kind for kind in PLAN.events() if kind in SAID.values()], [])["messages"]  # type: ignore[misc]
said = st.sampled_from(sorted(SAID)).flatmap(lambda tag: values(SAID[tag]))


def same(fields: dict[str, Any], in_json: Any, in_msgpack: Any) -> bool:
    """Whether a map says the same in both formats; ``fields`` are its types in the catalogue."""
    return in_json.keys() == in_msgpack.keys() and all(
        _same(fields.get(name, {}), value, in_msgpack[name]) for name, value in in_json.items()
    )


def _same(shown: dict[str, Any], in_json: Any, in_msgpack: Any) -> bool:
    if in_json is None or in_msgpack is None:
        return in_json is in_msgpack
    if shown.get("format") == "int64":
        return type(in_json) is str and type(in_msgpack) is int and in_json == str(in_msgpack)
    if "items" in shown and isinstance(in_json, list):
        return len(in_json) == len(in_msgpack) and all(map(_same, [shown["items"]] * len(in_json), in_json, in_msgpack))
    if "items" in shown and isinstance(in_json, dict):
        return in_json.keys() == in_msgpack.keys() and all(
            _same(shown["items"], value, in_msgpack[key]) for key, value in in_json.items()
        )
    if "fields" in shown:
        return same(shown["fields"], in_json, in_msgpack)
    return bool(in_json == in_msgpack)


def test_all_that_is_said_is_tried() -> None:
    assert {tag for tag, shown in CATALOGUE.items() if shown["direction"] != "request"} <= SAID.keys()


@effort
@given(said)
def test_what_is_said_means_the_same_in_both_formats(message: Message) -> None:
    in_json, in_msgpack = json.loads(encode(Wire.JSON, message)), msgpack.unpackb(encode(Wire.MSGPACK, message))

    assert in_json["t"] == in_msgpack["t"]
    if in_json["t"] in CATALOGUE:
        assert same({"t": {}, **CATALOGUE[in_json["t"]]["fields"]}, in_json, in_msgpack)


@effort
@given(said)
def test_what_is_kept_is_read_again(message: Message) -> None:
    tag = str(message.__struct_config__.tag)
    kept = encode(Wire.MSGPACK, message)

    assert DECODERS[tag].decode(kept) == message
    assert ALL.decode(kept) == message
