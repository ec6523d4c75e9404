"""What `persona generate` was asked for, and the batch that it comes to."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from persona.app import App, Stopped
from persona.render.values import clean, size
from persona.resuming import money_of, source_of

if TYPE_CHECKING:
    from persona.generation.plan import Plan
    from personad.contract.batch import BatchStarted

LARGE_BYTES = 8 << 20
"""Of a source: a few seconds' reading."""


class Options(Struct, frozen=True, kw_only=True):
    """The command's options, as they were given."""

    source: str | None
    count: int
    mode: str | None
    experiment: str | None
    provider: str | None
    model: str | None
    base_url: str | None
    compare: str | None
    concurrency: int | None
    output: str | None
    seed: int | None
    language: str | None
    text_columns: str | None
    participant_column: str | None
    no_redact: bool
    retry_count: int | None
    retry_delay: float | None
    timeout: float | None
    call_timeout: float | None
    budget: int | None
    stop_on_budget: bool
    max_cost: int | None
    checkpoint: str | None
    resume: str | None
    accept_changed_source: bool
    detach: bool
    dry_run: bool
    show_prompts: bool
    as_json: bool
    yes: bool

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in (self.text_columns or "").split(",") if name.strip())


def provider_of(app: App, options: Options, *, for_calls: bool = False) -> tuple[str, str]:
    """Its name and the model's; raises Stopped or click.UsageError where that can't be."""
    from persona.choosing import chosen

    return chosen(
        app, options.provider, options.model, base_url=options.base_url, for_calls=for_calls
    )


def planned(app: App, options: Options) -> "Plan":
    """The source read and split; what is odd about it is said. Raises Stopped, SourceError."""
    from persona.generation.plan import Wanted, make_plan

    settings = app.settings.generate
    provider_of(app, options)
    assert options.source is not None
    plan = make_plan(
        Wanted(
            path=Path(options.source),
            count=options.count,
            seed=options.seed,
            language=options.language or settings.language,
            text_columns=options.columns,
            participant_column=options.participant_column,
            redact=settings.redact and not options.no_redact,
        ),
        progress=_warning_of_large(app),
    )
    for each in plan.reading.unreadable:
        where = each.source if each.line is None else f"{each.source}:{each.line}"
        app.note(clean(f"not read: {where}: {each.reason}"))
    if not plan.total:
        raise Stopped(
            "nobody says anything in there that a persona could be written from",
            code=65,
            where=options.source,
            hint="name the columns with free text: --text-columns A,B",
        )
    if plan.total < options.count:
        app.note(_fewer(plan.total, options.count))
    return plan


def _warning_of_large(app: App) -> Callable[[int, int], None]:
    """Says it once: whoever sees nothing for half a minute holds the program for hung."""
    is_first = True

    def progress(_: int, all_bytes: int) -> None:
        nonlocal is_first
        if is_first and all_bytes >= LARGE_BYTES:
            app.note(f"reading {size(all_bytes)}: that takes a while")
        is_first = False

    return progress


def _fewer(speakers: int, wanted: int) -> str:
    if speakers == 1:
        return f"1 participant speaks in there, so 1 persona is made rather than {wanted}"
    return (
        f"{speakers} participants speak in there, so {speakers} personas are made "
        f"rather than {wanted}"
    )


def described(app: App, options: Options, plan: "Plan") -> "BatchStarted":
    """The batch as it will be recorded: all that a resume needs."""
    from persona.generation.prompts import build_prompt
    from persona.identity import batch_id, event_id, now
    from personad.contract.batch import BatchStarted, Retry

    settings, reading = app.settings.generate, plan.reading
    moment = now()
    batch = batch_id(moment, random.SystemRandom())
    provider, model = provider_of(app, options)
    retry = settings.retry
    asked = money_of(options.budget, options.max_cost, stop=options.stop_on_budget)
    if options.stop_on_budget and asked.budget_nanousd is None:
        raise click.UsageError("--stop-on-budget needs --budget USD")
    stops = asked.stops or settings.budget.enforcement == "stop"
    delay_s = options.retry_delay if options.retry_delay is not None else retry.delay_s
    timeout_s = options.timeout or settings.timeout_s
    call_timeout_s = options.call_timeout or settings.call_timeout_s
    prompt = build_prompt(plan.segments[0], language=reading.language)
    return BatchStarted(
        id=event_id(),
        at=moment,
        batch=batch,
        source=source_of(plan),
        total=plan.total,
        provider=provider,
        model=model,
        base_url=options.base_url,
        concurrency=options.concurrency or settings.concurrency,
        output=str(Path(options.output or os.path.join(settings.output, batch)).absolute()),
        prompt_digest=prompt.template_digest,
        experiment=options.experiment,
        seed=options.seed,
        retry=Retry(
            retries=options.retry_count if options.retry_count is not None else retry.retries,
            delay_ms=round(delay_s * 1_000),
            multiplier=retry.multiplier,
            jitter=retry.jitter,
            breaker_failures=retry.breaker_failures,
        ),
        timeout_ms=round(timeout_s * 1_000) if timeout_s else None,
        call_timeout_ms=round(call_timeout_s * 1_000),
        budget_nanousd=asked.budget_nanousd,
        stop_on_budget=stops and asked.budget_nanousd is not None,
        redact=settings.redact and not options.no_redact,
        language=options.language or settings.language,
        text_columns=list(options.columns),
        participant_column=options.participant_column,
    )
