"""The view as who started the batch has it, for tests: `live_owner.py BATCH MODE`."""

import os
import sys
from pathlib import Path

import click
from persona.app import App, Flags
from persona.identity import event_id
from persona.render.live import follow

from personad.contract.batch import Resume
from personad.contract.farewell import let_go_of_output


def main(batch: str, mode: str) -> int:
    app = App(Flags())

    def resume(name: str) -> None:
        if "NO_RUNNER" in os.environ:
            click.echo("nothing was started", err=True)
            raise OSError("no room for a process")
        app.ledger.ask(Resume(batch=name, id=event_id()))

    try:
        with click.Context(click.Command("generate")):
            left = follow(
                app,
                batch,
                mode,
                owner=True,
                resume=resume,
                on_detach=Path("detached").touch,
            )
    finally:
        let_go_of_output()
    return left.status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
