"""Talking to the ledger's daemon: typed questions and answers, and a daemon that is there.

Importing this costs little; sockets are loaded with the first question.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from personad.contract.admin import Hello, Stop, Welcome
from personad.contract.base import (
    MAX_APPEND_EVENTS,
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    VERSION,
    Request,
)
from personad.contract.codec import encode, reply_codec, too_large
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import AnyEvent, Append, Appended, Fence, Read, Recorded

if TYPE_CHECKING:
    from personad.contract.paths import Paths
    from personad.contract.requester import Requester

R = TypeVar("R")

_CONNECT_TRIES = 4
_ALERTS_AFTER_S = 1.0
"""A command that takes longer may itself have brought about what there is to tell."""
_codec = cache(reply_codec)


class Ledger:
    """The ledger behind `paths`. It connects when first asked, and again when it must.

    One thread at a time may use it: give each its own.

    Args:
        autostart: Start a daemon where none answers, and replace an older one that was started so.
        wait_s: How long to wait for a daemon to start, or for an older one to stop.
    """

    def __init__(self, paths: "Paths", *, autostart: bool = True, wait_s: float = 10.0) -> None:
        self._paths = paths
        self._autostart = autostart
        self._wait_s = wait_s
        self._connection: Requester | None = None
        self._daemon_version = VERSION
        self._alerts = 0
        self._greeted_at = 0.0

    @property
    def may_have_alerts(self) -> bool:
        """Whether it is worth asking for alerts that nobody was shown: some waited when the daemon
        was greeted, or that is a while ago. Never where asking would have to connect first."""
        is_there = self._connection is not None and self._connection.is_alive
        return is_there and bool(
            self._alerts or time.monotonic() - self._greeted_at > _ALERTS_AFTER_S
        )

    def ask(self, request: Request[R], *, timeout_s: float = 30) -> R:
        """What the daemon answers; a request that got lost with its daemon is sent once more.

        Raises:
            LedgerError: the daemon's own, with its code; or `too-large` before anything is sent;
                or `unavailable` where no answer came in `timeout_s`.
            DaemonUnreachable: there is no daemon, and none could be started (an `unavailable`).
        """
        answer = self._exchange(request, _encoded(request), timeout_s)
        return self._decoded(request, answer)

    def begin(self, request: Request[R]) -> "Asked[R] | None":
        """Asks, and doesn't wait: what comes of it tells `Asked.answer`, once its connection is
        readable. None where there is no daemon's connection to do so over: then `ask`."""
        from personad.contract.requester import Gone, Silent

        body, connection = _encoded(request), self._connection
        if connection is None:
            return None
        try:
            return Asked(self, request, connection, connection.send(body, 0))
        except (Gone, Silent):
            # What was sent in part is no question, and no other may follow it.
            self.close()
            return None

    def append(self, events: Sequence[AnyEvent], *, fence: Fence | None = None) -> Appended:
        """Appends any number of events, in their order; on disk when it returns.

        What is over a request's limits goes in parts, each all or nothing: after an error, the
        same events may be appended again. Raises as `ask`.
        """
        total: Appended | None = None
        parts = [
            events[n : n + MAX_APPEND_EVENTS] for n in range(0, len(events), MAX_APPEND_EVENTS)
        ]
        waiting = list(reversed(parts)) or [events]
        while waiting:
            part = waiting.pop()
            request = Append(events=list(part), fence=fence)
            body = encode(request)
            if len(body) > MAX_MESSAGE_BYTES and len(part) > 1:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
                continue
            reply = self._decoded(request, self._exchange(request, _checked(body), 30))
            total = reply if total is None else _sum(total, reply)
        assert total is not None
        return total

    def read_all(
        self,
        after_seq: int = 0,
        types: Sequence[str] = (),
        batch: str | None = None,
        *,
        page: int = 1_000,
        since: datetime | None = None,
    ) -> Iterator[Recorded]:
        """Every event after `after_seq`, of some kinds or one batch if so asked; page by page."""
        more = True
        while more:
            reply = self.ask(
                Read(after_seq=after_seq, types=list(types), batch=batch, limit=page, since=since)
            )
            yield from reply.events
            after_seq, more = reply.next_seq, reply.more

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, request: Request[Any], body: bytes, timeout_s: float) -> bytes:
        from personad.contract.requester import Gone, Silent

        until = time.monotonic() + timeout_s
        for _ in range(2):
            connection = self._connected(until)
            try:
                return connection.request(body, _left(until))
            except Gone:
                self.close()
            except Silent:
                self.close()
                raise self._no_answer(request, timeout_s) from None
            except BaseException:
                # Nobody may take the answer to this for the answer to his own question.
                self.close()
                raise
        raise self._unreachable(f"personad went away twice while it was asked `{_tag(request)}`")

    def _decoded(self, request: Request[R], answer: bytes) -> R:
        try:
            reply = _codec(type(request)).decode(answer)
        except LedgerError as error:
            raise LedgerError(
                "internal",
                f"personad {self._daemon_version} answered `{_tag(request)}` with something that "
                f"persona {VERSION} can't read: {error.message}",
                hint="install the same version of both, then `personad restart`",
            ) from None
        if isinstance(reply, Failure):
            raise LedgerError.of(reply)
        found: R = reply
        return found

    def _connected(self, until: float) -> "Requester":
        if self._connection is not None and not self._connection.is_alive:
            self.close()
        if self._connection is None:
            self._connection = self._connect(until)
        return self._connection

    def _connect(self, until: float) -> "Requester":
        from personad.contract.requester import Gone, Requester, Silent

        for _ in range(_CONNECT_TRIES):
            try:
                connection = Requester(self._paths.api_socket, _left(until))
            except Gone:
                self._start(until)
                continue
            except Silent:
                raise self._unreachable(
                    f"something listens at {self._paths.api_socket} and does not say a word"
                ) from None
            try:
                if self._is_ours(connection, until):
                    return connection
            except Gone:
                connection.close()
            except Silent:
                connection.close()
                raise self._no_answer(Hello(), self._wait_s) from None
            except BaseException:
                connection.close()
                raise
        raise self._unreachable("personad starts and goes away again")

    def _start(self, until: float) -> None:
        from .autostart import DaemonUnreachable, command_for_people, start

        if not self._autostart:
            raise DaemonUnreachable(
                f"no personad answers at {self._paths.api_socket}",
                hint=f"start it with: {command_for_people(self._paths)}",
            )
        start(self._paths, os.environ, min(self._wait_s, _left(until)))

    def _is_ours(self, connection: "Requester", until: float) -> bool:
        """Greets; False where an older daemon was replaced and has to be connected to anew."""
        welcome = self._greet(connection, until)
        self._daemon_version = welcome.version
        self._alerts, self._greeted_at = welcome.alerts, time.monotonic()
        if _numbers(welcome.version) >= _numbers(VERSION):
            return True
        self._replace(connection, welcome, until)
        return False

    def _greet(self, connection: "Requester", until: float) -> Welcome:
        """The daemon's welcome; an older one is greeted in its own protocol."""
        refusal: Failure | None = None
        for protocol in range(PROTOCOL, 0, -1):
            hello = Hello(protocol=protocol)
            answer = connection.request(encode(hello), min(self._wait_s, _left(until)))
            reply = _codec(Hello).decode(answer)
            if isinstance(reply, Welcome):
                return reply
            refusal = refusal or reply
            if reply.field != "$.protocol":
                break
        assert refusal is not None
        raise self._unreachable(refusal.message, hint=refusal.hint)

    def _replace(self, connection: "Requester", welcome: Welcome, until: float) -> None:
        """Drains an older daemon that a client had started.

        Raises:
            DaemonUnreachable: it isn't ours to stop, or it doesn't stop.
        """
        from personad.contract.requester import Gone, Silent

        from .autostart import command_for_people, wait_until_released

        older = (
            f"personad {welcome.version} (process {welcome.pid}) is older than persona {VERSION}"
        )
        if not (welcome.autostarted and self._autostart):
            restart = command_for_people(self._paths, "restart")
            raise self._unreachable(
                older,
                hint=f"restart it with `{restart}`, or, where systemd runs it, with "
                "`systemctl --user restart personad`",
            )
        wait_s = min(self._wait_s, _left(until))
        with suppress(Gone, Silent):
            connection.request(encode(Stop()), wait_s)
        stopped = connection.ends_within(wait_s)
        connection.close()
        if not (stopped and wait_until_released(self._paths, min(wait_s, _left(until)))):
            raise self._unreachable(f"{older}, was asked to stop and still runs after {wait_s:g} s")

    def _unreachable(self, message: str, hint: str | None = None) -> LedgerError:
        from .autostart import DaemonUnreachable, command_for_people

        status = command_for_people(self._paths, "doctor")
        return DaemonUnreachable(
            message, hint=hint or f"its log is {self._paths.log_file}; `{status}` looks closer"
        )

    def _no_answer(self, request: Request[Any], timeout_s: float) -> LedgerError:
        return LedgerError(
            "unavailable",
            f"personad did not answer `{_tag(request)}` within {timeout_s:g} s",
            hint="asking again is safe, nothing is done twice; what keeps it busy may stand in "
            f"{self._paths.log_file}",
        )


class Asked(Generic[R]):
    """A question that was asked and whose answer is still to come; nothing else may be asked of
    its ledger meanwhile."""

    def __init__(
        self, ledger: Ledger, request: Request[R], connection: "Requester", number: bytes
    ) -> None:
        self._ledger = ledger
        self._request = request
        self._number = number
        self.connection = connection

    def answer(self, within_s: float = 0) -> R | None:
        """What the daemon answered; None where it isn't here by then.

        Raises:
            LedgerError: as `Ledger.ask`; `unavailable` where the daemon went away, and then the
                same may be asked again.
        """
        from personad.contract.requester import Gone, Silent

        try:
            answer = self.connection.answer(self._number, within_s)
        except Silent:
            return None
        except Gone:
            self._ledger.close()
            raise LedgerError("unavailable", "personad went away while it was asked") from None
        return self._ledger._decoded(self._request, answer)


def _encoded(request: Request[Any]) -> bytes:
    return _checked(encode(request))


def _checked(body: bytes) -> bytes:
    """A larger message would only be dropped, without a word."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise too_large(len(body))
    return body


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())


def _tag(request: Request[Any]) -> str:
    return str(type(request).__struct_config__.tag)


def _numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version, for comparing."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _sum(first: Appended, second: Appended) -> Appended:
    def or_else(one: int | None, other: int | None) -> int | None:
        return other if one is None else one

    return Appended(
        first_seq=or_else(first.first_seq, second.first_seq),
        last_seq=or_else(second.last_seq, first.last_seq),
        duplicates=first.duplicates + second.duplicates,
        anomalies=first.anomalies + second.anomalies,
        quarantined=first.quarantined + second.quarantined,
    )
