"""The report for people: one HTML file that needs no network, no server and no other file.

All words and tables are HTML, so that they can be read, searched and pasted where scripts are forbidden (as a build
server does with files that it shows). The plots are drawn by ``assets/plots.js`` and ``report.js`` from the outcome
that the page carries.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template

from loadtest.outcome import Outcome
from loadtest.reporting import words
from loadtest.reporting.files import carried
from loadtest.reporting.sections import MOMENTS_NOTE, marks, promises, setting, slo, tables, tiles, top
from loadtest.reporting.thinned import thinned


def render(outcome: Outcome) -> str:
    """The whole file."""
    kept = thinned(outcome)
    style = _asset("uplot/uPlot.min.css") + _asset("report.css")
    scripts = [_asset(name) for name in ("uplot/uPlot.iife.min.js", "plots.js", "report.js")]
    verdict = "PASSED" if outcome.passed else "FAILED"
    return Template(_asset("report.html")).substitute(
        title=escape(f"{verdict}: {words.headline(outcome)}"),
        policy=_policy(style, scripts),
        style=style,
        scripts="\n".join(f"<script>{each}</script>" for each in scripts),
        outcome=carried(kept),
        top=top(outcome),
        tiles=tiles(outcome),
        slo=slo(outcome),
        promises=promises(outcome),
        marks=marks(outcome),
        thinned=f"<p class='note'>{MOMENTS_NOTE.format(kept.moment_s)}</p>" if kept.moment_s > 1 else "",
        tables=tables(outcome),
        setting=setting(outcome),
    )


@cache
def _asset(name: str) -> str:
    return files("loadtest.reporting").joinpath("assets", *name.split("/")).read_text("utf-8")


def _policy(style: str, scripts: Sequence[str]) -> str:
    """What the page may do: run its own scripts, nothing else. Text that got in as an element would stay inert."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {' '.join(map(_hash, scripts))}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(inside: str) -> str:
    """Of what stands between an element's tags (Content Security Policy Level 3, section 6.7.3.3)."""
    return f"'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'"
