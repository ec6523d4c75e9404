"""What each API's messages mean, and where its requests go: pure functions, no socket."""

from typing import Any

import msgspec
import pytest
from persona.generation.providers import anthropic, gemini, ollama, openai
from persona.generation.providers.address import address
from persona.generation.providers.base import Usage
from persona.generation.providers.hearing import Api, Heard, declined

from .test_hosted import request


def heard(api: Api, *messages: dict[str, Any]) -> Heard:
    found = Heard()
    for message in messages:
        api.hear(msgspec.json.encode(message), found)
    return found


def usage(api: Api, *messages: dict[str, Any]) -> Usage:
    return heard(api, *messages).usage(request())


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c-1", "choices": [{"delta": delta, "finish_reason": finish}]} | more


def test_openai_reasoning_that_only_the_total_holds_is_output() -> None:
    used = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 150}
    assert usage(openai.API, chunk({}, "stop", usage=used)) == Usage(100, 50)


def test_openai_cache_figures_are_taken_out_of_the_input() -> None:
    details = {"cached_tokens": 60, "cache_write_tokens": 30}
    used = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": details}
    assert usage(openai.API, chunk({}, "stop", usage=used)) == Usage(10, 10, 60, 30)


@pytest.mark.parametrize("odd", [{}, {"prompt_tokens": None}, {"prompt_tokens": "many"}])
def test_odd_figures_are_estimated_and_cost_no_answer(odd: dict[str, Any]) -> None:
    found = usage(openai.API, chunk({"content": "x" * 40}, "stop", usage=odd))
    assert (found.estimated, found.output_tokens) == (True, 10)
    assert found.input_tokens > 100


def test_openai_tells_a_refusal_apart_from_an_answer() -> None:
    found = heard(openai.API, chunk({"refusal": "I can't."}), chunk({}, "stop"))
    assert (found.ended, found.text) == ("refused", "I can't.")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_that_is_shown_is_progress_and_no_answer(field: str) -> None:
    found = heard(openai.API, chunk({field: "hmm" * 40}), chunk({"content": "{}"}, "stop"))
    assert (found.text, found.tokens) == ("{}", 31)


@pytest.mark.parametrize("odd", ["none", 7, None, {"cached_tokens": "many"}])
def test_odd_details_of_figures_cost_no_answer(odd: object) -> None:
    used = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": odd}
    assert usage(openai.API, chunk({"content": "{}"}, "stop", usage=used)) == Usage(100, 10)


def test_openai_answers_that_come_in_parts_are_put_together() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hmm" * 40}]}
    parts = [{"type": "text", "text": "{}"}, {"type": "image"}]
    found = heard(openai.API, chunk({"content": [thinking]}), chunk({"content": parts}, "stop"))
    assert (found.text, found.tokens) == ("{}", 31)


def test_what_a_server_calls_done_is_whole_without_a_reason_too() -> None:
    spoken, silent, claude = Heard(), Heard(), Heard()
    openai.API.hear(msgspec.json.encode(chunk({"content": "{}"})), spoken)
    said = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "{}"}}
    anthropic.API.hear(msgspec.json.encode(said), claude)
    for found in (spoken, silent):
        openai.API.hear(b"[DONE]", found)
    anthropic.API.hear(b'{"type": "message_stop"}', claude)

    assert (spoken.ending, silent.ending, claude.ending) == ("whole", None, "whole")


@pytest.mark.parametrize(
    ("api", "message"),
    [
        (openai.API, {"choices": [{"delta": {"content": None}}]}),
        (
            anthropic.API,
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": None}},
        ),
        (gemini.API, {"candidates": [{"content": {"parts": None}}]}),
        (gemini.API, {"candidates": [{"content": {"parts": [{"text": None}]}}]}),
        (ollama.API, {"message": {"content": None}}),
    ],
)
def test_a_message_without_text_costs_no_answer(api: Api, message: dict[str, Any]) -> None:
    assert heard(api, message).text == ""


def test_an_error_in_a_stream_is_one() -> None:
    assert heard(openai.API, {"error": {"message": "no"}}).error == {"message": "no"}
    assert heard(gemini.API, {"error": {"message": "no"}}).error == {"message": "no"}
    assert heard(ollama.API, {"error": "no"}).error == {"message": "no"}
    assert heard(anthropic.API, {"type": "error", "error": {"message": "no"}}).error


def test_anthropic_thinking_is_progress_and_no_answer() -> None:
    def delta(**fields: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": 0, "delta": fields}

    found = heard(
        anthropic.API,
        {"type": "message_start", "message": {"id": "m-1", "usage": {"input_tokens": 9}}},
        delta(type="thinking_delta", thinking="hmm" * 40),
        delta(type="signature_delta", signature="x"),
        delta(type="text_delta", text="{}"),
        {"type": "something_new"},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
    )
    assert (found.text, found.tokens, found.request_id) == ("{}", 31, "m-1")
    assert found.usage(request()).estimated


def test_gemini_counts_thoughts_tools_and_cache() -> None:
    used = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 30,
        "toolUsePromptTokenCount": 5,
    }
    parts = [{"text": "hmm", "thought": True}, {"text": "{}"}]
    said = {"content": {"parts": parts}, "finishReason": "STOP"}
    found = heard(gemini.API, {"candidates": [said], "usageMetadata": used, "responseId": "r-1"})
    assert (found.text, found.ended, found.request_id) == ("{}", "whole", "r-1")
    assert found.usage(request()) == Usage(45, 40, 60)


def test_gemini_says_that_it_blocked_a_prompt_and_what_that_cost() -> None:
    found = heard(
        gemini.API,
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 70}},
    )
    assert (found.ended, found.text) == ("refused", "the prompt was blocked: SAFETY")
    assert found.usage(request()) == Usage(70, 0)


def test_ollama_leaves_out_what_it_had_cached_so_that_it_is_estimated() -> None:
    done = {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 3}
    said = {"message": {"content": "{}", "thinking": "hmm"}, "done": False}
    found = heard(ollama.API, said, done)
    assert found.ended == "whole"
    assert found.usage(request()).estimated
    assert found.usage(request()).output_tokens == 3


@pytest.mark.parametrize(
    ("api", "base_url", "url"),
    [
        (openai.API, "http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        (openai.API, "http://localhost:8000/v1/", "http://localhost:8000/v1/chat/completions"),
        (openai.API, "https://a.example/api/v4", "https://a.example/api/v4/chat/completions"),
        (anthropic.API, "https://a.example/proxy", "https://a.example/proxy/v1/messages"),
        (anthropic.API, "https://a.example/v1", "https://a.example/v1/messages"),
        (ollama.API, "http://box:11434/api", "http://box:11434/api/chat"),
        (
            gemini.API,
            "https://a.example",
            "https://a.example/v1beta/models/some-model:streamGenerateContent?alt=sse",
        ),
        (
            gemini.API,
            "https://a.example/v1",
            "https://a.example/v1/models/some-model:streamGenerateContent?alt=sse",
        ),
    ],
)
def test_a_request_goes_where_the_api_has_its_place(api: Api, base_url: str, url: str) -> None:
    assert api.post(request(), address(base_url), frozenset()).url == url


def test_openai_itself_is_asked_as_it_likes() -> None:
    body = openai.post(request(seed=3), address("https://api.openai.com/v1"), frozenset()).body
    assert body["max_completion_tokens"] == 4_096
    assert "max_tokens" not in body
    assert body["prompt_cache_key"] in request().prompt.template_digest
    assert openai.headers("sk-1", address("https://api.openai.com/v1")) == {
        "authorization": "Bearer sk-1"
    }


def test_the_part_that_all_personas_share_comes_first() -> None:
    for api in (openai.API, anthropic.API, gemini.API, ollama.API):
        body = api.post(request(), address("http://localhost"), frozenset()).body
        text = msgspec.json.encode(body).decode()
        assert text.index("You write one research persona") < text.index("The ferry never comes")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens"),
        ("Extra inputs are not permitted: stream_options", "usage"),
        ("This response_format type is unavailable now", "schema"),
        ("unknown field seed", "seed"),
        ("json: cannot unmarshal object into Go struct field ChatRequest.format", "schema"),
        ("model not found", None),
    ],
)
def test_what_a_server_declines_is_read_from_its_words(words: str, parts: str | None) -> None:
    assert declined(words) == ({parts} if parts else set())


def test_ollama_is_given_a_context_that_holds_all() -> None:
    def context(tokens: int) -> int:
        asked = request(max_output_tokens=tokens)
        body = ollama.post(asked, address("http://localhost"), frozenset()).body
        found: int = body["options"]["num_ctx"]
        return found

    assert (context(100), context(10_000), context(16_384)) == (8_192, 16_384, 32_768)
