"""Where keys come from, and where they may go."""

import os
from pathlib import Path

import anyio
import pytest
from persona.generation.providers import provider
from persona.generation.providers.address import AddressError, address
from persona.generation.providers.base import ProviderError, Response
from persona.generation.providers.keys import Key, KeyProblem, file_keys, find_key

from ..provider_server import KEY, ProviderServer  # noqa: TID252
from .test_hosted import request

NAMES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")


def key_file(folder: Path, text: str = f"{KEY}\n", mode: int = 0o600) -> str:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_the_usual_variable_comes_first() -> None:
    environ = {"GOOGLE_API_KEY": "b", "GEMINI_API_KEY": " a\n"}
    assert find_key(NAMES, environ) == Key("GEMINI_API_KEY", "a")
    assert find_key(NAMES, {"GOOGLE_API_KEY": "b"}) == Key("GOOGLE_API_KEY", "b")
    assert find_key(NAMES, {"GEMINI_API_KEY": ""}) is None


def test_a_file_that_only_its_owner_reads_holds_a_key(house: Path) -> None:
    environ = {"GEMINI_API_KEY_FILE": key_file(house)}
    assert find_key(NAMES, environ) == Key("GEMINI_API_KEY", KEY)
    assert file_keys(environ) == {"GEMINI_API_KEY": KEY}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_read_is_refused(house: Path, mode: int) -> None:
    path = key_file(house, mode=mode)
    with pytest.raises(KeyProblem, match=f"others than you .*: chmod 600 {path}"):
        find_key(NAMES, {"GEMINI_API_KEY_FILE": path})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty, or far too long"),
        (" \n", "it is empty, or far too long"),
        ("a" * 9_000, "it is empty, or far too long"),
        ("sk-one\nsk-two", "has spaces, line breaks or letters that no key has"),
        ("sk-é", "has spaces, line breaks or letters that no key has"),
    ],
)
def test_a_file_without_a_key_is_refused_and_not_shown(house: Path, text: str, said: str) -> None:
    with pytest.raises(KeyProblem, match=said) as caught:
        find_key(NAMES, {"GEMINI_API_KEY_FILE": key_file(house, text)})
    assert "sk-" not in str(caught.value)


def test_a_file_that_is_none_is_named(house: Path) -> None:
    with pytest.raises(KeyProblem, match="no such file"):
        find_key(NAMES, {"GEMINI_API_KEY_FILE": str(house / "gone")})
    with pytest.raises(KeyProblem, match="not a regular file"):
        find_key(NAMES, {"GEMINI_API_KEY_FILE": str(house)})
    os.mkfifo(house / "pipe", 0o600)
    with pytest.raises(KeyProblem, match="not a regular file"):
        find_key(NAMES, {"GEMINI_API_KEY_FILE": str(house / "pipe")})


@pytest.mark.parametrize("value", ["sk-1 2", "sk-1\r\nx-evil: 1", "sk-\x1b[31m"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(KeyProblem) as caught:
        find_key(NAMES, {"GEMINI_API_KEY": value})
    assert "sk-" not in str(caught.value)


def test_a_key_does_not_show_itself() -> None:
    assert KEY not in repr(Key("OPENAI_API_KEY", KEY))


def test_a_key_that_is_no_secret_leaves_an_error_readable() -> None:
    assert Key("OPENAI_API_KEY", "x").taken_out("an extra proxy") == "an extra proxy"
    assert Key("OPENAI_API_KEY", KEY).taken_out(f"no {KEY}!") == "no [OPENAI_API_KEY]!"


@pytest.mark.parametrize("name", ["anthropic", "openai", "gemini"])
def test_a_providers_own_server_needs_a_key(name: str) -> None:
    assert provider(name, environment={}).models
    with pytest.raises(KeyProblem, match=f"{name} needs a key: set {name.upper()}_API_KEY, or "):
        provider(name, environment={}, for_calls=True)


def test_a_key_that_is_gone_when_it_is_needed_is_said() -> None:
    async def asking() -> Response:
        return await provider("anthropic", environment={}).generate(request())

    with pytest.raises(ProviderError, match="anthropic needs a key") as caught:
        anyio.run(asking)
    assert (caught.value.kind, caught.value.maybe_paid) == ("authentication", False)


def test_another_server_needs_none() -> None:
    async def asking(base_url: str) -> Response:
        asked = provider("openai", base_url=base_url, environment={}, for_calls=True)
        try:
            return await asked.generate(request())
        finally:
            await asked.aclose()

    with ProviderServer() as server:
        anyio.run(asking, server.url("openai"))

    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize("name", ["anthropic", "openai", "gemini"])
def test_no_key_goes_unencrypted_through_a_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy stands for the network: it sees what goes there."""

    async def asking() -> Response:
        environment = {f"{name.upper()}_API_KEY": KEY}
        asked = provider(name, base_url="http://models.example", environment=environment)
        try:
            return await asked.generate(request())
        finally:
            await asked.aclose()

    with ProviderServer(key=KEY) as network:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{network.port}")
        with pytest.raises(ProviderError, match=r"no key was sent, as the way .* use https$"):
            anyio.run(asking)

    (asked,) = network.asked
    assert asked.key is None
    assert KEY not in str(asked.headers)


@pytest.mark.parametrize(
    ("text", "may_see_key"),
    [
        ("http://localhost:8000", True),
        ("http://127.0.0.2", True),
        ("http://[::1]:8000/v1", True),
        ("https://example.com/v1", True),
        ("http://192.168.1.7:8000/v1", False),
        ("http://localhost.example.com", False),
        ("http://[fe80::1]/v1", False),
    ],
)
def test_a_key_goes_by_https_or_stays_on_this_machine(text: str, may_see_key: bool) -> None:
    assert address(text).may_see_key == may_see_key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("localhost:8000", "must be a whole address"),
        ("ftp://example.com", "must be a whole address"),
        ("http://", "must be a whole address"),
        ("", "must be a whole address"),
        ("http://me:sk-1@example.com", "user name or password"),
        ("https://example.com/v1?api-key=sk-1", "seems to hold a key"),
        ("https://example.com/v1?sig=sk-1", "seems to hold a key"),
        ("http://example.com:port", "is no web address"),
        ("http://exa mple.com", "spaces or control characters"),
        ("http://example.com/\n", "spaces or control characters"),
    ],
)
def test_an_address_that_is_none_or_tells_a_secret_is_refused(text: str, said: str) -> None:
    with pytest.raises(AddressError, match=said) as caught:
        address(text)
    assert "sk-1" not in str(caught.value)


def test_an_address_keeps_its_path_and_query() -> None:
    found = address("https://EXAMPLE.com:8443/a/b/?api-version=1")
    assert found.url(f"{found.path}/c", "alt=sse") == (
        "https://example.com:8443/a/b/c?api-version=1&alt=sse"
    )
