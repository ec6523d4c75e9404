"""Cost events as rows: each once, and together exactly what the history of the range says."""

import csv
import io
import json
import random
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from personad import log
from personad.contract import cost as c
from personad.contract.asking import Filter, Range
from personad.contract.base import Event
from personad.contract.cost_rows import ROWS_MAX, CostRow, CostRows
from personad.contract.errors import LedgerError
from personad.contract.row_files import WRITERS
from personad.projections import row_questions
from personad.questions import ANSWERS
from personad.transaction import transaction

from .conftest import Core
from .facts import NOON, cost, fresh_id
from .past import ZONES, a_past, lived

FIRST, LAST = date(2026, 9, 26), date(2026, 11, 22)
FILTERS = (
    Filter(),
    Filter(providers=["openai", "azure"]),
    Filter(models=["sonnet"], experiments=["tone"]),
    Filter(batches=["batch-1", "batch-2"]),
)


def take(core: Core, *events: Event) -> None:
    """Also what only the daemon writes."""
    with transaction(core.book, log.last_seq(core.db), core.now) as txn:
        txn.add(list(events))  # type: ignore[arg-type]
        txn.fold()


def corrected(name: str, nanousd: int, reason: Any, **more: Any) -> c.CostCorrected:
    return c.CostCorrected(
        id=fresh_id(), at=NOON, call=name, cost_nanousd=nanousd, reason=reason, **more
    )


def granted(name: str, reserved: int) -> c.CallStarted:
    return c.CallStarted(
        id=fresh_id(),
        at=NOON - timedelta(days=20),
        call=name,
        provider="openai",
        model="gpt",
        experiment="tone",
        batch="batch-1",
        reserved_nanousd=reserved,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """Of which calls were billed twice, corrected, given up, settled, and granted alone."""
    core = Core(tmp_path_factory.mktemp("ledger") / "ledger.db")
    events = a_past(seed=5)
    lived(core, "Europe/Berlin", events)
    recorded = [each for each in events if isinstance(each, c.CostRecorded)]
    rng = random.Random(3)
    chosen = rng.sample(recorded, 60)
    for each in chosen[:30]:
        more = rng.choice((0, 10**5))
        again = replace(each, id=fresh_id(), output_tokens=each.output_tokens // 2 + more)
        take(core, again)
    for each in chosen[20:50]:
        take(core, corrected(each.call, rng.randrange(10**9), "reconciled"))
    for each in chosen[40:]:
        take(core, corrected(each.call, 7, rng.choice(("reprice", "settled")), input_tokens=5))
    for number in range(ROWS_MAX + 3):
        take(core, granted(f"granted-{number:04d}", 1_000))
        if number % 500 != 7:
            take(core, corrected(f"granted-{number:04d}", number, "settled"))
    yield core
    core.db.close()


def exported(core: Core, span: Range, asked: Filter, limit: int = ROWS_MAX) -> list[CostRow]:
    found: list[CostRow] = []
    cursor: str | None = ""
    while cursor is not None:
        request = CostRows(range=span, filter=asked, cursor=cursor, limit=limit)
        reply = row_questions.rows(core.db, request, core.now)
        assert len(reply.rows) <= limit
        found += reply.rows
        cursor = reply.cursor
    return found


def total(core: Core, span: Range, asked: Filter) -> c.CostTotal:
    reply = ANSWERS[c.CostHistory](core.db, c.CostHistory(range=span, filter=asked), core.now)
    assert isinstance(reply, c.CostHistoryReply)
    return reply.total


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("asked", FILTERS, ids=repr)
def test_the_rows_that_count_sum_to_the_history(home: Core, zone: str, asked: Filter) -> None:
    span = Range(since=str(FIRST), until=str(LAST), timezone=zone)
    rows = exported(home, span, asked)
    expected = total(home, span, asked)
    counting = [row for row in rows if row.counts]
    assert sum(row.cost_nanousd or 0 for row in rows) == expected.cost_nanousd
    assert len(counting) == len({row.call for row in counting}) == expected.calls
    for kind in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
        assert sum(getattr(row, kind) for row in counting) == getattr(expected, kind)
    assert len({row.seq for row in rows}) == len(rows)


def test_a_day_has_only_its_own_rows(home: Core) -> None:
    whole = Range(since=str(FIRST), until=str(LAST), timezone="UTC")
    parts = []
    for day in range((LAST - FIRST).days + 1):
        one = str(FIRST + timedelta(days=day))
        parts += exported(home, Range(since=one, until=one, timezone="UTC"), Filter())
    assert sorted(each.seq for each in parts) == sorted(
        each.seq for each in exported(home, whole, Filter())
    )


def test_nothing_of_after_the_day_that_is_asked_as_of(home: Core) -> None:
    span = Range(since=str(FIRST), until=str(LAST), timezone="UTC", as_of=date(2026, 10, 20))
    rows = exported(home, span, Filter())
    assert max(row.at for row in rows).date() <= date(2026, 10, 20)
    assert sum(row.cost_nanousd or 0 for row in rows) == total(home, span, Filter()).cost_nanousd


@pytest.mark.parametrize("limit", [1, 7, ROWS_MAX])
def test_pages_of_any_size_hold_the_same(
    home: Core, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_questions, "EVENTS_AT_ONCE", 40)
    span = Range(since="2026-11-01", until=str(LAST), timezone="UTC")
    small = exported(home, span, Filter(), limit)
    monkeypatch.undo()
    assert small == exported(home, span, Filter())


def test_both_figures_of_a_corrected_call_are_told(core: Core) -> None:
    core.append(cost("one", 1_500, batch=None), cost("two", 10, batch=None))
    take(core, corrected("one", 900, "reconciled"))
    rows = {row.call: row for row in exported(core, Range(days=3), Filter())}
    one, two = rows["one"], rows["two"]
    assert (one.cost_nanousd, one.recorded_nanousd, one.corrected) == (900, 1_500, "reconciled")
    assert (two.cost_nanousd, two.recorded_nanousd, two.corrected) == (10, 10, None)
    assert one.price_source == "producer"


def test_of_a_call_that_was_billed_twice_one_row_counts(core: Core) -> None:
    core.append(cost("one", 1_500, batch=None))
    core.append(cost("one", 2_500, batch=None, output_tokens=50))
    first, second = exported(core, Range(days=3), Filter())
    assert (first.counts, first.cost_nanousd, first.recorded_nanousd) == (False, 0, 1_500)
    assert (second.counts, second.cost_nanousd) == (True, 2_500)


@pytest.mark.parametrize("cursor", ["x", "e", "e-1", "eX", "e" + "9" * 30])
def test_a_cursor_that_nobody_gave_is_refused(core: Core, cursor: str) -> None:
    with pytest.raises(LedgerError, match="no cursor"):
        row_questions.rows(core.db, CostRows(cursor=cursor), core.now)


def test_every_format_holds_the_same_money(home: Core) -> None:
    span = Range(since=str(FIRST), until=str(LAST), timezone="UTC")
    rows = exported(home, span, Filter())
    expected = Decimal(total(home, span, Filter()).cost_nanousd).scaleb(-9)
    data = {}
    for name, write in WRITERS.items():
        stream = io.BytesIO()
        assert write(iter(rows), stream) == len(rows)
        data[name] = stream.getvalue()
    tables: dict[str, list[dict[str, Any]]] = {
        "csv": list(csv.DictReader(io.StringIO(data["csv"].decode()))),
        "json": json.loads(data["json"], parse_float=Decimal),
        "jsonl": [json.loads(line, parse_float=Decimal) for line in data["jsonl"].splitlines()],
        "parquet": pq.read_table(io.BytesIO(data["parquet"])).to_pylist(),
    }
    for table in tables.values():
        assert sum(Decimal(row["cost_usd"] or 0) for row in table) == expected
        assert list(table[0]) == list(tables["csv"][0])


def test_a_log_s_ends_are_found_without_reading_it(core: Core) -> None:
    sql = f"EXPLAIN QUERY PLAN {log._RECORDED_FROM}"
    plan = [str(row[-1]) for row in core.db.execute(sql, {"wanted": 0})]
    assert len([each for each in plan if "SEARCH event" in each]) >= 4
    assert not [each for each in plan if "SCAN event" in each]
    core.append(cost("one", batch=None), cost("two", batch=None))
    assert (log.first_seq(core.db, 0), log.last_seq(core.db)) == (1, 2)
