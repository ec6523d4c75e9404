"""A provider for tests, benchmarks and demonstrations: it waits and fails as told, and is free.

Set by environment variables:

- `PERSONA_SIMULATED_LATENCY_MS`: how long a call takes (median), 1000.
- `PERSONA_SIMULATED_SPREAD`: σ of the lognormal factor on it, 0 for always the same.
- `PERSONA_SIMULATED_ERRORS`: what goes wrong, separated by commas. `timeout:0.1` fails one call
  in ten, `3=server_error` every attempt at the third persona, `3/1=rate_limit` its first attempt.
- `PERSONA_SIMULATED_RETRY_AFTER_S`: what a `rate_limit` says to wait, otherwise nothing.

Chance is drawn from the seed, the persona's index and the attempt, so that neither concurrency nor
a resumption changes what happens.
"""

import math
import random
from collections.abc import Mapping
from typing import get_args

import anyio
from anyio import to_thread
from msgspec import Struct

from persona.generation.prompts import estimate_tokens
from persona.generation.providers.base import (
    ErrorKind,
    GenerationRequest,
    Progress,
    ProviderError,
    ProviderSettings,
    Response,
    Usage,
    draft_from_json,
)
from persona.generation.providers.local import written

PREFIX = "PERSONA_SIMULATED_"
MODEL = "simulated-1"
KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
_STEPS = 10
"""How many pieces an answer comes in; the first after a tenth of the latency."""


class Failure(Struct, frozen=True):
    """One entry of the error script."""

    kind: ErrorKind
    probability: float = 1.0
    index: int | None = None
    attempt: int | None = None


class Shape(Struct, frozen=True):
    """How the provider behaves."""

    latency_ms: float = 1_000.0
    spread: float = 0.0
    failures: tuple[Failure, ...] = ()
    retry_after_s: float | None = None


def create(settings: ProviderSettings) -> "SimulatedProvider":
    """The factory that the registry names.

    Raises:
        ValueError: a variable holds something else than is described above.
    """
    return SimulatedProvider(shape(settings.environment))


def shape(environment: Mapping[str, str]) -> Shape:
    """What the environment asks for.

    Raises:
        ValueError: a variable can't be read; the message names it and says what it may hold.
    """
    retry_after = _number(environment, "RETRY_AFTER_S", -1.0)
    return Shape(
        latency_ms=_number(environment, "LATENCY_MS", 1_000.0),
        spread=_number(environment, "SPREAD", 0.0),
        failures=script(environment.get(PREFIX + "ERRORS", "")),
        retry_after_s=None if retry_after < 0 else retry_after,
    )


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(PREFIX + name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{PREFIX}{name} is `{text}`; it must be a number of at least 0")
    return value


def script(text: str) -> tuple[Failure, ...]:
    """The entries of an error script.

    Raises:
        ValueError: an entry is neither `kind:probability`, `index=kind` nor `index/attempt=kind`.
    """
    return tuple(_entry(entry.strip()) for entry in text.split(",") if entry.strip())


def _entry(text: str) -> Failure:
    place, equals, scripted = text.partition("=")
    kind, _, probability = text.partition(":")
    wanted = scripted.strip() if equals else kind.strip()
    found = next((known for known in KINDS if known == wanted), None)
    try:
        if found is None:
            raise ValueError(f"`{wanted}` is no kind of error")
        if equals:
            index, _, attempt = place.partition("/")
            return Failure(found, 1.0, int(index), int(attempt) if attempt else None)
        share = float(probability)
        if not 0 <= share <= 1:
            raise ValueError(f"{share:g} is no probability")
    except ValueError as error:
        raise ValueError(
            f"{PREFIX}ERRORS has the entry `{text}` ({error}); an entry is `timeout:0.1`, "
            f"`3=server_error` or `3/1=rate_limit`, with one of {', '.join(KINDS)}"
        ) from error
    return Failure(found, share)


class SimulatedProvider:
    """Answers what `local` would write, after a wait."""

    name = "simulated"
    models = (MODEL,)
    parse = staticmethod(draft_from_json)

    def __init__(self, behaviour: Shape) -> None:
        self._shape = behaviour

    async def generate(
        self, request: GenerationRequest, on_progress: Progress | None = None
    ) -> Response:
        """Wait as long as the shape says, the writing included, then answer or fail.

        Raises:
            ProviderError: the script says so, or the wait is longer than the request allows.
        """
        started = anyio.current_time()
        chance = random.Random(f"{request.seed}/{request.index}/{request.attempt}")
        latency_s = self._shape.latency_ms / 1_000 * math.exp(chance.gauss(0, self._shape.spread))
        failure = self._failure(request, chance)
        if failure == "timeout" or latency_s > request.timeout_s:
            await anyio.sleep(min(latency_s, request.timeout_s))
            raise ProviderError("timeout", f"no answer within {request.timeout_s:g} s (simulated)")
        if failure is not None and failure != "invalid_output":
            await anyio.sleep(latency_s)
            after = self._shape.retry_after_s if failure == "rate_limit" else None
            raise ProviderError(failure, f"{failure} (simulated)", after)
        body = await to_thread.run_sync(written, request)
        if failure == "invalid_output":
            body = body[: len(body) // 2]
        tokens = estimate_tokens(body.decode("utf-8", "replace"))
        for step in range(1, _STEPS + 1):
            await anyio.sleep(max(0.0, started + latency_s * step / _STEPS - anyio.current_time()))
            if on_progress is not None:
                on_progress(tokens * step // _STEPS)
        return Response(
            body,
            Usage(input_tokens=request.prompt.tokens, output_tokens=tokens),
            request_id=f"simulated-{request.persona}-{request.attempt}",
            ttft_ms=latency_s * 1_000 / _STEPS,
        )

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _failure(self, request: GenerationRequest, chance: random.Random) -> ErrorKind | None:
        for failure in self._shape.failures:
            here = failure.index in {None, request.index}
            now = failure.attempt in {None, request.attempt}
            if here and now and chance.random() < failure.probability:
                return failure.kind
        return None
