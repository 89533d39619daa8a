"""docs/races.md names tests, faults and planted bugs that exist, at least one for each race."""

import ast
import re
from functools import cache

import pytest

from tests.lints.sources import ROOT
from tests.simulation.faults import KINDS
from tests.simulation.planted import BUGS

PAGE = (ROOT / "docs" / "races.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| race |", "| promise |", "| --- |"))
]
RACES = 35  # a row that does not read as one would go unnoticed


@cache
def names_in(file: str) -> frozenset[str]:
    """``name`` and ``Class::name`` of every test in a file below ``tests/``."""
    found = set()
    for node in ast.parse((ROOT / "tests" / file).read_text("utf-8"), file).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def exists(name: str) -> bool:
    """Whether there is such a test, kind of fault or planted bug."""
    kind, _, what = name.partition(" ")
    if kind == "sim":
        return what in KINDS
    if kind == "planted":
        return what in BUGS
    file, _, test = name.partition("::")
    return (ROOT / "tests" / file).is_file() and test in names_in(file)


def test_the_page_has_its_rows() -> None:
    assert len(ROWS) == RACES
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_race_is_tried_by_what_exists(row: list[str]) -> None:
    names = re.findall(r"`([^`]+)`", row[2])

    assert any("::" in name for name in names)
    assert [name for name in names if not exists(name)] == []


def test_every_fault_of_the_simulation_and_every_planted_bug_has_its_place() -> None:
    named = set(re.findall(r"`(?:sim|planted) ([^`]+)`", PAGE))

    assert named >= KINDS.keys() | BUGS.keys()
