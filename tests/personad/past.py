"""A past to ask about, and what the answers are by plain arithmetic over its events."""

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from personad import tidy
from personad.contract import batch as b
from personad.contract.asking import Filter
from personad.contract.base import Event
from personad.contract.cost import CostRecorded
from personad.contract.quality import QualityScored
from personad.projections.book import Book

from .conftest import Core
from .facts import NOON, cost, fresh_id, happened, queued, started

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/New_York",
)
FIRST = datetime(2026, 9, 25, tzinfo=UTC)
"""From here to `NOON` the clocks of Lord Howe, Berlin and New York change."""
MODELS = (("anthropic", "sonnet"), ("anthropic", "haiku"), ("openai", "gpt"), ("azure", "gpt"))
EXPERIMENTS = (None, "tone", "length", "order")
METRICS = ("coherence", "faithfulness")
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def lived(core: Core, home: str, events: Iterable[Event]) -> None:
    """Has a ledger of that zone take events in, some of them before its days were added up."""
    tidy.rezone(core.db, ZoneInfo(home))
    core.book = Book(core.db, ZoneInfo(home))
    found = list(events)
    core.append(*found[: len(found) // 2])
    tidy.all_at_once(core.book)
    core.append(*found[len(found) // 2 :])


def a_past(count: int = 300, seed: int = 1) -> list[Event]:
    """Batches with their calls, personas and scores, in no order."""
    rng = random.Random(seed)
    span_s = int((NOON - FIRST).total_seconds())
    batches = [f"batch-{n}" for n in range(8)]
    of_batch = {batch: rng.choice(EXPERIMENTS) for batch in batches}
    events: list[Event] = [
        started(batch, 1_000, at=FIRST, experiment=experiment)
        for batch, experiment in of_batch.items()
    ]
    for n in range(count):
        batch = rng.choice(batches)
        provider, model = rng.choice(MODELS)
        # Often on the edge of a quarter-hour, from which all others are made.
        at = FIRST + timedelta(
            seconds=rng.choice((rng.randrange(span_s), rng.randrange(span_s // 900) * 900))
        )
        common: dict[str, Any] = {
            "at": at,
            "provider": provider,
            "model": model,
            "experiment": of_batch[batch],
        }
        events.append(_call(rng, n, common | {"batch": rng.choice((batch, batch, None))}))
        common |= {"batch": batch}
        events.append(queued(f"p{n}", n + 1, batch))
        events.append(happened(b.PersonaGenerating, batch, f"p{n}", at=FIRST))
        events.append(_end(rng, f"p{n}", common))
        events.append(_scored(rng, f"p{n}", common))
    return events


def _call(rng: random.Random, n: int, common: dict[str, Any]) -> CostRecorded:
    outcome = rng.choice(("ok", "ok", "ok", "error", "unknown"))
    nanousd = rng.randrange(10**9)
    if outcome != "unknown" and rng.random() < 0.1:
        nanousd, common = None, common | {"model": "nobody-knows-its-price"}  # type: ignore[assignment]
    return cost(
        f"call-{n}",
        nanousd,
        operation=rng.choice(("generation", "validation")),
        outcome=outcome,
        estimated=rng.random() < 0.2,
        duration_ms=int(rng.lognormvariate(8, 1)) if rng.random() < 0.9 else None,
        ttft_ms=int(rng.lognormvariate(5, 1)) if rng.random() < 0.5 else None,
        **{kind: rng.randrange(10_000) for kind in TOKENS},
        **common,
    )


def _end(rng: random.Random, persona: str, common: dict[str, Any]) -> Event:
    kind = rng.choice((b.PersonaCompleted, b.PersonaCompleted, b.PersonaFailed))
    return happened(kind, persona=persona, accepted=rng.random() < 0.7, **common)  # type: ignore[no-any-return]


def _scored(rng: random.Random, persona: str, common: dict[str, Any]) -> QualityScored:
    return QualityScored(
        id=fresh_id(),
        persona=persona,
        scores={metric: round(1 - 0.6 * rng.random() ** 2, 4) for metric in METRICS},
        composite=round(rng.random(), 4),
        scorer=rng.choice(("builtin/1", "builtin/2")),
        **common,
    )


def kept(events: Iterable[Any], asked: Filter) -> list[Any]:
    """Those that a filter leaves in."""
    lists = {
        "provider": asked.providers,
        "model": asked.models,
        "experiment": asked.experiments,
        "batch": asked.batches,
    }
    return [
        event
        for event in events
        if all(not some or getattr(event, name) in some for name, some in lists.items())
    ]


def between(events: Iterable[Any], zone: str, first: date, last: date) -> list[Any]:
    """Those of these days, both included."""
    return [event for event in events if first <= day_of(event, zone) <= last]


def day_of(event: Any, zone: str) -> date:
    at: datetime = event.at
    return at.astimezone(ZoneInfo(zone)).date()


def label(interval: str, zone: str) -> Callable[[Any], str]:
    """The start of an event's hour, day, week or month, as a reply says it."""

    def found(event: Any) -> str:
        local = event.at.astimezone(ZoneInfo(zone))
        day = local.date()
        match interval:
            case "hour":
                into = timedelta(
                    minutes=local.minute, seconds=local.second, microseconds=local.microsecond
                )
                return f"{event.at.astimezone(UTC) - into:%FT%TZ}"
            case "week":
                day -= timedelta(days=day.weekday())
            case "month":
                day = day.replace(day=1)
        return day.isoformat()

    return found


def spent(events: Iterable[Any]) -> dict[str, int]:
    """What a reply says of calls and personas."""
    events = list(events)
    calls = [event for event in events if isinstance(event, CostRecorded)]
    made = [event for event in events if isinstance(event, b.PersonaCompleted)]
    return {
        "cost_nanousd": sum(call.cost_nanousd or 0 for call in calls),
        "calls": len(calls),
        "failed_calls": sum(call.outcome == "error" for call in calls),
        "unpriced_calls": sum(call.cost_nanousd is None for call in calls),
        "personas": len(made),
        "accepted": sum(each.accepted for each in made),
        **{kind: sum(getattr(call, kind) for call in calls) for kind in TOKENS},
    }


def days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)
