"""What was spent in the periods, on the experiments and batches that budgets ask about again and
again.

Only a copy of what the sums in the database say, kept up by the folds: each sum is read once.
"""

from dataclasses import dataclass, field

_NAMES_KEPT = 10_000
_PERIODS_KEPT = 64


@dataclass(slots=True)
class Period:
    """A day, a week or a month that is going on."""

    first: int
    """In quarter-hours since 1970."""
    end: int
    nanousd: int
    """Spent in it, by calls whose cost is known."""


@dataclass(slots=True)
class Spent:
    """Nano-dollars, exact."""

    periods: dict[tuple[str, str], Period] = field(default_factory=dict)
    """By a budget's scope and zone."""
    experiments: dict[int, int] = field(default_factory=dict)
    """By the experiment's number."""
    batches: dict[int, int] = field(default_factory=dict)
    """By the batch's number."""

    @property
    def is_asked(self) -> bool:
        """Whether any sum is kept."""
        return bool(self.periods or self.experiments or self.batches)

    def moved(self, quarter: int, experiment: int | None, batch: int | None, nanousd: int) -> None:
        """The sums of a quarter-hour have grown by that, or shrunk."""
        for period in self.periods.values():
            if period.first <= quarter < period.end:
                period.nanousd += nanousd
        if experiment in self.experiments:
            self.experiments[experiment] += nanousd
        if batch in self.batches:
            self.batches[batch] += nanousd

    def keep_period(self, scope: str, zone: str, period: Period) -> None:
        if len(self.periods) >= _PERIODS_KEPT:
            self.periods.clear()
        self.periods[scope, zone] = period


def keep(sums: dict[int, int], key: int, nanousd: int) -> int:
    """Remembers a sum, and gives it."""
    if len(sums) >= _NAMES_KEPT:
        sums.clear()
    sums[key] = nanousd
    return nanousd
