"""What of the environment a daemon may see: never a key."""

from collections.abc import Mapping

_NAMES = frozenset({"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TMPDIR", "TZ", "TZDIR", "USER"})
_PREFIXES = ("LC_", "XDG_", "PERSONAD_", "PYTHON", "COVERAGE_")
_SPECIAL = frozenset({"PERSONA_LEDGER", "VIRTUAL_ENV"})


def daemon_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a daemon is started with; all others stay behind."""
    return {
        name: value
        for name, value in environ.items()
        if name in _NAMES or name in _SPECIAL or name.startswith(_PREFIXES)
    }
