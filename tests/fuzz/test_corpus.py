"""What the fuzzer has kept: every input that once failed, and the smallest that reach each part of the code."""

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from platform import machine
from types import FrameType

import pytest

from tests.fuzz.__main__ import NAMES, main
from tests.fuzz.line import MAX_BYTES, Driven
from tests.fuzz.streams import UPGRADE, frame
from tests.fuzz.targets import CORPUS, TARGETS, Sessions

FILES = 200  # more is a burden
CALLS = 60  # of functions, at most, for a byte that comes alone: about the length of the longest way through one
START = 3_000  # calls for what comes once in a connection
KEPT_BYTES = 40_000  # that a connection holds beside its longest message: websockets' buffers and our objects
LEFT_BYTES = 20_000  # that may stay behind after any number of connections


def inputs(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def test_the_corpus_is_small_and_of_targets_that_exist() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(NAMES)
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert len(files) < FILES
    assert all(path.stat().st_size <= 4_096 for path in files)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_well(name: str) -> None:
    for data in inputs(name):
        TARGETS[name](data)


def test_what_was_said_to_rooms_once_is_no_defect() -> None:
    sessions = Sessions()
    try:
        for data in inputs("sessions"):
            sessions(data)
    finally:
        sessions.end()


def calls_of(work: Callable[[], None]) -> int:
    """How many calls of functions something makes: a measure of work that no other process disturbs."""
    made = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal made
        made += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return made


def byte_by_byte(stream: bytes) -> Callable[[], None]:
    driven = Driven()

    def feed() -> None:
        for n in range(len(stream)):
            driven.feed(stream[n : n + 1])

    return feed


@pytest.mark.parametrize("name", ["upgrade", "frames"])
def test_a_byte_that_comes_alone_costs_a_bounded_amount_of_work(name: str) -> None:
    for data in inputs(name):
        stream = data if name == "upgrade" else UPGRADE + data
        assert calls_of(byte_by_byte(stream)) <= START + CALLS * len(stream), data


def test_a_longer_stream_costs_in_proportion() -> None:
    """Whatever is kept of a stream is not gone through again for each byte of it."""
    for data in (frame(1, b"", fin=False), frame(0, b"x" * 5, fin=False), frame(9, b"x" * 125), b"\x81"):
        one, ten = (calls_of(byte_by_byte(UPGRADE + data * times)) for times in (20, 200))
        assert ten <= 10 * one + START


def test_a_connection_holds_a_bounded_amount_and_leaves_nothing_behind() -> None:
    streams = [UPGRADE + data for data in inputs("frames")] + inputs("upgrade")
    lines = []
    for stream in streams:  # what is loaded once, is
        Driven().feed(stream)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for stream in streams:
            lines.append(Driven())
            for _ in range(5):
                lines[-1].feed(stream)
                lines[-1].hall.ear.heard_of.clear()
                lines[-1].wall.out.clear()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
        assert held <= len(streams) * (KEPT_BYTES + 2 * MAX_BYTES)
        lines.clear()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before <= LEFT_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.skipif((sys.platform, machine()) != ("linux", "x86_64"), reason="atheris is made for Linux on x86-64")
def test_the_fuzzer_finds_what_is_hidden_and_says_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.__main__.FOUND", tmp_path)

    assert main(["--target", "planted", "--seconds", "30", "--seed", "5"]) == 1

    said = capsys.readouterr().out
    (found,) = tmp_path.iterdir()
    assert found.read_bytes().startswith(b"BUG")
    assert f"--target planted --input {found}" in said
    assert main(["--target", "planted", "--input", str(found)]) != 0
