"""A hundred thousand events as a producer writes them: JSON lines, made by plain Python.

Nothing of ours is imported here or in `arithmetic.py`: what both find is what the events say.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
FIRST, LAST = date(2025, 3, 3), date(2025, 11, 9)
"""A Monday and a Sunday: Berlin, New York and Lord Howe put their clocks forth and back between."""
CHANGES = (
    date(2025, 3, 9),
    date(2025, 3, 30),
    date(2025, 4, 6),
    date(2025, 10, 5),
    date(2025, 10, 26),
    date(2025, 11, 2),
)
DAYS = (LAST - FIRST).days + 1

PRICES = {
    ("acme", "big"): (
        ("2025-01-01T00:00:00Z", {"input": 3_000_000_001, "output": 15_000_000_003}),
        (
            "2025-07-15T12:00:00Z",
            {"input": 2_500_000_007, "output": 12_500_000_009, "cache_read": 250_000_001},
        ),
    ),
    ("beta", "small"): (
        (
            "2025-01-01T00:00:00Z",
            {"input": 999, "output": 4_001, "cache_read": 101, "cache_write": 1_251},
        ),
    ),
}
"""Nano-dollars per million tokens, from when."""
MODELS = (("acme", "big"), ("beta", "small"), ("gamma", "nobody-knows-its-price"), ("local", "own"))
OWN_COST = ("delta", "billed")
"""Of a producer that says what it paid."""
EXPERIMENTS = (None, "tone", "length", "order")
METRICS = ("coherence", "faithfulness")
BATCHES, PERSONAS, CALLS = 30, 100, 83_000

Fact = dict[str, Any]


def events() -> list[Fact]:
    """All of them, in the order in which they are sent; some twice."""
    rng = random.Random(2025)
    found = [*_prices(rng), *_batches(rng)]
    calls = [_call(rng, f"call-{n}") for n in range(CALLS)]
    # A producer that asked again, or whose usage grew; and one that sent the same twice.
    calls += [_call(rng, rng.choice(calls)["call"]) for _ in range(2_000)]
    calls += rng.sample(calls, 500)
    rng.shuffle(calls)
    return found + calls


def lines(facts: list[Fact]) -> str:
    return "".join(json.dumps(each) + "\n" for each in facts)


def _id(rng: random.Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def _moment(rng: random.Random) -> str:
    """Often on a day when clocks change, or at the first or last instant of a quarter-hour."""
    if rng.random() < 0.3:
        near = datetime.combine(rng.choice(CHANGES), datetime.min.time(), UTC)
        at = near + timedelta(seconds=rng.randrange(-86_400, 2 * 86_400))
    else:
        begin = datetime.combine(FIRST, datetime.min.time(), UTC)
        at = begin + timedelta(seconds=rng.randrange(-86_400, (DAYS + 1) * 86_400))
    if rng.random() < 0.3:
        at -= timedelta(seconds=at.timestamp() % 900)
        at -= timedelta(microseconds=rng.choice((0, 0, 1)))
    else:
        at += timedelta(microseconds=rng.randrange(1_000_000))
    # A producer writes its own zone's time.
    return at.astimezone(ZoneInfo(rng.choice(ZONES))).isoformat()


def _prices(rng: random.Random) -> Iterator[Fact]:
    for (provider, model), known in PRICES.items():
        for since, prices in known:
            yield {
                "type": "price.set",
                "id": _id(rng),
                "at": "2025-01-01T00:00:00Z",
                "provider": provider,
                "model": model,
                "prices": {f"{kind}_nanousd": price for kind, price in prices.items()},
                "effective_from": since,
            }


def _call(rng: random.Random, call: str, **named: Any) -> Fact:
    provider, model = rng.choice((*MODELS, OWN_COST))
    outcome = rng.choices(("ok", "error", "unknown"), (95, 4, 1))[0]
    fact = {
        "type": "cost.recorded",
        "id": _id(rng),
        "at": _moment(rng),
        "call": call,
        "provider": provider,
        "model": model,
        "operation": rng.choice(("generation", "validation", "naming")),
        "outcome": outcome,
        "experiment": rng.choice(EXPERIMENTS),
        "estimated": rng.random() < 0.1,
        "input_tokens": rng.randrange(5_000),
        "output_tokens": rng.randrange(1_000),
        "cache_read_tokens": rng.choice((0, 0, rng.randrange(3_000))),
        "cache_write_tokens": rng.choice((0, 0, 0, rng.randrange(3_000))),
    } | named
    if (provider, model) == OWN_COST or outcome == "unknown":
        fact["cost_nanousd"] = rng.choice((1, rng.randrange(10**9), rng.randrange(10**7)))
    return fact


def _batches(rng: random.Random) -> Iterator[Fact]:
    for number in range(BATCHES):
        batch, experiment = f"batch-{number:02}", rng.choice(EXPERIMENTS)
        provider, model = rng.choice(MODELS)
        of_batch = {"batch": batch, "experiment": experiment}
        begun = _moment(rng)
        yield {
            "type": "batch.started",
            "id": _id(rng),
            "at": begun,
            "source": {"path": "/d", "digest": "sha256:0", "files": 1, "bytes": 9, "records": 9},
            "total": PERSONAS,
            "provider": provider,
            "model": model,
            "concurrency": 4,
            "output": "/out",
            "prompt_digest": "sha256:1",
        } | of_batch
        for index in range(1, PERSONAS + 1):
            persona = f"persona-{number:02}-{index:03}"
            who = {"batch": batch, "persona": persona}
            segment = {"digest": "sha256:2", "record_ids": ["a"]}
            yield (
                {"type": "persona.queued", "id": _id(rng), "at": begun, "index": index}
                | who
                | {"segment": segment}
            )
            yield {"type": "persona.generating", "id": _id(rng), "at": begun, "attempt": 1} | who
            yield _call(rng, f"batched-{number}-{index}", **of_batch, persona=persona)
            at, made = _moment(rng), of_batch | {"persona": persona}
            made |= {"provider": provider, "model": model}
            scores = {metric: round(1 - 0.6 * rng.random() ** 2, 4) for metric in METRICS}
            composite = round(rng.random(), 4)
            yield {
                "type": "persona.completed",
                "id": _id(rng),
                "at": at,
                "attempt": 1,
                "name": "Anna",
                "duration_ms": 1_000,
                "digest": "sha256:3",
                "composite": composite,
                "accepted": composite >= 0.75,
            } | made
            yield {
                "type": "quality.scored",
                "id": _id(rng),
                "at": at,
                "scores": scores,
                "composite": composite,
                # Figures of two scorers are never mixed.
                "scorer": "builtin/2" if experiment == "order" else "builtin/1",
            } | made
        yield {"type": "batch.finished", "id": _id(rng), "at": begun, "status": "completed"} | {
            "batch": batch
        }
