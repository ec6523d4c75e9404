"""Half of what an append takes, in a process of its own: reading it, and everything else that needs
of the ledger only its words and prices, which it looks up there for itself.

`python -m personad.preparer DATABASE` gets appends from its standard input, a socket, and
sends back what it made of each (see `prepared`), in order. It has nothing that could be lost: where
it is killed, the daemon does all of it. It ends where nobody sends any more.
"""

import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import apsw
import msgspec

from personad import fetched_prices, plain_calls, price_data
from personad.allocator import settle
from personad.names import Proposed
from personad.prepared import Prepared, Priced, PricesAs, prepared
from personad.pricing import PriceBook
from personad.projections.prices import newest_own, own_prices
from personad.store import open_for_reading

SIZE = struct.Struct("<I")
"""Before each message; a reply of none leaves the append to the daemon."""
READY = b"ready"
AT_ONCE_BYTES = 256 << 10
"""Received by one call; an append of a hundred events takes a sixth of it."""


class Preparer:
    """What one process makes of appends."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._read = plain_calls.reader()
        self._words = Proposed(db)
        self._prices: PriceBook | None = None
        self._own: int = 0

    def prepare(self, message: bytes) -> Prepared | None:
        """None for what is to be looked at by the one who writes, or to be refused by him."""
        calls = self._read(message)
        if calls is None:
            return None
        self._words.look()
        made = prepared(calls, self._words, self._prices_now)
        if made is None:
            self._words.take_back()
        return made

    def _prices_now(self) -> tuple[PricesAs, Priced]:
        known = None if price_data.look_again() else self._prices
        # One transaction, so that the number is of the prices that are read.
        with self._db:
            own = newest_own(self._db)
            if own != self._own:
                known = None
            own_ones = own_prices(self._db) if known is None else ()
        if known is None:
            known, self._own = PriceBook(own_ones), own
            self._prices = known
        return (own, price_data.fetched_stamp()), known.bill


class Received:
    """The messages that come over a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._room = memoryview(bytearray(AT_ONCE_BYTES))
        self._begin = self._end = 0
        """Of what lies there, and was not given yet."""
        self._large: bytearray | None = None
        """A message for which there is no room, as far as it has come;"""
        self._has_of_it = 0
        """so far."""

    def next(self) -> bytes | bytearray | None:
        """The next message; None where nobody sends any more.

        Raises:
            OSError: the connection broke, or nothing came within its time.
        """
        while (message := self._whole()) is None:
            if not self._receive(0):
                return None
        return message

    def at_once(self) -> bytes | bytearray | None:
        """The next message, where all of it has come.

        Raises:
            EOFError: nobody sends any more.
            OSError: the connection broke.
        """
        while (message := self._whole()) is None:
            try:
                if not self._receive(socket.MSG_DONTWAIT):
                    raise EOFError
            except BlockingIOError:
                return None
        return message

    def _whole(self) -> bytes | bytearray | None:
        """What has come of the next message, if that is all of it."""
        if self._large is not None:
            message = self._large
            if self._has_of_it < len(message):
                return None
            self._large = None
            return message
        begin = self._begin + SIZE.size
        if begin > self._end:
            return None
        end = begin + SIZE.unpack_from(self._room, self._begin)[0]
        if end > self._end:
            self._large = bytearray(end - begin)
            self._has_of_it = self._end - begin
            self._large[: self._has_of_it] = self._room[begin : self._end]
            self._begin = self._end = 0
            return None
        self._begin = end
        if end == self._end:
            self._begin = self._end = 0
        return bytes(self._room[begin:end])

    def _receive(self, flags: int) -> bool:
        """Takes in what has come; False: the other side is gone."""
        if self._large is not None:
            rest = memoryview(self._large)[self._has_of_it :]
            count = self._connection.recv_into(rest, flags=flags or socket.MSG_WAITALL)
            self._has_of_it += count
            return count > 0
        if self._begin:
            left = self._end - self._begin
            self._room[:left] = bytes(self._room[self._begin : self._end])
            self._begin, self._end = 0, left
        # With what it begins with mostly the whole message comes, and the next one's beginning:
        # after each call this thread may have to wait for others.
        count = self._connection.recv_into(self._room[self._end :], flags=flags)
        self._end += count
        return count > 0


def send(
    connection: socket.socket, message: bytes, stands_still: Callable[[], bool] = lambda: True
) -> None:
    """Where none of it is taken in time it is tried again, unless the other side `stands_still`.

    Raises:
        BlockingIOError: it stands still.
        OSError: nobody receives it.
    """

    def some(*parts: bytes | memoryview) -> int:
        while True:
            try:
                return connection.sendmsg(parts)
            except BlockingIOError:
                if stands_still():
                    raise

    head = SIZE.pack(len(message))
    sent = some(head, message)
    if sent < len(head) + len(message):
        rest = memoryview(head + message)[sent:]
        while rest:
            rest = rest[some(rest) :]


def _main(database: Path) -> None:
    # Whoever began this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settle()
    price_data.look_at(database.with_name(fetched_prices.FILE))
    encode = msgspec.msgpack.Encoder().encode
    with (
        socket.socket(fileno=0) as connection,
        closing(open_for_reading(str(database))) as db,
        # The daemon was killed: then there is nobody to tell.
        suppress(ConnectionError),
    ):
        preparer = Preparer(db)
        send(connection, READY)
        received = Received(connection)
        while (message := received.next()) is not None:
            made = preparer.prepare(bytes(message))
            send(connection, b"" if made is None else encode(made))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
