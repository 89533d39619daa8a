"""docs/two-actors.md shows the code that runs, not what ran when it was written."""

import re
from collections.abc import Iterator

import pytest

from tests.lints.sources import ROOT

PAGE = (ROOT / "docs" / "two-actors.md").read_text("utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"[Ff]rom\s+`([a-z_/]+\.py)`")


def shown() -> Iterator[tuple[str, str]]:
    """Each block with the file that is named before it, or else right after it."""
    for block in BLOCK.finditer(PAGE):
        before = NAMED.findall(PAGE[: block.start()].rpartition("\n\n")[0].rpartition("\n\n")[2])
        after = NAMED.findall(PAGE[block.end() :].lstrip().partition("\n\n")[0])
        yield (before or after)[-1], block[1]


BLOCKS = list(shown())


def test_the_page_shows_both_sides_of_a_gift_and_of_a_join() -> None:
    assert [path.split("/")[1] for path, _ in BLOCKS] == ["wallet", "wallet", "wallet", "guild", "guild", "rooms"]


@pytest.mark.parametrize(("path", "code"), BLOCKS, ids=[f"{n}-{path}" for n, (path, _) in enumerate(BLOCKS, 1)])
def test_what_the_page_shows_stands_in_the_room(path: str, code: str) -> None:
    assert code in (ROOT / path).read_text("utf-8")


def test_the_files_that_it_names_exist() -> None:
    assert [name for name in re.findall(r"`([a-z_/]+\.py)`", PAGE) if not (ROOT / name).exists()] == []
