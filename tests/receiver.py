"""A private receiver of webhooks on loopback: it says what it is told to, and keeps what it got."""

import queue
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

Answer = int | Callable[["Handler"], None]


class Got(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    server: "Receiver"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.next_answer()
        self.server.got.put(Got(self.path, dict(self.headers), body))
        if callable(answer):
            answer(self)
            return
        self.send_response(answer)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Receiver(ThreadingHTTPServer):
    """Serves until it is left; answers are taken one a message, then 200."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *answers: Answer, port: int = 0, certificate: str | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.got: queue.SimpleQueue[Got] = queue.SimpleQueue()
        self.let_go = threading.Event()
        """Set when it is left: whoever is made to wait waits for it."""
        self._answers = list(answers)
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
            self._scheme = "https"

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/hook?from=tests"

    def next_answer(self) -> Answer:
        return self._answers.pop(0) if self._answers else 200

    def next(self, timeout_s: float = 20) -> Got:
        """The next message that comes."""
        return self.got.get(timeout=timeout_s)

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self.shutdown()
        self.server_close()


def silent(handler: Handler) -> None:
    """Takes the message, and says nothing."""
    handler.server.let_go.wait(60)


def dripping(handler: Handler) -> None:
    """Says a byte now and then, so that no single wait is long."""
    while not handler.server.let_go.wait(0.02):
        handler.wfile.write(b"H")
