"""Lines of an export on their way to the ledger; the ledger is a function here."""

import io
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona import interchange
from persona.interchange import Bad, Good, Importer, Taken, chunks, exported, parse

from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.cost import CallStarted
from personad.contract.errors import LedgerError
from personad.contract.events import Appended, Exported, Import, Recorded
from personad.contract.quality import GoalCleared

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def goal(number: int) -> GoalCleared:
    return GoalCleared(id=UUID(int=number), at=NOON, metric=f"m{number}")


def text(*numbers: int) -> bytes:
    return b"".join(msgspec.json.encode(goal(number)) + b"\n" for number in numbers)


class Fussy:
    """Takes everything but certain metrics, as a daemon would refuse them."""

    def __init__(self, *refused: str) -> None:
        self._refused = refused
        self.took: list[str] = []

    def __call__(self, request: Import) -> Appended:
        metrics = [getattr(item.event, "metric", "") for item in request.items]
        for index, metric in enumerate(metrics):
            if metric in self._refused:
                raise LedgerError("invalid", "not this one", field=f"$.items[{index}].event")
        self.took += metrics
        return Appended(first_seq=1, last_seq=2, duplicates=0, anomalies=1, quarantined=0)


def imported(send: Fussy, lines: bytes, *, strict: bool = False) -> tuple[Taken, list[Bad]]:
    bad: list[Bad] = []
    importer = Importer(send, strict=strict, on_bad=bad.append, on_progress=lambda taken: None)
    return importer.run(io.BytesIO(lines)), bad


def test_what_only_the_ledger_finds_wrong_is_named_by_its_line() -> None:
    ledger = Fussy("m2", "m4")

    taken, bad = imported(ledger, text(1, 2) + b"\n" + text(3, 4, 5))

    assert ledger.took == ["m1", "m3", "m5"]
    assert bad == [Bad(2, "not this one"), Bad(5, "not this one")]
    assert taken == Taken(imported=3, anomalies=3, bad=2)


def test_strictly_nothing_follows_what_the_ledger_finds_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interchange, "CHUNK_EVENTS", 3)
    ledger = Fussy("m2")

    taken, bad = imported(ledger, text(1, 2, 3, 4, 5), strict=True)

    assert ledger.took == ["m1"]
    assert (taken.imported, len(bad)) == (1, 1)


def test_a_file_full_of_lines_that_the_ledger_refuses_is_not_sent_over_and_over() -> None:
    sent: list[int] = []

    def send(request: Import) -> Appended:
        sent.append(len(request.items))
        raise LedgerError("invalid", "not this one", field="$.items[0].event.at")

    lines = interchange.CHUNK_EVENTS

    importer = Importer(send, strict=False, on_bad=lambda bad: None, on_progress=lambda taken: None)

    assert importer.run(io.BytesIO(text(*range(lines)))).bad == lines
    assert sum(sent) < lines * lines.bit_length()


@pytest.mark.parametrize("field", ["$.items[1].event", None])
def test_a_line_that_is_too_large_for_the_ledger_is_bad_and_the_others_are_taken(
    field: str | None,
) -> None:
    took: list[str] = []

    def send(request: Import) -> Appended:
        metrics = [getattr(item.event, "metric", "") for item in request.items]
        if "m2" in metrics:
            where = f"$.items[{metrics.index('m2')}].event" if field else None
            raise LedgerError("too-large", "over the limit", field=where)
        took.extend(metrics)
        return Appended(first_seq=1, last_seq=2, duplicates=0, anomalies=0, quarantined=0)

    bad: list[Bad] = []
    importer = Importer(send, strict=False, on_bad=bad.append, on_progress=lambda taken: None)

    assert importer.run(io.BytesIO(text(1, 2, 3, 4))).imported == 3
    assert bad == [Bad(2, "over the limit")]
    assert took == ["m1", "m3", "m4"]


def test_an_error_that_is_no_lines_fault_ends_the_import() -> None:
    def send(request: Import) -> Appended:
        raise LedgerError("unavailable", "disk full")

    importer = Importer(send, strict=False, on_bad=lambda bad: None, on_progress=lambda taken: None)

    with pytest.raises(LedgerError, match="disk full"):
        importer.run(io.BytesIO(text(1)))


def test_a_line_that_is_too_long_is_skipped_whole() -> None:
    long = b'{"type":"' + b"x" * (2 * MAX_MESSAGE_BYTES) + b'"}\n'

    first, second = parse(io.BytesIO(long + text(1)))

    assert first == Bad(1, "longer than 8,388,608 bytes")
    assert isinstance(second, Good)
    assert second.line == 2


def test_a_last_line_that_is_too_long_ends_the_file() -> None:
    assert len(list(parse(io.BytesIO(b"x" * (MAX_MESSAGE_BYTES + 5))))) == 1


def test_a_line_that_is_nested_too_deeply_is_bad() -> None:
    (line,) = parse(io.BytesIO(b'{"a":' * 100_000 + b"\n"))

    assert isinstance(line, Bad)


def test_an_export_reads_back_as_it_was() -> None:
    started = CallStarted(id=UUID(int=1), at=NOON, call="c", provider="p", model="m")

    (line,) = parse(io.BytesIO(exported(Recorded(seq=1, recorded_at=NOON, event=started))))

    assert isinstance(line, Good)
    assert line.item == Exported(event=started, receipt=None, derived=True)


@given(st.lists(st.integers(1, 3 << 20), max_size=50))
def test_chunks_keep_order_and_size(sizes: list[int]) -> None:
    lines = [Good(n, size, Exported(event=goal(n))) for n, size in enumerate(sizes)]

    parts = list(chunks(lines))

    assert [line for part in parts for line in part] == lines
    assert all(
        len(part) == 1 or sum(line.size_bytes for line in part) <= interchange.CHUNK_BYTES
        for part in parts
    )
