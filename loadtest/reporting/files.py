"""Reports as files: ``report.json`` is the outcome, and ``report.html`` carries it for machines too."""

import re
from pathlib import Path

import msgspec

from loadtest.outcome import Outcome

FORMAT = 1
_CARRIED = re.compile(r'<script type="application/json" id="outcome">(.*?)</script>', re.DOTALL)


class BadReport(Exception):
    """The file is no report that can be read; the message is one line that names it."""


class _Format(msgspec.Struct):
    format: int = 0


def encode(outcome: Outcome) -> bytes:
    """What ``report.json`` holds."""
    return msgspec.json.format(msgspec.json.encode(outcome), indent=1)


def carried(outcome: Outcome) -> str:
    """The outcome as a page may carry it: nothing in it ends the element that holds it."""
    return msgspec.json.encode(outcome).decode().replace("<", "\\u003c")


def read_outcome(path: Path) -> Outcome:
    """The outcome in a ``report.json`` or a ``report.html``; in a page, long runs are thinned out.

    Raises:
        BadReport: there is no such file, or it is something else.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise BadReport(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BadReport(f"{path}: neither a report.json nor a report.html: it is no text") from None
    found = _CARRIED.search(text)
    if found is None and text.lstrip()[:1] != "{":
        raise BadReport(f"{path}: neither a report.json nor a report.html of the load tester")
    return _decode(path, found[1] if found else text)


def _decode(path: Path, text: str) -> Outcome:
    try:
        version = msgspec.json.decode(text, type=_Format).format
        if version > FORMAT:
            raise BadReport(f"{path}: a report of format {version}; this tester reads formats up to {FORMAT}")
        return msgspec.json.decode(text, type=Outcome)
    except msgspec.ValidationError as error:
        raise BadReport(f"{path}: JSON, but no report of the load tester: {error}") from None
    except msgspec.DecodeError as error:
        raise BadReport(f"{path}: broken off or damaged: {error}") from None
