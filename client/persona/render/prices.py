"""How prices look."""

from personad.contract.prices import PriceRow, PricesReply, PricesUpdated

from . import values
from .tables import Column, Fact, Facts, Kind, Table, View

PRICE = Kind(values.exact_money, lambda nanousd: values.decimal(nanousd, 9))

COLUMNS: tuple[Column[PriceRow], ...] = (
    Column("Model", lambda row: f"{row.provider}/{row.model}"),
    Column("Input", lambda row: row.input_nanousd, PRICE),
    Column("Output", lambda row: row.output_nanousd, PRICE),
    Column("Cache read", lambda row: row.cache_read_nanousd, PRICE),
    Column("Cache write", lambda row: row.cache_write_nanousd, PRICE),
    Column("Source", lambda row: row.source or values.UNPRICED),
    Column(
        "Effective",
        lambda row: f"{row.effective_from:%Y-%m-%d}" if row.effective_from is not None else None,
    ),
)


def prices(reply: PricesReply) -> View:
    empty = "no model was used yet; --model PROVIDER/MODEL shows one's price"
    return [Table(COLUMNS, reply.prices, empty)]


def updated(reply: PricesUpdated) -> View:
    """What a newer list brought."""
    return [
        Facts(
            [
                Fact("List", f"{reply.data_source}, {values.plural(reply.models, 'model')}"),
                Fact("Changed", ", ".join(reply.changed) or "no price of a model that was used"),
            ]
        )
    ]
