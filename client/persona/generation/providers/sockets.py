"""A connection that streams cheaply, for the HTTP library to read from.

The library's own one opens a cancel scope, sets a timer and has the kernel's list of watched
sockets changed twice for every piece of an answer: a third of what an answer of many small pieces
costs. Here a socket is read as long as it is open, and one timer is moved along. Who wants to may
have what comes gathered for a while: nobody sees a page grow by single words.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import anyio
import httpcore2
import httpx2

from persona.generation.providers.chunks import LAST, begins_chunk, merged

GATHER_S = 0.4
"""How long what comes is kept back at most, where it is to be gathered. Who watches is told twice a
second."""
_END = b"\r\n" + LAST
_FULL_BYTES = 1 << 18
"""A reader that is so far behind has the other side wait."""


class Stream(httpcore2.AsyncNetworkStream, asyncio.Protocol):
    """One open connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._arrived = b""
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._drained = asyncio.Event()
        self._drained.set()
        self._is_paused = False
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timeout_s: float | None = None
        self._answer: bytes | None = None
        """What was read since something was last written; None where it is of no more use."""
        self._gathers = False
        self._merges = False
        self._rest = b""
        """The beginning of a chunk, which is told once it is whole."""
        self._before = b""
        """The end of what was read."""
        self._came_at = 0.0
        self._next_at = 0.0
        """From when on a reader who has things gathered is woken by whatever comes."""
        self._holding: asyncio.TimerHandle | None = None

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived = self._arrived + data if self._arrived else bytes(data)
        if len(self._arrived) > _FULL_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        if self._gathers:
            self._came_at = self._loop.time()
            if not self._is_due():
                self._until = self._came_at + (self._timeout_s or 0.0)
                if self._holding is None:
                    self._holding = self._loop.call_at(self._next_at, self._show)
                return
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._error = True, exc
        for timer in (self._timer, self._holding):
            if timer is not None:
                timer.cancel()
        self._drained.set()
        self._wake()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    # What the library asks for

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        # What was gathered had come before, and with it the silence that follows.
        since = self._loop.time() - (GATHER_S if self._gathers else 0.0)
        while True:
            if not self._is_due():
                await self._more(timeout, since)
            data = self._taken(max_bytes)
            if data or self._ended:
                break
        if not data and self._error is not None:
            raise httpcore2.ReadError(str(self._error)) from self._error
        if self._is_paused and len(self._arrived) < _FULL_BYTES and not self._ended:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        # What comes next is another answer.
        self._gathers, self._answer = False, b""
        if self._transport.is_closing():
            raise httpcore2.WriteError("the connection is closed") from self._error
        self._transport.write(buffer)
        if not self._drained.is_set():
            try:
                with anyio.fail_after(timeout):
                    await self._drained.wait()
            except TimeoutError as error:
                raise httpcore2.WriteTimeout("not all was taken in time") from error
        if self._error is not None:
            raise httpcore2.WriteError(str(self._error)) from self._error

    async def aclose(self) -> None:
        self._transport.abort()
        await asyncio.sleep(0)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with anyio.fail_after(timeout):
                self._transport = await self._loop.start_tls(
                    self._transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            self._transport.abort()
            raise httpcore2.ConnectTimeout(str(error)) from error
        except OSError as error:
            self._transport.abort()
            raise httpcore2.ConnectError(str(error)) from error
        except BaseException:
            self._transport.abort()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # Asked of a connection that rests: whatever comes then is its end.
            return self._ended or bool(self._arrived)
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(names.get(info, info))

    def gather(self) -> None:
        """From now on, until something is written again: who reads is woken a few times a second,
        and at once where the body or the connection ends."""
        if self._gathers:
            return
        self._merges = self._answer is not None and begins_chunk(self._answer)
        self._gathers, self._answer = True, None
        self._came_at = self._next_at = self._loop.time()
        if not self._arrived:
            self._next_at += GATHER_S

    def _is_due(self) -> bool:
        """Whether there is something to be read now."""
        if self._ended or self._is_paused:
            return True
        if not self._gathers:
            return bool(self._arrived)
        if not self._arrived:
            return False
        end = self._arrived if len(self._arrived) >= len(_END) else self._before + self._arrived
        return end.endswith(_END) or self._loop.time() >= self._next_at

    def _taken(self, max_bytes: int) -> bytes:
        """What may be read of what has arrived; empty where nothing of it is whole."""
        data, self._arrived = self._arrived, b""
        if self._gathers:
            self._before = (self._before + data)[-len(_END) :]
            data, self._rest = self._merged(self._rest + data, max_bytes)
            self._next_at = self._loop.time() + GATHER_S
        elif self._answer is not None:
            self._answer = self._answer + data if len(self._answer) < _FULL_BYTES else None
        if len(data) > max_bytes:
            data, self._arrived = data[:max_bytes], data[max_bytes:]
            # What is left is nothing new.
            self._next_at = 0.0
        return data

    def _merged(self, data: bytes, max_bytes: int) -> tuple[bytes, bytes]:
        """The chunks of it as one, and what of it isn't whole. Once anything isn't plain, the
        answer is told as it comes."""
        if not self._merges or self._ended or len(data) > max_bytes:
            self._merges = False
            return data, b""
        found = merged(data)
        if found.is_plain and not found.is_last:
            return found.whole, found.rest
        self._merges = False
        return found.whole + found.rest, b""

    async def _more(self, timeout_s: float | None, since: float) -> None:
        """Returns when there is something to read, or an end."""
        self._timeout_s = timeout_s
        if timeout_s is not None:
            self._until = max(self._came_at, since) + timeout_s
            if self._timer is None or self._timer.when() > self._until:
                self._set_timer()
        self._reader = self._loop.create_future()
        try:
            await self._reader
        except TimeoutError as error:
            raise httpcore2.ReadTimeout("nothing came in time") from error
        finally:
            self._reader = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._until, self._look)

    def _look(self) -> None:
        """The timer's time has come; mostly, something was read meanwhile."""
        self._timer = None
        if self._reader is None or self._reader.done():
            return
        if self._loop.time() < self._until:
            self._set_timer()
        elif self._arrived:
            self._show()
        else:
            self._reader.set_exception(TimeoutError())

    def _show(self) -> None:
        """What was kept back may be read."""
        self._holding, self._next_at = None, 0.0
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Backend(httpcore2.AsyncNetworkBackend):
    """Connects as the library does, with its words for what goes wrong."""

    def __init__(self) -> None:
        self._theirs = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        theirs = await self._theirs.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            same = socket.socket(fileno=os.dup(theirs.get_extra_info("socket").fileno()))
        finally:
            # Only its end of it: the socket itself is not shut down.
            await theirs.aclose()
        try:
            same.setblocking(False)
            loop = asyncio.get_running_loop()
            _, stream = await loop.create_connection(Stream, sock=same)
        except BaseException:
            same.close()
            raise
        return stream

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class DirectTransport(httpx2.AsyncHTTPTransport):
    """The library's own transport, over such connections; for a server that no proxy stands
    before."""

    def __init__(self, verify: ssl.SSLContext | bool, limits: httpx2.Limits) -> None:
        super().__init__(verify=verify, limits=limits)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify if isinstance(verify, ssl.SSLContext) else None,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=Backend(),
        )
