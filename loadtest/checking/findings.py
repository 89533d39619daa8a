"""What a judgement consists of: the rules by name, what was found against them, and what was looked at."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

KEPT = 50  # findings of one rule that are kept whole; the rest is counted


class Rule(StrEnum):
    """A promise of RELIABILITY.md, as far as a history can show it broken."""

    ACKNOWLEDGED = "acknowledged"
    ONCE = "once"
    ASKED = "asked"
    LOG = "log"
    ORDER = "order"
    SAME = "same"
    COMMITTED = "committed"
    LINES = "lines"
    REPLIES = "replies"
    REUSE = "reuse"
    VALUE = "value"
    MEMBERSHIP = "membership"
    OWNERSHIP = "ownership"
    BOARDS = "boards"
    INBOX = "inbox"


PROMISES: Mapping[Rule, str] = {
    Rule.ACKNOWLEDGED: "what was acknowledged has its effect, as it was asked for",
    Rule.ONCE: "no request has its effect twice, acknowledged or not",
    Rule.ASKED: "nothing happens that nobody asked for, or that was refused",
    Rule.LOG: "a durable topic is kept without hole or double",
    Rule.ORDER: "a session hears a topic from its cursor on in order, without gap or double",
    Rule.SAME: "everybody hears the same event at the same place of a topic",
    Rule.COMMITTED: "nothing is seen before the commit that holds it, or that a crash takes back",
    Rule.LINES: "a chat line is where its acknowledgement says",
    Rule.REPLIES: "the same request id gets the same reply, on every connection",
    Rule.REUSE: "a request id that comes with another body is refused as reused, and only then",
    Rule.VALUE: "balances are the sum of their ledgers, and nothing is created or destroyed on the way",
    Rule.MEMBERSHIP: "player and guild agree on who is a member",
    Rule.OWNERSHIP: "the commits of an actor form one line under rising fences",
    Rule.BOARDS: "a board ranks exactly what was submitted, of equals the earlier first",
    Rule.INBOX: "each announcement and notice comes once to whoever it is for, and to nobody else",
}


class Finding(Struct, frozen=True, omit_defaults=True):
    """A promise that was broken. ``records`` are the numbers of the records that show it, from 1: lines of the file."""

    rule: Rule
    says: str
    player: str = ""
    topic: str = ""
    op: str = ""
    expected: str = ""
    seen: str = ""
    records: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = " ".join(
            f"{name}={value}"
            for name, value in (("player", self.player), ("topic", self.topic), ("op", self.op))
            if value
        )
        lines = [f"[{self.rule}] {self.says}" + (f"  ({where})" if where else "")]
        if self.expected:
            lines.append(f"    expected: {self.expected}")
        if self.seen:
            lines.append(f"    seen:     {self.seen}")
        if self.records:
            lines.append(f"    records:  {', '.join(map(str, self.records))}")
        return "\n".join(lines)


class Verdict(Struct, frozen=True):
    """The outcome. ``judged`` counts what each rule has looked at: a rule with 0 has nothing to say of this history."""

    records: int
    findings: list[Finding]
    """Up to ``KEPT`` of each rule, in the order in which they were found."""
    found: dict[str, int]
    """All findings, by rule."""
    judged: dict[str, int]
    unjudged: dict[str, int]
    """What could not be judged, for want of a record, and how often."""

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def __str__(self) -> str:
        lines = [f"{self.records:,} records"]
        for rule in Rule:
            looked, found = self.judged.get(rule, 0), self.found.get(rule, 0)
            verdict = f"{found:,} BROKEN" if found else "kept" if looked else "-"
            lines.append(f"  {rule:<13}{verdict:>12}  of {looked:>9,}  {PROMISES[rule]}")
        if self.unjudged:
            lines.append("not judged:")
            lines += [f"  {count:,} x {what}" for what, count in sorted(self.unjudged.items())]
        if self.found:
            lines.append("")
            lines += map(str, self.findings)
            hidden = sum(self.found.values()) - len(self.findings)
            lines += [f"... and {hidden:,} more"] if hidden else []
        lines.append("")
        total = sum(self.found.values())
        lines.append(
            f"NOT TO BE TRUSTED: {total:,} findings" if total else "GOOD: nothing was lost, doubled or reordered"
        )
        return "\n".join(lines)


class Findings:
    """Gathers them."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._found: Counter[str] = Counter()
        self._judged: Counter[str] = Counter()
        self._unjudged: Counter[str] = Counter()

    def add(self, rule: Rule, says: str, *, records: tuple[int, ...] = (), **evidence: Any) -> None:
        """Note a broken promise; ``evidence`` are fields of ``Finding``, made to texts."""
        self._found[rule] += 1
        if self._found[rule] <= KEPT:
            texts = {name: _text(value) for name, value in evidence.items()}
            self._kept.append(Finding(rule=rule, says=says, records=records, **texts))

    def judged(self, rule: Rule, count: int = 1) -> None:
        """Note that so much was looked at."""
        self._judged[rule] += count

    def unjudged(self, what: str, count: int = 1) -> None:
        """Note that something could not be looked at."""
        self._unjudged[what] += count

    def verdict(self, records: int) -> Verdict:
        """What it comes to."""
        return Verdict(records, list(self._kept), dict(self._found), dict(self._judged), dict(self._unjudged))


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."
