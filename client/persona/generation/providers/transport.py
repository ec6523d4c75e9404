"""HTTP, pooled and streamed: the only module that imports the library for it."""

import logging
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from persona.generation.cleaning import clean_line
from persona.generation.providers.address import Address
from persona.generation.providers.base import ErrorKind, ProviderError
from persona.generation.providers.sockets import DirectTransport, Stream

# A line a request would be most of a runner's log.
logging.getLogger("httpx2").setLevel(logging.WARNING)

_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "connection": "keep-alive",
    "user-agent": "persona",
}
CONNECT_S = 30.0
"""No server worth waiting for takes longer to say hello."""
_IDLE_S = 30.0
_NOTHING_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)


class Reply:
    """A server's answer, of which only the head has come."""

    def __init__(self, response: httpx2.Response, host: str) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._host = host

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises ProviderError."""
        try:
            async for data in self._body():
                yield data
        except httpx2.HTTPError as error:
            raise told(error, self._host) from None

    def _body(self) -> AsyncIterator[bytes]:
        """The library's own iterators cost more a piece than reading it, where nothing is coded."""
        response = self._response
        if "content-encoding" in response.headers or not isinstance(
            response.stream, httpx2.AsyncByteStream
        ):
            return response.aiter_bytes()
        return aiter(response.stream)

    def gather(self) -> None:
        """What comes from now on may be given together, a few times a second; its end is told at
        once."""
        stream = self._response.extensions.get("network_stream")
        if isinstance(stream, Stream):
            stream.gather()

    async def beginning(self, size: int) -> bytes:
        """The first `size` bytes of the body, or as many as come before it breaks off."""
        found = bytearray()
        try:
            async for data in self._response.aiter_bytes():
                found += data
                if len(found) >= size:
                    break
        except httpx2.HTTPError:
            # The status says what there is to say.
            return bytes(found[:size])
        return bytes(found[:size])


class Transport:
    """Connections to one server, directly or by the proxy that the environment names.

    Each call has a way of its own while it lasts, and the next one takes it over: one way's pool
    looks through all of its connections at every call, twice. Where no proxy may be asked, that is
    the library's transport alone: what its client does more for a call (cookies, redirects, other
    servers) is of no use here, and takes as long as sending.
    """

    def __init__(self, server: Address) -> None:
        """Raises ProviderError where the environment's proxy or certificates can't be used."""
        self._server = server
        self._urls: dict[str, httpx2.URL] = {}
        try:
            self._certificates = _certificates(server)
            self._idle = [self._way()]
        except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
            said = f"the proxy or certificates that the environment names can't be used: {error}"
            see = "; see HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
            raise ProviderError("bad_request", clean_line(said, 300) + see) from None

    def _way(self) -> httpx2.AsyncClient | DirectTransport:
        # On loopback no proxy is asked: it would see the key, and stand elsewhere.
        trust_env = not self._server.is_loopback
        limits = httpx2.Limits(
            max_connections=None, max_keepalive_connections=1, keepalive_expiry=_IDLE_S
        )
        if not (trust_env and getproxies()):
            return DirectTransport(self._certificates, limits)
        return httpx2.AsyncClient(
            trust_env=trust_env, verify=self._certificates, limits=limits, follow_redirects=False
        )

    @asynccontextmanager
    async def post(
        self, url: str, headers: dict[str, str], body: bytes, timeout_s: float
    ) -> AsyncIterator[Reply]:
        """Sends, and gives the reply as soon as its head is there. Raises ProviderError."""
        timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s), pool=None)
        way = self._idle.pop() if self._idle else self._way()
        try:
            request = httpx2.Request(
                "POST",
                self._url(url),
                headers=_HEADERS | headers,
                content=body,
                extensions={"timeout": timeout.as_dict()},
            )
            if isinstance(way, DirectTransport):
                response = await way.handle_async_request(request)
            else:
                response = await way.send(request, stream=True)
            try:
                yield Reply(response, self._server.name)
            finally:
                await response.aclose()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            by = None if isinstance(way, DirectTransport) else proxy_to(self._server)
            raise told(error, self._server.name, by) from None
        finally:
            self._idle.append(way)

    def _url(self, url: str) -> httpx2.URL:
        """The library takes its time to read one, and there are one or two. Raises InvalidURL."""
        if (read := self._urls.get(url)) is None:
            read = self._urls[url] = httpx2.URL(url)
        return read

    async def aclose(self) -> None:
        """Closes what no call holds; to be called when all have ended."""
        while self._idle:
            await self._idle.pop().aclose()


def proxy_to(server: Address) -> str | None:
    """The proxy that the environment names for this server, without its user and password."""
    proxies = getproxies()
    found = proxies.get(server.origin.partition("://")[0]) or proxies.get("all")
    if not found or proxy_bypass(server.host):
        return None
    return urlsplit(found if "://" in found else f"//{found}").netloc.rpartition("@")[2]


def told(
    error: httpx2.HTTPError | httpx2.InvalidURL, host: str, proxy: str | None = None
) -> ProviderError:
    """A transport's trouble in our words: what, where, and what to do."""
    sent = not isinstance(error, _NOTHING_SENT)
    certificate = next((each for each in _causes(error) if isinstance(each, ssl.SSLError)), None)
    kind: ErrorKind = "connection"
    match error:
        case httpx2.ConnectTimeout():
            by = f" by way of the proxy {proxy}" if proxy else ""
            kind, what = "timeout", f"{host} can't be reached in time{by}"
        case httpx2.TimeoutException():
            kind, what = "timeout", f"{host} did not answer in time"
        case httpx2.ProxyError():
            what = f"the proxy on the way to {host} refuses: {error}; see HTTPS_PROXY and NO_PROXY"
        case httpx2.ConnectError() if certificate is not None:
            what = (
                f"{host} can't be trusted: {certificate}; for a certificate authority of your own "
                "set SSL_CERT_FILE"
            )
        case httpx2.ConnectError() if proxy is not None:
            what = (
                f"{host} can't be reached by way of the proxy {proxy}: {_reason(error)}; see "
                "HTTPS_PROXY and NO_PROXY"
            )
        case httpx2.ConnectError():
            what = f"{host} can't be reached: {_reason(error)}; is the server running?"
        case httpx2.InvalidURL() | httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError():
            kind, what = "bad_request", f"{host} can't be asked that way: {error}"
        case _:
            what = f"the connection to {host} broke: {str(error) or type(error).__name__}"
    return ProviderError(kind, clean_line(what, 400), maybe_paid=sent)


def _certificates(server: Address) -> ssl.SSLContext | bool:
    """SSL_CERT_FILE holds on loopback too, where the client may not look at the environment."""
    if server.origin.startswith("http:"):
        return not server.is_loopback
    return httpx2.create_ssl_context(trust_env=True)


def _reason(error: BaseException) -> str:
    """The system's own words for it, where there are any behind the library's."""
    for cause in reversed([*_causes(error)]):
        match cause:
            case socket.gaierror():
                return f"no address is known for that name ({cause.strerror})"
            case OSError(errno=int(number)):
                return os.strerror(number).lower()
    return str(error) or "no connection"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, in order; of several at once, the first."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__
