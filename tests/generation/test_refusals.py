"""What is not an answer: which kind of error it is, how long to wait, and what a person is told."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import anyio
import httpx2
import pytest
from persona.generation.providers import provider
from persona.generation.providers.base import ErrorKind, ProviderError, Response
from persona.generation.providers.refusals import duration_s, read, retry_after_s
from persona.generation.providers.transport import told

from ..provider_server import KEY, ProviderServer, Turn  # noqa: TID252
from ..provider_server.scripts import FORMATS, Format  # noqa: TID252
from .test_hosted import ENVIRONMENT, call, failing, request

CERTIFICATE = str(Path(__file__).parents[1] / "data" / "loopback.pem")
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)

WORDS: list[tuple[int, str, ErrorKind]] = [
    (400, "bad_request", "bad_request"),
    (401, "key", "authentication"),
    (403, "rights", "authentication"),
    (404, "model", "bad_request"),
    (413, "too_large", "bad_request"),
    (429, "rate_limit", "rate_limit"),
    (500, "server", "server_error"),
    (503, "overloaded", "server_error"),
    (504, "timeout", "timeout"),
    (529, "overloaded", "server_error"),
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("status", "error", "kind"), WORDS)
def test_each_apis_errors_are_told_apart(
    name: Format, status: int, error: str, kind: ErrorKind
) -> None:
    with ProviderServer([Turn(status=status, error=error)]) as server:
        found = failing(server, name)

    assert found.kind == kind
    assert found.maybe_paid == (kind == "timeout")
    assert found.request_id == "req-refused-1"
    assert server.paid == {}


@pytest.mark.parametrize(
    ("name", "status"),
    [("anthropic", 400), ("openai", 429), ("gemini", 429), ("ollama", 429), ("anthropic", 402)],
)
def test_an_exhausted_quota_is_no_rate_limit(name: Format, status: int) -> None:
    with ProviderServer([Turn(status=status, error="quota")]) as server:
        found = failing(server, name)

    assert found.kind == "quota_exhausted"
    assert found.message.endswith("; add credit, or raise the limit, at the provider")
    assert ".;" not in found.message


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_filter_refuses_is_refused_content(name: Format) -> None:
    with ProviderServer([Turn(status=400, error="content")]) as server:
        assert failing(server, name).kind == "content_refused"


@pytest.mark.parametrize(
    ("name", "status", "error", "advice"),
    [
        ("openai", 401, "key", "; check the key in OPENAI_API_KEY"),
        ("anthropic", 403, "rights", "; the key in ANTHROPIC_API_KEY lacks the right to do this"),
        ("gemini", 400, "key", "; check the key in GEMINI_API_KEY"),
        ("ollama", 404, "model", "; is there a model some-model, and is --base-url right?"),
    ],
)
def test_an_error_says_what_to_do(name: Format, status: int, error: str, advice: str) -> None:
    with ProviderServer([Turn(status=status, error=error)]) as server:
        found = failing(server, name)

    assert found.message.startswith(f"127.0.0.1:{server.port} answered {status}: ")
    assert found.message.endswith(advice)


def test_a_key_that_a_server_repeats_is_taken_out() -> None:
    with ProviderServer(key="another") as server:
        found = failing(server, "openai")

    assert KEY not in found.message
    assert "Incorrect API key provided: [OPENAI_API_KEY]." in found.message


def test_a_key_is_taken_out_before_words_are_cut() -> None:
    said = b'{"error": {"message": "' + b"x" * 230 + b" " + KEY.encode() + b'"}}'
    with ProviderServer([Turn(status=401, body=said)]) as server:
        found = failing(server, "openai")

    assert KEY[:6] not in found.message


@pytest.mark.parametrize("status", [200, 503])
def test_a_key_is_no_request_id(status: int) -> None:
    with ProviderServer([Turn(status=status, headers={"request-id": f"1-{KEY}"})]) as server:
        if status == 200:
            named = call(server, "openai").request_id
        else:
            named = failing(server, "openai").request_id

    assert named == "1-[OPENAI_API_KEY]"


def test_a_redirection_is_not_followed_with_the_key() -> None:
    with ProviderServer([Turn(status=307, headers={"location": "http://127.0.0.1:9/"})]) as server:
        found = failing(server, "anthropic")

    assert found.kind == "bad_request"
    assert "sends us elsewhere" in found.message


def test_an_error_that_is_a_page_is_told_by_its_text() -> None:
    page = b"<html><style>p {}</style><body><h1>Bad gateway</h1><p>try again</p></body></html>"
    with ProviderServer([Turn(status=502, body=page, content_type="text/html")]) as server:
        found = failing(server, "openai")

    assert (found.kind, found.message) == (
        "server_error",
        f"127.0.0.1:{server.port} answered 502: Bad gateway try again",
    )


def test_who_takes_no_key_is_not_told_of_one() -> None:
    said = b'{"error": "this model requires a subscription"}'
    with ProviderServer([Turn(status=403, body=said)]) as server:
        found = failing(server, "ollama")

    assert found.message.endswith("this model requires a subscription")


@pytest.mark.parametrize("name", FORMATS)
def test_the_wait_that_a_server_asks_for_is_passed_on(name: Format) -> None:
    with ProviderServer([Turn(status=429, retry_after="7")]) as server:
        assert failing(server, name).retry_after_s == 7


def test_gemini_tells_the_wait_in_its_error() -> None:
    with ProviderServer([Turn(status=429)]) as server:
        assert failing(server, "gemini").retry_after_s == 37


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 26 Nov 2026 12:01:30 GMT"}, 90),
        ({"retry-after": "Thu, 26 Nov 2026 11:00:00 GMT"}, 0),
        (
            {
                "retry-after": "Thu, 26 Nov 2026 09:00:10 GMT",
                "date": "Thu, 26 Nov 2026 09:00:00 GMT",
            },
            10,
        ),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, 90),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1m30s"}, None),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-26T12:00:20Z",
            },
            20,
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_every_way_to_ask_for_patience_is_read(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("37s", 37), ("36.5s", 36.5), ("20ms", 0.02), ("6m0s", 360), ("1h2m3s", 3723), ("1d", 86400)],
)
def test_durations_are_read_with_their_units(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1 minute", "-1s"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration_s(text) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"detail": "Not authenticated"}', "Not authenticated"),
        (b'{"detail": [{"msg": "missing"}]}', '[{"msg":"missing"}]'),
        (b'[{"error": {"code": 400, "message": "bad"}}]', "bad"),
        (b'{"error": {"message": {"odd": 1}}}', '{"odd":1}'),
        (b'{"error": {"details": ["odd"], "message": "bad"}}', "bad"),
        (b"\xff\xfe plain", "\ufffd\ufffd plain"),
        (b"", ""),
        (b"null", "null"),
        (b"[" * 100_000, "[" * 3_999 + "…"),
    ],
)
def test_whatever_an_error_holds_it_is_told(body: bytes, message: str) -> None:
    assert read(body).message == message


async def asking(base_url: str, environment: dict[str, str]) -> Response:
    asked = provider("openai", base_url=base_url, environment=environment)
    try:
        return await asked.generate(request())
    finally:
        await asked.aclose()


def unreachable(base_url: str, environment: dict[str, str] = ENVIRONMENT) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        anyio.run(asking, base_url, environment)
    return caught.value


def test_a_server_that_is_down_was_not_paid() -> None:
    with ProviderServer() as server:
        gone = server.url("openai")

    found = unreachable(gone)

    assert (found.kind, found.maybe_paid) == ("connection", False)
    assert found.message == (
        f"127.0.0.1:{server.port} can't be reached: connection refused; is the server running?"
    )


def test_a_host_that_nobody_knows_is_said() -> None:
    error = httpx2.ConnectError("All connection attempts failed")
    error.__cause__ = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    found = told(error, "models.example")

    assert (found.kind, found.maybe_paid) == ("connection", False)
    assert found.message == (
        "models.example can't be reached: no address is known for that name "
        "(Name or service not known); is the server running?"
    )


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    with ProviderServer(certificate=CERTIFICATE) as server:
        found = unreachable(server.url("openai"))

    assert (found.kind, found.maybe_paid) == ("connection", False)
    assert found.message.startswith(f"127.0.0.1:{server.port} can't be trusted: ")
    assert "set SSL_CERT_FILE" in found.message
    assert server.requests == 0


def test_a_certificate_authority_of_ones_own_is_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with ProviderServer(certificate=CERTIFICATE, key=KEY) as server:
        assert anyio.run(asking, server.url("openai"), ENVIRONMENT).ending == "whole"


def test_a_proxy_is_asked_for_a_server_that_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with ProviderServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        answered = anyio.run(asking, "http://models.example/v1", ENVIRONMENT)

    (asked,) = proxy.asked
    assert answered.ending == "whole"
    assert asked.path == "http://models.example/v1/chat/completions"
    assert asked.key is None


def test_a_proxy_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with ProviderServer() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
    found = unreachable("https://models.example/v1")

    assert (found.kind, found.maybe_paid) == ("connection", False)
    assert found.message == (
        f"models.example can't be reached by way of the proxy 127.0.0.1:{proxy.port}: connection "
        "refused; see HTTPS_PROXY and NO_PROXY"
    )


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with ProviderServer() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        found = unreachable("https://models.example/v1")

    assert (found.kind, found.maybe_paid) == ("connection", False)
    assert found.message.startswith("the proxy on the way to models.example refuses: 404")
    assert proxy.requests == 1


def test_a_proxy_never_stands_between_this_machine_and_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ProviderServer() as proxy, ProviderServer(key=KEY) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        anyio.run(asking, server.url("openai"), ENVIRONMENT)

    assert (proxy.requests, len(server.asked)) == (0, 1)


def test_a_proxy_that_can_not_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    found = unreachable("https://models.example/v1")

    assert (found.kind, found.maybe_paid) == ("bad_request", False)
    assert found.message.startswith("the proxy or certificates that the environment names can't")
    assert found.message.endswith("; see HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE")
