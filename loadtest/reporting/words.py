"""How figures are written for people: the same in the terminal, in the report and in a comparison.

Texts from outside (error texts, findings, URLs) come through ``plain`` before they reach a terminal.
"""

from collections.abc import Iterable, Mapping, Sequence

from loadtest.checking import PROMISES, Rule, Verdict
from loadtest.figures import Count, State
from loadtest.outcome import Outcome
from protocol.closing import CloseCode

BROKEN: Mapping[str, tuple[Rule, ...]] = {
    "lost": (Rule.ACKNOWLEDGED, Rule.COMMITTED, Rule.LINES, Rule.INBOX),
    "doubled or invented": (Rule.ONCE, Rule.ASKED, Rule.VALUE),
    "out of order": (Rule.ORDER, Rule.LOG, Rule.SAME, Rule.OWNERSHIP),
    "contradictory": (Rule.REPLIES, Rule.REUSE, Rule.MEMBERSHIP, Rule.BOARDS),
}
"""What a broken promise comes to for players. Every rule stands in one group."""

STATES: Mapping[State, str] = {
    State.ONLINE: "online",
    State.CONNECTING: "connecting",
    State.AWAY: "coming back",
    State.WAITING: "waiting",
    State.DONE: "done",
    State.REFUSED: "refused",
    State.FAILED: "failed",
}

COUNTS: Mapping[Count, str] = {
    Count.ASKED: "requests",
    Count.ANSWERED: "answered",
    Count.REFUSED: "of them refused",
    Count.UNANSWERED: "without an answer",
    Count.SENT_AGAIN: "sent again",
    Count.HEARD: "events of durable topics heard",
    Count.TOLD: "ephemeral events heard",
    Count.SIGN_INS: "sign-ins",
    Count.LOST: "connections lost",
    Count.RESUMED: "connections resumed",
    Count.UNREACHED: "dials that led to nothing",
    Count.BYTES_IN: "bytes received",
    Count.BYTES_OUT: "bytes sent",
}

CLOSES: Mapping[int, str] = {
    1000: "closed in the ordinary way",
    1001: "the server goes away",
    1002: "a frame that is no WebSocket",
    1003: "data of a kind that is not taken",
    1005: "closed without a code",
    1006: "cut off: no close frame came",
    1007: "text that is no UTF-8",
    1008: "against the server's policy",
    1009: "a message that is too large",
    1011: "the server failed",
    1012: "the server restarts",
    1013: "the server is overloaded",
    CloseCode.DRAINING: "the node is being drained",
    CloseCode.SLOW_CONSUMER: "too slow a reader",
    CloseCode.HEARTBEAT_MISSED: "heartbeat missed",
    CloseCode.INTERNAL: "internal error of the server",
    CloseCode.RATE_ABUSED: "far over the rate limit",
    CloseCode.PROTOCOL_ABUSE: "spoke the protocol wrongly, again and again",
    CloseCode.NOT_AUTHENTICATED: "not signed in, or the token has expired",
    CloseCode.BANNED: "banned",
    CloseCode.SIGNED_IN_ELSEWHERE: "signed in elsewhere",
    CloseCode.CLIENT_TOO_OLD: "the client is too old",
    CloseCode.NO_COMMON_VERSION: "no protocol version in common",
    CloseCode.CLOSED_BY_OPERATOR: "closed by an operator",
}


def plain(text: str) -> str:
    """On one line, and without anything that a terminal would obey."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text.replace("\n", " "))


def number(value: float) -> str:
    """With as many digits as say something: 12,345, 83.4, 0.52."""
    size = abs(value)
    if value == int(value) or size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def milliseconds(value: float) -> str:
    """0.84 ms, 12.3 ms, 1.20 s."""
    return f"{value / 1000:,.2f} s" if abs(value) >= 1000 else f"{number(value)} ms"


def size(value: float) -> str:
    """Bytes, in the unit that fits."""
    for unit in ("B", "kB", "MB"):
        if abs(value) < 1000:
            return f"{number(value)} {unit}"
        value /= 1000
    return f"{number(value)} GB"


def duration(seconds: float) -> str:
    """45 s, 2:00 min, 3:00:00 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{clock(whole)} {'min' if whole < 3600 else 'h'}"


def clock(seconds: float) -> str:
    """A time of the run as the plots show it: 1:23, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def share(value: float) -> str:
    """0.83 as 83 %."""
    return f"{number(round(value * 100, 1))} %"


def closed(code: str) -> str:
    """What a close code means; empty: nobody knows."""
    return CLOSES.get(int(code), "") if code.isdecimal() else ""


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def a_second(outcome: Outcome, *counts: Count) -> float:
    """How many there were in a second of playing, on average."""
    total = sum(outcome.counts.get(each, 0) for each in counts)
    return total / outcome.played_s if outcome.played_s > 0 else 0.0


def most_online(outcome: Outcome) -> int:
    """The most players who were online at the end of a second."""
    return max((each.players.get(State.ONLINE, 0) for each in outcome.moments), default=0)


def headline(outcome: Outcome) -> str:
    """The run in a line, without its verdict."""
    setting = outcome.setting
    played, asked = duration(outcome.played_s), duration(setting.duration_s)
    length = played if played == asked else f"{played} of {asked}"
    stopped = ", stopped by hand" if outcome.interrupted else ""
    return f"{setting.scenario}, {setting.players:,} players, {length}{stopped}"


def groups(verdict: Verdict) -> dict[str, int]:
    """How much was lost, doubled, out of order, contradictory."""
    return {name: sum(verdict.found.get(rule, 0) for rule in rules) for name, rules in BROKEN.items()}


def judged(verdict: Verdict | None) -> str:
    """What the checker says, in a sentence."""
    if verdict is None:
        return "Not checked: the checker was turned off."
    if verdict.good and not any(verdict.judged.values()):
        return "Nothing could be checked: no record says anything that a promise is about."
    if verdict.good:
        return f"Nothing was lost, doubled or out of order in {verdict.records:,} records."
    parts = [f"{count:,} {name}" for name, count in groups(verdict).items() if count]
    return f"{sum(verdict.found.values()):,} promises broken in {verdict.records:,} records: {', '.join(parts)}."


def promises(verdict: Verdict) -> Iterable[tuple[str, str, int, int]]:
    """Each rule with its promise, how much of it was looked at, and how much was broken."""
    for rules in BROKEN.values():
        for rule in rules:
            yield rule, PROMISES[rule], verdict.judged.get(rule, 0), verdict.found.get(rule, 0)


def table(rows: Sequence[Sequence[str]], *, left: int = 1, indent: str = "  ") -> list[str]:
    """Lines in columns; the first ``left`` columns begin at the left, the others end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines
