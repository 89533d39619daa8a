"""What a process of players writes down of each message: cheap to write, and the same as if it were not."""

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.python import Ear, Link
from loadtest.figures import DIGITS, LONGEST_US, Count, Counts, Meters, State, Totals, histogram
from loadtest.history import Answered, AnyRecord, Asked, DeviceHistory, Heard, HistoryFile, Lost, Welcomed, read_history
from loadtest.players.tap import ReadAlong, Tap
from protocol import Wire

NAME = 'odd "name"\n'
ASKED = {"t": "chat.send", "id": "a-1", "channel": "room:raid", "text": "hi\n\u2028 there"}
SENT = {"t": "chat.sent", "re": "a-1", "channel": "room:raid", "seq": 7, "at": 1}
LINE = {"t": "chat.message", "topic": "chat:room:raid", "seq": 8, "at": 2, "text": "\ud7ff%b%d"}
WELCOME = {"t": "welcome", "re": "h-1", "session": "s", "topics": {}}


class NoLink:
    """A connection on which nothing happens."""

    def send(self, payload: bytes) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def abort(self) -> None: ...
    async def wait_gone(self) -> None: ...


class Tapped:
    """A tap between a session that the test plays and a server that it plays too."""

    def __init__(self, wire: Wire, folder: Path) -> None:
        self.wire = wire
        self.file = (folder / "history.jsonl").open("wb")
        self.meters = Meters(0)
        self.tap = Tap(
            NAME, self.dial, wire, self.meters, DeviceHistory(HistoryFile(self.file), NAME, time.monotonic())
        )
        self.ears: list[Ear] = []

    async def dial(self, wire: Wire, ear: Ear) -> Link:
        self.ears.append(ear)
        return NoLink()

    async def link(self) -> Link:
        """The player's end of a connection."""
        return await self.tap(self.wire, Nobody())

    def records(self) -> list[AnyRecord]:
        """What was written; nothing may be from now on."""
        self.file.close()
        return list(read_history(Path(self.file.name)))


class Nobody:
    """An ear that does not listen."""

    def heard(self, payload: bytes) -> None: ...
    def lost(self, code: int, reason: str) -> None: ...


def encoded(wire: Wire, message: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(message) if wire.binary else msgspec.json.encode(message)


def test_everything_that_goes_over_a_link_is_recorded_as_it_was(tmp_path: Path) -> None:
    for wire in Wire:
        tapped = Tapped(wire, tmp_path)
        link = asyncio.run(tapped.link())
        link.send(tapped.tap.format.encode({"t": "hello", "id": "h-1", "resume": {"session": "s", "cursors": {}}}))
        (ear,) = tapped.ears
        ear.heard(encoded(wire, WELCOME))
        link.send(tapped.tap.format.encode(ASKED))
        link.send(encoded(wire, ASKED))
        for message in (SENT, LINE):
            ear.heard(encoded(wire, message))
        ear.lost(1006, "")
        resume = {"session": "s", "cursors": {}}
        assert [msgspec.structs.replace(record, at=0) for record in tapped.records()] == [
            Welcomed(0, NAME, NAME, WELCOME, resume),
            Asked(0, NAME, NAME, "a-1", ASKED),
            Asked(0, NAME, NAME, "a-1", ASKED),
            Answered(0, NAME, NAME, "a-1", SENT),
            Heard(0, NAME, NAME, LINE),
            Lost(0, NAME, NAME),
        ]
        counts = tapped.meters.counts
        assert (counts.sent_again, counts.heard, counts.told) == (1, 1, 0)


def test_a_message_over_several_lines_is_a_record_in_one(tmp_path: Path) -> None:
    tapped = Tapped(Wire.JSON, tmp_path)
    asyncio.run(tapped.link())
    tapped.ears[0].heard(msgspec.json.format(msgspec.json.encode(LINE)))
    (record,) = tapped.records()
    assert isinstance(record, Heard)
    assert record.event == LINE


def test_a_device_writes_the_lines_that_its_records_would_be() -> None:
    plain, quick = io.BytesIO(), io.BytesIO()
    device = DeviceHistory(HistoryFile(quick), NAME, time.monotonic())
    encode = msgspec.json.encode
    device.asked("a-1", encode(ASKED))
    device.answered("a-1", encode(SENT))
    device.heard(encode(LINE))
    history = HistoryFile(plain)
    first, second, third = (msgspec.json.decode(line)["at"] for line in quick.getvalue().splitlines())
    history.add(Asked(first, NAME, NAME, "a-1", ASKED))
    history.add(Answered(second, NAME, NAME, "a-1", SENT))
    history.add(Heard(third, NAME, NAME, LINE))
    assert quick.getvalue() == plain.getvalue()


@pytest.mark.parametrize("wire", Wire)
def test_who_reads_along_sees_the_message_of_just_these_bytes(wire: Wire) -> None:
    format_ = ReadAlong(wire)
    first, second = format_.encode(ASKED), encoded(wire, SENT)
    assert format_.decode(first) is ASKED
    assert format_.decode(second) == SENT
    assert format_.decode(second) is format_.decode(second)
    assert format_.decode(first) == ASKED
    with pytest.raises(msgspec.DecodeError):
        format_.decode(b"\xc1")
    assert format_.decode(b"\x93\x01\x02\x03" if wire.binary else b"[1,2,3]") == [1, 2, 3]


@given(st.lists(st.floats(0.0, LONGEST_US / 1e6 * 1.1) | st.floats(0.0, 0.01), min_size=1))
def test_latencies_are_as_exact_as_if_the_histogram_took_each(latencies: list[float]) -> None:
    meters, expected = Meters(0), histogram()
    for latency in latencies:
        meters.took("chat.send", latency)
        expected.record_value(min(LONGEST_US, max(1, int(latency * 1_000_000))))
    totals = Totals()
    totals.add(meters.take(1, {}, lag_ms=0.0, cpu=0.0))
    kept = totals.took["chat.send"]
    assert kept.get_total_count() == len(latencies)
    for percent in (0.1, 50.0, 90.0, 99.9, 100.0):
        exact = expected.get_value_at_percentile(percent)
        assert kept.get_value_at_percentile(percent) == exact
    assert DIGITS == 2, "BITS goes with it"


def test_a_tick_tells_what_was_counted_once() -> None:
    meters = Meters(3)
    meters.counts.asked += 2
    meters.took("chat.send", 0.001)
    first = meters.take(7, {State.ONLINE: 1}, lag_ms=0.0, cpu=0.5)
    assert (first.counts, list(first.took)) == ({Count.ASKED: 2}, ["chat.send"])
    second = meters.take(8, {State.ONLINE: 1}, lag_ms=0.0, cpu=0.5)
    assert (second.counts, second.took) == ({}, {})


def test_each_count_has_its_field() -> None:
    assert set(Counts.__struct_fields__) == {str(count) for count in Count}
