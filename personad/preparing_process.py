"""The process that prepares large appends, as the daemon has it; `preparer` is what it does."""

import logging
import select
import socket
import struct
import subprocess
from collections.abc import Sequence

from personad.preparer import READY, Received, send

ANSWER_WITHIN_S = 10.0
END_WITHIN_S = 1.0
"""Once nobody sends any more; it has nothing to lose."""
SEND_BYTES = 1 << 20
"""What each may have sent before the other has taken it, as far as the system lets it be."""

_TIME = struct.Struct("ll")
"""A timeval, as the system has it."""

logger = logging.getLogger(__name__)


class Process:
    """One that prepares. Where it breaks, that is said once, and it is of no use any more."""

    def __init__(self, command: Sequence[str]) -> None:
        """Raises OSError where it can't be begun."""
        self.is_sound = True
        self._socket, theirs = socket.socketpair()
        for each in (self._socket, theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self._received = Received(self._socket)
        self.number = self._socket.fileno()
        """Of the file from which there is something to be read once it has answered, or ended."""
        self.room_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
        """So much it may be sent before it takes any, and nobody has to wait."""
        # Not Python's own timeouts: with these each wait would be a call of its own.
        within = _TIME.pack(int(ANSWER_WITHIN_S), int(ANSWER_WITHIN_S % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, within)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL
                )
        except BaseException:
            self._socket.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def come_up(self) -> None:
        """Waits until it does. Raises OSError where it doesn't, in time."""
        try:
            first = self._received.next()
        except OSError as error:
            self._never_was()
            raise OSError(f"it did not come up: {error}") from None
        if first != READY:
            self._never_was()
            raise OSError("it did not come up")

    def _never_was(self) -> None:
        self.kill()
        self.close()

    def send(self, message: bytes) -> None:
        try:
            # One that has answered waits for us, who may be kept from taking it by a slow disk.
            send(self._socket, message, lambda: not self.has_something)
        except BlockingIOError:
            self.give_up("it has not taken anything for too long")
        except OSError as error:
            self.give_up(error)

    def receive(self) -> bytes | bytearray | None:
        """What it made of the next append, nothing where it leaves it to us; None: it has not
        answered yet, or never will."""
        if not self.is_sound:
            return None
        try:
            return self._received.at_once()
        except (EOFError, OSError) as error:
            self.give_up(error if str(error) else "it has ended")
            return None

    @property
    def has_something(self) -> bool:
        """Whether there is something to be received, or it has ended."""
        poll = select.poll()
        poll.register(self.number, select.POLLIN)
        return bool(poll.poll(0))

    def give_up(self, why: object) -> None:
        if self.is_sound:
            logger.warning("the daemon prepares appends by itself for now: %s", why)
        self.is_sound = False
        self._process.kill()

    def kill(self) -> None:
        """From any thread, which need not wait for any other."""
        self.is_sound = False
        self._process.kill()

    def close(self) -> None:
        """It ends as soon as it sees that nobody sends any more."""
        self._socket.close()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
