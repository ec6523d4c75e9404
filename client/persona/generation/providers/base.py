"""What generation asks of a provider, and what a provider answers or refuses."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from persona.generation.model import Draft, Segment
from persona.generation.prompts import Prompt

ErrorKind = Literal[
    "rate_limit",
    "timeout",
    "server_error",
    "connection",
    "invalid_output",
    "authentication",
    "bad_request",
    "quota_exhausted",
    "content_refused",
]
Progress = Callable[[int], None]
"""Called with the number of output tokens received so far."""


Ending = Literal["whole", "cut", "refused"]
"""How an answer ended: as the model wished, at the limit of tokens, or by a refusal."""

_UNCLEAR: frozenset[ErrorKind] = frozenset({"timeout", "connection"})


class ProviderError(Exception):
    """A call that gave no usable answer; `kind` decides whether it is worth another attempt.

    `maybe_paid` says whether the provider may bill the call all the same; where it is not given,
    what broke off is held to be billed, and what was refused is not.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        retry_after_s: float | None = None,
        *,
        maybe_paid: bool | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.retry_after_s = retry_after_s
        self.maybe_paid = kind in _UNCLEAR if maybe_paid is None else maybe_paid
        self.request_id = request_id


class InvalidOutput(ProviderError):
    """The bytes that came back are not a persona."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_output", message)


class UnknownProviderError(LookupError):
    """No provider of that name is built in or installed."""


class ProviderSettings(Struct, frozen=True):
    """What a provider is made from; keys are read from `environment` and never kept elsewhere."""

    model: str | None = None
    base_url: str | None = None
    environment: Mapping[str, str] = {}
    for_calls: bool = False
    """Whether calls are to follow: a factory then raises ValueError where it lacks a key."""


class Repair(Struct, frozen=True):
    """An answer that was no persona, to be put right by the one who gave it."""

    answer: str
    problem: str


class GenerationRequest(Struct, frozen=True):
    """One attempt at one persona."""

    persona: str
    index: int
    """The persona's place in its batch, from 1."""
    attempt: int
    """From 1."""
    prompt: Prompt
    segment: Segment
    model: str
    language: str
    seed: int | None = None
    peers: tuple[Segment, ...] = ()
    """The batch's other segments, from which this persona is to differ."""
    max_output_tokens: int = 4_096
    timeout_s: float = 120.0
    repair: Repair | None = None


class Usage(Struct, frozen=True):
    """Tokens of one call; `input_tokens` leaves out those read from or written to a cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    """With those that the model reasoned with."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False
    """The provider gave no figures: these are counted from the texts."""


class Response(Struct, frozen=True):
    """What came back, before anything is read into it: it is paid for, so it is stored first."""

    body: bytes
    usage: Usage
    request_id: str | None = None
    ttft_ms: float | None = None
    """Milliseconds from sending to the first token of the answer."""
    ending: Ending = "whole"


class Provider(Protocol):
    """A source of personas. One object serves all of a batch's calls, also at the same time."""

    @property
    def name(self) -> str: ...

    @property
    def models(self) -> tuple[str, ...]:
        """The models that are known to work, the default one first."""
        ...

    async def generate(
        self, request: GenerationRequest, on_progress: Progress | None = None
    ) -> Response:
        """Make one call.

        Raises:
            ProviderError: the call gave no answer; a wrong answer, one that was cut off and a
                refusal in words are responses, since they are paid for.
        """
        ...

    def parse(self, body: bytes) -> Draft:
        """Read a response's bytes, now or in a later process.

        Raises:
            InvalidOutput: they hold no persona.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


def draft_from_json(data: bytes | str) -> Draft:
    """A draft from a JSON object, also where a model wrapped it in a Markdown code fence.

    Raises:
        InvalidOutput: not JSON, not of the schema, or without a name; it says where.
    """
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    text = text.strip()
    if text.startswith("<think>"):
        # Servers that don't know their model's marks leave its reasoning in the answer.
        text = text.partition("</think>")[2].strip()
    if text.startswith("```"):
        text = text.removesuffix("```").partition("\n")[2]
    if not text:
        raise InvalidOutput("the answer is empty")
    try:
        draft = msgspec.json.decode(text, type=Draft)
    except msgspec.DecodeError as error:
        raise InvalidOutput(f"the answer is not a persona: {error}") from error
    except RecursionError:
        raise InvalidOutput("the answer is not a persona: it is nested too deeply") from None
    if not draft.name.strip():
        raise InvalidOutput("the answer has no name: `$.name` is blank")
    return draft
