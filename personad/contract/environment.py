"""What of the environment a daemon may see: never a key."""

from collections.abc import Mapping

from .paths import Paths

_NAMES = frozenset({"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TMPDIR", "TZ", "TZDIR", "USER"})
_PREFIXES = (
    "LC_",
    "XDG_",
    "PERSONAD_",
    "PERSONA_RETENTION_",
    "PERSONA_COST_",
    "PERSONA_QUALITY_",
    "PYTHON",
    "COVERAGE_",
)
_SPECIAL = frozenset({"VIRTUAL_ENV"})


def daemon_environment(environ: Mapping[str, str], paths: Paths) -> dict[str, str]:
    """The variables that a daemon of this ledger is started with; all others stay behind, but for
    the one that the configuration names as the webhook's key.

    Its folders are named outright, so that it listens where the one who starts it will look.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in _NAMES or name in _SPECIAL or name.startswith(_PREFIXES)
    }
    secret = _webhook_secret(environ)
    if secret is not None and secret in environ:
        kept[secret] = environ[secret]
    return kept | {
        "PERSONAD_DATA_DIR": str(paths.data_dir),
        "PERSONAD_RUNTIME_DIR": str(paths.runtime_dir),
    }


def _webhook_secret(environ: Mapping[str, str]) -> str | None:
    """The variable's name; a mistake in the configuration is for the daemon to tell."""
    from .settings import ConfigurationError, load

    try:
        loaded = load(environ=environ, cwd=None, home=environ.get("HOME", "/"))
    except ConfigurationError:
        return None
    return loaded.settings.cost.alerts.webhook_secret_env
