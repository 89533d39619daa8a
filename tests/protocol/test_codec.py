"""Any bytes give a request or Invalid; both wire formats mean the same; nothing odd gets inside."""

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import (
    DATA_ENTRIES,
    INT64_MAX,
    INT64_MIN,
    MAX_BYTES,
    Codec,
    Hello,
    Invalid,
    MessageDecoder,
    Ping,
    Request,
    TopicSync,
    Wire,
    digest,
    encode,
    settled,
)
from tests.protocol.samples import CODEC, Badge, ChatMessage, ChatSend, ChatSent, Found, Line, Submit, Submitted


def pack(wire: Wire, fields: Any) -> bytes:
    """The outside view: what another implementation would send."""
    return msgpack.packb(fields) if wire.binary else json.dumps(fields).encode()


def refused(wire: Wire, fields: Any) -> Invalid:
    with pytest.raises(Invalid) as caught:
        CODEC.decode(wire, fields if isinstance(fields, bytes) else pack(wire, fields))
    return caught.value


wires = pytest.mark.parametrize("wire", list(Wire), ids=lambda w: w.name)
SEND = {"t": "chat.send", "id": "a1", "channel": "room:raid", "text": "hi"}


# What is understood.
@wires
def test_a_request_is_decoded_to_its_type_and_unknown_fields_are_skipped(wire: Wire) -> None:
    payload = pack(wire, {**SEND, "new": {"deep": [1]}, "data": {"a": [1, 2.5, None, True, {"b": "c"}]}})

    assert CODEC.decode(wire, payload) == ChatSend(
        id="a1", channel="room:raid", text="hi", data={"a": [1, 2.5, None, True, {"b": "c"}]}
    )


def test_every_codec_understands_the_messages_of_the_session() -> None:
    bare = Codec([])
    assert bare.decode(Wire.JSON, b'{"t":"ping","id":"p"}') == Ping(id="p")
    hello = bare.decode(
        Wire.JSON, b'{"t":"hello","id":"h","token":"x","resume":{"session":"s","cursors":{"guild:42":["e7",1016]}}}'
    )
    assert isinstance(hello, Hello)
    assert hello.resume is not None
    assert hello.resume.cursors == {"guild:42": ("e7", 1016)}


# What is refused, and how.
@wires
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({**SEND, "t": "chat.shout"}, r"`\$\.t`"),
        ({"id": "a1"}, "`t`"),
        ({**SEND, "text": 5}, r"`\$\.text`"),
        ({**SEND, "text": ""}, r"`\$\.text`"),
        ({**SEND, "text": "x" * 41}, r"`\$\.text`"),
        ({**SEND, "text": "\u202e\x00"}, r"after cleaning.*`\$\.text`"),
        ({**SEND, "text": "\u0958" * 30}, r"<= 40 after cleaning"),  # NFC takes each apart in two
        ({**SEND, "channel": "nowhere"}, r"`\$\.channel`"),
        ({**SEND, "data": [1]}, r"`\$\.data`"),
        ({**SEND, "data": {"n": INT64_MAX + 1}}, r"64 bits.*`\$\.data`"),
        ({**SEND, "data": {str(n): n for n in range(DATA_ENTRIES + 1)}}, r"keys and items.*`\$\.data`"),
        ({**SEND, "data": {"a": [[0] * 16] * 16}}, r"keys and items.*`\$\.data`"),
        ({"t": "topic.sync", "id": "a1", "topic": "x", "after": 2**63}, r"64 bits.*`\$\.after`"),
        ({"t": "guild.found", "id": "a1", "name": "<script>"}, r"only letters.*`\$\.name`"),
        ({"t": "guild.found", "id": "a1", "name": "Ann", "badges": [{"label": "\x00"}]}, r"`\$\.badges\[...\]\.label`"),
        ({"t": "guild.found", "id": "a1", "name": "Ann", "prices": {"x": 2**63}}, r"`\$\.prices\[...\]`"),
    ],
)
def test_a_bad_message_is_refused_with_its_id_the_field_and_the_reason(
    wire: Wire, fields: dict[str, Any], reason: str
) -> None:
    error = refused(wire, fields)

    assert error.re == "a1"
    assert error.code == "protocol.invalid"
    with pytest.raises(Invalid, match=reason):
        raise error


@wires
@pytest.mark.parametrize("bad_id", ["", "x" * 37, 5, None, ["a"]])
def test_an_id_that_is_none_is_not_answered_to(wire: Wire, bad_id: Any) -> None:
    assert refused(wire, {**SEND, "id": bad_id}).re is None


@wires
def test_an_error_never_quotes_more_than_a_little_of_the_message(wire: Wire) -> None:
    error = refused(wire, {**SEND, "t": "\x1b\u202e" + "z" * 10_000})

    assert len(str(error)) <= 200
    assert "\u202e" not in str(error)
    assert "\x1b" not in str(error)


@pytest.mark.parametrize(
    ("wire", "payload"),
    [
        (Wire.JSON, b""),
        (Wire.JSON, b"[]"),
        (Wire.JSON, b'"ping"'),
        (Wire.JSON, b"\xff\xfe"),
        (Wire.JSON, b'{"t":"ping","id":"a"} trailing'),
        (Wire.JSON, b'{"t":"ping","id":"\xff"}'),
        (Wire.JSON, b'{"t":"ping","id":"\\ud800"}'),
        (Wire.JSON, b'{"t":"chat.send","id":"a","channel":"room:x","text":"x","data":{"n":NaN}}'),
        (Wire.JSON, b'{"t":"chat.send","id":"a","channel":"room:x","text":"x","data":{"n":Infinity}}'),
        (Wire.JSON, b'{"t":"chat.send","id":"a","channel":"room:x","text":"x","data":{"n":1e999}}'),
        (Wire.JSON, b'{"t":"chat.send","id":"a","channel":"room:x","text":"x","data":{"n":' + b"9" * 5000 + b"}}"),
        (Wire.JSON, b'{"t":"chat.send","id":"a","channel":"room:x","text":"x","data":' + b'{"a":' * 2000),
        (Wire.JSON, b'{"t":"ping","id":"a","x":' + b"[" * 10_000),
        (Wire.JSON, b'{"t":"ping","id":"a","x":' + b"[" * 7_000 + b"]" * 7_000 + b"}"),
        (Wire.JSON, b'{"t":"ping","id":"' + b"x" * 10_000_000 + b'"}'),
        (Wire.MSGPACK, b""),
        (Wire.MSGPACK, b"\xc1"),
        (Wire.MSGPACK, b"\xc0"),
        (Wire.MSGPACK, b"\xdf\xff\xff\xff\xff"),
        (Wire.MSGPACK, b"\x83\xa1t\xa4ping\xa2id\xa1a\xa1x" + b"\x91" * 10_000),
        (Wire.MSGPACK, msgpack.packb({"t": "ping", "id": "x" * 10_000_000})),
        (Wire.MSGPACK, b"\x82\xa1t\xa4ping\xa2id\xa3\xed\xa0\x80"),
    ],
)
def test_what_is_no_message_at_all_is_refused(wire: Wire, payload: bytes) -> None:
    refused(wire, payload)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        b"bytes",
        msgpack.ExtType(5, b"x"),
        msgpack.Timestamp(5),
        {1: 2},
        {b"k": 1},
        2**64 - 1,
    ],
)
def test_free_form_data_holds_only_what_json_can_carry(value: Any) -> None:
    assert refused(Wire.MSGPACK, {**SEND, "data": {"a": value}}).re == "a1"


def test_a_number_field_takes_no_nan_or_infinity() -> None:
    badge = {"label": "x", "weight": float("inf")}
    assert "finite" in str(refused(Wire.MSGPACK, {"t": "guild.found", "id": "a", "name": "Ann", "badges": [badge]}))
    assert "finite" in str(
        refused(Wire.MSGPACK, {"t": "guild.found", "id": "a", "name": "Ann", "spot": [0.0, float("nan")]})
    )


@wires
def test_nesting_is_bounded_at_sixteen_levels_with_the_message_as_the_first(wire: Wire) -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = {}
        for _ in range(levels - 2):
            value = {"a": value}
        return {**SEND, "data": value}

    CODEC.decode(wire, pack(wire, nested(16)))
    assert "deeper than 16" in str(refused(wire, nested(17)))


def test_a_message_may_have_the_full_size_and_not_a_byte_more() -> None:
    payload = b'{"t":"ping","id":"a"}'
    CODEC.decode(Wire.JSON, payload.ljust(MAX_BYTES))
    assert str(MAX_BYTES) in str(refused(Wire.JSON, payload.ljust(MAX_BYTES + 1)))


def test_of_a_key_that_comes_twice_one_is_taken_and_the_type_cannot_be_two_things() -> None:
    assert CODEC.decode(Wire.JSON, b'{"t":"ping","id":"a","id":"b"}') == Ping(id="b")
    refused(Wire.JSON, b'{"t":"ping","t":"chat.send","id":"a","channel":"room:x","text":"x"}')


def test_text_is_cleaned_where_the_type_says_so_however_deep() -> None:
    found = CODEC.decode(
        Wire.JSON, b'{"t":"guild.found","id":"a","name":"A\\u200bnn","badges":[{"label":"x"},{"label":"e\\u0301"}]}'
    )
    assert found == Found(id="a", name="Ann", badges=[Badge(label="x"), Badge(label="é")])


def test_free_form_strings_are_left_alone() -> None:
    sent = CODEC.decode(Wire.JSON, pack(Wire.JSON, {**SEND, "data": {"raw": "e\u0301\u202e"}}))
    assert isinstance(sent, ChatSend)
    assert sent.data == {"raw": "e\u0301\u202e"}


def test_structs_that_come_by_another_way_are_settled_by_the_same_rules() -> None:
    assert settled(Badge(label="a\x00")) == Badge(label="a")
    with pytest.raises(Invalid, match=r"`\$\.label`"):
        settled(Badge(label="\x00"))


# int64.
@pytest.mark.parametrize("score", [0, -1, INT64_MAX, INT64_MIN, 2**53 + 1])
def test_an_int64_travels_as_a_decimal_string_in_json_and_as_an_integer_in_messagepack(score: int) -> None:
    request = {"t": "leaderboard.submit", "id": "a", "board": "arena"}
    expected = Submit(id="a", board="arena", score=score, subscore=7, lines=[Line(owner="bo", score=score)])
    as_text = {**request, "score": str(score), "subscore": "7", "lines": [{"owner": "bo", "score": str(score)}]}
    as_number = {**request, "score": score, "subscore": 7, "lines": [{"owner": "bo", "score": score}]}

    assert CODEC.decode(Wire.JSON, pack(Wire.JSON, as_text)) == expected
    assert CODEC.decode(Wire.JSON, pack(Wire.JSON, as_number)) == expected
    assert CODEC.decode(Wire.MSGPACK, pack(Wire.MSGPACK, as_number)) == expected

    reply = Submitted(re="a", score=score, best=score, around=[Line(owner="bo", score=score)])
    assert json.loads(encode(Wire.JSON, reply)) == {
        "t": "leaderboard.submitted",
        "re": "a",
        "score": str(score),
        "best": str(score),
        "around": [{"owner": "bo", "score": str(score)}],
    }
    assert msgpack.unpackb(encode(Wire.MSGPACK, reply))["score"] == score


@pytest.mark.parametrize(
    "bad", [INT64_MAX + 1, str(INT64_MAX + 1), str(INT64_MIN - 1), "", "1.0", " 1", "0x1", "٣", 1.5, None, True, [1]]
)
def test_what_is_no_int64_is_refused_in_json(bad: Any) -> None:
    error = refused(Wire.JSON, {"t": "leaderboard.submit", "id": "a", "board": "arena", "score": bad})
    assert error.re == "a"
    assert "`$.score`" in str(error)


def test_closer_bounds_of_an_int64_hold_for_the_string_too_and_absent_stays_absent() -> None:
    request = {"t": "leaderboard.submit", "id": "a", "board": "arena", "score": "1"}
    refused(Wire.JSON, {**request, "subscore": "-1"})
    assert CODEC.decode(Wire.JSON, pack(Wire.JSON, request)) == Submit(id="a", board="arena", score=1)
    assert CODEC.decode(Wire.JSON, pack(Wire.JSON, {**request, "subscore": None})) == Submit(
        id="a", board="arena", score=1
    )


def test_the_other_fields_of_a_message_with_int64s_are_settled_all_the_same() -> None:
    request = {"t": "leaderboard.submit", "id": "a", "board": "arena", "score": "1"}
    error = refused(Wire.JSON, {**request, "data": {"n": 2**63}})
    assert error.re == "a"
    assert "`$.data`" in str(error)


def test_a_string_for_messagepack_or_for_an_ordinary_integer_is_refused() -> None:
    refused(Wire.MSGPACK, {"t": "leaderboard.submit", "id": "a", "board": "arena", "score": "1"})
    refused(Wire.JSON, {"t": "topic.sync", "id": "a", "topic": "x", "after": "1"})


# Both ways, and what is stored.
ids = st.text(min_size=1, max_size=36)
int64s = st.integers(INT64_MIN, INT64_MAX)
leaves = st.none() | st.booleans() | int64s | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
data = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
requests: st.SearchStrategy[Request[Any]] = st.one_of(
    st.builds(
        ChatSend,
        id=ids,
        channel=st.just("room:raid"),
        text=st.text("abc éß\n\u4e2d\U0001f600", min_size=1, max_size=40),
        data=st.none() | data,
    ),
    st.builds(
        Submit,
        id=ids,
        board=st.text(max_size=9),
        score=int64s,
        subscore=st.none() | st.integers(0, INT64_MAX),
        lines=st.lists(st.builds(Line, owner=st.text(max_size=5), score=int64s), max_size=3),
    ),
    st.builds(TopicSync, id=ids, topic=st.text(min_size=1, max_size=20), after=st.integers(0, INT64_MAX)),
    st.builds(Ping, id=ids),
)


@given(requests)
def test_a_request_survives_both_wires_with_one_digest(request: Request[Any]) -> None:
    in_json = CODEC.decode(Wire.JSON, encode(Wire.JSON, request))
    in_msgpack = CODEC.decode(Wire.MSGPACK, encode(Wire.MSGPACK, request))

    assert in_json == in_msgpack == request
    assert digest(in_json) == digest(in_msgpack)
    assert len(digest(request)) == 16


def test_a_digest_tells_bodies_apart_but_neither_ids_nor_the_order_of_keys() -> None:
    def ask(op: str, text: str, data: dict[str, Any]) -> bytes:
        return digest(ChatSend(id=op, channel="room:x", text=text, data=data))

    assert ask("1", "hi", {"a": 1, "b": 2}) == ask("2", "hi", {"b": 2, "a": 1})
    assert ask("1", "hi", {"a": 1}) != ask("1", "ho", {"a": 1})
    assert ask("1", "hi", {"a": 1}) != ask("1", "hi", {"a": 2})
    assert digest(Ping(id="1")) != digest(ChatSend(id="1", channel="room:x", text="hi"))


garbage = st.binary(max_size=300) | st.one_of(
    st.recursive(
        leaves | st.floats() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["t", "id", "text", "data", "after"]), inner),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
    st.recursive(
        st.none() | st.binary(max_size=5) | st.floats() | st.sampled_from(["ping", "hello", "chat.send", "topic.sync"]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["t", "id", "token", "text", "data"]) | st.binary(max_size=3), inner)
        ),
        max_leaves=10,
    ).map(msgpack.packb),
)


@given(garbage, st.sampled_from(list(Wire)))
def test_any_bytes_give_a_request_or_invalid(payload: bytes, wire: Wire) -> None:
    try:
        assert isinstance(CODEC.decode(wire, payload), Request)
    except Invalid as error:
        assert len(str(error)) <= 200


@given(requests, st.data())
def test_a_message_with_a_damaged_byte_gives_a_request_or_invalid(request: Request[Any], draw: st.DataObject) -> None:
    wire = draw.draw(st.sampled_from(list(Wire)))
    payload = bytearray(encode(wire, request))
    payload[draw.draw(st.integers(0, len(payload) - 1))] = draw.draw(st.integers(0, 255))
    try:
        decoded = CODEC.decode(wire, bytes(payload))
    except Invalid:
        return
    for other in Wire:
        assert CODEC.decode(other, encode(other, decoded)) == decoded  # what got in can travel on


def test_stored_messages_are_decoded_to_their_types_for_the_other_wire() -> None:
    stored = MessageDecoder([ChatMessage, ChatSent])
    event = ChatMessage(topic="chat:room:x", seq=3, at=5, op="a1", text="hi")

    decoded = stored.decode(encode(Wire.MSGPACK, event))

    assert decoded == event
    assert json.loads(encode(Wire.JSON, decoded)) == {
        "t": "chat.message", "topic": "chat:room:x", "seq": 3, "at": 5, "op": "a1", "text": "hi",
    }  # fmt: skip
    with pytest.raises(ValueError, match="Invalid value"):
        stored.decode(encode(Wire.MSGPACK, Submitted(score=1)))
