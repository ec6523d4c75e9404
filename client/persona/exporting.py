"""Cost events as rows, a page at a time: whatever the range, memory stays the same."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import IO, Any

import msgspec
from msgspec import Struct

from persona.client import Ledger
from persona.render.values import decimal
from personad.contract.asking import Filter, Period
from personad.contract.cost import CostRecorded

ROWS_AT_ONCE = 1_000
PAGE_EVENTS = 2_000


class ExportRow(Struct, frozen=True, kw_only=True):
    """One `cost.recorded`, with what it costs; money is exact."""

    at: datetime
    seq: int
    call: str
    batch: str | None
    persona: str | None
    experiment: str | None
    provider: str
    model: str
    operation: str
    outcome: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    estimated: bool
    cost_nanousd: int | None
    """None: unpriced, or without an answer."""
    price_source: str | None
    request_id: str | None
    duration_ms: int | None
    ttft_ms: int | None


_TEXTS = frozenset(
    {"call", "batch", "persona", "experiment", "provider", "model", "operation", "request_id"}
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FIELDS = ExportRow.__struct_fields__
_NAMES = [name.replace("cost_nanousd", "cost_usd") for name in _FIELDS]
_ENCODER = msgspec.json.Encoder()


def rows(ledger: Ledger, period: Period, only: Filter) -> Iterator[ExportRow]:
    """The range's cost events, in the ledger's order. Raises LedgerError."""
    wanted = (
        (only.providers, "provider"),
        (only.models, "model"),
        (only.experiments, "experiment"),
        (only.batches, "batch"),
    )
    filters = [(frozenset(names), field) for names, field in wanted if names]
    kinds = ("cost.recorded",)
    for recorded in ledger.read_all(types=kinds, page=PAGE_EVENTS, since=period.since):
        event = recorded.event
        if not isinstance(event, CostRecorded) or not period.since <= event.at < period.until:
            continue
        if any(getattr(event, field) not in names for names, field in filters):
            continue
        receipt = recorded.receipt
        source = str(receipt["source"]) if receipt is not None else None
        yield ExportRow(
            at=event.at,
            seq=recorded.seq,
            call=event.call,
            batch=event.batch,
            persona=event.persona,
            experiment=event.experiment,
            provider=event.provider,
            model=event.model,
            operation=event.operation,
            outcome=event.outcome,
            input_tokens=event.input_tokens,
            output_tokens=event.output_tokens,
            cache_read_tokens=event.cache_read_tokens,
            cache_write_tokens=event.cache_write_tokens,
            estimated=event.estimated,
            cost_nanousd=recorded.cost_nanousd,
            price_source="producer" if event.cost_nanousd is not None else source,
            request_id=event.request_id,
            duration_ms=event.duration_ms,
            ttft_ms=event.ttft_ms,
        )


def as_json(row: ExportRow) -> bytes:
    """One object, with the cost in dollars, written from the exact integer."""
    values = {name: getattr(row, name) for name in _FIELDS if name != "cost_nanousd"}
    cost = row.cost_nanousd
    values["cost_usd"] = None if cost is None else msgspec.Raw(decimal(cost, 9).encode())
    return _ENCODER.encode(values)


def write_jsonl(found: Iterable[ExportRow], stream: IO[bytes]) -> int:
    """A line a row; how many."""
    count = 0
    for row in found:
        stream.write(as_json(row) + b"\n")
        count += 1
    return count


def write_json(found: Iterable[ExportRow], stream: IO[bytes]) -> int:
    """One array."""
    count = 0
    stream.write(b"[")
    for row in found:
        stream.write((b",\n" if count else b"\n") + as_json(row))
        count += 1
    stream.write(b"\n]\n")
    return count


def write_csv(found: Iterable[ExportRow], stream: IO[bytes]) -> int:
    """RFC 4180, with nothing that a spreadsheet takes for a formula."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_NAMES)
    count = 0
    for row in found:
        writer.writerow([_cell(name, getattr(row, name)) for name in _FIELDS])
        count += 1
    text.flush()
    text.detach()
    return count


def _cell(name: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case int() if name == "cost_nanousd":
            return decimal(value, 9)
        case str() if name in _TEXTS and value.startswith(_FORMULA):
            return f"'{value}"
    return str(value)


def write_parquet(found: Iterable[ExportRow], stream: IO[bytes]) -> int:
    """Columns, with the cost as an exact decimal. Raises ImportError without pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = dict.fromkeys(_NAMES, pa.int64()) | dict.fromkeys(
        [*_TEXTS, "outcome", "price_source"], pa.string()
    )
    kinds |= {
        "at": pa.timestamp("us", tz="UTC"),
        "estimated": pa.bool_(),
        "cost_usd": pa.decimal128(28, 9),
    }
    schema = pa.schema([(name, kinds[name]) for name in _NAMES])
    count = 0
    with pq.ParquetWriter(stream, schema) as writer:
        for page in _pages(found):
            writer.write_batch(pa.RecordBatch.from_pylist([_plain(row) for row in page], schema))
            count += len(page)
    return count


def _plain(row: ExportRow) -> dict[str, Any]:
    from decimal import Decimal

    values = {name: getattr(row, name) for name in _FIELDS if name != "cost_nanousd"}
    cost = row.cost_nanousd
    return values | {"cost_usd": None if cost is None else Decimal(cost).scaleb(-9)}


def _pages(found: Iterable[ExportRow]) -> Iterator[list[ExportRow]]:
    page: list[ExportRow] = []
    for row in found:
        page.append(row)
        if len(page) == ROWS_AT_ONCE:
            yield page
            page = []
    if page:
        yield page


WRITERS: dict[str, Callable[[Iterable[ExportRow], IO[bytes]], int]] = {
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
