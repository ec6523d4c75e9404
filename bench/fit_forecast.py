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

HISTORY_DAYS = (14, 21, 30, 60, 100, 180, 365)
HORIZONS = (
    *((1, ahead) for ahead in (0, 1, 6, 14, 29)),
    *((days, 1) for days in (3, 7, 14, 30, 60, 90)),
    (7, 0),
    (30, 0),
)
"""Days, and how many are left out before."""
ORIGINS = 25

_Floats = npt.NDArray[np.float64]


class Told(NamedTuple):
    """A forecast that is over: its signs, and by how much it missed on square roots."""

    family: str
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
                    yield Told(each.family, signs, missed)


def fitted(facts: list[Told]) -> tuple[Spread, float]:
    """The likeliest, and its mean log-likelihood; a family counts by the root of its size."""
    signs = np.array([each.signs for each in facts])
    missed = np.array([each.missed for each in facts])
    size = Counter(each.family for each in facts)
    weights = np.array([size[each.family] ** -0.5 for each in facts])
    weights /= weights.sum()

    def loss(values: _Floats) -> float:
        spread, freedom = spreads(signs, Spread(*values))
        likely = stats.t.logpdf(missed / spread, freedom) - np.log(spread)
        return float(-(weights @ likely) + 1e-4 * (values**2).sum())

    found = optimize.minimize(loss, np.array(Spread()), method="L-BFGS-B")
    return Spread(*(round(float(each), 3) for each in found.x)), -found.fun


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
    click.echo(f"{len(facts):,} forecasts of {len(found)} series; mean log-likelihood {likely:.4f}")
    for name, value in best._asdict().items():
        click.echo(f"    {name}={value},")


if __name__ == "__main__":
    main()
