"""A connection that answers are read from: nothing is lost, nothing waits for ever."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpcore2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from persona.generation.providers.sockets import Backend, Stream

from .test_gathering import Peer, Reading

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talk(serve: Serve, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async def both() -> Any:
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        stream = await Backend().connect_tcp("127.0.0.1", port, timeout=10)
        try:
            return await asyncio.wait_for(work(stream), 30)
        finally:
            await stream.aclose()
            server.close()

    return asyncio.run(both())


async def all_of(stream: Any, size: int) -> bytes:
    found = bytearray()
    while data := await stream.read(size, timeout=10):
        assert len(data) <= size
        found += data
    return bytes(found)


@pytest.mark.no_cover
@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.integers(1, 200))
def test_what_was_sent_in_pieces_is_read_whole_and_in_order(pieces: list[bytes], size: int) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    assert talk(serve, lambda stream: all_of(stream, size)) == b"".join(pieces)


def test_who_reads_slowly_has_the_other_side_wait_and_gets_all() -> None:
    sent, size = os.urandom(1 << 20), 24

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _n in range(size):
            writer.write(sent)
            await writer.drain()

    async def work(stream: Any) -> tuple[int, bytes]:
        while not stream._is_paused:
            await asyncio.sleep(0)
        held = len(stream._arrived)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(stream._arrived) == held
        return held, await all_of(stream, 1 << 16)

    held, found = talk(serve, work)
    assert held < 1 << 20
    assert found == sent * size


def test_what_does_not_come_in_time_is_told_and_what_comes_later_can_still_be_read() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(1):
            writer.write(asked)

    async def work(stream: Any) -> tuple[bytes, float]:
        found = b""
        for word in (b"a", b"b"):
            await stream.write(word, timeout=5)
            found += await stream.read(10, timeout=30)
        began = time.monotonic()
        with pytest.raises(httpcore2.ReadTimeout):
            await stream.read(10, timeout=0.2)
        took_s = time.monotonic() - began
        await stream.write(b"c", timeout=5)
        return found + await stream.read(10, timeout=30), took_s

    found, took_s = talk(serve, work)
    assert found == b"abc"
    assert took_s >= 0.19


def test_each_wait_has_its_own_time() -> None:
    async def work(stream: Any) -> None:
        clock = Peer(stream).clock
        for piece in (b"a", b"b"):
            reading = Reading(stream, timeout_s=1.0)
            await reading.is_waiting()
            clock.passes(0.6)
            stream.data_received(piece)
            assert await reading.found() == piece

    asyncio.run(_with(work))


def test_a_shorter_wait_after_a_longer_one_ends_in_its_own_time() -> None:
    async def work(stream: Any) -> None:
        clock = Peer(stream).clock
        reading = Reading(stream, timeout_s=60.0)
        await reading.is_waiting()
        stream.data_received(b"a")
        assert await reading.found() == b"a"
        reading = Reading(stream, timeout_s=1.0)
        await reading.is_waiting()
        clock.passes(0.9)
        assert await reading.is_waiting()
        clock.passes(0.2)
        with pytest.raises(httpcore2.ReadTimeout):
            await reading.found()

    asyncio.run(_with(work))


async def _with(work: Callable[[Any], Awaitable[None]]) -> None:
    await work(Stream())


def test_a_resting_connection_that_was_closed_says_so() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)

    async def work(stream: Any) -> tuple[bool, bool, bytes]:
        before = stream.get_extra_info("is_readable")
        await stream.write(b"x")
        last = await stream.read(10, timeout=10)
        return before, stream.get_extra_info("is_readable"), last

    assert talk(serve, work) == (False, True, b"")


def test_a_connection_that_breaks_is_an_error_for_who_reads_and_who_writes() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        # Closed with nothing more to be sent: the other side gets a reset.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def work(stream: Any) -> None:
        with pytest.raises(httpcore2.ReadError):
            await stream.read(10, timeout=10)
        with pytest.raises(httpcore2.WriteError):
            await stream.write(b"x")

    talk(serve, work)
