"""What questions have in common: the time they are about, and what they leave out."""

from datetime import date
from typing import Literal

from msgspec import Struct

from .base import Moment, Name, Positive

Interval = Literal["hour", "day", "week", "month"]


class Range(Struct, frozen=True, kw_only=True):
    """One of `days`, `month`, or `since` with or without `until`; the last 30 days without any."""

    days: Positive | None = None
    """The last so many civil days, today included."""
    month: Name | None = None
    """`2026-10`, `this` or `last`."""
    since: Name | None = None
    """A date, a time, or a while ago (`7d`, `12h`)."""
    until: Name | None = None
    """Likewise; a date is included whole."""
    timezone: Name | None = None
    """Whose civil days they are; the ledger's if not given."""
    as_of: date | None = None
    """Leaves out what happened after the end of that day."""


class Filter(Struct, frozen=True, kw_only=True):
    """OR within a list, AND between lists; an empty one leaves nothing out."""

    providers: list[Name] = []
    models: list[Name] = []
    experiments: list[Name] = []
    batches: list[Name] = []
    """Ids, the only one that begins so, or `last`."""


class Period(Struct, frozen=True, kw_only=True):
    """The range that an answer is about, in whole quarter-hours."""

    since: Moment
    until: Moment
    """Not included any more."""
    timezone: Name
    first_day: date
    last_day: date
    """Included."""
    as_of: date | None = None
