"""The judge: takes a history record by record, then says what was broken."""

from collections.abc import Callable, Iterable
from typing import Any

from loadtest.checking.boards import judge_boards
from loadtest.checking.effects import judge_effects
from loadtest.checking.findings import Findings, Verdict
from loadtest.checking.inbox import judge_inbox
from loadtest.checking.joins import judge_joins
from loadtest.checking.membership import judge_membership
from loadtest.checking.order import Hearing
from loadtest.checking.ownership import Ownership
from loadtest.checking.replies import judge_replies
from loadtest.checking.story import Story
from loadtest.checking.value import judge_value
from loadtest.history import Answered, AnyRecord, Asked, Committed, Final, Heard, Lost, Welcomed


class Judge:
    """For one history. Keeps requests, answers and the first hearing of each event; what others hear is let go."""

    def __init__(self) -> None:
        self._findings = Findings()
        self._story = Story(self._findings)
        self._hearing = Hearing(self._story, self._findings)
        self._ownership = Ownership(self._findings)
        self._records = 0
        self._take: dict[type, Callable[[int, Any], None]] = {
            Asked: self._story.asked,
            Answered: self._answered,
            Welcomed: self._hearing.welcomed,
            Heard: self._hearing.heard_one,
            Lost: self._lost,
            Committed: self._committed,
            Final: self._story.final,
        }

    def take(self, record: AnyRecord) -> None:
        """Take the next record."""
        self._records += 1
        self._take[type(record)](self._records, record)

    def verdict(self) -> Verdict:
        """Judge what was taken; to be called once."""
        story, findings = self._story, self._findings
        story.judge_logs()
        self._hearing.judge()
        judge_effects(story, findings)
        judge_joins(story, findings)
        judge_replies(story, findings)
        judge_value(story, findings)
        judge_membership(story, findings)
        judge_boards(story, findings)
        judge_inbox(story, findings, self._hearing)
        return findings.verdict(self._records)

    def _answered(self, number: int, record: Answered) -> None:
        self._story.answered(number, record)
        self._hearing.answered(number, record)

    def _lost(self, _number: int, record: Lost) -> None:
        self._hearing.lost(record)

    def _committed(self, number: int, record: Committed) -> None:
        self._ownership.committed(number, record)
        self._hearing.committed(number, record)


def check(records: Iterable[AnyRecord]) -> Verdict:
    """Judge a whole history."""
    judge = Judge()
    for record in records:
        judge.take(record)
    return judge.verdict()
