"""`persona config`: what is configured, where it comes from, and changing one's own file."""

import os
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click
from msgspec import Struct

from persona.app import App, Group, Output, output_options, pass_app
from personad.contract import settings
from personad.contract.options import KEYS, tables, value_of
from personad.contract.settings import ConfigurationError, Loaded, Source

if TYPE_CHECKING:
    from persona.render.tables import View

_LAYERS = ("system", "yours", "folder")
_OF_THE_DAEMON = ("daemon.", "retention.", "cost.alerts.", "cost.export.", "quality.alerts.")
"""Tables that it reads when it starts."""


class Value(Struct, frozen=True):
    """One key as it is in force."""

    key: str
    value: Any
    origin: str
    """`default`, a file, or the name of an environment variable."""


class Values(Struct, frozen=True):
    """What `list` answers."""

    values: list[Value]


class File(Struct, frozen=True):
    """One of the files that are read."""

    layer: str
    path: str
    exists: bool


class Files(Struct, frozen=True):
    files: list[File]
    """The weakest first."""


class Mistake(Struct, frozen=True):
    message: str
    where: str | None
    key: str | None
    hint: str | None


class Mistakes(Struct, frozen=True):
    mistakes: list[Mistake]


class _Surroundings(TypedDict):
    environ: "os._Environ[str]"
    cwd: str | None
    home: str


def _keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [key for key in KEYS if key.startswith(incomplete)]


@click.group("config", cls=Group)
def command() -> None:
    """See and change the configuration.

    Later wins: defaults, the system's file, your own, ./persona.toml, the environment, options.
    """


@command.command("list")
@click.option("--origin", is_flag=True, help="Say of every value where it comes from.")
@output_options
@pass_app
def list_(app: App, *, origin: bool, output: Output) -> None:
    """List every key with the value in force."""
    reply = Values([_value(app.loaded, key) for key in KEYS])
    app.emit(output, reply, lambda: _values_view(reply.values, origin=origin))


@command.command()
@click.argument("key", shell_complete=_keys)
@output_options
@pass_app
def get(app: App, *, key: str, output: Output) -> None:
    """Print the value of KEY.

    Exit status 1 where it has none.
    """
    _expect_known(key, KEYS)
    found = _value(app.loaded, key)
    if output != Output():
        app.emit(output, found, lambda: _values_view([found], origin=False))
    elif found.value is not None:
        click.echo(_text(found.value))
    if found.value is None:
        app.note(f"{key} is not set")
        click.get_current_context().exit(1)


@command.command("set")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY VALUE [KEY VALUE]...")
@pass_app
def set_(app: App, *, pairs: tuple[str, ...]) -> None:
    """Set KEY to VALUE in your own file.

    Several at once where they depend on each other, as the weights of quality do. Lists are
    written with commas: 50,80,100. Comments and order of the file stay as they are.
    """
    if len(pairs) % 2:
        raise click.UsageError(f"{pairs[-1]} has no value: write KEY VALUE [KEY VALUE]...")
    wanted = {key: _wanted(key, text) for key, text in zip(pairs[::2], pairs[1::2], strict=True)}
    path, text = _own_file()
    _save(path, text, _edited(path, text, wanted))
    _tell_overridden(app, path, wanted)
    _tell_daemon(app, wanted)


@command.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...", shell_complete=_keys)
@pass_app
def unset(app: App, *, keys: tuple[str, ...]) -> None:
    """Take KEY out of your own file.

    What the file overrode holds again. KEY may be a table, and also one that is not known.
    """
    from personad.contract.toml_text import line_of

    path, text = _own_file()
    for key in keys:
        if line_of(text, tuple(key.split("."))) is None:
            _expect_known(key, (*KEYS, *tables()))
            app.note(f"{key} is not set in {path}")
    changed = _edited(path, text, dict.fromkeys(keys))
    if changed != text:
        _save(path, text, changed)
        _tell_daemon(app, keys)


@command.command("path")
@output_options
@pass_app
def path_(app: App, *, output: Output) -> None:
    """List the files that are read, the weakest first."""
    layers = zip(_LAYERS, settings.files(**_surroundings()), strict=False)
    reply = Files([File(layer, path, os.path.exists(path)) for layer, path in layers])
    app.emit(output, reply, lambda: _files_view(reply.files))


@command.command()
@output_options
@pass_app
def check(app: App, *, output: Output) -> None:
    """Look for mistakes in every file and variable.

    Exit status 78 where there are any.
    """
    loaded, errors = settings.examine(**_surroundings())
    for notice in loaded.notices:
        app.note(notice)
    reply = Mistakes([Mistake(e.message, e.where, e.key, e.hint) for e in errors])
    if output != Output():
        app.emit(output, reply, lambda: _mistakes_view(reply.mistakes))
    elif errors:
        click.echo("\n".join(map(_told, reply.mistakes)), err=True)
    else:
        click.echo("The configuration has no mistakes.")
    if errors:
        click.get_current_context().exit(ConfigurationError.EXIT_CODE)


def _surroundings() -> _Surroundings:
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        # The folder that the shell stands in was removed: there is no persona.toml in it either.
        cwd = None
    return {"environ": os.environ, "cwd": cwd, "home": os.path.expanduser("~")}


def _expect_known(key: str, known: Collection[str]) -> None:
    if key not in known:
        within = [each for each in known if each.startswith(f"{key}.")]
        if within:
            raise click.UsageError(f"{key} is a table, not a value; it has {', '.join(within)}")
        near = settings.nearest(key)
        then = f"did you mean {near}?" if near else "`persona config list` shows every key"
        raise click.UsageError(f"unknown key {key}; {then}")


def _wanted(key: str, text: str) -> object:
    """What the command line wants a key to be; raises click.UsageError where it can't be that."""
    _expect_known(key, KEYS)
    try:
        text.encode()
        value = settings.converted(key, text, is_text=True)
    except UnicodeEncodeError as error:
        raise click.UsageError(f"the value for {key} is not UTF-8") from error
    except ConfigurationError as error:
        raise click.UsageError("; ".join(filter(None, (error.message, error.hint)))) from error
    if isinstance(value, tuple):
        return list(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _own_file() -> tuple[str, str]:
    """The user's own file and its text, which is valid TOML; raises ConfigurationError."""
    here = _surroundings()
    path = settings.user_file(environ=here["environ"], home=here["home"])
    text = settings.read_text(path) or ""
    settings.from_toml(path, text)
    return path, text


def _edited(path: str, text: str, wanted: Mapping[str, object]) -> str:
    """The file's text with each key set, or taken out where None is wanted."""
    from personad.contract.toml_text import CannotEditError, literal, with_value, without

    for key, value in wanted.items():
        names = tuple(key.split("."))
        try:
            text = without(text, names) if value is None else with_value(text, names, value)
        except CannotEditError as error:
            line = "remove it" if value is None else f"write {key} = {literal(value)}"
            raise ConfigurationError(
                f"{key} can't be changed by itself: {error}",
                where=path,
                key=key,
                hint=f"{line} with an editor, in the way the file is written",
            ) from error
    return text


def _save(path: str, before: str, after: str) -> None:
    """Write the user's file, unless that would make a mistake that was not there before."""
    below = _system_source()
    _, old = settings.settle([*below, settings.from_toml(path, before)])
    _, new = settings.settle([*below, settings.from_toml(path, after)])
    known = {error.message for error in old}
    for error in new:
        if error.message not in known:
            error.where = path
            raise error

    from persona.files import write_whole

    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o600
    write_whole(Path(path), after.encode(), mode=mode)


def _system_source() -> list[Source]:
    path = settings.files(**_surroundings())[0]
    try:
        text = settings.read_text(path)
        return [settings.from_toml(path, text)] if text is not None else []
    except ConfigurationError:
        # Not the user's to mend, and no reason to refuse his own change: `check` tells of it.
        return []


def _tell_overridden(app: App, path: str, keys: Iterable[str]) -> None:
    loaded, _ = settings.examine(**_surroundings())
    for key in keys:
        if loaded.origin[key] != path:
            app.note(f"{key} is set, but {loaded.origin[key]} has the last word here")


def _tell_daemon(app: App, keys: Iterable[str]) -> None:
    if any(f"{key}.".startswith(_OF_THE_DAEMON) for key in keys):
        app.note("a daemon that runs already takes it up with `personad restart`")


def _value(loaded: Loaded, key: str) -> Value:
    return Value(key, value_of(loaded.settings, key), loaded.origin[key])


def _text(value: object) -> str:
    """As `set` takes it again."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _told(mistake: Mistake) -> str:
    where = f"{mistake.where}: " if mistake.where else ""
    return f"{where}{mistake.message}" + (f"\n  {mistake.hint}" if mistake.hint else "")


def _values_view(values: Sequence[Value], *, origin: bool) -> "View":
    from persona.render.tables import Column, Table

    columns: list[Column[Value]] = [
        Column("Key", lambda row: row.key),
        Column("Value", lambda row: None if row.value is None else _text(row.value)),
        Column("Origin", lambda row: row.origin),
    ]
    return [Table(columns if origin else columns[:2], values)]


def _files_view(files: Sequence[File]) -> "View":
    from persona.render.tables import YES_NO, Column, Table

    columns: list[Column[File]] = [
        Column("Layer", lambda row: row.layer),
        Column("File", lambda row: row.path),
        Column("Exists", lambda row: row.exists, YES_NO),
    ]
    return [Table(columns, files)]


def _mistakes_view(mistakes: Sequence[Mistake]) -> "View":
    from persona.render.tables import Column, Table

    columns: list[Column[Mistake]] = [
        Column("Where", lambda row: row.where),
        Column("Key", lambda row: row.key),
        Column("Mistake", lambda row: row.message),
        Column("Hint", lambda row: row.hint),
    ]
    return [Table(columns, mistakes)]
