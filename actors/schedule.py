"""When something repeats: a cron line in a time zone, and the periods between its times. Pure: now is an argument.

The line has the five fields of cron(5) and is read by the rules of Debian's cron, also where clocks are set forward or
back: what falls into a skipped hour happens right after it, what stands in a repeated hour happens once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec import Meta, Struct

from protocol import GuildhallError

BACK_S = 4 * 3600  # the search for the last time starts so much before the guess: no clock is set back further
CATCH_UP = 1_000  # periods that ended while nobody looked, at most; the older ones are passed over


class ScheduleInvalid(GuildhallError):
    """The cron line cannot be read."""

    code = "schedule.invalid"


class ScheduleNever(GuildhallError):
    """The cron line names a time that does not come within fifty years."""

    code = "schedule.never"


class ZoneUnknown(GuildhallError):
    """There is no such time zone in the IANA database."""

    code = "schedule.zone_unknown"


class Repeat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As staff writes it down."""

    cron: Annotated[str, Meta(min_length=9, max_length=100)]
    """minute hour day-of-month month day-of-week, e.g. ``0 4 * * MON``."""
    time_zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    """IANA name, e.g. ``Europe/Istanbul``."""


class Period(Struct, frozen=True):
    """From one time of a schedule to the next, in milliseconds since the Unix epoch."""

    start_ms: int
    end_ms: int

    @property
    def name(self) -> str:
        """Its start in UTC, to the minute: ``2026-11-26T04:00Z``."""
        return datetime.fromtimestamp(self.start_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")


class Schedule:
    """A ``Repeat`` that was found good.

    Raises:
        ScheduleInvalid, ScheduleNever, ZoneUnknown: it was not.
    """

    def __init__(self, repeat: Repeat) -> None:
        self._cron = repeat.cron
        self._zone = _zone(repeat.time_zone)
        self._known: Period | None = None
        if len(repeat.cron.split()) != 5:
            raise ScheduleInvalid(f"{repeat.cron!r} has not the five fields of a cron line")
        try:
            first = next(CronSim(self._cron, datetime(2024, 1, 1, tzinfo=self._zone)), None)
        except CronSimError as error:
            # A day that no month has is a time that never comes, to everybody but the parser.
            if str(error) == "Bad day-of-month" and self._names_real_days():
                raise ScheduleNever(f"{repeat.cron!r} names a day that none of its months has") from None
            raise ScheduleInvalid(f"{repeat.cron!r}: {error}") from None
        if first is None:
            raise ScheduleNever(f"{repeat.cron!r} does not come within fifty years")

    def period(self, now_ms: int) -> Period:
        """The period that ``now_ms`` lies in; its first moment belongs to it, its end to the next."""
        known = self._known
        if known is None or not known.start_ms <= now_ms < known.end_ms:
            known = self._known = self._find(now_ms)
        return known

    def ended(self, after_ms: int, now_ms: int) -> Iterator[Period]:
        """The periods that have ended after ``after_ms`` and up to ``now_ms``, oldest first; ``CATCH_UP`` at most."""
        period = self.period(now_ms)
        found: list[Period] = []
        while period.start_ms > after_ms and len(found) < CATCH_UP:
            period = self._find(period.start_ms - 1)
            found.append(period)
        yield from reversed(found)

    def _find(self, now_ms: int) -> Period:
        now = datetime.fromtimestamp(now_ms / 1000, self._zone)
        # Backwards and forwards need not agree about a night in which clocks are changed: forwards decides.
        guess = next(CronSim(self._cron, now + timedelta(seconds=1), reverse=True))
        times = _times(self._cron, guess.astimezone(UTC) - timedelta(seconds=BACK_S), self._zone)
        for start_ms, end_ms in pairwise(times):
            if start_ms <= now_ms < end_ms:
                return Period(start_ms, end_ms)
        raise AssertionError("a schedule goes on for ever")

    def _names_real_days(self) -> bool:
        minute, hour, day, _, weekday = self._cron.split()
        try:
            CronSim(f"{minute} {hour} {day} * {weekday}", datetime(2024, 1, 1, tzinfo=UTC))
        except CronSimError:
            return False
        return True


def _times(cron: str, after: datetime, zone: ZoneInfo) -> Iterator[int]:
    """Times of the schedule in milliseconds, rising; the first may lie long before ``after`` for a rare one."""
    before = next(CronSim(cron, after.astimezone(zone), reverse=True), None)
    if before is not None:
        yield _ms(before)
    for time in CronSim(cron, after.astimezone(zone)):
        yield _ms(time)


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ZoneUnknown(f"no time zone {name!r}") from None
