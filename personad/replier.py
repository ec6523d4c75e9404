"""The request socket: serves nng's `req` over a Unix socket, with no thread between it and us.

nng's own replier takes each message through threads of its own, and calls into it let go of the
interpreter some ten times a request: it took longer than most questions. Here a request is a wait,
a receive and a send.

One thread waits and receives; replies leave from the thread that gives them, as far as there is
room, and the receiving thread sends the rest. Nothing is ever dropped: who has too much in hand, or
doesn't read its answers, is not read from until that changes, and holds nobody else up.
"""

import itertools
import logging
import os
import resource
import select
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress

from personad.arriving import Arriving, Malformed
from personad.contract.sp import FRAME, HELLO_OF_A_REPLIER, LAST, MESSAGE, NUMBER

IN_HAND = 64
"""Requests of one connection that may wait for their answers at once."""
AT_ONCE_BYTES = 1 << 20
"""Received by one call: each lets go of the interpreter, and may wait for it."""
SPARE_DESCRIPTORS = 128
"""Of those that the process may have, for everything that is no connection."""
TRY_AGAIN_S = 0.1
FLUSH_S = 1.0
"""How long those who are slow to read may take, once nothing else is to be done."""

_CREDENTIALS = struct.Struct("3i")

logger = logging.getLogger(__name__)


class Closed(Exception):
    """No more requests are taken."""


class Connection:
    """One client. What is unlocked is the receiving thread's alone."""

    def __init__(self, plain: socket.socket, name: bytes, epoll: select.epoll) -> None:
        self.name = name
        self.arriving = Arriving()
        self._socket = plain
        self._epoll = epoll
        self.number = plain.fileno()
        self._lock = threading.Lock()
        self._in_hand = 0
        self._unsent = bytearray()
        self._is_held = False
        """Whether a request is there that isn't taken for now."""
        self._is_open = True
        self._heeds = select.EPOLLIN
        epoll.register(self.number, self._heeds)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    @property
    def is_held(self) -> bool:
        return self._is_held

    def receive(self, room: memoryview) -> bool:
        """Takes in what has arrived, by way of `room`; False: the other side is gone."""
        try:
            size = self._socket.recv_into(room)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if size:
            self.arriving.feed(room[:size])
        return size > 0

    def may_be_taken_from(self) -> bool:
        """Whether a request is there and may be taken. One that may not is held, and nothing more
        is read, until answers have left."""
        if not self.arriving.has_some:
            return False
        with self._lock:
            self._is_held = self._in_hand >= IN_HAND or bool(self._unsent)
            self._heed()
            return not self._is_held

    def take(self) -> "Incoming | None":
        """The next request. Raises as `Arriving.take`."""
        taken = self.arriving.take()
        if taken is None:
            return None
        with self._lock:
            self._in_hand += 1
        return Incoming(self, *taken)

    def answer(self, message: bytes) -> bool:
        """From any thread; False where nobody takes it any more."""
        with self._lock:
            self._in_hand -= 1
            if not self._is_open:
                return False
            if self._unsent:
                self._unsent += message
                return True
            try:
                sent = self._socket.send(message)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            if sent < len(message):
                self._unsent += memoryview(message)[sent:]
            if self._unsent or self._is_held:
                # Which has the receiving thread send the rest, or look at what is held.
                self._heed()
            return True

    def flush(self) -> None:
        """Sends what there is room for."""
        with self._lock:
            try:
                if self._unsent:
                    del self._unsent[: self._socket.send(self._unsent)]
            except BlockingIOError:
                return
            except OSError:
                # That the other side is gone is seen where it is received from.
                self._unsent.clear()
            self._heed()

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            self._unsent.clear()
            self._epoll.unregister(self.number)
            self._socket.close()

    def _heed(self) -> None:
        """Has the receiving thread woken by what concerns this connection now, and nothing else."""
        heeds = 0 if self._is_held else select.EPOLLIN
        if self._unsent or (self._is_held and self._in_hand < IN_HAND):
            heeds |= select.EPOLLOUT
        if heeds != self._heeds:
            self._heeds = heeds
            self._epoll.modify(self.number, heeds)


class Incoming:
    """A request, and the way back to who sent it."""

    __slots__ = ("body", "connection", "way")

    def __init__(self, connection: Connection, way: bytes, body: bytes) -> None:
        self.connection = connection
        self.way = way
        self.body = body

    @property
    def client(self) -> bytes:
        """The connection that it came over."""
        return self.connection.name


class Replier:
    """Answers requests in any order, from any thread."""

    def __init__(self, path: str) -> None:
        """Listens at `path`, where no file may be; for its owner alone.

        Raises:
            OSError: it can't be listened there.
        """
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(path)
            os.chmod(path, 0o600)
            self._listener.listen(socket.SOMAXCONN)
        except BaseException:
            self._listener.close()
            raise
        self._listener.setblocking(False)
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(self._woken, select.EPOLLIN)
        self._listens_again_at: float | None = None
        """None: it listens."""
        self._is_full = False
        """Whether somebody could not be let in, and nobody since."""
        self._room = memoryview(bytearray(AT_ONCE_BYTES))
        self._interrupted = False
        self._connections: dict[int, Connection] = {}
        self._names = itertools.count(1)
        self._turn: deque[Connection] = deque()
        """Who has a request ready, in this round: one of each is taken."""
        self._next_turn: deque[Connection] = deque()

    def __enter__(self) -> "Replier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self) -> Incoming:
        """Waits for the next request.

        Raises:
            Closed: it was interrupted.
        """
        while True:
            if self._interrupted:
                raise Closed
            incoming = self._take()
            if incoming is not None:
                return incoming
            self._look(None)

    def receive_now(self) -> Incoming | None:
        """A request that is there already, or None."""
        incoming = self._take()
        if incoming is None and len(self._connections) > 1:
            self._look(0)
            incoming = self._take()
        return incoming

    def interrupt(self) -> None:
        """Ends `receive`, now and from now on; replies still leave."""
        self._interrupted = True
        os.eventfd_write(self._woken, 1)

    def reply(self, incoming: Incoming, body: bytes) -> bool:
        """Sends the answer; False where the one who asked takes none any more."""
        way = incoming.way
        size = len(way) + len(body)
        return incoming.connection.answer(b"".join((FRAME.pack(MESSAGE, size), way, body)))

    def close(self) -> None:
        """For when nobody receives any more. What could not be sent yet still is, if it is read."""
        if self._listener.fileno() < 0:
            return
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        self._listener.close()
        until = time.monotonic() + FLUSH_S
        slow = list(self._connections.values())
        while (slow := [each for each in slow if each.has_unsent]) and time.monotonic() < until:
            for each in slow:
                each.flush()
            time.sleep(0.001)
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._epoll.close()
        os.close(self._woken)

    def _take(self) -> Incoming | None:
        while self._turn or self._next_turn:
            if not self._turn:
                # Between two rounds those are looked for who have come meanwhile.
                self._turn, self._next_turn = self._next_turn, self._turn
                self._look(0)
            connection = self._turn.popleft()
            if self._connections.get(connection.number) is not connection:
                continue
            try:
                incoming = connection.take()
            except Malformed:
                self._drop(connection)
                continue
            if connection.may_be_taken_from():
                self._next_turn.append(connection)
            if incoming is not None:
                return incoming
        return None

    def _look(self, timeout_s: float | None) -> None:
        """Lets in who knocks, reads what has arrived, sends what there is room for."""
        if timeout_s is None and self._listens_again_at is not None:
            timeout_s = TRY_AGAIN_S
        for number, event in self._epoll.poll(timeout_s):
            connection = self._connections.get(number)
            if connection is not None:
                self._happened(connection, event)
            elif number == self._listener.fileno():
                self._let_in()
        if self._listens_again_at is not None and time.monotonic() >= self._listens_again_at:
            self._listens_again_at = None
            self._epoll.modify(self._listener, select.EPOLLIN)

    def _happened(self, connection: Connection, event: int) -> None:
        if event & select.EPOLLOUT:
            connection.flush()
        is_waiting = not connection.arriving.has_some
        if is_waiting and event & ~select.EPOLLOUT and not connection.receive(self._room):
            self._drop(connection)
        elif connection.is_held and event & (select.EPOLLHUP | select.EPOLLERR):
            # Nobody would be told what became of what is held.
            self._drop(connection)
        elif (is_waiting or connection.is_held) and connection.may_be_taken_from():
            self._turn.append(connection)

    def _let_in(self) -> None:
        if len(self._connections) >= _most_connections():
            self._rest("there are too many connections")
            return
        try:
            plain, _ = self._listener.accept()
        except BlockingIOError:
            return  # Who knocked has gone again.
        except OSError as error:
            self._rest(str(error))
            return
        self._is_full = False
        try:
            plain.setblocking(False)
            credentials = plain.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            if _CREDENTIALS.unpack(credentials)[1] != os.getuid():
                plain.close()
                return
            plain.send(HELLO_OF_A_REPLIER)
        except OSError:
            plain.close()
            return
        name = NUMBER.pack(next(self._names) & ~LAST)
        connection = Connection(plain, name, self._epoll)
        self._connections[connection.number] = connection

    def _rest(self, why: str) -> None:
        """Lets nobody in for a while: they wait in front of the door."""
        if not self._is_full:
            logger.warning("nobody can be let in for now: %s", why)
        self._is_full = True
        self._listens_again_at = time.monotonic() + TRY_AGAIN_S
        self._epoll.modify(self._listener, 0)

    def _drop(self, connection: Connection) -> None:
        del self._connections[connection.number]
        connection.close()


def _most_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - SPARE_DESCRIPTORS, soft // 2)
