"""Moments and ranges, written as people write them; zones and days to try laws with."""

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st

from personad import civil
from personad.civil import Range

ZONES = sorted(zoneinfo.available_timezones())
untimed = settings(deadline=None)
zones = st.sampled_from(ZONES).map(ZoneInfo)
modern = st.dates(date(1975, 1, 1), date(2040, 1, 1))
NOW = "2026-10-14T10:07+00:00"


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def quarter(text: str) -> int:
    return civil.quarter_of(us(text))


def asked(zone: str = "UTC", now: str = NOW, **words: Any) -> Range:
    return civil.resolve_range(us(now), ZoneInfo(zone), **words)


def ends(span: Range) -> tuple[str, str]:
    utc = ZoneInfo("UTC")
    first, end = civil.moment(span.first_quarter, utc), civil.moment(span.end_quarter, utc)
    return f"{first:%Y-%m-%dT%H:%M}", f"{end:%Y-%m-%dT%H:%M}"
