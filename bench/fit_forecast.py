"""`python -m bench.fit_forecast`: how a forecast's spread comes from its signs, fitted anew.

By the likelihood of what came under Student's t, on the series that are not kept for the final
figures, and at origins, history lengths and horizons of every sort. It prints the `Spread` that
`personad/analytics/forecast.py` holds. Needs `pip install '.[forecast-report]'`.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from bench.daily_series import Series, series, wheel
from personad.analytics.forecast import Past, Signs, Spread

HISTORY_DAYS = (14, 21, 30, 60, 100, 180)
HORIZONS = (
    *((1, ahead) for ahead in (0, 1, 6, 14)),
    *((days, 1) for days in (3, 7, 14, 30, 60, 90)),
    (7, 0),
    (30, 0),
)
"""Days, and how many are left out before."""
ORIGINS = 20
BALANCE = -0.6
"""A family counts by its size to this power more: not by its size alone, nor all families alike."""
HELD = 0.82
"""Of what came, by the 80 % intervals of 7 and 30 days: a little more than promised, as others are
forecast by it."""

_Floats = npt.NDArray[np.float64]


class Told(NamedTuple):
    """A forecast that is over: its signs, and by how much it missed on square roots."""

    family: str
    reach: int
    signs: Signs
    missed: float


def told(found: list[Series]) -> Iterator[Told]:
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
                    yield Told(each.family, horizon + ahead, signs, missed)


def fitted(facts: list[Told]) -> tuple[Spread, float]:
    """The likeliest, and its mean log-likelihood."""
    signs = np.array([each.signs for each in facts])
    missed = np.array([each.missed for each in facts])
    size = Counter(each.family for each in facts)
    weights = np.array([size[each.family] ** BALANCE for each in facts])
    weights /= weights.sum()

    def loss(values: _Floats) -> float:
        spread, freedom = spreads(signs, Spread(*values))
        likely = stats.t.logpdf(missed / spread, freedom) - np.log(spread)
        return float(-(weights @ likely) + 1e-4 * (values**2).sum())

    found = optimize.minimize(loss, np.array(Spread()), method="BFGS", options={"maxiter": 100})
    return Spread(*(round(float(each), 3) for each in found.x)), -found.fun


def held(facts: list[Told], by: Spread) -> Spread:
    """With totals of a week and more as much wider or narrower as it takes to hold `HELD`, from
    short histories and from long ones."""
    of_weeks = [each for each in facts if each.signs.u == 1 and each.reach in (7, 30)]
    signs = np.array([each.signs for each in of_weeks])
    missed = np.abs([each.missed for each in of_weeks])
    places = [np.flatnonzero(signs[:, 2] == each) for each in np.unique(signs[:, 2])]

    def wider(values: _Floats) -> Spread:
        return by._replace(u=by.u + float(values[0]), n=by.n + float(values[1]))

    def off(values: _Floats) -> float:
        spread, freedom = spreads(signs, wider(values))
        inside = missed <= stats.t.ppf(0.9, freedom) * spread
        return float(sum((inside[some].mean() - HELD) ** 2 for some in places))

    found = wider(
        optimize.minimize(
            off,
            np.zeros(2),
            method="Nelder-Mead",
            options={"initial_simplex": [[0, 0], [0.1, 0], [0, 0.1]]},
        ).x
    )
    return found._replace(u=round(found.u, 3), n=round(found.n, 3))


def spreads(signs: _Floats, by: Spread) -> tuple[_Floats, _Floats]:
    """`spread_of` for many at once."""
    u, v, n, day, week, wander, empty = signs.T
    daily = by.daily + (by.daily_u + by.daily_un * n) * u
    grows = (
        by.base
        + by.u * u
        + by.v * v
        + by.vv * v**2
        + by.n * n
        + by.nv * n * v
        + (by.wander + by.wander_v * v + by.wander_n * n) * wander
        + (by.empty + by.empty_u * u + by.empty_v * v) * empty
    )
    freedom = 1.5 + np.exp(by.freedom + by.freedom_v * v + by.freedom_n * n)
    return day**daily * week ** (1 - daily) * np.exp(grows), np.minimum(freedom, 200.0)


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
    best, likely = fitted(facts)
    best = held(facts, best)
    click.echo(f"{len(facts):,} forecasts of {len(found)} series; mean log-likelihood {likely:.4f}")
    for name, value in best._asdict().items():
        click.echo(f"    {name}={value},")


if __name__ == "__main__":
    main()
