"""What docs/operations.md and docs/THREAT_MODEL.md name exists: metrics, log events, settings."""

import ast
import re

from actors.runtime.meters import Meters
from server.config_sources import settings
from server.staff.keys import SCOPES
from server.telemetry import registry_of
from tests.lints.sources import ROOT, modules
from tests.lints.test_log_events import is_log_call

OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
THREATS = (ROOT / "docs" / "THREAT_MODEL.md").read_text("utf-8")


def section(text: str, title: str) -> str:
    """What stands under a title."""
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_cells(table: str) -> set[str]:
    """What stands in backquotes in the first column."""
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    return {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}


def log_events() -> set[str]:
    """Every event that our code logs."""
    calls = [node for _, tree in modules() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    firsts = [call.args[0] for call in calls if is_log_call(call.func) and call.args]
    return {str(first.value) for first in firsts if isinstance(first, ast.Constant)}


def test_the_metrics_of_the_page_exist() -> None:
    metrics = registry_of(Meters()).collect()
    shown = {metric.name + ("_total" if metric.type == "counter" else "") for metric in metrics}
    named = {name for name in first_cells(section(OPERATIONS, "Metrics")) if name.startswith("guildhall_")}

    assert named
    assert named <= shown


def test_the_log_lines_of_the_page_exist() -> None:
    named = first_cells(section(OPERATIONS, "What to do when"))

    assert named
    assert named <= log_events()


def test_the_settings_of_the_pages_exist() -> None:
    known = {setting.name for setting in settings()}
    sections = "|".join(sorted({name.partition(".")[0] for name in known}))
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)`", OPERATIONS + THREATS)) - log_events() - set(SCOPES)

    assert first_cells(section(THREATS, "Defaults that this rests on"))
    assert named <= known
