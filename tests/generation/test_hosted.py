"""Calls by each wire format against a server that speaks them: what comes back, and what goes."""

import json
from typing import Any

import anyio
import msgspec
import pytest
from persona.generation.model import Record, Segment
from persona.generation.prompts import build_prompt
from persona.generation.providers import hosted, provider, sockets
from persona.generation.providers.address import AddressError
from persona.generation.providers.base import (
    GenerationRequest,
    Provider,
    ProviderError,
    Repair,
    Response,
    Usage,
)

from ..provider_server import KEY, Paid, ProviderServer, Turn  # noqa: TID252
from ..provider_server.scripts import FORMATS, Format  # noqa: TID252

SAID = "I wait at the ferry for an hour every single morning."
RECORDS = (
    Record("a.txt#line 1", "P01", "a.txt", "line 1", SAID),
    Record("a.txt#line 2", "P02", "a.txt", "line 2", "The ferry never comes when I need it."),
)
SEGMENT = Segment("sha256:1", RECORDS, ("P01", "P02"), 0.5, ("ferry",))
ENVIRONMENT = {
    "ANTHROPIC_API_KEY": KEY,
    "OPENAI_API_KEY": KEY,
    "GEMINI_API_KEY": KEY,
}
everywhere = pytest.mark.parametrize("name", FORMATS)
with_keys = pytest.mark.parametrize("name", ["anthropic", "openai", "gemini"])


def request(**changes: Any) -> GenerationRequest:
    asked = GenerationRequest(
        persona="persona-1",
        index=1,
        attempt=1,
        prompt=build_prompt(SEGMENT, language="en"),
        segment=SEGMENT,
        model="some-model",
        language="en",
        timeout_s=20,
    )
    return msgspec.structs.replace(asked, **changes)


def made(server: ProviderServer, name: Format, **environment: str) -> Provider:
    return provider(name, base_url=server.url(name), environment=ENVIRONMENT | environment)


def call(
    server: ProviderServer, name: Format, *, times: int = 1, told: Any = None, **changes: Any
) -> Response:
    """The last response of so many calls, one after the other."""

    async def calling() -> Response:
        asked = made(server, name)
        try:
            for _ in range(times):
                response = await asked.generate(request(**changes), told)
            return response
        finally:
            await asked.aclose()

    return anyio.run(calling)


def failing(server: ProviderServer, name: Format, **changes: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        call(server, name, **changes)
    return caught.value


def as_usage(paid: Paid) -> Usage:
    return Usage(paid.input, paid.output, paid.cache_read, paid.cache_write)


@everywhere
def test_an_answer_comes_whole_with_the_figures_that_were_billed(name: Format) -> None:
    with ProviderServer(key=KEY) as server:
        response = call(server, name)

    (asked,) = server.asked
    (request_id, paid), *_ = server.paid.items()
    assert json.loads(response.body)["quotes"] == [SAID, RECORDS[1].text]
    assert response.usage == as_usage(paid)
    assert response.request_id == (None if name == "ollama" else request_id)
    assert response.ending == "whole"
    assert response.ttft_ms is not None
    assert asked.model == "some-model"


@everywhere
def test_the_prompt_is_sent_by_the_apis_own_means(name: Format) -> None:
    prompt = build_prompt(SEGMENT, language="en")
    with ProviderServer(key=KEY) as server:
        call(server, name, max_output_tokens=777)

    (asked,) = server.asked
    assert (asked.instructions, asked.turns) == (prompt.instructions, [prompt.source])
    assert asked.schema == prompt.schema
    assert asked.max_tokens == 777
    assert asked.marked_for_cache == (name == "anthropic")


@with_keys
def test_what_comes_from_a_cache_is_counted_apart(name: Format) -> None:
    with ProviderServer(key=KEY) as server:
        response = call(server, name, times=2)

    first, second = server.paid.values()
    assert response.usage == as_usage(second)
    assert response.usage.cache_read_tokens > 0
    assert (first.cache_write > 0) == (name == "anthropic")


@everywhere
def test_reasoning_counts_as_output(name: Format) -> None:
    with ProviderServer([Turn(thought=500)]) as server:
        response = call(server, name)

    assert response.usage.output_tokens == next(iter(server.paid.values())).output > 500


@everywhere
def test_tokens_are_told_as_they_arrive(name: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "GATHER_S", 0.0)
    seen: list[int] = []
    with ProviderServer([Turn(pieces=20, gap_s=0.001)]) as server:
        response = call(server, name, told=seen.append)

    assert len(seen) > 5
    assert seen[:-1] == sorted(seen[:-1])
    assert seen[-1] == response.usage.output_tokens


@everywhere
def test_one_connection_serves_call_after_call(name: Format) -> None:
    with ProviderServer() as server:
        call(server, name, times=5)

    assert len(server.asked) == 5
    assert server.connections == 1


@everywhere
def test_figures_that_are_missing_are_estimated_and_marked(name: Format) -> None:
    with ProviderServer([Turn(usage=False)]) as server:
        response = call(server, name)

    (paid,) = server.paid.values()
    sent = paid.input + paid.cache_read + paid.cache_write
    assert response.usage.estimated
    assert 0.5 * sent < response.usage.input_tokens < 2 * sent
    assert 0.5 * paid.output < response.usage.output_tokens < 2 * paid.output


@everywhere
@pytest.mark.parametrize(("ending", "found"), [("length", "cut"), ("refusal", "refused")])
def test_an_answer_that_was_cut_or_refused_is_paid_for_and_says_so(
    name: Format, ending: Any, found: str
) -> None:
    if (name, ending) == ("ollama", "refusal"):
        # It knows no such thing: its models refuse in an answer like any other.
        found = "whole"
    with ProviderServer([Turn(ending=ending, text='{"name": "Ad')]) as server:
        response = call(server, name)

    assert (response.ending, response.body) == (found, b'{"name": "Ad')
    assert response.usage == as_usage(next(iter(server.paid.values())))


@everywhere
def test_a_stream_that_breaks_off_may_have_been_paid_for(name: Format) -> None:
    with ProviderServer([Turn(cut_after=3)]) as server:
        error = failing(server, name)

    assert (error.kind, error.maybe_paid) == ("connection", True)


@everywhere
def test_an_error_in_the_middle_of_a_stream_may_have_been_paid_for(name: Format) -> None:
    with ProviderServer([Turn(error_after=3)]) as server:
        error = failing(server, name)

    assert (error.kind, error.maybe_paid) == ("server_error", True)


@everywhere
def test_a_stream_of_nonsense_is_no_answer(name: Format) -> None:
    with ProviderServer([Turn(nonsense_after=3)]) as server:
        error = failing(server, name)

    assert (error.kind, error.maybe_paid) == ("invalid_output", True)


@everywhere
def test_a_server_that_keeps_silent_is_given_up(name: Format) -> None:
    with ProviderServer([Turn(hangs="before")]) as server:
        error = failing(server, name, timeout_s=0.2)

    assert (error.kind, error.maybe_paid) == ("timeout", True)
    assert error.message == f"127.0.0.1:{server.port} did not answer in time"


@everywhere
def test_a_finished_answer_is_taken_though_the_server_does_not_hang_up(name: Format) -> None:
    with ProviderServer([Turn(hangs="after")]) as server:
        response = call(server, name, timeout_s=20)

    assert response.usage == as_usage(next(iter(server.paid.values())))


@everywhere
def test_five_megabytes_are_heard_to_their_end_and_not_kept(name: Format) -> None:
    endless = '{"name": "' + "a" * 5_000_000
    with ProviderServer([Turn(text=endless, pieces=100)]) as server:
        response = call(server, name)

    assert response.ending == "cut"
    assert len(response.body) <= 1 << 20
    assert response.usage == as_usage(next(iter(server.paid.values())))


@pytest.mark.parametrize("streams", [True, False])
def test_a_server_that_never_stops_is_listened_to_no_longer(
    monkeypatch: pytest.MonkeyPatch, streams: bool
) -> None:
    monkeypatch.setattr(hosted, "STREAM_BYTES_MAX", 1 << 20)
    with ProviderServer([Turn(text="a" * 5_000_000, pieces=100, streams=streams)]) as server:
        error = failing(server, "openai")

    assert (error.kind, error.maybe_paid) == ("invalid_output", True)
    assert error.message.endswith("does not stop sending: 1 MiB and no end")


@everywhere
def test_an_empty_answer_is_one(name: Format) -> None:
    with ProviderServer([Turn(text="")]) as server:
        response = call(server, name)

    assert response.body == b""
    with pytest.raises(ProviderError, match="empty"):
        provider(name, environment={}).parse(response.body)


@everywhere
def test_an_answer_can_be_sent_back_to_be_put_right(name: Format) -> None:
    with ProviderServer() as server:
        call(server, name, repair=Repair("half a pers", "it is cut"))

    (asked,) = server.asked
    assert asked.turns[:2] == [build_prompt(SEGMENT, language="en").source, "half a pers"]
    assert "it is cut" in asked.turns[2]


@everywhere
def test_a_server_that_takes_no_schema_reads_it_in_the_instructions(name: Format) -> None:
    with ProviderServer(knows_less=True) as server:
        response = call(server, name, times=3)

    assert json.loads(response.body)["quotes"] == [SAID, RECORDS[1].text]
    assert all('"pain_points":{"type":"array"' in asked.instructions for asked in server.asked)
    assert (len(server.asked), server.requests) == (3, 4)


def test_a_server_that_does_not_stream_is_understood() -> None:
    with ProviderServer([Turn(streams=False)]) as server:
        response = call(server, "openai")

    assert response.usage == as_usage(next(iter(server.paid.values())))


def test_a_web_page_is_no_answer() -> None:
    page = Turn(body=b"<html>Log in</html>", content_type="text/html; charset=utf-8")
    with ProviderServer([page]) as server:
        error = failing(server, "openai")

    assert (error.kind, error.maybe_paid) == ("bad_request", False)
    assert "is --base-url right?" in error.message


def test_a_path_such_as_azures_is_taken_as_it_is() -> None:
    with ProviderServer(key=KEY) as server:
        base = f"http://127.0.0.1:{server.port}/openai/deployments/mine?api-version=2024-10-21"

        async def calling() -> Response:
            asked = provider("openai", base_url=base, environment=ENVIRONMENT)
            try:
                return await asked.generate(request())
            finally:
                await asked.aclose()

        anyio.run(calling)

    (asked,) = server.asked
    assert asked.path == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == KEY
    assert "authorization" not in asked.headers
    assert asked.body["max_completion_tokens"] == 4_096


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "http://127.0.0.1:{}/", "0.0.0.0:{}"])
def test_ollama_is_found_where_its_own_variable_says(host: str) -> None:
    async def calling(port: int) -> Response:
        asked = provider("ollama", environment={"OLLAMA_HOST": host.format(port)})
        try:
            return await asked.generate(request())
        finally:
            await asked.aclose()

    with ProviderServer() as server:
        assert anyio.run(calling, server.port).ending == "whole"


def test_an_ollama_host_that_is_none_is_named_as_it_was_given() -> None:
    with pytest.raises(AddressError, match="OLLAMA_HOST has spaces"):
        provider("ollama", environment={"OLLAMA_HOST": "my host"})


def test_an_empty_address_is_not_the_providers_own() -> None:
    with pytest.raises(AddressError, match="must be a whole address"):
        provider("openai", base_url="", environment=ENVIRONMENT)


def test_a_seed_varies_with_the_persona_and_the_attempt() -> None:
    with ProviderServer() as server:
        call(server, "openai", seed=7)
        call(server, "openai", seed=7, index=2)

    assert [asked.body["seed"] for asked in server.asked] == [9, 10]


def test_many_calls_at_once_share_one_provider() -> None:
    async def calling(server: ProviderServer) -> list[Response]:
        asked, found = made(server, "anthropic"), []

        async def one(index: int) -> None:
            found.append(await asked.generate(request(index=index)))

        async with anyio.create_task_group() as calls:
            for index in range(64):
                calls.start_soon(one, index)
        await asked.aclose()
        return found

    with ProviderServer(lambda asked: Turn(delay_s=0.05)) as server:
        responses = anyio.run(calling, server)

    billed = {request_id: as_usage(paid) for request_id, paid in server.paid.items()}
    assert {each.request_id: each.usage for each in responses} == billed
    assert len(billed) == 64
