"""docs/attacks.md names tests that exist, at least one for each attack on what is built."""

import re

import pytest

from tests.docs.test_races import exists
from tests.lints.sources import ROOT

PAGE = (ROOT / "docs" / "attacks.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| attack |", "| --- |"))
]
ATTACKS = 56  # a row that does not read as one would go unnoticed
LATER = "not built yet"


def test_the_page_has_its_rows() -> None:
    assert len(ROWS) == ATTACKS
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_an_attack_is_tried_by_what_exists(row: list[str]) -> None:
    names = re.findall(r"`([^`]+)`", row[2])

    assert names or (row[2] == LATER and LATER in row[1])
    assert [name for name in names if not exists(name)] == []
