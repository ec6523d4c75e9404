"""The providers there are, by name; each one's module is loaded when it is first asked for."""

import difflib
import os
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona.generation.providers.base import Provider, ProviderSettings

PROVIDERS: dict[str, str] = {
    "anthropic": "persona.generation.providers.anthropic:create",
    "gemini": "persona.generation.providers.gemini:create",
    "local": "persona.generation.providers.local:create",
    "ollama": "persona.generation.providers.ollama:create",
    "openai": "persona.generation.providers.openai:create",
    "simulated": "persona.generation.providers.simulated:create",
}
ENTRY_POINTS = "persona.providers"
_PARTS = ("name", "models", "generate", "parse", "aclose")


def provider(
    name: str,
    *,
    model: str | None = None,
    base_url: str | None = None,
    environment: Mapping[str, str] | None = None,
    for_calls: bool = False,
) -> "Provider":
    """The provider called `name`, made from these settings (`environment`: the process's own).

    Raises:
        UnknownProviderError: there is none; the message names the nearest.
        AddressError: `base_url` is none.
        ValueError: something else is set wrongly, or, where it is `for_calls`, a key is missing;
            or another package's provider can't be made, or is none.
    """
    from persona.generation.providers.base import ProviderSettings

    environ = os.environ if environment is None else environment
    settings = ProviderSettings(model, base_url, environ, for_calls)
    if name in PROVIDERS:
        return _built_in(name)(settings)
    return _of_another_package(name, settings)


def names() -> tuple[str, ...]:
    """Every provider that can be asked for, built in or installed."""
    return tuple(sorted({*PROVIDERS, *_installed()}))


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _built_in(name: str) -> "Callable[[ProviderSettings], Provider]":
    module, _, attribute = PROVIDERS[name].partition(":")
    return cast("Callable[[ProviderSettings], Provider]", getattr(import_module(module), attribute))


def _of_another_package(name: str, settings: "ProviderSettings") -> "Provider":
    point = _installed().get(name)
    if point is None:
        raise _unknown(name)
    where = f"the provider `{name}`, which another package brings ({point.value}),"
    try:
        made: Provider = point.load()(settings)
    except ValueError:
        raise
    except Exception as error:  # whatever they do, it is told as theirs
        said = f"{where} can't be made: {type(error).__name__}: {error}"
        raise ValueError(said) from error
    if lacking := [each for each in _PARTS if not hasattr(made, each)]:
        raise ValueError(f"{where} is none: it has no {', no '.join(lacking)}")
    return made


def _unknown(name: str) -> Exception:
    from persona.generation.providers.base import UnknownProviderError

    known = names()
    near = difflib.get_close_matches(name.casefold(), known, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(f'`{one}`' for one in near)}?" if near else ";"
    listed = ", ".join(f"`{one}`" for one in known)
    return UnknownProviderError(f"there is no provider `{name}`{hint} there are: {listed}")
