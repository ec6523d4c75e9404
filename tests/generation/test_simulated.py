from collections.abc import Callable

import anyio
import pytest
from persona.generation.model import Record, Segment
from persona.generation.prompts import build_prompt
from persona.generation.providers import provider
from persona.generation.providers.base import (
    GenerationRequest,
    InvalidOutput,
    ProviderError,
    Response,
)
from persona.generation.providers.local import written
from persona.generation.providers.simulated import Failure, shape


def request(index: int = 1, attempt: int = 1, timeout_s: float = 60) -> GenerationRequest:
    record = Record("a#1", "P01", "a", "line 1", "I take the ferry every day and it is late.")
    segment = Segment("sha256:1", (record,), ("P01",), 1.0, ("ferry",))
    prompt = build_prompt(segment, language="en")
    return GenerationRequest(
        f"p{index}", index, attempt, prompt, segment, "simulated-1", "en", 7, (), 4_096, timeout_s
    )


def answer(
    asked: GenerationRequest,
    on_progress: Callable[[int], None] | None = None,
    **environment: object,
) -> Response:
    variables = {f"PERSONA_SIMULATED_{name}": str(value) for name, value in environment.items()}
    simulated = provider(
        "simulated", environment={"PERSONA_SIMULATED_LATENCY_MS": "1", **variables}
    )

    async def call() -> Response:
        response = await simulated.generate(asked, on_progress)
        await simulated.aclose()
        return response

    return anyio.run(call)


def outcome(index: int, attempt: int = 1, **environment: object) -> str:
    try:
        answer(request(index, attempt), **environment)
    except ProviderError as error:
        return error.kind
    return "answered"


def test_it_answers_what_local_would_write_and_counts_tokens() -> None:
    response = answer(request())
    assert response.body == written(request())
    assert response.usage.input_tokens == request().prompt.tokens
    assert response.usage.output_tokens > 50
    assert response.request_id == "simulated-p1-1"
    assert response.ttft_ms == pytest.approx(0.1)


def test_progress_grows_to_the_whole_answer() -> None:
    seen: list[int] = []
    response = answer(request(), seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == response.usage.output_tokens
    assert len(seen) == 10


def test_it_waits_as_long_as_it_is_told() -> None:
    response = answer(request(), LATENCY_MS=20)
    assert response.ttft_ms == 2
    assert answer(request(), LATENCY_MS=2, SPREAD=1).ttft_ms != 0.2
    assert (
        answer(request(), LATENCY_MS=2, SPREAD=1).ttft_ms
        == answer(request(), LATENCY_MS=2, SPREAD=1).ttft_ms
    )


def test_errors_come_where_the_script_says() -> None:
    script = "3=server_error, 4/1=rate_limit"
    assert [outcome(index, ERRORS=script) for index in (2, 3, 4)] == [
        "answered",
        "server_error",
        "rate_limit",
    ]
    assert [outcome(index, 2, ERRORS=script) for index in (3, 4)] == ["server_error", "answered"]


def test_errors_come_as_often_as_the_script_says_and_always_the_same() -> None:
    kinds = [outcome(index, ERRORS="connection:0.5") for index in range(1, 61)]
    assert 15 <= kinds.count("connection") <= 45
    assert kinds == [outcome(index, ERRORS="connection:0.5") for index in range(1, 61)]
    assert outcome(1, ERRORS="connection:0") == "answered"
    assert outcome(1, ERRORS="connection:1") == "connection"


def test_invalid_output_is_an_answer_that_parsing_refuses() -> None:
    response = answer(request(), ERRORS="invalid_output:1")
    with pytest.raises(InvalidOutput):
        provider("simulated", environment={}).parse(response.body)


def test_a_rate_limit_can_say_how_long_to_wait() -> None:
    with pytest.raises(ProviderError) as caught:
        answer(request(), ERRORS="1=rate_limit", RETRY_AFTER_S=0.25)
    assert caught.value.retry_after_s == 0.25


@pytest.mark.parametrize("environment", [{"LATENCY_MS": 60_000}, {"ERRORS": "timeout:1"}])
def test_a_wait_beyond_the_requests_patience_is_a_timeout(environment: dict[str, object]) -> None:
    with pytest.raises(ProviderError, match=r"no answer within 0\.001 s") as caught:
        answer(request(timeout_s=0.001), **environment)
    assert caught.value.kind == "timeout"


def test_by_default_a_call_takes_a_second_and_succeeds() -> None:
    found = shape({})
    assert (found.latency_ms, found.spread, found.failures, found.retry_after_s) == (
        1000,
        0,
        (),
        None,
    )


def test_the_script_is_read_entry_by_entry() -> None:
    found = shape({"PERSONA_SIMULATED_ERRORS": "timeout:0.1,, 3/2=connection"}).failures
    assert found == (Failure("timeout", 0.1), Failure("connection", 1.0, 3, 2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LATENCY_MS", "soon"),
        ("SPREAD", "-1"),
        ("LATENCY_MS", "nan"),
        ("ERRORS", "timeout"),
        ("ERRORS", "timeout:2"),
        ("ERRORS", "breakdown:0.1"),
        ("ERRORS", "x=timeout"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"PERSONA_SIMULATED_{name}"):
        shape({f"PERSONA_SIMULATED_{name}": value})
