"""The parts of the page that are words and tables. Whatever comes from outside goes through ``escape``."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from loadtest.checking import Finding
from loadtest.figures import CONNECT, DELIVERY, RESUME, SIGN_IN, Count, State
from loadtest.outcome import Outcome
from loadtest.reporting import words

MOMENTS_NOTE = (
    "This was a long run, so each point of the plots stands for {} s: rates are means, players as at its end, "
    "latencies and lags those of the worst second in it. The tables count every single one."
)


SHOWN = 10  # findings; the others are folded away
_NO_REQUESTS = {SIGN_IN, RESUME, DELIVERY, CONNECT}


def top(outcome: Outcome) -> str:
    """The verdict and why."""
    run = outcome.setting
    verdict, mood = ("PASSED", "good") if outcome.passed else ("FAILED", "bad")
    reasons = _list(outcome.reasons, "reasons")
    if not outcome.passed and not outcome.reasons:
        reasons = "<p class='reasons'>The run gave no reason.</p>"
    doubt = outcome.tester.bottleneck
    warning = (
        f"<p class='warning'><strong>The tester itself was too slow</strong>, so the latencies say little of the"
        f" server: {escape(doubt)}</p>"
        if doubt
        else ""
    )
    return (
        f"<header class='{mood}'><h1>{verdict}</h1><p class='run'>{escape(words.headline(outcome))}</p>"
        f"<p class='says'>{escape(run.says)}</p>{reasons}"
        f"<p class='when'>{escape(run.started_at)} against {escape(', '.join(run.urls) or 'no server')}</p>"
        f"</header>{warning}"
    )


def tiles(outcome: Outcome) -> str:
    """The figures that everybody asks for first."""
    counts = outcome.counts
    asked = counts.get(Count.ASKED, 0)
    unhappy = sum(outcome.errors.values())
    lost, resumed = counts.get(Count.LOST, 0), counts.get(Count.RESUMED, 0)
    delivery = next((each.took.p99 for each in outcome.kinds if each.kind == DELIVERY), None)
    requests = [each for each in outcome.kinds if each.kind not in _NO_REQUESTS]
    slowest = max(requests, key=lambda each: each.took.p99, default=None)
    shown = [
        ("players online at once", f"{words.most_online(outcome):,}", f"of {outcome.setting.players:,}"),
        ("requests a second", words.number(words.a_second(outcome, Count.ASKED)), f"{asked:,} in all"),
        (
            "deliveries a second",
            words.number(words.a_second(outcome, Count.HEARD, Count.TOLD)),
            f"{counts.get(Count.HEARD, 0) + counts.get(Count.TOLD, 0):,} in all",
        ),
        ("p99 of deliveries", "-" if delivery is None else words.milliseconds(delivery), "to each listener"),
        (
            "p99 of requests",
            words.milliseconds(slowest.took.p99) if slowest else "-",
            f"the slowest: {slowest.kind}" if slowest else "none was answered",
        ),
        ("error replies", f"{unhappy:,}", f"{words.share(unhappy / asked)} of requests" if asked else "no requests"),
        ("connections lost", f"{lost:,}", f"{resumed:,} came back"),
    ]
    items = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{escape(more)}</small></dd></div>" for name, value, more in shown
    )
    return f"<dl class='tiles'>{items}</dl>"


def slo(outcome: Outcome) -> str:
    """What was asked for, what was measured, met or not."""
    if not outcome.slo:
        return "<p class='note'>The run was judged by no limits.</p>"
    rows = [
        (escape(line.what), escape(line.limit), escape(line.measured), _mark(line.met, "met", "not met"))
        for line in outcome.slo
    ]
    return _table(("Limit", "asked for", "measured", ""), rows, name="slo")


def promises(outcome: Outcome) -> str:
    """The checker's verdict, rule by rule, and what it found."""
    verdict = outcome.verdict
    sentence = f"<p class='judged'>{escape(words.judged(verdict))}</p>"
    if verdict is None:
        return sentence
    rows = []
    for rule, promise, looked, broken in sorted(words.promises(verdict), key=lambda each: -each[3]):
        state = _mark(False, "", f"{broken:,} broken") if broken else _mark(True, "kept", "") if looked else "not seen"
        rows.append((f"<span title='{rule}'>{escape(promise)}</span>", f"{looked:,}", state))
    groups = "".join(
        f"<li class='{'bad' if count else 'good'}'><strong>{count:,}</strong> {name}</li>"
        for name, count in words.groups(verdict).items()
    )
    unjudged = [f"{count:,} times {what}" for what, count in words.by_count(verdict.unjudged)]
    more = f"<p class='note'>Could not be judged, for want of a record:</p>{_list(unjudged)}" if unjudged else ""
    return (
        f"{sentence}<ul class='groups'>{groups}</ul>{_findings(outcome)}"
        f"<details{'' if verdict.good else ' open'}><summary>Promise by promise</summary>"
        f"{_table(('Promise', 'looked at', ''), rows, name='promises')}{more}</details>"
    )


def _findings(outcome: Outcome) -> str:
    assert outcome.verdict is not None
    found = outcome.verdict.findings
    if not found:
        return ""
    hidden = sum(outcome.verdict.found.values()) - len(found)
    more = f"<p class='note'>{hidden:,} more were counted, not kept.</p>" if hidden > 0 else ""
    history = f"<p class='note'>The records are lines of {escape(outcome.history)}</p>" if outcome.history else ""
    first = "".join(map(_finding, found[:SHOWN]))
    rest = "".join(map(_finding, found[SHOWN:]))
    if rest:
        count = len(found) - SHOWN
        rest = f"<details><summary>{count:,} more findings</summary><ol class='findings'>{rest}</ol></details>"
    return f"<h3>Findings</h3><ol class='findings'>{first}</ol>{rest}{more}{history}"


def _finding(finding: Finding) -> str:
    facts = [
        ("player", finding.player),
        ("topic", finding.topic),
        ("request", finding.op),
        ("expected", finding.expected),
        ("seen", finding.seen),
        ("records", ", ".join(map(str, finding.records))),
    ]
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts if value)
    return f"<li><p><b>{escape(finding.rule)}</b> {escape(finding.says)}</p><dl>{rows}</dl></li>"


def marks(outcome: Outcome) -> str:
    """What the plots mark, in words."""
    if not outcome.marks:
        return ""
    items = "".join(
        f"<li><span class='flag'>{nth}</span> {words.clock(mark.at_ms / 1000)} {escape(mark.says)}</li>"
        for nth, mark in enumerate(outcome.marks, 1)
    )
    return f"<ol class='marks' aria-label='Marked in the plots'>{items}</ol>"


def tables(outcome: Outcome) -> str:
    """All figures of the whole run."""
    kinds = [
        (
            escape(each.kind),
            f"{each.took.count:,}",
            *(words.milliseconds(getattr(each.took, of)) for of in ("p50", "p90", "p99", "p999", "longest")),
        )
        for each in outcome.kinds
    ]
    heads = ("Latency of", "count", "p50", "p90", "p99", "p99.9", "longest")
    errors = [(escape(code), f"{count:,}") for code, count in words.by_count(outcome.errors)]
    closes = [
        (escape(code), escape(words.closed(code)) or "unknown", f"{count:,}")
        for code, count in words.by_count(outcome.closes)
    ]
    counts = [
        (name, words.size(value) if each in {Count.BYTES_IN, Count.BYTES_OUT} else f"{value:,}")
        for each, name in words.COUNTS.items()
        if (value := outcome.counts.get(each, 0)) or each in {Count.ASKED, Count.ANSWERED, Count.LOST}
    ]
    states = [(words.STATES[each], f"{outcome.players[each]:,}") for each in State if outcome.players.get(each)]
    refused = [(escape(reason), f"{count:,}") for reason, count in words.by_count(outcome.refused)]
    whole = _table(heads, kinds, name="kinds") if kinds else "<p class='note'>No latency was measured.</p>"
    parts = [
        _table(("Count", ""), counts, name="counts"),
        _table(("Error replies by code", ""), errors or [("none", "0")], name="errors"),
        _table(("Connections ended with", "meaning", ""), closes or [("none", "", "0")], name="closes", left=2),
        _table(("Players at the end", ""), states or [("none", "0")], name="states"),
    ]
    if refused:
        parts.append(_table(("Players sent away, by reason", ""), refused, name="refused"))
    return f"{whole}<div class='columns'>{''.join(parts)}</div>"


def setting(outcome: Outcome) -> str:
    """What was run, where, on what."""
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in _facts(outcome) if value)
    return f"<dl class='facts'>{rows}</dl>"


def _facts(outcome: Outcome) -> Iterator[tuple[str, str]]:
    run, tester = outcome.setting, outcome.tester
    yield "scenario", escape(run.scenario)
    yield "servers", _lines(run.urls)
    yield "started by the tester", _lines(run.servers)
    yield "players", f"{run.players:,} in {run.processes:,} process{'' if run.processes == 1 else 'es'}"
    yield "duration", f"{words.duration(run.duration_s)}, of it {words.duration(run.ramp_s)} in which all arrive"
    yield "seed", str(run.seed)
    yield "networks", escape(", ".join(f"{name} {words.share(part)}" for name, part in run.networks.items()))
    yield "requests", "each was sent twice" if run.twice else ""
    yield "started at", escape(run.started_at)
    yield "command", f"<code>{escape(run.command)}</code>"
    yield "machine", escape(run.machine)
    yield "Python", escape(run.python)
    yield "commit", escape(run.commit)
    load = ", ".join(words.share(each) for each in tester.cpu)
    lag = (
        f"timers at most {words.milliseconds(tester.lag_longest_ms)} late (p99 {words.milliseconds(tester.lag_p99_ms)})"
    )
    yield "the tester itself", escape(f"{lag}; of a core: {load}" if load else lag)
    yield "history", escape(outcome.history)
    yield "notes", _lines(run.notes)


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(map(escape, texts))


def _list(texts: Sequence[str], name: str = "") -> str:
    items = "".join(f"<li>{escape(each)}</li>" for each in texts)
    return f"<ul class='{name}'>{items}</ul>" if texts else ""


def _mark(good: bool, yes: str, no: str) -> str:
    """In colour, and told apart by more than colour."""
    return f"<span class='good'>✓ {yes}</span>" if good else f"<span class='bad'>✗ {no}</span>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, name: str, left: int = 1) -> str:
    """``rows`` are HTML already."""
    head = "".join(f"<th scope='col'{_at(nth, left)}>{escape(each)}</th>" for nth, each in enumerate(heads))
    body = "".join(
        f"<tr><th scope='row'>{row[0]}</th>"
        + "".join(f"<td{_at(nth, left)}>{cell}</td>" for nth, cell in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    return f"<div class='scrolls'><table id='{name}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _at(nth: int, left: int) -> str:
    return " class='left'" if nth < left else ""
