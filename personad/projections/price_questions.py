"""What the tokens of models cost now."""

from datetime import datetime

import apsw

from personad import price_data
from personad.contract import prices as p
from personad.contract.errors import LedgerError
from personad.price_data import UnitPrices
from personad.pricing import PriceBook, per_million
from personad.projections.asked import no_such
from personad.projections.prices import own_prices

_USED = "SELECT DISTINCT provider, model FROM dim ORDER BY provider, model"


def price_list(db: apsw.Connection, request: p.PriceList, now: datetime) -> p.PricesReply:
    """The models that were used or have a price of the user's own, or those that are named.

    Raises:
        LedgerError: `not-found`, a name without a provider that the ledger doesn't know.
    """
    own = own_prices(db)
    used = {(str(provider), str(model)) for provider, model in db.execute(_USED)}
    known = used | {(each.event.provider, each.event.model) for each in own}
    wanted = [_named(name, known, place) for place, name in enumerate(request.models)]
    book, catalogue = PriceBook(own), price_data.catalogue()
    chosen = sorted({pair for some in wanted for pair in some} if wanted else known)
    return p.PricesReply(
        prices=[
            _row(provider, model, book.resolve(provider, model, now), (provider, model) in used)
            for provider, model in chosen
        ],
        data_age_days=catalogue.age_days(now),
        data_source=catalogue.source,
    )


def _named(name: str, known: set[tuple[str, str]], place: int) -> list[tuple[str, str]]:
    found = [pair for pair in known if name in (pair[1], "/".join(pair))]
    provider, slash, model = name.partition("/")
    if not found and slash and provider and model:
        found = [(provider, model)]
    if not found:
        error = no_such("model", name, {pair[1] for pair in known}, f"$.models[{place}]")
        hint = error.hint if known else "name it as PROVIDER/MODEL"
        raise LedgerError(error.code, error.message, field=error.field, hint=hint)
    return found


def _row(provider: str, model: str, prices: UnitPrices | None, is_used: bool) -> p.PriceRow:
    def told(nanousd: int | None) -> int | None:
        if nanousd is None or prices is None:
            return None
        return per_million(nanousd, prices.per_tokens)

    return p.PriceRow(
        provider=provider,
        model=model,
        input_nanousd=told(prices.input_nanousd) if prices else None,
        output_nanousd=told(prices.output_nanousd) if prices else None,
        cache_read_nanousd=told(prices.cache_read_nanousd) if prices else None,
        cache_write_nanousd=told(prices.cache_write_nanousd) if prices else None,
        source=prices.source if prices else None,
        effective_from=prices.effective_from if prices else None,
        is_used=is_used,
    )
