"""Ranges as people ask for them, and the zones that they name."""

import zoneinfo
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personad import civil
from personad.civil import BadRange, UnknownZone, find_zone

from .moments import asked, ends, modern, untimed, zones


class TestRanges:
    @pytest.mark.parametrize(
        ("words", "first", "end"),
        [
            ({}, "2026-09-15T00:00", "2026-10-15T00:00"),
            ({"days": 1}, "2026-10-14T00:00", "2026-10-15T00:00"),
            ({"days": 7}, "2026-10-08T00:00", "2026-10-15T00:00"),
            ({"month": "this"}, "2026-10-01T00:00", "2026-11-01T00:00"),
            ({"month": "last"}, "2026-09-01T00:00", "2026-10-01T00:00"),
            ({"month": "2025-12"}, "2025-12-01T00:00", "2026-01-01T00:00"),
            ({"since": "2026-10-01"}, "2026-10-01T00:00", "2026-10-15T00:00"),
            ({"since": "2026-10-14"}, "2026-10-14T00:00", "2026-10-15T00:00"),
            ({"since": "12h"}, "2026-10-13T22:00", "2026-10-14T10:15"),
            ({"since": "7d"}, "2026-10-07T10:00", "2026-10-14T10:15"),
            ({"since": "0h"}, "2026-10-14T10:00", "2026-10-14T10:15"),
            ({"since": "08:20"}, "2026-10-14T08:15", "2026-10-14T10:15"),
            ({"since": "2d", "until": "1d"}, "2026-10-12T10:00", "2026-10-13T10:15"),
            ({"until": "2026-10-01"}, "2026-09-02T00:00", "2026-10-02T00:00"),
            ({"until": "2026-10-01T12:00"}, "2026-09-02T00:00", "2026-10-01T12:00"),
            (
                {"since": "2026-10-01", "until": "2026-10-01"},
                "2026-10-01T00:00",
                "2026-10-02T00:00",
            ),
            (
                {"since": "2026-10-01T10:07", "until": "2026-10-01 10:08:30"},
                "2026-10-01T10:00",
                "2026-10-01T10:15",
            ),
            (
                {"since": "2026-10-01T10:15Z", "until": "2026-10-01T13:00+02:00"},
                "2026-10-01T10:15",
                "2026-10-01T11:00",
            ),
            (
                {"since": "2027-01-01", "until": "2027-01-02"},
                "2027-01-01T00:00",
                "2027-01-03T00:00",
            ),
        ],
    )
    def test_what_was_asked_is_found(self, words: dict[str, Any], first: str, end: str) -> None:
        assert ends(asked(**words)) == (first, end)

    def test_a_range_names_the_days_it_touches(self) -> None:
        span = asked("Asia/Tokyo", since="12h")

        assert (span.first_day, span.last_day) == (date(2026, 10, 14), date(2026, 10, 14))

    def test_days_are_those_of_the_zone(self) -> None:
        assert ends(asked("Asia/Kathmandu", days=1)) == ("2026-10-13T18:15", "2026-10-14T18:15")
        assert ends(asked("America/Los_Angeles", now="2026-10-14T03:00+00:00", days=1)) == (
            "2026-10-13T07:00",
            "2026-10-14T07:00",
        )

    def test_days_ago_keep_the_time_of_the_clock_and_hours_ago_the_time_passed(self) -> None:
        now = "2026-10-26T09:00+00:00"

        assert ends(asked("Europe/Berlin", now, since="2d"))[0] == "2026-10-24T08:00"
        assert ends(asked("Europe/Berlin", now, since="48h"))[0] == "2026-10-24T09:00"

    def test_a_time_that_the_clock_shows_twice_is_taken_outward(self) -> None:
        twice = "2026-10-25T02:30"

        assert ends(asked("Europe/Berlin", "2026-11-01T00:00+00:00", since=twice, until=twice)) == (
            "2026-10-25T00:30",
            "2026-10-25T01:30",
        )

    def test_a_time_that_the_clock_skips_is_beyond_the_jump(self) -> None:
        span = asked("Europe/Berlin", since="2026-03-29T02:30")

        assert ends(span)[0] == "2026-03-29T01:30"

    @untimed
    @given(zones, modern, st.integers(1, 60))
    @example(ZoneInfo("Pacific/Apia"), date(2012, 1, 3), 10)
    @example(ZoneInfo("Pacific/Apia"), date(2011, 12, 31), 2)
    def test_as_many_days_are_found_as_were_asked_for(
        self, zone: ZoneInfo, day: date, count: int
    ) -> None:
        now_us = civil.day_start(day, zone) * civil.QUARTER_US + 1

        span = civil.resolve_range(now_us, zone, days=count)

        assert len(civil.days(span, zone)) == count
        assert span.first_quarter <= civil.quarter_of(now_us) < span.end_quarter

    @pytest.mark.parametrize(
        ("words", "option", "message"),
        [
            ({"days": 0}, "days", "0 is too few"),
            ({"days": -3}, "days", "-3 is too few"),
            ({"days": 10**12}, "days", "too many: that would begin before 1900-01-01"),
            ({"days": 3, "month": "this"}, "month", "can't be combined with days"),
            ({"days": 3, "until": "1d"}, "until", "can't be combined with days"),
            ({"month": "this", "since": "1d", "until": "0d"}, "since", "combined with month"),
            ({"month": "2026-13"}, "month", "no month: write 2026-10, this or last"),
            ({"month": "October"}, "month", "'October' is no month"),
            ({"month": "0000-01"}, "month", "out of reach"),
            ({"month": "1850-01"}, "month", "out of reach: name one from 1900-01-01 to 2199-12-31"),
            ({"since": ""}, "since", "'' is no time: write a date"),
            ({"since": "2026"}, "since", "is no time: write a date"),
            ({"since": "2026-10"}, "since", "is no time: write a date"),
            ({"since": "7w"}, "since", "a while ago \\(7d, 12h\\)"),
            ({"since": "٣d"}, "since", "is no time"),
            ({"since": "2026-02-30"}, "since", "day is out of range for month"),
            ({"since": "2026-10-01T25:00"}, "since", "hour must be in"),
            ({"since": "25:00"}, "since", "'25:00' is no time"),
            ({"until": "2026-10-01\n"}, "until", "is no time"),
            ({"since": "1899-12-31"}, "since", "out of reach"),
            ({"since": "0001-01-01T00:00"}, "since", "out of reach"),
            ({"until": "9999-12-31"}, "until", "out of reach"),
            ({"since": "99999d"}, "since", "out of reach"),
            ({"since": "2026-10-15"}, "since", "still to come"),
            ({"since": "2026-10-14T11:00"}, "since", "still to come"),
            ({"since": "2026-10-05", "until": "2026-10-01"}, "since", "is not before until"),
            ({"since": "10:05", "until": "10:04"}, "since", "10:05 is not before until 10:04"),
            ({"since": "10:05", "until": "10:05"}, "since", "is not before until"),
        ],
    )
    def test_what_cannot_be_is_refused_with_the_option_and_the_reason(
        self, words: dict[str, Any], option: str, message: str
    ) -> None:
        with pytest.raises(BadRange, match=message) as refused:
            asked(**words)

        assert refused.value.option == option
        assert str(refused.value).startswith(f"{option}: ")

    def test_a_date_that_the_zone_skipped_has_no_range(self) -> None:
        with pytest.raises(BadRange, match="2011-12-30 was skipped in Pacific/Apia"):
            asked("Pacific/Apia", since="2011-12-30", until="2011-12-30")


class TestZones:
    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("Europe/Berlim", "Europe/Berlin"),
            ("europe/berlin", "Europe/Berlin"),
            ("Berlin", "Europe/Berlin"),
            ("new york", "America/New_York"),
            ("right/Europe/Berlin", "Europe/Berlin"),
        ],
    )
    def test_an_unknown_zone_is_refused_with_the_nearest(self, name: str, near: str) -> None:
        with pytest.raises(UnknownZone, match=f"{name}': did you mean {near}"):
            find_zone(name)

    @pytest.mark.parametrize(
        "name", ["", "Europe", "../etc/passwd", "/etc/passwd", "x\0y", "q" * 300]
    )
    def test_what_is_no_name_of_a_zone_is_refused(self, name: str) -> None:
        with pytest.raises(UnknownZone, match="there is no time zone"):
            find_zone(name)

    def test_a_system_without_zones_is_told_so(self) -> None:
        kept = zoneinfo.TZPATH
        zoneinfo.reset_tzpath([])
        try:
            with pytest.raises(UnknownZone, match="install its tzdata"):
                find_zone("Nowhere/Atall")
        finally:
            zoneinfo.reset_tzpath(kept)

    def test_a_known_zone_is_found(self) -> None:
        assert find_zone("Asia/Kathmandu").key == "Asia/Kathmandu"

    @pytest.mark.parametrize(
        ("tz", "key"),
        [
            ("Europe/Berlin", "Europe/Berlin"),
            (":Europe/Berlin", "Europe/Berlin"),
            ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
            (":/usr/share/zoneinfo/right/Asia/Tokyo", "Asia/Tokyo"),
            ("", "UTC"),
        ],
    )
    def test_the_local_zone_is_that_of_the_environment(self, tz: str, key: str) -> None:
        assert find_zone("local", environ={"TZ": tz}).key == key

    def test_a_rule_in_the_environment_is_refused_with_the_place(self) -> None:
        with pytest.raises(UnknownZone, match="variable TZ: there is no time zone 'XYZ-1ABC"):
            find_zone("local", environ={"TZ": "XYZ-1ABC,M3.5.0"})

    @pytest.fixture
    def localtime(self, tmp_path: Path) -> Path:
        return tmp_path / "localtime"

    def local(self, localtime: Path) -> str:
        return find_zone("local", environ={}, localtime=localtime).key

    def test_the_local_zone_is_what_the_system_links_to(self, localtime: Path) -> None:
        localtime.symlink_to("/usr/share/zoneinfo/Europe/Berlin")

        assert self.local(localtime) == "Europe/Berlin"

    def test_links_to_links_are_followed_to_the_first_name(self, localtime: Path) -> None:
        (localtime.parent / "chosen").symlink_to("../zoneinfo/Europe/Amsterdam")
        localtime.symlink_to("chosen")

        assert self.local(localtime) == "Europe/Amsterdam"

    def test_a_system_that_says_nothing_is_on_utc(self, localtime: Path) -> None:
        assert self.local(localtime) == "UTC"

    def test_a_copy_is_named_by_the_file_beside_it(self, localtime: Path) -> None:
        localtime.write_bytes(Path("/usr/share/zoneinfo/Asia/Tokyo").read_bytes())
        localtime.with_name("timezone").write_text("Asia/Tokyo\n")

        assert self.local(localtime) == "Asia/Tokyo"

    def test_a_copy_without_a_name_is_refused_with_what_to_do(self, localtime: Path) -> None:
        localtime.write_bytes(b"TZif2")

        with pytest.raises(UnknownZone, match=r"set daemon\.timezone"):
            self.local(localtime)

    def test_links_in_a_circle_are_refused(self, localtime: Path) -> None:
        localtime.symlink_to("localtime")

        with pytest.raises(UnknownZone, match="doesn't name a time zone"):
            self.local(localtime)
