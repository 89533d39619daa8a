"""When something repeats: periods without a gap in every time zone, also in the nights in which clocks are changed.

Times are written as on the clock of their zone, with its offset: what a player there would read.
"""

from datetime import UTC, datetime
from itertools import islice, pairwise
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.schedule import Period, Repeat, Schedule, ScheduleInvalid, ScheduleNever, ZoneUnknown

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def ms(text: str) -> int:
    """Milliseconds of a time with its offset, or in UTC."""
    time = datetime.fromisoformat(text)
    return round(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)


def schedule(cron: str, zone: str = "UTC") -> Schedule:
    return Schedule(Repeat(cron=cron, time_zone=zone))


def starts(cron: str, zone: str, after: str, count: int) -> list[str]:
    """Starts of the periods that begin after a time, as the clocks of the zone show them."""
    found, made, now_ms = [], schedule(cron, zone), ms(after)
    for _ in range(count):
        now_ms = made.period(now_ms).end_ms
        found.append(datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone)).isoformat(timespec="minutes"))
    return found


class TestLines:
    @pytest.mark.parametrize(
        ("cron", "now", "start", "end"),
        [
            ("* * * * *", "2026-11-26T04:00:30", "2026-11-26T04:00", "2026-11-26T04:01"),
            ("*/15 * * * *", "2026-11-26T04:14:59.999", "2026-11-26T04:00", "2026-11-26T04:15"),
            ("0 * * * *", "2026-11-26T04:59", "2026-11-26T04:00", "2026-11-26T05:00"),
            ("0 4 * * *", "2026-11-26T03:59", "2026-11-25T04:00", "2026-11-26T04:00"),
            ("0 0,12 * * *", "2026-11-26T23:00", "2026-11-26T12:00", "2026-11-27T00:00"),
            ("0 4 * * MON", "2026-11-26T00:00", "2026-11-23T04:00", "2026-11-30T04:00"),
            ("0 4 * * 1", "2026-11-26T00:00", "2026-11-23T04:00", "2026-11-30T04:00"),
            ("0 0 * * 7", "2026-11-26T00:00", "2026-11-22T00:00", "2026-11-29T00:00"),
            ("0 0 1 * *", "2026-02-28T23:59", "2026-02-01T00:00", "2026-03-01T00:00"),
            ("0 0 31 * *", "2026-02-10T00:00", "2026-01-31T00:00", "2026-03-31T00:00"),
            ("0 0 L * *", "2026-02-28T12:00", "2026-02-28T00:00", "2026-03-31T00:00"),
            ("0 0 1 1 *", "2026-11-26T00:00", "2026-01-01T00:00", "2027-01-01T00:00"),
            ("0 0 29 2 *", "2026-11-26T00:00", "2024-02-29T00:00", "2028-02-29T00:00"),
            ("0 0 29 FEB *", "2097-01-01T00:00", "2096-02-29T00:00", "2104-02-29T00:00"),
            # Both days are given: either will do, as in cron.
            ("0 0 13 * FRI", "2026-11-12T00:00", "2026-11-06T00:00", "2026-11-13T00:00"),
            ("0 0 30 2 MON", "2026-02-24T00:00", "2026-02-23T00:00", "2027-02-01T00:00"),
        ],
    )
    def test_give_the_period_that_a_moment_lies_in(self, cron: str, now: str, start: str, end: str) -> None:
        assert schedule(cron).period(ms(now)) == Period(ms(start), ms(end))

    def test_the_first_moment_belongs_to_the_period_and_its_end_to_the_next(self) -> None:
        daily = schedule("0 4 * * *")
        at = ms("2026-11-26T04:00")

        assert daily.period(at).start_ms == at
        assert daily.period(at - 1).end_ms == at

    def test_a_period_is_named_by_its_start_in_utc(self) -> None:
        assert schedule("0 4 * * *", "Asia/Kolkata").period(ms("2026-11-26T00:00")).name == "2026-11-25T22:30Z"


class TestTimeZones:
    @pytest.mark.parametrize(
        ("zone", "start"),
        [
            ("UTC", "2026-01-15T04:00+00:00"),
            ("Europe/Berlin", "2026-01-15T04:00+01:00"),
            ("America/New_York", "2026-01-15T04:00-05:00"),
            ("America/Sao_Paulo", "2026-01-15T04:00-03:00"),
            ("Europe/Istanbul", "2026-01-15T04:00+03:00"),
            ("Africa/Casablanca", "2026-01-15T04:00+01:00"),
            ("Asia/Kolkata", "2026-01-15T04:00+05:30"),
            ("Asia/Kathmandu", "2026-01-15T04:00+05:45"),
            ("Australia/Lord_Howe", "2026-01-15T04:00+11:00"),
            ("Pacific/Apia", "2026-01-15T04:00+13:00"),
            ("Pacific/Kiritimati", "2026-01-15T04:00+14:00"),
        ],
    )
    def test_a_day_begins_by_the_clock_of_the_zone(self, zone: str, start: str) -> None:
        assert starts("0 4 * * *", zone, "2026-01-14T12:00", 1) == [start]


class TestClocksSetForward:
    """What falls into the skipped hour happens right after it; everything else when the clock says so."""

    @pytest.mark.parametrize(
        ("zone", "cron", "after", "expected"),
        [
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-03-28T12:00",
                ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
            ),
            (
                "Europe/Berlin",
                "0 4 * * *",
                "2026-03-28T12:00",
                ["2026-03-29T04:00+02:00", "2026-03-30T04:00+02:00"],
            ),
            (
                "America/New_York",
                "0 2 * * SUN",
                "2026-03-05T12:00",
                ["2026-03-08T03:00-04:00", "2026-03-15T02:00-04:00"],
            ),
            # Two times of one schedule come to be the same: that is one reset.
            (
                "America/New_York",
                "0 2,3 * * *",
                "2026-03-07T12:00",
                ["2026-03-08T03:00-04:00", "2026-03-09T02:00-04:00"],
            ),
            # Midnight itself did not exist in Brazil.
            (
                "America/Sao_Paulo",
                "0 0 * * *",
                "2018-11-03T12:00",
                ["2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"],
            ),
            # Half an hour.
            (
                "Australia/Lord_Howe",
                "15 2 * * *",
                "2026-10-03T00:00",
                ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"],
            ),
            # After Ramadan.
            (
                "Africa/Casablanca",
                "30 2 * * *",
                "2026-03-21T12:00",
                ["2026-03-22T03:00+01:00", "2026-03-23T02:30+01:00"],
            ),
            # For ever, since 2016.
            (
                "Europe/Istanbul",
                "30 3 * * *",
                "2015-03-28T12:00",
                ["2015-03-29T04:00+03:00", "2015-03-30T03:30+03:00"],
            ),
            # A whole day did not exist: what fell on it happened when the next one began.
            (
                "Pacific/Apia",
                "0 12 * * *",
                "2011-12-29T12:00",
                ["2011-12-29T12:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T12:00+14:00"],
            ),
            # What is told by wildcards goes by time that passes.
            (
                "Europe/Berlin",
                "0 * * * *",
                "2026-03-29T00:30",
                ["2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"],
            ),
            (
                "Europe/Berlin",
                "*/30 2 * * *",
                "2026-03-28T12:00",
                ["2026-03-30T02:00+02:00", "2026-03-30T02:30+02:00"],
            ),
        ],
    )
    def test_table(self, zone: str, cron: str, after: str, expected: list[str]) -> None:
        assert starts(cron, zone, after, len(expected)) == expected


class TestClocksSetBack:
    """What stands in the repeated hour happens once, the first time; what is told by wildcards goes on."""

    @pytest.mark.parametrize(
        ("zone", "cron", "after", "expected"),
        [
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-10-24T12:00",
                ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
            ),
            (
                "America/New_York",
                "0 1 * * SUN",
                "2026-10-30T12:00",
                ["2026-11-01T01:00-04:00", "2026-11-08T01:00-05:00"],
            ),
            (
                "America/Sao_Paulo",
                "30 23 * * *",
                "2019-02-16T12:00",
                ["2019-02-16T23:30-02:00", "2019-02-17T23:30-03:00"],
            ),
            (
                "Australia/Lord_Howe",
                "45 1 * * *",
                "2026-04-04T00:00",
                ["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"],
            ),
            # For Ramadan.
            (
                "Africa/Casablanca",
                "30 2 * * *",
                "2026-02-14T12:00",
                ["2026-02-15T02:30+01:00", "2026-02-16T02:30+00:00"],
            ),
            (
                "Europe/Berlin",
                "0 * * * *",
                "2026-10-24T23:30",
                ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"],
            ),
            (
                "Australia/Lord_Howe",
                "*/30 1 * * *",
                "2026-04-04T14:15",
                ["2026-04-05T01:30+11:00", "2026-04-05T01:30+10:30", "2026-04-06T01:00+10:30"],
            ),
        ],
    )
    def test_table(self, zone: str, cron: str, after: str, expected: list[str]) -> None:
        assert starts(cron, zone, after, len(expected)) == expected


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/Istanbul",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Cairo",
    "America/St_Johns",
    "Asia/Gaza",
]
minutes = st.sampled_from(["*", "*/7", "*/30", "0", "30", "15,45", "59"])
hours = st.sampled_from(["*", "*/2", "0", "1", "2", "2,3", "3", "4", "23", "1-3"])
days = st.sampled_from(["*", "*", "*", "1", "29", "L", "10"])
months = st.sampled_from(["*", "*", "*", "3,10", "2"])
weekdays = st.sampled_from(["*", "*", "*", "SUN", "MON-FRI", "SUN#1", "5L"])
lines = st.builds(" ".join, st.tuples(minutes, hours, days, months, weekdays))
moments = st.integers(ms("2009-01-01T00:00") // 1000, ms("2040-01-01T00:00") // 1000).map(lambda s: s * 1000)
# Nights in which some clock of ZONES is changed.
nights = st.tuples(
    st.sampled_from(
        [
            "2026-03-29T01:00",
            "2026-10-25T01:00",
            "2026-03-08T07:00",
            "2026-11-01T06:00",
            "2018-11-04T03:00",
            "2019-02-17T02:00",
            "2026-04-04T15:00",
            "2026-10-03T15:30",
            "2011-12-30T10:00",
            "2026-02-15T02:00",
            "2026-03-22T02:00",
            "2026-04-23T22:00",
            "2026-10-29T21:00",
        ]
    ).map(ms),
    st.integers(-9 * HOUR_MS // 1000, 9 * HOUR_MS // 1000),
).map(lambda pair: pair[0] + pair[1] * 1000)


class TestPeriods:
    @given(lines, st.sampled_from(ZONES), st.one_of(moments, nights))
    @example("30 2 * * *", "Europe/Berlin", ms("2026-10-25T00:40"))
    @example("0 2,3 * * *", "Europe/Berlin", ms("2026-03-29T01:00"))
    def test_hold_the_moment_and_follow_one_another_without_a_gap(self, cron: str, zone: str, now_ms: int) -> None:
        made = schedule(cron, zone)
        here = made.period(now_ms)
        assert here.start_ms <= now_ms < here.end_ms

        before, after = made.period(here.start_ms - 1), made.period(here.end_ms)
        assert before.start_ms < before.end_ms == here.start_ms
        assert after.start_ms == here.end_ms < after.end_ms
        assert len({before.name, here.name, after.name}) == 3

    @given(lines, st.sampled_from(ZONES), st.one_of(moments, nights), st.data())
    def test_are_the_same_whenever_and_wherever_they_are_asked_for(
        self, cron: str, zone: str, now_ms: int, data: st.DataObject
    ) -> None:
        """A node that asks for the first time and one that has been asked for something else before agree."""
        here = schedule(cron, zone).period(now_ms)
        other = schedule(cron, zone)
        other.period(now_ms - data.draw(st.integers(0, 3 * DAY_MS)))
        for moment_ms in (here.start_ms, data.draw(st.integers(here.start_ms, here.end_ms - 1)), here.end_ms - 1):
            assert other.period(moment_ms) == schedule(cron, zone).period(moment_ms) == here

    @given(lines, st.sampled_from(ZONES), st.one_of(moments, nights), st.integers(0, 5 * DAY_MS))
    def test_that_have_ended_are_listed_once_each_and_in_order(
        self, cron: str, zone: str, now_ms: int, ago_ms: int
    ) -> None:
        made = schedule(cron, zone)
        listed = list(islice(made.ended(now_ms - ago_ms, now_ms), 300))

        if not listed:
            assert made.period(now_ms).start_ms <= now_ms - ago_ms
            return
        assert listed[0] == made.period(now_ms - ago_ms)
        assert all(one.end_ms == next_.start_ms for one, next_ in pairwise(listed))
        assert len(listed) == 300 or listed[-1].end_ms == made.period(now_ms).start_ms

    def test_that_have_ended_begin_after_what_is_known(self) -> None:
        """An end that was noted is not listed again, however often one asks."""
        daily = schedule("0 0 * * *")
        noted_ms = ms("2026-11-24T00:00")

        listed = list(daily.ended(noted_ms, ms("2026-11-26T00:00")))
        assert [period.name for period in listed] == ["2026-11-24T00:00Z", "2026-11-25T00:00Z"]
        assert not list(daily.ended(listed[-1].end_ms, ms("2026-11-26T23:59")))

    @pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
    def test_of_a_minute_each_hold_nobody_up_after_a_month(self, zone: str) -> None:
        """A turn that lists a hundred of them stays well below what a turn may take. (Each was looked for anew, from
        four hours before: 2 ms for one, seconds for all.)"""
        made = schedule("* * * * *", zone)
        now_ms = ms("2026-11-26T00:00")
        best = min(_took(lambda: list(islice(made.ended(now_ms - 30 * DAY_MS, now_ms), 100))) for _ in range(5))
        assert best < 0.02


def _took(work: object) -> float:
    started = perf_counter()
    assert callable(work)
    work()
    return perf_counter() - started


class TestRefusals:
    @pytest.mark.parametrize(
        "cron",
        [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "a b c d e",
            "0 0 * *",
            "0 0 * * * *",
            "@daily --- --- ---",
            "0 0 5-1 * *",
            "0 */0 * * *",
            "0 -1 * * *",
            "\u0660 0 * * *",
            "0 0 * * MON#6",
            "0 0 * * *; DROP",
        ],
    )
    def test_a_line_that_cannot_be_read(self, cron: str) -> None:
        with pytest.raises(ScheduleInvalid) as refusal:
            schedule(cron)
        assert (refusal.value.code, refusal.value.retry) == ("schedule.invalid", "never")

    @pytest.mark.parametrize(
        "cron",
        ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 30-31 2 *", "0 0 */29 2 3#5"],
    )
    def test_a_line_that_never_comes(self, cron: str) -> None:
        with pytest.raises(ScheduleNever) as refusal:
            schedule(cron)
        assert (refusal.value.code, refusal.value.retry) == ("schedule.never", "never")

    @pytest.mark.parametrize(
        "zone",
        [
            *("Mars/Olympus", "europe/berlin", "Europe", "../etc/passwd", "/etc/localtime", "GMT+3", "a\0b", "é", "."),
            # What a machine may have beside the zones, and another machine otherwise or not at all.
            *("localtime", "posixrules", "right/Europe/Berlin", "zone.tab"),
        ],
    )
    def test_a_zone_that_is_not_in_the_iana_database(self, zone: str) -> None:
        with pytest.raises(ZoneUnknown) as refusal:
            schedule("0 0 * * *", zone)
        assert (refusal.value.code, refusal.value.retry) == ("schedule.zone_unknown", "never")

    def test_take_no_longer_than_a_turn_may(self) -> None:
        """The search for a time that never comes looks fifty years ahead."""

        def search() -> None:
            with pytest.raises(ScheduleNever):
                schedule("0 0 */29 2 3#5", "Europe/Berlin")

        assert min(_took(search) for _ in range(5)) < 0.02
