"""The sums of what calls cost: by time and kind of call, by persona, and how long calls took."""

from collections import defaultdict
from collections.abc import Sequence

from personad.contract.cost import CostRecorded
from personad.log import Entry
from personad.names import Names
from personad.projections import sketches
from personad.projections.book import Book
from personad.projections.buckets import SUM_MAX, Family

SUMS = (
    "calls",
    "unpriced_calls",
    "unpriced_tokens",
    "estimated_calls",
    "cost_nanousd",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
COST = Family("cost", "dim", SUMS)
SCHEMA = f"""
CREATE TABLE persona_cost (
  batch INTEGER NOT NULL,
  persona TEXT NOT NULL,
  calls INTEGER NOT NULL,
  cost_nanousd INTEGER NOT NULL,
  PRIMARY KEY (batch, persona)
) STRICT, WITHOUT ROWID;

{COST.schema}"""
TABLES: tuple[str, ...] = (
    "persona_cost",
    *(f"{each.name}_quarter" for each in COST.buckets if "quarter" in each.tiers),
)

_PERSONA = f"""
INSERT INTO persona_cost (batch, persona, calls, cost_nanousd) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
  cost_nanousd = min(cost_nanousd + excluded.cost_nanousd, {SUM_MAX})
"""  # noqa: S608 - a constant of ours
_SWEEP = "DELETE FROM persona_cost WHERE batch = ? AND persona = ? AND calls = 0"


def total_tokens(event: CostRecorded) -> int:
    return (
        event.input_tokens
        + event.output_tokens
        + event.cache_read_tokens
        + event.cache_write_tokens
    )


_QUARTER_US = 900_000_000
_Finest = tuple[int, str, str, str, str, str | None, str | None]
"""Quarter-hour, provider, model, operation, outcome, experiment, batch."""


def add(book: Book, added: Sequence[Entry], removed: Sequence[Entry]) -> None:
    """Brings the sums up to what counts now."""
    if not added and not removed:
        return
    sums = _sums(added, 1)
    if removed:
        for key, values in _sums(removed, -1).items():
            known = sums.get(key)
            sums[key] = [a + b for a, b in zip(known, values, strict=True)] if known else values
    names = book.names
    newest = max(entry[0] for entry in (*added, *removed)) if removed else added[-1][0]
    groups = {}
    for (quarter, *dim, experiment, batch), values in sums.items():
        place = (
            quarter,
            names.dim(tuple(dim)),  # type: ignore[arg-type]
            names.experiment(experiment) if experiment is not None else None,
            names.batch(batch, newest) if batch is not None else None,
        )
        groups[place] = values
    COST.add(book, groups)
    _add_to_personas(book, added, removed, newest)
    latencies = _latencies(names, added)
    back = _latencies(names, removed) if removed else {}
    if latencies or back:
        sketches.note(book, latencies, back)


def _sums(entries: Sequence[Entry], sign: int) -> dict[_Finest, list[int]]:
    groups: dict[_Finest, list[tuple[int, ...]]] = defaultdict(list)
    for _, at, event, cost in entries:
        assert type(event) is CostRecorded
        key = (
            at // _QUARTER_US,
            event.provider,
            event.model,
            event.operation,
            event.outcome,
            event.experiment,
            event.batch,
        )
        is_unpriced = cost is None
        groups[key].append(
            (
                1,
                is_unpriced,
                total_tokens(event) if is_unpriced else 0,
                event.estimated,
                cost or 0,
                event.input_tokens,
                event.output_tokens,
                event.cache_read_tokens,
                event.cache_write_tokens,
            )
        )
    return {
        key: [sign * sum(column) for column in zip(*values, strict=True)]
        for key, values in groups.items()
    }


def _add_to_personas(
    book: Book, added: Sequence[Entry], removed: Sequence[Entry], newest: int
) -> None:
    changes: dict[tuple[str, str], list[int]] = {}
    for entries, sign in ((added, 1), (removed, -1)):
        for _, _, event, cost in entries:
            assert type(event) is CostRecorded
            if event.persona is None or event.batch is None or event.outcome == "unknown":
                continue
            known = changes.setdefault((event.batch, event.persona), [0, 0])
            known[0] += sign
            known[1] += sign * (cost or 0)
    names = book.names
    rows = [
        (names.batch(batch, newest), persona, calls, min(cost, SUM_MAX))
        for (batch, persona), (calls, cost) in changes.items()
    ]
    book.db.executemany(_PERSONA, rows)
    if removed:
        book.db.executemany(_SWEEP, [(batch, persona) for batch, persona, *_ in rows])


def _latencies(names: Names, entries: Sequence[Entry]) -> dict[sketches.Key, list[int]]:
    """How long the calls took that were answered, by quarter-hour and series."""
    found: dict[tuple[int, str, str, str], list[int]] = defaultdict(list)
    for _, at, event, _ in entries:
        assert type(event) is CostRecorded
        if event.outcome == "ok":
            key = at // _QUARTER_US, event.provider, event.model
            if event.duration_ms is not None:
                found[*key, "duration_ms"].append(event.duration_ms)
            if event.ttft_ms is not None:
                found[*key, "ttft_ms"].append(event.ttft_ms)
    return {
        (quarter, names.series(("latency", measure, provider, model, ""))): values
        for (quarter, provider, model, measure), values in found.items()
    }
