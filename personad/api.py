"""The request socket: bytes in, bytes out; which room a request goes to.

One thread receives, decodes and validates, so that the writer never sees a malformed request.
Changes go to the writer, questions to the readers, and each reply leaves in its request's encoding
from the thread that made it.
"""

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from personad.changes import CHANGES
from personad.contract import cost
from personad.contract.admin import Hello
from personad.contract.base import MAX_MESSAGE_BYTES, PROTOCOL, VERSION, Reply
from personad.contract.codec import Codec, codec, encode, encoding_of, too_large
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import AnyEvent, check_request
from personad.contract.schema import AnyRequest
from personad.jobs import Job, Note, Unread
from personad.preparing import Preparing
from personad.projections.memory import Memory, share
from personad.replier import Closed, Incoming, Replier
from personad.store import open_for_reading
from personad.writer import EVENT_BYTES, Writer

READERS = 2
QUESTIONS = 1_024
"""That may wait for the readers at once; with so many, no request is received."""
TOGETHER_BYTES, AT_ONCE_BYTES = 256 << 10, 64 << 10
"""Requests that have come together are handed to the writer together, or done at once, up to so
much: with as many commits as requests, four producers would get less done."""
AT_ONCE_JOBS = 64

logger = logging.getLogger(__name__)

Own = dict[type[Any], Callable[[Any], Reply]]
"""What the daemon itself answers at once: `hello`, `stop`."""
Answers = dict[type[Any], Callable[[apsw.Connection, Any, datetime], Reply]]
"""What the readers answer."""
Keeps = dict[type[Any], Callable[[apsw.Connection, Any, Any, datetime], list[AnyEvent]]]
"""What of an answer is to be in the ledger before it leaves."""
Later = dict[type[Any], Callable[[Any, Callable[[Reply], None]], None]]
"""What takes long, and is answered by a thread of its own."""

_UNFORESEEN = (apsw.Error, ArithmeticError, LookupError, OSError, TypeError, ValueError)
"""A mistake of ours in one answer, which must not end the thread that all answers come from."""


class Api:
    """The threads around the request socket."""

    def __init__(
        self,
        replier: Replier,
        writer: Writer,
        database: str,
        *,
        own: Own,
        answers: Answers,
        keeps: Keeps | None = None,
        later: Later,
        before_call: Callable[[Callable[[], None]], bool],
    ) -> None:
        """`before_call` is given what to do once the spools are empty; False: they are."""
        self._replier = replier
        self._writer = writer
        self._database = database
        self._own = own
        self._answers = answers
        self._keeps = keeps or {}
        self._later = later
        self._before_call = before_call
        self._codec: Codec = codec(AnyRequest, check_request)
        self._lock = threading.Lock()
        self._closing = False
        self._questions: queue.SimpleQueue[tuple[Incoming, Any] | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(QUESTIONS)
        self._memory = Memory()
        self._preparing = Preparing(
            Path(database),
            read=lambda job: self._dispatched(job.request.incoming),  # type: ignore[union-attr]
            put=self._change,
            wake=writer.wake,
            append_of=self._codec.decode,
        )
        writer.source = self._preparing
        self._threads = [
            threading.Thread(target=self._receive, name="receiver"),
            *(threading.Thread(target=self._read, name=f"reader {n}") for n in range(READERS)),
        ]

    def start(self) -> None:
        self._preparing.start()
        for thread in self._threads:
            thread.start()

    def hand_over(self) -> None:
        """Gives the writer what has come and isn't his yet; for when he is about to end."""
        self._preparing.hand_over()

    def close(self) -> None:
        """Takes no more requests; returns once every question in hand is answered."""
        with self._lock:
            self._closing = True
            for _ in range(READERS):
                self._questions.put(None)
        for thread in self._threads[1:]:
            thread.join()
        self._replier.interrupt()
        self._threads[0].join()
        self._preparing.close()
        self._replier.close()

    def _receive(self) -> None:
        with suppress(Closed):
            while True:
                self._receive_one()

    def _receive_one(self) -> None:
        """A function of its own, so that nothing of a large message is held while waiting.

        Where there is something to commit, what has arrived meanwhile is taken along: small changes
        are then one commit, done here.
        """
        incoming: Incoming | None = self._replier.receive()
        jobs: list[Job] = []
        room = TOGETHER_BYTES
        while incoming is not None:
            self._met(incoming, jobs)
            room -= len(incoming.body)
            if not jobs or room < 0 or len(jobs) == AT_ONCE_JOBS:
                break
            incoming = self._replier.receive_now()
        is_little = TOGETHER_BYTES - room <= AT_ONCE_BYTES
        if jobs and not (is_little and self._writer.do_at_once(jobs)):
            self._change(*jobs)

    def _met(self, incoming: Incoming, jobs: list[Job]) -> None:
        """Adds to `jobs` what the writer has to do, but for what another process prepares first,
        and for what its client sent after that."""
        is_prepared = self._preparing.takes(incoming.body)
        job = self._job(Unread(incoming), incoming) if is_prepared else self._dispatched(incoming)
        if job is None:
            return
        if is_prepared or self._preparing.has(incoming.client):
            # It must not come to the writer before what the same client sent before it.
            if jobs:
                self._change(*jobs)
                jobs.clear()
            self._preparing.follow(job)
        else:
            jobs.append(job)

    def _follow(self, job: Job) -> None:
        """Has it done behind all that its client has sent."""
        if self._preparing.has(job.client):
            self._preparing.follow(job)
        else:
            self._change(job)

    def _job(self, request: Any, incoming: Incoming) -> Job:
        size, client = len(incoming.body), incoming.client
        return Job(request, size, lambda reply: self._reply(incoming, reply), client)

    def _dispatched(self, incoming: Incoming) -> Job | None:
        """Has a request answered; gives back what the writer has to do."""
        try:
            return self._dispatch(incoming, self._codec.decode(incoming.body))
        except LedgerError as error:
            self._reply(incoming, error.failure())
        except _UNFORESEEN as error:
            self._reply(incoming, _internal(error))
        return None

    def _dispatch(self, incoming: Incoming, request: Any) -> Job | None:
        kind = type(request)
        if kind is Hello and request.protocol != PROTOCOL:
            raise LedgerError(
                "invalid",
                f"this daemon ({VERSION}) speaks protocol {PROTOCOL}, and you ({request.version}) "
                f"speak {request.protocol}",
                field="$.protocol",
                hint="install the same version of both, then `personad restart`",
            )
        if kind in self._own:
            self._reply(incoming, self._own[kind](request))
        elif kind in self._later:
            self._later[kind](request, lambda reply: self._reply(incoming, reply))
        elif kind in self._answers:
            self._ask(incoming, request)
        elif kind in CHANGES:
            job = self._job(request, incoming)
            if kind is cost.StartCall and self._before_call(lambda: self._follow(job)):
                return None
            return job
        else:
            raise LedgerError("internal", f"nobody answers {kind.__name__}")
        return None

    def _ask(self, incoming: Incoming, request: Any) -> None:
        """Raises LedgerError `unavailable` while the daemon stops."""
        self._room.acquire()
        with self._lock:
            if not self._closing:
                self._questions.put((incoming, request))
                return
        self._room.release()
        raise _stopping()

    def _change(self, *jobs: Job) -> None:
        if not self._writer.submit(*jobs):
            for job in jobs:
                job.answer(_stopping().failure())

    def _read(self) -> None:
        db = open_for_reading(self._database)
        share(db, self._memory)
        while (item := self._questions.get()) is not None:
            incoming, request = item
            reply, kept = self._answer(db, request)
            if not (kept and self._keep(incoming, reply, kept)):
                self._reply(incoming, reply)
            self._room.release()
        db.close()

    def _answer(self, db: apsw.Connection, request: Any) -> tuple[Reply, list[AnyEvent]]:
        """The answer, and what of it is to be kept."""
        kind, now = type(request), datetime.now(UTC)
        kept: list[AnyEvent] = []
        try:
            # One transaction, so that an answer of several statements is of one moment.
            with db:
                reply = self._answers[kind](db, request, now)
                if kind in self._keeps:
                    kept = self._keeps[kind](db, request, reply, now)
            return reply, kept
        except LedgerError as error:
            return error.failure(), []
        except _UNFORESEEN as error:
            return self._writer.health.unreadable(error) or _internal(error), []

    def _keep(self, incoming: Incoming, reply: Reply, events: list[AnyEvent]) -> bool:
        """Has it written, then answered; False while the daemon stops."""

        def answer(done: Reply | None) -> None:
            # Whoever asks shall have the answer, also of a ledger that can't be written.
            if isinstance(done, Failure):
                logger.warning("an answer was given and not kept: %s", done.message)
            self._reply(incoming, reply)

        size = EVENT_BYTES * len(events)
        return self._writer.submit(Job(Note(events), size, answer, incoming.client))

    def _reply(self, incoming: Incoming, reply: Reply | None) -> None:
        encoding = encoding_of(incoming.body)
        try:
            body = encode(reply, encoding)
        except _UNFORESEEN as error:
            body = encode(_internal(error), encoding)
        if len(body) > MAX_MESSAGE_BYTES:
            body = encode(too_large(len(body)).failure(), encoding)
        if not self._replier.reply(incoming, body):
            logger.info("a reply found nobody who takes it")


def _stopping() -> LedgerError:
    hint = "ask again: a new one is started by the next command"
    return LedgerError("unavailable", "the daemon is stopping", hint=hint)


def _internal(error: Exception) -> Failure:
    logger.exception("a request could not be answered", exc_info=error)
    return Failure(
        code="internal",
        message=f"{type(error).__name__} while this was answered; the log has the details",
        hint="`personad logs`",
    )
