"""Cost rows as files of each format, as they come: whatever the range, memory stays the same.

The client writes them when it is asked to, the daemon when it is time to.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import IO, Any

import msgspec

from .cost_rows import CostRow

ROWS_AT_ONCE = 1_000
_TEXTS = frozenset(
    {"call", "batch", "persona", "experiment", "provider", "model", "operation", "request_id"}
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FIELDS = CostRow.__struct_fields__
_MONEY = tuple(place for place, name in enumerate(_FIELDS) if name.endswith("_nanousd"))
_NAMES = [name.replace("_nanousd", "_usd") for name in _FIELDS]
_ENCODER = msgspec.json.Encoder()
_values_of = msgspec.structs.astuple


def usd(nanousd: int) -> str:
    """Dollars as an exact decimal number, without needless zeros."""
    return _usd(nanousd).decode()


def _usd(nanousd: int) -> bytes:
    whole, part = divmod(nanousd, 10**9)
    return (b"%d.%09d" % (whole, part)).rstrip(b"0") if part else b"%d" % whole


_Shown = msgspec.defstruct("_Shown", [(name, object) for name in _NAMES], gc=False)
"""A row with its documents' names; encoded in half the time that a dict takes."""


def _shown(row: CostRow) -> msgspec.Struct:
    """Money in dollars, written from the exact integers."""
    values = list(_values_of(row))
    known = shown = None
    for place in _MONEY:
        if (nanousd := values[place]) is not None:
            # Nearly always a call counts what was recorded.
            if nanousd != known:
                known, shown = nanousd, msgspec.Raw(_usd(nanousd))
            values[place] = shown
    return _Shown(*values)


def write_jsonl(found: Iterable[CostRow], stream: IO[bytes]) -> int:
    """A line a row; how many."""
    count = 0
    for page in _pages(found):
        stream.write(_ENCODER.encode_lines([_shown(row) for row in page]))
        count += len(page)
    return count


def write_json(found: Iterable[CostRow], stream: IO[bytes]) -> int:
    """One array."""
    count = 0
    stream.write(b"[")
    for page in _pages(found):
        stream.write(b",\n" if count else b"\n")
        stream.write(b",\n".join(_ENCODER.encode(_shown(row)) for row in page))
        count += len(page)
    stream.write(b"\n]\n")
    return count


def write_csv(found: Iterable[CostRow], stream: IO[bytes]) -> int:
    """RFC 4180, with nothing that a spreadsheet takes for a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_NAMES)
    count = 0
    for page in _pages(found):
        writer.writerows(map(_cells, page))
        count += len(page)
        _pass_on(text, stream)
    _pass_on(text, stream)
    return count


def _pass_on(text: io.StringIO, stream: IO[bytes]) -> None:
    """A wrapper of the stream would close it at its own end, and stdout stays open."""
    stream.write(text.getvalue().encode())
    text.seek(0)
    text.truncate()


def _cells(row: CostRow) -> list[Any]:
    """As a writer of CSV takes them: what it writes by itself as it is, is left so."""
    cells = list(_values_of(row))
    for place, shown in _AS_CELLS:
        if (value := cells[place]) is not None:
            cells[place] = shown(value)
    return cells


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _moment(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _shows(name: str) -> Callable[[Any], str] | None:
    match name:
        case "at":
            return _moment
        case "estimated" | "counts":
            return _truth
        case _ if name in _TEXTS:
            return _text
        case _ if name.endswith("_nanousd"):
            return usd
    return None


_AS_CELLS = [
    (place, shown) for place, name in enumerate(_FIELDS) if (shown := _shows(name)) is not None
]


def write_parquet(found: Iterable[CostRow], stream: IO[bytes]) -> int:
    """Columns, with money as exact decimals. Raises ImportError without pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = dict.fromkeys(_NAMES, pa.int64()) | dict.fromkeys(
        [*_TEXTS, "outcome", "price_source", "corrected"], pa.string()
    )
    kinds |= {
        "at": pa.timestamp("us", tz="UTC"),
        "estimated": pa.bool_(),
        "counts": pa.bool_(),
        "cost_usd": pa.decimal128(28, 9),
        "recorded_usd": pa.decimal128(28, 9),
    }
    schema = pa.schema([(name, kinds[name]) for name in _NAMES])
    count = 0
    with pq.ParquetWriter(stream, schema) as writer:
        for page in _pages(found):
            writer.write_batch(pa.RecordBatch.from_pylist([_plain(row) for row in page], schema))
            count += len(page)
    return count


def _plain(row: CostRow) -> dict[str, Any]:
    from decimal import Decimal

    values = list(_values_of(row))
    for place in _MONEY:
        if (nanousd := values[place]) is not None:
            values[place] = Decimal(nanousd).scaleb(-9)
    return dict(zip(_NAMES, values, strict=True))


def _pages(found: Iterable[CostRow]) -> Iterator[list[CostRow]]:
    page: list[CostRow] = []
    for row in found:
        page.append(row)
        if len(page) == ROWS_AT_ONCE:
            yield page
            page = []
    if page:
        yield page


WRITERS: dict[str, Callable[[Iterable[CostRow], IO[bytes]], int]] = {
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
