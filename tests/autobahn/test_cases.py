"""The gateway's connections against the Autobahn test suite's cases.

Groups 1 to 7, 9 up to 4 MiB, and 10; 12 and 13 with compression on.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from itertools import chain

import pytest
import uvloop
from _pytest.mark.structures import ParameterSet

from server.connection import Connection
from tests.autobahn.case import Case
from tests.autobahn.closing import closings, codes, payloads
from tests.autobahn.compression import compressed
from tests.autobahn.driver import Grade, Verdict, all_judged
from tests.autobahn.framing import auto_fragmented, fragmented, opcodes, pings, reserved_bits, sizes
from tests.autobahn.limits import limits
from tests.autobahn.utf8 import fail_fast, in_fragments, sequences
from tests.support.echo import Connects, echoing

MAX_BYTES = 4 * 1_048_576
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
    limits(),
    auto_fragmented(),
)
CASES: tuple[Case, ...] = tuple(chain.from_iterable(GROUPS))
COMPRESSED: tuple[Case, ...] = tuple(compressed())
COUNTS = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 50, "10": 1, "12": 90, "13": 126}
LATE = {"6.4.3", "6.4.4"}
"""Bad text within one frame is refused when the whole frame is there, and no frame is longer than a message may be."""


LONG = {"9.3.1", "9.3.2", "9.3.3", "9.4.1", "9.4.2", "9.4.3", "9.5.1", "9.5.2", "9.6.1", "9.6.2"}
"""More than 16,000 frames or packets each; the round trips of 9.7 and 9.8 are as long."""


def verdicts_of(cases: Iterable[Case], connect: Connects = Connection) -> dict[str, Verdict]:
    """Play cases against connections that ``connect`` makes."""

    async def play() -> dict[str, Verdict]:
        async with echoing(connect, max_bytes=MAX_BYTES) as port:
            return await all_judged(cases, port)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(play())


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    """The chosen cases are played together: most of their time is waiting."""
    chosen = {item.name for item in request.session.items if item.path == request.path}
    return verdicts_of(case for case in CASES if f"test_case[{case.number}]" in chosen)


def as_parameter(case: Case) -> ParameterSet:
    """The case by its number."""
    long = case.number in LONG or case.number.startswith(("9.7.", "9.8."))
    return pytest.param(case, id=case.number, marks=[pytest.mark.long] if long else [])


def test_every_case_of_the_suite_is_there_once() -> None:
    numbers = [case.number for case in (*CASES, *COMPRESSED)]
    assert len(set(numbers)) == len(numbers)
    assert {group: sum(n.startswith(f"{group}.") for n in numbers) for group in COUNTS} == COUNTS


@pytest.mark.parametrize("case", [as_parameter(case) for case in CASES])
def test_case(case: Case, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[case.number]
    good = {Grade.INFORMATIONAL} if case.informational else {Grade.OK}
    if case.non_strict is not None and (not case.number.startswith("6.4.") or case.number in LATE):
        good.add(Grade.NON_STRICT)
    assert verdict.grade in good, f"{case.what}: {verdict.why}"


@pytest.mark.parametrize("group", dict.fromkeys(case.number.rpartition(".")[0] for case in COMPRESSED))
def test_compressed(group: str) -> None:
    cases = [case for case in COMPRESSED if case.number.startswith(f"{group}.")]
    verdicts = verdicts_of(cases, partial(Connection, compression=True))
    assert verdicts == {case.number: Verdict(Grade.OK) for case in cases}


def test_who_has_compression_on_passes_the_other_cases_too() -> None:
    few = [case for case in CASES if case.number.startswith(("3.", "5.", "6.3", "7.1"))]
    verdicts = verdicts_of(few, partial(Connection, compression=True))
    assert {number for number, verdict in verdicts.items() if verdict.grade is Grade.FAILED} == set()
