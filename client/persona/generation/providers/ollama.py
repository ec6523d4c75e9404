"""Ollama's chat API: models on one's own machine, without a key, streamed as JSON lines."""

from typing import Any

import msgspec
from msgspec import Struct

from persona.generation.providers.address import Address, AddressError
from persona.generation.providers.base import Ending, GenerationRequest, ProviderSettings
from persona.generation.providers.hearing import (
    Api,
    Heard,
    Part,
    Post,
    count,
    instructions,
    tokens_of,
    turns,
)
from persona.generation.providers.hosted import HostedProvider

_HOST = "OLLAMA_HOST"
_PORT = 11434
_ROLES = {"user": "user", "model": "assistant"}
_ENDINGS: dict[str, Ending] = {"length": "cut"}
_CONTEXT_LEAST = 8_192


class _Message(Struct, frozen=True):
    content: str | None = None
    thinking: str | None = None


class _Line(Struct, frozen=True):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


_lines = msgspec.json.Decoder(_Line)


def create(settings: ProviderSettings) -> HostedProvider:
    """The factory that the registry names. Where no address is given, OLLAMA_HOST's holds."""
    host = settings.environment.get(_HOST, "").strip()
    if settings.base_url is not None or not host:
        return HostedProvider(API, settings)
    try:
        return HostedProvider(API, msgspec.structs.replace(settings, base_url=_of_host(host)))
    except AddressError as error:
        raise AddressError(str(error).replace("--base-url", _HOST)) from None


def post(request: GenerationRequest, server: Address, without: frozenset[Part]) -> Post:
    """The whole request, with a context that holds it: a longer one is cut without a word."""
    options: dict[str, Any] = {
        "num_ctx": _context(request),
        "num_predict": request.max_output_tokens,
    }
    if request.seed is not None:
        options["seed"] = (request.seed + request.index + request.attempt) % 2**31
    said = [(_ROLES[who], text) for who, text in turns(request)]
    body: dict[str, Any] = {
        "model": request.model,
        "stream": True,
        "options": options,
        "messages": [
            {"role": role, "content": text}
            for role, text in [("system", instructions(request, without)), *said]
        ],
    }
    if "schema" not in without:
        body["format"] = request.prompt.schema
    return Post(server.url(f"{server.path.removesuffix('/api')}/api/chat"), body)


def headers(key: str, server: Address) -> dict[str, str]:
    del key, server
    return {}


def hear(message: bytes, heard: Heard) -> None:
    """Raises msgspec.DecodeError."""
    line = _lines.decode(message)
    if line.error is not None:
        heard.error = {"message": line.error}
        return
    heard.begun = True
    if line.message is not None:
        if line.message.thinking:
            heard.think(line.message.thinking)
        if line.message.content:
            heard.say(line.message.content)
    if line.done:
        heard.input_tokens = count(line.prompt_eval_count)
        heard.output_tokens = count(line.eval_count)
        heard.ending = _ENDINGS.get(line.done_reason or "", "whole")
        heard.done = True


def _context(request: GenerationRequest) -> int:
    """Tokens, in powers of two: a model is loaded anew for each other size."""
    needed = tokens_of(request) * 5 // 4 + request.max_output_tokens
    return int(max(_CONTEXT_LEAST, 1 << (needed - 1).bit_length()))


def _of_host(host: str) -> str:
    """OLLAMA_HOST as Ollama reads it: scheme and port may be missing; 0.0.0.0 is this machine."""
    scheme, mark, rest = host.rpartition("://")
    name, slash, path = rest.partition("/")
    bare, colon, port = name.rpartition(":")
    if not (colon and port.isdigit()):
        bare, port = name, "" if mark else str(_PORT)
    bare = "127.0.0.1" if bare in ("", "0.0.0.0", "[::]") else bare
    return f"{scheme or 'http'}://{bare}{f':{port}' if port else ''}{slash}{path}"


API = Api(
    name="ollama",
    home=f"http://127.0.0.1:{_PORT}",
    post=post,
    headers=headers,
    hear=hear,
    framing="lines",
)
