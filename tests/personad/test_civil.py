"""Days, weeks, months and hours made of quarter-hours, in every zone; and ranges as people ask."""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personad import civil
from personad.civil import Range

from .moments import asked, modern, quarter, untimed, zones

DAY = timedelta(days=1)

dates = st.dates(date(1900, 1, 1), date(2100, 1, 1))
WAYS: dict[str, Callable[[Range, ZoneInfo], Sequence[Any]]] = {
    "days": civil.days,
    "weeks": civil.weeks,
    "months": civil.months,
    "hours": civil.hours,
}


def whole(first: date, last: date, zone: ZoneInfo) -> Range:
    return Range(civil.day_start(first, zone), civil.day_start(last + DAY, zone), first, last)


def lengths(zone: str, first: str, last: str) -> dict[str, float]:
    """Hours of each day."""
    found = ZoneInfo(zone)
    span = whole(date.fromisoformat(first), date.fromisoformat(last), found)
    return {str(day): (end - begin) / 4 for day, begin, end in civil.days(span, found)}


class TestQuarters:
    def test_a_bucket_begins_with_its_first_microsecond(self) -> None:
        assert [civil.quarter_of(each) for each in (-1, 0, 899_999_999, 900_000_000)] == [
            -1,
            0,
            0,
            1,
        ]

    def test_the_moment_of_a_bucket_is_shown_by_the_clocks_of_the_zone(self) -> None:
        shown = civil.moment(quarter("2026-01-05T00:00+00:00"), ZoneInfo("Asia/Kathmandu"))

        assert shown.isoformat() == "2026-01-05T05:45:00+05:45"


class TestDays:
    @pytest.mark.parametrize(
        ("zone", "first", "expected"),
        [
            ("Europe/Berlin", "2026-03-29", 23),
            ("Europe/Berlin", "2026-10-25", 25),
            ("Australia/Lord_Howe", "2026-10-04", 23.5),
            ("Australia/Lord_Howe", "2026-04-05", 24.5),
            ("Asia/Kathmandu", "2026-04-05", 24),
            ("America/Sao_Paulo", "2018-11-04", 23),
            ("America/Sao_Paulo", "2018-02-17", 25),
            ("Asia/Beirut", "2022-03-27", 23),
            ("America/Havana", "2026-11-01", 25),
            ("Asia/Kathmandu", "1986-01-01", 23.75),
            ("Asia/Pyongyang", "2018-05-04", 23.5),
            ("Pacific/Kwajalein", "1969-09-30", 47),
        ],
    )
    def test_a_day_is_as_long_as_its_clocks_make_it(
        self, zone: str, first: str, expected: float
    ) -> None:
        assert lengths(zone, first, first) == {first: expected}

    def test_a_date_that_the_zone_skipped_is_no_day(self) -> None:
        found = lengths("Pacific/Apia", "2011-12-28", "2012-01-01")

        assert found == dict.fromkeys(("2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"), 24)

    def test_where_there_is_no_midnight_the_day_begins_with_the_jump(self) -> None:
        start = civil.day_start(date(2018, 11, 4), ZoneInfo("America/Sao_Paulo"))

        shown = civil.moment(start, ZoneInfo("America/Sao_Paulo"))
        assert shown.isoformat() == "2018-11-04T01:00:00-02:00"

    def test_a_jump_that_begins_before_midnight_begins_the_day(self) -> None:
        zone = ZoneInfo("America/Toronto")

        begun = civil.moment(civil.day_start(date(1919, 3, 31), zone), zone)

        assert begun.isoformat() == "1919-03-31T00:30:00-04:00"

    def test_of_two_midnights_the_first_begins_the_day_where_the_clock_stays_in_it(self) -> None:
        zone = ZoneInfo("America/Havana")

        assert civil.day_start(date(2026, 11, 1), zone) == quarter("2026-11-01T00:00-04:00")

    def test_of_two_midnights_the_second_begins_the_day_where_the_clock_went_back_behind_it(
        self,
    ) -> None:
        zone = ZoneInfo("America/St_Johns")

        assert civil.day_start(date(2006, 10, 29), zone) == quarter("2006-10-29T00:00-03:30")
        assert civil.day_of(quarter("2006-10-29T00:00-02:30"), zone) == date(2006, 10, 28)

    def test_a_day_that_begins_within_a_quarter_hour_owns_all_of_it(self) -> None:
        zone = ZoneInfo("Africa/Monrovia")

        assert civil.day_start(date(1971, 6, 1), zone) == quarter("1971-06-01T00:30+00:00")
        assert civil.day_of(quarter("1971-06-01T00:30+00:00"), zone) == date(1971, 6, 1)

    @untimed
    @given(zones, modern)
    @example(ZoneInfo("America/St_Johns"), date(2006, 10, 29))
    @example(ZoneInfo("Pacific/Apia"), date(2011, 12, 31))
    def test_the_first_and_the_last_quarter_hour_of_a_day_land_in_it(
        self, zone: ZoneInfo, day: date
    ) -> None:
        start, end = civil.day_start(day, zone), civil.day_start(day + DAY, zone)

        if start < end:
            assert civil.day_of(start, zone) == day
            assert civil.day_of(end - 1, zone) == day
            assert civil.day_of(end, zone) > day
            assert civil.day_of(start - 1, zone) < day

    @untimed
    @given(zones, modern)
    def test_the_clocks_agree_at_the_first_and_the_last_microsecond_of_a_day(
        self, zone: ZoneInfo, day: date
    ) -> None:
        start, end = civil.day_start(day, zone), civil.day_start(day + DAY, zone)

        if start < end:
            assert civil.moment(start, zone).date() == day
            last = civil.moment(end, zone).astimezone(UTC) - timedelta(microseconds=1)
            assert last.astimezone(zone).date() == day

    @untimed
    @given(zones, dates)
    def test_days_begin_one_after_the_other(self, zone: ZoneInfo, day: date) -> None:
        starts = [civil.day_start(day + n * DAY, zone) for n in range(4)]

        assert starts == sorted(starts)


class TestPartitions:
    @pytest.mark.no_cover
    @pytest.mark.parametrize("way", WAYS)
    @untimed
    @given(zones, dates, st.integers(0, 96), st.integers(1, 96 * 70))
    @example(ZoneInfo("Pacific/Apia"), date(2011, 12, 20), 3, 96 * 30)
    @example(ZoneInfo("Australia/Lord_Howe"), date(2026, 4, 1), 0, 96 * 30)
    @example(ZoneInfo("America/Juneau"), date(1900, 8, 1), 5, 96 * 60)
    def test_every_quarter_hour_of_a_range_is_in_one_slice(
        self, way: str, zone: ZoneInfo, day: date, into: int, size: int
    ) -> None:
        first = civil.day_start(day, zone) + into
        span = Range(
            first, first + size, civil.day_of(first, zone), civil.day_of(first + size - 1, zone)
        )

        found = WAYS[way](span, zone)

        labels = [each.start for each in found]
        if way == "hours":
            labels = [each.astimezone(UTC) for each in labels]
        assert found[0].first_quarter == span.first_quarter
        assert found[-1].end_quarter == span.end_quarter
        assert all(each.first_quarter < each.end_quarter for each in found)
        assert all(a.end_quarter == b.first_quarter for a, b in itertools.pairwise(found))
        assert all(a < b for a, b in itertools.pairwise(labels))

    @untimed
    @given(zones, modern, st.data())
    def test_the_edges_tell_the_day_of_each_bucket(
        self, zone: ZoneInfo, day: date, data: Any
    ) -> None:
        span = whole(day, day + 40 * DAY, zone)
        found = civil.days(span, zone)
        bucket = data.draw(st.integers(span.first_quarter, span.end_quarter - 1))

        index = bisect_right(civil.edges(found), bucket) - 1

        assert found[index].start == civil.day_of(bucket, zone)

    @untimed
    @given(zones, modern)
    def test_two_ranges_that_meet_are_cut_as_one(self, zone: ZoneInfo, day: date) -> None:
        both = whole(day, day + 20 * DAY, zone)
        parts = [whole(day, day + 9 * DAY, zone), whole(day + 10 * DAY, day + 20 * DAY, zone)]

        assert civil.days(both, zone) == [each for part in parts for each in civil.days(part, zone)]

    def test_an_empty_list_has_no_edges(self) -> None:
        assert civil.edges([]) == []


class TestWeeksAndMonths:
    @pytest.mark.parametrize(
        ("week_start", "expected"),
        [
            ("monday", ["2026-09-28", "2026-10-05"]),
            ("sunday", ["2026-09-27", "2026-10-04", "2026-10-11"]),
            ("saturday", ["2026-09-26", "2026-10-03", "2026-10-10"]),
        ],
    )
    def test_weeks_are_labelled_with_their_first_day(
        self, week_start: civil.WeekStart, expected: list[str]
    ) -> None:
        span = asked(since="2026-10-01", until="2026-10-11")

        found = civil.weeks(span, ZoneInfo("UTC"), week_start)

        assert [str(each.start) for each in found] == expected

    @untimed
    @given(zones, modern)
    def test_weeks_are_those_of_iso(self, zone: ZoneInfo, day: date) -> None:
        for start, first, end in civil.weeks(whole(day, day + 30 * DAY, zone), zone):
            for bucket in (first, end - 1):
                assert civil.day_of(bucket, zone).isocalendar()[:2] == start.isocalendar()[:2]

    def test_months_are_labelled_with_their_first_day_and_cut_by_the_range(self) -> None:
        found = civil.months(asked(since="2026-01-30", until="2026-03-01"), ZoneInfo("UTC"))

        assert [(str(each.start), each.end_quarter - each.first_quarter) for each in found] == [
            ("2026-01-01", 2 * 96),
            ("2026-02-01", 28 * 96),
            ("2026-03-01", 96),
        ]


class TestHours:
    def labels(self, zone: str, day: str, first: int, last: int) -> list[tuple[str, int]]:
        found = ZoneInfo(zone)
        span = whole(date.fromisoformat(day), date.fromisoformat(day), found)
        return [
            (each.start.strftime("%H:%M%z"), each.end_quarter - each.first_quarter)
            for each in civil.hours(span, found)[first:last]
        ]

    def test_an_hour_that_the_clock_shows_twice_is_two(self) -> None:
        assert self.labels("Europe/Berlin", "2026-10-25", 1, 5) == [
            ("01:00+0200", 4),
            ("02:00+0200", 4),
            ("02:00+0100", 4),
            ("03:00+0100", 4),
        ]

    def test_an_hour_that_the_clock_skips_is_none(self) -> None:
        assert self.labels("Europe/Berlin", "2026-03-29", 1, 3) == [
            ("01:00+0100", 4),
            ("03:00+0200", 4),
        ]

    def test_a_shift_by_half_an_hour_makes_slices_of_half_an_hour(self) -> None:
        assert self.labels("Australia/Lord_Howe", "2026-04-05", 1, 4) == [
            ("01:00+1100", 4),
            ("01:30+1030", 2),
            ("02:00+1030", 4),
        ]
        assert self.labels("Australia/Lord_Howe", "2026-10-04", 1, 4) == [
            ("01:00+1030", 4),
            ("02:30+1100", 2),
            ("03:00+1100", 4),
        ]

    def test_hours_follow_the_clock_where_the_offset_is_no_whole_hour(self) -> None:
        assert self.labels("Asia/Kathmandu", "2026-04-05", 0, 2) == [
            ("00:00+0545", 4),
            ("01:00+0545", 4),
        ]

    def test_a_range_that_begins_within_an_hour_has_the_label_of_that_hour(self) -> None:
        span = asked(since="2026-10-14T08:40", until="2026-10-14T10:00")

        found = civil.hours(span, ZoneInfo("UTC"))

        assert [(each.start.hour, each.end_quarter - each.first_quarter) for each in found] == [
            (8, 2),
            (9, 4),
        ]
