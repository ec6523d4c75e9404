"""Where a ledger's files and sockets are: both programs must come to the same answer."""

import fcntl
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from .settings import ConfigurationError, Settings

MAX_SOCKET_PATH_BYTES = 100
"""The kernel takes 107 on Linux and 103 elsewhere, and nng refuses longer ones without a reason."""

TEMPORARY = "/tmp"
"""Not `TMPDIR`: a terminal and a service of the same user often differ in it."""


class Paths(Struct, frozen=True, kw_only=True):
    """The files and sockets of one ledger."""

    data_dir: Path
    database: Path
    spool_dir: Path
    quarantine_dir: Path
    runs_dir: Path
    log_file: Path
    """The daemon's own log, JSON lines."""
    ballast: Path
    """Room on the disk that is let go of when the disk is full."""
    life_lock: Path
    """Held by the daemon as long as it lives; beside the database, because a logout empties the
    runtime directory and a second daemon could then start on the same database."""
    start_lock: Path
    """Held while a daemon is being started."""
    runtime_dir: Path
    api_socket: Path
    live_socket: Path


def resolve_paths(settings: Settings, *, ledger: str | None, environ: Mapping[str, str]) -> Paths:
    """The paths of the ledger that `--ledger`, `PERSONA_LEDGER` or the settings name.

    Nothing is created or looked for, but links are followed, so that one folder has one set of
    sockets however it is spelt. Raises `ConfigurationError` where there is no home folder.
    """
    home = _home(environ)
    # The account's, and not HOME's: with another HOME there is another ledger, and both must not
    # meet at one socket.
    usual = _real((_account_home() or home) / ".local" / "share" / "personad")
    configured = settings.daemon.data_dir
    own = _real(_expanded(configured, home)) if configured else _default_data_dir(environ, home)
    asked = ledger or environ.get("PERSONA_LEDGER")
    data_dir = _real(_expanded(asked, home)) if asked else own

    named = settings.daemon.runtime_dir
    if named:
        base = _real(_expanded(named, home))
        runtime_dir = base if data_dir == own else base / f"personad-{_digest(data_dir)}"
    else:
        runtime_dir = _runtime_dir(environ, "" if data_dir == usual else f"-{_digest(data_dir)}")
    return _laid_out(data_dir, runtime_dir)


def in_use(paths: Paths) -> Paths:
    """The same paths, with the sockets where the ledger's living daemon listens.

    A daemon started in a desktop session and a command run by cron or over ssh may have different
    runtime directories. So the daemon writes its own into the lock that it holds while it lives.
    """
    try:
        with paths.life_lock.open("rb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                named = Path(os.fsdecode(held.read(4_096)))
            else:
                return paths
    except OSError:
        return paths
    if not named.is_absolute() or named == paths.runtime_dir:
        return paths
    return _laid_out(paths.data_dir, named)


def check_socket_path(path: Path) -> None:
    """Raise `ConfigurationError` where a socket's path is longer than the system takes."""
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH_BYTES:
        raise ConfigurationError(
            f"the socket path {path} has {size} bytes; a Unix socket takes no more than about "
            f"{MAX_SOCKET_PATH_BYTES}",
            key="daemon.runtime_dir",
            hint="set daemon.runtime_dir or PERSONAD_RUNTIME_DIR to a short folder of your own, "
            f"such as {TEMPORARY}/personad-{os.getuid()}",
        )


def private_directory(path: Path) -> None:
    """Make `path` a directory that only its owner can enter, or check that it is one.

    Raises `ConfigurationError` where it can't be made, is something else, a link, somebody else's,
    or open to others: whoever can enter could put a socket of his own there. Nor may its name hold
    bytes that are no text: SQLite takes none, and no reply could name it.
    """
    if _is_no_text(path):
        raise ConfigurationError(
            f"the folder's name {os.fsencode(path)!r} is not UTF-8",
            hint="use a folder whose name, and those above it, are text",
        )
    try:
        os.makedirs(path.parent, mode=0o700, exist_ok=True)
        if not os.path.lexists(path):
            path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigurationError(
            f"the folder {path} can't be made: {error.strerror}",
            hint="make it yourself with mode 0700, or set daemon.data_dir and daemon.runtime_dir",
        ) from error
    _check_private(path, found)


def _is_no_text(path: Path) -> bool:
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_private(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        kind = "a link" if stat.S_ISLNK(found.st_mode) else "no folder"
        raise ConfigurationError(
            f"{path} is {kind}; it must be a folder of its own",
            hint="find out who put it there, then remove it",
        )
    if found.st_uid != os.getuid():
        raise ConfigurationError(
            f"the folder {path} belongs to user {found.st_uid}, and you are user {os.getuid()}",
            hint="set daemon.data_dir and daemon.runtime_dir to folders of your own",
        )
    if (mode := stat.S_IMODE(found.st_mode) & 0o777) != 0o700:
        raise ConfigurationError(
            f"the folder {path} has mode {mode:04o}; it must be 0700, so that nobody else gets in",
            hint=f"look into it, then run: chmod 700 '{path}'",
        )


def _laid_out(data_dir: Path, runtime_dir: Path) -> Paths:
    return Paths(
        data_dir=data_dir,
        database=data_dir / "ledger.db",
        spool_dir=data_dir / "spool",
        quarantine_dir=data_dir / "quarantine",
        runs_dir=data_dir / "runs",
        log_file=data_dir / "personad.log",
        ballast=data_dir / "ballast",
        life_lock=data_dir / "personad.lock",
        start_lock=data_dir / "personad.start.lock",
        runtime_dir=runtime_dir,
        api_socket=runtime_dir / "api.sock",
        live_socket=runtime_dir / "live.sock",
    )


def _default_data_dir(environ: Mapping[str, str], home: Path) -> Path:
    base = environ.get("XDG_DATA_HOME", "")
    # The XDG specification has relative paths ignored.
    return _real((Path(base) if os.path.isabs(base) else home / ".local" / "share") / "personad")


def _runtime_dir(environ: Mapping[str, str], suffix: str) -> Path:
    """Where sockets are unless it is configured; `suffix` keeps one data folder from another's."""
    base = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base):
        return Path(base) / f"personad{suffix}"
    return Path(TEMPORARY) / f"personad-{os.getuid()}{suffix}"


def _home(environ: Mapping[str, str]) -> Path:
    if home := environ.get("HOME"):
        return Path(home)
    if (home_ := _account_home()) is not None:
        return home_
    raise ConfigurationError(f"user {os.getuid()} has no home folder", hint="set HOME")


def _account_home() -> Path | None:
    """As the user database says; None where it doesn't know this user."""
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def _expanded(path: str, home: Path) -> Path:
    return home / path[2:] if path == "~" or path.startswith("~/") else Path(path)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _digest(path: Path) -> str:
    from hashlib import sha256  # costs 3 ms, and most people have one ledger

    return sha256(os.fsencode(path)).hexdigest()[:12]
