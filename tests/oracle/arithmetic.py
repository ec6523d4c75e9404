"""What the answers are, by plain arithmetic over the raw events."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from .past import PRICES, Fact

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_SENT = ("input_tokens", "cache_read_tokens", "cache_write_tokens")


def distinct(facts: Iterable[Fact]) -> list[Fact]:
    """Of several events with one id, the first."""
    found: dict[str, Fact] = {}
    for each in facts:
        found.setdefault(each["id"], each)
    return list(found.values())


def calls_of(facts: Iterable[Fact]) -> list[Fact]:
    """What counts for each call, with its price: of several, that of the most tokens."""
    found: dict[str, Fact] = {}
    for each in facts:
        if each["type"] == "cost.recorded":
            known = found.get(each["call"])
            if known is None or _rank(each) > _rank(known):
                found[each["call"]] = each
    calls = [each | {"cost": cost_of(each), "when": when(each)} for each in found.values()]
    return [each | {"sums": of_call(each)} for each in calls]


def personas_of(facts: Iterable[Fact]) -> list[Fact]:
    """Completed ones."""
    made = [each for each in facts if each["type"] == "persona.completed"]
    return [each | {"when": when(each), "sums": of_persona(each)} for each in made]


def scored_of(facts: Iterable[Fact]) -> list[Fact]:
    return [each | {"when": when(each)} for each in facts if each["type"] == "quality.scored"]


def _rank(fact: Fact) -> tuple[int, int, str]:
    return sum(fact[kind] for kind in TOKENS), fact["output_tokens"], fact["id"]


def when(fact: Fact) -> datetime:
    return datetime.fromisoformat(fact["at"]).astimezone(UTC)


def prices_of(fact: Fact) -> dict[str, int] | None:
    """Those of the call's moment."""
    known = PRICES.get((fact["provider"], fact["model"]), ())
    before = [prices for since, prices in known if datetime.fromisoformat(since) <= when(fact)]
    return before[-1] if before else None


def cost_of(fact: Fact) -> int | None:
    """Nano-dollars, rounded once, half to even; None where nobody knows a price."""
    if "cost_nanousd" in fact:
        return int(fact["cost_nanousd"])
    if fact["provider"] == "local":
        return 0
    prices = prices_of(fact)
    if prices is None:
        return None
    exact = Decimal(fact["output_tokens"] * prices["output"])
    for kind in _SENT:
        # A kind without a price of its own is as dear as any input.
        price = prices.get(kind.removesuffix("_tokens"), prices["input"])
        exact += fact[kind] * price
    return int((exact / 1_000_000).quantize(Decimal(1), ROUND_HALF_EVEN))


def local(fact: Fact, zone: str) -> datetime:
    """When it happened, on the clocks of the zone; remembered, as it is asked often."""
    found: datetime | None = fact.get(zone)
    if found is None:
        found = fact[zone] = fact["when"].astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return found


def between(facts: Iterable[Fact], zone: str, first: date, last: date) -> list[Fact]:
    begin, end = (datetime.combine(each, time()) for each in (first, last + timedelta(days=1)))
    return [each for each in facts if begin <= local(each, zone) < end]


def kept(facts: Iterable[Fact], **named: Sequence[str]) -> list[Fact]:
    return [
        each for each in facts if all(each.get(name) in values for name, values in named.items())
    ]


def label(by: str, zone: str) -> Callable[[Fact], str | None]:
    """What an event is counted under."""

    def begun(fact: Fact) -> str:
        at = local(fact, zone)
        if by == "hour":
            past = timedelta(minutes=at.minute, seconds=at.second, microseconds=at.microsecond)
            return f"{fact['when'] - past:%FT%TZ}"
        return _first_day(by, at.date())

    return begun if by in ("hour", "day", "week", "month") else lambda fact: fact.get(by)


@cache
def _first_day(by: str, day: date) -> str:
    if by == "week":
        day -= timedelta(days=day.weekday())
    return str(day.replace(day=1) if by == "month" else day)


def grouped(facts: Iterable[Fact], by: Callable[[Fact], Any]) -> dict[Any, list[Fact]]:
    found: dict[Any, list[Fact]] = defaultdict(list)
    for each in facts:
        found[by(each)].append(each)
    return found


SUMS = (
    "cost_usd",
    "calls",
    "failed_calls",
    "unpriced_calls",
    "personas",
    "accepted",
    *TOKENS,
)
"""In the words of `cost history`."""


def spent(facts: Iterable[Fact]) -> dict[str, int]:
    """What calls and completed personas sum to."""
    columns = zip(*(each["sums"] for each in facts), strict=True)
    return dict(zip(SUMS, map(sum, columns), strict=True)) or dict.fromkeys(SUMS, 0)


def of_call(fact: Fact) -> tuple[int, ...]:
    cost, failed = fact["cost"], fact["outcome"] == "error"
    return (cost or 0, 1, failed, cost is None, 0, 0, *(fact[kind] for kind in TOKENS))


def of_persona(fact: Fact) -> tuple[int, ...]:
    return (0, 0, 0, 0, 1, fact["accepted"], 0, 0, 0, 0)


def coverage(calls: Iterable[Fact]) -> dict[str, int]:
    answered = [each for each in calls if each["outcome"] != "unknown"]
    unpriced = [each for each in answered if each["cost"] is None]
    unknown = [each for each in calls if each["outcome"] == "unknown"]
    return {
        "priced_calls": len(answered) - len(unpriced),
        "estimated_calls": sum(each["estimated"] for each in answered),
        "unpriced_calls": len(unpriced),
        "unpriced_tokens": sum(each[kind] for each in unpriced for kind in TOKENS),
        "unknown_calls": len(unknown),
        "unknown_max_usd": sum(each["cost"] for each in unknown),
    }


def shared(amount: int, among: int) -> int | None:
    """To the nearest nano-dollar, halves up."""
    return math.floor(Decimal(amount) / among + Decimal("0.5")) if among else None


def scores_of(facts: Iterable[Fact]) -> dict[tuple[str, str], list[tuple[datetime, float]]]:
    """By metric and scorer."""
    found: dict[tuple[str, str], list[tuple[datetime, float]]] = defaultdict(list)
    for each in facts:
        for metric, score in {**each["scores"], "composite": each["composite"]}.items():
            found[metric, each["scorer"]].append((each["when"], score))
    return found


def mean(values: Sequence[float]) -> float | None:
    return float(sum(map(Decimal, map(str, values))) / len(values)) if values else None


def std(values: Sequence[float]) -> float:
    exact = [Decimal(str(each)) for each in values]
    middle = sum(exact) / len(exact)
    return float((sum((each - middle) ** 2 for each in exact) / (len(exact) - 1)).sqrt())


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share is not above."""
    return sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]


def trend(days: Sequence[tuple[int, list[float]]]) -> float:
    """Theil and Sen's slope from the first to the last of the days, in percent of the level."""
    told = [(place, math.fsum(values) / len(values), len(values)) for place, values in days]
    level = math.fsum(each * n for _, each, n in told) / sum(n for _, _, n in told)
    slopes = sorted(
        ((there - here) / (later - place), math.sqrt(n * m))
        for number, (place, here, n) in enumerate(told)
        for later, there, m in told[number + 1 :]
    )
    half, reached = math.fsum(weight for _, weight in slopes) / 2, 0.0
    for slope, weight in slopes:
        reached += weight
        if reached >= half:
            return 100 * slope * (told[-1][0] - told[0][0]) / level
    raise AssertionError("half of a weight is always reached")
