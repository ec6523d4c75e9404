"""An answer that is gathered: seldom read, never late at its end, and nothing of it lost."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpcore2
import pytest
from persona.generation.providers import sockets
from persona.generation.providers.sockets import GATHER_S, Stream

from ..provider_server import KEY, ProviderServer, Turn  # noqa: TID252
from ..provider_server.scripts import FORMATS, Format  # noqa: TID252
from .test_hosted import as_usage, call, failing

CERTIFICATE = str(Path(__file__).parents[1] / "data" / "loopback.pem")
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
HUGE = 1_000.0
everywhere = pytest.mark.parametrize("name", FORMATS)
Work = Callable[[Stream, "Peer"], Awaitable[None]]


class Clock:
    """A loop whose time passes when it is told to."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 50.0
        self._timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self._now

    def create_future(self) -> "asyncio.Future[None]":
        return self._loop.create_future()

    def call_at(self, when: float, do: Callable[[], None]) -> asyncio.TimerHandle:
        self._timers.append(asyncio.TimerHandle(when, do, (), self._loop))
        return self._timers[-1]

    def passes(self, seconds: float) -> None:
        until = self._now + seconds
        while due := [each for each in self._timers if each.when() <= until]:
            first = min(due, key=asyncio.TimerHandle.when)
            self._timers.remove(first)
            self._now = max(self._now, first.when())
            if not first.cancelled():
                first._run()
        self._now = until


class Peer:
    """The other end of a stream, which holds no socket: what it says has arrived."""

    def __init__(self, stream: Stream) -> None:
        self.clock = Clock()
        stream._loop = self.clock  # type: ignore[assignment]
        stream.connection_made(self)  # type: ignore[arg-type]
        self._stream = stream
        self.is_paused = False

    def says(self, *parts: bytes) -> None:
        """A chunk each."""
        self.sends(b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts))

    def sends(self, data: bytes) -> None:
        self._stream.data_received(data)

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        """Nobody looks at what was asked."""


class Reading:
    """Somebody who reads."""

    def __init__(self, stream: Stream, timeout_s: float = 60.0, max_bytes: int = 1 << 16) -> None:
        self._task = asyncio.ensure_future(stream.read(max_bytes, timeout=timeout_s))

    async def is_waiting(self) -> bool:
        for _ in range(3):
            await asyncio.sleep(0)
        return not self._task.done()

    async def found(self) -> bytes:
        assert not await self.is_waiting()
        return self._task.result()

    async def drop(self) -> None:
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task


def with_peer(work: Work, head: bytes = HEAD) -> None:
    """As `work` says, from the first piece of an answer on, which is to be gathered."""

    async def both() -> None:
        stream = Stream()
        peer = Peer(stream)
        await stream.write(b"POST")
        peer.sends(head)
        assert await stream.read(1 << 16, timeout=60) == head
        stream.gather()
        await work(stream, peer)

    asyncio.run(both())


def test_what_comes_in_a_while_is_read_at_once_and_as_one_chunk() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream)
        for part in (b"ab", b"cd", b"e"):
            peer.says(part)
            assert await reading.is_waiting()
        peer.clock.passes(GATHER_S)
        assert await reading.found() == b"5\r\nabcde\r\n"

        reading = Reading(stream)
        peer.says(b"f")
        assert await reading.is_waiting()
        peer.clock.passes(GATHER_S)
        assert await reading.found() == b"1\r\nf\r\n"

    with_peer(work)


def test_what_comes_after_a_silence_is_read_at_once() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        for part in (b"a", b"b", b"c"):
            reading = Reading(stream)
            peer.clock.passes(GATHER_S)
            assert await reading.is_waiting()
            peer.says(part)
            assert await reading.found() == b"1\r\n" + part + b"\r\n"

    with_peer(work)


@pytest.mark.parametrize("cut", range(1, len(b"1\r\nb\r\n0\r\n\r\n") + 1))
def test_the_end_of_the_body_is_read_at_once_wherever_it_was_cut(cut: int) -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        peer.says(b"a")
        last = b"1\r\nb\r\n0\r\n\r\n"
        reading = Reading(stream)
        if last[:-cut]:
            peer.sends(last[:-cut])
            assert await reading.is_waiting()
        peer.sends(last[-cut:])
        assert await reading.found() == b"2\r\nab\r\n0\r\n\r\n"

    with_peer(work)


def test_the_end_is_read_at_once_where_what_came_before_it_was_read_already() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        peer.says(b"a")
        peer.clock.passes(GATHER_S)
        assert await stream.read(1 << 16) == b"1\r\na\r\n"
        reading = Reading(stream)
        peer.sends(b"0\r\n")
        assert await reading.is_waiting()
        peer.sends(b"\r\n")
        assert await reading.found() == b"0\r\n\r\n"

    with_peer(work)


def test_half_a_chunk_waits_for_its_other_half() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream)
        peer.sends(b"1\r\na\r\n4\r\nbc")
        peer.clock.passes(GATHER_S)
        assert await reading.found() == b"1\r\na\r\n"
        reading = Reading(stream)
        peer.clock.passes(2 * GATHER_S)
        assert await reading.is_waiting()
        peer.sends(b"de\r\n")
        assert await reading.found() == b"4\r\nbcde\r\n"

    with_peer(work)


@pytest.mark.parametrize("half", [b"4\r\nbc", b"4\r", b""])
def test_a_connection_that_ends_gives_all_that_came(half: bytes) -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream)
        peer.sends(b"1\r\na\r\n1\r\nb\r\n" + half)
        assert await reading.is_waiting()
        stream.eof_received()
        assert await reading.found() == b"1\r\na\r\n1\r\nb\r\n" + half
        assert await stream.read(10) == b""

    with_peer(work)


def test_a_connection_that_breaks_gives_all_that_came_and_then_the_error() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream)
        peer.says(b"a")
        stream.connection_lost(ConnectionResetError("reset"))
        assert await reading.found() == b"1\r\na\r\n"
        with pytest.raises(httpcore2.ReadError, match="reset"):
            await stream.read(10)

    with_peer(work)


def test_the_time_for_a_read_counts_from_the_last_byte_that_came() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream, timeout_s=10.0)
        peer.clock.passes(0.1)
        peer.says(b"a")
        peer.clock.passes(GATHER_S - 0.1)
        assert await reading.found() == b"1\r\na\r\n"

        reading = Reading(stream, timeout_s=10.0)
        await reading.is_waiting()
        peer.clock.passes(10.0 - (GATHER_S - 0.1) - 0.01)
        assert await reading.is_waiting()
        peer.clock.passes(0.02)
        with pytest.raises(httpcore2.ReadTimeout):
            await reading.found()

    with_peer(work)


def test_half_a_chunk_is_something_that_came() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream, timeout_s=10.0)
        for half in (b"3\r\n", b"a", b"b"):
            await reading.is_waiting()
            peer.clock.passes(9.0)
            peer.sends(half)
            assert await reading.is_waiting()
        peer.clock.passes(9.9)
        assert await reading.is_waiting()
        peer.clock.passes(0.2)
        with pytest.raises(httpcore2.ReadTimeout):
            await reading.found()

    with_peer(work)


def test_a_time_shorter_than_what_is_gathered_in_loses_nothing() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream, timeout_s=GATHER_S / 5)
        await reading.is_waiting()
        peer.clock.passes(GATHER_S / 10)
        peer.says(b"a")
        peer.clock.passes(GATHER_S / 4)
        assert await reading.found() == b"1\r\na\r\n"
        reading = Reading(stream, timeout_s=GATHER_S / 5)
        await reading.is_waiting()
        peer.clock.passes(GATHER_S / 4)
        with pytest.raises(httpcore2.ReadTimeout):
            await reading.found()

    with_peer(work)


def test_who_no_longer_waits_can_read_what_came_later() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream)
        peer.says(b"a")
        await reading.is_waiting()
        await reading.drop()
        peer.says(b"b")
        peer.clock.passes(2 * GATHER_S)
        assert await Reading(stream).found() == b"2\r\nab\r\n"

    with_peer(work)


def test_more_than_is_gathered_is_read_at_once_and_in_parts() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        sent = bytes(range(256)) * 1_600
        peer.says(sent)
        assert peer.is_paused
        found = b""
        while len(found) < len(sent) + len(b"64000\r\n\r\n"):
            found += await Reading(stream, max_bytes=1 << 14).found()
        assert found == b"64000\r\n" + sent + b"\r\n"
        assert not peer.is_paused

    with_peer(work)


def test_what_is_no_plain_chunk_is_read_as_it_came() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        strange = b"1;a=b\r\nc\r\n1\r\nd\r\n1\r\ne\r\n"
        peer.says(b"a", b"b")
        peer.sends(strange)
        peer.clock.passes(GATHER_S)
        assert await Reading(stream).found() == b"2\r\nab\r\n" + strange
        peer.says(b"f", b"g")
        peer.clock.passes(GATHER_S)
        assert await Reading(stream).found() == b"1\r\nf\r\n1\r\ng\r\n"

    with_peer(work)


def test_a_body_without_chunks_is_gathered_as_it_came() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        reading = Reading(stream)
        peer.sends(b"1\r\na\r\n")
        assert await reading.is_waiting()
        peer.sends(b"1\r\n")
        peer.clock.passes(GATHER_S)
        assert await reading.found() == b"1\r\na\r\n1\r\n"

    with_peer(work, LENGTH)


def test_the_next_answer_is_not_gathered_until_that_is_wanted() -> None:
    async def work(stream: Stream, peer: Peer) -> None:
        peer.says(b"a")
        peer.sends(b"0\r\n\r\n")
        assert await Reading(stream).found() == b"1\r\na\r\n0\r\n\r\n"
        await stream.write(b"POST")
        for piece in (HEAD, b"1\r\na\r\n", b"1\r\nb\r\n"):
            reading = Reading(stream)
            peer.sends(piece)
            assert await reading.found() == piece
        stream.gather()
        reading = Reading(stream)
        peer.says(b"c", b"d")
        assert await reading.is_waiting()
        peer.clock.passes(GATHER_S)
        assert await reading.found() == b"2\r\ncd\r\n"

    with_peer(work)


@everywhere
def test_a_call_ends_with_its_answer_however_long_is_gathered(
    name: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "GATHER_S", HUGE)
    with ProviderServer([Turn(pieces=20, gap_s=0.002)] * 2, key=KEY) as server:
        response = call(server, name, times=2)

    assert response.ending == "whole"
    assert response.usage == as_usage([*server.paid.values()][-1])
    assert server.connections == 1


@everywhere
def test_over_tls_too(name: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "GATHER_S", HUGE)
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    turns = [Turn(pieces=20, gap_s=0.002)] * 2
    with ProviderServer(turns, certificate=CERTIFICATE, key=KEY) as server:
        assert call(server, name, times=2).ending == "whole"


@everywhere
def test_an_answer_that_is_cut_off_is_told_at_once(
    name: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "GATHER_S", HUGE)
    with ProviderServer([Turn(cut_after=4)]) as server:
        error = failing(server, name)

    assert (error.kind, error.maybe_paid) == ("connection", True)
    assert "broke" in error.message
