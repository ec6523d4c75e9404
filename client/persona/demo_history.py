"""Half a year of believable history: what a small team's persona generation leaves in a ledger.

Few batches on weekends, growth, three models of which one changes its price twice, an incident of
four days with failed calls and lower scores, calls without a price and without an answer. The same
seed and day give the same history.
"""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

from persona.identity import persona_id
from personad.contract import batch as b
from personad.contract.base import ErrorInfo, derived_id
from personad.contract.budget import AlertConfigured, BudgetSet, Prices, PriceSet
from personad.contract.cost import CostRecorded
from personad.contract.events import AnyEvent
from personad.contract.quality import GoalSet, QualityScored

DAYS = 180
ACCEPT = 0.75
INCIDENT = range(118, 122)
"""Days from the first one on which a provider fails a good deal of its calls."""
_WORKDAYS = (1.0, 1.1, 1.2, 1.0, 0.8, 0.15, 0.1)
_EXPERIMENTS = ("onboarding", "pricing-page", "tone", None)
_NAMES = ("Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farah", "Goran", "Hana", "Ines", "Jonas")
_SCORER = "builtin/2"
_METRICS = {
    "coherence": (0.25, 0.05),
    "faithfulness": (0.30, -0.05),
    "completeness": (0.20, 0.08),
    "distinctiveness": (0.15, -0.04),
    "authenticity": (0.10, -0.06),
}
"""Each one's weight, and how far it lies from a model's quality."""


class Model(Struct, frozen=True):
    """How a model behaves."""

    provider: str
    model: str
    share: float
    """Of the batches."""
    output_tokens: int
    seconds: float
    quality: float
    most_nanousd: int | None
    """That one call may cost; None: nobody knows."""


MODELS = (
    Model("anthropic", "claude-sonnet-4-5", 0.35, 1_500, 24.0, 0.84, 58_500_000),
    Model("openai", "gpt-4o-mini", 0.45, 1_100, 11.0, 0.79, 3_000_000),
    Model("house", "qwen-72b", 0.17, 1_300, 31.0, 0.77, 2_640_000),
    Model("openai", "ft-personas", 0.03, 1_200, 12.0, 0.80, None),
)
_PRICES = ((0, 900), (70, 650), (140, 480))
"""Of the house's own model: from which day on, and millionths of a dollar per thousand tokens."""


def history(today: date, now: datetime, seed: int) -> Iterator[list[AnyEvent]]:
    """Its events, a list a day, the oldest first; none later than `now`."""
    chance = random.Random(f"{seed}/{today}")
    first = today - timedelta(days=DAYS - 1)
    yield _settings(first)
    for day in range(DAYS):
        events: list[AnyEvent] = []
        begin = datetime.combine(first + timedelta(days=day), time(8), UTC)
        growth = 1 + day / DAYS
        busy = _WORKDAYS[begin.weekday()] * growth * 2
        for number in range(int(busy) + (chance.random() < busy % 1)):
            at = begin + timedelta(minutes=chance.randrange(600))
            events += _batch(day, number, at, chance)
        yield [event for event in events if event.at <= now]


def _settings(first: date) -> list[AnyEvent]:
    """The house's prices, a budget, alerts and a goal."""
    begin = datetime.combine(first, time(), UTC)
    events: list[AnyEvent] = [
        PriceSet(
            id=derived_id("demo", "price", day),
            at=begin + timedelta(days=day),
            provider="house",
            model="qwen-72b",
            prices=Prices(input_nanousd=micro * 250_000, output_nanousd=micro * 1_000_000),
            effective_from=begin + timedelta(days=day),
        )
        for day, micro in _PRICES
    ]
    events.append(
        BudgetSet(
            id=derived_id("demo", "budget"),
            at=begin,
            scope="monthly",
            limit_nanousd=12 * 10**9,
            action="warn",
            thresholds=[50, 80, 100],
            timezone="UTC",
        )
    )
    alerts = derived_id("demo", "alerts")
    events.append(AlertConfigured(id=alerts, at=begin, kind="quality", enabled=True))
    goal = derived_id("demo", "goal")
    events.append(GoalSet(id=goal, at=begin, metric="composite", target=0.85))
    return events


def _batch(day: int, number: int, at: datetime, chance: random.Random) -> list[AnyEvent]:
    (model,) = chance.choices(MODELS, [each.share for each in MODELS])
    batch = f"batch-{at:%Y-%m-%d}-{chance.getrandbits(24):06x}"
    experiment = chance.choice(_EXPERIMENTS)
    total = chance.randrange(4, 13)
    started = b.BatchStarted(
        id=derived_id("demo", batch),
        at=at,
        batch=batch,
        source=b.Source(
            path="/demo/interviews", digest="sha256:demo", files=20, bytes=1, records=1
        ),
        total=total,
        provider=model.provider,
        model=model.model,
        concurrency=4,
        output=f"/demo/outputs/{batch}",
        prompt_digest="sha256:demo",
        experiment=experiment,
    )
    events: list[AnyEvent] = [started]
    failed, end = 0, at
    for index in range(1, total + 1):
        segment = b.SegmentRef(digest=f"sha256:{index}", record_ids=[])
        who = persona_id(batch, index)
        events.append(
            b.PersonaQueued(
                id=derived_id("demo", who),
                at=at,
                batch=batch,
                persona=who,
                index=index,
                segment=segment,
            )
        )
    for index in range(1, total + 1):
        begun = at + timedelta(seconds=(index - 1) // 4 * model.seconds)
        some, is_made, end = _persona(day, started, index, begun, model, chance)
        events += some
        failed += not is_made
    status: b.Ended = "completed" if not failed else "failed" if failed == total else "partial"
    ended = b.BatchFinished(id=derived_id("demo", batch, "end"), at=end, batch=batch, status=status)
    return [*events, ended]


def _persona(
    day: int,
    started: b.BatchStarted,
    index: int,
    at: datetime,
    model: Model,
    chance: random.Random,
) -> tuple[list[AnyEvent], bool, datetime]:
    """What became of one, whether it was made, and when that was over."""
    batch, experiment = started.batch, started.experiment
    who = persona_id(batch, index)
    common = {"batch": batch, "persona": who}
    duration_ms = round(model.seconds * 1_000 * chance.lognormvariate(0, 0.3))
    end = at + timedelta(milliseconds=duration_ms)
    is_bad_day = day in INCIDENT and model.provider == "anthropic"
    is_lost = chance.random() < 0.002
    fails = chance.random() < (0.4 if is_bad_day else 0.01)
    events: list[AnyEvent] = [
        b.PersonaGenerating(id=derived_id("demo", who, "begun"), at=at, attempt=1, **common),
        CostRecorded(
            id=derived_id("demo", who, "cost"),
            at=end,
            call=f"call-{who}",
            provider=model.provider,
            model=model.model,
            operation="generation",
            outcome="unknown" if is_lost else "error" if fails else "ok",
            error_kind="server_error" if fails else None,
            batch=batch,
            persona=who,
            experiment=experiment,
            input_tokens=0 if fails or is_lost else chance.randrange(3_000, 7_000),
            output_tokens=0
            if fails or is_lost
            else round(model.output_tokens * chance.lognormvariate(0, 0.2)),
            # What a call without an answer may have cost is held until somebody settles it.
            cost_nanousd=model.most_nanousd if is_lost else None,
            duration_ms=duration_ms,
            ttft_ms=duration_ms // 12,
        ),
    ]
    if fails or is_lost:
        error = ErrorInfo(kind="server_error", message="503: overloaded")
        events.append(
            b.PersonaFailed(
                id=derived_id("demo", who, "failed"),
                at=end,
                provider=model.provider,
                model=model.model,
                experiment=experiment,
                attempts=1,
                error=error,
                **common,
            )
        )
        return events, False, end
    level = chance.gauss(model.quality + day / DAYS * 0.04 - 0.15 * is_bad_day, 0.05)
    scores = {
        name: round(min(1.0, max(0.0, chance.gauss(level + shift, 0.05))), 4)
        for name, (_, shift) in _METRICS.items()
    }
    composite = round(sum(weight * scores[name] for name, (weight, _) in _METRICS.items()), 4)
    events += [
        QualityScored(
            id=derived_id("demo", who, "scored"),
            at=end,
            persona=who,
            batch=batch,
            experiment=experiment,
            provider=model.provider,
            model=model.model,
            scores=scores,
            composite=composite,
            scorer=_SCORER,
        ),
        b.PersonaCompleted(
            id=derived_id("demo", who, "made"),
            at=end,
            attempt=1,
            provider=model.provider,
            model=model.model,
            experiment=experiment,
            name=chance.choice(_NAMES),
            duration_ms=duration_ms,
            digest="sha256:demo",
            composite=composite,
            accepted=composite >= ACCEPT,
            **common,
        ),
    ]
    return events, True, end
