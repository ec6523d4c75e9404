"""`persona events`: the ledger's events themselves, seen, exported and imported."""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import click
import msgspec

from persona.app import App, Group, Stopped, pass_app
from persona.filled import file_option
from persona.interchange import Bad, Importer, Taken, exported
from persona.render import events as shown
from persona.render.values import clean, count, plural
from personad.contract.admin import Hello
from personad.contract.events import Recorded

SHOWN_BAD_LINES = 20
"""So many bad lines are named one by one, the rest counted."""

_PROGRESS_EVERY_S = 0.2


@click.group(cls=Group)
def command() -> None:
    """See, export and import the events that the ledger holds."""


@command.command("tail")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes in, until Ctrl-C.")
@click.option("--from-seq", type=click.IntRange(min=0), help="Begin with the event of this number.")
@click.option("--type", "types", multiple=True, metavar="KIND", help="Only this kind; repeatable.")
@click.option("--batch", metavar="ID", help="Only what happened to this batch.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many of the newest; with --from-seq, all from there.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as the ledger holds them.")
@pass_app
def tail(
    app: App,
    follow: bool,
    from_seq: int | None,
    types: tuple[str, ...],
    batch: str | None,
    lines: int,
    as_json: bool,
) -> None:
    """Show the newest events, a line each."""
    _check_kinds(types)
    batch_id = _resolved(app, batch) if batch else None
    last_seq = app.ledger.ask(Hello()).last_seq
    if from_seq is not None:
        recent = app.ledger.read_all(max(from_seq - 1, 0), types, batch_id)
    else:
        recent = iter(_newest(app, last_seq, lines, types, batch_id))
    seq = last_seq
    for recorded in recent:
        _print(recorded, as_json=as_json)
        seq = max(seq, recorded.seq)
    if not follow:
        if seq == 0:
            app.note("no events yet; `persona generate --from PATH` makes the first")
        return
    sys.stdout.flush()
    from persona.watch import EventWatch

    with EventWatch(app.ledger, app.paths, seq, types, batch_id) as watched:
        for recorded in watched:
            _print(recorded, as_json=as_json)
            sys.stdout.flush()


@command.command("export")
@file_option
@pass_app
def export(app: App, path: str | None) -> None:
    """Write every event as a line of JSON; `persona events import` takes it back."""
    missing = app.ledger.ask(Hello()).last_seq
    last_seq = missing
    with ExitStack() as stack:
        if path is None or path == "-":
            stream: IO[bytes] = sys.stdout.buffer
        else:
            from persona.streams import whole_file

            stream = stack.enter_context(whole_file(Path(path)))
        done = 0
        for recorded in _counted(app.ledger.read_all(0), "exported"):
            stream.write(exported(recorded))
            done += 1
            # Numbers have no gaps but where retention has dropped something.
            missing -= recorded.seq <= last_seq
        stream.flush()
    app.note(f"{plural(done, 'event')} exported")
    if missing:
        app.note(
            f"not among them: {plural(missing, 'event')} that retention has dropped; what came of "
            "those is only in sums, and `personad backup FILE` copies them, too"
        )


@command.command("import")
@click.argument("path", metavar="FILE|-")
@click.option("--strict", is_flag=True, help="Take nothing after the first bad line.")
@click.option("--json", "as_json", is_flag=True, help="Say the counts as JSON.")
@pass_app
def import_(app: App, path: str, strict: bool, as_json: bool) -> int:
    """Take an export back, or events that something else wrote, a line of JSON each.

    An event that the ledger has is left as it is, so importing again does no harm. Bad lines are
    named, and the good ones taken. Ends with 1 if there was a bad line; with 65 if --strict
    stopped at one, or no line was good.
    """

    def name(line: Bad) -> None:
        if importer.taken.bad <= SHOWN_BAD_LINES:
            click.echo(f"{clean(path)}:{line.line}: {clean(line.reason)}", err=True)

    progress = _Progress("imported")
    importer = Importer(
        app.ledger.ask,
        strict=strict,
        on_bad=name,
        on_progress=lambda taken: progress.show(taken.imported),
    )
    with _opened(path) as lines:
        taken = importer.run(lines)
    progress.clear()
    if taken.bad > SHOWN_BAD_LINES:
        more = plural(taken.bad - SHOWN_BAD_LINES, "more bad line")
        click.echo(f"… and {more}", err=True)
    _say(taken, as_json=as_json)
    if not taken.bad:
        return 0
    return 65 if strict or not (taken.imported or taken.duplicates or taken.quarantined) else 1


def _say(taken: Taken, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(taken) + b"\n")
        return
    others = {
        "already there": taken.duplicates,
        "kept but not counted (`personad doctor` says why)": taken.anomalies,
        "older than what the ledger keeps, in quarantine": taken.quarantined,
    }
    parts = [f"{plural(taken.imported, 'event')} imported"]
    parts += [f"{count(number)} {what}" for what, number in others.items() if number]
    parts += [plural(taken.bad, "bad line")] if taken.bad else []
    click.echo(", ".join(parts))


def _opened(path: str) -> IO[bytes]:
    if path == "-":
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Stopped(
            reason, code=65, where=path, hint="name a file of JSON lines, or -"
        ) from error


def _print(recorded: Recorded, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(recorded) + b"\n")
        sys.stdout.buffer.flush()
    else:
        sys.stdout.write(shown.line(recorded) + "\n")


def _newest(
    app: App, last_seq: int, lines: int, types: tuple[str, ...], batch: str | None
) -> Iterable[Recorded]:
    """Steps back further and further, as nobody knows how far apart the wanted ones lie."""
    span = lines
    while True:
        after = max(last_seq - span, 0)
        found = deque(app.ledger.read_all(after, types, batch), lines)
        if len(found) == lines or after == 0:
            return found
        span *= 8


def _check_kinds(types: tuple[str, ...]) -> None:
    from personad.contract.schema import EVENTS, tag

    known = [tag(kind) for kind in EVENTS]
    for kind in types:
        if kind not in known:
            from difflib import get_close_matches

            close = get_close_matches(kind, known, cutoff=0.4) or known
            raise click.UsageError(f"there is no event `{kind}`; there is {', '.join(close)}")


def _resolved(app: App, batch: str) -> str:
    from personad.contract.batch import BatchShow

    return app.ledger.ask(BatchShow(batch=batch)).batch


class _Progress:
    """A count on stderr, where somebody looks at it."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._is_shown = sys.stderr.isatty()
        self._next_at = 0.0

    def show(self, number: int) -> None:
        now = time.monotonic()
        if self._is_shown and now >= self._next_at:
            self._next_at = now + _PROGRESS_EVERY_S
            click.echo(f"\r{count(number)} events {self._verb}", err=True, nl=False)

    def clear(self) -> None:
        if self._next_at:
            click.echo("\r\x1b[K", err=True, nl=False)


def _counted(events: Iterable[Recorded], verb: str) -> Iterator[Recorded]:
    progress = _Progress(verb)
    for number, recorded in enumerate(events, 1):
        if not number % 1_000:
            progress.show(number)
        yield recorded
    progress.clear()
