"""Sends alerts on to an address of the user's: a thread of its own, so that nothing waits for it.

What is to be sent lies in the ledger, marked in the commit that raised it, and so does that it was
sent: a restart forgets nothing. A receiver that answers and isn't heard (the line breaks, the
daemon is killed) is sent the same again, and knows it by its id.

Neither the address nor the key is ever logged: either may be what lets one in.
"""

import hashlib
import hmac
import logging
import random
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from urllib.parse import urlsplit

import apsw
import msgspec
from msgspec import Struct

from personad import news
from personad.contract.alerts import AlertPosted
from personad.contract.base import VERSION
from personad.contract.codec import encode
from personad.contract.errors import LedgerError
from personad.contract.options import CostAlerts
from personad.kinds import microseconds
from personad.store import open_for_reading
from personad.writer import Writer

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 600.0
ATTEMPT_S = 10.0
"""A receiver that takes longer, however it does so, has not answered."""
GIVE_UP_AFTER = timedelta(days=1)
END_S = 2.0
"""So long an end waits for an attempt that was cut short."""
SIGNATURE = "X-Persona-Signature"
ALERT = "X-Persona-Alert"

logger = logging.getLogger(__name__)


class Hook(Struct, frozen=True):
    """Where alerts are sent, and what they are signed with."""

    url: str
    key: bytes | None
    """None: they are not signed."""
    first_wait_s: float = FIRST_WAIT_S
    attempt_s: float = ATTEMPT_S


class Unanswered(Exception):
    """The receiver didn't say that it has taken the alert."""


def hook_of(settings: CostAlerts, environ: Mapping[str, str]) -> Hook | None:
    """The configured one; None: there is none, or its key is missing, and nothing goes unsigned."""
    if settings.webhook_url is None:
        return None
    variable = settings.webhook_secret_env
    if variable is None:
        return Hook(settings.webhook_url, None)
    key = environ.get(variable, "")
    if not key:
        logger.error(
            "no alert is sent to the webhook: its key, the variable %s, is unset", variable
        )
        return None
    return Hook(settings.webhook_url, key.encode())


def signature(key: bytes, body: bytes) -> str:
    """What the receiver computes as well, of the bytes as they came."""
    return f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"


class Line:
    """A connection for one message, which another thread may cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _hold(self, connected: socket.socket) -> None:
        with self._lock:
            self._socket = connected
            if self._is_cut:
                raise Unanswered("it was cut off")

    def post(self, hook: Hook, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns once the receiver has taken it.

        Raises:
            Unanswered: it has not.
        """
        parts = urlsplit(hook.url)
        limit = threading.Timer(hook.attempt_s, self.cut)
        limit.daemon = True
        limit.start()
        try:
            status = self._post(hook, parts.path or "/", parts.query, body, headers)
        except (OSError, HTTPException, ValueError) as error:
            # What it says may have the address in it.
            raise Unanswered(type(error).__name__) from None
        finally:
            limit.cancel()
        if not 200 <= status < 300:
            raise Unanswered(f"status {status}")

    def _post(
        self, hook: Hook, path: str, query: str, body: bytes, headers: Mapping[str, str]
    ) -> int:
        parts = urlsplit(hook.url)
        host, is_tls = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        plain = socket.create_connection((host, port), timeout=hook.attempt_s)
        with closing(HTTPConnection(host, port)) as connection:
            connection.sock = plain
            self._hold(plain)
            if is_tls:
                context = ssl.create_default_context()
                wrapped = context.wrap_socket(
                    plain, server_hostname=host, do_handshake_on_connect=False
                )
                connection.sock = wrapped
                self._hold(wrapped)
                wrapped.do_handshake()
            elif not ip_address(plain.getpeername()[0]).is_loopback:
                raise Unanswered(
                    "its name is no longer this machine's, and the line is not private"
                )
            # The whole address may be what lets one in, so nothing is followed elsewhere.
            connection.request("POST", f"{path}?{query}" if query else path, body, dict(headers))
            return connection.getresponse().status


class Courier:
    """The thread."""

    def __init__(self, writer: Writer, database: str, ledger: str, hook: Hook) -> None:
        self._writer = writer
        self._database = database
        self._ledger = ledger
        self._hook = hook
        self._changed = threading.Condition()
        self._is_news = True
        self._closing = False
        self._line: Line | None = None
        self._tries: dict[str, int] = {}
        # Not waited for for ever: looking a name up can't be cut short.
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        self._writer.alerted = self._wake
        self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if self._line is not None:
                self._line.cut()
        self._thread.join(END_S)

    def _wake(self) -> None:
        with self._changed:
            self._is_news = True
            self._changed.notify_all()

    def _run(self) -> None:
        failures = 0
        with closing(open_for_reading(self._database)) as db:
            while self._wait(failures):
                try:
                    failures = self._round(db, failures)
                except (apsw.Error, LedgerError) as error:
                    logger.warning("alerts wait for the ledger: %s", error)
                    failures += 1

    def _wait(self, failures: int) -> bool:
        """Until there is something to do; False: to end. After a failure it takes a while."""
        with self._changed:
            if failures:
                most = min(self._hook.first_wait_s * 2 ** (failures - 1), LONGEST_WAIT_S)
                # Chance keeps many from coming back at once to a receiver that is just up again.
                self._changed.wait_for(lambda: self._closing, random.uniform(most / 2, most))
            else:
                self._changed.wait_for(lambda: self._closing or self._is_news)
                self._is_news = False
            return not self._closing

    def _round(self, db: apsw.Connection, failures: int) -> int:
        """Sends all that is owed, up to the first that isn't taken; how many failed in a row."""
        while not self._closing:
            found = news.owed(db)
            self._tries = {each.id: self._tries.get(each.id, 0) for each in found}
            if not found:
                return 0
            # One that is never taken must not keep the others out.
            alert = min(found, key=lambda each: self._tries[each.id])
            if not self._send(alert):
                return failures + 1
            failures = 0
        return 0

    def _send(self, alert: AlertPosted) -> bool:
        now = datetime.now(UTC)
        if now - alert.at > GIVE_UP_AFTER:
            logger.warning("alert %s was not taken for a day, and is not sent any more", alert.id)
            self._mark(lambda db: news.sent(db, alert.id, None))
            return True
        body = encode(msgspec.structs.replace(alert, ledger=self._ledger, sent_at=now), "json")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"personad/{VERSION}",
            ALERT: alert.id,
        }
        if self._hook.key is not None:
            headers[SIGNATURE] = signature(self._hook.key, body)
        line = Line()
        with self._changed:
            if self._closing:
                return False
            self._line = line
        try:
            line.post(self._hook, body, headers)
        except Unanswered as error:
            self._tries[alert.id] += 1
            tries = self._tries[alert.id]
            logger.warning("alert %s was not taken (try %d): %s", alert.id, tries, error)
            return False
        self._mark(lambda db: news.sent(db, alert.id, microseconds(datetime.now(UTC))))
        return True

    def _mark(self, work: Callable[[apsw.Connection], None]) -> None:
        self._writer.between(work)
