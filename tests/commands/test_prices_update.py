"""`persona cost prices update` against a real daemon and a server of our own."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from persona.client import Ledger
from persona.identity import event_id, now
from persona.program import run

from personad.contract.cost import CostHistory, CostRecorded


def listed(model: str, input_usd: float) -> bytes:
    return json.dumps(
        [
            {
                "id": "acme",
                "name": "Acme",
                "api_pattern": "https://api\\.acme\\.example",
                "models": [
                    {
                        "id": model,
                        "match": {"equals": model},
                        "prices": {"input_mtok": input_usd, "output_mtok": 0.1},
                    }
                ],
            }
        ]
    ).encode()


class Server:
    """Answers every GET with the same, and counts them."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = listed("big", 3.3), 200, 0
        this = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                this.asked += 1
                self.send_response(this.status)
                self.end_headers()
                self.wfile.write(this.body)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/data.json"

    @contextmanager
    def running(self) -> Iterator["Server"]:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        yield self
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as running:
        yield running


def called(ledger: Ledger) -> None:
    ledger.append(
        [
            CostRecorded(
                id=event_id(),
                at=now(),
                call=f"call-{event_id()}",
                provider="acme",
                model="big",
                operation="generation",
                outcome="ok",
                input_tokens=1_000,
            )
        ]
    )


def cost(ledger: Ledger) -> tuple[int, int]:
    reply = ledger.ask(CostHistory())
    return reply.total.cost_nanousd, reply.coverage.unpriced_calls


def update(server: Server, *more: str) -> int:
    return run(["cost", "prices", "update", "--url", server.url, *more])


def test_a_newer_list_counts_from_now_on(
    ledger: Ledger, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    called(ledger)
    assert cost(ledger) == (0, 1)
    assert update(server, "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["models"] == 1
    assert json.loads(said.out)["changed"] == ["acme/big"]
    assert "1 model of yours cost something else" in said.err
    called(ledger)
    assert cost(ledger) == (3_300_000, 1)
    assert run(["cost", "reprice", "--unpriced", "--apply"]) == 0
    assert cost(ledger) == (6_600_000, 0)


def test_nothing_but_it_asks_the_network(
    ledger: Ledger, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    called(ledger)
    for command in (["cost"], ["cost", "prices"], ["cost", "history"]):
        assert run(command) == 0
    assert server.asked == 0
    assert update(server) == 0
    assert server.asked == 1


def test_it_stays_when_the_daemon_is_started_again(
    ledger: Ledger, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    import subprocess
    import sys

    assert update(server) == 0
    subprocess.run([sys.executable, "-m", "personad", "restart"], check=True, capture_output=True)
    capsys.readouterr()
    assert run(["cost", "prices", "--model", "acme/big", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["prices"]
    assert row["input_usd"] == 3.3
    assert row["source"].startswith("genai-prices of 20")
    assert document["data_age_days"] == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "it is no JSON"),
        (b"{}", "no list of providers"),
        (b"[]", "no model in it"),
        (b"[1]", "no list of providers"),
        (listed("big", 1).replace(b'"input_mtok": 1', b'"input_mtok": "dear"'), "input_mtok"),
        (b"[" * 100_000, "it is no JSON"),
    ],
)
def test_a_list_that_is_none_is_refused_and_the_known_one_stays(
    ledger: Ledger, server: Server, capsys: pytest.CaptureFixture[str], body: bytes, said: str
) -> None:
    assert update(server) == 0
    server.body = body
    assert update(server) == 65
    told = capsys.readouterr().err
    assert said in told
    assert "the list that is known stays" in told
    called(ledger)
    assert cost(ledger) == (3_300_000, 0)


@pytest.mark.usefixtures("ledger")
def test_a_server_that_is_down_or_refuses_is_for_later(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 503
    assert update(server) == 75
    assert "the server answers 503" in capsys.readouterr().err
    assert run(["cost", "prices", "update", "--url", "http://127.0.0.1:1/x"]) == 75
    assert "can't be fetched" in capsys.readouterr().err


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("url", ["ftp://example.org", "file:///etc/passwd", "x", "http://[1/x"])
def test_what_is_no_address_is_wrong_usage(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "prices", "update", "--url", url]) == 64
    assert "can't be fetched" in capsys.readouterr().err


@pytest.mark.usefixtures("ledger")
def test_bytes_that_are_no_text_are_no_list(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.body = b"\xff\xfe"
    assert update(server) == 75
    assert "it is no text" in capsys.readouterr().err
