"""Every request of the catalogue, from its type: what is within its bounds means the same in both formats, and what is
past them is refused with its id. A new request is tried here without a line of its own."""

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, to_builtins

from protocol import INT64_MAX, MAX_BYTES, Codec, Invalid, Request, Wire, digest, encode
from tests.fuzz.effort import effort
from tests.fuzz.shapes import PLAN, REQUESTS, Fields, Place, edges, full, places, values, wrongs

CODEC = Codec(PLAN.requests)
LARGE = Codec(PLAN.requests, max_bytes=20_000_000)
DEEP = 10_000
MARK = "to be replaced"
each = pytest.mark.parametrize("tag", REQUESTS)
some = st.sampled_from(sorted(REQUESTS)).flatmap(lambda tag: values(REQUESTS[tag]))


def packed(wire: Wire, fields: Fields | str) -> bytes:
    """As another implementation would write it."""
    return msgpack.packb(fields) if wire.binary else json.dumps(fields).encode()


ENDLESS = {wire: packed(wire, "x" * 10_000_000) for wire in Wire}


def refused(wire: Wire, payload: bytes, codec: Codec = CODEC) -> Invalid:
    try:
        made = codec.decode(wire, payload)
    except Invalid as error:
        return error
    raise AssertionError(f"{payload[:300]!r} was taken for {str(made)[:300]}")


def taken(wire: Wire, fields: Fields) -> Request[Any]:
    return LARGE.decode(wire, packed(wire, fields))


@effort
@given(some)
def test_a_request_means_the_same_in_both_formats(request: Request[Any]) -> None:
    in_json = LARGE.decode(Wire.JSON, encode(Wire.JSON, request))
    in_msgpack = LARGE.decode(Wire.MSGPACK, encode(Wire.MSGPACK, request))

    assert in_json == in_msgpack == request
    assert digest(in_json) == digest(in_msgpack)


@each
@pytest.mark.parametrize("wire", list(Wire), ids=lambda wire: wire.name)
def test_unknown_fields_are_skipped_whatever_they_hold(tag: str, wire: Wire) -> None:
    fields = full(REQUESTS[tag])
    more = {"new": {"deep": [[[None]]]}, "": 0, "\u202e": "x", "T": "other"}

    assert taken(wire, {**more, **fields, "zz": [1.5]}) == taken(wire, fields)


@each
@pytest.mark.parametrize("wire", list(Wire), ids=lambda wire: wire.name)
def test_each_field_takes_what_is_within_its_bounds_to_the_last(tag: str, wire: Wire) -> None:
    fields = full(REQUESTS[tag])
    for place in places(REQUESTS[tag]):
        for value in edges(place.node):
            taken(wire, place.put(fields, value))
        if place.nullable:
            taken(wire, place.put(fields, None))


@each
@pytest.mark.parametrize("wire", list(Wire), ids=lambda wire: wire.name)
def test_each_field_refuses_another_type_and_what_is_past_its_bounds(tag: str, wire: Wire) -> None:
    fields = full(REQUESTS[tag])
    for place in places(REQUESTS[tag]):
        for value in wrongs(place):
            try:
                payload = packed(wire, place.put(fields, value))
            except OverflowError:
                continue  # MessagePack has no such number
            error = refused(wire, payload, LARGE)
            assert error.re == fields["id"] or place.keys == ("id",) or _is_no_json(wire, payload), place
            assert len(str(error)) <= 200


def _is_no_json(wire: Wire, payload: bytes) -> bool:
    """Whether it holds a number that JSON does not have."""
    return wire is Wire.JSON and (b"NaN" in payload or b"Infinity" in payload)


@each
@pytest.mark.parametrize("wire", list(Wire), ids=lambda wire: wire.name)
def test_a_field_that_is_missing_is_refused_or_has_its_default(tag: str, wire: Wire) -> None:
    fields = full(REQUESTS[tag])
    for place in places(REQUESTS[tag]):
        without = packed(wire, place.put(fields, UNSET))
        if place.required:
            refused(wire, without)
        else:
            CODEC.decode(wire, without)


@each
def test_a_key_that_comes_twice_counts_once_and_hides_nothing(tag: str) -> None:
    """The last one counts, each has to fit, and one twice does not stand for another that is missing."""
    fields = full(REQUESTS[tag])
    text = json.dumps(fields)
    for place in (place for place in places(REQUESTS[tag]) if len(place.keys) == 1):
        name = str(place.keys[0])
        again = f'{{"{name}":{json.dumps(fields[name])},{text[1:]}'.encode()
        assert CODEC.decode(Wire.JSON, again) == CODEC.decode(Wire.JSON, text.encode())
        wrong = next(iter(wrongs(place)))
        refused(Wire.JSON, f'{text[:-1]},"{name}":{json.dumps(wrong)}}}'.encode())
        refused(Wire.MSGPACK, _with_entries(fields, [(name, wrong)]))
        twice = [(key, value) for key, value in fields.items() if key != name] * 2
        if place.required:
            refused(Wire.MSGPACK, _with_entries({}, twice))


def _with_entries(fields: Fields, more: list[tuple[str, Any]]) -> bytes:
    """A MessagePack map with entries that no dict can hold."""
    entries = [*fields.items(), *more]
    return b"\xde" + len(entries).to_bytes(2) + b"".join(msgpack.packb(key) + msgpack.packb(v) for key, v in entries)


@each
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_nesting_ten_thousand_deep_is_refused_wherever_it_stands(tag: str, closed: bool) -> None:
    fields = full(REQUESTS[tag])
    in_json = b"[" * DEEP + b"]" * DEEP * closed, b'{"a":' * DEEP + b"1" + b"}" * DEEP * closed
    in_msgpack = b"\x91" * DEEP + b"\xc0" * closed, b"\x81\xa1a" * DEEP + b"\xc0" * closed
    unknown = Place(("new",), next(places(REQUESTS[tag])).node, required=False, nullable=False)
    for place in (unknown, *places(REQUESTS[tag])):
        for wire, nests in ((Wire.JSON, in_json), (Wire.MSGPACK, in_msgpack)):
            for nest in nests:
                holed = packed(wire, place.put(fields, MARK)).replace(packed(wire, MARK), nest)
                refused(wire, holed, LARGE)


@each
def test_an_id_of_ten_megabytes_is_refused_before_it_is_read(tag: str) -> None:
    fields = {**full(REQUESTS[tag]), "id": MARK}
    for wire in Wire:
        payload = packed(wire, fields).replace(packed(wire, MARK), ENDLESS[wire])
        assert str(MAX_BYTES) in str(refused(wire, payload))
        assert refused(wire, payload, LARGE).re is None


@effort
@given(some, st.data())
def test_a_request_with_anything_anywhere_is_taken_whole_or_refused(request: Request[Any], draw: st.DataObject) -> None:
    """What is taken can travel on in both formats."""
    wire = draw.draw(st.sampled_from(list(Wire)))
    known = [place for place in places(type(request)) if len(place.keys) == 1]
    place = draw.draw(st.sampled_from(known))
    value = draw.draw(st.sampled_from(list(wrongs(place))) | st.integers(-INT64_MAX, 2**64 - 1) | st.binary(max_size=4))
    fields = {"t": "", **to_builtins(request)}
    if wire is Wire.JSON and isinstance(value, bytes):
        value = value.hex()
    if wire is Wire.MSGPACK and isinstance(value, int) and not -(2**63) <= value < 2**64:
        value = 2**63
    try:
        made = LARGE.decode(wire, packed(wire, place.put(fields, value)))
    except Invalid as error:
        assert error.code == "protocol.invalid"
        assert error.retry == "never"
        return
    assert all(LARGE.decode(other, encode(other, made)) == made for other in Wire)
