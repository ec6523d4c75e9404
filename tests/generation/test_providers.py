import re
from importlib.metadata import EntryPoint

import pytest
from persona.generation import providers
from persona.generation.providers.base import (
    InvalidOutput,
    ProviderError,
    UnknownProviderError,
    draft_from_json,
)


def test_every_registered_provider_can_be_made() -> None:
    for name in providers.PROVIDERS:
        made = providers.provider(name, environment={})
        assert made.name == name
        assert made.models
    assert set(providers.PROVIDERS) <= set(providers.names())


def test_an_installed_provider_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", providers.PROVIDERS["local"], providers.ENTRY_POINTS)
    monkeypatch.setattr(providers, "entry_points", lambda group: [point])
    assert providers.provider("other", environment={}).name == "local"
    assert "other" in providers.names()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nowhere:create", "can't be made: ModuleNotFoundError: No module named 'nowhere'"),
        ("json:nothing", "can't be made: AttributeError: module 'json' has no"),
        ("json:loads", "can't be made: TypeError: "),
        ("builtins:repr", "is none: it has no name, no models, no generate, no parse, no aclose"),
    ],
)
def test_an_installed_provider_that_is_broken_is_told_as_its_packages(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    point = EntryPoint("other", value, providers.ENTRY_POINTS)
    monkeypatch.setattr(providers, "entry_points", lambda group: [point])

    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        providers.provider("other", environment={})

    assert f"`other`, which another package brings ({value})" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("locale", "there is no provider `locale`; did you mean `local`? there are: `anthropic`"),
        (
            "zzz",
            "there is no provider `zzz`; there are: `anthropic`, `gemini`, `local`, `ollama`, "
            "`openai`, `simulated`",
        ),
    ],
)
def test_an_unknown_provider_is_answered_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UnknownProviderError, match=re.escape(message)):
        providers.provider(name)


@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "Mara"}',
        b'{"name": "Mara"}',
        '```json\n{"name": "Mara"}\n```\n',
        '<think>\nA name is wanted.\n</think>\n\n{"name": "Mara", "more": [1]}',
    ],
)
def test_a_draft_is_read_bare_or_from_what_is_around_it(answer: str | bytes) -> None:
    assert draft_from_json(answer).name == "Mara"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "empty"),
        ("```\n```", "empty"),
        ('{"name": "Ma', "truncated"),
        ('{"name": 3}', "Expected `str`, got `int` - at `$.name`"),
        ('{"name": " "}', "no name"),
        (b"\xff", "not a persona"),
    ],
)
def test_what_is_no_draft_is_refused_with_the_place(answer: str | bytes, message: str) -> None:
    with pytest.raises(InvalidOutput, match=re.escape(message)) as caught:
        draft_from_json(answer)
    assert caught.value.kind == "invalid_output"


def test_an_error_says_its_kind_and_how_long_to_wait() -> None:
    error = ProviderError("rate_limit", "slow down", 2.5)
    assert (str(error), error.kind, error.retry_after_s) == ("slow down", "rate_limit", 2.5)


def test_an_answer_nested_too_deeply_is_no_persona() -> None:
    depth = 200_000
    deep = '{"name": "Ada", "more": ' + "[" * depth + "]" * depth + "}"

    with pytest.raises(InvalidOutput, match="nested too deeply"):
        draft_from_json(deep)
