"""A runner's bookkeeping while the ledger is there, away, and another runner's."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import pytest
from persona.autostart import wait_until_released
from persona.client import Ledger
from persona.generation import facts
from persona.generation.books import Books
from persona.generation.standing import HoldLost, Standing
from persona.identity import persona_id

from personad.contract.admin import Stop
from personad.contract.batch import BatchShow, Cancel
from personad.contract.cost import StartCall
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent

from ..studio import Studio  # noqa: TID252

T = TypeVar("T")
ONE = persona_id("batch-a", 1)


def with_books(
    studio: Studio, work: Callable[[Books], Awaitable[T]], *, autostart: bool = True
) -> T:
    async def run() -> T:
        books = Books(studio.paths, "batch-a", "test", autostart=autostart)
        try:
            return await work(books)
        finally:
            books.close()

    return anyio.run(run)


def stop_daemon(studio: Studio) -> None:
    with Ledger(studio.paths, autostart=False) as ledger:
        ledger.ask(Stop())
    assert wait_until_released(studio.paths, 10)


def call_of(batch: str = "batch-a") -> StartCall:
    return StartCall(
        call="call-1",
        provider="simulated",
        model="simulated-1",
        max_input_tokens=1,
        max_output_tokens=1,
        batch=batch,
        persona=ONE,
        attempt=1,
    )


def test_what_is_recorded_while_the_daemon_is_away_is_spooled_and_settles(studio: Studio) -> None:
    started = studio.record(count=1)

    async def work(books: Books) -> tuple[bool, bool, bool]:
        await books.claim()
        first = await books.record([facts.generating(started, ONE, 1)])
        stop_daemon(studio)
        away = await books.record([facts.validating(started, ONE, 1)])
        with Ledger(studio.paths) as ledger:
            ledger.ask(BatchShow(batch="batch-a"))
        await books.settle()
        return first, away, await books.record([facts.generating(started, ONE, 2)])

    assert with_books(studio, work, autostart=False) == (True, False, True)
    kinds = [type(event).__name__ for event in studio.events("batch-a")][-3:]
    assert kinds == ["PersonaGenerating", "PersonaValidating", "PersonaGenerating"]
    assert not os.listdir(studio.paths.spool_dir)


def test_what_waits_for_one_line_is_recorded_together_and_fails_alone(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.record(count=1)
    appended: list[int] = []
    done: list[int] = []
    failed: list[int] = []
    append = Ledger.append

    def counted(self: Ledger, events: Any, **about: Any) -> Any:
        appended.append(len(events))
        return append(self, events, **about)

    async def one(books: Books, number: int) -> None:
        def made() -> list[AnyEvent]:
            if number == 2:
                raise OSError(28, "full")
            return [facts.not_sent(f"call-{number}", "" if number == 3 else "stopped")]

        try:
            await books.record(made, then=lambda: done.append(number))
        except (OSError, LedgerError):
            failed.append(number)

    async def work(books: Books) -> None:
        await books.claim()
        monkeypatch.setattr(Ledger, "append", counted)
        for numbers in (range(6), range(6, 9)):
            async with anyio.create_task_group() as group:
                for number in numbers:
                    group.start_soon(one, books, number)

    with_books(studio, work)

    # Refused together, they are recorded one by one; an empty reason is none that the ledger takes.
    assert appended == [5, 1, 1, 1, 1, 1, 3]
    assert (sorted(done), sorted(failed)) == ([0, 1, 4, 5, 6, 7, 8], [2, 3])


def test_a_daemon_that_is_away_for_too_long_is_said_to_be(studio: Studio) -> None:
    studio.record(count=1)
    stop_daemon(studio)

    with pytest.raises(LedgerError, match="no personad answers") as away:
        with_books(
            studio,
            lambda books: books.ask(BatchShow(batch="batch-a"), patience_s=0),
            autostart=False,
        )

    assert away.value.code == "unavailable"


def test_a_call_waits_for_the_daemon_to_come_back(studio: Studio) -> None:
    studio.record(count=1)

    async def work(books: Books) -> None:
        await books.claim()
        stop_daemon(studio)
        async with anyio.create_task_group() as both:
            both.start_soon(asked, books)
            await anyio.to_thread.run_sync(lambda: studio.state("batch-a"))

    async def asked(books: Books) -> None:
        await books.start_call(call_of(), about=1)

    with_books(studio, work, autostart=False)

    assert len(studio.events("batch-a", "call.started")) == 1


def test_a_grant_that_got_lost_with_its_daemon_is_asked_for_again(studio: Studio) -> None:
    """Over a connection that stands: the daemon stops with the question in hand, or before it."""
    studio.record(count=1)

    async def work(books: Books) -> None:
        await books.claim()
        await books.start_call(call_of(), about=1)
        stop_daemon(studio)
        await books.start_call(call_of(), about=1)

    with_books(studio, work)

    assert len(studio.events("batch-a", "call.started")) == 1


def test_no_call_starts_without_the_batch(studio: Studio) -> None:
    studio.record(count=1)

    async def work(books: Books) -> None:
        await books.claim()
        studio.ledger.ask(Cancel(batch="batch-a"))
        await books.start_call(call_of(), about=1)

    with pytest.raises(HoldLost):
        with_books(studio, work)


def test_a_refusal_that_is_not_about_the_hold_is_an_error(studio: Studio) -> None:
    studio.record(count=1)

    async def work(books: Books) -> None:
        await books.claim()
        await books.start_call(call_of("batch-none"), about=1)

    with pytest.raises(LedgerError) as refused:
        with_books(studio, work)

    assert refused.value.code == "not-found"


def test_a_fact_is_kept_when_the_hold_is_lost_and_the_loss_is_told(studio: Studio) -> None:
    started = studio.record(count=1)

    async def work(books: Books) -> None:
        await books.claim()
        studio.ledger.ask(Cancel(batch="batch-a"))
        await books.record([facts.not_sent("call-1", "stopped")], held=False)
        await books.record([facts.generating(started, ONE, 1)])

    with pytest.raises(HoldLost):
        with_books(studio, work)

    assert len(studio.events("batch-a", "persona.generating")) == 1


def test_events_that_are_wrong_are_refused_and_not_kept_for_later(studio: Studio) -> None:
    started = studio.record(count=1)

    async def work(books: Books) -> None:
        await books.claim()
        await books.record([facts.generating(started, "", 1)])

    with pytest.raises(LedgerError) as refused:
        with_books(studio, work)

    assert refused.value.code == "invalid"


def test_a_rest_is_as_long_as_asked_for() -> None:
    anyio.run(Standing().rest, 0)


def test_a_rest_ends_when_nothing_more_is_to_be_started() -> None:
    async def work() -> None:
        standing = Standing()
        async with anyio.create_task_group() as both:
            both.start_soon(until_lost, standing)
            await anyio.lowlevel.checkpoint()
            standing.now_is("running")
            standing.now_is("pausing")

    async def until_lost(standing: Standing) -> None:
        with pytest.raises(HoldLost, match="pausing"):
            await standing.rest(3_600)

    anyio.run(work)


@pytest.mark.parametrize(
    ("status", "going_on", "at_once"),
    [
        ("queued", True, False),
        ("running", True, False),
        ("pausing", False, False),
        ("paused", False, False),
        ("interrupted", False, False),
        ("cancelled", False, True),
        ("completed", False, True),
    ],
)
def test_what_each_status_asks_of_a_runner(status: str, going_on: bool, at_once: bool) -> None:
    standing = Standing()

    standing.now_is(status)  # type: ignore[arg-type]

    assert (standing.going_on, standing.at_once) == (going_on, at_once)


def test_a_lost_hold_stops_at_once_whatever_the_status() -> None:
    standing = Standing()

    standing.lose_hold()

    assert (standing.going_on, standing.at_once) == (False, True)


@pytest.mark.parametrize(
    ("status", "may_send"), [("running", True), ("pausing", True), ("interrupted", False)]
)
def test_what_was_granted_is_sent_while_the_batch_is_ours(status: str, may_send: bool) -> None:
    standing = Standing()

    standing.now_is(status)  # type: ignore[arg-type]

    assert standing.may_send is may_send


@pytest.mark.parametrize("status", ["queued", "running", "pausing"])
def test_one_that_was_interrupted_goes_on_by_another_runner(status: str) -> None:
    standing = Standing()
    standing.now_is("running")
    standing.now_is("interrupted")

    standing.now_is(status)  # type: ignore[arg-type]

    assert (standing.going_on, standing.at_once, standing.may_send) == (False, True, False)
