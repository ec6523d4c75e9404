"""How one persona is made: call, keep the response, record the cost, parse, score, write, record.

A crash at any point leaves a state from which another runner goes on without paying again for what
was received.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct

from persona.generation import responses
from persona.generation.books import Books
from persona.generation.cleaning import clean_draft, clean_line
from persona.generation.model import Draft, Persona, Provenance, Segment, SegmentOfPersona
from persona.generation.output import write_persona
from persona.generation.prompts import Prompt, build_prompt
from persona.generation.providers.base import (
    GenerationRequest,
    InvalidOutput,
    Provider,
    ProviderError,
    Response,
    Usage,
)
from persona.generation.quality import Scores, score_persona
from persona.generation.responses import Saved
from persona.generation.retry import RATE_LIMIT_DELAY_MS, WORTH_ANOTHER, delay_ms
from persona.identity import call_id, event_id, now
from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import ErrorInfo, derived_id
from personad.contract.quality import QualityScored

MAX_OUTPUT_TOKENS = 4_096
FREE = frozenset({"local", "simulated"})
"""Providers whose calls cost nothing, whatever they use."""

logger = logging.getLogger(__name__)


class Shop(Struct, frozen=True, kw_only=True):
    """What all personas of a batch are made with."""

    started: b.BatchStarted
    source_digest: str
    language: str
    segments: tuple[Segment, ...]
    provider: Provider
    books: Books
    calls_dir: Path
    weights: dict[str, float]
    required_fields: tuple[str, ...]
    accept: float
    rng: Callable[[], float]
    without_secrets: Callable[[str], str]


class Piece(Struct, frozen=True, kw_only=True):
    """One persona that is to be made."""

    index: int
    persona: str
    attempts: int
    """How many there have been already, in an earlier run."""
    saved: tuple[Saved, ...]
    """Responses that an earlier run received for it."""


class _Failed(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


async def make(shop: Shop, piece: Piece) -> bool:
    """Makes one persona, or records that it failed; True where it was made.

    Raises:
        HoldLost: the batch is another runner's now, or is to start no more calls.
    """
    attempt = piece.attempts
    for saved in piece.saved:
        attempt = max(attempt, saved.attempt)
        generating = _generating(shop, piece, saved.attempt)
        await shop.books.record([generating, _cost(shop, saved)], about=piece.index)
        try:
            return await _finish(shop, piece, saved)
        except InvalidOutput as error:
            logger.info("%s: a saved response is unusable: %s", piece.persona, error)
            responses.forget(shop.calls_dir, saved.call)
    failures = 0
    while True:
        attempt += 1
        try:
            saved = await _call(shop, piece, attempt)
            return await _finish(shop, piece, saved)
        except ProviderError as error:
            failures += error.kind != "rate_limit"
            info = ErrorInfo(kind=error.kind, message=_told(shop, error.message))
            if not _again(shop, error, failures):
                await shop.books.record([_given_up(shop, piece, attempt, info)], about=piece.index)
                return False
            wait_ms = _wait_ms(shop, error, failures)
        retrying = b.PersonaRetrying(
            id=event_id(),
            at=now(),
            batch=shop.started.batch,
            persona=piece.persona,
            attempt=attempt,
            error=info,
            delay_ms=wait_ms,
        )
        await shop.books.record([retrying], about=piece.index)
        await anyio.sleep(wait_ms / 1_000)


def _again(shop: Shop, error: ProviderError, failures: int) -> bool:
    if error.kind == "rate_limit":
        return True
    return error.kind in WORTH_ANOTHER and failures <= shop.started.retry.retries


def _wait_ms(shop: Shop, error: ProviderError, failures: int) -> int:
    if error.retry_after_s is not None:
        return round(error.retry_after_s * 1_000)
    if error.kind == "rate_limit":
        return RATE_LIMIT_DELAY_MS
    return delay_ms(shop.started.retry, failures, shop.rng)


def _told(shop: Shop, message: str) -> str:
    return shop.without_secrets(clean_line(message, 500))


def _generating(shop: Shop, piece: Piece, attempt: int) -> b.PersonaGenerating:
    return b.PersonaGenerating(
        id=event_id(),
        at=now(),
        batch=shop.started.batch,
        persona=piece.persona,
        attempt=attempt,
    )


def _given_up(shop: Shop, piece: Piece, attempt: int, info: ErrorInfo) -> b.PersonaFailed:
    started = shop.started
    return b.PersonaFailed(
        id=derived_id("persona.failed", started.batch, piece.persona, attempt),
        at=now(),
        batch=started.batch,
        persona=piece.persona,
        provider=started.provider,
        model=started.model,
        experiment=started.experiment,
        attempts=attempt,
        error=info,
    )


def prompt_for(shop: Shop, index: int) -> Prompt:
    return build_prompt(shop.segments[index - 1], language=shop.language)


async def _call(shop: Shop, piece: Piece, attempt: int) -> Saved:
    """One attempt: granted, called, kept, its cost recorded."""
    started, call = shop.started, call_id()
    prompt = prompt_for(shop, piece.index)
    await shop.books.record([_generating(shop, piece, attempt)], about=piece.index)
    await shop.books.start_call(
        c.StartCall(
            call=call,
            provider=started.provider,
            model=started.model,
            max_input_tokens=prompt.size_bytes,
            max_output_tokens=MAX_OUTPUT_TOKENS,
            batch=started.batch,
            persona=piece.persona,
            attempt=attempt,
            experiment=started.experiment,
        ),
        about=piece.index,
    )
    began = time.monotonic()
    try:
        response = await _ask_provider(shop, piece, attempt, prompt)
    except ProviderError as error:
        await shop.books.record(
            [_failed_call(shop, piece, call, error, _since(began))], about=piece.index
        )
        raise
    saved = Saved(
        call=call,
        persona=piece.persona,
        attempt=attempt,
        body=response.body,
        usage=response.usage,
        duration_ms=_since(began),
        request_id=response.request_id,
        ttft_ms=round(response.ttft_ms) if response.ttft_ms is not None else None,
    )
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(responses.save, shop.calls_dir, saved)
    validating = b.PersonaValidating(
        id=event_id(),
        at=now(),
        batch=started.batch,
        persona=piece.persona,
        attempt=attempt,
    )
    await shop.books.record([_cost(shop, saved), validating], about=piece.index)
    return saved


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)


async def _ask_provider(shop: Shop, piece: Piece, attempt: int, prompt: Prompt) -> Response:
    started = shop.started
    timeout_s = (started.call_timeout_ms or 120_000) / 1_000
    request = GenerationRequest(
        persona=piece.persona,
        index=piece.index,
        attempt=attempt,
        prompt=prompt,
        segment=shop.segments[piece.index - 1],
        model=started.model,
        language=shop.language,
        seed=started.seed,
        peers=tuple(s for i, s in enumerate(shop.segments, 1) if i != piece.index),
        max_output_tokens=MAX_OUTPUT_TOKENS,
        timeout_s=timeout_s,
    )
    try:
        with anyio.fail_after(timeout_s):
            return await shop.provider.generate(request)
    except TimeoutError:
        raise ProviderError("timeout", f"no answer within {timeout_s:g} s") from None


def _cost(shop: Shop, saved: Saved) -> c.CostRecorded:
    """The same event whenever it is made from the same response, so that it counts once."""
    started, usage = shop.started, saved.usage
    return c.CostRecorded(
        id=derived_id("cost.recorded", saved.call),
        at=now(),
        call=saved.call,
        request_id=saved.request_id,
        provider=started.provider,
        model=started.model,
        operation="generation",
        outcome="ok",
        batch=started.batch,
        persona=saved.persona,
        experiment=started.experiment,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_nanousd=0 if started.provider in FREE else None,
        duration_ms=saved.duration_ms,
        ttft_ms=saved.ttft_ms,
    )


def _failed_call(
    shop: Shop, piece: Piece, call: str, error: ProviderError, duration_ms: int
) -> c.CostRecorded:
    started, usage = shop.started, Usage()
    # An answer that never came may have been paid for all the same.
    unknown = error.kind in ("timeout", "connection")
    return c.CostRecorded(
        id=derived_id("cost.recorded", call),
        at=now(),
        call=call,
        provider=started.provider,
        model=started.model,
        operation="generation",
        outcome="unknown" if unknown else "error",
        error_kind=error.kind,
        batch=started.batch,
        persona=piece.persona,
        experiment=started.experiment,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_nanousd=0 if started.provider in FREE or not unknown else None,
        duration_ms=duration_ms,
    )


async def _finish(shop: Shop, piece: Piece, saved: Saved) -> bool:
    """From the kept response to the recorded persona.

    Raises:
        InvalidOutput: the response holds no persona.
    """
    with anyio.CancelScope(shield=True):
        draft = clean_draft(shop.provider.parse(saved.body))
        segment = shop.segments[piece.index - 1]
        scores = score_persona(
            draft, segment, weights=shop.weights, required_fields=shop.required_fields
        )
        persona = _persona(shop, piece, draft, segment, scores)
        path = await anyio.to_thread.run_sync(_written, shop, piece, persona)
        completion = _completion(shop, piece, saved, scores, (path, persona.name))
        await shop.books.record(completion, about=piece.index)
        responses.forget(shop.calls_dir, saved.call)
    return True


def _written(shop: Shop, piece: Piece, persona: Persona) -> Path:
    folder = Path(shop.started.output)
    return write_persona(folder, piece.index, persona, total=shop.started.total)


def _persona(shop: Shop, piece: Piece, draft: Draft, segment: Segment, scores: Scores) -> Persona:
    started = shop.started
    return Persona(
        id=piece.persona,
        name=draft.name,
        age=draft.age,
        occupation=draft.occupation,
        location=draft.location,
        summary=draft.summary,
        goals=draft.goals,
        pain_points=draft.pain_points,
        behaviours=draft.behaviours,
        motivations=draft.motivations,
        quotes=draft.quotes,
        segment=SegmentOfPersona(
            share=round(segment.share, 4), size=len(segment.participants), terms=list(segment.terms)
        ),
        evidence=draft.evidence,
        quality={**scores.scores, "composite": scores.composite},
        provenance=Provenance(
            provider=started.provider,
            model=started.model,
            batch=started.batch,
            seed=started.seed,
            prompt_digest=prompt_for(shop, piece.index).digest,
            source_digest=shop.source_digest,
            created_at=now(),
        ),
    )


def _completion(
    shop: Shop, piece: Piece, saved: Saved, scores: Scores, written: tuple[Path, str]
) -> list[QualityScored | b.PersonaCompleted]:
    started = shop.started
    path, name = written
    return [
        QualityScored(
            id=derived_id("quality.scored", started.batch, piece.persona, saved.call),
            at=now(),
            persona=piece.persona,
            batch=started.batch,
            experiment=started.experiment,
            provider=started.provider,
            model=started.model,
            scores=scores.scores,
            composite=scores.composite,
            scorer=scores.scorer,
        ),
        b.PersonaCompleted(
            id=derived_id("persona.completed", started.batch, piece.persona, saved.call),
            at=now(),
            batch=started.batch,
            persona=piece.persona,
            attempt=saved.attempt,
            provider=started.provider,
            model=started.model,
            experiment=started.experiment,
            name=name,
            duration_ms=saved.duration_ms,
            path=str(path),
            digest=f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
            composite=scores.composite,
            accepted=scores.composite >= shop.accept,
        ),
    ]
