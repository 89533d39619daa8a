"""The one judge of histories: ``PROMISES`` says what it decides, ``effects.EFFECTS`` what each request does."""

from loadtest.checking.findings import PROMISES, Finding, Rule, Verdict
from loadtest.checking.judge import Judge, check

__all__ = ["PROMISES", "Finding", "Judge", "Rule", "Verdict", "check"]
