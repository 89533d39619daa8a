"""The closing words of a run in the terminal. The verdict comes first and last: whoever scrolls sees it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

from loadtest.figures import Count, State
from loadtest.outcome import Outcome
from loadtest.reporting import words

WIDTH = 110  # characters of a line that is made of many short things
FINDINGS = 5  # that are printed; the report has more


def summary(outcome: Outcome, reports: Sequence[Path] = ()) -> str:
    """What the run came to; ``reports`` are the files that were written of it."""
    verdict = f"{'PASSED' if outcome.passed else 'FAILED'}: {words.plain(words.headline(outcome))}"
    blocks = [
        [verdict],
        list(_reasons(outcome)),
        list(_slo(outcome)),
        list(_happened(outcome)),
        list(_latencies(outcome)),
        list(_checked(outcome)),
        [f"Report   {words.plain(str(each))}" for each in reports],
        [verdict],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _reasons(outcome: Outcome) -> Iterator[str]:
    if outcome.reasons:
        yield "Why:" if not outcome.passed else "To know:"
    for reason in outcome.reasons:
        yield f"  - {words.plain(reason)}"
    if outcome.tester.bottleneck:
        yield f"The tester itself was too slow, so its latencies say little: {words.plain(outcome.tester.bottleneck)}"


def _slo(outcome: Outcome) -> Iterator[str]:
    if not outcome.slo:
        return
    yield "Limits"
    rows = [("", "", "limit", "measured")]
    for line in outcome.slo:
        name, limit, measured = (words.plain(each) for each in (line.what, line.limit, line.measured))
        rows.append(("met" if line.met else "NOT MET", name, limit, measured))
    yield from words.table(rows, left=2)


def _happened(outcome: Outcome) -> Iterator[str]:
    of = {each: f"{outcome.counts.get(each, 0):,}" for each in Count}
    ended = [f"{outcome.players.get(each, 0):,} {words.STATES[each]}" for each in State if outcome.players.get(each)]
    asked = words.number(words.a_second(outcome, Count.ASKED))
    heard = words.number(words.a_second(outcome, Count.HEARD, Count.TOLD))
    yield "What happened"
    yield f"  Players      up to {words.most_online(outcome):,} online; at the end: {', '.join(ended) or 'none'}"
    yield (
        f"  Requests     {of[Count.ASKED]} ({asked} a second): {of[Count.ANSWERED]} answered, of them"
        f" {of[Count.REFUSED]} refused; {of[Count.UNANSWERED]} without an answer"
    )
    deliveries = outcome.counts.get(Count.HEARD, 0) + outcome.counts.get(Count.TOLD, 0)
    yield f"  Deliveries   {deliveries:,} ({heard} a second)"
    yield (
        f"  Connections  {of[Count.SIGN_INS]} sign-ins; {of[Count.LOST]} lost, {of[Count.RESUMED]} resumed;"
        f" {of[Count.UNREACHED]} dials led to nothing"
    )
    for title, counts in (
        ("Errors", outcome.errors),
        ("Closed with", {_closed(code): count for code, count in outcome.closes.items()}),
        ("Sent away", outcome.refused),
    ):
        if counts:
            named = "; ".join(f"{words.plain(name)} {count:,}" for name, count in words.by_count(counts))
            yield fill(named, WIDTH, initial_indent=f"  {title:<13}", subsequent_indent=" " * 15)


def _closed(code: str) -> str:
    meaning = words.closed(code)
    return f"{code} ({meaning})" if meaning else code


def _latencies(outcome: Outcome) -> Iterator[str]:
    if not outcome.kinds:
        return
    yield "Latencies"
    rows = [("", "count", "half within", "90 %", "99 %", "99.9 %", "longest")]
    for each in outcome.kinds:
        took = each.took
        shown = (words.milliseconds(one) for one in (took.p50, took.p90, took.p99, took.p999, took.longest))
        rows.append((words.plain(each.kind), f"{took.count:,}", *shown))  # type: ignore[arg-type]
    yield from words.table(rows)


def _checked(outcome: Outcome) -> Iterator[str]:
    yield f"Checked: {words.judged(outcome.verdict)}"
    if outcome.verdict is None:
        return
    for finding in outcome.verdict.findings[:FINDINGS]:
        yield from (f"  {words.plain(line)}" for line in str(finding).splitlines())
    more = sum(outcome.verdict.found.values()) - len(outcome.verdict.findings[:FINDINGS])
    if more > 0:
        yield f"  ... and {more:,} more"
    if outcome.history:
        yield f"  The whole history is in {words.plain(outcome.history)}"
