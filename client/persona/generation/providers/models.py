"""Which models there are by default, and how much fits into one call: see `models.toml`."""

import functools
import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = Path(__file__).with_name("models.toml")
ELSEWHERE = "elsewhere"
OUTPUT_TOKENS = 4_096
"""The most that a call may write where nothing is known of its provider."""

_ESTIMATE_OFF_BY = 1.25
"""A prompt's tokens are estimated; see `prompts.estimate_tokens`."""
_DATED = re.compile(r"[-@](?:20\d\d-?\d\d-?\d\d|latest|\d{3})$")


class Limits(Struct, frozen=True):
    """How many tokens one call may have."""

    context: int
    output: int

    @property
    def input_tokens(self) -> int:
        """How many estimated ones a prompt may have, the estimate's error included."""
        return int((self.context - self.output) / _ESTIMATE_OFF_BY)


class _Provider(Struct, frozen=True):
    default: str
    context: int
    output: int
    models: dict[str, Limits] = {}


def known_models(provider: str) -> tuple[str, ...]:
    """The default one first; none for a provider that the file does not list."""
    found = _known().get(provider)
    if found is None:
        return ()
    return (found.default, *(name for name in found.models if name != found.default))


def is_known(provider: str, model: str) -> bool:
    """Whether the file lists it; for a provider that is not in there nothing is unknown."""
    found = _known().get(provider)
    return found is None or _listed(found, model) is not None


@functools.cache
def limits(provider: str, model: str, base_url: str | None = None) -> Limits | None:
    """Of one call; None where nothing is known of the provider."""
    found = _known().get(provider)
    if found is None:
        return None
    listed = _listed(found, model)
    if listed is not None:
        return listed
    other = _known()[ELSEWHERE] if base_url is not None else found
    return Limits(other.context, other.output)


def input_limit(provider: str, model: str, base_url: str | None = None) -> int | None:
    """To how many estimated tokens a prompt is cut; None for not at all."""
    found = limits(provider, model, base_url)
    return None if found is None else found.input_tokens


def output_limit(provider: str, model: str, base_url: str | None = None) -> int:
    found = limits(provider, model, base_url)
    return OUTPUT_TOKENS if found is None else found.output


def _listed(provider: _Provider, model: str) -> Limits | None:
    """A snapshot (`gpt-5-mini-2025-08-07`), a tag (`qwen3:8b`) or a path is of its model."""
    name = model.rpartition("/")[2].partition(":")[0]
    return provider.models.get(name) or provider.models.get(_DATED.sub("", name))


@functools.cache
def _known() -> dict[str, _Provider]:
    with FILE.open("rb") as file:
        return msgspec.convert(tomllib.load(file), dict[str, _Provider])
