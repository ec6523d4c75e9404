"""What every command is given: settings, paths, the ledger and where to write; made when asked for.

And the habits that commands share, as decorators: `@pass_app`, `@output_options`, `@limit_option`,
`@yes_option`.
"""

import os
import sys
from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import click
from msgspec import Struct

if TYPE_CHECKING:
    from rich.console import Console

    from personad.contract.paths import Paths
    from personad.contract.settings import Loaded, Settings

    from .client import Ledger
    from .render.tables import View

P = ParamSpec("P")
T = TypeVar("T")

Format = Literal["table", "json", "csv", "markdown"]

APP = "persona.app"
"""Where a context keeps the App of this run."""

_FLAGS = "persona.flags"
_NO = frozenset({"0", "false", "no", "off"})


class Stopped(Exception):
    """A command can't go on, for a reason that a person can mend.

    `where` is a file, line or field; `hint` says what to do next; `code` is the exit status.
    """

    def __init__(
        self, message: str, *, code: int, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.EXIT_CODE = code


class Flags(Struct, frozen=True):
    """The options that every command takes."""

    ledger: str | None = None
    no_autostart: bool = False
    no_color: bool = False
    no_pager: bool = False
    quiet: bool = False
    verbose: int = 0


class Output(Struct, frozen=True):
    """What a command's answer is written as, and where to."""

    format: Format = "table"
    path: str | None = None
    """None is stdout."""


class App:
    """One run of the program. Nothing is read, connected or imported before it is asked for."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags

    @cached_property
    def loaded(self) -> "Loaded":
        """Raises ConfigurationError."""
        from personad.contract.settings import load

        try:
            cwd = os.getcwd()
        except FileNotFoundError:
            # It was removed meanwhile: there is no `persona.toml` in it either.
            cwd = None
        loaded = load(environ=os.environ, cwd=cwd, home=os.path.expanduser("~"))
        for notice in loaded.notices:
            self.note(notice)
        return loaded

    @property
    def settings(self) -> "Settings":
        return self.loaded.settings

    @cached_property
    def paths(self) -> "Paths":
        from personad.contract.paths import in_use, resolve_paths

        return in_use(resolve_paths(self.settings, ledger=self.flags.ledger, environ=os.environ))

    @property
    def autostart(self) -> bool:
        """Whether a daemon is started where none answers."""
        wanted = os.environ.get("PERSONA_AUTOSTART", "").lower() not in _NO
        return wanted and not self.flags.no_autostart

    @cached_property
    def ledger(self) -> "Ledger":
        """The client of this ledger's daemon; closed when the command ends."""
        from .client import Ledger

        self.detail(f"ledger {self.paths.data_dir}, asked at {self.paths.api_socket}")
        ledger = Ledger(self.paths, autostart=self.autostart)
        root = click.get_current_context().find_root()
        root.call_on_close(ledger.close)
        if not self.flags.quiet:
            root.call_on_close(lambda: self._tell_alerts(ledger))
        return ledger

    def _tell_alerts(self, ledger: "Ledger") -> None:
        if ledger.may_have_alerts:
            from .alarms import tell

            tell(self, ledger)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at stdout."""
        return sys.stdout.isatty()

    @property
    def is_coloured(self) -> bool:
        """Whether stdout takes colours and boxes."""
        return self.is_terminal and self._takes_colour

    @property
    def _takes_colour(self) -> bool:
        plain = self.flags.no_color or os.environ.get("NO_COLOR")
        return not plain and os.environ.get("TERM") not in ("dumb", "unknown")

    @cached_property
    def console(self) -> "Console":
        """Stdout, for rich."""
        return self._console(sys.stdout)

    @cached_property
    def errors(self) -> "Console":
        """Stderr, for rich: progress and live views are drawn here."""
        return self._console(sys.stderr)

    def _console(self, stream: Any) -> "Console":
        from rich.console import Console

        return Console(
            file=stream, markup=False, emoji=False, highlight=False, no_color=not self._takes_colour
        )

    def note(self, text: str) -> None:
        """A line for people, on stderr; not with `--quiet`."""
        if not self.flags.quiet:
            click.echo(text, err=True)

    def detail(self, text: str) -> None:
        """A line for who asked for more with `-v`, on stderr."""
        if self.flags.verbose:
            click.echo(text, err=True)

    def emit(self, output: Output, reply: object, view: "Callable[[], View]") -> None:
        """Write a command's answer: `reply` as JSON, or what `view` makes of it.

        `view` is called for the other formats only.
        Raises OSError where it can't be written.
        """
        from .render.export import emit

        emit(self, output, reply, view)


def app_of(ctx: click.Context) -> App:
    """The one App of this run."""
    found = ctx.meta.get(APP)
    if found is None:
        found = ctx.meta[APP] = App(Flags(**ctx.meta.get(_FLAGS, {})))
    assert isinstance(found, App)
    return found


def pass_app(function: Callable[Concatenate[App, P], T]) -> Callable[P, T]:
    """Hands the App over as the first argument."""

    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(app_of(click.get_current_context()), *args, **kwargs)

    return update_wrapper(wrapper, function)


def global_options(*, hidden: bool) -> list[click.Option]:
    """The options of `Flags`; they may stand before or after any command's name."""

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value == "":
            raise click.BadParameter("it is empty", ctx, param)
        if value and param.name is not None:
            ctx.meta.setdefault(_FLAGS, {})[param.name] = value

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=keep, hidden=hidden, **settings)

    return [
        option("--ledger", metavar="DIR", help="Use the ledger in DIR (also: PERSONA_LEDGER)."),
        option("--no-autostart", is_flag=True, help="Start no daemon where none runs."),
        option("--no-color", is_flag=True, help="No colour and no boxes (also: NO_COLOR)."),
        option("--no-pager", is_flag=True, help="Never through a pager (PAGER), however long."),
        option("-q", "--quiet", is_flag=True, help="Say only what was asked for, and errors."),
        option("-v", "--verbose", count=True, help="Say more; twice for even more."),
    ]


def output_options(function: Callable[..., T]) -> Callable[..., T]:
    """`--format`, `--json` and `-o/--output`, handed over as `output: Output`."""
    return _output_options(function, "-o", "--output")


def short_output_options(function: Callable[..., T]) -> Callable[..., T]:
    """The same without `--output`, for a command that calls something else so."""
    return _output_options(function, "-o")


def _output_options(function: Callable[..., T], *file: str) -> Callable[..., T]:
    def wrapper(
        *args: Any, chosen: Format | None, as_json: bool, path: str | None, **kwargs: Any
    ) -> T:
        if as_json and chosen not in (None, "json"):
            raise click.UsageError(f"--json and --format {chosen} exclude each other")
        if path == "":
            raise click.UsageError("the name of the file to write is empty")
        output = Output("json" if as_json else chosen or "table", None if path == "-" else path)
        return function(*args, output=output, **kwargs)

    formats = click.Choice(["table", "json", "csv", "markdown"])
    options = [
        click.option("--format", "chosen", type=formats, help="How to write it: table (default)."),
        click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
        click.option(*file, "path", metavar="FILE", help="Write to FILE, whole or not at all."),
    ]
    wrapped: Callable[..., T] = update_wrapper(wrapper, function)
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def limit_option(
    default: int, most: int | None = None
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """`-L/--limit`, handed over as `limit: int`; `most`: so many can be asked for."""
    return click.option(
        "-L",
        "--limit",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        metavar="N",
        help="How many at most.",
    )


def yes_option(function: Callable[..., T]) -> Callable[..., T]:
    """`-y/--yes`, handed over as `yes: bool`."""
    return click.option("-y", "--yes", is_flag=True, help="Don't ask.")(function)


class Group(click.Group):
    """A group that names the nearest commands where one isn't known."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] in known or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"there is no command `{args[0]}`{_nearest(args[0], known)}", ctx)


def _nearest(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else ""
