"""Usage at a moment → nano-dollars, and the receipt that says how.

Prices are found once per provider, model, service tier and stretch of time; from there on a call is
integer arithmetic: exact, and rounded once, half to even. The user's own prices come first, then
what is free, then the public price list, which is loaded when it is first needed. A model without a
known price is unpriced (None), never free.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

import msgspec
from msgspec import Struct

from personad import price_data
from personad.contract.base import NanoUsd
from personad.contract.budget import Prices, PriceSet
from personad.contract.cost import CostRecorded
from personad.price_data import EARLIEST, LATEST, Epoch, UnitPrices

FREE_PROVIDERS = frozenset({"local", "simulated", "ollama"})

_FREE = UnitPrices(source="free", input_nanousd=0, output_nanousd=0)
_DATED = re.compile(r"[-@]20\d\d(-?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])$")

_MILLION = 1_000_000
_EPOCHS_OF_ONE = 64
_KEYS = 4_096
"""Bounds of the cache: models' names come from outside, and some prices change with the hour."""


class Tokens(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one call used. `input` was neither read from a cache nor written to one."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


class Receipt(Struct, frozen=True, gc=False):
    """All that a call's cost follows from, for ever: `cost_of(tokens, prices)`."""

    prices: UnitPrices
    tokens: Tokens


def flat(receipt: Receipt) -> dict[str, int | str | None]:
    """The receipt as one JSON object of plain values, as the ledger stores and exports it."""
    prices: dict[str, int | str | None] = msgspec.to_builtins(receipt.prices)
    tokens: dict[str, int] = msgspec.to_builtins(receipt.tokens)
    return prices | {f"{kind}_tokens": count for kind, count in tokens.items()}


def from_flat(stored: Mapping[str, object]) -> Receipt:
    """What `flat` made; raises `msgspec.ValidationError` where it is something else."""
    kinds = {f"{kind}_tokens": kind for kind in Tokens.__struct_fields__}
    tokens = {kinds[key]: value for key, value in stored.items() if key in kinds}
    prices = {key: value for key, value in stored.items() if key not in kinds}
    return Receipt(msgspec.convert(prices, UnitPrices), msgspec.convert(tokens, Tokens))


class Part(NamedTuple):
    """A line of the bill."""

    kind: str
    """`input`, `output`, `cache_read`, `cache_write` or `request`."""
    amount: int
    """Of tokens, or the one call."""
    price_nanousd: int
    """Per `per_tokens`."""
    per_tokens: int
    cost_nanousd: int


class OwnPrice(NamedTuple):
    """A `price.set` with its place in the ledger."""

    seq: int
    event: PriceSet


def cost_of(tokens: Tokens, prices: UnitPrices) -> int | None:
    """Nano-dollars, exact and rounded once, half to even; None where a kind used has no price."""
    return _cost(tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, prices)


def _cost(plain: int, output: int, read: int, write: int, prices: UnitPrices) -> int | None:
    exact = prices.request_nanousd
    if output:
        if (price := prices.output_nanousd) is None:
            return None
        exact += output * price
    if read and (price := prices.cache_read_nanousd) is not None:
        exact += read * price
        read = 0
    if write and (price := prices.cache_write_nanousd) is not None:
        exact += write * price
        write = 0
    if plain := plain + read + write:
        if (price := prices.input_nanousd) is None:
            return None
        exact += plain * price
    per = prices.per_tokens
    cost, rest = divmod(exact, per)
    rest += rest
    return cost + 1 if rest > per or (rest == per and cost & 1) else cost


def parts_of(receipt: Receipt) -> list[Part]:
    """The lines of a bill; they add up to its cost exactly.

    What rounding the sum leaves over goes to the lines with the greatest fractions, so a line is
    within one nano-dollar of its own exact cost. Empty where the usage has no price.
    """
    tokens, prices = receipt.tokens, receipt.prices
    cost = cost_of(tokens, prices)
    if cost is None:
        return []
    per, plain = prices.per_tokens, prices.input_nanousd
    read, write = prices.cache_read_nanousd, prices.cache_write_nanousd
    billed = [
        ("input", tokens.input, plain),
        ("output", tokens.output, prices.output_nanousd),
        ("cache_read", tokens.cache_read, plain if read is None else read),
        ("cache_write", tokens.cache_write, plain if write is None else write),
        ("request", 1 if prices.request_nanousd else 0, prices.request_nanousd),
    ]
    lines = [(kind, count, price or 0) for kind, count, price in billed if count]
    over = cost - sum(count * price // per for _, count, price in lines)
    largest = sorted(
        range(len(lines)), key=lambda each: (-(lines[each][1] * lines[each][2] % per), each)
    )[:over]
    return [
        Part(kind, count, price, per, count * price // per + (index in largest))
        for index, (kind, count, price) in enumerate(lines)
    ]


def per_million(price_nanousd: int, per_tokens: int) -> int:
    """A price in nano-dollars per million tokens, rounded half to even by integers alone."""
    return round(Fraction(price_nanousd * _MILLION, per_tokens))


def tokens_of(call: CostRecorded) -> Tokens:
    return Tokens(
        input=call.input_tokens,
        output=call.output_tokens,
        cache_read=call.cache_read_tokens,
        cache_write=call.cache_write_tokens,
    )


class PriceBook:
    """Every price that is known: the user's own over the public list.

    Holds no lock: what it caches is replaced whole, so threads may share it.
    """

    def __init__(self, own: Iterable[OwnPrice] = ()) -> None:
        """`own` in any order: of equal effective dates the greatest seq counts."""
        self._own: dict[tuple[str, str], list[OwnPrice]] = {}
        for each in own:
            provider, model = price_data.provider_id(each.event.provider), _bare(each.event.model)
            self._own.setdefault((provider, model), []).append(each)
        self._epochs: dict[tuple[str, str, str | None], tuple[Epoch, ...]] = {}

    def resolve(
        self,
        provider: str,
        model: str,
        at: datetime,
        service_tier: str | None = None,
        input_tokens: int = 0,
    ) -> UnitPrices | None:
        """What a call at `at` costs a token, with a prompt of so many, cached ones included.

        None: no price is known. A user's own price holds for every service tier.
        """
        return self.epoch(provider, model, at, service_tier).for_prompt(input_tokens)

    def price(
        self,
        provider: str,
        model: str,
        tokens: Tokens,
        at: datetime,
        service_tier: str | None = None,
    ) -> tuple[NanoUsd, Receipt] | None:
        """The cost in nano-dollars and its receipt; None where no price is known."""
        epoch = self.epoch(provider, model, at, service_tier)
        prices = epoch.base
        if epoch.tiers:
            prices = epoch.for_prompt(tokens.input + tokens.cache_read + tokens.cache_write)
        if prices is None:
            return None
        cost = cost_of(tokens, prices)
        return None if cost is None else (cost, Receipt(prices, tokens))

    def price_call(self, call: CostRecorded) -> tuple[NanoUsd, Receipt] | None:
        """`price` of a recorded call, whatever cost it states itself."""
        return self.price(call.provider, call.model, tokens_of(call), call.at, call.service_tier)

    def bill(self, call: CostRecorded) -> tuple[NanoUsd, UnitPrices] | None:
        """The same, and of the receipt only the prices: every call without a cost goes through."""
        known = self._epochs.get((call.provider, call.model, call.service_tier))
        # Nearly always it is the one that the call before was of.
        if known and known[0].since <= call.at < known[0].until:
            epoch = known[0]
        else:
            epoch = self.epoch(call.provider, call.model, call.at, call.service_tier)
        prices = epoch.base
        plain, read, write = call.input_tokens, call.cache_read_tokens, call.cache_write_tokens
        if epoch.tiers:
            prices = epoch.for_prompt(plain + read + write)
        if prices is None:
            return None
        cost = _cost(plain, call.output_tokens, read, write, prices)
        return None if cost is None else (cost, prices)

    def ceiling(
        self,
        provider: str,
        model: str,
        most: Tokens,
        at: datetime,
        service_tier: str | None = None,
        lasting: timedelta = timedelta(hours=1),
    ) -> NanoUsd | None:
        """The most that a call from `at` on can cost whose tokens don't exceed `most`.

        The prompt may turn out read from a cache or written to it, of a size of another price, and
        billed up to `lasting` later. None where any of these prices isn't known.
        """
        prompt = most.input + most.cache_read + most.cache_write
        moment = price_data.utc(at)
        end = LATEST if moment > LATEST - lasting else moment + lasting
        dearest = 0
        while True:
            epoch = self.epoch(provider, model, moment, service_tier)
            costs = [
                _ceiling(row, prompt, most.output)
                for row in epoch.rows()
                if not row.above_input_tokens or row.above_input_tokens < prompt
            ]
            if not costs or None in costs:
                return None
            dearest = max(dearest, *(each for each in costs if each is not None))
            if epoch.until >= end:
                return dearest
            moment = epoch.until

    def data_age_days(self, now: datetime) -> int:
        """How old the public price list is; over `STALE_AFTER_DAYS` is worth a warning."""
        return price_data.catalogue().age_days(now)

    def epoch(
        self, provider: str, model: str, at: datetime, service_tier: str | None = None
    ) -> Epoch:
        """The prices at `at`, all sizes of prompts, and from when until when they hold."""
        key = (provider, model, service_tier)
        known = self._epochs.get(key, ())
        for index, epoch in enumerate(known):
            if epoch.since <= at < epoch.until:
                if index:
                    self._epochs[key] = (epoch, *known[:index], *known[index + 1 :])
                return epoch
        if len(self._epochs) >= _KEYS:
            self._epochs = {}
        epoch = self._find(provider, model, service_tier, price_data.utc(at))
        self._epochs[key] = (epoch, *known[: _EPOCHS_OF_ONE - 1])
        return epoch

    def _find(self, provider: str, model: str, service_tier: str | None, at: datetime) -> Epoch:
        """The user's own price in force, else nothing to pay, else the public one."""
        own = list(self._own_prices(provider, model)) if self._own else []
        edges = [price_data.utc(each.event.effective_from) for _, each in own]
        until = min((each for each in edges if each > at), default=LATEST)
        held = [
            (exact, edge, each.seq, each.event.prices)
            for (exact, each), edge in zip(own, edges, strict=True)
            if edge <= at
        ]
        if held:
            _, effective_from, _, prices = max(held, key=lambda each: each[:3])
            since = max(edge for _, edge, _, _ in held)
            return Epoch(since, until, _own(prices, effective_from))
        if price_data.provider_id(provider) in FREE_PROVIDERS:
            return Epoch(EARLIEST, until, _FREE)
        public = price_data.catalogue().epoch(provider, model, service_tier, at)
        if until < public.until:
            return Epoch(public.since, until, public.base, public.tiers)
        return public

    def _own_prices(self, provider: str, model: str) -> Iterator[tuple[bool, OwnPrice]]:
        """Own prices for a model, and whether they name it exactly rather than without its date."""
        for name, reading in dict.fromkeys(
            (name, _bare(reading)) for name, reading in price_data.readings(provider, model)
        ):
            undated = _DATED.sub("", reading)
            for each in self._own.get((name, reading), ()):
                yield True, each
            if undated != reading:
                for each in self._own.get((name, undated), ()):
                    yield False, each


def _bare(model: str) -> str:
    return model.strip().lower().rpartition("models/")[2]


def _own(prices: Prices, effective_from: datetime) -> UnitPrices:
    return UnitPrices(
        source="price.set",
        input_nanousd=prices.input_nanousd,
        output_nanousd=prices.output_nanousd,
        cache_read_nanousd=prices.cache_read_nanousd,
        cache_write_nanousd=prices.cache_write_nanousd,
        effective_from=effective_from,
    )


def _ceiling(row: UnitPrices, prompt: int, output: int) -> int | None:
    """A row's cost with every token of the prompt at its dearest, rounded up."""
    kinds = (row.input_nanousd, row.cache_read_nanousd, row.cache_write_nanousd)
    dearest = max((each for each in kinds if each is not None), default=0)
    if (prompt and row.input_nanousd is None) or (output and row.output_nanousd is None):
        return None
    exact = prompt * dearest + output * (row.output_nanousd or 0) + row.request_nanousd
    return -(-exact // row.per_tokens)
