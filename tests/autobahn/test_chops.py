"""However TCP cuts the bytes of a case up, the connection says the same: the cases once more, without sockets.

What a connection does with a message is told apart from what it answers by itself (pongs, the close frame), because an
answer that is made while the end is known already is not sent any more.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from typing import NamedTuple, cast

import pytest
from websockets.utils import apply_mask

from server.acceptor import Arrival
from server.connection import Connection
from tests.autobahn.case import Case, Message, Put
from tests.autobahn.driver import UPGRADE, Answers, header
from tests.autobahn.test_cases import CASES as ALL
from tests.autobahn.test_cases import MAX_BYTES
from tests.server.test_connection import Ear, Hall, Timers, Wall
from tests.support.echo import Connects


class Outcome(NamedTuple):
    """What a connection did with a case's bytes."""

    messages: tuple[Message, ...]
    other_frames: int
    pongs: tuple[object, ...]
    code: int | None
    ended: bool


class Listener(Ear):
    """Remembers messages with their kind."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[Message] = []

    def message(self, payload: bytes, *, binary: bool) -> None:
        self.kinds.append(Message(payload, binary))


def sent(case: Case, seed: int) -> bytes:
    """A case's bytes."""
    random = Random(seed)
    frames = []
    for step in case.steps:
        if isinstance(step, Put):
            mask = random.randbytes(4)
            frames.append(header(step, mask) + apply_mask(step.payload, mask))
    return b"".join(frames)


def outcome(pieces: Iterator[bytes] | list[bytes], connect: Connects = Connection) -> Outcome:
    """What a new connection does with these bytes behind its upgrade."""
    hall, wall = Hall(), Wall()
    hall.ear = ear = Listener()
    connection = connect(
        hall, cast("asyncio.AbstractEventLoop", Timers()), MAX_BYTES, Arrival("192.0.2.1", admitted=False)
    )
    connection.connection_made(wall)
    connection.data_received(UPGRADE % b"")
    wall.written = b""
    for piece in pieces:
        if wall.is_closing():
            break
        connection.data_received(piece)
    answers = Answers()
    answers.feed(wall.written)
    return Outcome(tuple(ear.kinds), ear.frames, tuple(answers.events), answers.code, wall.ended)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The bytes in packets that end at these places."""
    return [data[begin:end] for begin, end in pairwise([0, *sorted(places), len(data)])]


def right(case: Case) -> tuple[object, ...]:
    """The messages that a case's bytes hold before what ends the connection."""
    return tuple(event for event in case.ok if isinstance(event, Message))


CASES = [case for case in ALL if not case.number.startswith("9.")]
BUFFER_BYTES = 4_096
SHORT = [case for case in CASES if len(sent(case, 1)) <= 2_000]
LONG = [case for case in CASES if len(sent(case, 1)) > 2_000]
HOW: dict[str, Callable[[bytes, Random], list[bytes]]] = {
    "a byte at a time": lambda data, _: cut(data, list(range(1, len(data)))),
    "two packets": lambda data, random: cut(data, [random.randrange(len(data))]),
    "cut anywhere": lambda data, random: cut(data, random.sample(range(len(data)), min(len(data), 9))),
}


@pytest.fixture(scope="module")
def in_one_packet() -> dict[str, Outcome]:
    """What comes of each case that is not cut at all."""
    return {case.number: outcome([sent(case, 0)]) for case in CASES}


@pytest.mark.parametrize("how", HOW)
def test_a_case_comes_out_the_same_however_it_is_cut_and_masked(how: str, in_one_packet: dict[str, Outcome]) -> None:
    for case in SHORT:
        random = Random(f"{how} {case.number}")
        for seed in range(1, 5):
            came = outcome(HOW[how](sent(case, seed), random))
            assert came == in_one_packet[case.number], f"{case.number}, {case.what}"


def test_a_long_case_comes_out_the_same_where_packets_end_anywhere(in_one_packet: dict[str, Outcome]) -> None:
    for case in LONG:
        for beside in (-1, 1):
            data = sent(case, beside)
            came = outcome(cut(data, list(range(BUFFER_BYTES + beside, len(data), BUFFER_BYTES))))
            assert came == in_one_packet[case.number], f"{case.number}, {case.what}"


def test_the_peer_is_told_of_what_is_good_and_of_nothing_behind_it() -> None:
    for case in CASES:
        if case.informational:
            continue
        came = outcome([sent(case, 7)])
        closes = case.by_server or case.closes
        assert (case.number, came.messages) == (case.number, right(case))
        assert (case.number, came.ended) == (case.number, closes)
        assert (case.number, came.code in (*case.codes, 1005)) == (case.number, closes)
