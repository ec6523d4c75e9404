"""How long calls took, answered from sketches."""

from datetime import datetime

import apsw

from personad.contract import latency as q
from personad.contract.errors import LedgerError
from personad.projections import percentiles
from personad.projections.asked import Asked, resolve
from personad.projections.percentiles import Told, Wanted
from personad.projections.summing import whole
from personad.sketch import LATENCIES

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
    rows, total = _rows(db, asked, request.by)
    return q.LatencyReply(
        range=asked.period,
        by=request.by,
        rows=[
            q.LatencyRow(key=key, duration_ms=_told(duration), ttft_ms=_told(ttft))
            for key, duration, ttft in rows
        ],
        duration_ms=_told(total.get("duration_ms")),
        ttft_ms=_told(total.get("ttft_ms")),
    )


Row = tuple[str, Told | None, Told | None]
"""A key, and what is told of durations and of times until the first token."""


def _rows(
    db: apsw.Connection, asked: Asked, by: q.LatencyDimension
) -> tuple[list[Row], dict[str, Told]]:
    series = percentiles.series_of(db, asked, "latency")
    place = {"provider": 1, "model": 2}.get(by)
    groups = {key: (names[0], names[place] if place else "") for key, names in series.items()}
    slices = whole(asked) if by == "provider" or by == "model" else asked.slices(by)
    leaders = percentiles.leaders_of(db, "latency", groups)
    wanted = Wanted(LATENCIES, groups, _QUANTILES, lambda group: group[0], leaders)
    parts, total = percentiles.of_slices(db, asked, slices, wanted)
    if place:
        names = sorted({name for _, name in parts[0]})
        keys = [(name, parts[0], name) for name in names]
    else:
        keys = [(each.label, told, "") for each, told in zip(slices, parts, strict=True)]
    return [
        (key, told.get(("duration_ms", name)), told.get(("ttft_ms", name)))
        for key, told, name in keys
    ], total


def _told(told: Told | None) -> q.Latencies:
    if told is None:
        return q.Latencies(n=0, mean=None, p50=None, p95=None, p99=None)
    p50, p95, p99 = told.quantiles
    return q.Latencies(n=told.n, mean=told.mean, p50=p50, p95=p95, p99=p99)
