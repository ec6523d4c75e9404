"""What is answered about scores and latencies, against plain arithmetic over the events."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from statistics import mean, stdev
from typing import Any

import msgspec
import pytest

from personad import tidy
from personad.contract.asking import Filter, Range
from personad.contract.cost import CostRecorded
from personad.contract.errors import LedgerError
from personad.contract.latency import Latencies, Latency
from personad.contract.quality import QualityScored, QualityTrends
from personad.projections import percentiles
from personad.questions import ANSWERS

from . import past
from .conftest import Core
from .facts import NOON, cost, fresh_id, started
from .past import ZONES, a_past, between, day_of, kept, label, lived

EVENTS = a_past(seed=2)
SCORES = [each for each in EVENTS if isinstance(each, QualityScored)]
ANSWERED = [each for each in EVENTS if isinstance(each, CostRecorded) and each.outcome == "ok"]
FIRST, LAST = date(2026, 9, 26), date(2026, 11, 22)
WHOLE = Range(since=str(FIRST), until=str(LAST))
WITH_SKETCHES = (Filter(), Filter(providers=["openai", "azure"]), Filter(models=["sonnet"]))
WITHOUT = (
    Filter(experiments=["tone"]),
    Filter(experiments=["tone", "length"], models=["gpt"]),
    Filter(batches=["batch-1", "batch-2"]),
)
SCORE_ERROR, LATENCY_ERROR = 0.005, 0.01


def ask(core: Core, request: Any) -> Any:
    return ANSWERS[type(request)](core.db, request, core.now)


@pytest.fixture(scope="module", params=["Europe/Berlin", "Asia/Kathmandu"])
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Core]:
    """A ledger of each zone, many of whose days are stale."""
    core = Core(tmp_path_factory.mktemp("ledger") / "ledger.db")
    lived(core, request.param, EVENTS)
    yield core
    core.db.close()


def by_metric(events: Sequence[Any]) -> dict[tuple[str, str], list[Any]]:
    """Pairs of an event and its score, by metric and scorer."""
    found = defaultdict(list)
    for event in events:
        for metric, score in (*event.scores.items(), ("composite", event.composite)):
            found[metric, event.scorer].append((event, score))
    return found


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("asked", [*WITH_SKETCHES, *WITHOUT], ids=repr)
def test_scores_of_a_range_and_of_each_of_its_days(home: Core, zone: str, asked: Filter) -> None:
    span = msgspec.structs.replace(WHOLE, timezone=zone)
    reply = ask(home, QualityTrends(range=span, filter=asked))
    expected = by_metric(kept(between(SCORES, zone, FIRST, LAST), asked))
    assert [(each.metric, each.scorer) for each in reply.metrics] == sorted(expected)
    for told in reply.metrics:
        pairs = expected[told.metric, told.scorer]
        scores = [score for _, score in pairs]
        assert told.n == len(scores)
        assert told.mean == pytest.approx(mean(scores), abs=1e-12)
        assert told.std == pytest.approx(stdev(scores), abs=1e-9)
        assert [each.start for each in told.series] == list(past.days(FIRST, LAST))
        for day in told.series:
            of_day = [score for event, score in pairs if day_of(event, zone) == day.start]
            assert day.n == len(of_day)
            assert day.mean == (pytest.approx(mean(of_day)) if of_day else None)
        newest = max(day_of(event, zone) for event, _ in pairs)
        of_newest = [score for event, score in pairs if day_of(event, zone) == newest]
        assert told.current == pytest.approx(mean(of_newest))


@pytest.mark.no_cover
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("asked", WITH_SKETCHES, ids=repr)
def test_percentiles_of_scores_are_within_their_error(home: Core, zone: str, asked: Filter) -> None:
    span = msgspec.structs.replace(WHOLE, timezone=zone)
    reply = ask(home, QualityTrends(range=span, filter=asked))
    expected = by_metric(kept(between(SCORES, zone, FIRST, LAST), asked))
    assert reply.metrics
    for told in reply.metrics:
        pairs = expected[told.metric, told.scorer]
        for part in (told, *told.series):
            scores = [s for e, s in pairs if part is told or day_of(e, zone) == part.start]
            for name, q in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
                found = getattr(part, name)
                if scores:
                    assert found == pytest.approx(quantile(scores, q), abs=SCORE_ERROR)
                else:
                    assert found is None


@pytest.mark.parametrize("asked", WITHOUT, ids=repr)
def test_percentiles_are_not_kept_by_experiment_or_batch(home: Core, asked: Filter) -> None:
    metrics = ask(home, QualityTrends(range=WHOLE, filter=asked)).metrics
    assert metrics
    assert {told.p50 for told in metrics} == {None}
    assert {day.p50 for told in metrics for day in told.series} == {None}


def test_averages_of_the_last_days_end_with_the_range_or_with_today(core: Core) -> None:
    core.append(
        *(
            QualityScored(
                id=fresh_id(),
                at=NOON - timedelta(days=days),
                persona="p1",
                provider="local",
                model="local",
                scores={"coherence": score},
                composite=0.5,
                scorer="builtin/1",
            )
            for days, score in ((0, 0.1), (6, 0.3), (7, 0.8), (29, 0.4), (30, 0.9), (89, 0.2))
        )
    )

    def averages(span: Range) -> list[float]:
        (told,) = ask(core, QualityTrends(range=span, metrics=["coherence"])).metrics
        return [told.avg_7d, told.avg_30d, told.avg_90d]

    assert averages(Range(days=3)) == pytest.approx([0.2, 0.4, 0.45])
    assert averages(Range(month="this")) == pytest.approx([0.2, 0.4, 0.45])
    assert averages(Range(since="2026-11-01", until="2026-11-17"))[0] == pytest.approx(0.55)


def test_only_the_wanted_metrics_are_told(home: Core) -> None:
    reply = ask(home, QualityTrends(range=WHOLE, metrics=["coherence"]))
    assert {told.metric for told in reply.metrics} == {"coherence"}
    with pytest.raises(LedgerError, match="coherense") as refused:
        ask(home, QualityTrends(metrics=["composite", "coherense"]))
    assert refused.value.field == "$.metrics[1]"
    assert "coherence" in (refused.value.hint or "")


@pytest.mark.no_cover
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("by", ["provider", "model", "hour", "day", "week", "month"])
@pytest.mark.parametrize("asked", WITH_SKETCHES, ids=repr)
def test_latencies_are_those_of_answered_calls_within_their_error(
    home: Core, zone: str, by: Any, asked: Filter
) -> None:
    span = msgspec.structs.replace(WHOLE, timezone=zone)
    reply = ask(home, Latency(by=by, range=span, filter=asked))
    calls = kept(between(ANSWERED, zone, FIRST, LAST), asked)
    name: Callable[[Any], str] = (
        (lambda call: getattr(call, by)) if by in ("provider", "model") else label(by, zone)
    )
    parts: dict[str | None, list[Any]] = defaultdict(list)
    for call in calls:
        parts[name(call)].append(call)
    for measure in ("duration_ms", "ttft_ms"):
        assert_told(getattr(reply, measure), calls, measure)
        assert sum(getattr(row, measure).n for row in reply.rows) == getattr(reply, measure).n
        if zone == "Australia/Lord_Howe" and by == "hour":
            continue
        assert set(parts) <= {row.key for row in reply.rows}
        for row in reply.rows:
            assert_told(getattr(row, measure), parts[row.key], measure)


def assert_told(told: Latencies, calls: Sequence[Any], measure: str) -> None:
    found = [getattr(call, measure) for call in calls]
    values = [each for each in found if each is not None]
    assert told.n == len(values)
    if not values:
        assert told == Latencies(n=0, mean=None, p50=None, p95=None, p99=None)
        return
    assert told.mean == pytest.approx(mean(values))
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(told, name) == pytest.approx(quantile(values, q), rel=LATENCY_ERROR)


@pytest.mark.no_cover
def test_no_answer_depends_on_what_was_worked_in_and_added_up(
    open_core: Callable[[], Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = open_core()
    lived(core, "Australia/Lord_Howe", EVENTS)
    spans = [msgspec.structs.replace(WHOLE, timezone=zone) for zone in ZONES]
    questions: list[Any] = [
        *(QualityTrends(range=s, filter=f) for s in spans for f in (*WITH_SKETCHES, *WITHOUT)),
        *(Latency(by=by, range=s) for s in spans for by in ("model", "hour", "week")),  # type: ignore[arg-type]
    ]
    before = [ask(core, each) for each in questions]
    tidy.all_at_once(core.book)
    assert [ask(core, each) for each in questions] == before
    # Nor on how many slices are held at a time.
    monkeypatch.setattr(percentiles, "_CELLS_AT_ONCE", 10_000)
    assert [ask(core, each) for each in questions] == before


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_who_asks_about_all_models_reads_what_is_kept_of_all_of_them_together(
    core: Core, zone: str
) -> None:
    lived(core, "UTC", EVENTS)
    tidy.all_at_once(core.book)
    span = msgspec.structs.replace(WHOLE, timezone=zone)
    questions: list[Any] = [QualityTrends(range=span), Latency(by="day", range=span)]
    before = [ask(core, each) for each in questions]
    by_model = ask(core, Latency(by="model", range=span))
    core.db.execute("DELETE FROM sketch_day; DELETE FROM sketch_hour")
    assert [ask(core, each) for each in questions] == before
    assert ask(core, Latency(by="model", range=span)) != by_model


def test_a_day_that_was_asked_about_before_is_answered_with_what_came_since(core: Core) -> None:
    at = NOON - timedelta(days=9)

    def scored(score: float) -> QualityScored:
        return QualityScored(
            id=fresh_id(),
            at=at,
            persona="p1",
            provider="local",
            model="local",
            scores={"coherence": score},
            composite=0.5,
            scorer="builtin/1",
        )

    def day() -> tuple[int, float, float]:
        (told,) = ask(core, QualityTrends(range=Range(days=10), metrics=["coherence"])).metrics
        of_day = told.series[0]
        assert (told.n, told.p50, told.avg_30d) == (of_day.n, of_day.p50, of_day.mean)
        return of_day.n, of_day.p50, of_day.mean

    scores: list[float] = []
    for score in (0.9, 0.1, 0.1, 0.3, 0.1):
        scores.append(score)
        core.append(scored(score))
        for _ in range(2):
            expected = len(scores), quantile(scores, 0.5), mean(scores)
            assert day() == pytest.approx(expected, abs=SCORE_ERROR)
            tidy.all_at_once(core.book)


def test_a_latency_that_no_longer_counts_is_taken_out(core: Core) -> None:
    core.append(
        started(), cost("one", output_tokens=1, duration_ms=9_000), cost("two", duration_ms=40)
    )
    tidy.all_at_once(core.book)
    core.append(cost("one", output_tokens=90, duration_ms=20))
    told = ask(core, Latency()).duration_ms
    assert (told.n, told.mean, told.p50, told.p99) == (2, 30, 20, 40)


def test_a_composite_that_is_among_the_scores_too_counts_once(core: Core) -> None:
    scored = QualityScored(
        id=fresh_id(),
        at=NOON,
        persona="p1",
        provider="local",
        model="local",
        scores={"coherence": 0.9, "composite": 0.1},
        composite=0.8,
        scorer="builtin/1",
    )
    core.append(scored)
    told = {each.metric: (each.n, each.mean) for each in ask(core, QualityTrends()).metrics}
    assert told == {"coherence": (1, 0.9), "composite": (1, 0.8)}


def test_an_empty_ledger_has_no_scores_and_no_latencies(core: Core) -> None:
    assert ask(core, QualityTrends()).metrics == []
    nothing = Latencies(n=0, mean=None, p50=None, p95=None, p99=None)
    assert ask(core, Latency()).rows == []
    by_day = ask(core, Latency(by="day", range=Range(days=3)))
    assert [(row.key, row.duration_ms) for row in by_day.rows] == [
        (f"2026-11-{day}", nothing) for day in (21, 22, 23)
    ]


@pytest.mark.parametrize("field", ["experiments", "batches"])
def test_latencies_by_experiment_or_batch_are_refused(core: Core, field: str) -> None:
    with pytest.raises(LedgerError) as refused:
        ask(core, Latency(filter=Filter(**{field: ["any"]})))
    assert (refused.value.code, refused.value.field) == ("invalid", f"$.filter.{field}")
