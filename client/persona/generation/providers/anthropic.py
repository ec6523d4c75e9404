"""Anthropic's Messages API (version 2023-06-01), and servers that speak it.

The instructions, and with them the schema, carry the cache mark: they are the same for each
persona of a batch.
"""

from typing import Any

import msgspec
from msgspec import Struct

from persona.generation.providers.address import Address
from persona.generation.providers.base import Ending, GenerationRequest, ProviderSettings
from persona.generation.providers.hearing import Api, Heard, Part, Post, count, instructions, turns
from persona.generation.providers.hosted import HostedProvider
from persona.generation.providers.keys import KEYS

_ROLES = {"user": "user", "model": "assistant"}
_ENDINGS: dict[str, Ending] = {
    "max_tokens": "cut",
    "model_context_window_exceeded": "cut",
    "refusal": "refused",
}


class _Delta(Struct, frozen=True):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Usage(Struct, frozen=True):
    input_tokens: Any = None
    output_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None


class _Message(Struct, frozen=True):
    id: str | None = None
    usage: _Usage | None = None


class _Event(Struct, frozen=True):
    type: str
    message: _Message | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


_events = msgspec.json.Decoder(_Event)


def create(settings: ProviderSettings) -> HostedProvider:
    """The factory that the registry names."""
    return HostedProvider(API, settings)


def post(request: GenerationRequest, server: Address, without: frozenset[Part]) -> Post:
    """The whole request; the shared part stands first and is marked for the cache."""
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "stream": True,
        "system": [
            {
                "type": "text",
                "text": instructions(request, without),
                "cache_control": {"type": "ephemeral"},
            }
        ],
        "messages": [{"role": _ROLES[who], "content": text} for who, text in turns(request)],
    }
    if "schema" not in without:
        schema = request.prompt.schema
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return Post(server.url(f"{server.path.removesuffix('/v1')}/v1/messages"), body)


def headers(key: str, server: Address) -> dict[str, str]:
    del server
    return {"x-api-key": key}


def hear(message: bytes, heard: Heard) -> None:
    """Raises msgspec.DecodeError."""
    event = _events.decode(message)
    delta = event.delta
    match event.type:
        case "content_block_delta" if delta is not None:
            if delta.text:
                heard.say(delta.text)
            elif delta.thinking:
                heard.think(delta.thinking)
        case "message_start" if event.message is not None:
            heard.begun = True
            heard.request_id = event.message.id
            _count(event.message.usage, heard)
            # What message_start gives is one token or so: the figure that counts comes last.
            heard.output_tokens = None
        case "message_delta":
            _count(event.usage, heard)
            if delta is not None and delta.stop_reason is not None:
                heard.ending = _ENDINGS.get(delta.stop_reason, "whole")
        case "message_stop":
            heard.finish()
        case "error":
            heard.error = event.error or {}


def _count(usage: _Usage | None, heard: Heard) -> None:
    """Figures are cumulative; `input_tokens` leaves the cache's out already."""
    if usage is None:
        return
    if (tokens := count(usage.input_tokens)) is not None:
        heard.input_tokens = tokens
    if (tokens := count(usage.output_tokens)) is not None:
        heard.output_tokens = tokens
    if (tokens := count(usage.cache_read_input_tokens)) is not None:
        heard.cache_read_tokens = tokens
    if (tokens := count(usage.cache_creation_input_tokens)) is not None:
        heard.cache_write_tokens = tokens


API = Api(
    name="anthropic",
    home="https://api.anthropic.com",
    keys=KEYS["anthropic"],
    post=post,
    headers=headers,
    hear=hear,
    extra_headers={"anthropic-version": "2023-06-01"},
)
