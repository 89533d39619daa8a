"""What is wrong with a simulated history: the checker's verdict, and what only the simulation can see.

The rooms of tests/runtime have promises of their own: coins move and are not made, an alarm rings once, a counter
counts each request once. And everything comes to rest: what is asked is answered, what is told is heard.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from loadtest.check import Verdict, check
from loadtest.history import Answered, AnyRecord, Asked, Final
from protocol import CloseCode
from tests.simulation.run import Run

BY_CLOCK = ("of equals the one", f"is blocked: {int(CloseCode.SIGNED_IN_ELSEWHERE)}")
"""What depends on the clocks of different nodes, and so proves nothing where one of them has jumped."""


def judge(run: Run) -> tuple[list[str], Verdict]:
    """What is wrong, one text each, and the checker's verdict."""
    verdict = check(run.records)
    wrong = [str(finding) for finding in verdict.findings]
    wrong += [f"[defect] {defect}" for defect in run.defects]
    wrong += [f"[simulation] {text}" for text in _own_rules(run.records)]
    if any(fault.kind == "clock" for fault in run.plan.faults):
        wrong = [text for text in wrong if not any(known in text for known in BY_CLOCK)]
    return wrong, verdict


class _Ops:
    """Requests by type: those asked, and of them those that were acknowledged."""

    def __init__(self, records: Iterable[AnyRecord]) -> None:
        self.asked: dict[str, dict[str, dict[str, Any]]] = {}
        self.done: set[str] = set()
        self.finals: dict[str, Any] = {}
        for record in records:
            if isinstance(record, Asked):
                self.asked.setdefault(record.message["t"], {})[record.op] = record.message
            elif isinstance(record, Answered) and record.reply["t"] != "error":
                self.done.add(record.op)
            elif isinstance(record, Final):
                self.finals[record.what] = record.value

    def counted(self, t: str, key: str) -> tuple[Counter[str], Counter[str]]:
        """(acknowledged, asked) of a type, by a field."""
        asked = self.asked.get(t, {})
        done = Counter(message[key] for op, message in asked.items() if op in self.done)
        return done, Counter(message[key] for message in asked.values())


def _own_rules(records: Iterable[AnyRecord]) -> Iterator[str]:
    ops = _Ops(records)
    settled = bool(ops.finals.get("settled"))
    yield from _counters(ops, settled=settled)
    if not settled:
        yield f"it does not come to rest; left: outbox {ops.finals.get('outbox')}, timers {ops.finals.get('timers')}"
        return
    orders = ops.asked.get("purse.order", {})
    coins = sum(ops.finals["purses"].values())
    done = sum(op in ops.done for op in orders)
    if not done <= coins <= len(orders):
        yield f"coins were made or lost: {coins} in all purses; {done} to {len(orders)} orders were carried out"
    for actor, number, to, failed in ops.finals["outbox"]:
        yield f"a tell was set aside: {number} of {actor} to {to}: {failed}"


def _counters(ops: _Ops, *, settled: bool) -> Iterator[str]:
    for place, t, what in ((0, "counter.add", "counts"), (1, "counter.wind", "rings")):
        done, asked = ops.counted(t, "counter")
        for counter in asked:
            times = ops.finals["counters"].get(counter, (0, 0))[place]
            if times > asked[counter] or (settled and times < done[counter]):
                yield f"{counter} {what} {times} times: {done[counter]} acknowledged, {asked[counter]} asked"
