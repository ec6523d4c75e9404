"""The server itself: HTTP/1.1 on loopback, in a thread of its own, one task a connection."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from . import formats
from .errors import STATUS, USUAL, error
from .personas import persona, written
from .scripts import Asked, Format, Paid, Refusal, Turn, tokens

KEY = "sk-test-5f1d9b7e3a"
"""The only key that it takes."""

_GONE = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError)
"""How a connection ends that nobody wants any more."""
Script = Callable[[Asked], Turn]


class ProviderServer:
    """Serves until it is left; `asked` and `paid` grow meanwhile, in the order of arrival."""

    def __init__(
        self,
        turns: Iterable[Turn] | Script = (),
        *,
        key: str | None = None,
        certificate: str | None = None,
        knows_less: bool = False,
        port: int = 0,
    ) -> None:
        """`turns` are taken one a request, then the usual one; without a `key` none is asked.

        One that `knows_less` of the API refuses a schema, and whatever some servers lack.
        """
        self.asked: list[Asked] = []
        self.paid: dict[str, Paid] = {}
        self.requests = 0
        """All of them, those that are no API's included."""
        self.connections = 0
        self._script = turns if callable(turns) else _in_order(iter(turns))
        self._key = key
        self._knows_less = knows_less
        self._certificate = certificate
        self._port = port
        self._cached: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def url(self, name: Format) -> str:
        """What `--base-url` is to be."""
        scheme = "https" if self._certificate else "http"
        path = "/v1" if name == "openai" else ""
        return f"{scheme}://127.0.0.1:{self._port}{path}"

    @property
    def port(self) -> int:
        return self._port

    def __enter__(self) -> "ProviderServer":
        self._thread.start()
        self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(10)

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._listening())
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _listening(self) -> None:
        secure = None
        if self._certificate:
            secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            secure.load_cert_chain(self._certificate)
        server = await asyncio.start_server(
            self._connected, "127.0.0.1", self._port, ssl=secure, limit=1 << 24, backlog=512
        )
        self._port = server.sockets[0].getsockname()[1]
        self._up.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(*_GONE):
                while await self._answered(reader, writer):
                    continue
        finally:
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open for another request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        _, path, _ = head[0].split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests += 1
        if path == "/_paid":
            await _send(writer, 200, msgspec.json.encode(self.paid))
            return True
        name = formats.spoken(path)
        if name is None:
            await _send(writer, 404, b"<html><body><h1>Not here</h1></body></html>", "text/html")
            return True
        try:
            body = msgspec.json.decode(raw, type=dict[str, Any])
            asked = formats.read(
                name, len(self.asked) + 1, path, headers, body, knows_less=self._knows_less
            )
        except Refusal as refusal:
            said = error(name, refusal.error, refusal.status, None)
            await _send(writer, refusal.status, msgspec.json.encode(said))
            return True
        self.asked.append(asked)
        if self._key is not None and name != "ollama" and asked.key != self._key:
            return await self._refuse(writer, asked, Turn(status=401, error="key"))
        return await self._take_turn(writer, asked, self._script(asked))

    async def _take_turn(self, writer: asyncio.StreamWriter, asked: Asked, turn: Turn) -> bool:
        if turn.hangs == "before":
            await asyncio.get_running_loop().create_future()
        if turn.delay_s:
            await asyncio.sleep(turn.delay_s)
        if turn.status != 200 or (turn.body is not None and turn.content_type):
            return await self._refuse(writer, asked, turn)
        text = _text(asked, turn)
        request_id = f"req-{asked.format}-{asked.number}"
        paid = self._bill(asked, turn, text)
        self.paid[request_id] = paid
        if not turn.streams:
            whole = formats.whole(asked, turn, text, paid, request_id)
            await _send(writer, 200, msgspec.json.encode(whole))
            return True
        return await _streamed(writer, asked, turn, text, paid, request_id)

    async def _refuse(self, writer: asyncio.StreamWriter, asked: Asked, turn: Turn) -> bool:
        name = turn.error or USUAL.get(turn.status, "server")
        status = STATUS.get((asked.format, name), turn.status)
        body = turn.body
        if body is None:
            body = msgspec.json.encode(error(asked.format, name, status, asked.key))
        headers = {"x-request-id": f"req-refused-{asked.number}"} | turn.headers
        if turn.retry_after is not None:
            headers["retry-after"] = turn.retry_after
        await _send(writer, status, body, turn.content_type or "application/json", headers)
        return True

    def _bill(self, asked: Asked, turn: Turn, text: str) -> Paid:
        """The shared part comes from a cache from the second time on, where the API has one."""
        shared = asked.instructions + msgspec.json.encode(asked.schema).decode()
        prefix, rest = tokens(shared), tokens("".join(asked.turns))
        written_tokens = tokens(text) + turn.thought
        if asked.format == "ollama" or (asked.format == "anthropic" and not asked.marked_for_cache):
            return Paid(prefix + rest, written_tokens, model=asked.model)
        if f"{asked.format}/{shared}" in self._cached:
            return Paid(rest, written_tokens, cache_read=prefix, model=asked.model)
        self._cached.add(f"{asked.format}/{shared}")
        if asked.format == "anthropic":
            return Paid(rest, written_tokens, cache_write=prefix, model=asked.model)
        return Paid(prefix + rest, written_tokens, model=asked.model)


def _in_order(turns: Iterator[Turn]) -> Script:
    return lambda asked: next(turns, Turn())


def _text(asked: Asked, turn: Turn) -> str:
    if turn.text is not None:
        return turn.text
    found = persona(asked)
    return written(found if turn.edit is None else turn.edit(found))


async def _streamed(
    writer: asyncio.StreamWriter,
    asked: Asked,
    turn: Turn,
    text: str,
    paid: Paid,
    request_id: str,
) -> bool:
    kind = "application/x-ndjson" if asked.format == "ollama" else "text/event-stream"
    named = {} if asked.format in ("gemini", "ollama") else {"x-request-id": request_id}
    _head(writer, 200, kind, named | turn.headers | {"transfer-encoding": "chunked"})
    size = max(1, -(-len(text) // turn.pieces))
    pieces = [text[at : at + size] for at in range(0, len(text), size)] or [""]
    messages = formats.messages(asked, turn, pieces, paid, request_id)
    for sent, message in enumerate(messages):
        if sent == turn.cut_after:
            writer.transport.abort()
            return False
        if sent == turn.error_after:
            _chunk(writer, formats.stream_error(asked, turn))
            break
        if sent == turn.nonsense_after:
            _chunk(writer, formats.framed(asked.format, b'{"choices": ['))
        _chunk(writer, message)
        await writer.drain()
        if turn.gap_s:
            await asyncio.sleep(turn.gap_s)
    if turn.hangs == "after":
        await asyncio.get_running_loop().create_future()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    kind: str = "application/json",
    headers: dict[str, str] | None = None,
) -> None:
    _head(writer, status, kind, (headers or {}) | {"content-length": str(len(body))})
    writer.write(body)
    await writer.drain()


def _head(writer: asyncio.StreamWriter, status: int, kind: str, headers: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} .", f"content-type: {kind}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
