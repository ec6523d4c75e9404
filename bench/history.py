"""A believable history of any size, made up: the same for the same seed, in the order of time.

Everything that a studio's ledger holds: batches of personas from several providers and models, the
calls that each persona took (some failed and were repeated), its scores and its end. A stream, made
at a pace that a ledger can't take in: structs are built as they are, without validation.
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, count, islice
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from persona.identity import new_id, persona_id

from personad.contract.base import ErrorInfo
from personad.contract.batch import (
    BatchFinished,
    BatchStarted,
    PersonaCompleted,
    PersonaFailed,
    PersonaGenerating,
    PersonaQueued,
    PersonaRetrying,
    PersonaValidating,
    SegmentRef,
    Source,
)
from personad.contract.cost import CostRecorded
from personad.contract.events import AnyEvent
from personad.contract.quality import QualityScored

from .paid_models import MODELS, Model

OPERATIONS = ("generation", "validation", "scoring")
METRICS = ("completeness", "faithfulness", "coherence", "distinctiveness", "authenticity")
_EXPERIMENTS = (None, "onboarding", "pricing-page", "checkout", "search", "night-buses")
_SIZES = (5, 10, 20, 40, 50, 50, 80, 120)
_NAMES = ("Margaret Oyelaran", "Tomás Quiroga", "Aiko Brandt", "Wei Lindqvist", "Sofía Nagy")
_ERRORS = ("timeout", "rate_limited", "overloaded")
_CALL_FAILS, _SECOND_CALL, _PERSONA_FAILS = 0.03, 0.25, 0.005
_EVENTS_A_PERSONA = 6.4
"""About; how many personas make how many events."""
_CONCURRENCY = 4
_OPEN_S = 13 * 3_600
"""Of each day, the last hours but one: when people work."""
_REST_S = 3_600
_SECOND_NS = 1_000_000_000
_WRITTEN = timedelta(microseconds=150)
"""What lies between two events that a producer writes one after the other."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Shape(NamedTuple):
    """What is made up."""

    events: int
    days: int
    until: datetime
    """When it ends: nothing is later."""
    seed: int = 1
    experiments: int | None = None
    """Of that many names, each at least once where there are as many batches; else a handful."""
    batches: int | None = None
    """About so many, all of one size; else of all sizes, about fifty personas each."""
    priced: bool = True


def history(shape: Shape) -> Iterator[AnyEvent]:
    """Exactly `shape.events` of them; the last batch may be open."""
    return islice(chain.from_iterable(_batches(shape)), shape.events)


def calls(
    events: int, seed: int, until: datetime, over: timedelta, *, priced: bool = True
) -> Iterator[CostRecorded]:
    """What calls cost: evenly over a stretch of time that ends at `until`.

    Eight batches run at a time, each for as long as a thousand calls take, each on one model.
    """
    rng = random.Random(seed)
    step = over / events
    began = until - over
    studio = f"{seed:02x}{rng.getrandbits(16):04x}"
    for n in range(events):
        number = n // 8_000 * 8 + rng.randrange(8)
        model = MODELS[number % len(MODELS)]
        yield _call(
            rng,
            model,
            began + step * (n + 1),
            _took_ms(rng, model),
            batch=f"batch-{studio}-{number:06x}",
            persona=f"persona-{rng.randrange(100):04x}{number:08x}",
            experiment=_EXPERIMENTS[number % len(_EXPERIMENTS)],
            operation=OPERATIONS[0],
            fails=rng.random() < _CALL_FAILS,
            priced=priced,
        )


def _batches(shape: Shape) -> Iterator[list[AnyEvent]]:
    rng = random.Random(shape.seed)
    done = 0
    for number in count():
        made = _batch(rng, shape, number, _opening(shape, done))
        done += len(made)
        yield made


def _opening(shape: Shape, done: int) -> datetime:
    """When a batch starts before which so many events lie: days are evenly full."""
    day, part = divmod(min(done, shape.events - 1) * shape.days, shape.events)
    into_s = part / shape.events * _OPEN_S
    return (
        shape.until
        - timedelta(days=shape.days - day - 1)
        - timedelta(seconds=_REST_S + _OPEN_S - into_s)
    )


def _batch(rng: random.Random, shape: Shape, number: int, at: datetime) -> list[AnyEvent]:
    """A batch from its start to its end, in the order of time."""
    model = rng.choice(MODELS)
    batch = f"batch-{at:%Y-%m-%d}-{number:06x}"
    if shape.batches is None:
        total = rng.choice(_SIZES)
    else:
        total = max(1, round((shape.events / shape.batches - 2) / _EVENTS_A_PERSONA))
    experiment = (
        rng.choice(_EXPERIMENTS)
        if shape.experiments is None
        else f"experiment-{number % shape.experiments:05}"
    )
    personas = [persona_id(batch, index) for index in range(1, total + 1)]
    steps: list[AnyEvent] = []
    free = [at + timedelta(seconds=1)] * _CONCURRENCY
    making = _Making(rng, batch, model, experiment, shape.priced, steps.append)
    for index, persona in enumerate(personas):
        slot = index % _CONCURRENCY
        free[slot] = making.persona(persona, free[slot], fails=rng.random() < _PERSONA_FAILS)
    # Stable, and of one persona in order already.
    steps.sort(key=attrgetter("at"))
    failed = any(type(each) is PersonaFailed for each in steps)
    ended = max(free) + timedelta(milliseconds=rng.randrange(20, 400))
    return [
        _started(rng, batch, model, experiment, total, at),
        *_queue(rng, batch, personas, at),
        *steps,
        BatchFinished(
            id=_id(rng, ended),
            at=ended,
            batch=batch,
            status="partial" if failed else "completed",
        ),
    ]


def _started(
    rng: random.Random, batch: str, model: Model, experiment: str | None, total: int, at: datetime
) -> BatchStarted:
    return BatchStarted(
        id=_id(rng, at),
        at=at,
        batch=batch,
        source=Source(
            path="/home/ada/interviews",
            digest=f"sha256:{rng.getrandbits(256):064x}",
            files=21,
            bytes=206_000,
            records=3_400,
        ),
        total=total,
        provider=model.provider,
        model=model.name,
        concurrency=_CONCURRENCY,
        output=f"/home/ada/outputs/{batch}",
        prompt_digest="sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730",
        experiment=experiment,
    )


def _queue(
    rng: random.Random, batch: str, personas: list[str], at: datetime
) -> Iterator[PersonaQueued]:
    for index, persona in enumerate(personas, start=1):
        at += _WRITTEN
        first = rng.randrange(3_000)
        yield PersonaQueued(
            id=_id(rng, at),
            at=at,
            batch=batch,
            persona=persona,
            index=index,
            segment=SegmentRef(
                digest=f"sha256:{rng.getrandbits(256):064x}",
                record_ids=[f"r{first + 7 * n}" for n in range(12)],
            ),
        )


class _Making(NamedTuple):
    """What all personas of a batch share."""

    rng: random.Random
    batch: str
    model: Model
    experiment: str | None
    priced: bool
    add: Callable[[AnyEvent], None]

    def persona(self, persona: str, at: datetime, *, fails: bool) -> datetime:
        """Makes one, beginning at `at`; when it was done."""
        began, attempt = at, 1
        while True:
            self.add(
                PersonaGenerating(
                    id=_id(self.rng, at),
                    at=at,
                    batch=self.batch,
                    persona=persona,
                    attempt=attempt,
                )
            )
            at, went_well = self._ask(persona, at, OPERATIONS[0], fails=fails)
            if went_well:
                break
            error = ErrorInfo(kind=_ERRORS[0], message="no answer within 60 s")
            if fails and attempt == 2:
                self._failed(persona, at, attempt, error)
                return at
            self.add(
                PersonaRetrying(
                    id=_id(self.rng, at),
                    at=at,
                    batch=self.batch,
                    persona=persona,
                    attempt=attempt,
                    error=error,
                    delay_ms=5_000,
                )
            )
            at += timedelta(seconds=5)
            attempt += 1
        self.add(
            PersonaValidating(
                id=_id(self.rng, at), at=at, batch=self.batch, persona=persona, attempt=attempt
            )
        )
        if self.rng.random() < _SECOND_CALL:
            operation = OPERATIONS[1 + (self.rng.random() < 0.5)]
            at, _ = self._ask(persona, at, operation, fails=False)
        at += timedelta(milliseconds=self.rng.randrange(2, 60))
        self._completed(persona, began, at, attempt)
        return at + _WRITTEN * 2

    def _ask(
        self, persona: str, at: datetime, operation: str, *, fails: bool
    ) -> tuple[datetime, bool]:
        """One call; when its answer came, and whether it was one."""
        fails = fails or self.rng.random() < _CALL_FAILS
        took_ms = _took_ms(self.rng, self.model)
        at += timedelta(milliseconds=took_ms, microseconds=int(1_000 * self.rng.random()))
        call = _call(
            self.rng,
            self.model,
            at,
            took_ms,
            batch=self.batch,
            persona=persona,
            experiment=self.experiment,
            operation=operation,
            fails=fails,
            priced=self.priced,
        )
        self.add(call)
        return at + _WRITTEN, not fails

    def _completed(self, persona: str, began: datetime, at: datetime, attempt: int) -> None:
        rng, model = self.rng, self.model
        draw = rng.random
        # Most are good, a few are not: 1 less a product of draws.
        scores = {metric: round(1 - 0.6 * draw() * draw(), 4) for metric in METRICS}
        composite = round(sum(scores.values()) / len(scores), 4)
        self.add(
            QualityScored(
                id=_id(rng, at),
                at=at,
                persona=persona,
                provider=model.provider,
                model=model.name,
                scores=scores,
                composite=composite,
                scorer="builtin/1",
                batch=self.batch,
                experiment=self.experiment,
            )
        )
        at += _WRITTEN
        self.add(
            PersonaCompleted(
                id=_id(rng, at),
                at=at,
                batch=self.batch,
                persona=persona,
                attempt=attempt,
                provider=model.provider,
                model=model.name,
                name=rng.choice(_NAMES),
                duration_ms=(at - began) // timedelta(milliseconds=1),
                digest=f"sha256:{rng.getrandbits(256):064x}",
                composite=composite,
                accepted=composite >= 0.8,
                experiment=self.experiment,
            )
        )

    def _failed(self, persona: str, at: datetime, attempts: int, error: ErrorInfo) -> None:
        self.add(
            PersonaFailed(
                id=_id(self.rng, at),
                at=at,
                batch=self.batch,
                persona=persona,
                provider=self.model.provider,
                model=self.model.name,
                attempts=attempts,
                error=error,
                experiment=self.experiment,
            )
        )


def _took_ms(rng: random.Random, model: Model) -> int:
    return int(rng.lognormvariate(model.log_ms, 0.35))


def _call(
    rng: random.Random,
    model: Model,
    at: datetime,
    took_ms: int,
    *,
    batch: str,
    persona: str,
    experiment: str | None,
    operation: str,
    fails: bool,
    priced: bool,
) -> CostRecorded:
    """A call whose answer came at `at`."""
    made = _id(rng, at - timedelta(milliseconds=took_ms)).hex
    tokens_in = int(2_000 + 7_000 * rng.random())
    tokens_out = 0 if fails else int(400 + 1_200 * rng.random())
    cost = tokens_in * model.input_nanousd + tokens_out * model.output_nanousd
    return CostRecorded(
        id=_id(rng, at),
        at=at,
        call=f"call-{made[:12]}{made[13:16]}{made[-8:]}",
        provider=model.provider,
        model=model.name,
        operation=operation,
        outcome="error" if fails else "ok",
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        request_id=f"req_{rng.getrandbits(96):024x}",
        batch=batch,
        persona=persona,
        experiment=experiment,
        cost_nanousd=cost if priced else None,
        error_kind=rng.choice(_ERRORS) if fails else None,
        duration_ms=took_ms,
        ttft_ms=None if fails else int(took_ms * (0.05 + 0.15 * rng.random())),
    )


def _id(rng: random.Random, at: datetime) -> UUID:
    """As a producer makes it at that moment, but from the seed."""
    since = at - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return new_id(seconds * _SECOND_NS + since.microseconds * 1_000, rng.getrandbits(62))
