"""Civil time on quarter-hours: what a day, a week, a month and an hour are, in any zone.

A bucket is named by an integer, the quarter-hours since 1970-01-01T00:00Z. Every spell of time
here is half-open, `[first_quarter, end_quarter)`, and a list of slices covers its range exactly:
each slice ends where the next one begins.

A day begins when the one before it is over for good. So where midnight doesn't exist, a day begins
with the jump over it; where it exists twice, with the first one if the clock then stays in the day,
and with the second one if it went back into the day before. A date that a zone skipped has no
slice.

All offsets in use since about 1972 are whole quarter-hours. Where an older one is not (local mean
time, Africa/Monrovia), a day, week, month or hour owns the whole quarter-hour in which it begins;
moments that were asked for are rounded outward, `since` down and `until` up.
"""

import os
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct

QUARTER_S = 900
QUARTER_US = QUARTER_S * 1_000_000
DEFAULT_DAYS = 30
EARLIEST = date(1900, 1, 1)
LATEST = date(2199, 12, 31)
"""Days outside are refused: nothing was generated then, and it keeps arithmetic in bounds."""

WeekStart = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_MICROSECOND = timedelta(microseconds=1)
_FORMS = "write a date (2026-10-05), a time (2026-10-05T14:30) or a while ago (7d, 12h)"

Label = TypeVar("Label", date, datetime)


class UnknownZone(ValueError):
    """There is no such time zone; the message says where it was named, and what is near."""


class BadRange(ValueError):
    """A range that can't be, and the `option` (days, month, since or until) that is to change."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")
        self.option = option


class Range(Struct, frozen=True, gc=False):
    """Whole quarter-hours, at least one, and the civil days (of the asked zone) they touch."""

    first_quarter: int
    end_quarter: int
    first_day: date
    last_day: date
    """Included."""


class Slice(NamedTuple, Generic[Label]):
    """A part of a range. The label is the start of the whole day, week, month or hour, also
    where the range begins in its midst."""

    start: Label
    first_quarter: int
    end_quarter: int


def quarter_of(at_us: int) -> int:
    """The bucket of a moment, in microseconds since 1970-01-01T00:00Z (negative before)."""
    return at_us // QUARTER_US


def moment(quarter: int, zone: ZoneInfo) -> datetime:
    """When a bucket begins, on the clocks of the zone."""
    return _local(quarter * QUARTER_S, zone)


def find_zone(
    name: str,
    *,
    environ: Mapping[str, str] = os.environ,
    localtime: Path = Path("/etc/localtime"),
) -> ZoneInfo:
    """The zone of that name; `local` is the system's: TZ, else what /etc/localtime links to.

    As for the C library, an empty TZ or no /etc/localtime is UTC. Raises UnknownZone.
    """
    if name not in ("local", "localtime"):
        return _named(name, "")
    link = environ.get("TZ")
    if link is None:
        return _linked(localtime)
    link = link.removeprefix(":")
    if link.startswith("/"):
        return _linked(Path(link))
    return _named(link or "UTC", "the environment variable TZ: ")


def resolve_range(
    now_us: int,
    zone: ZoneInfo,
    *,
    days: int | None = None,
    month: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Range:
    """The range that was asked for; without any, the last 30 days.

    - `days`: the last so many days that exist in the zone, today included whole.
    - `month`: `2026-10`, `this` or `last`, whole.
    - `since`, `until`: a date, included whole; a time (without an offset, of the zone); `7d`, the
      same time on the clock 7 days ago; `12h`, 12 hours ago. Without `until`, a date runs to the
      end of today, and a time to the end of this quarter-hour; without `since`, 30 days end with
      the day of `until`.

    Raises BadRange.
    """
    asked = {"days": days, "month": month, "since": since, "until": until}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1 and given != ["since", "until"]:
        raise BadRange(given[1], f"can't be combined with {given[0]}: leave out one of them")
    today = day_of(quarter_of(now_us), zone)
    if month is not None:
        return _month(month, today, zone)
    if since is not None or until is not None:
        return _between(since, until, now_us, zone)
    count = DEFAULT_DAYS if days is None else days
    return _last_days(count, today, day_start(today + _DAY, zone), zone)


def day_start(day: date, zone: ZoneInfo) -> int:
    """The first bucket of a day: the one in which it begins."""
    return _begin_s(day, zone) // QUARTER_S


def day_of(quarter: int, zone: ZoneInfo) -> date:
    """The day that a bucket belongs to: the inverse of `day_start`."""
    day = moment(quarter, zone).date()
    while day_start(day, zone) > quarter:
        day -= _DAY
    while day_start(day + _DAY, zone) <= quarter:
        day += _DAY
    return day


def days(span: Range, zone: ZoneInfo) -> list[Slice[date]]:
    """The range by days."""
    return _cut(span, zone, lambda day: day, lambda day: day + _DAY)


def weeks(span: Range, zone: ZoneInfo, week_start: WeekStart = "monday") -> list[Slice[date]]:
    """The range by weeks, each labelled with its first day; ISO weeks begin on Monday."""
    return _cut(span, zone, lambda day: week_of(day, week_start), lambda day: day + _WEEK)


def week_of(day: date, week_start: WeekStart) -> date:
    """The first day of the week that a day is in."""
    return day - timedelta(days=(day.weekday() - get_args(WeekStart).index(week_start)) % 7)


def months(span: Range, zone: ZoneInfo) -> list[Slice[date]]:
    """The range by calendar months, each labelled with its first day."""
    return _cut(span, zone, lambda day: day.replace(day=1), _next_month)


def hours(span: Range, zone: ZoneInfo) -> list[Slice[datetime]]:
    """The range by hours of the clock, labelled with an aware time of the zone.

    A change of the offset ends an hour: the one that a clock shows twice is two slices, and where
    a zone shifts by half an hour (Australia/Lord_Howe), there is a slice of two quarter-hours.
    """
    return [
        Slice(start, max(first, span.first_quarter), min(end, span.end_quarter))
        for day, _, _ in days(span, zone)
        for start, first, end in _hours_of_day(day, zone)
        if end > span.first_quarter and first < span.end_quarter
    ]


def edges(slices: Sequence[Slice[Label]]) -> list[int]:
    """The boundaries of adjacent slices, ascending, one more than there are slices.

    `bisect_right(edges, quarter) - 1` is the index of the slice that a bucket is in.
    """
    return [first for _, first, _ in slices] + [end for _, _, end in slices[-1:]]


def _named(name: str, where: str) -> ZoneInfo:
    try:
        # Those under right/ count leap seconds, which neither zoneinfo nor our buckets do.
        if not name.startswith("right/"):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass  # A name such as `../x` or a folder's is refused with one of the others.
    known = sorted(available_timezones())
    if not known:
        raise UnknownZone(f"{where}this system knows no time zones: install its tzdata")
    near = _nearest(name, known)
    what_next = f"did you mean {near}?" if near else "write one such as Europe/Berlin"
    raise UnknownZone(f"{where}there is no time zone {name!r}: {what_next}")


def _nearest(name: str, known: Sequence[str]) -> str | None:
    from difflib import get_close_matches

    by_word = {each.rpartition("/")[2].casefold(): each for each in known}
    by_word |= {each.casefold(): each for each in known}
    word = name.strip().replace(" ", "_").casefold()
    return next((by_word[each] for each in get_close_matches(word, by_word, 1)), None)


def _linked(path: Path) -> ZoneInfo:
    """The zone named by a path, or by the link it is: in single steps, as zones may be links to
    others. A copy has no name, but Debian's /etc/timezone beside it may have."""
    at = path
    for _ in range(40):
        _, found, name = at.as_posix().rpartition("/zoneinfo/")
        if found:
            return _named(name.removeprefix("posix/").removeprefix("right/"), f"{path}: ")
        if not at.is_symlink():
            break
        at = at.parent / at.readlink()
    if not os.path.lexists(path):
        return ZoneInfo("UTC")
    beside = path.with_name("timezone")
    if beside.is_file():
        return _named(beside.read_text("utf-8", "replace").strip(), f"{beside}: ")
    what_next = "set daemon.timezone to one such as Europe/Berlin"
    raise UnknownZone(f"{path} doesn't name a time zone, as it is no link to one: {what_next}")


def _local(second: int, zone: ZoneInfo) -> datetime:
    return (_EPOCH + timedelta(seconds=second)).astimezone(zone)


def _offset_s(at: datetime) -> int:
    offset = at.utcoffset() or timedelta()
    return offset.days * 86_400 + offset.seconds


@lru_cache(maxsize=4_096)
def _begin_s(day: date, zone: ZoneInfo) -> int:
    """When a day begins, in seconds since 1970: the end of all moments with an earlier date."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    wall_s = (day.toordinal() - _EPOCH_ORDINAL) * 86_400
    before_s, after_s = _offset_s(midnight), _offset_s(midnight.replace(fold=1))
    first, second = wall_s - before_s, wall_s - after_s
    if before_s == after_s:
        return first
    if before_s > after_s:
        return second if _local(second - 1, zone).date() < day else first
    jumped = bisect_left(range(second, first), after_s, key=lambda at: _offset_s(_local(at, zone)))
    return second + jumped


def _cut(
    span: Range, zone: ZoneInfo, label: Callable[[date], date], following: Callable[[date], date]
) -> list[Slice[date]]:
    found = []
    start, first = label(span.first_day), span.first_quarter
    while first < span.end_quarter:
        end = min(day_start(following(start), zone), span.end_quarter)
        if end > first:
            found.append(Slice(start, first, end))
        start, first = following(start), end
    return found


def _hours_of_day(day: date, zone: ZoneInfo) -> list[Slice[datetime]]:
    begin, end = _begin_s(day, zone), _begin_s(day + _DAY, zone)
    offset_s = _offset_s(_local(begin, zone))
    if end - begin == 86_400 and offset_s == _offset_s(_local(end - 1, zone)):
        cuts = [at // QUARTER_S for at in range(begin, end + 1, 3_600)]
        starts = [_local(at, zone) for at in range(begin, end, 3_600)]
        return [Slice(start, *cut) for start, cut in zip(starts, pairwise(cuts), strict=True)]
    found: list[tuple[datetime, int]] = []
    shown = None
    for quarter in range(begin // QUARTER_S, end // QUARTER_S):
        # What the clock shows at its end is what a quarter-hour belongs to.
        last = _local(quarter * QUARTER_S + QUARTER_S - 1, zone)
        hour = last.replace(minute=0, second=0)
        if (hour, _offset_s(last)) != shown:
            shown = hour, _offset_s(last)
            found.append((_hour_start(last, quarter, zone), quarter))
    ends = [*(first for _, first in found[1:]), end // QUARTER_S]
    return [Slice(start, first, end) for (start, first), end in zip(found, ends, strict=True)]


def _hour_start(last: datetime, quarter: int, zone: ZoneInfo) -> datetime:
    """When the hour of the clock began that `last`, the end of its first bucket, is in."""
    first_s = quarter * QUARTER_S
    hour = _local(first_s + QUARTER_S - 1 - last.minute * 60 - last.second, zone)
    return hour if hour.utcoffset() == last.utcoffset() else _local(first_s, zone)


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def _range(first: int, end: int, zone: ZoneInfo) -> Range:
    return Range(first, end, day_of(first, zone), day_of(end - 1, zone))


def _last_days(count: int, last: date, end: int, zone: ZoneInfo) -> Range:
    """So many days that exist in the zone, the last of them cut at `end`."""
    if count < 1:
        raise BadRange("days", f"{count} is too few: 1 is today alone")
    first, missing = last, count - 1
    while missing:
        if missing > (first - EARLIEST).days:
            raise BadRange("days", f"{count} is too many: that would begin before {EARLIEST}")
        first -= timedelta(days=missing)
        # A date that the zone skipped is no day.
        missing = count - len(days(_range(day_start(first, zone), end, zone), zone))
    return _range(day_start(first, zone), end, zone)


def _month(word: str, today: date, zone: ZoneInfo) -> Range:
    first = today.replace(day=1)
    if word == "last":
        first = (first - _DAY).replace(day=1)
    elif re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", word):
        first = _within("month", word, date(max(int(word[:4]), 1), int(word[5:]), 1))
    elif word != "this":
        raise BadRange("month", f"{word!r} is no month: write 2026-10, this or last")
    return _range(day_start(first, zone), day_start(_next_month(first), zone), zone)


def _between(since: str | None, until: str | None, now_us: int, zone: ZoneInfo) -> Range:
    begin = None if since is None else _parse("since", since, now_us, zone)
    finish = None if until is None else _parse("until", until, now_us, zone)
    here = quarter_of(now_us)
    if finish is None:
        end = here + 1
        if isinstance(begin, date):
            end = day_start(day_of(here, zone) + _DAY, zone)
    elif isinstance(finish, date):
        end = day_start(finish + _DAY, zone)
    else:
        end = -(-finish // QUARTER_US)
    if begin is None:
        return _last_days(DEFAULT_DAYS, day_of(end - 1, zone), end, zone)
    first = day_start(begin, zone) if isinstance(begin, date) else quarter_of(begin)
    # Two times within one quarter-hour round to all of it, in whichever order they stand.
    backwards = isinstance(begin, int) and isinstance(finish, int) and begin >= finish
    if first < end and not backwards:
        return _range(first, end, zone)
    if finish is None:
        raise BadRange("since", f"{since} is still to come: name an until after it, or go back")
    if begin == finish and isinstance(begin, date):
        raise BadRange("since", f"the day {since} was skipped in {zone.key}: name another one")
    raise BadRange("since", f"{since} is not before until {until}: exchange them, or change one")


def _parse(option: str, word: str, now_us: int, zone: ZoneInfo) -> date | int:
    """A day, or a moment in microseconds. A time that the clock shows twice is the first one as
    `since` and the second one as `until`; one it never shows is as far beyond the jump."""
    if found := re.fullmatch(r"([0-9]{1,5})([dh])", word):
        if found[2] == "h":
            return now_us - int(found[1]) * 3_600_000_000
        wall = (_EPOCH + timedelta(microseconds=now_us)).astimezone(zone)
        then = wall - timedelta(days=int(found[1]))
        _within(option, word, then.date())
        return _instant(option, then)
    today = day_of(quarter_of(now_us), zone)
    text = f"{today}T{word}" if re.match("[0-9]{2}:", word) else word
    if not re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)", text):
        raise BadRange(option, f"{word!r} is no time: {_FORMS}")
    try:
        at = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise BadRange(option, f"{word!r} is no time ({wrong}): {_FORMS}") from None
    day = _within(option, word, at.date())
    return (
        day if text == str(day) else _instant(option, at if at.tzinfo else at.replace(tzinfo=zone))
    )


def _instant(option: str, at: datetime) -> int:
    shown_twice = _offset_s(at.replace(fold=0)) > _offset_s(at.replace(fold=1))
    chosen = at.replace(fold=int(option == "until" and shown_twice))
    return (chosen - _EPOCH) // _MICROSECOND


def _within(option: str, word: str, day: date) -> date:
    if not EARLIEST <= day <= LATEST:
        raise BadRange(option, f"{word} is out of reach: name one from {EARLIEST} to {LATEST}")
    return day
