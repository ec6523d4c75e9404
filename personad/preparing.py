"""Large appends on their way to the writer, by way of another process that does half of the work.

The process is begun once much comes in, and ended when nothing has come for a while. Whatever goes
wrong with it, the daemon does everything itself. What one client sends is written in the order in
which it was sent, whichever way it goes; clients take turns.
"""

import logging
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path

import msgspec

from personad import preparing_process
from personad.contract.events import Append
from personad.jobs import Job, Queue, Unread
from personad.prepared import Prepared
from personad.preparing_process import END_WITHIN_S, Process
from personad.transaction import Ready

FROM_BYTES = 16 << 10
"""About fifty events: with fewer it is quicker to do them than to have them done."""
MANY, WITHIN_S = 8, 1.0
"""So many in that time are what a process is begun for."""
IDLE_S = 10.0
"""With nothing to prepare, after which the process ends: one is soon begun, and holds 30 MB."""
AGAIN_S = 60.0
"""After a process that broke."""
ON_THE_WAY, MOST_ON_THE_WAY, LITTLE_BYTES = 4, 16, 512 << 10
"""Appends that the process may have at once, or of little ones, so that the writer's groups aren't
small; one more waits, so that clients take turns."""
WAITING_BYTES = 32 << 20

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
    """The writer takes what was made. Beside him one thread begins and ends the process, and sends
    it what could not be sent at once; another reads what no process has prepared."""

    def __init__(
        self,
        database: Path,
        *,
        read: Callable[[Job], Job | None],
        put: Callable[[Job], None],
        wake: Callable[[], None],
        append_of: Callable[[bytes], Append],
    ) -> None:
        """`read` does what is done to a request that no process has prepared: it gives what is left
        for the writer, or None. `put` hands that over to him, `wake` has him look at `awaited` and
        `take` again. `append_of` reads an append."""
        self._command = [sys.executable, "-P", "-m", "personad.preparer", str(database)]
        self._read = read
        self._put = put
        self._wake = wake
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
        self._process: Process | None = None
        self._newest: Process | None = None
        """The same, or one that is being begun."""
        self._broke_at: float | None = None
        self._sent: deque[tuple[Job, Process | None]] = deque()
        """What is to be handed over, in this order, and to which process it was sent."""
        self._heard_at = 0.0
        """When the process last was known to do something."""
        self._is_reading = False
        """Whether one is just read, before which the next may not be handed over."""
        self._threads = [
            threading.Thread(target=self._send_all, name="preparing"),
            threading.Thread(target=self._read_all, name="reading"),
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
                self._changed.notify_all()
                self._changed.wait_for(self._is_empty, END_WITHIN_S)

    def close(self) -> None:
        """Returns once all of it has been handed over; for when no more comes, and the writer takes
        nothing any more."""
        with self._changed:
            self._closing = self._is_ending = True
            for _, process in self._sent:
                if process is not None:
                    process.kill()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(END_WITHIN_S)
        # One that stands still, or doesn't come up, is not waited for: the rest needs none.
        newest = self._newest
        if newest is not None and any(thread.is_alive() for thread in self._threads):
            newest.kill()
            with self._changed:
                self._changed.notify_all()
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
            and self._may_have_more()
            and self._bytes_in_hand + job.size_bytes <= process.room_bytes
        )

    def _may_have_more(self) -> bool:
        most = MOST_ON_THE_WAY if self._bytes_in_hand < LITTLE_BYTES else ON_THE_WAY
        return self._in_hand < most

    def _take_in_hand(self, job: Job) -> None:
        self._in_hand += 1
        self._bytes_in_hand += job.size_bytes
        self._is_sending = True
        self._used_at = time.monotonic()

    def _send(self, job: Job) -> None:
        """One that was taken in hand."""
        with self._changed:
            # Once it ends the writer may take nothing more, so that nothing may wait for him.
            is_left = self._is_ending or type(job.request) is not Unread
            process = None if is_left else self._process
            if not self._sent:
                self._heard_at = time.monotonic()
            # Before it is sent: what is made of it must find it there.
            self._sent.append((job, process))
        if process is not None and process.is_sound:
            assert type(job.request) is Unread
            process.send(job.request.incoming.body)
        with self._changed:
            self._is_sending = False
            if self._waiting or self._is_ending or self._is_to_read():
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

    def _next(self) -> Job | _Step | None:
        """What is to be done next; None: nothing any more."""
        with self._changed:
            while True:
                if self._is_to_end():
                    # Else somebody might send it one that nobody takes back.
                    self._is_sending = True
                    return _Step.END
                may_send = not self._is_sending and self._may_have_more()
                if self._waiting and may_send and not self._is_broken():
                    (job,) = self._waiting.take(1)
                    self._take_in_hand(job)
                    self._changed.notify_all()
                    return job
                if self._closing and self._is_empty():
                    return None
                if self._is_wanted and self._process is None and not self._is_ending:
                    return _Step.BEGIN
                self._changed.wait(IDLE_S if self._process is None else self._looked_after())

    def _looked_after(self) -> float:
        """Gives a process up that does nothing any more; in how many seconds to look again."""
        process = self._process
        if process is not None and self._sent and process.is_sound and not self._is_reading:
            silent_s = time.monotonic() - self._heard_at
            if silent_s > preparing_process.ANSWER_WITHIN_S and not process.has_something:
                process.give_up("it has not answered for too long")
                self._changed.notify_all()
        return min(IDLE_S, preparing_process.ANSWER_WITHIN_S / 4)

    def _is_broken(self) -> bool:
        return self._process is not None and not self._process.is_sound

    def _is_to_end(self) -> bool:
        if self._process is None or self._in_hand:
            return False
        is_idle = not self._waiting and time.monotonic() - self._used_at >= IDLE_S
        return is_idle or self._is_broken()

    def _is_empty(self) -> bool:
        return not (self._waiting or self._in_hand)

    def _begun(self) -> Process | None:
        try:
            process = Process(self._command)
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

    def _now_is(self, process: Process | None) -> None:
        with self._changed:
            self._process = self._newest = process
            # Whoever wanted one while it was begun has it, or is told that there is none.
            self._is_wanted = self._is_sending = False
            self._used_at = time.monotonic()
            self._changed.notify_all()
        self._wake()

    def _handed_over(self, job: Job) -> None:
        self._in_hand -= 1
        self._bytes_in_hand -= job.size_bytes
        self._by_client[job.client] -= 1
        if not self._by_client[job.client]:
            del self._by_client[job.client]
        if self._waiting or self._is_ending or self._is_broken():
            self._changed.notify_all()

    def awaited(self) -> int | None:
        """The file from which there will be something to be read as soon as `take` gives more; for
        the writer."""
        with self._changed:
            process = self._sent[0][1] if self._sent else self._process
            if self._is_reading or process is None or not process.is_sound:
                return None
            return process.number

    def take(self) -> list[Job]:
        """What was made and is to be handed over now; for the writer, who never waits for it."""
        done: list[Job] = []
        while (sent := self._first()) is not None:
            job, process = sent
            made = process.receive()
            prepared = self._read_of(process, made) if made else None
            with self._changed:
                if not self._sent or self._sent[0][0] is not job:
                    break  # It was given up meanwhile.
                if made is not None:
                    self._heard_at = time.monotonic()
                if prepared is not None:
                    self._sent.popleft()
                    self._handed_over(job)
                elif made is not None:
                    # It leaves it to us.
                    self._sent[0] = job, None
                if self._is_to_read():
                    self._changed.notify_all()
            if prepared is None:
                break
            assert type(job.request) is Unread
            ready = Ready(prepared, partial(self._append_of, job.request.incoming.body))
            done.append(replace(job, request=ready))
        return done

    def _read_of(self, process: Process, made: bytes | bytearray) -> Prepared | None:
        """None where it is not what this program makes, as when another was installed meanwhile."""
        try:
            return self._decode(made)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            process.give_up(f"what it made can't be read: {error}")
        return None

    def _first(self) -> tuple[Job, Process] | None:
        """What is to be handed over next, where a process is about to have made it."""
        with self._changed:
            if not self._sent or self._is_reading:
                return None
            job, process = self._sent[0]
            return (job, process) if process is not None and process.is_sound else None

    def notice(self) -> None:
        """There is something to be read from the awaited file: where nothing is to be handed over,
        the process has ended."""
        with self._changed:
            if not self._sent and self._process is not None:
                self._process.receive()
                if self._is_broken():
                    self._changed.notify_all()

    def _is_to_read(self) -> bool:
        """Whether what is to be handed over next was left to us."""
        if not self._sent or self._is_reading:
            return False
        process = self._sent[0][1]
        return process is None or not process.is_sound

    def _read_all(self) -> None:
        while (job := self._left()) is not None:
            done = self._read(job) if type(job.request) is Unread else job
            if done is not None:
                self._put(done)
            with self._changed:
                self._is_reading, self._heard_at = False, time.monotonic()
                self._handed_over(job)
            self._wake()

    def _left(self) -> Job | None:
        """The next one that is left to us; None: nothing any more."""
        with self._changed:
            while not self._is_to_read():
                if self._closing and self._is_empty():
                    return None
                self._changed.wait()
            self._is_reading = True
            return self._sent.popleft()[0]
