"""What a runner waits for may never come: a daemon's answer, a plug-in's score."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from persona.client import Ledger
from persona.generation import books as bookkeeping
from persona.generation.books import Books
from persona.generation.making import make
from persona.generation.quality import plugins
from persona.generation.quality.plugins import Plugin
from persona.generation.responses import load
from persona.generation.shop import Piece, Shop

from ..studio import Studio  # noqa: TID252
from .test_books import call_of, with_books
from .test_making import GOOD, Scripted, Workshop
from .test_plugins import site

__all__ = ["site"]


class Relay:
    """Stands before a daemon's socket; of one answer, when told so, it lets only a part through."""

    def __init__(self, path: Path) -> None:
        self._real = path.with_name("real.sock")
        path.rename(self._real)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.fspath(path))
        self._listener.listen()
        self._path = path
        self._open: list[socket.socket] = []
        self.cut_next = False
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(os.fspath(self._real))
                self._open += [client, server]
                for ends in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if is_answer and self.cut_next:
                    self.cut_next = False
                    self.cuts += 1
                    to.sendall(data[: len(data) // 2])
                    return
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._real.rename(self._path)


@contextmanager
def relayed(studio: Studio) -> Iterator[Relay]:
    studio.ledger.close()
    relay = Relay(studio.paths.api_socket)
    try:
        yield relay
    finally:
        relay.close()


def test_a_grant_that_came_in_part_before_the_daemon_hung_is_asked_for_again(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.record(count=1)
    monkeypatch.setattr(bookkeeping, "ANSWER_S", 0.3)

    async def work(books: Books) -> float:
        await books.claim()
        await books.start_call(call_of(), about=0)
        relay.cut_next = True
        began = time.monotonic()
        cut = msgspec.structs.replace(call_of(), call="call-cut")
        after = msgspec.structs.replace(call_of(), call="call-after")
        async with anyio.create_task_group() as both:
            for call in (cut, after):
                both.start_soon(lambda call=call: books.start_call(call, about=0))
        return time.monotonic() - began

    with relayed(studio) as relay:
        took_s = with_books(studio, work)

    assert relay.cuts == 1
    assert 0.3 <= took_s < 20
    with Ledger(studio.paths) as ledger:
        started = [each.event for each in ledger.read_all(0, ["call.started"])]
    assert [each.call for each in started] == ["call-1", "call-cut", "call-after"]


def test_while_a_plug_in_hangs_the_response_is_safe_and_its_bill_waits_for_no_more_than_that(
    studio: Studio, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "ANSWER_S", 2.0)
    hanging = Plugin("hangs")
    monkeypatch.setattr(plugins, "_found", {"hangs": hanging})
    workshop = Workshop(studio, Scripted(lambda request: GOOD))
    meanwhile: list[Any] = []

    async def watched(shop: Shop, piece: Piece) -> bool:
        async def look() -> None:
            while not (saved := load(workshop.calls_dir).saved):
                await anyio.sleep(0.02)
            meanwhile.extend([saved, workshop.events("cost.recorded"), await shop.books.renew()])

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            return await make(shop, piece)

    try:
        assert workshop.make(then=watched)
    finally:
        hanging.stop()

    (saved,), before, status = meanwhile
    assert (saved.body, before, status) == (GOOD, [], "running")
    (cost,) = workshop.events("cost.recorded")
    assert (cost.call, cost.outcome) == (saved.call, "ok")
    (scored,) = workshop.events("quality.scored")
    assert "hangs" not in scored.scores
    assert len(workshop.events("persona.completed")) == 1
    assert not load(workshop.calls_dir).saved
