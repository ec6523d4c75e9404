"""What is asked of a provider: the prompt, how much it may take, and what it is to put right."""

from persona.generation.cleaning import clean_line
from persona.generation.facts import AS_SPOKEN
from persona.generation.model import Segment
from persona.generation.prompts import Prompt, build_prompt, estimate_tokens
from persona.generation.providers.base import (
    GenerationRequest,
    ProviderError,
    Repair,
    Response,
    Usage,
)
from persona.generation.providers.hearing import repair_words
from persona.generation.providers.models import input_limit, output_limit
from persona.generation.responses import KEPT_BYTES_MAX, Saved
from personad.contract.batch import BatchStarted

REPAIRED_BYTES_MAX = 32 << 10
"""A longer answer is not sent back to be put right."""


_REQUEST_ID_MAX = 200


def prompt_of(started: BatchStarted, segment: Segment, language: str) -> Prompt:
    """One segment's prompt, cut to the context of the batch's model."""
    limit = input_limit(started.provider, started.model, started.base_url)
    return build_prompt(segment, language=language, max_input_tokens=limit)


def output_tokens(started: BatchStarted) -> int:
    """The most that one answer may have."""
    return output_limit(started.provider, started.model, started.base_url)


def size_bytes(prompt: Prompt, repair: Repair | None) -> int:
    """Of all that is sent: no tokeniser makes more tokens of it."""
    again = "" if repair is None else repair.answer + repair_words(repair.problem)
    return prompt.size_bytes + len(again.encode("utf-8", "surrogatepass"))


def operation(repair: Repair | None) -> str:
    """What a call is recorded as."""
    return "generation" if repair is None else "repair"


def repair(
    started: BatchStarted, prompt: Prompt, saved: Saved, error: ProviderError
) -> Repair | None:
    """What to give the model back to put right; None where asking anew is all that helps."""
    if error.kind != "invalid_output" or started.provider in AS_SPOKEN:
        return None
    if saved.ending != "whole" or not 0 < len(saved.body) <= REPAIRED_BYTES_MAX:
        return None
    answer = saved.body.decode("utf-8", "replace")
    limit = input_limit(started.provider, started.model, started.base_url)
    if limit is not None and prompt.tokens + estimate_tokens(answer) > limit:
        return None
    return Repair(answer, clean_line(error.message, 300))


def kept(request: GenerationRequest, call: str, response: Response, duration_ms: int) -> Saved:
    """The response as it is kept, with figures that the ledger takes whatever was answered."""
    usage, body = response.usage, response.body[:KEPT_BYTES_MAX]
    return Saved(
        call=call,
        persona=request.persona,
        attempt=request.attempt,
        body=body,
        usage=Usage(
            input_tokens=max(0, usage.input_tokens),
            output_tokens=max(0, usage.output_tokens),
            cache_read_tokens=max(0, usage.cache_read_tokens),
            cache_write_tokens=max(0, usage.cache_write_tokens),
            estimated=usage.estimated,
        ),
        duration_ms=duration_ms,
        request_id=request_id(response.request_id),
        ending=response.ending if len(body) == len(response.body) else "cut",
        operation=operation(request.repair),
        prompt_digest=request.prompt.digest,
        ttft_ms=max(0, round(response.ttft_ms)) if response.ttft_ms is not None else None,
    )


def request_id(given: str | None) -> str | None:
    return clean_line(given or "")[:_REQUEST_ID_MAX] or None
