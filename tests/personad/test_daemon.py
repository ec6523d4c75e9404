"""The daemon as a process: starting, stopping, dying, and what it makes of garbage."""

import json
import os
import random
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from personad import launch
from personad.contract import batch as b
from personad.contract.admin import Hello, Status, Stop
from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.codec import encode
from personad.contract.cost import StartCall
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Read
from personad.contract.requester import Gone, Requester
from personad.contract.spool import SUFFIX

from .conftest import Running
from .facts import SPECIMENS, cost, happened, planned, started


def raw(daemon: Running, body: bytes) -> dict[str, Any]:
    """The answer to bytes as they are."""
    with Requester(daemon.paths.api_socket, 10) as requester:
        answer = requester.request(body, 10)
    found: dict[str, Any] = (
        json.loads(answer) if answer[:1] == b"{" else msgspec.msgpack.decode(answer)
    )
    return found


class TestStarting:
    def test_it_answers_once_it_says_that_it_is_started(self, daemon: Running) -> None:
        welcome = daemon.ask(Hello())
        assert (welcome.last_seq, welcome.autostarted) == (0, False)
        again = daemon.command("start")
        assert again.stdout.startswith("already running")
        assert daemon.pid == welcome.pid

    @pytest.mark.parametrize("attempt", range(4))
    def test_of_many_starts_at_once_one_daemon_comes(self, stopped: Running, attempt: int) -> None:
        program = [sys.executable, "-m", "personad", "--ledger", str(stopped.paths.data_dir)]
        starts = [
            subprocess.Popen([*program, "start"], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        said = [each.communicate(timeout=60)[0] for each in starts]
        assert [each.returncode for each in starts] == [0] * 4
        assert sum(each.startswith("started") for each in said) == 1
        pids = {line.split()[1] for each in said for line in each.splitlines() if "pid" in line}
        assert pids == {str(stopped.pid)}

    def test_only_its_owner_can_reach_anything_of_it(self, daemon: Running) -> None:
        daemon.append(started())
        paths = daemon.paths
        for folder in (paths.data_dir, paths.runtime_dir, paths.spool_dir, paths.quarantine_dir):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for file in [paths.api_socket, paths.live_socket, *paths.data_dir.iterdir()]:
            if not file.is_dir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    def test_files_of_a_dead_daemon_are_in_nobody_s_way(self, daemon: Running) -> None:
        daemon.append(*planned())
        daemon.kill()
        assert daemon.paths.api_socket.exists()
        daemon.start()
        assert daemon.ask(Hello()).last_seq == 3

    def test_sockets_that_nobody_listens_at_are_replaced(self, stopped: Running) -> None:
        stopped.paths.runtime_dir.mkdir(parents=True, mode=0o700)
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(stopped.paths.api_socket))
        stopped.paths.live_socket.write_text("no socket at all")
        assert stopped.start().ask(Hello()).last_seq == 0

    def test_one_that_lives_and_says_nothing_is_named_in_bounded_time(
        self, daemon: Running
    ) -> None:
        pid = daemon.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            for words in (["start"], ["status"], ["stop", "--timeout", "1"]):
                said = daemon.command(*words)
                assert said.returncode in (69, 75)
                assert "doesn't answer" in said.stderr
                assert "fuser -k -9" in said.stderr
        finally:
            os.kill(pid, signal.SIGCONT)
        assert daemon.pid == pid

    @pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"x" * 90])
    def test_a_file_that_is_no_ledger_is_left_alone(self, stopped: Running, content: bytes) -> None:
        stopped.paths.data_dir.mkdir(mode=0o700)
        stopped.paths.database.write_bytes(content)
        said = stopped.command("start")
        assert said.returncode == 75
        assert "is not a ledger" in said.stderr
        assert stopped.paths.database.read_bytes() == content

    def test_a_newer_ledger_is_left_alone(self, stopped: Running, sqlite: Any) -> None:
        stopped.start().stop()
        sqlite(stopped.paths.database).pragma("user_version", 99)
        said = stopped.command("start")
        assert "format 99" in said.stderr

    def test_another_program_s_database_is_left_alone(self, stopped: Running, sqlite: Any) -> None:
        stopped.paths.data_dir.mkdir(mode=0o700)
        sqlite(stopped.paths.database).execute("CREATE TABLE mine (x)")
        assert "is not a ledger" in stopped.command("start").stderr

    def test_a_folder_in_the_database_s_place_is_said(self, stopped: Running) -> None:
        stopped.paths.data_dir.mkdir(mode=0o700)
        stopped.paths.database.mkdir()
        said = stopped.command("start")
        assert said.returncode == 75
        assert "can't be opened" in said.stderr


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_drains_and_removes_nothing_that_was_acknowledged(
        self, daemon: Running, number: int
    ) -> None:
        daemon.append(*planned())
        os.kill(daemon.pid, number)
        daemon.wait_until_gone()
        assert daemon.start().ask(Hello()).last_seq == 3

    def test_what_is_in_flight_is_acknowledged_or_refused_and_the_log_agrees(
        self, daemon: Running
    ) -> None:
        acknowledged: list[str] = []
        enough = threading.Event()

        def produce(number: int) -> None:
            for each in range(10_000):
                call = f"{number}-{each}"
                try:
                    daemon.append(cost(call))
                except LedgerError as refused:
                    assert refused.code == "unavailable"  # noqa: PT017
                    return
                acknowledged.append(call)
                if len(acknowledged) > 100:
                    enough.set()

        producers = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
        for each in producers:
            each.start()
        assert enough.wait(30)
        daemon.stop()
        for each in producers:
            each.join(30)
        daemon.start()
        kept = {each.event.call for each in daemon.ask(Read(limit=10_000)).events}  # type: ignore[union-attr]
        assert set(acknowledged) <= kept
        assert len(kept) == daemon.ask(Hello()).last_seq

    def test_asked_to_stop_twice_it_stops_once(self, daemon: Running) -> None:
        pid = daemon.pid
        daemon.ask(Stop())
        # It may have been quicker than this.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        daemon.wait_until_gone()
        assert daemon.command("stop").stdout == "no daemon was running\n"

    def test_a_restart_is_another_process_on_the_same_ledger(self, daemon: Running) -> None:
        before = daemon.ask(Hello())
        assert daemon.command("restart").returncode == 0
        after = daemon.ask(Hello())
        assert before.pid != after.pid
        assert before.ledger == after.ledger


class TestGarbage:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "invalid"),
            (b"garbage", "invalid"),
            (b"{" * 50_000, "invalid"),
            (b'{"type": "hello", "protocol": 99}', "invalid"),
            (b'{"type": "nothing"}', "invalid"),
            (b'{"type": "batch-show", "batch": "nope"}', "not-found"),
            (b'{"type": "pause", "batch": "nope"}', "not-found"),
            (b"x" * (MAX_MESSAGE_BYTES + 1), "too-large"),
            (encode(Append(events=[SPECIMENS["call.started"]]), "json"), "invalid"),
        ],
        ids=range(9),
    )
    def test_a_mistake_is_answered_in_the_encoding_it_came_in(
        self, daemon: Running, body: bytes, code: str
    ) -> None:
        answer = raw(daemon, body)
        assert (answer["type"], answer["code"]) == ("failure", code)
        assert answer["message"]

    def test_both_protocols_are_named_where_they_differ(self, daemon: Running) -> None:
        answer = raw(daemon, b'{"type": "hello", "protocol": 99, "version": "9.9"}')
        assert "speaks protocol 1" in answer["message"]
        assert "(9.9) speak 99" in answer["message"]

    def test_of_a_bad_append_nothing_is_kept(self, daemon: Running) -> None:
        body = json.loads(encode(Append(events=[started(), cost(), cost()]), "json"))
        body["events"][2]["cost_nanousd"] = -5
        assert raw(daemon, json.dumps(body).encode())["field"] == "$.events[2].cost_nanousd"
        assert daemon.ask(Hello()).last_seq == 0

    def test_a_message_beyond_all_bounds_costs_its_sender_the_connection(
        self, daemon: Running
    ) -> None:
        with Requester(daemon.paths.api_socket, 10) as requester:
            with pytest.raises(Gone):
                requester.request(b"x" * (3 * MAX_MESSAGE_BYTES), 2)
        assert daemon.ask(Hello()).last_seq == 0

    @pytest.mark.parametrize("seed", range(3))
    def test_noise_on_both_sockets_ends_nothing(self, daemon: Running, seed: int) -> None:
        rng = random.Random(seed)
        hello = b"\x00SP\x00\x00\x30\x00\x00"
        for _ in range(60):
            path = rng.choice([daemon.paths.api_socket, daemon.paths.live_socket])
            with socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(2)
                plain.connect(str(path))
                noise = rng.randbytes(rng.choice([0, 1, 7, 8, 9, 100, 5_000]))
                length = rng.choice([0, 3, 4, 2**20, 2**40, 2**64 - 1]).to_bytes(8, "big")
                parts = [b"", noise, hello + noise, hello + b"\x01" + length + noise]
                try:
                    plain.sendall(rng.choice(parts))
                except (BrokenPipeError, ConnectionResetError):
                    continue
                if rng.random() < 0.3:
                    select.select([plain], [], [], 0)
        assert daemon.ask(Status()).mode == "normal"
        assert daemon.append(started()).last_seq == 1

    @pytest.mark.parametrize("seed", range(2))
    def test_mangled_requests_get_an_answer_each(self, daemon: Running, seed: int) -> None:
        rng = random.Random(seed)
        wholes = [
            encode(Append(events=planned()), "json"),
            encode(Append(events=planned())),
            encode(b.BatchShow(batch="last")),
            encode(Read(), "json"),
        ]
        with Requester(daemon.paths.api_socket, 10) as requester:
            for _ in range(200):
                body = bytearray(rng.choice(wholes))
                for _ in range(rng.randint(1, 5)):
                    body[rng.randrange(len(body))] = rng.randrange(256)
                answer = requester.request(bytes(body[: rng.randint(0, len(body))]), 10)
                assert answer
        assert daemon.ask(Status()).mode == "normal"

    def test_askers_who_leave_at_once_are_not_waited_for(self, daemon: Running) -> None:
        for _ in range(50):
            requester = Requester(daemon.paths.api_socket, 10)
            requester.send(encode(Append(events=[cost()])), 10)
            requester.close()
        assert daemon.ask(Status()).mode == "normal"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_turned_away_even_where_the_folder_lets_him_in(daemon: Running) -> None:
    paths = daemon.paths
    code = """
import os, socket, sys
os.setuid(65534)
body = b'\\x80\\0\\0\\1' + b'{"type": "status"}'
heard = b""
with socket.socket(socket.AF_UNIX) as plain:
    plain.settimeout(5)
    plain.connect(sys.argv[1])
    try:
        plain.sendall(bytes.fromhex("0053500000300000"))
        plain.sendall(b"\\x01" + len(body).to_bytes(8, "big") + body)
        while part := plain.recv(4096):
            heard += part
    except (ConnectionResetError, BrokenPipeError):
        pass
print(len(heard) > 8)
"""
    opened = [paths.runtime_dir, *list(paths.runtime_dir.parents)[:-2]]
    before = {folder: folder.stat().st_mode for folder in opened}
    try:
        for folder in opened:
            folder.chmod(0o755)
        for path in (paths.api_socket, paths.live_socket):
            path.chmod(0o777)
        said = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, str(paths.api_socket)],
            capture_output=True,
            text=True,
            timeout=30,
            cwd="/",
        )
    finally:
        for folder, mode in before.items():
            folder.chmod(mode)
    assert said.stdout == "False\n", said.stderr
    assert daemon.ask(Hello()).last_seq == 0


class TestSpools:
    def test_a_spool_is_taken_in_before_a_call_is_granted(self, daemon: Running) -> None:
        daemon.append(*planned())
        (daemon.paths.spool_dir / f"0{SUFFIX}").write_bytes(b"nobody's bytes")
        granted = daemon.ask(
            StartCall(
                call="c", provider="local", model="m", max_input_tokens=1, max_output_tokens=1
            )
        )
        assert granted.reserved_nanousd == 0  # type: ignore[union-attr]
        status = daemon.ask(Status())
        assert status.spool_backlog == 0
        assert not list(daemon.paths.spool_dir.iterdir())

    def test_status_tells_how_everything_is(self, daemon: Running) -> None:
        daemon.append(*planned(), happened(b.BatchPaused, "lost"))
        status = daemon.ask(Status())
        assert (status.last_seq, status.open_batches, status.anomalies) == (4, 1, 1)
        assert (status.mode, status.watchers, status.quarantined) == ("normal", 0, 0)
        assert status.size_bytes > 4_096


def test_a_question_sees_every_append_acknowledged_before_it(daemon: Running) -> None:
    daemon.append(started(total=200))
    for number in range(200):
        seq = daemon.append(cost(f"c{number}")).last_seq
        assert daemon.ask(b.BatchShow(batch="last")).seq == seq


def test_repeats_from_before_a_restart_are_known(daemon: Running) -> None:
    events = planned()
    daemon.append(*events)
    daemon.kill()
    daemon.start()
    assert daemon.append(*events).duplicates == 3


def test_a_lease_that_runs_out_is_noticed_without_being_asked(daemon: Running) -> None:
    daemon.append(*planned())
    daemon.ask(b.Claim(batch="batch-a", runner="r", ttl_ms=1))
    while (status := daemon.ask(b.BatchShow(batch="batch-a")).status) == "queued":
        pass
    assert status == "interrupted"


def test_a_daemon_that_was_frozen_hears_who_renewed_before_it_calls_anybody_dead(
    daemon: Running,
) -> None:
    """As `docker pause` does, or a machine that swaps: its clock goes on, and it heard nobody."""
    daemon.append(*planned(), *planned("batch-b"))
    alive = daemon.ask(b.Claim(batch="batch-a", runner="alive", ttl_ms=3_000))
    daemon.ask(b.Claim(batch="batch-b", runner="dead", ttl_ms=3_000))
    renewal = b.Renew(batch="batch-a", runner="alive", fence=alive.fence, ttl_ms=60_000)
    renews = threading.Thread(target=daemon.ask, args=(renewal,))
    pid = daemon.pid
    os.kill(pid, signal.SIGSTOP)
    renews.start()
    # For longer than the leases, nobody is answered.
    renews.join(4)
    assert renews.is_alive()
    os.kill(pid, signal.SIGCONT)
    renews.join(20)
    until = time.monotonic() + 20
    while daemon.ask(b.BatchShow(batch="batch-b")).status == "queued":
        assert time.monotonic() < until, "the dead one was never missed"
    assert daemon.ask(b.BatchShow(batch="batch-a")).status == "queued"


def test_nobody_there_is_said_at_once(stopped: Running) -> None:
    assert launch.running(stopped.paths) is None
    with pytest.raises(LedgerError, match="no daemon is running"):
        stopped.ask(Hello())
