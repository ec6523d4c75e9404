"""Large appends on their way to the writer, by way of another process that does half of the work.

The process is begun once much comes in, and ended when nothing has come for a while. Whatever goes
wrong with it, the daemon does everything itself. What one client sends is written in the order in
which it was sent, whichever way it goes; clients take turns.
"""

import logging
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path

import msgspec

from personad.contract.events import Append
from personad.jobs import Job, Queue, Unread
from personad.prepared import Prepared
from personad.preparer import READY, Received, send
from personad.transaction import Ready

FROM_BYTES = 16 << 10
"""About fifty events: with fewer it is quicker to do them than to have them done."""
MANY, WITHIN_S = 8, 1.0
"""So many in that time are what a process is begun for."""
IDLE_S = 10.0
"""With nothing to prepare, after which the process ends: one is soon begun, and holds 30 MB."""
AGAIN_S = 60.0
"""After a process that broke."""
ANSWER_WITHIN_S = 10.0
END_WITHIN_S = 1.0
"""Once nobody sends any more; it has nothing to lose."""
ON_THE_WAY = 4
"""Appends that the process may have at once; one more waits, so that clients take turns."""
WAITING_BYTES = 32 << 20

SEND_BYTES = 1 << 20
"""What each may have sent before the other has taken it, as far as the system lets it be."""

_TIME = struct.Struct("ll")
"""A timeval, as the system has it."""

_APPEND = (b"\xa4type\xa6append", b'"type":"append"')
"""What an append has near its beginning, in either encoding; where it has it elsewhere, or
something else has it, it is only done more slowly."""
_HEAD_BYTES = 64

logger = logging.getLogger(__name__)


class _Step(Enum):
    """What the sending thread does beside sending."""

    BEGIN = "begin a process"
    END = "end it"


class Preparing:
    """Two threads: one begins and ends the process, and sends it what whoever received that could
    not send at once; one takes back what it has made."""

    def __init__(
        self,
        database: Path,
        *,
        read: Callable[[Job], Job | None],
        put: Callable[[Job], None],
        append_of: Callable[[bytes], Append],
    ) -> None:
        """`read` does what is done to a request that no process has prepared: it gives what is left
        for the writer, or None. `put` hands over to him. `append_of` reads an append."""
        self._command = [sys.executable, "-P", "-m", "personad.preparer", str(database)]
        self._read = read
        self._put = put
        self._append_of = append_of
        self._decode = msgspec.msgpack.Decoder(Prepared).decode
        self._changed = threading.Condition()
        self._waiting = Queue()
        self._by_client: Counter[bytes] = Counter()
        """How many of each are on the way, or wait for it."""
        self._in_hand = 0
        """Of those that wait no more."""
        self._bytes_in_hand = 0
        self._is_sending = False
        """Whether somebody just sends one, or ends the process; until then nobody else may."""
        self._used_at = 0.0
        """When the process was last sent one."""
        self._lately: deque[float] = deque(maxlen=MANY)
        """When large ones came."""
        self._is_wanted = False
        self._is_ending = self._closing = False
        self._process: _Process | None = None
        self._newest: _Process | None = None
        """The same, or one that is being begun."""
        self._broke_at: float | None = None
        self._sent: queue.SimpleQueue[tuple[Job, _Process | None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._send_all, name="preparing"),
            threading.Thread(target=self._receive_all, name="prepared"),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def hand_over(self) -> None:
        """Has all that is on the way handed over, and takes nothing more by itself: for when nobody
        will take it soon. What stands still is not waited for."""
        with self._changed:
            self._is_ending = True
            if not self._changed.wait_for(self._is_empty, END_WITHIN_S):
                if self._newest is not None:
                    self._newest.kill()
                self._changed.wait_for(self._is_empty, END_WITHIN_S)

    def close(self) -> None:
        """Returns once all of it has been handed over; for when no more comes."""
        with self._changed:
            self._closing = self._is_ending = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(END_WITHIN_S)
        # One that stands still, or doesn't come up, is not waited for: the rest needs none.
        with self._changed:
            newest = self._newest
        if newest is not None and any(thread.is_alive() for thread in self._threads):
            newest.kill()
        for thread in self._threads:
            thread.join()

    def takes(self, body: bytes) -> bool:
        """Whether this request had better go this way."""
        if self._is_ending or len(body) < FROM_BYTES:
            return False
        if not any(each in body[:_HEAD_BYTES] for each in _APPEND):
            return False
        if self._process is not None:
            return True
        now = time.monotonic()
        self._lately.append(now)
        if len(self._lately) == MANY and now - self._lately[0] <= WITHIN_S and self._may_begin(now):
            with self._changed:
                self._is_wanted = True
                self._changed.notify_all()
        return False

    def has(self, client: bytes) -> bool:
        """Whether something of this client is on this way, so that the rest has to follow."""
        return client in self._by_client

    def follow(self, job: Job) -> None:
        """Takes it this way, waiting where too much is on it."""
        with self._changed:
            while self._waiting.bytes > WAITING_BYTES:
                self._changed.wait()
            self._by_client[job.client] += 1
            is_next = self._may_go_at_once(job)
            if is_next:
                self._take_in_hand(job)
            else:
                self._waiting.put(job)
                self._changed.notify_all()
        if is_next:
            # In the caller's thread, which saves the time until another one wakes.
            self._send(job)

    def _may_go_at_once(self, job: Job) -> bool:
        """Whether it is its turn, and to send it takes but a moment."""
        process = self._process
        return (
            process is not None
            and not (self._waiting or self._is_sending)
            and self._in_hand < ON_THE_WAY
            and self._bytes_in_hand + job.size_bytes <= process.room_bytes
        )

    def _take_in_hand(self, job: Job) -> None:
        self._in_hand += 1
        self._bytes_in_hand += job.size_bytes
        self._is_sending = True
        self._used_at = time.monotonic()

    def _send(self, job: Job) -> None:
        """One that was taken in hand."""
        self._sent.put((job, self._sent_to(job)))
        with self._changed:
            self._is_sending = False
            if self._waiting or self._is_ending:
                self._changed.notify_all()

    def _may_begin(self, now: float) -> bool:
        if (os.cpu_count() or 1) < 2:
            return False
        return self._broke_at is None or now - self._broke_at > AGAIN_S

    def _send_all(self) -> None:
        while (step := self._next()) is not None:
            match step:
                case _Step.BEGIN:
                    self._now_is(self._begun())
                case _Step.END:
                    self._end()
                case job:
                    self._send(job)
        self._end()
        self._sent.put(None)

    def _next(self) -> Job | _Step | None:
        """What is to be done next; None: nothing any more."""
        with self._changed:
            while True:
                if self._is_to_end():
                    # Else somebody might send it one that nobody takes back.
                    self._is_sending = True
                    return _Step.END
                may_send = not self._is_sending and self._in_hand < ON_THE_WAY
                if self._waiting and may_send and not self._is_broken():
                    (job,) = self._waiting.take(1)
                    self._take_in_hand(job)
                    self._changed.notify_all()
                    return job
                if self._closing and self._is_empty():
                    return None
                if self._is_wanted and self._process is None and not self._is_ending:
                    return _Step.BEGIN
                self._changed.wait(IDLE_S)

    def _is_broken(self) -> bool:
        return self._process is not None and not self._process.is_sound

    def _is_to_end(self) -> bool:
        if self._process is None or self._in_hand:
            return False
        is_idle = not self._waiting and time.monotonic() - self._used_at >= IDLE_S
        return is_idle or self._is_broken()

    def _is_empty(self) -> bool:
        return not (self._waiting or self._in_hand)

    def _sent_to(self, job: Job) -> "_Process | None":
        """The process that was sent it, if it was."""
        process = self._process
        if process is None or type(job.request) is not Unread or not process.is_sound:
            return None
        return process if process.send(job.request.incoming.body) else None

    def _begun(self) -> "_Process | None":
        try:
            process = _Process(self._command)
            with self._changed:
                self._newest = process
            process.come_up()
            return process
        except OSError as error:
            logger.warning("no process can be begun that prepares appends: %s", error)
            self._broke_at = time.monotonic()
            return None

    def _end(self) -> None:
        process = self._process
        if process is not None:
            if not process.is_sound:
                self._broke_at = time.monotonic()
            self._now_is(None)
            process.close()

    def _now_is(self, process: "_Process | None") -> None:
        with self._changed:
            self._process = self._newest = process
            # Whoever wanted one while it was begun has it, or is told that there is none.
            self._is_wanted = self._is_sending = False
            self._used_at = time.monotonic()
            self._changed.notify_all()

    def _receive_all(self) -> None:
        while (sent := self._sent.get()) is not None:
            job = sent[0]
            done = self._done(*sent)
            if done is not None:
                self._put(done)
            with self._changed:
                self._in_hand -= 1
                self._bytes_in_hand -= job.size_bytes
                self._by_client[job.client] -= 1
                if not self._by_client[job.client]:
                    del self._by_client[job.client]
                if self._waiting or self._is_ending or self._is_broken():
                    self._changed.notify_all()

    def _done(self, job: Job, process: "_Process | None") -> Job | None:
        """What is left for the writer."""
        if type(job.request) is not Unread:
            return job
        made = process.receive() if process is not None else None
        if not made:
            return self._read(job)
        ready = Ready(self._decode(made), partial(self._append_of, job.request.incoming.body))
        return replace(job, request=ready)


class _Process:
    """One that prepares."""

    def __init__(self, command: Sequence[str]) -> None:
        """Raises OSError where it can't be begun."""
        self.is_sound = True
        self._socket, theirs = socket.socketpair()
        for each in (self._socket, theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self._received = Received(self._socket)
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

    def come_up(self) -> None:
        """Waits until it does. Raises OSError where it doesn't, in time."""
        if self.receive() != READY:
            self.close()
            raise OSError("it did not come up")

    def send(self, message: bytes) -> bool:
        try:
            send(self._socket, message)
        except OSError as error:
            self._break(error)
        return self.is_sound

    def receive(self) -> bytes | bytearray | None:
        """What it made of the next append, nothing where it leaves it to us; None: it broke."""
        made = None
        if self.is_sound:
            try:
                made = self._received.next()
            except OSError as error:
                self._break(error)
            else:
                if made is None:
                    self._break("it has ended")
        return made

    def _break(self, why: object) -> None:
        """It is of no use any more; whoever waits for it in the other thread need not."""
        if isinstance(why, BlockingIOError):
            why = "it has not answered for too long"
        if self.is_sound:
            logger.warning("the daemon prepares appends by itself for now: %s", why)
        self.is_sound = False
        self._process.kill()

    def kill(self) -> None:
        """From any thread, which need not wait for any other."""
        self._process.kill()

    def close(self) -> None:
        """It ends as soon as it sees that nobody sends any more."""
        self._socket.close()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
