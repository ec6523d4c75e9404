"""The configuration in force: layers of files and the environment over the defaults.

Later wins: defaults, the system's file, the user's, the working folder's `persona.toml`, the
environment. What can be set is described in `options`.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from .options import (
    DEFAULTS,
    KEYS,
    choices,
    expectation,
    is_list,
    tables,
    type_of,
    variable_of,
)
from .options import Settings as Settings

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM_FILE = "/etc/personad/config.toml"
PROJECT_FILE = "persona.toml"
MAX_FILE_BYTES = 64 << 10

NOT_SETTINGS = ("PERSONA_LEDGER", "PERSONA_AUTOSTART", "PERSONA_SIMULATED_")
"""Variables that are no settings though they are named like some; one with `_` is a beginning."""

PROJECT_KEYS = (
    "generate.model",
    "generate.concurrency",
    "generate.output",
    "generate.progress.",
    "quality.weights.",
    "quality.required_fields",
    "benchmark.",
)
"""What `persona.toml` may set: the rest could move the ledger or send alerts elsewhere."""

_SECRETIVE = ("cost.alerts.webhook_url", "cost.alerts.webhook_secret_env")
"""Where somebody may have put a secret: a message never shows what was there."""

S = TypeVar("S", bound=Struct)


class ConfigurationError(Exception):
    """A mistake in the configuration; the message is meant for people.

    `where` is `file:line` or a variable, `key` the dotted key, `hint` what to do next.
    """

    EXIT_CODE = 78

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.key = key
        self.hint = hint


class Loaded(Struct, frozen=True):
    """The settings in force and where each comes from."""

    settings: Settings
    origin: dict[str, str]
    """Of every dotted key: `default`, a file's path or the name of an environment variable."""
    notices: tuple[str, ...] = ()
    """What the user should be told, though it is no mistake."""


class Source(Struct, frozen=True):
    """One file, or one variable, and what it says."""

    name: str
    said: tuple[tuple[tuple[str, ...], object], ...]
    """Paths and values, as they were read."""
    text: str | None = None
    """A file's text; none for a variable."""
    is_project: bool = False

    def where(self, path: tuple[str, ...]) -> str:
        """`file:line`, or the variable's name."""
        if self.text is None:
            return self.name
        from .toml_text import line_of

        return f"{self.name}:{line_of(self.text, path) or 1}"


def load(
    *,
    environ: Mapping[str, str],
    cwd: "Path | str | None",
    home: "Path | str",
    system_file: "Path | str | None" = None,
) -> Loaded:
    """The settings in force; `cwd` None leaves out `persona.toml` (the daemon has no such folder).

    Raises `ConfigurationError` with the first mistake; `examine` finds them all.
    """
    loaded, errors = examine(environ=environ, cwd=cwd, home=home, system_file=system_file)
    if not errors:
        return loaded
    first = errors[0]
    if len(errors) > 1:
        more = f"`persona config check` shows all {len(errors)} mistakes"
        first.hint = f"{first.hint}; {more}" if first.hint else more
    raise first


def examine(
    *,
    environ: Mapping[str, str],
    cwd: "Path | str | None",
    home: "Path | str",
    system_file: "Path | str | None" = None,
) -> tuple[Loaded, list[ConfigurationError]]:
    """The settings that the faultless part of the configuration gives, and every mistake in it."""
    errors: list[ConfigurationError] = []
    sources: list[Source] = []
    for path in files(environ=environ, cwd=cwd, home=home, system_file=system_file):
        try:
            if (text := read_text(path)) is not None:
                is_project = cwd is not None and path == os.path.join(cwd, PROJECT_FILE)
                sources.append(from_toml(path, text, is_project=is_project))
        except ConfigurationError as error:
            errors.append(error)
    variables, unknown = _from_environment(environ)
    loaded, mistakes = settle([*sources, *variables])
    return (
        Loaded(loaded.settings, loaded.origin, tuple(_notices(cwd))),
        [*errors, *mistakes, *unknown],
    )


def files(
    *,
    environ: Mapping[str, str],
    cwd: "Path | str | None",
    home: "Path | str",
    system_file: "Path | str | None" = None,
) -> list[str]:
    """The files that are read, the weakest first, whether they exist or not."""
    found = [os.fspath(system_file or SYSTEM_FILE), user_file(environ=environ, home=home)]
    return [*found, os.path.join(cwd, PROJECT_FILE)] if cwd is not None else found


def user_file(*, environ: Mapping[str, str], home: "Path | str") -> str:
    """The user's own file, which `persona config set` writes."""
    base = environ.get("XDG_CONFIG_HOME", "")
    # The XDG specification has relative paths ignored.
    folder = base if os.path.isabs(base) else os.path.join(home, ".config")
    return os.path.join(folder, "personad", "config.toml")


def read_text(path: str) -> str | None:
    """A configuration file's text; None where there is no such file."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError("the configuration is not a regular file", where=path)
        if found.st_size > MAX_FILE_BYTES:
            raise ConfigurationError(
                f"the configuration has {found.st_size:,} bytes; {MAX_FILE_BYTES:,} is the most",
                where=path,
            )
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(
            f"the configuration can't be read: {error.strerror}",
            where=path,
            hint="make it readable for you, or remove it",
        ) from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            "the configuration is not UTF-8", where=f"{path}:{line}", hint="save it as UTF-8"
        ) from error


def from_toml(path: str, text: str, *, is_project: bool = False) -> Source:
    """What a file says; raises `ConfigurationError` where it is no TOML."""
    import tomllib

    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).rpartition(" (at ")
        line = place.removeprefix("line ").partition(",")[0]
        if not line.isdigit():
            from .toml_text import unfinished_line

            line = str(unfinished_line(text))
        message = f"this is no valid TOML: {reason}"
        raise ConfigurationError(message, where=f"{path}:{line}") from error
    except RecursionError as error:
        raise ConfigurationError("lists or tables are nested too deeply", where=path) from error
    return Source(path, tuple(_said(parsed, DEFAULTS)), text, is_project)


def settle(sources: Iterable[Source]) -> tuple[Loaded, list[ConfigurationError]]:
    """The settings that `sources` give, the weakest first, and every mistake in them."""
    values: dict[str, object] = {}
    placed: dict[str, tuple[int, Source]] = {}
    errors: list[ConfigurationError] = []
    for rank, source in enumerate(sources):
        for path, raw in source.said:
            try:
                key, value = _accepted(source, path, raw)
            except ConfigurationError as error:
                error.where = source.where(path)
                errors.append(error)
            else:
                values[key] = value
                placed[key] = (rank, source)
    origin = {key: placed[key][1].name if key in placed else "default" for key in KEYS}
    if not values:
        return Loaded(DEFAULTS, origin), errors
    settings = _with_values(DEFAULTS, values)
    return Loaded(settings, origin), [*errors, *_broken_rules(settings, placed)]


def converted(key: str, raw: object, *, is_text: bool = False) -> object:
    """A value of TOML as the key's own type; or a text that a variable or the command line gave.

    A text is read as the key needs it: `8`, `true`, `50,80,100`. Raises `ConfigurationError`,
    without `where`, when it is not what the key takes.
    """
    annotation = type_of(key)
    parts: Any = raw
    if is_text and is_list(annotation):
        parts = [part.strip() for part in str(raw).split(",") if part.strip()]
    try:
        value: object = msgspec.convert(parts, annotation, strict=not is_text)
    except (msgspec.ValidationError, OverflowError):
        value = None
    if value is not None:
        return value
    known = choices(annotation)
    wrong = [part for part in (parts if isinstance(parts, list) else [parts]) if part not in known]
    near = _close(str(wrong[0]), known) if known and wrong else None
    raise ConfigurationError(
        f"{key} must be {expectation(annotation)}, not {_shown(key, raw)}",
        key=key,
        hint=f'did you mean "{near}"?' if near else None,
    )


def nearest(key: str) -> str | None:
    """The known key or table that somebody may have meant."""
    last = key.rpartition(".")[2]
    same = [known for known in KEYS if known.rpartition(".")[2] == last]
    return _close(key, same, 0) if same else _close(key, (*KEYS, *tables()))


def _accepted(source: Source, path: tuple[str, ...], raw: object) -> tuple[str, object]:
    """The key and its value; raises `ConfigurationError` without `where`."""
    key = ".".join(path)
    if key not in KEYS or any("." in name for name in path):
        if key in tables():
            raise ConfigurationError(f"{key} is a table, not a value", key=key)
        near = nearest(key)
        raise ConfigurationError(
            f"unknown key {key if key.isprintable() else ascii(key)}",
            key=key,
            hint=f"did you mean {near}?" if near else "`persona config list` shows every key",
        )
    if source.is_project and not _is_among(key, PROJECT_KEYS, "."):
        raise ConfigurationError(
            f"{PROJECT_FILE} may not set {key}: a file that came with somebody's data must not",
            key=key,
            hint=f"remove it there, and use `persona config set {key} …` to set it for yourself",
        )
    return key, converted(key, raw, is_text=source.text is None)


def _is_among(name: str, known: Iterable[str], mark: str) -> bool:
    """Whether `known` has the name, or a beginning of it that ends with `mark`."""
    return any(name.startswith(k) if k.endswith(mark) else name == k for k in known)


def _said(table: Mapping[str, object], struct: Struct) -> Iterator[tuple[tuple[str, ...], object]]:
    """What a parsed file sets: the paths of keys, and of whatever is none, with their values."""
    for name, value in table.items():
        known = getattr(struct, name) if name in struct.__struct_fields__ else None
        if isinstance(known, Struct) and isinstance(value, dict):
            yield from (((name, *path), raw) for path, raw in _said(value, known))
        else:
            yield (name,), value


def _from_environment(
    environ: Mapping[str, str],
) -> tuple[list[Source], list[ConfigurationError]]:
    """What variables set, and those that are misspelt; an empty one counts as not set."""
    named = [
        name
        for name, text in environ.items()
        if text
        and name.startswith(("PERSONAD_", "PERSONA_"))
        and not _is_among(name, NOT_SETTINGS, "_")
    ]
    if not named:
        return [], []
    known = {variable_of(key): key for key in KEYS}
    sources = [
        Source(name, ((tuple(known[name].split(".")), environ[name]),))
        for name in named
        if name in known
    ]
    unknown = [error for name in named if name not in known if (error := _misspelt(name, known))]
    return sources, unknown


def _misspelt(name: str, known: Iterable[str]) -> ConfigurationError | None:
    """A variable that looks like one of ours; None where it is probably another program's.

    The prefix is left out of the comparison: it is long, and people mix up the two.
    """
    words = {other.partition("_")[2]: other for other in (*known, *NOT_SETTINGS)}
    word = name.partition("_")[2]
    is_ours = name.startswith(tuple(f"PERSONA_{t.upper()}_" for t in Settings.__struct_fields__))
    near = _close(word, words, 0.6 if is_ours else 0.85)
    if not (is_ours or near):
        return None
    return ConfigurationError(
        f"the environment variable {name} sets nothing",
        where=name,
        hint=f"did you mean {words[near]}?" if near else "unset it",
    )


def _broken_rules(
    settings: Settings, placed: Mapping[str, tuple[int, Source]]
) -> Iterator[ConfigurationError]:
    """The mistakes that no key has by itself, each at the last place that took part in it."""
    from .option_rules import broken

    for keys, message, hint in broken(settings):
        key = max((key for key in keys if key in placed), key=lambda key: placed[key][0])
        where = placed[key][1].where(tuple(key.split(".")))
        yield ConfigurationError(message, where=where, key=key, hint=hint)


def _with_values(struct: S, values: Mapping[str, object], prefix: str = "") -> S:
    fields: dict[str, object] = {}
    for name in struct.__struct_fields__:
        now = getattr(struct, name)
        key = f"{prefix}{name}"
        fields[name] = (
            _with_values(now, values, f"{key}.")
            if isinstance(now, Struct)
            else values.get(key, now)
        )
    return type(struct)(**fields)


def _notices(cwd: "Path | str | None") -> Iterator[str]:
    for name in ("persona.yaml", "persona.yml") if cwd is not None else ():
        if os.path.lexists(os.path.join(str(cwd), name)):
            yield f"{name} is not read: what a folder sets stands in {PROJECT_FILE}"


def _close(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), 1, cutoff)), None)


def _shown(key: str, raw: object) -> str:
    """A value as a message shows it: short, and without control characters."""
    if key in _SECRETIVE:
        return "what stands there"
    if isinstance(raw, bool):
        return str(raw).lower()
    text = f'"{raw}"' if isinstance(raw, str) else str(raw)
    text = text if text.isprintable() else ascii(raw)
    return text if len(text) <= 60 else f"{text[:59]}…"
