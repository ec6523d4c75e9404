"""The root command: finds the others when they are asked for, and says how each run ended."""

import os
import sys
from importlib import import_module
from typing import Any

import click

from personad.contract.farewell import let_go_of_output

from .app import APP, Group, global_options
from .cli import COMMANDS

COMPLETE = "_PERSONA_COMPLETE"


class Root(Group):
    """A group that knows its commands by name and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, purpose) for name, (_, purpose) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        options = click.Command.shell_complete(self, ctx, incomplete)
        return options + [
            CompletionItem(name, help=purpose)
            for name, (_, purpose) in COMMANDS.items()
            if name.startswith(incomplete)
        ]


def load(name: str) -> click.Command:
    """The command `name`; it and all below it take the options that every command takes."""
    command: click.Command = import_module(COMMANDS[name][0]).command
    _extend(command)
    return command


def _extend(command: click.Command) -> None:
    taken = {name for param in command.params for name in param.opts}
    command.params.extend(
        option for option in global_options(hidden=True) if not taken.intersection(option.opts)
    )
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _extend(below)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from personad.contract.base import VERSION

        click.echo(f"persona {VERSION}")
        ctx.exit()


root = Root(
    "persona",
    help="Personas from research, with a ledger of what making them did, cost and was worth.",
    params=[
        *global_options(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Print the version and exit.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`persona COMMAND --help` says more about each. `persona batch list` is a way to begin.",
)


def run(arguments: list[str]) -> int:
    """Run a command line; errors are told on stderr and become the exit status."""
    try:
        return _run(arguments)
    finally:
        let_go_of_output()


def _run(arguments: list[str]) -> int:
    if COMPLETE in os.environ:
        root.main(arguments, prog_name="persona", complete_var=COMPLETE)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character shows a `?`: no reason to stop.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    ctx: click.Context | None = None
    try:
        ctx = root.make_context("persona", list(arguments))
        status = _invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except BrokenPipeError:
        # Whoever read our output has enough.
        return 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # all are told, none is lost
        from .failures import report

        return report(error, arguments, ctx.meta.get(APP) if ctx else None)
    return status


def _invoke(ctx: click.Context) -> int:
    with ctx:
        answer = root.invoke(ctx)
    return answer if type(answer) is int else 0
