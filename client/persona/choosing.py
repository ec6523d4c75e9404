"""Which provider and model a command means, and what is to be said about them first."""

import os
from typing import TYPE_CHECKING

import click

from persona.app import App, Stopped

if TYPE_CHECKING:
    from persona.generation.providers.base import Provider

_WITHOUT_SERVER = frozenset({"local", "simulated"})


def found_provider(
    name: str, model: str | None, base_url: str | None, *, for_calls: bool
) -> "Provider":
    """The provider, if it can be made; where it is `for_calls`, only with the key that it needs.

    Raises:
        Stopped: there is no such provider, or it is set wrongly.
    """
    from persona.generation.providers import provider
    from persona.generation.providers.address import AddressError
    from persona.generation.providers.base import UnknownProviderError

    try:
        return provider(name, model=model, base_url=base_url, for_calls=for_calls)
    except (UnknownProviderError, AddressError) as error:
        raise Stopped(str(error), code=64) from None
    except ValueError as error:
        raise Stopped(str(error), code=78) from None


def chosen(
    app: App, name: str | None, model: str | None, *, base_url: str | None, for_calls: bool
) -> tuple[str, str]:
    """The provider's name and the model's: as given, else as configured, else the usual ones.

    Raises:
        Stopped: as `found_provider`.
        click.UsageError: no model is known, one of them is empty, or `base_url` goes with
            something else.
    """
    # A script's `--base-url "$URL"` without a URL must not go to who is paid, with the key.
    for flag, value in (("--provider", name), ("--model", model), ("--base-url", base_url)):
        if value is not None and not value.strip():
            raise click.UsageError(f"{flag} is given, and says nothing")
    settings = app.settings.generate
    if name is None:
        name = settings.provider
    given = model or (settings.model if name == settings.provider else None)
    found = found_provider(name, given, base_url, for_calls=for_calls)
    if given is None and name == "openai" and base_url is not None:
        raise click.UsageError("--base-url needs --model: a server of its own has its own models")
    if name in _WITHOUT_SERVER and base_url is not None:
        raise click.UsageError(f"--base-url goes with a provider that has a server, not `{name}`")
    if given is None and not found.models:
        raise click.UsageError(f"`{name}` has no usual model: name one with --model")
    return name, given or found.models[0]


def note_what_is_odd(
    app: App, provider: str, model: str, base_url: str | None, *, is_default: bool
) -> None:
    """Says what is assumed about a model that no list here has, and which keys lie unused."""
    from persona.generation.providers.keys import KEYS
    from persona.generation.providers.models import is_known, limits

    if is_default and provider == "local":
        for name, (key, *_) in KEYS.items():
            if os.environ.get(key):
                app.note(f"{key} is set, and costs nothing so: `--provider {name}` uses it")
    assumed = limits(provider, model, base_url)
    if assumed is not None and not is_known(provider, model):
        app.note(
            f"{model} is no model of {provider} that is known here: its context is taken to be "
            f"{assumed.context:,} tokens"
        )
