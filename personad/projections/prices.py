"""The user's own prices: every `price.set` there was, as old calls have old ones."""

from collections.abc import Sequence
from uuid import UUID

import apsw
import msgspec

from personad.contract.base import Event
from personad.contract.budget import Prices, PriceSet
from personad.contract.cost import CostCorrected, CostRecorded
from personad.contract.errors import LedgerError
from personad.contract.events import Receipt
from personad.kinds import microseconds, moment_of
from personad.log import Entry
from personad.price_data import UnitPrices
from personad.pricing import OwnPrice, PriceBook, cost_of, tokens_of
from personad.projections.book import Book

NAME = "prices"
VERSION = 1
SCHEMA = """
CREATE TABLE own_price (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  at INTEGER NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  effective_from INTEGER NOT NULL,    -- microseconds since 1970
  input_nanousd INTEGER NOT NULL,     -- per million tokens, as the others
  output_nanousd INTEGER NOT NULL,
  cache_read_nanousd INTEGER,
  cache_write_nanousd INTEGER
) STRICT;
"""
TABLES: tuple[str, ...] = ("own_price",)
WANTS: tuple[type[Event], ...] = (PriceSet,)

_RECEIPTS_KEPT = 4_096
_ADD = "INSERT INTO own_price VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ALL = "SELECT * FROM own_price ORDER BY seq"
_NEWEST = "SELECT coalesce(max(seq), 0) FROM own_price"


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit."""
    for seq, at, event, _ in entries:
        assert isinstance(event, PriceSet)
        prices = event.prices
        book.db.execute(
            _ADD,
            (
                seq,
                event.id.bytes,
                at,
                event.provider,
                event.model,
                microseconds(event.effective_from),
                prices.input_nanousd,
                prices.output_nanousd,
                prices.cache_read_nanousd,
                prices.cache_write_nanousd,
            ),
        )
    book.prices = None
    return []


def price_book(book: Book) -> PriceBook:
    """Every price that is known now."""
    if book.prices is None:
        book.prices = PriceBook(own_prices(book.db))
    return book.prices


def newest_own(db: apsw.Connection) -> int:
    """The seq of the user's newest own price; 0: there is none."""
    return int(db.execute(_NEWEST).get)


def price_call(book: Book, call: CostRecorded | CostCorrected) -> tuple[int | None, int | None]:
    """What a call costs at the prices of its time, and its receipt's number; None: unpriced, or a
    correction, which says the cost itself."""
    if type(call) is CostCorrected:
        return None, None
    found = (book.prices or price_book(book)).bill(call)  # type: ignore[arg-type]
    if found is None:
        return None, None
    cost, prices = found
    known = book.names.receipts.get(id(prices))
    return cost, known[0] if known is not None else receipt_key(book, prices)


def priced_by(
    book: Book, call: CostRecorded | CostCorrected, receipt: Receipt, field: str
) -> tuple[int | None, int]:
    """What a call cost by its receipt, where it doesn't say it, and the receipt's number.

    Raises:
        LedgerError: `invalid`, naming the field; it is no receipt.
    """
    try:
        prices = msgspec.convert(receipt, UnitPrices)
    except msgspec.ValidationError as error:
        raise LedgerError("invalid", f"this is no receipt: {error}", field=field) from None
    cost = cost_of(tokens_of(call), prices) if isinstance(call, CostRecorded) else None
    return cost, book.names.price(msgspec.json.encode(prices).decode())


def receipt_key(book: Book, prices: UnitPrices) -> int:
    receipts = book.names.receipts
    known = receipts.get(id(prices))
    if known is None:
        key = book.names.price(msgspec.json.encode(prices).decode())
        if len(receipts) >= _RECEIPTS_KEPT:
            receipts.clear()
        # The prices are kept as well: an id is one object's only while that lives.
        known = receipts[id(prices)] = (key, prices)
    return known[0]


def own_prices(db: apsw.Connection) -> list[OwnPrice]:
    """All that were ever set, oldest first."""
    return [_own_price(*row) for row in db.execute(_ALL)]


def _own_price(
    seq: int,
    event_id: bytes,
    at: int,
    provider: str,
    model: str,
    effective_from: int,
    *nanousd: int | None,
) -> OwnPrice:
    event = PriceSet(
        id=UUID(bytes=event_id),
        at=moment_of(at),
        provider=provider,
        model=model,
        prices=msgspec.convert(dict(zip(Prices.__struct_fields__, nanousd, strict=True)), Prices),
        effective_from=moment_of(effective_from),
    )
    return OwnPrice(seq, event)
