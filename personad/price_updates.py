"""Taking a newer public price list."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw

from personad import fetched_prices, price_data
from personad.contract.errors import LedgerError
from personad.contract.prices import PriceList, PriceRow, PricesUpdate, PricesUpdated
from personad.projections.book import Book
from personad.projections.price_questions import price_list

With = Callable[[Callable[[Book], Any]], Any]
"""Has the writer do something between two groups: `Writer.with_book`."""


class PriceUpdates:
    """The ledger's own list, beside its database."""

    def __init__(self, data_dir: Path, with_book: With) -> None:
        self._path = data_dir / fetched_prices.FILE
        self._with_book = with_book
        price_data.look_at(self._path)

    def take(self, db: apsw.Connection, request: PricesUpdate, now: datetime) -> PricesUpdated:
        """Has the list count from now on, for whatever is priced.

        Raises:
            LedgerError: `invalid`, it is none; `unavailable`, it can't be written down.
        """
        before = dict(_prices(db, now))
        try:
            found = fetched_prices.keep(self._path, request.text, now.date())
        except fetched_prices.BadList as error:
            raise LedgerError(
                "invalid", f"this is no price list: {error}", field="$.text"
            ) from None
        except OSError as error:
            raise LedgerError("unavailable", f"{self._path} can't be written: {error}") from None
        price_data.look_at(self._path)
        self._with_book(_forget)
        after = dict(_prices(db, now))
        return PricesUpdated(
            models=found.models,
            data_source=price_data.catalogue().source,
            changed=[name for name, prices in after.items() if before.get(name) != prices],
        )


def _forget(book: Book) -> None:
    """What was looked up in the old list."""
    book.prices = None


def _prices(db: apsw.Connection, now: datetime) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    """Of the models that were used."""
    for row in price_list(db, PriceList(), now).prices:
        if row.is_used:
            yield f"{row.provider}/{row.model}", _nanousd(row)


def _nanousd(row: PriceRow) -> tuple[int | None, ...]:
    return (
        row.input_nanousd,
        row.output_nanousd,
        row.cache_read_nanousd,
        row.cache_write_nanousd,
    )
