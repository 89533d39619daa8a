"""Two runs side by side: what differs in the settings, and what became better or worse.

A change counts when it is beyond the noise of its figure, and a percentile is judged only where enough latencies lie
beyond it: the 99.9th of 500 is one unlucky request.
"""

from collections.abc import Callable, Iterator
from textwrap import fill

from msgspec import Struct

from loadtest.outcome import Outcome, Setting
from loadtest.reporting import words
from loadtest.reporting.compared import Figure, Form, figures

NOISE = 0.10  # of the earlier figure; two runs of the same build differ by as much
BEYOND = 10  # latencies beyond a percentile, in both runs, from which on it is judged

_LOUD = ("scenario", "players", "networks", "ramp_s", "twice")


class Change(Struct, frozen=True, kw_only=True):
    """One figure of both runs; None: the run has no such figure."""

    area: str
    what: str
    before: float | None
    after: float | None
    form: Form
    verdict: str
    """better, worse, empty (within noise, or not judged), few (too few to judge), new, gone."""

    @property
    def percent(self) -> float | None:
        """By how much it changed; None: there is nothing to compare with."""
        if self.before is None or self.after is None or not self.before:
            return None
        return (self.after - self.before) / self.before * 100


class Difference(Struct, frozen=True):
    """A setting that is not the same."""

    what: str
    before: str
    after: str
    loud: bool
    """Whether the runs can hardly be compared because of it."""


class Comparison(Struct, frozen=True, kw_only=True):
    """What two runs say of each other. Printed, it is the text for people."""

    before: str
    after: str
    """The runs in a line each, with their verdicts."""
    warnings: list[str]
    """Why the comparison may say little, in words."""
    differences: list[Difference]
    changes: list[Change]
    broke: bool
    """Whether the later run failed, or broke a promise, where the earlier one did not."""

    @property
    def worse(self) -> bool:
        """Whether the later run is worse in anything that is judged."""
        return self.broke or any(change.verdict == "worse" for change in self.changes)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def compare(a: Outcome, b: Outcome) -> Comparison:
    """What changed from the earlier run ``a`` to the later run ``b``."""
    differences = list(_differences(a.setting, b.setting))
    lines = {name: _line(name, run) for name, run in (("A", a), ("B", b))}
    good_before, good_after = (run.verdict is None or run.verdict.good for run in (a, b))
    earlier, later = figures(a), figures(b)
    names = [*earlier, *(name for name in later if name not in earlier)]
    return Comparison(
        before=lines["A"],
        after=lines["B"],
        warnings=[*_warnings(differences), *_doubts("A", a), *_doubts("B", b)],
        differences=differences,
        changes=[_change(earlier.get(name), later.get(name)) for name in names],
        broke=(a.passed and not b.passed) or (good_before and not good_after),
    )


def _line(name: str, run: Outcome) -> str:
    verdict = "PASSED" if run.passed else "FAILED"
    return words.plain(
        f"{name}  {verdict}  {words.headline(run)}, {run.setting.started_at}. {words.judged(run.verdict)}"
    )


def _differences(a: Setting, b: Setting) -> Iterator[Difference]:
    for name in Setting.__struct_fields__:
        before, after = getattr(a, name), getattr(b, name)
        if before != after and name not in {"says", "started_at"}:
            yield Difference(name.removesuffix("_s"), _said(before), _said(after), name in _LOUD)


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {words.share(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value) or "-"


def _warnings(differences: list[Difference]) -> Iterator[str]:
    for each in differences:
        if each.loud:
            yield f"{each.what} differs: {each.before} in A, {each.after} in B"


def _doubts(name: str, run: Outcome) -> Iterator[str]:
    if run.interrupted:
        yield f"{name} was stopped by hand after {words.duration(run.played_s)}"
    if run.tester.bottleneck:
        yield f"in {name} the tester itself was too slow: {run.tester.bottleneck}"
    if not run.moments:
        yield f"{name} never played"


def _change(a: Figure | None, b: Figure | None) -> Change:
    known = a or b
    assert known is not None
    return Change(
        area=known.area,
        what=known.what,
        before=a.value if a else None,
        after=b.value if b else None,
        form=known.form,
        verdict=_verdict(a, b),
    )


def _verdict(a: Figure | None, b: Figure | None) -> str:
    if a is None or b is None:
        return "gone" if b is None else "new"
    if not a.good:
        return ""
    if min(a.beyond, b.beyond) < BEYOND:
        return "few"
    gained = b.value - a.value
    if abs(gained) <= max(a.noise, NOISE * abs(a.value)):
        return ""
    return "better" if (gained > 0) == (a.good == "more") else "worse"


_WRITTEN: dict[Form, Callable[[float], str]] = {
    "ms": words.milliseconds,
    "number": words.number,
    "bytes": words.size,
    "share": words.share,
}


def _lines(comparison: Comparison) -> Iterator[str]:
    yield from (comparison.before, comparison.after)
    if comparison.warnings:
        yield ""
        yield "!!! NOT ALIKE: what follows may compare apples with pears"
        yield from (f"!!!   {words.plain(each)}" for each in comparison.warnings)
    quiet = [each for each in comparison.differences if not each.loud]
    if quiet:
        yield ""
        yield "Other settings that differ"
        for each in quiet:
            yield f"  {each.what}"
            yield f"    A  {words.plain(each.before)}"
            yield f"    B  {words.plain(each.after)}"
    yield ""
    yield from _changes(comparison.changes)
    yield ""
    yield _conclusion(comparison)


def _changes(changes: list[Change]) -> Iterator[str]:
    rows = [("", "", "A", "B", "change", "")]
    area = ""
    for each in changes:
        write = _WRITTEN[each.form]
        before, after = ("-" if value is None else write(value) for value in (each.before, each.after))
        percent = "" if each.percent is None else f"{round(each.percent):+} %"
        marked = {"few": "too few", "worse": "WORSE"}.get(each.verdict, each.verdict)
        rows.append((words.plain(each.area) if each.area != area else "", each.what, before, after, percent, marked))
        area = each.area
    yield from words.table(rows, left=2, indent="")


def _conclusion(comparison: Comparison) -> str:
    by_area: dict[str, list[str]] = {"the verdict": []} if comparison.broke else {}
    for each in comparison.changes:
        if each.verdict == "worse":
            by_area.setdefault(each.area, []).append(each.what)
    better = sum(each.verdict == "better" for each in comparison.changes)
    if by_area:
        worse = "; ".join(f"{area} {', '.join(what)}".strip() for area, what in by_area.items())
        return fill(words.plain(f"WORSE: {worse}") + (f" ({better} better)" if better else ""), 110)
    return f"NOT WORSE: {better} better, the rest within noise ({NOISE:.0%})"
