"""Every error of a command, as one message on stderr and an exit status; nowhere else decides that.

The statuses are a closed list: 64 wrong usage, 65 bad input data, 69 no daemon, 70 a bug, 75 try
later, 78 bad configuration, 130 interrupted; 1 where the ledger's answer is no.
"""

import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from .render.values import clean

if TYPE_CHECKING:
    from .app import App

WRONG_USAGE, NO_DAEMON, A_BUG, TRY_LATER, INTERRUPTED = 64, 69, 70, 75, 130

_NO_ROOM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)
_BAD_PATH = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
        errno.EPERM,
        errno.EROFS,
    }
)
_STATUSES = {
    "persona.generation.sources.SourceError": 65,
    "persona.generation.output.OutputError": 64,
    "persona.generation.providers.base.UnknownProviderError": 64,
}
"""Of exceptions that know nothing of commands; by name, so that nothing is loaded for it."""

_SECRET_NAME = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_SECRET_LEAST = 4
"""Values shorter than this are no secrets, and replacing them would make the log unreadable."""


class Told(Struct, frozen=True):
    """What is said of an error, and how the program ends."""

    status: int
    message: str
    where: str | None = None
    hint: str | None = None


def report(error: BaseException, arguments: list[str], app: "App | None") -> int:
    """Say on stderr what went wrong and what to do next; the exit status."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help())
        return 0
    told = explain(error) or _crashed(error, arguments, app)
    where = f" ({clean(told.where)})" if told.where and told.where not in told.message else ""
    if told.message:
        click.echo(f"persona: {_lines(told.message)}{where}", err=True)
    if told.hint:
        click.echo(f"  {_lines(told.hint)}", err=True)
    return told.status


def explain(error: BaseException) -> Told | None:
    """What to say of an error that a person can mend; None where it is a bug of ours."""
    match error:
        case KeyboardInterrupt() | click.Abort():
            return Told(INTERRUPTED, "interrupted")
        case click.UsageError():
            return Told(WRONG_USAGE, _sentence(error.format_message()), hint=_help_hint(error.ctx))
        case click.ClickException():
            return Told(WRONG_USAGE, _sentence(error.format_message()))
        case OSError() if not hasattr(error, "EXIT_CODE"):
            return _of_system(error)
    return _of_ours(error)


def _of_ours(error: BaseException) -> Told | None:
    """Exceptions of ours carry their own status, or the code that the daemon answered with."""
    status = getattr(error, "EXIT_CODE", None)
    if status is None:
        status = _STATUSES.get(f"{type(error).__module__}.{type(error).__qualname__}")
    if status is None:
        from personad.contract.errors import LedgerError, exit_code

        if not isinstance(error, LedgerError):
            return None
        status = exit_code(error.code)
    return Told(status, str(error), _place(error), getattr(error, "hint", None))


def _place(error: BaseException) -> str | None:
    where, source = getattr(error, "where", None), getattr(error, "source", None)
    if where is None and source is not None:
        line = getattr(error, "line", None)
        where = source if line is None else f"{source}:{line}"
    return None if where is None else str(where)


def _of_system(error: OSError) -> Told | None:
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    reason = (error.strerror or str(error)).lower()
    if error.errno in _NO_ROOM:
        hint = "make room and try again; nothing was half-written"
        return Told(TRY_LATER, reason, " → ".join(names), hint)
    if error.errno == errno.ENOENT and not names:
        # Only asking for the working folder fails without naming what isn't there.
        hint = "change to a folder that exists, or give whole paths"
        return Told(WRONG_USAGE, "the working folder was removed", hint=hint)
    if error.errno in _BAD_PATH and names:
        return Told(WRONG_USAGE, reason, " → ".join(names))
    return None


def _help_hint(ctx: click.Context | None) -> str | None:
    return f"`{ctx.command_path} --help` says what it takes" if ctx else None


def _sentence(text: str) -> str:
    """Click's sentences in the form of ours: small at the beginning, no full stop."""
    return text[:1].lower() + text[1:].removesuffix(".")


def _lines(text: str) -> str:
    """Harmless line by line; what goes on is set in."""
    return "\n    ".join(clean(line) for line in text.splitlines())


def _crashed(error: BaseException, arguments: list[str], app: "App | None") -> Told:
    """Keep the traceback where it can be sent from, and say where that is."""
    log = "".join(
        (
            f"persona {' '.join(arguments)}\nPython {sys.version}\n\n",
            *traceback.format_exception(error),
        )
    )
    what = f"something went wrong that should not have: {type(error).__name__}: {error}"
    try:
        path = _keep(without_secrets(log, os.environ), app)
    except OSError as failed:
        click.echo(without_secrets(log, os.environ), err=True)
        hint = f"its traceback is above, as it can't be written: {failed}"
    else:
        hint = f"this is a bug; please report it with {path}"
    return Told(A_BUG, without_secrets(what, os.environ), hint=hint)


def without_secrets(text: str, environ: Mapping[str, str]) -> str:
    """`text` with the values of keys, tokens and passwords replaced by their variables' names."""
    secrets = [
        (value, name)
        for name, value in environ.items()
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_LEAST
    ]
    for value, name in sorted(secrets, key=lambda secret: -len(secret[0])):
        text = text.replace(value, f"[{name}]")
    return text


def _keep(log: str, app: "App | None") -> str:
    """Write a crash log beside the ledger, or in the temporary folder where that can't be."""
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.log"
    try:
        folder = os.fspath(app.paths.data_dir) if app else tempfile.gettempdir()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return _write(os.path.join(folder, name), log)
    except Exception:  # noqa: BLE001  # whatever broke the command may break its paths too
        return _write(os.path.join(tempfile.gettempdir(), name), log)


def _write(path: str, log: str) -> str:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="replace") as file:
        file.write(log)
    return path
