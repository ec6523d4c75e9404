"""What a question is about: its time in quarter-hours, its filter in the numbers of names."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import apsw

from personad import civil
from personad.contract.asking import Filter, Interval, Period, Range
from personad.contract.cost import MAX_ROWS
from personad.contract.errors import LedgerError
from personad.kinds import microseconds, moment_of
from personad.projections import batch_questions

# One statement for all of it: while events are taken in, whoever has asked SQLite waits each time
# for its turn to go on.
_LEDGER = """
SELECT (SELECT value FROM meta WHERE name = 'timezone'),
  (SELECT value FROM meta WHERE name = 'week_start'),
  (SELECT json_group_array(day) FROM stale WHERE tier = 'hour'),
  (SELECT json_group_array(day) FROM stale WHERE tier = 'day'),
  (SELECT json_group_object(outcome, keys || '')
   FROM (SELECT outcome, json_group_array(key) AS keys FROM dim GROUP BY outcome)),
  EXISTS (SELECT 1 FROM cost_fresh)
"""
_ZONE = "SELECT value FROM meta WHERE name = 'timezone'"
_EXPERIMENT = "SELECT key FROM experiment WHERE experiment = ?"
_EXPERIMENTS = "SELECT experiment FROM experiment ORDER BY key DESC LIMIT 2000"
_BATCH = "SELECT key FROM batch_key WHERE batch = ?"
_KINDS = """
SELECT json_group_array(key) FROM {}
WHERE (:providers = '[]' OR provider IN (SELECT value FROM json_each(:providers)))
  AND (:models = '[]' OR model IN (SELECT value FROM json_each(:models)))
"""
# Likewise one: the names that there are, and the keys of those that are wanted.
_NAMED = f"""
SELECT (SELECT json_group_array(provider)
    FROM (SELECT provider FROM dim UNION SELECT provider FROM series)),
  (SELECT json_group_array(model) FROM (SELECT model FROM dim UNION SELECT model FROM series)),
  ({_KINDS.format("dim")}), ({_KINDS.format("series")})
"""  # noqa: S608 - tables of ours
_OF_EXPERIMENTS = """
SELECT batch_key.key FROM batch JOIN batch_key USING (batch)
JOIN experiment USING (experiment)
WHERE experiment.key IN (SELECT value FROM json_each(?))
"""

_HOUR_QUARTERS = 4
_DAYS_KEPT = 400
_DAY = timedelta(days=1)


class Slice(NamedTuple):
    """A part of the range: its label, and its quarter-hours `first` ≤ q < `end`."""

    label: str
    first: int
    end: int


@dataclass(frozen=True)
class Asked:
    """A question's range and filter, as the tables know them."""

    zone: ZoneInfo
    home: ZoneInfo
    """The ledger's, whose days are added up."""
    week_start: civil.WeekStart
    span: civil.Range
    end: int
    """What happened from this quarter-hour on is left out, where that is before the range's end."""
    today: date
    """The newest day that has begun, in the asked zone."""
    as_of: date | None
    stale: dict[str, set[int]]
    providers: tuple[str, ...]
    models: tuple[str, ...]
    kinds: dict[str, str]
    """Of each table of keys (`dim`, `series`), those that these leave in, as JSON; none where they
    leave nothing out."""
    outcomes: dict[str, str]
    """The keys of each outcome of a call, as JSON."""
    has_fresh: bool
    """Whether some sums are not in their tables yet; see `fresh_sums`."""
    experiments: tuple[int, ...] | None
    """None: not asked for."""
    batches: tuple[int, ...] | None

    @property
    def first(self) -> int:
        return self.span.first_quarter

    @property
    def period(self) -> Period:
        return Period(
            since=_moment(self.span.first_quarter),
            until=_moment(self.span.end_quarter),
            timezone=self.zone.key,
            first_day=self.span.first_day,
            last_day=self.span.last_day,
            as_of=self.as_of,
        )

    @property
    def days_begun(self) -> int:
        """Of the range's civil days."""
        return max(0, (min(self.span.last_day, self.today) - self.span.first_day).days + 1)

    def slices(self, interval: Interval) -> list[Slice]:
        """The range by that interval.

        Raises:
            LedgerError: `invalid`, over MAX_ROWS.
        """
        quarters = self.span.end_quarter - self.span.first_quarter
        least = {"hour": _HOUR_QUARTERS, "day": 25 * 4, "week": 700, "month": 3_000}[interval]
        if quarters // least > MAX_ROWS:
            raise LedgerError(
                "invalid",
                f"the range has over {MAX_ROWS:,} {interval}s",
                field="$.range",
                hint="ask about less time, or by longer intervals",
            )
        if interval == "hour":
            return [
                Slice(label, max(first, self.span.first_quarter), min(end, self.span.end_quarter))
                for day, _, _ in civil.days(self.span, self.zone)
                for label, first, end in _hours_of(day, self.zone)
                if end > self.span.first_quarter and first < self.span.end_quarter
            ]
        if interval == "week":
            cut = civil.weeks(self.span, self.zone, self.week_start)
        else:
            cut = (civil.days if interval == "day" else civil.months)(self.span, self.zone)
        return [Slice(start.isoformat(), first, end) for start, first, end in cut]


@lru_cache(maxsize=_DAYS_KEPT)
def _hours_of(day: date, zone: ZoneInfo) -> list[Slice]:
    """The hours of a day; remembered, because there are many and to name them takes a while."""
    span = civil.Range(civil.day_start(day, zone), civil.day_start(day + _DAY, zone), day, day)
    return [
        Slice(f"{start.astimezone(UTC).isoformat()[:19]}Z", first, end)
        for start, first, end in civil.hours(span, zone)
    ]


def resolve(db: apsw.Connection, span: Range, kept: Filter, now: datetime) -> Asked:
    """What the tables are to be asked.

    Raises:
        LedgerError: `invalid`, a range that can't be; `not-found`, a name that nobody has used.
    """
    ledger = _ledger(db)
    when = _when(ledger.home, span, now)
    experiments, batches = _keys(db, kept)
    kinds = _kinds(db, kept) if kept.providers or kept.models else {}
    return Asked(
        zone=when.zone,
        home=when.home,
        week_start=ledger.week_start,
        span=when.span,
        end=when.end,
        today=civil.day_of(civil.quarter_of(when.now_us), when.zone),
        as_of=span.as_of,
        stale=ledger.stale,
        providers=tuple(sorted(set(kept.providers))),
        models=tuple(sorted(set(kept.models))),
        kinds=kinds,
        outcomes=ledger.outcomes,
        has_fresh=ledger.has_fresh,
        experiments=experiments,
        batches=batches,
    )


class _Ledger(NamedTuple):
    """What of it every question needs; see `Asked`."""

    home: ZoneInfo
    week_start: civil.WeekStart
    stale: dict[str, set[int]]
    outcomes: dict[str, str]
    has_fresh: bool


def _ledger(db: apsw.Connection) -> _Ledger:
    row: Any = db.execute(_LEDGER).fetchone()
    zone, week_start, hours, days, outcomes, has_fresh = row
    return _Ledger(
        home=civil.find_zone(zone or "UTC"),
        week_start=week_start or "monday",
        stale={"hour": set(json.loads(hours)), "day": set(json.loads(days))},
        outcomes=json.loads(outcomes),
        has_fresh=bool(has_fresh),
    )


class _When(NamedTuple):
    """What a range is, where it is asked; see `Asked`."""

    zone: ZoneInfo
    home: ZoneInfo
    now_us: int
    span: civil.Range
    end: int


def _when(home: ZoneInfo, span: Range, now: datetime) -> _When:
    zone = _zone(span.timezone) if span.timezone is not None else home
    now_us, end = microseconds(now), None
    if span.as_of is not None:
        end = civil.day_start(_next_day(span.as_of), zone)
        _check_has_come(span.as_of, civil.day_of(civil.quarter_of(now_us), zone), zone)
        now_us = min(now_us, end * civil.QUARTER_US - 1)
    whole = _range(span, now_us, zone)
    last = whole.end_quarter
    if end is not None:
        last = max(whole.first_quarter, min(end, last))
    return _When(zone, home, now_us, whole, last)


def quarters(db: apsw.Connection, span: Range, now: datetime) -> tuple[int, int]:
    """The quarter-hours of a range, from the first and before the second.

    Raises:
        LedgerError: `invalid`, a range that can't be.
    """
    row = db.execute(_ZONE).fetchone()
    when = _when(civil.find_zone(str(row[0]) if row else "UTC"), span, now)
    return when.span.first_quarter, when.end


def no_such(what: str, name: str, known: Iterable[str], field: str) -> LedgerError:
    """An error that names what is nearest."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else f"this ledger knows no {what} yet"
    return LedgerError("not-found", f"there is no {what} {name!r}", field=field, hint=hint)


def _moment(quarter: int) -> datetime:
    return moment_of(quarter * civil.QUARTER_US)


def _zone(name: str) -> ZoneInfo:
    try:
        return civil.find_zone(name)
    except civil.UnknownZone as error:
        raise LedgerError("invalid", str(error), field="$.range.timezone") from None


def _check_has_come(day: date, today: date, zone: ZoneInfo) -> None:
    """Raises LedgerError `invalid` where it has not: nobody knows what that day will have shown."""
    if day > today:
        raise LedgerError(
            "invalid",
            f"{day} has not come yet: it is {today} in {zone.key}",
            field="$.range.as_of",
            hint="leave it out, or name a day that was",
        )


def _next_day(day: date) -> date:
    if not civil.EARLIEST <= day < civil.LATEST:
        raise LedgerError(
            "invalid",
            f"{day} is out of reach: name one from {civil.EARLIEST} to {civil.LATEST}",
            field="$.range.as_of",
        )
    return day + _DAY


def _range(span: Range, now_us: int, zone: ZoneInfo) -> civil.Range:
    try:
        return civil.resolve_range(
            now_us, zone, days=span.days, month=span.month, since=span.since, until=span.until
        )
    except civil.BadRange as error:
        raise LedgerError("invalid", str(error), field=f"$.range.{error.option}") from None


def _kinds(db: apsw.Connection, kept: Filter) -> dict[str, str]:
    values = {"providers": json.dumps(kept.providers), "models": json.dumps(kept.models)}
    row: Any = db.execute(_NAMED, values).fetchone()
    providers, models, dim, series = row
    _check("providers", kept.providers, json.loads(providers))
    _check("models", kept.models, json.loads(models))
    return {"dim": dim, "series": series}


def _check(
    field: Literal["providers", "models"], names: Sequence[str], known: Sequence[str]
) -> None:
    """Raises LedgerError `not-found` for a name that nobody has used."""
    for place, name in enumerate(names):
        if name not in known:
            raise no_such(field[:-1], name, known, f"$.filter.{field}[{place}]")


def _keys(
    db: apsw.Connection, kept: Filter
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """The numbers of experiments and batches; with both, of those batches that are of these
    experiments, alone."""
    experiments = {_experiment(db, name, place) for place, name in enumerate(kept.experiments)}
    batches = {_batch(db, name, place) for place, name in enumerate(kept.batches)}
    if experiments and batches:
        return None, tuple(sorted(batches & batches_of(db, experiments)))
    return tuple(sorted(experiments)) or None, tuple(sorted(batches)) or None


def batches_of(db: apsw.Connection, experiments: Iterable[int]) -> set[int]:
    """The numbers of all batches that were started for these experiments."""
    return {key for (key,) in db.execute(_OF_EXPERIMENTS, (json.dumps(list(experiments)),))}


def _experiment(db: apsw.Connection, name: str, place: int) -> int:
    row = db.execute(_EXPERIMENT, (name,)).fetchone()
    if row is None:
        known = (each for (each,) in db.execute(_EXPERIMENTS))
        raise no_such("experiment", name, known, f"$.filter.experiments[{place}]")
    return int(row[0])


def _batch(db: apsw.Connection, name: str, place: int) -> int:
    row = db.execute(_BATCH, (name,)).fetchone()
    if row is None:
        try:
            found = batch_questions.find(db, name)
        except LedgerError as error:
            where = f"$.filter.batches[{place}]"
            raise LedgerError(error.code, error.message, field=where, hint=error.hint) from None
        row = db.execute(_BATCH, (found,)).fetchone()
        assert row is not None
    return int(row[0])
