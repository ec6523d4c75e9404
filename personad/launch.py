"""Starting and stopping a daemon from outside."""

import fcntl
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from personad.contract.admin import Hello, Status, StatusReply, Stop, Welcome
from personad.contract.base import Request
from personad.contract.codec import encode, reply_codec
from personad.contract.environment import daemon_environment
from personad.contract.errors import Failure, LedgerError
from personad.contract.paths import Paths, check_socket_path, private_directory
from personad.contract.requester import Gone, Requester, Silent
from personad.locks import Held, lock

R = TypeVar("R")

ANSWER_S = 2.0
"""A daemon that is well answers what needs no commit within milliseconds."""
READY_S = 30.0
"""A ledger that was killed replays its log first; that has never taken a second."""
DRAIN_S = 30.0
"""A drain commits what is queued, at most some ten megabytes."""
TURN_S = DRAIN_S + READY_S + 5.0
"""How long one start waits for another."""
READY = b"ready\n"


def ask(
    paths: Paths,
    request: Request[R],
    timeout_s: float = 5.0,
    *,
    go_on: Callable[[], bool] = lambda: False,
) -> R:
    """The daemon's answer; after each `timeout_s` without one, `go_on` tells whether to wait on.

    Raises:
        LedgerError: what it answered, or `unavailable` where nobody did.
    """
    try:
        with Requester(paths.api_socket, timeout_s) as requester:
            body = requester.request_while(encode(request), timeout_s, go_on)
    except Silent:
        raise LedgerError(
            "unavailable",
            f"the daemon did not answer within {timeout_s:g} s",
            hint="`personad logs` may say why; `personad doctor` looks closer",
        ) from None
    except Gone:
        raise LedgerError(
            "unavailable", "no daemon is running", hint="`personad start` starts one"
        ) from None
    reply: Any = reply_codec(type(request)).decode(body)
    if isinstance(reply, Failure):
        raise LedgerError.of(reply)
    return reply  # type: ignore[no-any-return]


def running(paths: Paths) -> Welcome | None:
    """The daemon that answers, or None."""
    if not paths.api_socket.exists():
        return None
    try:
        return ask(paths, Hello(), timeout_s=ANSWER_S)
    except LedgerError as error:
        if error.code == "unavailable":
            return None
        raise


def status(paths: Paths) -> StatusReply:
    """How the daemon is. Raises as `ask`."""
    try:
        return ask(paths, Status())
    except LedgerError as error:
        if error.code != "unavailable" or running(paths) is None:
            raise
    # By this very question it has found out that its ledger is damaged: now it can say so.
    return ask(paths, Status())


def start(paths: Paths, *, autostarted: bool, environ: Mapping[str, str]) -> tuple[Welcome, bool]:
    """The daemon that answers, and whether it was started now; two starts at once start one.

    Raises:
        LedgerError: it could not be started, and why.
        ConfigurationError: a folder or a socket's path can't be used.
    """
    for folder in (paths.data_dir, paths.runtime_dir):
        private_directory(folder)
    check_socket_path(paths.live_socket)
    with _turn(paths):
        if (welcome := running(paths)) is not None:
            if welcome.mode != "draining":
                return welcome, False
            _outlast(paths, welcome)
        _spawn(paths, autostarted=autostarted, environ=environ)
        return ask(paths, Hello()), True


def _outlast(paths: Paths, draining: Welcome) -> None:
    """Returns once a daemon that is draining is gone.

    Raises:
        LedgerError: it doesn't get done.
    """
    try:
        with lock(paths.life_lock, wait_s=DRAIN_S):
            return
    except Held:
        raise LedgerError(
            "unavailable",
            f"the daemon before it (process {draining.pid}) is still draining after {DRAIN_S:g} s",
            hint="`personad stop --timeout 60` waits for it; then start again",
        ) from None


@contextmanager
def _turn(paths: Paths) -> Iterator[None]:
    """One start at a time.

    Raises:
        LedgerError: another one has hung.
    """
    try:
        with lock(paths.start_lock, wait_s=TURN_S):
            yield
    except Held:
        raise LedgerError(
            "unavailable",
            "another process is starting the daemon and doesn't get done",
            hint=f"`fuser -k {paths.start_lock}` ends it; then try again",
        ) from None


def _spawn(paths: Paths, *, autostarted: bool, environ: Mapping[str, str]) -> None:
    """Returns once the daemon says that it is ready."""
    told, tell = os.pipe()
    command = [sys.executable, "-P", "-m", "personad"]
    command += ["start", "--foreground", "--ready-fd", str(tell)]
    command += ["--autostarted"] if autostarted else []
    try:
        with open(paths.log_file, "ab", opener=_private) as output:
            # Its own session, so that it outlives the terminal; spawned, never forked, because
            # nng's threads don't survive a fork.
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(tell,),
                cwd="/",
                env=daemon_environment(environ, paths),
            )
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(tell)
    try:
        said = _hear(told)
    finally:
        os.close(told)
    if said != READY:
        reason = said.decode(errors="replace").strip() or "it ended without a word"
        raise LedgerError(
            "unavailable",
            f"the daemon could not be started: {reason}",
            hint=f"its log is {paths.log_file}",
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _hear(descriptor: int) -> bytes:
    """All that is said until the other end is closed or the time is over."""
    until = time.monotonic() + READY_S
    said = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        part = os.read(descriptor, 65_536)
        if not part:
            return said
        said += part
    return said + f"not ready within {READY_S:g} s".encode()


def teller(descriptor: int | None) -> Callable[[bytes], None]:
    """What the daemon tells its starter with, once; a starter that is gone needn't be told."""
    left = [] if descriptor is None else [descriptor]

    def tell(message: bytes) -> None:
        if left:
            with open(left.pop(), "wb", buffering=0) as pipe, suppress(BrokenPipeError):
                pipe.write(message)

    if descriptor is not None:
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return tell


def stop(paths: Paths, timeout_s: float) -> float | None:
    """Has the daemon drain and end; the seconds it took, or None where none was running.

    Raises:
        LedgerError: it did not end in time.
    """
    if not (answers(paths) or lives(paths)):
        return None
    began, is_told = time.monotonic(), True
    try:
        # It answers before it drains: one that a busy machine keeps waiting has not hung.
        ask(paths, Stop(), max(timeout_s, ANSWER_S))
    except LedgerError as error:
        if error.code != "unavailable":
            raise
        # One that is just ending takes no word any more, or its own last one gets lost.
        is_told = False
    while lives(paths):
        if time.monotonic() - began > timeout_s:
            if not is_told:
                raise hung(paths)
            raise LedgerError(
                "unavailable",
                f"the daemon is still draining after {timeout_s:g} s",
                hint="wait for it with `personad stop --timeout 60`; nothing is lost either way",
            )
        time.sleep(0.01)
    return time.monotonic() - began


def answers(paths: Paths) -> bool:
    """Whether a daemon answers, even one of another protocol: after an upgrade it must go, too."""
    try:
        return running(paths) is not None
    except LedgerError:
        return True


def lives(paths: Paths) -> bool:
    """Whether some process holds the ledger."""
    if not paths.life_lock.exists():
        return False
    try:
        with lock(paths.life_lock):
            return False
    except Held:
        return True


def hung(paths: Paths) -> LedgerError:
    """What to say of a daemon that lives and doesn't answer."""
    return LedgerError(
        "unavailable",
        f"a process holds the ledger {paths.data_dir} and doesn't answer",
        hint=f"`fuser -k -9 {paths.life_lock}` ends it; nothing that was acknowledged is lost",
    )
