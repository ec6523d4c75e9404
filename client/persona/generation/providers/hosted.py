"""A provider behind a server: one call, streamed, by whichever wire format.

Nothing here, nor in the adapters, imports the HTTP library: only a runner that calls needs it.
"""

import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio
import msgspec

from persona.generation.providers import refusals
from persona.generation.providers.address import address
from persona.generation.providers.base import (
    GenerationRequest,
    Progress,
    ProviderError,
    ProviderSettings,
    Response,
    draft_from_json,
)
from persona.generation.providers.framing import Framer
from persona.generation.providers.hearing import (
    STREAM_BYTES_MAX,
    Api,
    Heard,
    Part,
    declined,
    encoded,
)
from persona.generation.providers.keys import Key, KeyProblem, find_key
from persona.generation.providers.models import known_models

if TYPE_CHECKING:
    from persona.generation.providers.transport import Reply, Transport

_BROKEN = ("connection", "timeout")
_REFUSAL_BYTES = 64 << 10
"""How much of an error is read."""
_FAREWELL_S = 0.5
"""How long a server may take to end a stream in which it has said that nothing more comes."""


class HostedProvider:
    """Calls one server by one API; its connections are opened with the first call."""

    parse = staticmethod(draft_from_json)

    def __init__(self, api: Api, settings: ProviderSettings) -> None:
        """Raises AddressError, and KeyProblem where calls are to follow and a key is missing."""
        self.name = api.name
        self.models: tuple[str, ...] = known_models(api.name)
        self._api = api
        self._is_home = settings.base_url is None
        self._address = address(api.home if settings.base_url is None else settings.base_url)
        self._environment = settings.environment
        self._transport: Transport | None = None
        self._without: frozenset[Part] = frozenset()
        """What the server does not take."""
        if settings.for_calls:
            self._key()

    async def generate(
        self, request: GenerationRequest, on_progress: Progress | None = None
    ) -> Response:
        """Make one call. Raises ProviderError, without the key in its message."""
        try:
            key = self._key()
        except KeyProblem as error:
            raise ProviderError("authentication", str(error)) from None
        while True:
            without = self._without
            try:
                return await self._call(request, key, without, on_progress)
            except ProviderError as error:
                told = error if key is None else _keyless(key, error)
            # A server that speaks the API may know less of it: such a refusal costs nothing.
            parts = declined(told.message) if told.kind == "bad_request" else frozenset()
            if parts <= without:
                raise told
            self._without |= parts

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    async def _call(
        self,
        request: GenerationRequest,
        key: Key | None,
        without: frozenset[Part],
        on_progress: Progress | None,
    ) -> Response:
        server = self._server(request, key)
        post = self._api.post(request, self._address, without)
        headers = {"content-type": "application/json", **self._api.extra_headers}
        if key is not None and self._address.may_see_key:
            headers |= self._api.headers(key.value, self._address)
        began = time.monotonic()
        transport = self._opened()
        body = encoded(post.body)
        async with transport.post(post.url, headers, body, request.timeout_s) as reply:
            if reply.status != 200:
                said = await reply.beginning(_REFUSAL_BYTES)
                raise refusals.refused(server, reply.status, reply.headers, said)
            heard = await self._listen(reply, server, on_progress)
            request_id = refusals.request_id(reply.headers) or heard.request_id
        usage = heard.usage(request)
        if on_progress is not None:
            on_progress(usage.output_tokens)
        ttft_ms = None if heard.first_at is None else (heard.first_at - began) * 1_000
        text = heard.text.encode("utf-8", "replace")
        named = server.keyless(request_id) if request_id else None
        return Response(text, usage, named, ttft_ms, heard.ended)

    async def _listen(
        self, reply: "Reply", server: refusals.Server, on_progress: Progress | None
    ) -> Heard:
        """All of the answer. Raises ProviderError."""
        kind = reply.headers.get("content-type", "")
        if kind.startswith("text/html"):
            said = f"{server.host} sent a web page instead of an answer; is --base-url right?"
            raise ProviderError("bad_request", said)
        heard = Heard()
        try:
            if self._api.framing == "events" and kind.startswith("application/json"):
                self._hear([await _document(reply, server)], heard, server)
            else:
                await self._stream(reply, heard, server, on_progress)
        except ProviderError as broken:
            # What is complete but for its figures is an answer all the same.
            if heard.ending is None or heard.error is not None or broken.kind not in _BROKEN:
                raise
        if heard.ending is None:
            raise _cut_short(server, heard)
        return heard

    async def _stream(
        self,
        reply: "Reply",
        heard: Heard,
        server: refusals.Server,
        on_progress: Progress | None,
    ) -> None:
        """Hears the answer as it comes. Raises ProviderError."""
        framer, size, shown = Framer(events=self._api.framing == "events"), 0, 0
        async with aclosing(reply.chunks()) as chunks:
            async for data in chunks:
                size += len(data)
                if size > STREAM_BYTES_MAX:
                    raise _endless(server, size)
                self._hear(framer.feed(data), heard, server)
                if on_progress is not None and (tokens := heard.tokens) != shown:
                    shown = tokens
                    on_progress(tokens)
                if heard.done:
                    break
                if heard.first_at is not None:
                    reply.gather()
            else:
                self._hear(framer.end(), heard, server)
                return
            # A connection is used again only once its answer was read to the end.
            with anyio.move_on_after(_FAREWELL_S):
                async for _ in chunks:
                    continue

    def _hear(self, messages: list[bytes], heard: Heard, server: refusals.Server) -> None:
        for message in messages:
            try:
                self._api.hear(message, heard)
            except (msgspec.DecodeError, RecursionError):
                raise ProviderError(
                    "invalid_output",
                    f"{server.host} sent something that is no part of an answer by the API of "
                    f"{self.name}; is --base-url right?",
                    maybe_paid=True,
                ) from None
            if heard.error is not None:
                raise refusals.broken_off(server, heard.error, maybe_paid=heard.begun)

    def _opened(self) -> "Transport":
        if self._transport is None:
            from persona.generation.providers.transport import Transport

            self._transport = Transport(self._address)
        return self._transport

    def _key(self) -> Key | None:
        """Raises KeyProblem where there is none and the provider's own server needs one."""
        if not self._api.keys:
            return None
        key = find_key(self._api.keys, self._environment)
        if key is None and self._is_home:
            name = self._api.keys[0]
            raise KeyProblem(
                f"{self.name} needs a key: set {name}, or {name}_FILE to a file that only you read"
            )
        return key

    def _server(self, request: GenerationRequest, key: Key | None) -> refusals.Server:
        kept_back = key is not None and not self._address.may_see_key
        return refusals.Server(
            host=self._address.name,
            model=request.model,
            key_name=key.name if key is not None else next(iter(self._api.keys), None),
            has_key=key is not None,
            key_kept_back=kept_back,
            keyless=str if key is None else key.taken_out,
        )


def _keyless(key: Key, error: ProviderError) -> ProviderError:
    if key.value not in f"{error.message}\n{error.request_id}":
        return error
    return ProviderError(
        error.kind,
        key.taken_out(error.message),
        error.retry_after_s,
        maybe_paid=error.maybe_paid,
        request_id=key.taken_out(error.request_id or "") or None,
    )


async def _document(reply: "Reply", server: refusals.Server) -> bytes:
    """The whole answer of a server that does not stream."""
    parts, size = [], 0
    async with aclosing(reply.chunks()) as chunks:
        async for data in chunks:
            parts.append(data)
            size += len(data)
            if size > STREAM_BYTES_MAX:
                raise _endless(server, size)
    return b"".join(parts)


def _cut_short(server: refusals.Server, heard: Heard) -> ProviderError:
    when = f"after about {heard.tokens} tokens" if heard.tokens else "before the first token"
    said = f"{server.host} broke the answer off {when}"
    return ProviderError("connection", said, maybe_paid=True, request_id=heard.request_id)


def _endless(server: refusals.Server, size: int) -> ProviderError:
    said = f"{server.host} does not stop sending: {size >> 20} MiB and no end"
    return ProviderError("invalid_output", said, maybe_paid=True)
