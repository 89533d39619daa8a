"""When something repeats: a cron line in a time zone, and the periods between its times. Pure: now is an argument.

The line has the five fields of cron(5) and is read by the rules of Debian's cron, also where clocks are set forward or
back: what falls into a skipped hour happens right after it, what stands in a repeated hour happens once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Meta, Struct

from protocol import GuildhallError

NEAR = timedelta(hours=4)  # to a change of the clocks: no clock is set back further


class ScheduleInvalid(GuildhallError):
    """The cron line cannot be read."""

    code = "schedule.invalid"


class ScheduleNever(GuildhallError):
    """The cron line names a time that does not come within fifty years."""

    code = "schedule.never"


class ZoneUnknown(GuildhallError):
    """There is no such time zone in the IANA database."""

    code = "schedule.zone_unknown"


class Repeat(Struct, frozen=True, kw_only=True):
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
        self._known: tuple[Period, ...] = ()
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
        for known in self._known:
            if known.start_ms <= now_ms < known.end_ms:
                return known
        found = self._find(now_ms)
        self._known = (found, *self._known[:1])  # after a reset both sides of it are asked for in turn
        return found

    def ended(self, after_ms: int, now_ms: int) -> Iterator[Period]:
        """The periods whose end lies after ``after_ms`` and not after ``now_ms``, oldest first. There may be a great
        many, and each takes some 20 us: it is the caller who stops."""
        if after_ms >= self.period(now_ms).start_ms:
            return
        for period in self._from(after_ms):
            if period.end_ms > now_ms:
                return
            yield period

    def _find(self, now_ms: int) -> Period:
        return next(self._from(now_ms))

    def _from(self, now_ms: int) -> Iterator[Period]:
        """The period that ``now_ms`` lies in, and all that follow."""
        for start_ms, end_ms in pairwise(self._times(now_ms)):
            if start_ms < end_ms and now_ms < end_ms:
                yield Period(start_ms, end_ms)

    def _times(self, now_ms: int) -> Iterator[int]:
        """Times of the schedule in milliseconds, from one that is not after ``now_ms``."""
        now = datetime.fromtimestamp(now_ms / 1000, self._zone)
        # Backwards and forwards need not agree about a night in which clocks are changed: forwards decides, and it
        # begins where the clocks are let alone.
        # A moment that is no whole second has the search begin with the second before it, that one included.
        start = next(CronSim(self._cron, now.replace(microsecond=1), reverse=True)).astimezone(UTC)
        while self._clocks_change_near(start):
            start = next(CronSim(self._cron, (start - NEAR).astimezone(self._zone), reverse=True)).astimezone(UTC)
        for time in CronSim(self._cron, (start - timedelta(seconds=1)).astimezone(self._zone)):
            yield round(time.timestamp() * 1000)

    def _clocks_change_near(self, time: datetime) -> bool:
        before, after = (time - NEAR).astimezone(self._zone), (time + NEAR).astimezone(self._zone)
        return before.utcoffset() != after.utcoffset()

    def _names_real_days(self) -> bool:
        minute, hour, day, _, weekday = self._cron.split()
        try:
            CronSim(f"{minute} {hour} {day} * {weekday}", datetime(2024, 1, 1, tzinfo=UTC))
        except CronSimError:
            return False
        return True


@cache  # of as many as there are in the package
def _zone(name: str) -> ZoneInfo:
    rules = _RULES.get(name)
    if rules is None:
        raise ZoneUnknown(f"no time zone {name!r}")
    return ZoneInfo.from_file(BytesIO(rules), key=name)


def _read_rules() -> dict[str, bytes]:
    package = Path(str(files("tzdata")))
    names = (package / "zones").read_text().split()
    return {name: (package / "zoneinfo" / name).read_bytes() for name in names}


_RULES = _read_rules()
"""Of all zones, read once (20 ms, 0.7 MB): no turn waits for a disk, and all nodes of a release have the same, whatever
else their machines have."""
