"""The `personad` program: runs and looks after the daemon."""

import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shutil import get_terminal_size
from typing import TextIO

import click

from personad.contract.base import VERSION
from personad.contract.errors import LedgerError, exit_code
from personad.contract.farewell import let_go_of_output, take_up_output
from personad.contract.paths import Paths, in_use, resolve_paths
from personad.contract.settings import ConfigurationError, Settings, load

BAD_DATA = 65
UNREACHABLE = 69
FOLLOW_EVERY_S = 0.2
GIVES_WAY = 10
"""By so much, as `nice` has it, what folds for a minute gives way to a daemon that answers."""


class Context:
    """What every command needs to know: which ledger, and with which settings."""

    def __init__(self, ledger: str | None) -> None:
        # `persona.toml` may set nothing that concerns a daemon.
        loaded = load(environ=os.environ, cwd=None, home=Path.home())
        self.settings: Settings = loaded.settings
        own = resolve_paths(self.settings, ledger=ledger, environ=os.environ)
        self.paths: Paths = in_use(own)


class Program(click.Group):
    """Names the nearest commands where one isn't known."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] in known or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"there is no command `{args[0]}`{_nearest(args[0], known)}", ctx)


def _nearest(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else ""


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--ledger", metavar="DIR", help="Another ledger, with a daemon of its own.")
@click.version_option(VERSION, prog_name="personad")
@click.pass_context
def command(ctx: click.Context, ledger: str | None) -> None:
    """The ledger of persona generation: what was done, what it cost, what it is worth."""
    ctx.obj = Context(ledger)


@command.command()
@click.option("--foreground", is_flag=True, help="Stay in the foreground: systemd, containers.")
@click.option("--autostarted", is_flag=True, hidden=True)
@click.option("--ready-fd", type=int, hidden=True)
@click.pass_obj
def start(context: Context, foreground: bool, autostarted: bool, ready_fd: int | None) -> None:
    """Start the daemon; returns once it answers."""
    if foreground:
        _be_the_daemon(context, autostarted=autostarted, ready_fd=ready_fd)
        return
    from personad import launch

    welcome, is_new = launch.start(context.paths, autostarted=autostarted, environ=os.environ)
    click.echo("started" if is_new else "already running")
    click.echo(f"  version   {welcome.version}")
    click.echo(f"  pid       {welcome.pid}")
    click.echo(f"  socket    {context.paths.api_socket}")
    click.echo(f"  database  {context.paths.database}")


def _be_the_daemon(context: Context, *, autostarted: bool, ready_fd: int | None) -> None:
    from personad import daemon, launch
    from personad.locks import Held

    tell = launch.teller(ready_fd)
    try:
        daemon.run(
            context.paths,
            context.settings,
            autostarted=autostarted,
            ready=lambda: tell(launch.READY),
        )
    except Held:
        error = launch.hung(context.paths)
        tell(f"{error.message}\n  {error.hint}".encode())
        raise error from None
    except (LedgerError, ConfigurationError) as error:
        tell("\n  ".join([str(error), *([error.hint] if error.hint else [])]).encode())
        raise
    except OSError as error:
        tell(str(error).encode())
        raise


@command.command()
@click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait.")
@click.pass_obj
def stop(context: Context, timeout: float) -> None:
    """Drain and stop: everything in flight is committed and acknowledged first."""
    _stop(context, timeout)


def _stop(context: Context, timeout_s: float) -> None:
    from personad import launch

    took_s = launch.stop(context.paths, timeout_s)
    if took_s is None:
        click.echo("no daemon was running")
    else:
        click.echo(f"stopped in {took_s:.2f} s")


@command.command()
@click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait.")
@click.pass_context
def restart(ctx: click.Context, timeout: float) -> None:
    """Stop, then start."""
    _stop(ctx.obj, timeout)
    ctx.invoke(start, foreground=False, autostarted=False, ready_fd=None)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def status(context: Context, as_json: bool) -> None:
    """How the daemon is; exit status 69 when it is down."""
    from personad import launch
    from personad.report import status_json, status_text

    try:
        found = launch.status(context.paths)
    except LedgerError as error:
        if error.code != "unavailable":
            raise
        shown = launch.hung(context.paths) if launch.lives(context.paths) else error
        _complain(shown.message, shown.hint)
        raise SystemExit(UNREACHABLE) from None
    click.echo(status_json(found) if as_json else status_text(found, _columns()))


def _columns() -> int | None:
    """The terminal's width in characters; None where it isn't shown on one."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


@command.command()
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows.")
@click.option("-n", "lines", default=100, show_default=True, help="How many lines.")
@click.pass_obj
def logs(context: Context, follow: bool, lines: int) -> None:
    """Show the daemon's own log."""
    from personad.journal import readable

    path = context.paths.log_file
    if not path.exists():
        click.echo(f"personad: there is no log at {path} yet", err=True)
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in _last(file, max(0, lines)):
            click.echo(readable(line))
        if follow:
            _follow(file, path)


def _follow(file: TextIO, path: Path) -> None:
    """Shows what is added, for ever; a file that was rotated away is left for its successor."""
    from personad.journal import readable

    while True:
        if line := file.readline():
            click.echo(readable(line))
        elif path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino:
            with path.open(encoding="utf-8", errors="replace") as successor:
                _follow(successor, path)
        else:
            time.sleep(FOLLOW_EVERY_S)


def _last(file: TextIO, count: int) -> Iterator[str]:
    from collections import deque

    yield from deque(file, maxlen=count)


@command.command()
@click.pass_obj
def doctor(context: Context) -> None:
    """Look at everything that could be wrong, and say how to mend it."""
    from personad.doctor import examine

    failed = False
    for finding in examine(context.paths):
        failed |= finding.verdict == "failed"
        click.echo(f"{finding.verdict:<8} {finding.what:<12} {finding.message}")
        if finding.mend and finding.verdict != "ok":
            click.echo(f"{'':21} → {finding.mend}")
    if failed:
        raise SystemExit(1)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(context: Context, file: Path) -> None:
    """Copy the whole ledger into FILE, while everything goes on."""
    from personad import backup, launch
    from personad.contract.admin import Backup

    target = file.absolute()
    if launch.lives(context.paths):
        made = launch.ask(
            context.paths, Backup(path=str(target)), go_on=lambda: launch.lives(context.paths)
        )
        if not target.exists():
            # A service may have a /tmp of its own, and not see the folders of its user.
            message = f"the daemon wrote {target}, but in a place that only it can see"
            raise LedgerError(
                "unavailable", message, hint=f"name a file below {context.paths.data_dir}"
            )
    else:
        made = backup.back_up_alone(context.paths, target)
    size = f"{made.size_bytes / (1 << 20):.1f} MiB"
    click.echo(f"backed up to {target}")
    click.echo(f"  up to seq {made.last_seq:,}, {size}, in {made.duration_ms / 1_000:.2f} s")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a ledger that is newer, or another one.")
@click.pass_obj
def restore(context: Context, file: Path, force: bool) -> None:
    """Put the backup in FILE in the ledger's place, and keep the old one aside."""
    from personad.restore import Unfit, restore

    try:
        done = restore(context.paths, file.absolute(), force=force)
    except Unfit as error:
        _complain(str(error), error.hint)
        raise SystemExit(BAD_DATA) from None
    click.echo(f"restored {context.paths.database} from {file}")
    click.echo(f"  up to seq {done.last_seq:,} of ledger {done.ledger}")
    if done.aside is not None:
        click.echo(f"  the old one is kept as {done.aside}")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def verify(context: Context, as_json: bool) -> int:
    """Fold the log afresh and compare: ends with 1 where anything is not as it ought to be."""
    from personad.report import Bar, verified_text
    from personad.store import ledger_zone
    from personad.trouble import to_fold_afresh
    from personad.verify import verify

    os.nice(GIVES_WAY)
    with to_fold_afresh(_existing_database(context)) as db, Bar() as bar:
        found = verify(db, context.paths.data_dir, ledger_zone(db), bar.show)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found).decode())
    else:
        click.echo(verified_text(found))
    return 1 if found.damage else 0


@command.command()
@click.argument("projections", nargs=-1, metavar="[PROJECTION]...")
@click.pass_obj
def rebuild(context: Context, projections: tuple[str, ...]) -> None:
    """Fold the log afresh and put the result in the tables' place, while everything goes on."""
    from personad.rebuilding import rebuild
    from personad.report import Bar

    os.nice(GIVES_WAY)
    with Bar() as bar:
        shown = partial(bar.show, "fold"), partial(bar.show, "exchange", 0, 1)
        done = rebuild(context.paths, projections, *shown)
    click.echo(f"rebuilt {', '.join(projections) or 'every projection'}")
    click.echo(f"  {done.rows:,} rows up to seq {done.last_seq:,}")


@command.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
@click.option(
    "--clock-is-right", is_flag=True, help="Drop them although the ledger lay unused for so long."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def retention(context: Context, dry_run: bool, clock_is_right: bool, as_json: bool) -> None:
    """Drop single events that are old enough now; no total changes."""
    from datetime import UTC, datetime

    import msgspec

    from personad import launch
    from personad.contract.admin import Retention
    from personad.report import retained_text
    from personad.retention import retain_alone

    request = Retention(dry_run=dry_run, clock_is_right=clock_is_right)
    if launch.lives(context.paths):
        done = launch.ask(context.paths, request, go_on=lambda: launch.lives(context.paths))
    else:
        raw_days = context.settings.retention.raw_days
        done = retain_alone(context.paths, request, datetime.now(UTC), raw_days)
    click.echo(msgspec.json.encode(done).decode() if as_json else retained_text(done))


def _existing_database(context: Context) -> Path:
    database = context.paths.database
    if not database.exists():
        hint = "`personad start` makes one; `--ledger DIR` names another"
        raise LedgerError("not-found", f"there is no ledger at {database}", hint=hint)
    return database


@command.command()
def schema() -> None:
    """Print JSON Schema of every event, request, reply and live frame."""
    import json

    from personad.contract.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def main() -> int:
    """The program's entry; gives its exit status."""
    take_up_output()
    try:
        return _main()
    finally:
        let_go_of_output()


def _main() -> int:
    try:
        # Not by `command.main`, which ends with 1 where whoever reads has enough.
        with command.make_context("personad", sys.argv[1:]) as ctx:
            found = command.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.UsageError as error:
        said = error.format_message().removesuffix(".")
        path = error.ctx.command_path if error.ctx else "personad"
        _complain(said[:1].lower() + said[1:], f"`{path} --help` says what it takes")
        return 64
    except click.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except ConfigurationError as error:
        where = f" ({error.where})" if error.where else ""
        _complain(f"{error.message}{where}", error.hint)
        return error.EXIT_CODE
    except LedgerError as error:
        _complain(error.message, error.hint)
        return exit_code(error.code)
    except BrokenPipeError:
        # Whoever read our output has enough.
        return 0
    except OSError as error:
        where, why = error.filename, error.strerror or ""
        if where is None:
            _complain(str(error), None)
        else:
            _complain(f"{why[:1].lower()}{why[1:]} ({where})", "look at its disk and its rights")
        return 75
    return found if isinstance(found, int) else 0


def _complain(message: str, hint: str | None) -> None:
    click.echo(f"personad: {_harmless(message)}", err=True)
    if hint:
        click.echo(f"  {_harmless(hint)}", err=True)


def _harmless(text: str) -> str:
    """Without what a terminal obeys: a path or a word may hold anything."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)
