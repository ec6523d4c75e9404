"""Google's Gemini API (v1beta), streamed as server-sent events.

Gemini caches a prompt's beginning by itself, so the shared part stands first.
"""

import re
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from persona.generation.providers.address import Address
from persona.generation.providers.base import Ending, GenerationRequest, ProviderSettings
from persona.generation.providers.hearing import Api, Heard, Part, Post, count, instructions, turns
from persona.generation.providers.hosted import HostedProvider
from persona.generation.providers.keys import KEYS

_VERSION = "/v1beta"
_VERSIONED = re.compile(r"/v\d+\w*$")
_ENDINGS: dict[str, Ending] = {
    "MAX_TOKENS": "cut",
    "SAFETY": "refused",
    "RECITATION": "refused",
    "BLOCKLIST": "refused",
    "PROHIBITED_CONTENT": "refused",
    "SPII": "refused",
}


class _Part(Struct, frozen=True):
    text: str | None = None
    thought: bool | None = None


class _Content(Struct, frozen=True):
    parts: list[_Part] | None = None


class _Candidate(Struct, frozen=True, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None


class _Usage(Struct, frozen=True, rename="camel"):
    prompt_token_count: Any = None
    cached_content_token_count: Any = None
    candidates_token_count: Any = None
    thoughts_token_count: Any = None
    tool_use_prompt_token_count: Any = None


class _Feedback(Struct, frozen=True, rename="camel"):
    block_reason: str | None = None


class _Chunk(Struct, frozen=True, rename="camel"):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    response_id: str | None = None
    error: Any = None


_chunks = msgspec.json.Decoder(_Chunk)


def create(settings: ProviderSettings) -> HostedProvider:
    """The factory that the registry names."""
    return HostedProvider(API, settings)


def post(request: GenerationRequest, server: Address, without: frozenset[Part]) -> Post:
    """The whole request; the model's name stands in the address."""
    config: dict[str, Any] = {
        "responseMimeType": "application/json",
        "maxOutputTokens": request.max_output_tokens,
    }
    if "schema" not in without:
        config["responseJsonSchema"] = request.prompt.schema
    if request.seed is not None and "seed" not in without:
        config["seed"] = (request.seed + request.index + request.attempt) % 2**31
    body = {
        "systemInstruction": {"parts": [{"text": instructions(request, without)}]},
        "contents": [{"role": who, "parts": [{"text": text}]} for who, text in turns(request)],
        "generationConfig": config,
    }
    path = server.path if _VERSIONED.search(server.path) else server.path + _VERSION
    model = quote(request.model.removeprefix("models/"), safe="")
    return Post(server.url(f"{path}/models/{model}:streamGenerateContent", "alt=sse"), body)


def headers(key: str, server: Address) -> dict[str, str]:
    del server
    return {"x-goog-api-key": key}


def hear(message: bytes, heard: Heard) -> None:
    """Raises msgspec.DecodeError."""
    chunk = _chunks.decode(message)
    if chunk.error is not None:
        heard.error = chunk.error
        return
    heard.begun = True
    heard.request_id = heard.request_id or chunk.response_id
    for candidate in chunk.candidates[:1]:
        for part in (candidate.content.parts if candidate.content is not None else None) or ():
            if part.text is not None:
                (heard.think if part.thought else heard.say)(part.text)
        if candidate.finish_reason:
            heard.ending = _ENDINGS.get(candidate.finish_reason, "whole")
    if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
        heard.say(f"the prompt was blocked: {chunk.prompt_feedback.block_reason}")
        heard.ending = "refused"
    if chunk.usage_metadata is not None:
        _count(chunk.usage_metadata, heard)
        heard.done = heard.ending is not None


def _count(usage: _Usage, heard: Heard) -> None:
    """`promptTokenCount` holds the cache's, `candidatesTokenCount` not what was thought."""
    sent = count(usage.prompt_token_count)
    if sent is None:
        return
    heard.cache_read_tokens = min(sent, count(usage.cached_content_token_count) or 0)
    tools = count(usage.tool_use_prompt_token_count) or 0
    heard.input_tokens = sent - heard.cache_read_tokens + tools
    written = count(usage.candidates_token_count)
    thought = count(usage.thoughts_token_count)
    if written is not None or thought is not None:
        heard.output_tokens = (written or 0) + (thought or 0)
    elif heard.ending == "refused":
        heard.output_tokens = 0


API = Api(
    name="gemini",
    home="https://generativelanguage.googleapis.com",
    keys=KEYS["gemini"],
    post=post,
    headers=headers,
    hear=hear,
)
