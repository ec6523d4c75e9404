"""One conversation with a daemon over its request socket.

The asking side of nng's wire protocol (SP over a Unix socket) over a plain one, because nng's own
requester has threads of its own that each question passes through, connects again behind one's
back, and says nothing where the other side has died. Here a question costs a send and a receive,
never waits for a dead daemon, and never reaches another one than was greeted.
"""

import itertools
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from .errors import LedgerError
from .paths import check_socket_path
from .sp import FRAME, HELLO_OF_A_REPLIER, HELLO_OF_A_REQUESTER, LAST, MESSAGE, NUMBER

_AT_ONCE_BYTES = 1 << 16
_SEND_ROOM_BYTES = 1 << 20
_CROWDED_S = 0.005


class Gone(Exception):
    """The daemon went away; whether it did what was asked is not known."""


class Silent(Exception):
    """The daemon is there and gave no answer in time."""


class Requester:
    """Asks one question at a time."""

    def __init__(self, path: str | Path, timeout_s: float) -> None:
        """Connects to a daemon that is there.

        Raises:
            Gone: nobody listens.
            Silent: somebody listens, and doesn't say a word.
            LedgerError: `invalid`: it is no daemon, or another user's.
        """
        self._socket = _knock(Path(path), timeout_s)
        self._numbers = itertools.count(1)
        self._arrived = bytearray()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Requester":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_alive(self) -> bool:
        """Whether the daemon that was connected to still is there."""
        return not self.ends_within(0)

    def ends_within(self, timeout_s: float) -> bool:
        """Whether this daemon, and no matter what other, goes away before `timeout_s` are over."""
        until = time.monotonic() + timeout_s
        try:
            while True:
                # What arrives is the late answer to a question that was given up.
                self._take(until)
        except Silent:
            return False
        except Gone:
            return True

    def request(self, body: bytes, timeout_s: float) -> bytes:
        """The answer to `body`; Ctrl-C is heard while it waits.

        Raises:
            Gone: the daemon went away before it answered.
            Silent: no answer in `timeout_s`.
        """
        return self.request_while(body, timeout_s, lambda: False)

    def request_while(self, body: bytes, timeout_s: float, go_on: Callable[[], bool]) -> bytes:
        """The answer to `body`; after each `timeout_s` without one, `go_on` tells whether to wait.

        Raises:
            Gone: the daemon went away before it answered.
            Silent: no answer, and `go_on` had enough of it.
        """
        number = self.send(body, timeout_s)
        while True:
            try:
                return self.answer(number, timeout_s)
            except Silent:
                if not go_on():
                    raise

    def answer(self, number: bytes, timeout_s: float) -> bytes:
        """The answer to what was sent under `number`. Raises as `request`."""
        until = time.monotonic() + timeout_s
        while True:
            answer = self._receive(until)
            # Another's is the late answer to a question that was given up.
            if answer.startswith(number):
                return bytes(memoryview(answer)[len(number) :])

    def fileno(self) -> int:
        """Readable when some of an answer has arrived, or the daemon is gone."""
        return self._socket.fileno()

    def send(self, body: bytes, timeout_s: float) -> bytes:
        """Asks, and gives the number that the answer will bear; who gives up in the middle has to
        close. Raises as `request`."""
        number = NUMBER.pack(LAST | next(self._numbers) & ~LAST)
        rest = memoryview(FRAME.pack(MESSAGE, len(number) + len(body)) + number + body)
        until = time.monotonic() + timeout_s
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, until)
            except OSError:
                raise Gone from None
        return number

    def _receive(self, until: float) -> bytes:
        """The next message; what has arrived of it stays where it isn't whole in time."""
        while True:
            arrived = self._arrived
            if len(arrived) >= FRAME.size:
                kind, size = FRAME.unpack_from(arrived)
                if kind != MESSAGE:
                    raise Gone
                end = FRAME.size + size
                if len(arrived) >= end:
                    message = bytes(memoryview(arrived)[FRAME.size : end])
                    self._arrived = arrived[end:]
                    return message
            self._take(until)

    def _take(self, until: float) -> None:
        """Some more of what arrives."""
        self._wait(select.POLLIN, until)
        try:
            some = self._socket.recv(_AT_ONCE_BYTES)
        except OSError:
            raise Gone from None
        if not some:
            raise Gone
        self._arrived += some

    def _wait(self, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1_000):
            raise Silent


def _connect(path: Path, timeout_s: float) -> socket.socket:
    check_socket_path(path)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    until = time.monotonic() + timeout_s
    try:
        plain.settimeout(timeout_s)
        while True:
            try:
                plain.connect(os.fspath(path))
                return plain
            except BlockingIOError:
                # Where too many others are waiting, the kernel takes nobody, instead of waiting.
                if time.monotonic() >= until:
                    raise
            time.sleep(_CROWDED_S)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        plain.close()
        raise Gone from None
    except (TimeoutError, BlockingIOError):
        plain.close()
        raise Silent from None
    except OSError as error:
        plain.close()
        raise LedgerError(
            "invalid",
            f"the socket {path} can't be connected to: {error.strerror}",
            hint="look who owns it: it must be yours, in a folder of yours",
        ) from None
    except BaseException:
        plain.close()
        raise


def _knock(path: Path, timeout_s: float) -> socket.socket:
    """A plain connection to a daemon that has said which protocol it speaks."""
    plain = _connect(path, timeout_s)
    try:
        _check_owner(path)
        plain.sendall(HELLO_OF_A_REQUESTER)
        heard = plain.recv(len(HELLO_OF_A_REPLIER), socket.MSG_WAITALL)
    except (TimeoutError, BlockingIOError):
        plain.close()
        raise Silent from None
    except (FileNotFoundError, ConnectionError):
        plain.close()
        raise Gone from None
    except BaseException:
        plain.close()
        raise
    if heard != HELLO_OF_A_REPLIER:
        plain.close()
        if not heard:
            raise Gone
        raise LedgerError(
            "invalid",
            f"what listens at {path} is no personad",
            hint="find out what it is and stop it, then run the same command again",
        )
    plain.setblocking(False)
    # As far as the system lets it: what fits in is sent without waiting for the other side.
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_ROOM_BYTES)
    return plain


def _check_owner(path: Path) -> None:
    owner = path.stat().st_uid
    if owner != os.getuid():
        raise LedgerError(
            "invalid",
            f"the daemon at {path} belongs to user {owner}, and you are user {os.getuid()}",
            hint="set daemon.runtime_dir to a folder of your own",
        )
