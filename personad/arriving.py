"""What a requester says, out of bytes that arrive in any pieces: the protocol alone."""

from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.sp import FRAME, HELLO_OF_A_REQUESTER, MESSAGE, NUMBER

RECEIVE_MAX_BYTES = 2 * MAX_MESSAGE_BYTES
"""A larger message ends its connection; up to here it gets an answer."""
HOPS = 8
"""A request that has come through more devices than that goes in circles."""
KEPT_BYTES = 64 << 10
"""Of what was taken, so much may lie in front of what follows it, which is cheaper than to move."""


class Malformed(Exception):
    """What has arrived is not what a requester says."""


class Arriving:
    """The requests of one connection, out of bytes that arrive in any pieces."""

    def __init__(self) -> None:
        self._bytes: bytes | bytearray = b""
        self._at = 0
        self._end = 0
        """Where the next message ends; 0: it isn't known yet."""
        self._is_greeted = False
        self._is_malformed = False

    @property
    def has_some(self) -> bool:
        """Whether there is a message to be taken, or no more will ever come."""
        return self._is_malformed or 0 < self._end <= len(self._bytes)

    def feed(self, some: bytes | memoryview) -> None:
        """Takes more in. What is kept grows by what arrives, never by what is announced."""
        if self._at == len(self._bytes):
            self._bytes, self._at = bytes(some), 0
        else:
            if self._at or isinstance(self._bytes, bytes):
                self._forget_taken()
            self._bytes += some
        if not self._is_greeted:
            self._greet()
        self._look()

    def take(self) -> tuple[bytes, bytes] | None:
        """The next message: the numbers of its way, and its body; None where it goes in circles.

        Raises:
            Malformed: what comes next is no message, or too large a one, or has no number.
        """
        if self._is_malformed:
            raise Malformed
        whole, begin, end = self._bytes, self._at + FRAME.size, self._end
        body, furthest = begin, begin + HOPS * NUMBER.size
        is_at_last = False
        while not is_at_last and body < furthest:
            if body + NUMBER.size > end:
                raise Malformed
            is_at_last = whole[body] & 0x80 != 0
            body += NUMBER.size
        with memoryview(whole) as view:
            taken = (bytes(view[begin:body]), bytes(view[body:end])) if is_at_last else None
        self._at, self._end = end, 0
        if end == len(whole):
            self._bytes, self._at = b"", 0
        elif end > KEPT_BYTES:
            self._forget_taken()
        self._look()
        return taken

    def _forget_taken(self) -> None:
        self._bytes = bytearray(memoryview(self._bytes)[self._at :])
        self._end -= self._at if self._end else 0
        self._at = 0

    def _greet(self) -> None:
        hello = len(HELLO_OF_A_REQUESTER)
        if not HELLO_OF_A_REQUESTER.startswith(bytes(self._bytes[:hello])):
            self._is_malformed = True
        elif len(self._bytes) >= hello:
            self._is_greeted, self._at = True, hello

    def _look(self) -> None:
        """How far the next message goes, once that is known."""
        if self._is_greeted and not self._end and len(self._bytes) - self._at >= FRAME.size:
            kind, size = FRAME.unpack_from(self._bytes, self._at)
            self._end = self._at + FRAME.size + size
            self._is_malformed = kind != MESSAGE or size > RECEIVE_MAX_BYTES
