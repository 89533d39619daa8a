"""The gateway's connections against the Autobahn test suite's cases: groups 1 to 7 and 10."""

import asyncio
from itertools import chain

import pytest
import uvloop

from server.connection import Connection
from tests.autobahn.case import Case
from tests.autobahn.closing import closings, codes, payloads
from tests.autobahn.driver import Grade, Verdict, all_judged
from tests.autobahn.framing import auto_fragmented, fragmented, opcodes, pings, reserved_bits, sizes
from tests.autobahn.utf8 import fail_fast, in_fragments, sequences
from tests.support.echo import Connects, echoing

MAX_BYTES = 1_048_576
GROUPS = (
    sizes(),
    pings(),
    reserved_bits(),
    opcodes(),
    fragmented(),
    in_fragments(),
    fail_fast(),
    sequences(),
    closings(),
    payloads(),
    codes(),
    auto_fragmented(),
)
CASES: tuple[Case, ...] = tuple(chain.from_iterable(GROUPS))
COUNTS = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "10": 1}
LATE = {"6.4.3", "6.4.4"}
"""Bad text within one frame is refused when the whole frame is there, and no frame is longer than a message may be."""


def verdicts_of(connect: Connects) -> dict[str, Verdict]:
    """Play all cases against connections that ``connect`` makes."""

    async def play() -> dict[str, Verdict]:
        async with echoing(connect, max_bytes=MAX_BYTES) as port:
            return await all_judged(CASES, port)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(play())


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    """All cases are played at once: most of their time is waiting."""
    return verdicts_of(Connection)


def test_every_case_of_the_suite_is_there_once() -> None:
    numbers = [case.number for case in CASES]
    assert len(set(numbers)) == len(numbers)
    assert {group: sum(n.startswith(f"{group}.") for n in numbers) for group in COUNTS} == COUNTS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_case(case: Case, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[case.number]
    good = {Grade.INFORMATIONAL} if case.informational else {Grade.OK}
    if case.non_strict is not None and (not case.number.startswith("6.4.") or case.number in LATE):
        good.add(Grade.NON_STRICT)
    assert verdict.grade in good, f"{case.what}: {verdict.why}"
