"""Cost events as rows, a page at a time: whatever the range, memory stays the same."""

from collections.abc import Iterator

from persona.client import Asked, Ledger
from personad.contract.asking import Filter, Period, Range
from personad.contract.cost_rows import CostRow, CostRows, CostRowsReply
from personad.contract.errors import LedgerError

ANSWER_WITHIN_S = 30.0


def rows(ledger: Ledger, period: Period, only: Filter) -> Iterator[CostRow]:
    """The range's cost events; while one page is worked on, the daemon makes the next: so nothing
    else may be asked of this ledger until all are taken.

    Raises LedgerError.
    """
    # As times and not as days ago, so that midnight between two pages changes nothing.
    span = Range(
        since=period.since.isoformat(),
        until=period.until.isoformat(),
        timezone=period.timezone,
        as_of=period.as_of,
    )

    reply = ledger.ask(CostRows(range=span, filter=only))
    while reply.cursor is not None:
        request = CostRows(range=span, filter=only, cursor=reply.cursor)
        coming = ledger.begin(request)
        yield from reply.rows
        reply = _answer(coming) or ledger.ask(request)
    yield from reply.rows


def _answer(coming: Asked[CostRowsReply] | None) -> CostRowsReply | None:
    """None where the same has to be asked again: it is a question, and changes nothing."""
    if coming is None:
        return None
    try:
        return coming.answer(ANSWER_WITHIN_S)
    except LedgerError as error:
        if error.code != "unavailable":
            raise
        return None


class Tally:
    """Rows that are passed on, and how many calls they were about by then."""

    def __init__(self, found: Iterator[CostRow]) -> None:
        self._found = found
        self.calls = 0

    def __iter__(self) -> Iterator[CostRow]:
        for row in self._found:
            self.calls += row.counts
            yield row
