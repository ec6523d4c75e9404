"""How long calls took, answered from sketches."""

from datetime import datetime

import apsw

from personad.contract import latency as q
from personad.contract.errors import LedgerError
from personad.projections import percentiles
from personad.projections.asked import resolve
from personad.projections.summing import whole
from personad.sketch import LATENCIES, Sketch

_MEASURES = ("duration_ms", "ttft_ms")
_QUANTILES = (0.5, 0.95, 0.99)


def latency(db: apsw.Connection, request: q.Latency, now: datetime) -> q.LatencyReply:
    """How long the calls of a range took.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    for field in ("experiments", "batches"):
        if getattr(request.filter, field):
            raise LedgerError(
                "invalid",
                f"how long calls take is kept by provider and model, and not by {field}",
                field=f"$.filter.{field}",
                hint="ask about providers or models",
            )
    asked = resolve(db, request.range, request.filter, now)
    series = percentiles.series_of(db, asked, "latency")
    if request.by == "provider" or request.by == "model":
        place = ("provider", "model").index(request.by) + 1
        groups = {key: (names[0], names[place]) for key, names in series.items()}
        (found,) = percentiles.by_slice(db, asked, LATENCIES, whole(asked), groups)
        names = sorted({name for _, name in found})
        rows = [(name, {each: found.get((each, name)) for each in _MEASURES}) for name in names]
    else:
        slices = asked.slices(request.by)
        measures = {key: (names[0], "") for key, names in series.items()}
        parts = percentiles.by_slice(db, asked, LATENCIES, slices, measures)
        rows = [
            (part.label, {each: found.get((each, "")) for each in _MEASURES})
            for part, found in zip(slices, parts, strict=True)
        ]
    return q.LatencyReply(
        range=asked.period,
        by=request.by,
        rows=[
            q.LatencyRow(key=key, **{each: _told(found[each]) for each in _MEASURES})
            for key, found in rows
        ],
        **{
            each: _told(percentiles.together(LATENCIES, (found[each] for _, found in rows)))
            for each in _MEASURES
        },
    )


def _told(sketch: Sketch | None) -> q.Latencies:
    if sketch is None or not (n := sketch.count):
        return q.Latencies(n=0, mean=None, p50=None, p95=None, p99=None)
    p50, p95, p99 = sketch.quantiles(_QUANTILES)
    return q.Latencies(n=n, mean=sketch.total / n, p50=p50, p95=p95, p99=p99)
