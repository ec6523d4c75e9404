"""An append of what calls cost, with everything done to it that takes no ledger but its words and
prices: by another process (see `preparer`), as that is half of the work.

Nothing here decides what counts: that is the writer's, who takes what was prepared only where every
call of it is new, and looks at the events themselves wherever anything is unusual.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import accumulate, chain

import apsw
import msgspec
from msgspec import Struct

from personad.bulk import SUM_MAX
from personad.contract.base import MAX_EVENT_BYTES
from personad.contract.cost import CostRecorded
from personad.kinds import CODE_OF, EPOCH, MICROSECOND, bodies_of_one_kind, microseconds
from personad.log import INTO, NEW_ONLY, Entry, take_out
from personad.names import Names, Proposed
from personad.plain_calls import Calls
from personad.price_data import UnitPrices
from personad.projections import batches, cost_sums, persona_costs
from personad.projections.book import Book
from personad.projections.costs import are_possible
from personad.projections.counted import ZERO

_CODE = CODE_OF[CostRecorded]
_HEAD = "%18d%8d%7d"
"""Of a row: cost (-1: none), where its body begins, and its length. As text: SQLite has no function
that reads a number out of bytes."""
_HEAD_WIDTH = 33
_KEY = "%20d"
_KEY_WIDTH = 20
MOST_PLACES = 126
"""Of batches and of receipts: SQLite reads a place out of one byte, as if it were a character, of
which the first stands for none."""
EARLIEST_US = microseconds(datetime(3, 1, 1, tzinfo=UTC))
"""What is said to be older, in whatever zone, may be of a time that no event can have."""
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


class Prepared(Struct, array_like=True, gc=False):
    """The events of one append, in their order; all of them `cost.recorded`.

    It is read only: what it says may be needed once more, after a rollback.
    """

    count: int
    first_at: int
    """The earliest time, in microseconds since 1970."""
    last_at: int
    times: str
    """Of each, as a JSON list: SQLite takes that apart most quickly."""
    costs: bytes
    """As 64-bit integers of this machine; -1: none."""
    ids: bytes
    bodies: bytes
    heads: bytes
    """What else a row of the log has, `_HEAD` for each."""
    of_batch: bytes
    """Which of the batches each is of, from two; one: of none."""
    of_receipt: bytes
    """Likewise; empty where there is none."""
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
    of_batches: list[cost_sums.OfBatch]


def prepared(
    told: Calls,
    words: Proposed,
    prices: Callable[[], tuple[PricesAs, Priced]],
) -> Prepared | None:
    """None where the writer has to look at each event.

    `prices` is asked once, where anything is to be priced, and by what it gives it is.
    """
    events = told.events
    calls = [event.call for event in events]
    if len(set(calls)) < len(calls) or "unknown" in {event.outcome for event in events}:
        return None
    calls_json = msgspec.json.encode(calls).decode()
    if ZERO in calls_json:
        return None
    bodies = bodies_of_one_kind(CostRecorded, events, words.word)
    costs = [event.cost_nanousd for event in events]
    receipts: dict[str, int] = {}
    by: list[int] = []
    as_of = None
    if None in costs:
        as_of, priced = prices()
        costs, by = _billed(events, costs, priced, receipts)
    if max(map(len, bodies)) > MAX_EVENT_BYTES or not are_possible(events, costs):
        return None
    named, of_batch = _batches(events)
    if max(len(named), len(receipts)) > MOST_PLACES:
        return None
    ats = [(event.at - EPOCH) // MICROSECOND for event in events]
    if min(ats) < EARLIEST_US:
        return None
    entries: list[Entry] = [*zip(range(len(events)), ats, events, costs, strict=True)]
    groups, of_batches = cost_sums.groups_of(entries)
    if max([max(each.sums) for each in groups]) > SUM_MAX:
        return None  # No message could hold it.
    stored = [-1 if cost is None else cost for cost in costs]
    lengths = [*map(len, bodies)]
    begins = accumulate(lengths, initial=1)
    heads = chain.from_iterable(zip(stored, begins, lengths, strict=False))
    return Prepared(
        count=len(events),
        first_at=min(ats),
        last_at=max(ats),
        times=msgspec.json.encode(ats).decode(),
        costs=array("q", stored).tobytes(),
        ids=b"".join(told.ids),
        bodies=b"".join(bodies),
        heads=(_HEAD * len(events) % (*heads,)).encode(),
        of_batch=bytes(of_batch),
        of_receipt=bytes(by),
        batches=named,
        receipts=[*receipts],
        words=words.open,
        prices=as_of,
        calls=calls,
        calls_json=calls_json,
        groups=groups,
        of_batches=of_batches,
    )


def times_of(told: Prepared) -> list[int]:
    """In microseconds since 1970."""
    return msgspec.json.decode(told.times, type=list[int])


def costs_of(told: Prepared) -> "array[int]":
    """In nano-dollars; -1: none."""
    costs = array("q")
    costs.frombytes(told.costs)
    return costs


def _billed(
    events: Sequence[CostRecorded],
    costs: Sequence[int | None],
    priced: Priced,
    receipts: dict[str, int],
) -> tuple[list[int | None], list[int]]:
    """What each call cost, and its receipt's place among them, from two; new ones are added."""
    keys: dict[int, int] = {}
    found = [*costs]
    by = [1] * len(events)
    for place, event in enumerate(events):
        if costs[place] is None and (bill := priced(event)) is not None:
            found[place], prices = bill
            if (key := keys.get(id(prices))) is None:
                receipt = msgspec.json.encode(prices).decode()
                key = keys[id(prices)] = receipts.setdefault(receipt, len(receipts) + 2)
            by[place] = key
    return found, by


def _batches(events: Sequence[CostRecorded]) -> tuple[list[Batch], list[int]]:
    """The batches, and of each event which one it is of, from two; one: none."""
    names = [event.batch for event in events]
    places = range(len(names))
    # The last of equal keys is kept.
    last = dict(zip(names, places, strict=True))
    first = dict(zip(reversed(names), reversed(places), strict=True))
    told = [Batch(name, first[name], last[name]) for name in last if name is not None]
    keys: dict[str | None, int] = {None: 1}
    keys |= {each.name: key for key, each in enumerate(told, 2)}
    return told, [keys[name] for name in names]


def _head(begin: int, length: int) -> str:
    """SQL for a number in a row's head; places in texts are from one."""
    place = f"event.key * {_HEAD_WIDTH} + {begin}"
    return f"CAST(substr(?5, {place}, {length}) AS INTEGER)"


def _key(keys: str, places: str) -> str:
    """SQL for the number, in the ledger, of what a row only says the place of."""
    place = f"unicode(substr({places}, event.key + 1, 1)) * {_KEY_WIDTH} - {_KEY_WIDTH - 1}"
    return f"nullif(CAST(substr({keys}, {place}, {_KEY_WIDTH}) AS INTEGER), 0)"


def _statement(receipt: str) -> str:
    return f"""
INSERT OR FAIL INTO {INTO}
SELECT ?1 + event.key, substr(?4, event.key * 16 + 1, 16), {_CODE}, event.value,
  ?2 - event.value, {_key("?7", "?8")}, nullif({_head(1, 18)}, -1), {receipt},
  substr(?6, {_head(19, 8)}, {_head(27, 7)})
FROM json_each(?3) AS event WHERE TRUE {NEW_ONLY}
"""  # noqa: S608 - expressions of ours


_INSERT, _INSERT_PRICED = _statement("NULL"), _statement(_key("?9", "?10"))
"""Many rows by one statement, of values that lie together, and that SQLite takes apart: no other
thread has to wait for it, and row by row it takes longer."""


def insert(
    db: apsw.Connection, names: Names, some: Sequence[Prepared], *, after: int, now_us: int
) -> bool:
    """Adds the events to the log, as `after + 1` and on; False, with none added, where one was
    there already, or a word has another number."""
    # A word that keeps its number though it isn't used by these does no harm.
    if not all(names.give(text, number) for each in some for text, number in each.words.items()):
        return False
    newest_batch = names.newest_batch()
    if _insert(db, names, some, after, now_us):
        return True
    take_out(db, names, after, newest_batch)
    return False


def _insert(
    db: apsw.Connection, names: Names, some: Sequence[Prepared], after: int, now_us: int
) -> bool:
    seq = after
    given: list[tuple[str, tuple[int | str | bytes, ...]]] = []
    for each in some:
        batches = [names.batch(told.name, seq + 1 + told.first) for told in each.batches]
        receipts = [*map(names.price, each.receipts)]
        rows = (seq + 1, now_us, each.times, each.ids, each.heads, each.bodies)
        keys = (_keys(batches), each.of_batch)
        if receipts:
            given.append((_INSERT_PRICED, (*rows, *keys, _keys(receipts), each.of_receipt)))
        else:
            given.append((_INSERT, (*rows, *keys)))
        seq += each.count
    before = db.total_changes()
    for statement, values in given:
        db.execute(statement, values)
    return db.total_changes() - before == seq - after


def _keys(keys: Sequence[int]) -> bytes:
    """For a row that has none of them, too."""
    return (_KEY * (len(keys) + 1) % (0, *keys)).encode()


def are_new(book: Book, some: Sequence[Prepared]) -> bool:
    """Whether nothing was ever told of any of the calls, and each is told of once."""
    calls = set(chain.from_iterable([each.calls for each in some]))
    if len(calls) < sum([each.count for each in some]):
        return False
    if book.open_calls and any(call in book.open_calls for call in calls):
        return False
    return book.counted.are_unheard(calls)


def fold(book: Book, some: Sequence[Prepared], *, after: int, since: int) -> None:
    """What `projections.fold` does for these events, of which `after + 1` is the first one's seq.
    All are new, so that all fit."""
    book.begin(since)
    newest: dict[str, int] = {}
    told: defaultdict[str, list[bytes]] = defaultdict(list)
    seq = after + 1
    for each in some:
        book.counted.add_in_order(each.calls, each.calls_json, seq)
        for batch in each.batches:
            newest[batch.name] = seq + batch.last
        for of_batch in each.of_batches:
            told[of_batch.batch].append(of_batch.told)
        seq += each.count
    groups = chain.from_iterable([each.groups for each in some])
    of_batches = chain.from_iterable([each.of_batches for each in some])
    cost_sums.add_groups(book, groups, of_batches, seq - 1)
    batches.notice_newest(
        book,
        newest,
        lambda batch: {row[0] for told_of in told[batch] for row in persona_costs.rows_in(told_of)},
    )
