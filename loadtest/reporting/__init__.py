"""What is told of a run: in the terminal, as a page, as JSON, and beside another run."""

from loadtest.reporting.compare import Change, Comparison, Difference, compare
from loadtest.reporting.files import BadReport, encode, read_outcome
from loadtest.reporting.html import render
from loadtest.reporting.text import summary

__all__ = [
    "BadReport",
    "Change",
    "Comparison",
    "Difference",
    "compare",
    "encode",
    "read_outcome",
    "render",
    "summary",
]
