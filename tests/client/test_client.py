"""Asking the daemon: one that is there, one that must be started, replaced, or is lost."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from persona.autostart import DaemonUnreachable
from persona.client import Ledger
from persona.identity import event_id, now

from personad.contract.admin import Hello, Status, Stop
from personad.contract.base import MAX_APPEND_EVENTS, VERSION, Done, ErrorInfo, Reply
from personad.contract.batch import BatchShow, PersonaFailed
from personad.contract.codec import encode
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Appended
from personad.contract.paths import Paths
from personad.contract.quality import GoalCleared
from personad.contract.settings import ConfigurationError
from personad.replier import Closed

from .conftest import Serve, batch_started, polite


def event(metric: str = "coherence") -> GoalCleared:
    return GoalCleared(id=event_id(), at=now(), metric=metric)


def big_event() -> PersonaFailed:
    return PersonaFailed(
        id=event_id(),
        at=now(),
        batch="batch-a",
        persona="p",
        provider="local",
        model="m",
        attempts=1,
        error=ErrorInfo("server", "x" * 10_000),
    )


def test_the_first_question_starts_a_daemon_that_others_then_use(
    ledger: Ledger, paths: Paths
) -> None:
    status = ledger.ask(Status())
    with Ledger(paths, autostart=False) as other:
        assert other.ask(Status()).pid == status.pid
    assert status.database == str(paths.database)
    assert ledger.ask(Hello()).autostarted


@pytest.mark.cold
def test_no_key_reaches_the_daemon(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-1")
    monkeypatch.setenv("SOME_VENDOR_TOKEN", "sk-secret-2")
    monkeypatch.setenv("PERSONA_OPENAI_KEY", "sk-secret-3")
    pid = ledger.ask(Status()).pid
    assert b"sk-secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert b"HOME=" in Path(f"/proc/{pid}/environ").read_bytes()


def test_the_daemon_outlives_the_session_that_started_it(paths: Paths) -> None:
    code = (
        "import os, sys; from persona.client import Ledger;"
        "from personad.contract.admin import Status;"
        "from personad.contract.options import DEFAULTS;"
        "from personad.contract.paths import resolve_paths;"
        "l = Ledger(resolve_paths(DEFAULTS, ledger=None, environ=os.environ));"
        "print(l.ask(Status()).pid, flush=True); os.killpg(0, 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    with Ledger(paths, autostart=False) as ledger:
        assert ledger.ask(Status()).pid == int(ended.stdout)


def test_without_autostart_an_absent_daemon_is_named_with_the_command_that_starts_it(
    paths: Paths,
) -> None:
    with pytest.raises(DaemonUnreachable) as caught:
        Ledger(paths, autostart=False).ask(Status())
    assert caught.value.EXIT_CODE == 69
    assert caught.value.code == "unavailable"
    assert caught.value.hint == f"start it with: personad --ledger {paths.data_dir} start"
    assert not paths.data_dir.exists()


def test_a_socket_file_of_a_dead_daemon_is_no_daemon(ledger: Ledger, paths: Paths) -> None:
    paths.runtime_dir.mkdir(mode=0o700)
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(paths.api_socket))
    assert ledger.ask(Status()).pid


def test_a_daemon_that_cannot_start_says_why(ledger: Ledger, paths: Paths) -> None:
    paths.data_dir.mkdir(parents=True)
    paths.data_dir.chmod(0o755)
    with pytest.raises(DaemonUnreachable, match=r"^the folder .* has mode 0755") as caught:
        ledger.ask(Status())
    assert caught.value.EXIT_CODE == 78
    assert str(paths.log_file) in str(caught.value.hint)


def test_where_the_log_is_is_said_once(ledger: Ledger, paths: Paths) -> None:
    paths.data_dir.mkdir(parents=True, mode=0o700)
    with closing(sqlite3.connect(paths.database)) as newer:
        newer.execute("PRAGMA user_version = 1000")
    with pytest.raises(DaemonUnreachable, match="has format 1000") as caught:
        ledger.ask(Status())
    said = f"{caught.value} {caught.value.hint}"
    assert said.count(str(paths.log_file)) == 1


def test_a_start_that_takes_too_long_is_named_with_what_was_waited_for(paths: Paths) -> None:
    with pytest.raises(DaemonUnreachable, match=r"does not answer at .*api.sock after 0 s") as it:
        Ledger(paths, wait_s=0).ask(Status())
    assert str(paths.log_file) in str(it.value.hint)


def test_a_start_that_fails_without_a_word_is_named_with_its_status(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DaemonUnreachable, match="could not be started: status 1"):
        ledger.ask(Status())


def test_a_killed_daemon_is_replaced_by_the_next_question(ledger: Ledger) -> None:
    first = ledger.ask(Status()).pid
    ledger.append([event()])
    os.kill(first, signal.SIGKILL)
    assert ledger.ask(Status()).pid != first
    assert len(list(ledger.read_all())) == 1


def test_a_request_that_got_lost_with_its_daemon_is_sent_once_more(
    ledger: Ledger, peer: Serve
) -> None:
    def dies(request: Any) -> Reply:
        raise Closed(7)

    lost = peer(polite(dies))
    sent = event()
    assert ledger.append([sent]).last_seq == 1
    assert lost.asked[-1] == Append(events=[sent])
    assert [found.event for found in ledger.read_all()] == [sent]


def test_a_daemon_that_dies_of_a_request_twice_is_not_asked_a_third_time(
    paths: Paths, peer: Serve, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(request: Any) -> Reply:
        raise Closed(7)

    def starts(*_: object) -> None:
        peers.append(peer(polite(dies)))

    peers = [peer(polite(dies))]
    monkeypatch.setattr("persona.autostart.start", starts)
    with pytest.raises(DaemonUnreachable, match="went away twice while it was asked `status`"):
        ledger.ask(Status())
    assert [one.asked[1:] for one in peers] == [[Status()], [Status()]]


def test_a_daemon_that_starts_and_dies_again_and_again_is_given_up(
    ledger: Ledger, peer: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(request: Any) -> Reply:
        raise Closed(7)

    monkeypatch.setattr("persona.autostart.start", lambda *_: peer(dies))
    with pytest.raises(DaemonUnreachable, match="starts and goes away again"):
        ledger.ask(Status())


def test_a_question_without_an_answer_ends_in_time_and_its_answer_is_never_taken_for_another(
    ledger: Ledger, peer: Serve
) -> None:
    asked = count()
    peer(polite(lambda _: None if next(asked) == 0 else Done()))
    with pytest.raises(LedgerError, match=r"did not answer `status` within 0.1 s") as caught:
        ledger.ask(Status(), timeout_s=0.1)
    assert caught.value.code == "unavailable"
    assert not isinstance(caught.value, DaemonUnreachable)
    assert ledger.ask(Stop()) == Done()


def test_a_daemon_that_does_not_greet_is_not_waited_for_without_end(
    paths: Paths, peer: Serve
) -> None:
    peer(lambda _: None)
    with pytest.raises(LedgerError, match="did not answer `hello`"):
        Ledger(paths, wait_s=0.1).ask(Status())


def test_ctrl_c_is_heard_while_waiting(ledger: Ledger, peer: Serve) -> None:
    peer(polite(lambda _: os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(KeyboardInterrupt):
        ledger.ask(Status())


def test_ctrl_c_is_heard_while_greeting(ledger: Ledger, peer: Serve) -> None:
    peer(lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        ledger.ask(Status())


def test_what_is_too_large_is_refused_before_anything_is_sent(ledger: Ledger, paths: Paths) -> None:
    with pytest.raises(LedgerError) as caught:
        ledger.ask(Append(events=[big_event() for _ in range(1_000)]))
    assert caught.value.code == "too-large"
    assert not paths.api_socket.exists()


def test_one_event_that_is_too_large_is_refused(ledger: Ledger, paths: Paths) -> None:
    huge = GoalCleared(id=event_id(), at=now(), metric="m" * (9 << 20))
    with pytest.raises(LedgerError, match="over the limit"):
        ledger.append([huge])
    assert not paths.api_socket.exists()


def test_what_the_daemon_refuses_is_raised_with_its_code(ledger: Ledger) -> None:
    with pytest.raises(LedgerError) as caught:
        ledger.ask(BatchShow(batch="batch-none"))
    assert caught.value.code == "not-found"


def test_an_answer_that_cannot_be_read_is_named_with_both_versions(
    ledger: Ledger, peer: Serve
) -> None:
    peer(polite(lambda _: b'{"type": "news"}', "99.0.0"))
    with pytest.raises(LedgerError, match=rf"personad 99.0.0 .*persona {VERSION}") as caught:
        ledger.ask(Status())
    assert caught.value.code == "internal"


def test_a_socket_that_may_not_be_connected_to_is_named(
    ledger: Ledger, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    with pytest.raises(LedgerError, match="can't be connected to: Permission denied"):
        ledger.ask(Status())
    monkeypatch.undo()


def test_a_socket_path_that_is_too_long_is_named(house: Path) -> None:
    from personad.contract.options import DEFAULTS
    from personad.contract.paths import resolve_paths

    environ = {**os.environ, "XDG_RUNTIME_DIR": str(house / ("x" * 100))}
    too_long = resolve_paths(DEFAULTS, ledger=None, environ=environ)
    with pytest.raises(ConfigurationError, match="bytes"):
        Ledger(too_long).ask(Status())


def test_any_number_of_events_is_appended_in_order(ledger: Ledger) -> None:
    sent = [event(f"m{n}") for n in range(2 * MAX_APPEND_EVENTS + 1)]
    total = ledger.append(sent)
    assert (total.first_seq, total.last_seq, total.duplicates) == (1, len(sent), 0)
    again = ledger.append(sent)
    assert (again.first_seq, again.last_seq, again.duplicates) == (None, None, len(sent))
    assert [found.event for found in ledger.read_all(page=7_000)] == sent


def test_events_over_the_size_of_a_message_go_in_parts(ledger: Ledger) -> None:
    sent = [big_event() for _ in range(1_000)]
    assert len(encode(Append(events=list(sent)))) > 8 << 20
    assert ledger.append(sent).last_seq == 1_000
    assert [found.event.id for found in ledger.read_all(page=500)] == [one.id for one in sent]


def test_appending_nothing_is_asked_too(ledger: Ledger) -> None:
    nothing = Appended(first_seq=None, last_seq=None, duplicates=0, anomalies=0, quarantined=0)
    assert ledger.append([]) == nothing


def test_some_kinds_or_one_batch_are_read(ledger: Ledger) -> None:
    ledger.append([event(), batch_started("batch-a"), event()])
    assert [found.seq for found in ledger.read_all(types=["goal.cleared"], page=1)] == [1, 3]
    assert [found.seq for found in ledger.read_all(batch="batch-a")] == [2]
    assert [found.seq for found in ledger.read_all(2)] == [3]


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules);"
        "import persona.client, persona.watch, persona.spool;"
        "heavy = 'apsw numpy anyio asyncio subprocess tempfile socket _nng pynng rich '"
        "'personad.contract.nng personad.contract.settings personad.contract.requester';"
        "print(*[name for name in heavy.split() if name in sys.modules.keys() - before])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""
