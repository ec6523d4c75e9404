"""OpenAI's Chat Completions, and every server that speaks them.

OpenAI and most servers cache a prompt's beginning by themselves, so the shared part stands first.
A path such as Azure's is taken as it is given; a bare host gets `/v1`.
"""

from typing import Any

import msgspec
from msgspec import Struct

from persona.generation.providers.address import Address
from persona.generation.providers.base import Ending, GenerationRequest, ProviderSettings
from persona.generation.providers.hearing import Api, Heard, Part, Post, count, instructions, turns
from persona.generation.providers.hosted import HostedProvider
from persona.generation.providers.keys import KEYS

_HOST = "api.openai.com"
_ROLES = {"user": "user", "model": "assistant"}
_ENDINGS: dict[str, Ending] = {"length": "cut", "content_filter": "refused"}
_DONE = b"[DONE]"


class _Said(Struct, frozen=True):
    content: Any = None
    """Text; of some servers a list of parts, with the reasoning among them."""
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None


class _Choice(Struct, frozen=True):
    delta: _Said | None = None
    message: _Said | None = None
    """Of a server that does not stream."""
    finish_reason: str | None = None


class _Usage(Struct, frozen=True):
    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None
    prompt_tokens_details: Any = None


class _Chunk(Struct, frozen=True):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_chunks = msgspec.json.Decoder(_Chunk)


def create(settings: ProviderSettings) -> HostedProvider:
    """The factory that the registry names."""
    return HostedProvider(API, settings)


def post(request: GenerationRequest, server: Address, without: frozenset[Part]) -> Post:
    """The whole request, from the part that all personas of a batch share to this one's."""
    prompt = request.prompt
    said = [(_ROLES[who], text) for who, text in turns(request)]
    body: dict[str, Any] = {
        "model": request.model,
        "stream": True,
        "messages": [
            {"role": role, "content": text}
            for role, text in [("system", instructions(request, without)), *said]
        ],
    }
    if "schema" not in without:
        form = {"name": "persona", "strict": True, "schema": prompt.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    if "usage" not in without:
        body["stream_options"] = {"include_usage": True}
    if server.host == _HOST or _is_azure(server) or "max_tokens" in without:
        # What reasons knows no max_tokens; what is older, or somebody else's, only that.
        body["max_completion_tokens"] = request.max_output_tokens
    else:
        body["max_tokens"] = request.max_output_tokens
    if server.host == _HOST:
        body["prompt_cache_key"] = prompt.template_digest[-32:]
    if request.seed is not None and "seed" not in without:
        body["seed"] = (request.seed + request.index + request.attempt) % 2**31
    return Post(server.url(f"{server.path or '/v1'}/chat/completions"), body)


def headers(key: str, server: Address) -> dict[str, str]:
    return {"api-key": key} if _is_azure(server) else {"authorization": f"Bearer {key}"}


def hear(message: bytes, heard: Heard) -> None:
    """Raises msgspec.DecodeError."""
    if message.strip() == _DONE:
        heard.finish()
        return
    chunk = _chunks.decode(message)
    if chunk.error is not None:
        heard.error = chunk.error
        return
    heard.begun = True
    heard.request_id = heard.request_id or chunk.id
    for choice in chunk.choices or ():
        if (said := choice.delta or choice.message) is not None:
            _take(said, heard)
        if choice.finish_reason and heard.ending != "refused":
            heard.ending = _ENDINGS.get(choice.finish_reason, "whole")
    if chunk.usage is not None:
        _count(chunk.usage, heard)


def _take(said: _Said, heard: Heard) -> None:
    if isinstance(said.content, str) and said.content:
        heard.say(said.content)
    elif isinstance(said.content, list):
        _take_parts(said.content, heard)
    if said.refusal:
        heard.say(said.refusal)
        heard.ending = "refused"
    reasoning = said.reasoning_content or said.reasoning
    if isinstance(reasoning, str) and reasoning:
        heard.think(reasoning)


def _take_parts(parts: list[Any], heard: Heard) -> None:
    """Mistral's: `{"type": "text", "text"}`, and `{"type": "thinking", "thinking": [parts]}`."""
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                heard.say(text)
            case {"type": "thinking", "thinking": thought}:
                heard.think(thought if isinstance(thought, str) else _plain(thought))


def _plain(parts: object) -> str:
    """What stands in parts that are text."""
    if not isinstance(parts, list):
        return ""
    return "".join(part["text"] for part in parts if _is_text(part))


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _count(usage: _Usage, heard: Heard) -> None:
    """`prompt_tokens` holds the cache's; some servers leave reasoning out of `completion_tokens`,
    and nobody does out of `total_tokens`."""
    sent, written = count(usage.prompt_tokens), count(usage.completion_tokens)
    if sent is None or written is None:
        return
    given = usage.prompt_tokens_details
    details: dict[str, Any] = given if isinstance(given, dict) else {}
    heard.cache_read_tokens = min(sent, count(details.get("cached_tokens")) or 0)
    heard.cache_write_tokens = min(
        sent - heard.cache_read_tokens, count(details.get("cache_write_tokens")) or 0
    )
    heard.input_tokens = sent - heard.cache_read_tokens - heard.cache_write_tokens
    heard.output_tokens = max(written, (count(usage.total_tokens) or 0) - sent)


def _is_azure(server: Address) -> bool:
    return server.host.endswith(".azure.com") or "/openai/deployments/" in server.path


API = Api(
    name="openai",
    home=f"https://{_HOST}/v1",
    keys=KEYS["openai"],
    post=post,
    headers=headers,
    hear=hear,
)
