"""Whatever players ask of real rooms, each request is answered once, by the rules, and never by a defect."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from protocol import Codec, Invalid, Wire, encode
from tests.fuzz import streams
from tests.fuzz.effort import a_little
from tests.fuzz.house import DEFECTS, Guest, House, Said, house
from tests.fuzz.shapes import PLAN, REQUESTS, SAID, values
from tests.support.clock import settle

PLAYERS = ("ann", "bo", "cy", "dan")
GUILD = "the guild"
KNOWN: dict[str, tuple[str, ...]] = {
    "guild": (GUILD, GUILD, "nothere"),
    "player": PLAYERS,
    "to": PLAYERS,
    "channel": ("room:a", "room:b", f"guild:{GUILD}", "dm:ann:bo", "dm:bo:cy", "world:1", "party:1", "dm:bo:ann"),
    "board": ("arena",),
    "currency": ("gold", "gems"),
    "name": ("Ann", "\u0410nn", "Bo the second", "a\u202eb"),
    "topic": ("player:ann", "player:bo", f"guild:{GUILD}", "chat:room:a", "announce", "config", "nothing"),
}
"""Fields that name something: what is there has to be named, or all that is tried is that nothing is there."""

asked = st.tuples(
    st.sampled_from(PLAYERS),
    st.sampled_from(sorted(tag for tag in REQUESTS if tag != "hello")).flatmap(lambda tag: values(REQUESTS[tag])),
    st.lists(st.integers(0, 7), min_size=4, max_size=4),
)


def pointed(request: Any, choices: list[int], guild: str) -> Said:
    """A request whose fields name what is there."""
    fields: Said = to_builtins(request)
    for (name, value), choice in zip(list(fields.items()), choices * 4, strict=False):
        if name in KNOWN and isinstance(value, str):
            fields[name] = KNOWN[name][choice % len(KNOWN[name])].replace(GUILD, guild)
    return fields


async def settled_in(home: House) -> tuple[dict[str, Guest], str]:
    """Four players, a guild of three of them, a dm and a room."""
    wires = (Wire.JSON, Wire.MSGPACK)
    guests = {name: await home.guest(name, wires[n % 2]) for n, name in enumerate(PLAYERS)}
    made = await guests["ann"].ask({"t": "guild.create", "name": "Lions", "mode": "open"})
    guild = made["guild"]["id"] if isinstance(made.get("guild"), dict) else made["guild"]
    for name in ("bo", "cy"):
        await guests[name].ask({"t": "guild.join", "guild": guild})
    await guests["ann"].ask({"t": "guild.promote", "guild": guild, "player": "bo"})
    for name in PLAYERS[:2]:
        await guests[name].ask({"t": "chat.join", "channel": "room:a"})
    return guests, guild


async def play(turns: list[tuple[str, Any, list[int]]]) -> None:
    async with house() as home:
        guests, guild = await settled_in(home)
        for n, (name, request, choices) in enumerate(turns):
            guest = guests[name]
            guest.heard()
            fields = {**pointed(request, choices, guild), "id": f"{name}-{n}"}
            guest.line.feed(guest.frame(fields))
            await settle()
            replies = [said for said in guest.heard() if said.get("re") == fields["id"]]
            assert len(replies) == 1, (fields, replies)
            assert replies[0].get("code") not in DEFECTS, (fields, replies)
            assert guest.code is None, fields


@a_little
@given(st.lists(asked, min_size=1, max_size=20))
def test_every_request_is_answered_once_and_never_by_a_defect(turns: list[tuple[str, Any, list[int]]]) -> None:
    asyncio.run(play(turns))


payloads = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(sorted(REQUESTS)).flatmap(lambda tag: values(REQUESTS[tag])).map(partial(encode, Wire.JSON)),
    st.sampled_from(sorted(REQUESTS)).flatmap(lambda tag: values(REQUESTS[tag])).map(partial(encode, Wire.MSGPACK)),
)
thrown = st.one_of(
    st.builds(streams.frame, st.sampled_from((1, 2)), payloads),
    st.builds(streams.damaged, st.builds(streams.frame, st.just(1), payloads), st.just([(1, 255), (9, 0)])),
    streams.wild,
)


async def throw(stream: bytes, seed: int, wire: Wire) -> None:
    """Send a stream as it is on a session, and see that a neighbour feels nothing."""
    async with house(limits_on=True) as home:
        guest, other = await home.guest("ann", wire), await home.guest("bo")
        for chop in streams.chopped(stream, seed):
            guest.line.feed(chop)
            await settle()
            assert all(said.get("code") not in DEFECTS for said in guest.heard())
        guest.line.end()
        await settle()
        assert home.meters.connections == 1
        assert (await other.ask({"t": "player.get"}))["t"] == "player.profile"


@a_little
@given(st.lists(thrown, max_size=20).map(b"".join), st.integers(2, 2**32), st.sampled_from(list(Wire)))
def test_whatever_a_signed_in_client_sends_its_neighbour_feels_nothing(stream: bytes, seed: int, wire: Wire) -> None:
    asyncio.run(throw(stream, seed, wire))


def test_no_client_can_send_what_nodes_say_to_each_other() -> None:
    """Requests of the runtime itself, tells, timers, tickets, replies and events are no requests of clients."""
    codec = Codec(PLAN.requests)
    inside: list[Any] = [*PLAN.internal, *PLAN.tells.values(), *PLAN.stored_events(), *PLAN.tickets, *SAID.values()]
    tags = {str(kind.__struct_config__.tag) for kind in inside} - REQUESTS.keys()
    assert len(tags) > 50
    for tag in tags:
        for wire in Wire:
            payload = encode_map(wire, {"t": tag, "id": "a", "player": "bo", "to": "bo", "guild": "g"})
            with pytest.raises(Invalid, match=r"`\$\.t`"):
                codec.decode(wire, payload)


def encode_map(wire: Wire, fields: Said) -> bytes:
    return msgspec.msgpack.encode(fields) if wire.binary else msgspec.json.encode(fields)
