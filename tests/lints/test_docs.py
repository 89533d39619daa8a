"""What the documents show exists: Python compiles, links lead somewhere, make targets are there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.lints.sources import ROOT, files

DOCUMENTS = [path for path in files() if path.suffix == ".md"]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
MAKE = re.compile(r"`make ([a-z]+)")


def name(path: Path) -> str:
    """As pytest shows it."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_python_in_a_document_compiles(document: Path) -> None:
    for snippet in SNIPPET.findall(document.read_text("utf-8")):
        ast.parse(dedent(snippet), name(document))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_a_documents_links_lead_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text("utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []


def targets() -> Iterator[str]:
    """What ``make`` can make."""
    yield from re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each.name != "design.md"], ids=name)
def test_a_documents_make_targets_exist(document: Path) -> None:
    assert set(MAKE.findall(document.read_text("utf-8"))) <= set(targets())
