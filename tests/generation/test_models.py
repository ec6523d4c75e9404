import pytest
from persona.generation.providers import PROVIDERS
from persona.generation.providers.models import (
    FILE,
    Limits,
    input_limit,
    is_known,
    known_models,
    limits,
    output_limit,
)


@pytest.mark.parametrize("name", ["anthropic", "openai", "gemini", "ollama"])
def test_the_default_model_is_one_that_is_known(name: str) -> None:
    assert name in PROVIDERS
    default, *others = known_models(name)
    assert is_known(name, default)
    assert default not in others


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5-mini-2025-08-07"),
        ("anthropic", "claude-haiku-4-5-20251001"),
        ("anthropic", "claude-haiku-4-5@20251001"),
        ("gemini", "models/gemini-2.5-flash"),
        ("ollama", "qwen3:8b"),
    ],
)
def test_a_snapshot_or_a_tag_is_of_its_model(provider: str, model: str) -> None:
    assert is_known(provider, model)


def test_of_an_unknown_model_something_is_assumed() -> None:
    assert not is_known("openai", "gpt-99")
    assert limits("openai", "gpt-99") == Limits(128_000, 16_384)
    assert limits("openai", "gpt-99", "http://localhost:8000") == Limits(32_768, 8_192)


def test_a_provider_that_is_not_listed_has_no_limits() -> None:
    assert known_models("local") == ()
    assert is_known("local", "local-1")
    assert input_limit("local", "local-1") is None
    assert output_limit("local", "local-1") == 4_096


def test_a_prompt_leaves_room_for_the_answer_and_the_estimates_error() -> None:
    found = limits("openai", "gpt-5-mini")
    assert found is not None
    assert found.input_tokens * 1.25 + found.output <= found.context


def test_the_data_file_is_installed_with_the_package() -> None:
    assert FILE.is_file()
