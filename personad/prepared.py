"""An append of what calls cost, with everything done to it that takes no ledger but its words and
prices: by another process (see `preparer`), as that is half of the work.

Nothing here decides what counts: that is the writer's, who takes what was prepared only where every
call of it is new, and looks at the events themselves wherever anything is unusual.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain

import apsw
import msgspec
from msgspec import Struct

from personad.contract.base import MAX_EVENT_BYTES
from personad.contract.cost import CostRecorded
from personad.kinds import CODE_OF, EPOCH, MICROSECOND, bodies_of
from personad.log import INTO, NEW_ONLY, Entry
from personad.names import Names, Proposed
from personad.price_data import UnitPrices
from personad.projections import batches, cost_sums
from personad.projections.book import Book
from personad.projections.costs import are_possible

WIDTH, BATCH, RECEIPT = 6, 2, 4
"""Values of a row (id, time, batch, cost, receipt, body), and where two of them are."""
TOGETHER = 32
"""Rows of one statement, as in `bulk`."""
_CODE = CODE_OF[CostRecorded]
Value = int | bytes | None
PricesAs = tuple[int, tuple[int, int, int] | None]
"""Which prices there are: the newest of the user's own, by seq, and the public list's file."""
Priced = Callable[[CostRecorded], tuple[int, UnitPrices] | None]
"""What a call costs, and at which prices; None: unpriced."""


class Batch(Struct, array_like=True, gc=False):
    """What calls say of a batch."""

    name: str
    first: int
    """Which of them is the first, from zero."""
    last: int
    personas: list[str]


class Prepared(Struct, array_like=True, gc=False):
    """The events of one append, in their order; all of them `cost.recorded`.

    It is read only: what it says may be needed once more, after a rollback.
    """

    count: int
    first_at: int
    """The earliest time, in microseconds since 1970."""
    last_at: int
    rows: list[list[Value]]
    """The log's, so many a statement. In place of a batch's number, and of a receipt's, is where it
    stands among the next two, from one."""
    batches: list[Batch]
    receipts: list[str]
    """Unit prices as JSON."""
    words: dict[str, int]
    """Those that had no number yet, with the ones by which the bodies have them."""
    prices: PricesAs | None
    """Those by which calls were priced; None: each says itself what it cost."""
    calls: list[str]
    calls_json: str
    groups: list[cost_sums.Group]

    @property
    def times(self) -> list[int]:
        return [*chain.from_iterable([part[1::WIDTH] for part in self.rows])]  # type: ignore[list-item]

    @property
    def costs(self) -> list[int | None]:
        return [*chain.from_iterable([part[3::WIDTH] for part in self.rows])]  # type: ignore[list-item]


def prepared(
    events: Sequence[CostRecorded],
    words: Proposed,
    priced: Priced,
    prices: Callable[[], PricesAs],
) -> Prepared | None:
    """None where the writer has to look at each event.

    `prices` says by which ones `priced` goes; it is asked first, where anything is to be priced.
    """
    calls = [event.call for event in events]
    if len(set(calls)) < len(calls) or "unknown" in {event.outcome for event in events}:
        return None
    bodies = bodies_of(events, words.word)
    costs = [event.cost_nanousd for event in events]
    receipts: dict[str, int] = {}
    by: list[int | None] = [None] * len(events)
    as_of = None
    if None in costs:
        as_of = prices()
        costs, by = _billed(events, costs, priced, receipts)
    if max(map(len, bodies)) > MAX_EVENT_BYTES or not are_possible(events, costs):
        return None
    ats = [(event.at - EPOCH) // MICROSECOND for event in events]
    ids = [event.id.int.to_bytes(16, "big") for event in events]
    entries: list[Entry] = [*zip(range(len(events)), ats, events, costs, strict=True)]
    told, places = _batches(events)
    rows = zip(ids, ats, places, costs, by, bodies, strict=True)
    values: list[Value] = [*chain.from_iterable(rows)]
    step = TOGETHER * WIDTH
    return Prepared(
        count=len(events),
        first_at=min(ats),
        last_at=max(ats),
        rows=[values[place : place + step] for place in range(0, len(values), step)],
        batches=told,
        receipts=[*receipts],
        words=words.open,
        prices=as_of,
        calls=calls,
        calls_json=msgspec.json.encode(calls).decode(),
        groups=cost_sums.groups_of(entries),
    )


def _billed(
    events: Sequence[CostRecorded],
    costs: Sequence[int | None],
    priced: Priced,
    receipts: dict[str, int],
) -> tuple[list[int | None], list[int | None]]:
    """What each call cost, and its place among the receipts, which are added."""
    keys: dict[int, int] = {}
    found = [*costs]
    by: list[int | None] = [None] * len(events)
    for place, event in enumerate(events):
        if costs[place] is None and (bill := priced(event)) is not None:
            found[place], prices = bill
            if (key := keys.get(id(prices))) is None:
                receipt = msgspec.json.encode(prices).decode()
                key = keys[id(prices)] = receipts.setdefault(receipt, len(receipts) + 1)
            by[place] = key
    return found, by


def _batches(events: Sequence[CostRecorded]) -> tuple[list[Batch], list[int | None]]:
    """The batches, and of each event which one it is of, from one."""
    keys: dict[str | None, int | None] = {None: None}
    personas: defaultdict[str, set[str | None]] = defaultdict(set)
    told: list[Batch] = []
    places = []
    for place, event in enumerate(events):
        name = event.batch
        if name not in keys:
            assert name is not None
            told.append(Batch(name, place, place, []))
            keys[name] = len(told)
        if name is not None:
            told[keys[name] - 1].last = place  # type: ignore[operator]
            personas[name].add(event.persona)
        places.append(keys[name])
    for each in told:
        each.personas = [persona for persona in personas[each.name] if persona is not None]
    return told, places


@cache
def _statement(rows: int) -> str:
    """What the log does with so many rows; the first two values are their first seq, and when they
    are recorded."""
    parts = []
    for row in range(rows):
        a = 3 + row * WIDTH
        parts.append(
            f"(?1 + {row}, ?{a}, {_CODE}, ?{a + 1}, ?2 - ?{a + 1}, ?{a + 2}, ?{a + 3}, ?{a + 4}, "
            f"?{a + 5})"
        )
    return f"INSERT OR FAIL INTO {INTO} VALUES {', '.join(parts)} {NEW_ONLY}"  # noqa: S608 - ours


def insert(
    db: apsw.Connection, names: Names, some: Sequence[Prepared], *, after: int, now_us: int
) -> bool:
    """Adds the events to the log, as `after + 1` and on; False, with nothing added, where one was
    there already, or a word has another number."""
    db.execute("SAVEPOINT added")
    has_words = all(
        names.give(text, number) for each in some for text, number in each.words.items()
    )
    is_added = has_words and _insert(db, names, some, after, now_us)
    if not is_added:
        db.execute("ROLLBACK TO added")
        names.forget()
    db.execute("RELEASE added")
    return is_added


def _insert(
    db: apsw.Connection, names: Names, some: Sequence[Prepared], after: int, now_us: int
) -> bool:
    seq = after + 1
    full: list[list[Value]] = []
    rest: list[list[Value]] = []
    for each in some:
        batches = [None, *(names.batch(told.name, seq + told.first) for told in each.batches)]
        receipts = [None, *map(names.price, each.receipts)]
        for row in each.rows:
            values = [seq, now_us, *row]
            values[2 + BATCH :: WIDTH] = [batches[place] for place in row[BATCH::WIDTH]]  # type: ignore[index]
            if len(receipts) > 1:
                values[2 + RECEIPT :: WIDTH] = [receipts[place] for place in row[RECEIPT::WIDTH]]  # type: ignore[index]
            rows = len(row) // WIDTH
            (full if rows == TOGETHER else rest).append(values)
            seq += rows
    before = db.total_changes()
    db.executemany(_statement(TOGETHER), full)
    for values in rest:
        db.execute(_statement(len(values) // WIDTH), values)
    return db.total_changes() - before == seq - after - 1


def are_new(book: Book, some: Sequence[Prepared]) -> bool:
    """Whether nothing was ever told of any of the calls, and each is told of once."""
    calls = set(chain.from_iterable([each.calls for each in some]))
    if len(calls) < sum([each.count for each in some]):
        return False
    if book.open_calls and any(call in book.open_calls for call in calls):
        return False
    return book.counted.are_unheard(calls, [each.calls_json for each in some])


def fold(book: Book, some: Sequence[Prepared], *, after: int, since: int) -> None:
    """What `projections.fold` does for these events, of which `after + 1` is the first one's seq.
    All are new, so that all fit."""
    book.begin(since)
    newest: dict[str, int] = {}
    personas: defaultdict[str, list[str]] = defaultdict(list)
    seq = after + 1
    for each in some:
        book.counted.add_in_order(each.calls, each.calls_json, seq)
        for batch in each.batches:
            newest[batch.name] = seq + batch.last
            personas[batch.name] += batch.personas
        seq += each.count
    cost_sums.add_groups(book, chain.from_iterable([each.groups for each in some]), seq - 1)
    batches.notice_newest(book, newest, personas)
