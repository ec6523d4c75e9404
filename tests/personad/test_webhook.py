"""Alerts are sent on: signed, again until they are taken, and nothing ever waits for it."""

import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from personad import news
from personad.contract.alerts import CostAlerts, CostAlertsReply
from personad.contract.base import Reply
from personad.contract.events import Append
from personad.contract.options import Cost, Settings
from personad.contract.options import CostAlerts as CostAlertSettings
from personad.contract.settings import ConfigurationError
from personad.jobs import Job
from personad.store import open_for_writing
from personad.webhook import ALERT, SIGNATURE, Courier, Hook, hook_of, signature
from personad.writer import Writer
from tests.receiver import Got, Receiver, dripping, silent

from .budgeting import budget
from .conftest import Running
from .facts import cost, fresh_id

KEY = b"a key for the webhook alone"
CERTIFICATE = str(Path(__file__).parents[1] / "data" / "loopback.pem")


class Office:
    """A writer whose alerts are sent on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = open_for_writing(str(path))
        self.db.execute("PRAGMA synchronous = OFF")
        alerts = CostAlertSettings(webhook_url="http://127.0.0.1")
        news.configure(self.db, Settings(cost=Cost(alerts=alerts)))
        self.writer = Writer(self.db, zone=ZoneInfo("UTC"), publish=lambda _: lambda: None)
        self.writer.start()
        self.couriers: list[Courier] = []

    def send_to(self, url: str, **more: Any) -> Courier:
        waits = {"first_wait_s": 0.01, "attempt_s": 10.0} | more
        hook = Hook(url, KEY, **waits)
        self.couriers.append(Courier(self.writer, str(self.path), "ledger-1", hook))
        self.couriers[-1].start()
        return self.couriers[-1]

    def append(self, *events: Any) -> None:
        replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self.writer.submit(Job(Append(events=list(events)), 100, replies.put))
        replies.get(timeout=20)

    def alarm(self, scope: str = "daily") -> None:
        now = datetime.now(UTC)
        self.append(budget(scope, 1, thresholds=[80], action="warn", at=now, timezone="UTC"))
        name = scope.partition(":")[2] or None
        self.append(cost(f"{fresh_id()}", 9, at=now, batch=None, persona=None, experiment=name))

    def owed(self) -> list[str]:
        return self.writer.between(lambda db: [each.scope for each in news.owed(db)])

    def is_quiet(self) -> bool:
        """Returns once nothing is owed any more."""
        done = threading.Event()
        for _ in range(2_000):
            if not self.owed():
                return True
            done.wait(0.01)
        return False

    def close(self) -> None:
        for courier in self.couriers:
            courier.close()
        self.writer.drain()
        self.db.close()


@pytest.fixture
def office(house: Path) -> Iterator[Office]:
    made = Office(house / "office.db")
    yield made
    made.close()


def alert_of(got: Got) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(got.body)
    return found


def test_what_is_sent_is_json_and_signed_with_the_key(office: Office) -> None:
    with Receiver() as receiver:
        office.send_to(receiver.url)
        office.alarm()
        got = receiver.next()
        assert office.is_quiet()
    assert got.path == "/hook?from=tests"
    assert got.headers["Content-Type"] == "application/json"
    by_hand = hmac.new(KEY, got.body, hashlib.sha256).hexdigest()
    assert got.headers[SIGNATURE] == f"sha256={by_hand}" == signature(KEY, got.body)
    alert = alert_of(got)
    assert (alert["type"], alert["scope"], alert["level"]) == ("alert.raised", "daily", "warn")
    assert (alert["value"], alert["threshold"]) == (9, 0.8)
    assert (alert["spent_nanousd"], alert["limit_nanousd"]) == (9, 1)
    assert (alert["ledger"], alert["id"]) == ("ledger-1", got.headers[ALERT])
    assert KEY not in got.body


def test_500_is_tried_again_until_it_is_taken(office: Office) -> None:
    with Receiver(500, 503, 302, 404) as receiver:
        office.send_to(receiver.url)
        office.alarm()
        found = [alert_of(receiver.next())["id"] for _ in range(5)]
        assert office.is_quiet()
        assert receiver.got.empty()
    assert len(set(found)) == 1


def test_one_that_is_down_is_sent_to_once_it_is_up(office: Office) -> None:
    with Receiver() as gone:
        port = gone.port
    office.send_to(f"http://127.0.0.1:{port}/hook", first_wait_s=0.001)
    office.alarm()
    assert office.owed() == ["daily"]
    with Receiver(port=port) as receiver:
        # It waits longer from try to try, and an event may fall into such a wait.
        assert alert_of(receiver.next(60))["scope"] == "daily"
        assert office.is_quiet()


@pytest.mark.parametrize("slow", [silent, dripping])
def test_one_that_is_slow_keeps_nobody_waiting_and_is_tried_again(
    office: Office, slow: Any
) -> None:
    with Receiver(slow) as receiver:
        office.send_to(receiver.url, attempt_s=0.3)
        office.alarm()
        first = receiver.next()
        # It is at the receiver, which says nothing: the ledger goes on meanwhile.
        for number in range(50):
            office.append(cost(f"meanwhile-{number}", batch=None, persona=None))
        assert alert_of(receiver.next())["id"] == alert_of(first)["id"]
        assert office.is_quiet()


def test_an_end_cuts_an_attempt_short_and_leaves_it_owed(office: Office) -> None:
    with Receiver(silent) as receiver:
        courier = office.send_to(receiver.url, attempt_s=3_600.0)
        office.alarm()
        receiver.next()
        courier.close()
        assert not courier._thread.is_alive()
        assert office.owed() == ["daily"]
        office.send_to(receiver.url)
        receiver.next()
        assert office.is_quiet()


def test_one_that_is_never_taken_keeps_no_other_out(office: Office) -> None:
    with Receiver(*[400] * 3) as receiver:
        office.send_to(receiver.url)
        office.alarm()
        office.alarm("experiment:tone")
        scopes = {alert_of(receiver.next())["scope"] for _ in range(5)}
        assert scopes == {"daily", "experiment:tone"}
        assert office.is_quiet()


def test_after_a_day_it_is_given_up(office: Office) -> None:
    office.alarm()
    long_ago = int((datetime.now(UTC) - timedelta(days=2)).timestamp() * 10**6)
    office.writer.between(lambda db: db.execute("UPDATE alert SET at = ?", (long_ago,)))
    with Receiver() as receiver:
        office.send_to(receiver.url)
        assert office.is_quiet()
        assert receiver.got.empty()


def test_what_is_only_logged_is_not_sent(office: Office) -> None:
    now = datetime.now(UTC)
    office.append(budget("daily", 10, thresholds=[50], at=now, timezone="UTC"))
    office.append(cost("half", 6, at=now, batch=None, persona=None))
    assert office.owed() == []


def test_over_tls_only_a_certificate_that_is_trusted_will_do(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver(certificate=CERTIFICATE) as receiver:
        office.alarm()
        stranger = office.send_to(receiver.url, first_wait_s=60.0)
        (alert,) = office.writer.between(news.owed)
        while not stranger._tries.get(alert.id):
            threading.Event().wait(0.01)
        stranger.close()
        assert receiver.got.empty()
        monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
        office.send_to(receiver.url)
        assert alert_of(receiver.next())["scope"] == "daily"
        assert office.is_quiet()


class TestKey:
    def test_without_an_address_there_is_no_hook(self) -> None:
        assert hook_of(CostAlertSettings(), {}) is None

    def test_a_key_that_is_missing_sends_nothing_unsigned(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = "https://example.org/secret-path"
        settings = CostAlertSettings(webhook_url=url, webhook_secret_env="HOOK_KEY")
        assert hook_of(settings, {}) is None
        assert "HOOK_KEY, is unset" in caplog.text
        assert "secret-path" not in caplog.text
        assert hook_of(settings, {"HOOK_KEY": "k"}) == Hook(url, b"k")


def configure(daemon: Running, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PERSONA_COST_ALERTS_WEBHOOK_URL", url)
    monkeypatch.setenv("PERSONA_COST_ALERTS_WEBHOOK_SECRET_ENV", "HOOK_KEY")
    monkeypatch.setenv("HOOK_KEY", KEY.decode())


def test_a_restart_sends_what_was_not_taken_and_nothing_twice(
    stopped: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    with Receiver(200, silent) as receiver:
        configure(stopped, monkeypatch, receiver.url)
        daemon = stopped.start()
        daemon.append(budget("daily", 10, thresholds=[80], at=now, timezone="UTC"))
        daemon.append(cost("first", 9, at=now, batch=None, persona=None))
        first = receiver.next()
        assert first.headers[SIGNATURE] == signature(KEY, first.body)
        daemon.append(budget("monthly", 10, thresholds=[80], at=now, timezone="UTC"))
        second = receiver.next()
        daemon.kill()
        daemon.start()
        again = receiver.next()
        assert alert_of(again)["id"] == alert_of(second)["id"]
        reply: CostAlertsReply = daemon.ask(CostAlerts())
        while reply.unsent:
            reply = daemon.ask(CostAlerts())
        assert reply.webhook
        daemon.stop()
        daemon.start()
        assert daemon.ask(CostAlerts()).unsent == 0
        assert receiver.got.empty()
    kept = stopped.paths.database.read_bytes() + stopped.paths.log_file.read_bytes()
    assert KEY not in kept
    assert f":{receiver.port}/hook".encode() not in kept


def test_the_doctor_says_what_is_not_taken_and_an_unset_key_sends_nothing(
    stopped: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    with Receiver() as receiver:
        configure(stopped, monkeypatch, receiver.url)
        monkeypatch.delenv("HOOK_KEY")
        daemon = stopped.start()
        assert "every alert was taken" in daemon.command("doctor").stdout
        daemon.append(budget("daily", 10, thresholds=[80], at=now, timezone="UTC"))
        daemon.append(cost("first", 9, at=now, batch=None, persona=None))
        assert "1 alert not taken yet" in daemon.command("doctor").stdout
        assert "HOOK_KEY, is unset" in daemon.command("logs").stdout
        assert receiver.got.empty()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/hook", "must begin with https://"),
        ("http://127.0.0.1.example.org/hook", "must begin with https://"),
        ("http://192.168.1.5/hook", "must begin with https://"),
        ("https://me:secret@example.org/hook", "neither a name and password"),
        ("https://example.org:99999/hook", "is no address"),
        ("https://[::1/hook", "is no address"),
    ],
)
def test_an_address_that_is_not_private_is_a_mistake_that_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch, house: Path, url: str, said: str
) -> None:
    from personad.contract.settings import load

    environ = {"PERSONA_COST_ALERTS_WEBHOOK_URL": url}
    with pytest.raises(ConfigurationError) as mistake:
        load(environ=environ, cwd=None, home=house, system_file=house / "none")
    assert said in str(mistake.value)
    assert "example.org" not in f"{mistake.value} {mistake.value.hint}"


@pytest.mark.parametrize("url", ["http://localhost:1/x", "http://[::1]/x", "https://example.org"])
def test_https_and_this_machine_will_do(house: Path, url: str) -> None:
    from personad.contract.settings import load

    environ = {"PERSONA_COST_ALERTS_WEBHOOK_URL": url}
    loaded = load(environ=environ, cwd=None, home=house, system_file=house / "none")
    assert loaded.settings.cost.alerts.webhook_url == url


def test_a_provider_s_key_is_no_key_for_a_webhook(house: Path) -> None:
    from personad.contract.settings import load

    environ = {"PERSONA_COST_ALERTS_WEBHOOK_SECRET_ENV": "OPENAI_API_KEY"}
    with pytest.raises(ConfigurationError, match="no daemon may see"):
        load(environ=environ, cwd=None, home=house, system_file=house / "none")
