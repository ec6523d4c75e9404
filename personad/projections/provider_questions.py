"""Providers and models side by side: what their personas were worth, and what they cost."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import add
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import apsw
import msgspec

from personad import civil
from personad.contract import quality as q
from personad.projections import summing
from personad.projections.asked import Asked, no_such, resolve
from personad.projections.cost_sums import COST
from personad.projections.percentiles import series_of
from personad.projections.personas import PERSONA
from personad.projections.quality import COMPOSITE, SCORE
from personad.projections.summing import Columns

if TYPE_CHECKING:
    from personad.analytics.difference import Interval, Some

_SCORES = Columns(SCORE, ("n", "total", "squares"))
_COST = Columns(COST, ("cost_nanousd", "unpriced_calls"))
_MADE = Columns(PERSONA, ("completed", "accepted", "duration_ms"))
_DIMS = "SELECT key, provider, model FROM dim"
_NEWEST = """
SELECT max(bucket) FROM score_quarter
WHERE series IN (SELECT value FROM json_each(?)) AND bucket < ?
"""
_BATCHES = """
WITH newest AS (
  SELECT batch_key.key, batch.digest
  FROM batch JOIN batch_key USING (batch) LEFT JOIN experiment USING (experiment)
  WHERE batch.started_at < :end AND coalesce(batch.finished_at, :end) >= :first
    AND (:batches IS NULL OR batch_key.key IN (SELECT value FROM json_each(:batches)))
    AND (:experiments IS NULL OR experiment.key IN (SELECT value FROM json_each(:experiments)))
  ORDER BY batch.started_at DESC LIMIT :limit
)
SELECT json_group_array(json_array(key, digest)) FROM newest WHERE digest IS NOT NULL
"""
# One row for all of them: while events are taken in, each row is a turn to wait for.
_SERIES_OF_BATCHES = """
SELECT json_group_array((
  SELECT json_group_array(series) FROM score_batch_quarter AS score INDEXED BY score_of_batch
  WHERE score.batch = wanted.value))
FROM json_each(?) AS wanted
"""
_sources_of = msgspec.json.Decoder(list[tuple[int, str]]).decode
_texts = msgspec.json.Decoder(list[str]).decode
_numbers = msgspec.json.Decoder(list[int]).decode
_BATCHES_MAX = 200
"""Providers are compared over so many batches, the newest."""
_UNIT = 10_000

Group = tuple[str, str | None]
"""Provider and model; None where all of its models are together."""


class Strata(NamedTuple):
    """The scores of one metric, by group and by source."""

    whole: dict[Group, "Some"]
    by_source: dict[Group, dict[str, "Some"]]


def providers(
    db: apsw.Connection, request: q.QualityProviders, now: datetime
) -> q.QualityProvidersReply:
    """Each provider's or model's scores and costs, and who is better beyond chance.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    series = series_of(db, asked, "score")
    known = {measure for measure, *_ in series.values()}
    for place, name in enumerate(request.metrics):
        if name not in known:
            raise no_such("metric", name, known, f"$.metrics[{place}]")
    sums = summing.by_key(db, asked, _SCORES, "key")
    scorer, others = _scorers(db, asked, {key: series[key][3] for key in sums if key in series})
    wanted = {
        key: (measure, _group(request, provider, model))
        for key, (measure, provider, model, by) in series.items()
        if by == scorer and (not request.metrics or measure in request.metrics)
    }
    metrics = _stratified(db, asked, sums, wanted)
    best, differences = _compared(metrics)
    return q.QualityProvidersReply(
        range=asked.period,
        scorer=scorer,
        other_scorers=others,
        rows=_rows(db, asked, request, metrics, best),
        differences=differences,
    )


def _group(request: q.QualityProviders, provider: str, model: str) -> Group:
    return provider, model if request.by == "model" else None


def _name(group: Group) -> str:
    provider, model = group
    return provider if model is None else f"{provider}/{model}"


def _scorers(
    db: apsw.Connection, asked: Asked, scorers: Mapping[int, str]
) -> tuple[str | None, list[str]]:
    """Of those that scored what is asked for, the one with the newest score in all, and the
    others; of several equally new, the last by name."""
    keys: dict[str, list[int]] = defaultdict(list)
    for key, scorer in scorers.items():
        keys[scorer].append(key)
    if len(keys) < 2:
        return next(iter(keys), None), []
    newest = {
        scorer: db.execute(_NEWEST, (json.dumps(some), asked.end)).get or 0
        for scorer, some in keys.items()
    }
    *others, last = sorted(newest, key=lambda scorer: (newest[scorer], scorer))
    return last, sorted(others)


def _stratified(
    db: apsw.Connection,
    asked: Asked,
    sums: summing.Sums,
    wanted: Mapping[int, tuple[str, Group]],
) -> dict[str, Strata]:
    from personad.analytics.difference import Some  # numpy, by way of it: a daemon starts without

    whole: dict[tuple[str, Group], list[int]] = {}
    within: dict[tuple[str, Group, str], list[int]] = {}
    for key, some in sums.items():
        if key in wanted:
            _add(whole, wanted[key], some)
    if len({group for _, group in whole}) > 1:
        sources = _shared(db, _sources(db, asked), wanted)
        of_batches = replace(asked, experiments=None, batches=tuple(sources))
        for batch, key, *some in summing.by_batch_and_key(db, of_batches, _SCORES):
            if key in wanted:
                metric, group = wanted[key]
                _add(within, (metric, group, sources[batch]), some)
    found: dict[str, Strata] = defaultdict(lambda: Strata({}, defaultdict(dict)))
    for (metric, group), some in whole.items():
        found[metric].whole[group] = Some(*some)
    for (metric, group, source), some in within.items():
        found[metric].by_source[group][source] = Some(*some)
    return dict(found)


K = TypeVar("K")


def _add(into: dict[K, list[int]], key: K, some: Sequence[int]) -> None:
    known = into.get(key)
    into[key] = [*some] if known is None else list(map(add, known, some))


def _sources(db: apsw.Connection, asked: Asked) -> dict[int, str]:
    """The digest of what each batch was made from, by the batch's number."""
    told = db.execute(
        _BATCHES,
        {
            "first": asked.first * civil.QUARTER_US,
            "end": asked.end * civil.QUARTER_US,
            "batches": None if asked.batches is None else json.dumps(asked.batches),
            "experiments": None if asked.experiments is None else json.dumps(asked.experiments),
            "limit": _BATCHES_MAX,
        },
    ).get
    return dict(_sources_of(told))


def _shared(
    db: apsw.Connection, sources: Mapping[int, str], wanted: Mapping[int, tuple[str, Group]]
) -> dict[int, str]:
    """Only the batches whose source may have been run by two groups: of another one, whose source
    nobody else used, no score can be compared, and they need not be looked up."""
    times = Counter(sources.values())
    found = {batch: source for batch, source in sources.items() if times[source] > 1}
    alone = [batch for batch in sources if batch not in found]
    told = _texts(db.execute(_SERIES_OF_BATCHES, (json.dumps(alone),)).get)
    # Most batches have the same series as others: each list of them is looked at once.
    of_several = {
        text
        for text in set(told)
        if len({wanted[key][1] for key in _numbers(text) if key in wanted}) > 1
    }
    for batch, text in zip(alone, told, strict=True):
        if text in of_several:
            found[batch] = sources[batch]
    return found


def _compared(
    metrics: Mapping[str, Strata],
) -> tuple[dict[str, Group], list[q.QualityDifference]]:
    """Who is best by each metric, beyond chance; and how the highest stand to the others."""
    best: dict[str, Group] = {}
    told: list[q.QualityDifference] = []
    for metric, strata in sorted(metrics.items()):
        groups = sorted(strata.whole, key=lambda each: (-strata.whole[each].mean, _name(each)))
        found = {group: _differences(strata, group) for group in groups}
        # The highest may have too few scores to be compared with anybody.
        shown = next((group for group in groups if found[group]), groups[0])
        for place, group in enumerate(groups):
            is_better = found[group] and all(interval.low > 0 for _, _, interval in found[group])
            if is_better and not _untold(strata, group, groups[:place], found[group]):
                best[metric] = shown = group
                break
        told += [
            q.QualityDifference(
                metric=metric,
                better=_name(shown),
                than=_name(other),
                sources=sources,
                difference=interval.middle / _UNIT,
                low=interval.low / _UNIT,
                high=interval.high / _UNIT,
            )
            for other, sources, interval in found[shown]
        ]
    return best, told


def _untold(
    strata: Strata,
    group: Group,
    higher: Sequence[Group],
    compared: Sequence[tuple[Group, int, "Interval"]],
) -> bool:
    """Whether one with a higher mean ran a source in common, but too few scores to be compared."""
    told = {other for other, _, _ in compared}
    mine = strata.by_source.get(group, {}).keys()
    return any(
        other not in told and mine & strata.by_source.get(other, {}).keys() for other in higher
    )


def _differences(strata: Strata, group: Group) -> list[tuple[Group, int, "Interval"]]:
    """Of those that ran a source in common: over how many, and by how much it is better."""
    from personad.analytics.difference import difference

    found = []
    mine = strata.by_source.get(group, {})
    for other in strata.whole:
        if other == group:
            continue
        theirs = strata.by_source.get(other, {})
        pairs = [(some, theirs[source]) for source, some in mine.items() if source in theirs]
        interval = difference(pairs)
        if interval is not None:
            found.append((other, len(pairs), interval))
    return found


def _rows(
    db: apsw.Connection,
    asked: Asked,
    request: q.QualityProviders,
    metrics: Mapping[str, Strata],
    best: Mapping[str, Group],
) -> list[q.QualityOfProvider]:
    groups = {key: _group(request, provider, model) for key, provider, model in db.execute(_DIMS)}
    costs, made = (
        _by_group(summing.by_key(db, asked, columns, "key"), groups) for columns in (_COST, _MADE)
    )
    scored = {group for strata in metrics.values() for group in strata.whole}
    rows = []
    for group in scored | {group for group, (completed, *_) in made.items() if completed}:
        cost, unpriced = costs.get(group, (0, 0))
        completed, accepted, duration_ms = made.get(group, (0, 0, 0))
        rows.append(
            q.QualityOfProvider(
                provider=group[0],
                model=group[1],
                n=max(
                    (strata.whole[group].n for strata in metrics.values() if group in strata.whole),
                    default=0,
                ),
                metrics={
                    metric: _mean(strata.whole[group], best.get(metric) == group)
                    for metric, strata in sorted(metrics.items())
                    if group in strata.whole
                },
                personas=completed,
                accepted=accepted,
                cost_nanousd=cost,
                unpriced_calls=unpriced,
                duration_ms=duration_ms // completed if completed else None,
                cost_per_accepted_persona_nanousd=(2 * cost + accepted) // (2 * accepted)
                if accepted
                else None,
            )
        )
    return sorted(rows, key=_worth)


def _worth(row: q.QualityOfProvider) -> tuple[float, str, str]:
    """The best composite first."""
    composite = row.metrics.get(COMPOSITE)
    return -(composite.mean if composite else -1.0), row.provider, row.model or ""


def _by_group(sums: summing.Sums, groups: Mapping[int, Group]) -> dict[Group, list[int]]:
    found: dict[Group, list[int]] = {}
    for key, some in sums.items():
        _add(found, groups[key], some)
    return found


def _mean(some: "Some", is_best: bool) -> q.QualityMean:
    from personad.analytics.difference import mean

    interval = mean(some)
    return q.QualityMean(
        n=some.n,
        mean=some.mean / _UNIT,
        low=None if interval is None else max(0.0, interval.low / _UNIT),
        high=None if interval is None else min(1.0, interval.high / _UNIT),
        best=is_best,
    )
