"""How one persona is made: call, keep the response, record the cost, parse, score, write, record.

A crash at any point leaves a state from which another runner goes on without paying again for what
was received.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio

from persona.generation import asking, facts
from persona.generation.answers import read_draft
from persona.generation.books import Making
from persona.generation.cleaning import clean_line
from persona.generation.gate import Slept
from persona.generation.model import Draft, Persona, Provenance, SegmentOfPersona
from persona.generation.output import papers_of, write_papers
from persona.generation.pace import Turn
from persona.generation.prompts import Prompt
from persona.generation.providers.base import (
    GenerationRequest,
    InvalidOutput,
    ProviderError,
    Repair,
    Response,
)
from persona.generation.quality import Scores, score_persona
from persona.generation.quality.faithfulness import without_invented
from persona.generation.responses import KEPT_BYTES_MAX, Document, Saved
from persona.generation.retry import (
    ALL_STOP,
    StoppedByProvider,
    is_failure,
    is_worth_another,
    wait_ms,
)
from persona.generation.shop import Piece, Shop
from persona.generation.standing import HoldLost
from persona.identity import call_id, now
from personad.contract import cost as c
from personad.contract.base import ErrorInfo
from personad.contract.events import AnyEvent

CALL_TIMEOUT_MS = 120_000
_NAME_MAX = 200
"""How much of a name the ledger keeps; the document has all of it."""

logger = logging.getLogger(__name__)


async def make(shop: Shop, piece: Piece, received: Callable[[], None] = lambda: None) -> bool:
    """Makes one persona, or records that it failed; True where it was made.

    `received` is told, each time, that a response is on the disk: from then on a kill can't lose
    it, and another call may be made while the persona is finished.

    Raises:
        HoldLost: the batch is another runner's now, or is to start no more calls.
        StoppedByProvider, BudgetRefused: no other persona can be made either.
        OSError: a response, or the persona's files, can't be written.
    """
    try:
        if await _made_from_saved(shop, piece):
            return True
    except ProviderError as error:
        # Refused in words, in an earlier run: asking again would only cost again.
        await _give_up(shop, piece, max(saved.attempt for saved in piece.saved), error)
        return False
    attempt = max(piece.attempts, *(saved.attempt for saved in piece.saved), 0)
    failures, repair, repaired, saved = 0, None, False, None
    while True:
        attempt, saved = attempt + 1, None
        turn = await shop.gate.enter()
        try:
            saved = await _called(shop, piece, attempt, repair, turn)
            await _finish(shop, piece, saved, safe=partial(_safe, shop, turn, received))
            await shop.gate.report()
        except ProviderError as error:
            if error.kind in ALL_STOP:
                raise StoppedByProvider(error.kind, _told(shop, error.message)) from None
            failures += is_failure(error, turn)
            if not is_worth_another(shop.started.retry, error, failures):
                await _give_up(shop, piece, attempt, error)
                return False
            repair = None
            if saved is not None and not repaired:
                repair = asking.repair(shop.started, _prompt(shop, piece), saved, error)
                repaired = repair is not None
            delay_ms = 0 if repair else wait_ms(shop.started.retry, error, failures, shop.rng)
            delay_ms = max(delay_ms, round(shop.gate.held_s() * 1_000))
            told = ErrorInfo(kind=error.kind, message=_told(shop, error.message))
        else:
            return True
        retrying = facts.retrying(shop.started, piece.persona, attempt, told, delay_ms)
        await shop.books.record([retrying], about=piece.index)
        await shop.rest(delay_ms / 1_000)


async def _give_up(shop: Shop, piece: Piece, attempt: int, error: ProviderError) -> None:
    told = ErrorInfo(kind=error.kind, message=_told(shop, error.message))
    given_up = facts.given_up(shop.started, piece.persona, attempt, told)
    await shop.books.record([given_up], about=piece.index)


async def _made_from_saved(shop: Shop, piece: Piece) -> bool:
    """Whether a response that an earlier run received holds the persona.

    Raises:
        ProviderError: `content_refused`: it is a refusal in words.
    """
    for saved in piece.saved:
        generating = facts.generating(shop.started, piece.persona, saved.attempt)
        cost = facts.answered(shop.started, saved)
        await shop.books.record([generating, cost], about=piece.index)
        try:
            await _finish(shop, piece, saved)
        except InvalidOutput as error:
            logger.info("%s: a saved response is unusable: %s", piece.persona, error)
        else:
            return True
    return False


def _told(shop: Shop, message: str) -> str:
    # Secrets go before it is cut: half a key is not known again.
    return clean_line(shop.without_secrets(clean_line(message)), 500)


def _prompt(shop: Shop, piece: Piece) -> Prompt:
    return asking.prompt_of(shop.started, shop.segments[piece.index - 1], shop.language)


async def _called(
    shop: Shop, piece: Piece, attempt: int, repair: Repair | None, turn: Turn
) -> Saved:
    """As `_call`; that it ended without an answer is told at the gate."""
    try:
        # Nothing is waited for between its end and the disk: a stop would lose what was paid for.
        return await _call(shop, piece, attempt, repair)
    except ProviderError as error:
        await shop.gate.leave(turn, error)
        raise
    except BaseException:
        shop.gate.drop(turn)
        raise


def _safe(shop: Shop, turn: Turn, received: Callable[[], None]) -> None:
    """A call's response is on the disk: so a kill loses no more calls than are let through."""
    shop.gate.answered(turn)
    received()


async def _call(shop: Shop, piece: Piece, attempt: int, repair: Repair | None) -> Saved:
    """One attempt: granted and called; what it returns has yet to be kept.

    Raises ProviderError, HoldLost.
    """
    started, books, call = shop.started, shop.books, call_id()
    prompt = _prompt(shop, piece)
    await books.start_call(
        c.StartCall(
            call=call,
            provider=started.provider,
            model=started.model,
            max_input_tokens=asking.size_bytes(prompt, repair),
            max_output_tokens=asking.output_tokens(shop.started),
            batch=started.batch,
            persona=piece.persona,
            attempt=attempt,
            experiment=started.experiment,
            begins=True,
        ),
        about=piece.index,
        waits=shop.gate.waits_for_money,
    )
    if shop.gate.is_shut:
        await _record_anyway(shop, piece.index, _not_sent(shop, piece, call, repair))
        raise HoldLost(f"{started.batch} was stopped before the call was sent")
    began = time.monotonic()
    request = _request(shop, piece, attempt, prompt, repair)
    response = await _answer(shop, call, request)
    return asking.kept(request, call, response, _since(began))


def _not_sent(shop: Shop, piece: Piece, call: str, repair: Repair | None) -> AnyEvent:
    """Of a granted call: its reservation goes. Where the ledger has said already that nobody knows
    what became of it, only a cost stands over that."""
    if not shop.gate.was_missed:
        return facts.not_sent(call, "stopped")
    return facts.unanswered(
        shop.started,
        piece.persona,
        call,
        kind="stopped",
        refused=True,
        duration_ms=0,
        operation=asking.operation(repair),
    )


async def _record_anyway(shop: Shop, index: int, fact: AnyEvent) -> None:
    """Records while something else ends the work."""
    with anyio.CancelScope(shield=True):
        await shop.books.record([fact], about=index, held=False)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)


async def _answer(shop: Shop, call: str, request: GenerationRequest) -> Response:
    """The provider's response; where none comes, that is recorded, whatever the reason."""
    began = time.monotonic()
    try:
        return await _ask_provider(shop, request)
    except BaseException as error:
        told = error if isinstance(error, ProviderError) else None
        unanswered = facts.unanswered(
            shop.started,
            request.persona,
            call,
            kind="stopped" if told is None else told.kind,
            refused=told is not None and not told.maybe_paid,
            duration_ms=_since(began),
            operation=asking.operation(request.repair),
            request_id=asking.request_id(told.request_id) if told is not None else None,
        )
        await _record_anyway(shop, request.index, unanswered)
        raise


def _request(
    shop: Shop, piece: Piece, attempt: int, prompt: Prompt, repair: Repair | None
) -> GenerationRequest:
    started = shop.started
    return GenerationRequest(
        persona=piece.persona,
        index=piece.index,
        attempt=attempt,
        prompt=prompt,
        segment=shop.segments[piece.index - 1],
        model=started.model,
        language=shop.language,
        seed=started.seed,
        peers=shop.segments[: piece.index - 1] + shop.segments[piece.index :],
        max_output_tokens=asking.output_tokens(shop.started),
        timeout_s=(started.call_timeout_ms or CALL_TIMEOUT_MS) / 1_000,
        repair=repair,
    )


async def _ask_provider(shop: Shop, request: GenerationRequest) -> Response:
    told = None if shop.on_tokens is None else partial(shop.on_tokens, request.index)
    try:
        with anyio.fail_after(request.timeout_s) as scope, shop.gate.flying(scope):
            return await shop.provider.generate(request, told)
    except TimeoutError:
        raise ProviderError("timeout", f"no answer within {request.timeout_s:g} s") from None
    finally:
        if told is not None:
            told(0)
    raise Slept


async def _finish(
    shop: Shop, piece: Piece, saved: Saved, *, safe: Callable[[], None] | None = None
) -> None:
    """From the response to the recorded persona. A new one is on the disk before all else, and
    `safe` is called then, once; where that can't be, or it holds no persona, its cost is known all
    the same.

    Raises:
        InvalidOutput: the response holds no persona; it is kept no longer.
        ProviderError: `content_refused`, likewise.
        OSError: the response or the persona can't be written.
    """
    answered = facts.answered(shop.started, saved)
    failed: list[ProviderError | OSError] = []
    loop, to_tell = asyncio.get_running_loop(), [safe] if safe is not None else []

    def tell() -> None:
        while to_tell:
            to_tell.pop()()

    def made() -> Making:
        so_far: list[AnyEvent] = []
        if safe is not None:
            yield saved
            loop.call_soon_threadsafe(tell)
            so_far += [answered, facts.validating(shop.started, piece.persona, saved.attempt)]
        try:
            return [*so_far, *(yield from _written(shop, piece, saved))]
        except (ProviderError, OSError) as error:
            failed.append(error)
            return so_far

    def forget() -> None:
        if not any(isinstance(error, OSError) for error in failed):
            shop.books.responses.forget(saved.call)

    # A stop may wait: what was received is paid for.
    with anyio.CancelScope(shield=True):
        try:
            await shop.books.record(made, about=piece.index, then=forget)
        except OSError:
            await shop.books.record([answered], held=False)
            raise
        finally:
            tell()
    if failed:
        raise failed[0]


def _written(shop: Shop, piece: Piece, saved: Saved) -> Making:
    """Reads, scores and writes a persona, in a thread; gives what is to be recorded of it."""
    answered = read_draft(shop.provider, saved, language=_language(shop))
    segment = shop.segments[piece.index - 1]
    draft = without_invented(answered, segment)
    scores = score_persona(
        draft,
        segment,
        shop.crowd.join(piece.index, draft),
        weights=shop.scoring.weights,
        required_fields=shop.scoring.required_fields,
        answered=answered,
    )
    _tell_left_out(shop, piece, scores)
    persona = _persona(shop, piece, draft, scores, saved.prompt_digest)
    folder, total = Path(shop.started.output), shop.started.total
    papers = papers_of(folder, piece.index, persona, total=total)
    if is_kept := len(papers.data) <= KEPT_BYTES_MAX:
        yield Document(persona=piece.persona, index=piece.index, data=papers.data)
    is_first = saved.attempt == 1 and not piece.saved
    # What is kept needs no sync of its own: the run's end has one for all.
    write_papers(papers, is_first=is_first, synced=not is_kept)
    return facts.made(
        shop.started,
        saved,
        scores,
        name=clean_line(persona.name, _NAME_MAX),
        path=papers.document,
        digest=f"sha256:{hashlib.sha256(papers.data).hexdigest()}",
        accept=shop.accept,
    )


def _tell_left_out(shop: Shop, piece: Piece, scores: Scores) -> None:
    for left_out in scores.reasons.items():
        if left_out not in shop.left_out:
            logger.info("%s has no score of %s: %s", piece.persona, *left_out)
        shop.left_out.append(left_out)


def _language(shop: Shop) -> str | None:
    """What the answer is to be written in, where its writer can choose."""
    return None if shop.started.provider in facts.AS_SPOKEN else shop.language


def _persona(
    shop: Shop, piece: Piece, draft: Draft, scores: Scores, prompt_digest: str | None
) -> Persona:
    started, segment = shop.started, shop.segments[piece.index - 1]
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
            prompt_digest=prompt_digest or _prompt(shop, piece).digest,
            source_digest=shop.source_digest,
            created_at=now(),
        ),
    )
