"""Judge a history: ``python -m loadtest.check HISTORY.jsonl``.

Exit code 0: good; 1: a promise was broken; 2: there is no such history.

In process: ``check(records)``, or a ``Judge`` that takes records while they happen.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from loadtest.checking import PROMISES, Finding, Judge, Rule, Verdict, check
from loadtest.history import BadHistory, read_history

__all__ = ["PROMISES", "Finding", "Judge", "Rule", "Verdict", "check", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the verdict; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.check", description="Judge a recorded history.")
    parser.add_argument("history", type=Path, help="records as JSON lines (loadtest/history.py)")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    chosen = parser.parse_args(arguments)
    gc.disable()  # nothing here refers to itself, and going through millions of messages again takes half of the time
    try:
        verdict = check(read_history(chosen.history))
    except (OSError, BadHistory, msgspec.ValidationError) as error:
        print(f"{chosen.history}: {error}", file=sys.stderr)
        return 2
    finally:
        gc.enable()
    print(msgspec.json.encode(verdict).decode() if chosen.json else verdict)
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
