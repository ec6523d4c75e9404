"""Asking a daemon of another version, or what is none."""

import os
import socket
import threading
from contextlib import ExitStack, closing
from typing import Any

import pytest
from persona import client
from persona.autostart import DaemonUnreachable, wait_until_released
from persona.client import Ledger

from personad.contract.admin import Hello, Status, StatusReply, Stop, Welcome
from personad.contract.base import VERSION, Done, Reply
from personad.contract.errors import Failure, LedgerError
from personad.contract.paths import Paths
from personad.locks import lock
from personad.replier import Closed

from .conftest import Serve, done, polite


def test_a_newer_daemon_is_used_where_the_protocol_fits(ledger: Ledger, peer: Serve) -> None:
    served = peer(polite(done, "99.0.0"))
    assert ledger.ask(Stop()) == Done()
    assert served.asked == [Hello(), Stop()]


def test_an_older_daemon_that_a_client_started_is_drained_and_replaced(
    ledger: Ledger, peer: Serve
) -> None:
    def stops(request: Any) -> Reply:
        assert isinstance(request, Stop)
        raise Closed(7)

    old = peer(polite(stops, "1.2.3"))
    status = ledger.ask(Status())
    assert isinstance(status, StatusReply)
    assert status.version == VERSION
    assert old.asked == [Hello(), Stop()]


def test_an_older_daemon_that_somebody_runs_is_left_alone(ledger: Ledger, peer: Serve) -> None:
    old = peer(polite(done, "1.2.3", autostarted=False))
    with pytest.raises(DaemonUnreachable, match=r"personad 1.2.3 .*older than persona") as caught:
        ledger.ask(Status())
    assert "restart`" in str(caught.value.hint)
    assert "systemctl --user restart personad" in str(caught.value.hint)
    assert old.asked == [Hello()]


def test_without_autostart_an_older_daemon_is_not_replaced(paths: Paths, peer: Serve) -> None:
    old = peer(polite(done, "1.2.3"))
    with pytest.raises(DaemonUnreachable, match="older than"):
        Ledger(paths, autostart=False).ask(Status())
    assert old.asked == [Hello()]


def test_an_older_daemon_that_does_not_stop_is_named(paths: Paths, peer: Serve) -> None:
    peer(polite(done, "1.2.3"))
    with pytest.raises(DaemonUnreachable, match=r"asked to stop and still runs after 0.1 s"):
        Ledger(paths, wait_s=0.1).ask(Status())


def test_a_stopped_daemon_that_still_holds_the_ledger_is_waited_for(paths: Paths) -> None:
    assert wait_until_released(paths, 0)
    paths.data_dir.mkdir(parents=True)
    with lock(paths.life_lock):
        assert not wait_until_released(paths, 0.02)
    assert wait_until_released(paths, 0)


def refuse(request: Any) -> Failure:
    return Failure(
        code="invalid",
        message="this daemon (0.9.0) speaks protocol 1, and you speak 2",
        field="$.protocol",
        hint="install the same version of both",
    )


def test_a_protocol_that_does_not_fit_is_named_with_both_versions(
    ledger: Ledger, peer: Serve
) -> None:
    peer(refuse)
    with pytest.raises(DaemonUnreachable, match="speaks protocol 1, and you speak 2") as caught:
        ledger.ask(Status())
    assert caught.value.hint == "install the same version of both"


def test_a_daemon_that_refuses_the_greeting_for_another_reason_is_not_asked_again(
    ledger: Ledger, peer: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PROTOCOL", 3)
    served = peer(lambda _: Failure(code="unavailable", message="the daemon is stopping"))
    with pytest.raises(DaemonUnreachable, match="is stopping"):
        ledger.ask(Status())
    assert len(served.asked) == 1


def test_an_older_daemon_is_greeted_in_its_own_protocol_to_replace_it(
    ledger: Ledger, peer: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def old(request: Any) -> Reply:
        if isinstance(request, Hello) and request.protocol != 1:
            return refuse(request)
        answer = polite(done, "1.2.3", autostarted=False)(request)
        assert isinstance(answer, Welcome)
        return answer

    monkeypatch.setattr(client, "PROTOCOL", 2)
    served = peer(old)
    with pytest.raises(DaemonUnreachable, match=r"personad 1.2.3"):
        ledger.ask(Status())
    assert [request.protocol for request in served.asked] == [2, 1]


def test_a_listener_that_says_nothing_is_not_waited_for_without_end(
    ledger: Ledger, paths: Paths
) -> None:
    paths.runtime_dir.mkdir(mode=0o700)
    with closing(socket.socket(socket.AF_UNIX)) as mute:
        mute.bind(str(paths.api_socket))
        mute.listen()
        with pytest.raises(DaemonUnreachable, match="does not say a word"):
            ledger.ask(Status(), timeout_s=0.1)
        mute.close()
        paths.api_socket.unlink()


def test_a_listener_that_takes_no_more_connections_is_not_waited_for_without_end(
    ledger: Ledger, paths: Paths
) -> None:
    paths.runtime_dir.mkdir(mode=0o700)
    with closing(socket.socket(socket.AF_UNIX)) as full, ExitStack() as others:
        full.bind(str(paths.api_socket))
        full.listen(0)
        for _ in range(2):
            other = others.enter_context(closing(socket.socket(socket.AF_UNIX)))
            other.setblocking(False)
            other.connect_ex(str(paths.api_socket))
        with pytest.raises(DaemonUnreachable, match="does not say a word"):
            ledger.ask(Status(), timeout_s=0.1)
    paths.api_socket.unlink()


@pytest.mark.parametrize(
    ("hears", "says", "taken_for"),
    [
        (True, b"HTTP/1.1 400", "what listens at .* is no personad"),
        (True, b"", "no personad answers"),
        (False, b"", "no personad answers"),
    ],
)
def test_another_program_is_not_taken_for_a_daemon(
    paths: Paths, hears: bool, says: bytes, taken_for: str
) -> None:
    def serve() -> None:
        theirs = other.accept()[0]
        if hears:
            theirs.recv(8)
        theirs.sendall(says)
        theirs.close()
        other.close()

    paths.runtime_dir.mkdir(mode=0o700)
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(paths.api_socket))
    other.listen()
    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(LedgerError, match=taken_for):
        Ledger(paths, autostart=False).ask(Status())
    thread.join()
    paths.api_socket.unlink()


def test_another_users_daemon_is_not_talked_to(
    ledger: Ledger, paths: Paths, peer: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = peer(polite(done))
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    with pytest.raises(LedgerError, match=f"belongs to user {own}"):
        ledger.ask(Status())
    monkeypatch.undo()
    assert served.asked == []
