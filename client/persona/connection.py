"""One conversation with a daemon over its request socket.

Beside nng's socket a plain one is held to the same path: nng connects again behind our back and
says nothing where the other side has died, while the plain socket shows it at once. So a request
never waits for a dead daemon, and never reaches another one than was greeted.
"""

import os
import select
import socket
from pathlib import Path

from personad.contract.errors import LedgerError
from personad.contract.nng import Closed, NngError, Requester, TimedOut
from personad.contract.paths import check_socket_path

_HELLO_OF_A_REQUESTER = b"\x00SP\x00\x00\x30\x00\x00"
_HELLO_OF_A_REPLIER = b"\x00SP\x00\x00\x31\x00\x00"
"""What both sides of a Scalability Protocols connection say first; see nanomsg's sp-tcp RFC."""

_LAST_WORDS_S = 0.1
"""How long an answer may follow the end of the one who gave it."""


class Gone(Exception):
    """The daemon went away; whether it did what was asked is not known."""


class Silent(Exception):
    """The daemon is there and gave no answer in time."""


class Connection(Requester):
    """Asks one question at a time."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        """Connects to a daemon that is there.

        Raises:
            Gone: nobody listens.
            Silent: somebody listens, and doesn't say a word.
            LedgerError: `invalid`: it is no daemon, or another user's.
        """
        self._plain = _knock(path, timeout_s)
        try:
            super().__init__(str(path))
        except NngError as error:
            self._plain.close()
            raise (Silent if isinstance(error, TimedOut) else Gone)(str(error)) from None

    def close(self) -> None:
        self._plain.close()
        super().close()

    @property
    def is_alive(self) -> bool:
        """Whether the daemon that was connected to still is there."""
        return not self.ends_within(0)

    def ends_within(self, timeout_s: float) -> bool:
        """Whether this daemon, and no matter what other, goes away before `timeout_s` are over."""
        readable, _, _ = select.select([self._plain], [], [], timeout_s)
        return bool(readable)

    def request(self, body: bytes, timeout_s: float) -> bytes:
        """The answer to `body`; Ctrl-C is heard while it waits.

        Raises:
            Gone: the daemon went away before it answered.
            Silent: no answer in `timeout_s`.
        """
        try:
            if not self._send_now(body):
                raise Gone
            descriptor = self._descriptor(b"recv-fd")
            ready, _, _ = select.select([descriptor, self._plain.fileno()], [], [], timeout_s)
            if ready and descriptor not in ready:
                select.select([descriptor], [], [], _LAST_WORDS_S)
            answer = self._receive_now()
        except Closed:
            raise Gone from None
        if answer is None:
            raise Gone if ready else Silent
        return answer


def _connect(path: Path, timeout_s: float) -> socket.socket:
    check_socket_path(path)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plain.settimeout(timeout_s)
        plain.connect(os.fspath(path))
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
    return plain


def _knock(path: Path, timeout_s: float) -> socket.socket:
    """A plain connection to a daemon that has said which protocol it speaks."""
    plain = _connect(path, timeout_s)
    try:
        _check_owner(path)
        plain.sendall(_HELLO_OF_A_REQUESTER)
        heard = plain.recv(len(_HELLO_OF_A_REPLIER), socket.MSG_WAITALL)
    except (TimeoutError, BlockingIOError):
        plain.close()
        raise Silent from None
    except (FileNotFoundError, ConnectionError):
        plain.close()
        raise Gone from None
    except BaseException:
        plain.close()
        raise
    if heard != _HELLO_OF_A_REPLIER:
        plain.close()
        if not heard:
            raise Gone
        raise LedgerError(
            "invalid",
            f"what listens at {path} is no personad",
            hint="find out what it is and stop it, then run the same command again",
        )
    return plain


def _check_owner(path: Path) -> None:
    owner = path.stat().st_uid
    if owner != os.getuid():
        raise LedgerError(
            "invalid",
            f"the daemon at {path} belongs to user {owner}, and you are user {os.getuid()}",
            hint="set daemon.runtime_dir to a folder of your own",
        )
