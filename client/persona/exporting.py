"""Cost events as rows, a page at a time: whatever the range, memory stays the same."""

from collections.abc import Iterator

from persona.client import Ledger
from personad.contract.asking import Filter, Period, Range
from personad.contract.cost_rows import CostRow, CostRows, CostRowsReply


def rows(ledger: Ledger, period: Period, only: Filter) -> Iterator[CostRow]:
    """The range's cost events; while one page is worked on, the next is asked for.

    Raises LedgerError.
    """
    from concurrent.futures import ThreadPoolExecutor

    # As times and not as days ago, so that midnight between two pages changes nothing.
    span = Range(
        since=period.since.isoformat(),
        until=period.until.isoformat(),
        timezone=period.timezone,
        as_of=period.as_of,
    )

    def page(cursor: str) -> CostRowsReply:
        return ledger.ask(CostRows(range=span, filter=only, cursor=cursor))

    # One thread that asks: the connection is only ever used by one at a time.
    with ThreadPoolExecutor(1) as asking:
        coming = asking.submit(page, "")
        while True:
            reply = coming.result()
            if reply.cursor is not None:
                coming = asking.submit(page, reply.cursor)
            yield from reply.rows
            if reply.cursor is None:
                return


class Tally:
    """Rows that are passed on, and how many calls they were about by then."""

    def __init__(self, found: Iterator[CostRow]) -> None:
        self._found = found
        self.calls = 0

    def __iter__(self) -> Iterator[CostRow]:
        for row in self._found:
            self.calls += row.counts
            yield row
