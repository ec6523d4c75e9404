"""The public price list: the data inside the `genai-prices` package, or a newer one that the user
had fetched.

The package is imported at the first question (about 0.2 s and 26 MB), never before. Its updater,
which asks the network, is never started, and the data is read past the snapshot that one could
set: so prices change only with the installed package, or when somebody asks for it.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from personad import fetched_prices

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

logger = logging.getLogger(__name__)

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)

STALE_AFTER_DAYS = 60
"""Data older than this is worth a warning."""

_ALIASES = {
    "amazon": "aws",
    "amazon-bedrock": "aws",
    "aws-bedrock": "aws",
    "azure-ai": "azure",
    "azure-openai": "azure",
    "bedrock": "aws",
    "fireworks-ai": "fireworks",
    "gemini": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "grok": "x-ai",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "together-ai": "together",
    "vertex": "google",
    "vertex-ai": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}
_RELAYS = frozenset({"litellm", "openai", "openai-compatible"})
"""Whose models may name another provider in front: `azure/gpt-4o` behind an OpenAI-like server."""

_STANDARD_TIERS = frozenset({"", "auto", "default", "on_demand", "standard", "standard_only"})
_DISCOUNT_TIERS = frozenset({"batch", "flex"})
"""Never dearer than standard, so where no price of their own is known, standard's is used."""

_KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
_REQUESTS = "requests_kcount"

_MILLION = 1_000_000
_NANO_PER_USD = 1_000_000_000


class UnitPrices(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the tokens of one call cost: nano-dollars per `per_tokens` tokens, integers.

    No price for input or output: that kind isn't priced, and a call with tokens of it isn't either.
    No price for a cache kind: its tokens are billed as input.
    """

    source: str
    """`genai-prices 0.2.3`, `price.set` or `free`."""
    input_nanousd: int | None
    output_nanousd: int | None
    cache_read_nanousd: int | None = None
    cache_write_nanousd: int | None = None
    request_nanousd: int = 0
    """For the call itself; per `per_tokens` calls, like the others."""
    per_tokens: int = _MILLION
    """Greater where a price is no whole number of nano-dollars per million."""
    effective_from: datetime | None = None
    """Since when, as far as is known; UTC."""
    above_input_tokens: int = 0
    """Holds for prompts of more tokens than this, cached ones included."""
    service_tier: str | None = None
    """Whose price this is; None is standard's, also where a discount's own isn't known."""


class Epoch(Struct, frozen=True, gc=False):
    """From `since` on and before `until` a model's prices don't change."""

    since: datetime
    until: datetime
    base: UnitPrices | None
    """None: unpriced."""
    tiers: tuple[UnitPrices, ...] = ()
    """For greater prompts, the greatest threshold first."""

    def rows(self) -> tuple[UnitPrices, ...]:
        return () if self.base is None else (self.base, *reversed(self.tiers))

    def for_prompt(self, input_tokens: int) -> UnitPrices | None:
        """The row for a prompt of so many tokens, cached ones included."""
        for row in self.tiers:
            if input_tokens > row.above_input_tokens:
                return row
        return self.base


def provider_id(provider: str) -> str:
    """A provider's one name: `gemini` and `Vertex_AI` are `google`.

    Only names that are known mean another provider: `my-openai-proxy` doesn't have OpenAI's prices.
    """
    plain = provider.strip().lower()
    return _ALIASES.get(plain.replace("_", "-"), plain)


def readings(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """Provider and model that a call may have meant, the most literal first; lower case."""
    provider, model = provider_id(provider), model.strip().lower()
    yield provider, model
    bare = model.rpartition("models/")[2]
    if bare != model:
        yield provider, bare
    front, slash, rest = bare.partition("/")
    if slash and rest and (provider in _RELAYS or provider_id(front) == provider):
        yield provider_id(front), rest


def utc(at: datetime) -> datetime:
    """The moment in UTC; one outside what UTC can say becomes the first or last that it can."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return EARLIEST if at.year == EARLIEST.year else LATEST


class Catalogue:
    """The price list in memory. `providers` are not changed."""

    def __init__(
        self,
        providers: "Sequence[Provider]",
        source: str,
        installed_on: date,
        gathered_on: date | None = None,
    ) -> None:
        """`gathered_on` is None where the list doesn't say it."""
        self.source = source
        self._gathered_on = gathered_on
        self._providers = {each.id: each for each in providers}
        self._all = list(providers)
        self._installed_on = installed_on

    def epoch(self, provider: str, model: str, service_tier: str | None, at: datetime) -> Epoch:
        """A model's prices at `at` (UTC), and how long they hold; without any if unknown.

        `standard` and its synonyms are no tier. A `batch` tier is the list's batch processing.
        Another tier than a discount needs a price of its own: else the call is unpriced.
        """
        for name, reading in readings(provider, model):
            if (found := self._providers.get(name)) is None:
                continue
            if info := found.find_model(reading, all_providers=self._all):
                # The list knows other tiers' prices only for a provider's own models.
                own = any(info is each for each in found.models)
                return _epoch(info, _tier(service_tier), own, at, self.source)
        return Epoch(EARLIEST, LATEST, None)

    def age_days(self, now: datetime) -> int:
        """Days since it was gathered, or else since the newest price that was no announcement when
        the data was installed.

        The package doesn't say when its data was gathered; this is at most some days too many.
        """
        today = utc(now).date()
        if self._gathered_on is not None:
            return max(0, (today - self._gathered_on).days)
        dates = [start for each in self._all for info in each.models for start in _starts(info)]
        for known_on in (self._installed_on, today):
            if past := [each for each in dates if each <= known_on]:
                return max(0, (today - max(past)).days)
        return max(0, (today - self._installed_on).days)


_fetched_at: Path | None = None
Stamp = tuple[int, int, int]
_stamp: Stamp | None = None


def look_at(path: Path) -> None:
    """From now on a list that lies there counts, where it is newer than the installed one."""
    global _fetched_at, _stamp
    _fetched_at, _stamp = path, _stamp_of(path)
    catalogue.cache_clear()


def fetched_stamp() -> Stamp | None:
    """What tells the list apart that lay there when it was last looked at; None: none did."""
    return _stamp


def look_again() -> bool:
    """Looks at the same place, if something else lies there now; says whether it does."""
    has_changed = _fetched_at is not None and _stamp_of(_fetched_at) != _stamp
    if has_changed and _fetched_at is not None:
        look_at(_fetched_at)
    return has_changed


def _stamp_of(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


@cache
def catalogue() -> Catalogue:
    """The newest price list that there is; imports it at the first call."""
    import genai_prices
    from genai_prices import data

    installed = datetime.fromtimestamp(Path(data.__file__).stat().st_mtime, UTC).date()
    found = _fetched()
    if found is not None and found.gathered_on >= installed:
        source = f"genai-prices of {found.gathered_on}"
        return Catalogue(found.providers, source, installed, found.gathered_on)
    return Catalogue(data.providers, f"genai-prices {genai_prices.__version__}", installed)


def _fetched() -> fetched_prices.Fetched | None:
    if _fetched_at is None:
        return None
    try:
        return fetched_prices.kept(_fetched_at)
    except (fetched_prices.BadList, OSError) as error:
        logger.error("the price list %s is left out: %s", _fetched_at, error)
        return None


def _tier(service_tier: str | None) -> str | None:
    plain = (service_tier or "").strip().lower().removeprefix("service_tier_")
    return None if plain in _STANDARD_TIERS else plain


def _context(tier: str) -> dict[str, str]:
    """What a tier is called in the list, which knows batches and speed apart from tiers."""
    if tier == "batch":
        return {"processing": "batch"}
    return {"service_tier": tier} | ({"speed": "fast"} if tier == "fast" else {})


def _epoch(info: "ModelInfo", tier: str | None, own: bool, at: datetime, source: str) -> Epoch:
    context = _context(tier) if tier and own else {}
    variants = [
        each
        for each in info.price_variants or ()
        if context and all(context.get(key) == value for key, value in each.when.items())
    ]
    conditions = info.prices if isinstance(info.prices, list) else []
    constraints = [c.constraint for c in conditions] + [v.constraint for v in variants]
    edges = {edge for each in constraints for edge in _edges(each, at)}
    since = max((each for each in edges if each <= at), default=EARLIEST)
    until = min((each for each in edges if each > at), default=LATEST)
    varied = any(each.constraint is None or each.constraint.active(at) for each in variants)
    if tier and not varied and tier not in _DISCOUNT_TIERS:
        return Epoch(since, until, None)
    rows = _rows(
        info.get_prices(at, context if varied else None),
        source,
        None if since == EARLIEST else since,
        tier if varied else None,
    )
    if not rows:
        return Epoch(since, until, None)
    return Epoch(since, until, rows[0], tuple(reversed(rows[1:])))


def _starts(info: "ModelInfo") -> Iterator[date]:
    for each in (
        *(info.prices if isinstance(info.prices, list) else ()),
        *(info.price_variants or ()),
    ):
        if (start := getattr(each.constraint, "start_date", None)) is not None:
            yield start


def _edges(constraint: object, at: datetime) -> Iterator[datetime]:
    """When a condition begins or ceases to hold: once, or each day around `at`."""
    start = getattr(constraint, "start_date", None)
    if start is not None:
        yield datetime.combine(start, time(), UTC)
    for edge in (getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)):
        if edge is not None:
            for days in (-1, 0, 1):
                try:
                    moment = datetime.combine(at.date() + timedelta(days), edge)
                except OverflowError:
                    continue
                yield utc(moment if edge.tzinfo else moment.replace(tzinfo=UTC))


def _rows(
    prices: "ModelPrice", source: str, effective_from: datetime | None, tier: str | None
) -> list[UnitPrices]:
    """One row a size of the prompt, the smallest first; none where no tokens are priced."""
    kinds = [getattr(prices, kind) for kind in (*_KINDS, _REQUESTS)]
    if kinds[0] is None and kinds[1] is None:
        return []
    starts = {tier.start for kind in kinds for tier in getattr(kind, "tiers", ())}
    rows = []
    for above in (None, *sorted(starts)):
        exact = [_at_size(kind, above) for kind in kinds]
        if exact[4] is not None:
            exact[4] *= 1_000  # the list says it per thousand calls
        scale = lcm(*(each.denominator for each in exact if each is not None))
        whole = [None if each is None else int(each * scale) for each in exact]
        rows.append(
            UnitPrices(
                source=source,
                input_nanousd=whole[0],
                output_nanousd=whole[1],
                cache_read_nanousd=whole[2],
                cache_write_nanousd=whole[3],
                request_nanousd=whole[4] or 0,
                per_tokens=_MILLION * scale,
                effective_from=effective_from,
                above_input_tokens=above or 0,
                service_tier=tier,
            )
        )
    return rows


def _at_size(price: "Decimal | TieredPrices | None", above: int | None) -> Fraction | None:
    """Nano-dollars per unit of the list for prompts just over `above` tokens; None is the base."""
    if price is None:
        return None
    if isinstance(price, Decimal):
        return Fraction(price) * _NANO_PER_USD
    passed = [tier.price for tier in price.tiers if above is not None and tier.start <= above]
    return Fraction(passed[-1] if passed else price.base) * _NANO_PER_USD
