"""The four wire formats, from the server's side: read a request, and the messages of an answer.

A request that lacks what its API asks for is refused, as the API would.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from .errors import error
from .scripts import Asked, Format, Paid, Refusal, Turn

PATHS: dict[Format, str] = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "gemini": ":streamGenerateContent",
    "ollama": "/api/chat",
}
_FINISH = {
    "openai": {"stop": "stop", "length": "length", "refusal": "content_filter"},
    "anthropic": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"},
    "gemini": {"stop": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"},
    "ollama": {"stop": "stop", "length": "length", "refusal": "stop"},
}


def spoken(path: str) -> Format | None:
    """Which API this path belongs to."""
    bare = path.partition("?")[0]
    if bare.endswith("/chat/completions"):
        return "openai"
    return next((name for name, ending in PATHS.items() if bare.endswith(ending)), None)


def read(
    name: Format,
    number: int,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any],
    *,
    knows_less: bool = False,
) -> Asked:
    """Raises Refusal where the request is none of this API's; a schema is none if `knows_less`."""
    if knows_less:
        if _has_schema(name, body):
            raise Refusal(400, "schema")
        body = _with_schema(name, body)
    try:
        fields = _READERS[name](path, headers, body)
    except (KeyError, IndexError, TypeError) as missing:
        raise Refusal(400, "bad_request") from missing
    return Asked(number=number, format=name, path=path, headers=headers, body=body, **fields)


def _has_schema(name: Format, body: dict[str, Any]) -> bool:
    fields = body["generationConfig"] if name == "gemini" else body
    known = {"output_config", "response_format", "stream_options", "responseJsonSchema", "format"}
    return bool(known & fields.keys())


def _with_schema(name: Format, body: dict[str, Any]) -> dict[str, Any]:
    """The request as if it had an empty one, to be read like the others."""
    match name:
        case "anthropic":
            return body | {"output_config": {"format": {"type": "json_schema", "schema": {}}}}
        case "openai":
            form = {"type": "json_schema", "json_schema": {"strict": True, "schema": {}}}
            return body | {"response_format": form, "stream_options": {"include_usage": True}}
        case "gemini":
            config = body["generationConfig"] | {"responseJsonSchema": {}}
            return body | {"generationConfig": config}
        case "ollama":
            return body | {"format": {}}


def _anthropic(path: str, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    (system,) = body["system"]
    form = body["output_config"]["format"]
    if headers.get("anthropic-version") != "2023-06-01" or form["type"] != "json_schema":
        raise KeyError
    assert body["stream"] is True
    return {
        "key": headers.get("x-api-key"),
        "model": body["model"],
        "instructions": system["text"],
        "turns": [each["content"] for each in body["messages"]],
        "schema": form["schema"],
        "max_tokens": body["max_tokens"],
        "marked_for_cache": system.get("cache_control") == {"type": "ephemeral"},
    }


def _openai(path: str, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    form = body["response_format"]
    if form["type"] != "json_schema" or form["json_schema"]["strict"] is not True:
        raise KeyError
    assert body["stream_options"] == {"include_usage": True}
    system, *said = body["messages"]
    assert system["role"] == "system"
    key = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    return {
        "key": key or None,
        "model": body["model"],
        "instructions": system["content"],
        "turns": [each["content"] for each in said],
        "schema": form["json_schema"]["schema"],
        "max_tokens": body.get("max_completion_tokens") or body["max_tokens"],
    }


def _gemini(path: str, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    config = body["generationConfig"]
    bare, _, query = path.partition("?")
    if config["responseMimeType"] != "application/json" or query != "alt=sse":
        raise KeyError
    return {
        "key": headers.get("x-goog-api-key"),
        "model": bare.rpartition("/")[2].partition(":")[0],
        "instructions": body["systemInstruction"]["parts"][0]["text"],
        "turns": [each["parts"][0]["text"] for each in body["contents"]],
        "schema": config["responseJsonSchema"],
        "max_tokens": config["maxOutputTokens"],
    }


def _ollama(path: str, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    system, *said = body["messages"]
    assert system["role"] == "system"
    assert body["options"]["num_ctx"] > 0
    return {
        "key": None,
        "model": body["model"],
        "instructions": system["content"],
        "turns": [each["content"] for each in said],
        "schema": body["format"],
        "max_tokens": body["options"]["num_predict"],
    }


_READERS = {"anthropic": _anthropic, "openai": _openai, "gemini": _gemini, "ollama": _ollama}


def messages(
    asked: Asked, turn: Turn, pieces: list[str], paid: Paid, request_id: str
) -> Iterator[bytes]:
    """The stream's messages, framed."""
    name = asked.format
    maker = {
        "anthropic": _anthropic_stream,
        "openai": _openai_stream,
        "gemini": _gemini_stream,
        "ollama": _ollama_stream,
    }[name]
    for message in maker(asked, turn, pieces, paid, request_id):
        yield framed(name, message)


def framed(name: Format, message: dict[str, Any] | bytes) -> bytes:
    raw = message if isinstance(message, bytes) else msgspec.json.encode(message)
    if name == "ollama":
        return raw + b"\n"
    if name == "anthropic" and isinstance(message, dict):
        return b"event: " + message["type"].encode() + b"\ndata: " + raw + b"\n\n"
    return b"data: " + raw + (b"\r\n\r\n" if name == "gemini" else b"\n\n")


def stream_error(asked: Asked, turn: Turn) -> bytes:
    """The API's error in the middle of a stream."""
    found = error(asked.format, turn.error or "overloaded", 503, asked.key)
    return framed(asked.format, found)


def whole(asked: Asked, turn: Turn, text: str, paid: Paid, request_id: str) -> dict[str, Any]:
    """An answer of a server of OpenAI's kind that does not stream."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": _FINISH["openai"][turn.ending],
    }
    found: dict[str, Any] = {"id": request_id, "choices": [choice]}
    return found | ({"usage": _openai_usage(turn, paid)} if turn.usage else {})


def _anthropic_stream(
    asked: Asked, turn: Turn, pieces: list[str], paid: Paid, request_id: str
) -> Iterator[dict[str, Any]]:
    used = {
        "input_tokens": paid.input,
        "cache_read_input_tokens": paid.cache_read,
        "cache_creation_input_tokens": paid.cache_write,
    }
    start: dict[str, Any] = {"id": request_id, "role": "assistant", "content": []}
    if turn.usage:
        start["usage"] = used | {"output_tokens": 1}
    yield {"type": "message_start", "message": start}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "ping"}
    for piece in pieces:
        delta = {"type": "text_delta", "text": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": _FINISH["anthropic"][turn.ending], "stop_sequence": None}
    end: dict[str, Any] = {"type": "message_delta", "delta": ended}
    yield end | ({"usage": {"output_tokens": paid.output}} if turn.usage else {})
    yield {"type": "message_stop"}


def _openai_stream(
    asked: Asked, turn: Turn, pieces: list[str], paid: Paid, request_id: str
) -> Iterator[dict[str, Any] | bytes]:
    head = {"id": f"chatcmpl-{request_id}", "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return head | {"choices": [choice], "usage": None}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for piece in pieces:
        yield chunk({"content": piece})
    yield chunk({}, _FINISH["openai"][turn.ending])
    if turn.usage:
        yield head | {"choices": [], "usage": _openai_usage(turn, paid)}
    yield b"[DONE]"


def _openai_usage(turn: Turn, paid: Paid) -> dict[str, Any]:
    sent = paid.input + paid.cache_read + paid.cache_write
    return {
        "prompt_tokens": sent,
        "completion_tokens": paid.output,
        "total_tokens": sent + paid.output,
        "prompt_tokens_details": {"cached_tokens": paid.cache_read},
        "completion_tokens_details": {"reasoning_tokens": turn.thought},
    }


def _gemini_stream(
    asked: Asked, turn: Turn, pieces: list[str], paid: Paid, request_id: str
) -> Iterator[dict[str, Any]]:
    used = {
        "promptTokenCount": paid.input + paid.cache_read,
        "cachedContentTokenCount": paid.cache_read,
        "candidatesTokenCount": paid.output - turn.thought,
        "thoughtsTokenCount": turn.thought,
        "totalTokenCount": paid.input + paid.cache_read + paid.output,
    }
    for at, piece in enumerate(pieces, 1):
        candidate: dict[str, Any] = {"content": {"parts": [{"text": piece}], "role": "model"}}
        found: dict[str, Any] = {"candidates": [candidate], "responseId": request_id}
        if at == len(pieces):
            candidate["finishReason"] = _FINISH["gemini"][turn.ending]
            found |= {"usageMetadata": used} if turn.usage else {}
        yield found


def _ollama_stream(
    asked: Asked, turn: Turn, pieces: list[str], paid: Paid, request_id: str
) -> Iterator[dict[str, Any]]:
    head = {"model": asked.model, "created_at": "2026-11-26T00:00:00Z"}
    for piece in pieces:
        yield head | {"message": {"role": "assistant", "content": piece}, "done": False}
    last = {"message": {"role": "assistant", "content": ""}, "done": True}
    used = {"prompt_eval_count": paid.input, "eval_count": paid.output} if turn.usage else {}
    yield head | last | {"done_reason": _FINISH["ollama"][turn.ending]} | used
