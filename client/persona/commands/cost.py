"""`persona cost`: what calls cost, and what they may cost."""

import click

from persona.app import Group

from . import budget


@click.group(cls=Group)
def command() -> None:
    """See what it costs, and say what it may cost."""


command.add_command(budget.command)
