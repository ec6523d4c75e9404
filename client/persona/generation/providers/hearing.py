"""What one API is to the rest of the house, and an answer of it as far as it has arrived."""

import re
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from persona.generation.prompts import Prompt, estimate_tokens
from persona.generation.providers.address import Address
from persona.generation.providers.base import Ending, GenerationRequest, Usage

ANSWER_BYTES_MAX = 1 << 20
"""The most that is kept of an answer; the rest is heard for its figures only."""
STREAM_BYTES_MAX = 64 << 20
"""Where a server is no longer listened to."""

_CHARACTERS_A_TOKEN = 4
"""For showing progress; what is paid for is counted by the provider."""


Part = Literal["schema", "usage", "max_tokens", "seed"]
"""What a request may do without, where a server that speaks the API knows less of it."""

_DECLINED: dict[Part, re.Pattern[str]] = {
    "schema": re.compile(
        r"response_?format|json[ _]?schema|output_?(?:config|format)|structured output|"
        r"ChatRequest\.format",  # Ollama before 0.5
        re.IGNORECASE,
    ),
    "usage": re.compile(r"stream_options|include_usage"),
    "max_tokens": re.compile(r"max_completion_tokens"),
    "seed": re.compile(r"\bseed\b"),
}


class Post(Struct, frozen=True):
    """One request, but for the key."""

    url: str
    body: dict[str, Any]


class Heard:
    """An answer in the making. An adapter fills it in, message by message."""

    def __init__(self) -> None:
        self.ending: Ending | None = None
        """None until the answer is complete."""
        self.done = False
        """Whether nothing more is to come, though the connection may stay open."""
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cache_read_tokens = 0
        self.cache_write_tokens = 0
        self.request_id: str | None = None
        self.error: object = None
        """The API's error object, where a stream ended in one."""
        self.begun = False
        """Whether the model has begun to work: from then on it may be paid for."""
        self.first_at: float | None = None
        """When the first token came, by the monotonic clock."""
        self._parts: list[str] = []
        self._size = 0
        self._thought = 0
        self._left_out = False

    def say(self, text: str) -> None:
        """A piece of the answer."""
        self._begin()
        self._size += len(text)
        if self._size <= ANSWER_BYTES_MAX:
            self._parts.append(text)
        else:
            self._left_out = True

    def think(self, text: str) -> None:
        """A piece of reasoning: paid for, and not part of the answer."""
        self._begin()
        self._thought += len(text)

    def finish(self) -> None:
        """The server says that this was all, be it without a reason: what was said is whole."""
        self.done = True
        if self.ending is None and self.first_at is not None:
            self.ending = "whole"

    def _begin(self) -> None:
        self.begun = True
        if self.first_at is None:
            self.first_at = time.monotonic()

    @property
    def tokens(self) -> int:
        """About how many tokens have come."""
        return -(-(self._size + self._thought) // _CHARACTERS_A_TOKEN)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def ended(self) -> Ending:
        return "cut" if self._left_out else self.ending or "cut"

    def usage(self, request: GenerationRequest) -> Usage:
        """As the provider counts; what it leaves out is estimated, and marked so."""
        known = self.input_tokens is not None and self.output_tokens is not None
        sent = self.input_tokens
        if sent is None:
            sent = max(0, tokens_of(request) - self.cache_read_tokens - self.cache_write_tokens)
        written = self.output_tokens
        if written is None:
            written = estimate_tokens(self.text) + self._thought // _CHARACTERS_A_TOKEN
        return Usage(
            sent, written, self.cache_read_tokens, self.cache_write_tokens, estimated=not known
        )


class Api(Struct, frozen=True, kw_only=True):
    """One wire format: where to send what, and how to read what comes back."""

    name: str
    home: str
    """The provider's own server."""
    keys: tuple[str, ...] = ()
    """The variables that its key may stand in, the usual one first; none where it takes no key."""
    post: Callable[[GenerationRequest, Address, frozenset[Part]], Post]
    """The whole request, without the parts that the server has declined."""
    headers: Callable[[str, Address], dict[str, str]]
    """Those that carry the key."""
    hear: Callable[[bytes, Heard], None]
    """Takes one message of the stream; raises msgspec.DecodeError where it is none of this API."""
    framing: Literal["events", "lines"] = "events"
    extra_headers: dict[str, str] = {}


def declined(message: str) -> frozenset[Part]:
    """Which parts of a request a server's words say it does not take."""
    return frozenset(part for part, form in _DECLINED.items() if form.search(message))


def instructions(request: GenerationRequest, without: frozenset[Part]) -> str:
    """What is said first; the schema with it, where it can't go by means of its own."""
    prompt = request.prompt
    if "schema" not in without:
        return prompt.instructions
    schema = msgspec.json.encode(prompt.schema).decode()
    return f"{prompt.instructions}\n\nThe schema:\n{schema}"


def tokens_of(request: GenerationRequest) -> int:
    """Roughly how many tokens are sent."""
    repair = request.repair
    again = "" if repair is None else repair.answer + repair_words(repair.problem)
    return request.prompt.tokens + estimate_tokens(again)


def repair_words(problem: str) -> str:
    """What is said about an answer that is no persona."""
    return (
        f"That is no persona of the given schema: {problem}. Answer again with the whole JSON "
        "object, put right, and nothing else."
    )


def turns(request: GenerationRequest) -> list[tuple[Literal["user", "model"], str]]:
    """What is said after the instructions, in order: the records, or a repair's whole story."""
    prompt: Prompt = request.prompt
    said: list[tuple[Literal["user", "model"], str]] = [("user", prompt.source)]
    if request.repair is not None:
        said += [
            ("model", request.repair.answer),
            ("user", repair_words(request.repair.problem)),
        ]
    return said


def count(value: object) -> int | None:
    """A number of tokens; None for what is none, so that no odd figure costs an answer."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(0, int(value)) if value == value and abs(value) < 2**53 else None


def encoded(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body)
