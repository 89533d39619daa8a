"""Takes code out of documents, and makes copies of the project to try it in."""

import re
from pathlib import Path
from shutil import copytree, ignore_patterns

from tests.lints.sources import LEFT_OUT, ROOT

_SECTION = re.compile(r"^#+ (?P<title>[^\n]*)\n(?P<text>.*?)(?=^#+ |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def python_blocks(document: str) -> dict[str, list[str]]:
    """The Python blocks of a document of the project, by the title that they stand under."""
    fenced = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    text = (ROOT / document).read_text("utf-8")
    # A comment in a block begins as a title does.
    masked = fenced.sub(lambda block: block[0].replace("\n#", "\n\0"), text)
    found = {
        section["title"]: [block.replace("\0", "#") for block in _BLOCK.findall(section["text"])]
        for section in _SECTION.finditer(masked)
    }
    return {title: blocks for title, blocks in found.items() if blocks}


def copy_of_the_project(folder: Path) -> Path:
    """A copy in ``folder`` without what is generated or installed."""
    return copytree(ROOT, folder / "project", ignore=ignore_patterns(*LEFT_OUT, "*_cache", ".hypothesis"))


def insert_after(path: Path, line: str, text: str) -> None:
    """Put ``text`` into a file, behind the line that begins with ``line``."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    place = next(n for n, each in enumerate(lines) if each.startswith(line))
    lines.insert(place + 1, text)
    path.write_text("".join(lines), "utf-8")
