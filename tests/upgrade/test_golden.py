"""What released versions have stored is read by this one: slices, events, tells, replies, schemas."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from actors.runtime.feature import reply_of
from actors.runtime.node import make_decoders
from actors.runtime.slices import Slot, open_slots
from server.features import blueprint
from storage import ActorWrite, NodeRow, Outcome, SliceRow, Snapshot, migrate, open_store
from storage.migrations import Applied, pending
from storage.schema import with_core
from tests.upgrade.golden import assert_holds, body_of, migrations_of, path_of, read, releases, render, version

PLAN = blueprint()
DECODERS = make_decoders(PLAN)


def slices() -> Iterator[Any]:
    """Each slice of each release, empty and full."""
    for release in releases():
        for name, golden in read(release)["slices"].items():
            for form in ("empty", "full"):
                yield pytest.param(name, golden, form, id=f"{release}-{name}-{form}")


SLICES = list(slices())


def messages(sort: str) -> Iterator[Any]:
    """Each message of a sort of each release."""
    for release in releases():
        for tag, golden in read(release)[sort].items():
            yield pytest.param(tag, golden, id=f"{release}-{tag}")


def slot_of(name: str, golden: dict[str, Any], form: str) -> Slot:
    """The slice, as a node opens it."""
    row = SliceRow(golden["schema"], body_of(golden[form]))
    return open_slots(PLAN.kinds[golden["kind"]], {name: row})[name]


def test_this_release_has_its_golden_file() -> None:
    assert path_of(version()).read_text("utf-8") == render(), "run `make golden`"


@pytest.mark.parametrize(("name", "golden", "form"), SLICES)
def test_a_slice_is_read_with_all_that_is_in_it(name: str, golden: dict[str, Any], form: str) -> None:
    slot = slot_of(name, golden, form)

    if golden["schema"] == PLAN.kinds[golden["kind"]].features[name].schema:
        assert slot.unknown is None, "a field is gone: raise the schema number and give an upgrade"
        assert_holds(msgspec.msgpack.decode(slot.row().body), msgspec.msgpack.decode(body_of(golden[form])))


@pytest.mark.parametrize(("name", "golden", "form"), SLICES)
def test_a_slice_that_was_upgraded_is_saved_in_the_present_form(name: str, golden: dict[str, Any], form: str) -> None:
    slot = slot_of(name, golden, form)
    again = open_slots(PLAN.kinds[golden["kind"]], {name: slot.row()})[name]

    assert again.state == slot.state
    assert again.row() == slot.row()


@pytest.mark.parametrize(("tag", "golden"), list(messages("events")))
def test_an_event_in_a_log_is_read(tag: str, golden: dict[str, Any]) -> None:
    assert msgspec.to_builtins(DECODERS.event.decode(body_of(golden)))["t"] == tag


@pytest.mark.parametrize(("tag", "golden"), list(messages("tells")))
def test_a_tell_in_an_outbox_or_timer_is_read(tag: str, golden: dict[str, Any]) -> None:
    assert msgspec.to_builtins(DECODERS.tell.decode(body_of(golden)))["t"] == tag


@pytest.mark.parametrize(("tag", "golden"), list(messages("replies")))
def test_a_reply_that_was_kept_is_read(tag: str, golden: dict[str, Any]) -> None:
    assert msgspec.to_builtins(DECODERS.reply.decode(body_of(golden)))["t"] == tag


@pytest.mark.parametrize(("tag", "golden"), list(messages("tickets")))
def test_a_ticket_that_was_kept_is_read(tag: str, golden: dict[str, Any]) -> None:
    assert type(DECODERS.ticket.decode(body_of(golden))).__name__ == tag


# Slices must be open to fields that are yet to come.
def structs_in(node: msgspec.inspect.Type) -> Iterator[msgspec.inspect.StructType]:
    """Every struct below a type."""
    if isinstance(node, msgspec.inspect.StructType):
        yield node
        for field in node.fields:
            yield from structs_in(field.type)
    for part in ("type", "item_type", "key_type", "value_type"):
        if isinstance(inner := getattr(node, part, None), msgspec.inspect.Type):
            yield from structs_in(inner)
    for each in (*getattr(node, "types", ()), *getattr(node, "item_types", ())):
        yield from structs_in(each)


def stored() -> Iterator[Any]:
    """Every type that lies in a database or travels between nodes."""
    yield from (feature.state for feature in PLAN.features)
    yield from (*PLAN.stored_events(), *PLAN.tells.values(), *PLAN.called, *PLAN.tickets)
    for request in (*PLAN.requests, *PLAN.internal):
        yield from (request, reply_of(request))


def test_nothing_that_is_stored_refuses_fields_that_it_does_not_know() -> None:
    found = {s.cls for kind in stored() for s in structs_in(msgspec.inspect.type_info(kind))}

    assert not {cls.__name__ for cls in found if cls.__struct_config__.forbid_unknown_fields}


# The schema.
@pytest.mark.parametrize("release", releases())
def test_no_released_schema_change_was_edited_or_taken_away(release: str) -> None:
    present = with_core(PLAN.migrations())
    for room, steps in migrations_of(read(release)).items():
        ours = [step.checksum for step in present.get(room, ())][: len(steps)]
        assert ours == [step.checksum for step in steps], f"room {room}: add a new one instead"


@pytest.mark.parametrize("release", releases()[-2:])
def test_the_release_before_runs_on_the_present_schema(release: str) -> None:
    """It ignores what it does not know; a contraction would stop it."""
    applied = [
        Applied(room, step.number, step.checksum, step.contracts, 1)
        for room, steps in with_core(PLAN.migrations()).items()
        for step in steps
        if not step.announced
    ]

    assert pending(migrations_of(read(release)), applied) == []


@pytest.mark.parametrize("release", releases())
async def test_a_database_of_an_older_release_is_migrated_and_its_actors_are_opened(
    release: str, sqlite_url: str
) -> None:
    golden = read(release)
    await migrate(sqlite_url, {r: m for r, m in migrations_of(golden).items() if r != "core"})
    async with open_store(sqlite_url) as store:
        await store.renew(NodeRow("old", "", draining=False), 60)
        for name, each in golden["slices"].items():
            [found] = await store.claim("old", [f"{each['kind']}:{name}"])
            assert isinstance(found, Snapshot)
            kept = {name: SliceRow(each["schema"], body_of(each["full"]))}
            write = ActorWrite(actor=found.actor, fence=found.fence, version=0, told=0, slices=kept, release=True)
            assert await store.commit([write]) == [Outcome.DONE]

    await migrate(sqlite_url, PLAN.migrations())
    async with open_store(sqlite_url) as store:
        await store.renew(NodeRow("new", "", draining=False), 60)
        for name, each in golden["slices"].items():
            [found] = await store.claim("new", [f"{each['kind']}:{name}"])
            assert isinstance(found, Snapshot)
            assert open_slots(PLAN.kinds[each["kind"]], found.slices)[name].state
