"""Log events are constants of the form ``area.word``: what is counted can be found, what varies is a field."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lints.sources import ROOT, modules, place

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
EVENT = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


def wrong_events(path: Path, tree: ast.Module) -> Iterator[str]:
    """Places where a log line has no constant name of the form."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_log_call(node.func):
            event = node.args[0] if node.args else None
            name = event.value if isinstance(event, ast.Constant) else None
            if not (isinstance(name, str) and EVENT.fullmatch(name)):
                yield place(path, node)


def is_log_call(called: ast.expr) -> bool:
    """``log.info(...)``, ``ctx.log.info(...)``, ``self._log.info(...)``."""
    if not (isinstance(called, ast.Attribute) and called.attr in LEVELS):
        return False
    logger = called.value
    name = logger.attr if isinstance(logger, ast.Attribute) else getattr(logger, "id", "")
    return name.lstrip("_") == "log"


def test_log_events_are_constants_of_the_form_area_word() -> None:
    assert [wrong for path, tree in modules() for wrong in wrong_events(path, tree)] == []


@pytest.mark.parametrize("line", ['log.info(f"chat {n}")', 'ctx.log.warning("it failed")', "self._log.error(name)"])
def test_another_form_is_found(line: str) -> None:
    assert list(wrong_events(ROOT / "a.py", ast.parse(line))) == ["a.py:1"]
