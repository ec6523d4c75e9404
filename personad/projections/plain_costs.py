"""Costs that are their call's only figure, folded without being made events of: most of a log that
is folded afresh are these, and to make the events would be half of the work.

They come to the same after all other events of a slice as in between. What isn't plain is left to
`costs`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from personad.contract.cost import CallAbandoned, CostCorrected, CostRecorded
from personad.contract.events import AnyEvent
from personad.kinds import Text, numbered
from personad.projections import cost_sums
from personad.projections.book import Book
from personad.projections.cost_sums import Numbered
from personad.projections.costs import COST_MAX

Row = tuple[int, int, Numbered, int | None, bytes, bytes]
"""Seq, time, fields and cost of an event; its id and its body."""
read = numbered(CostRecorded)


def parted(
    book: Book, rows: Sequence[Row], others: Iterable[AnyEvent], text: Text
) -> tuple[Sequence[Row], Sequence[Row]]:
    """Those that are plain, and those that aren't; `others` are the other events of the slice."""
    if not rows:
        return (), ()
    calls = [row[2].call for row in rows]
    first = set(calls)
    odd = {*book.counted.told(first)}
    # A call that starts or that a batch loses is open until its cost closes it, in either order.
    odd.update(each.call for each in others if isinstance(each, CallAbandoned | CostCorrected))
    if len(first) < len(calls):
        odd.update(call for call, times in Counter(calls).items() if times > 1)
    unknown = {word for word in {row[2].outcome for row in rows} if text(word) == "unknown"}
    if unknown or not _are_possible(rows):
        odd.update(
            row[2].call for row in rows if row[2].outcome in unknown or not _are_possible((row,))
        )
    if odd.isdisjoint(first):
        return rows, ()
    return (
        [row for row in rows if row[2].call not in odd],
        [row for row in rows if row[2].call in odd],
    )


def _are_possible(rows: Sequence[Row]) -> bool:
    """Whether all have figures that a call can have."""
    # Of numbers together it has every bit of each, so none is greater; where it says no in doubt,
    # they are only folded more slowly.
    most: int = max(
        [
            (row[3] or 0)
            | row[2].input_tokens
            | row[2].output_tokens
            | row[2].cache_read_tokens
            | row[2].cache_write_tokens
            for row in rows
        ]
    )
    return most <= COST_MAX


def apply(book: Book, plain: Sequence[Row], text: Text) -> None:
    """Folds them in; `text` gives the texts of their words."""
    if not plain:
        return
    first = {row[2].call: row[0] for row in plain}
    book.counted.add(first)
    if book.open_calls:
        book.open_calls.close(first)
    cost_sums.add_numbered(book, plain, text)  # type: ignore[arg-type]


def newest_of_batches(plain: Sequence[Row], text: Text) -> dict[str, int]:
    """The newest of each batch; they are in order."""
    numbers = {row[2].batch: row[0] for row in plain}
    numbers.pop(None, None)
    return {text(number): seq for number, seq in numbers.items()}
