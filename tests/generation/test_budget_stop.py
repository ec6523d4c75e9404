"""What a runner does where the ledger says wait, or no more; only who says so is a stand-in."""

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import anyio
import pytest
from persona.client import Ledger
from persona.generation import books, facts
from persona.generation.books import Books
from persona.generation.runner import Runner

from personad.contract.batch import BatchState
from personad.contract.cost import Granted, Refused, StartCall, Wait
from personad.contract.options import DEFAULTS

from ..studio import Studio  # noqa: TID252
from .test_books import call_of, with_books

GRANTED, WAIT = Granted(reserved_nanousd=1), Wait()
REFUSED = Refused(
    budget="monthly",
    spent_nanousd=9_000_000_000,
    reserved_nanousd=500_000_000,
    limit_nanousd=10_000_000_000,
    unresolved_nanousd=100_000_000,
    maximum_nanousd=800_000_000,
)


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the ledger says to `start-call`, in turn; then that it grants."""
    said: list[Any] = []
    turn: Iterator[Any] | None = None
    ask = Ledger.ask

    def stood_in(self: Ledger, request: Any, **about: Any) -> Any:
        nonlocal turn
        if not isinstance(request, StartCall):
            return ask(self, request, **about)
        turn = turn or chain(said, repeat(GRANTED))
        reply = next(turn)
        return ask(self, request, **about) if reply is GRANTED else reply

    monkeypatch.setattr(Ledger, "ask", stood_in)
    monkeypatch.setattr(Ledger, "begin", lambda self, request: None)
    return said


def run(studio: Studio, monkeypatch: pytest.MonkeyPatch, **environ: str) -> BatchState:
    monkeypatch.setenv("PERSONA_SIMULATED_LATENCY_MS", "20")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    anyio.run(Runner(studio.paths, DEFAULTS, "batch-a", tied=False).run)
    return studio.state("batch-a")


def test_a_call_that_has_to_wait_asks_again_as_soon_as_another_was_billed(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, replies: list[Any]
) -> None:
    studio.record(count=1)
    replies += [WAIT]
    monkeypatch.setattr(books, "WAIT_MIN_S", 3_600.0)
    told: list[bool] = []

    async def waits(does: bool) -> None:
        told.append(does)

    async def work(ledger: Books) -> None:
        await ledger.claim()
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await ledger.start_call(call_of(), about=1, waits=waits)

            group.start_soon(ask)
            while not told:
                await anyio.sleep(0)
            assert told == [True]
            await ledger.record([facts.not_sent("call-0", "stopped")])

    with_books(studio, work)

    assert told == [True, False]


def test_a_call_that_has_to_wait_asks_again_by_itself_ever_more_seldom(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, replies: list[Any]
) -> None:
    studio.record(count=1)
    replies += [WAIT] * 4
    monkeypatch.setattr(books, "WAIT_MIN_S", 0.001)
    slept: list[float] = []
    after = anyio.move_on_after

    def noted(seconds: float) -> anyio.CancelScope:
        slept.append(seconds)
        return after(seconds)

    async def work(ledger: Books) -> None:
        await ledger.claim()
        monkeypatch.setattr(books.anyio, "move_on_after", noted)
        await ledger.start_call(call_of(), about=1)

    with_books(studio, work)

    assert slept == [0.001, 0.002, 0.004, 0.008]


def test_while_calls_wait_for_money_the_batch_says_so(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, replies: list[Any]
) -> None:
    studio.record(count=2, concurrency=2)
    replies += [GRANTED, WAIT]
    monkeypatch.setattr(books, "WAIT_MIN_S", 3_600.0)

    state = run(studio, monkeypatch)

    assert state.status == "completed"
    held = [event.reason for event in studio.events("batch-a", "batch.held")]
    assert held == ["budget", None]


def test_a_refused_call_pauses_once_what_is_in_flight_is_finished(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, replies: list[Any]
) -> None:
    studio.record(count=6, concurrency=2)
    replies += [GRANTED, GRANTED, *[REFUSED] * 4]

    state = run(studio, monkeypatch)

    assert (state.status, state.reason, state.counts.completed) == ("paused", "budget", 2)
    assert len(studio.events("batch-a", "call.started")) == 2
    said = studio.persona("batch", "show", "batch-a").stderr.splitlines()
    assert said == [
        "the next call may cost $0.80, more than is left of the monthly budget of $10.00: "
        "$9.00 is spent, $0.60 reserved or unresolved",
        "raise the budget, then go on with `persona generate --resume batch-a`",
    ]


def test_a_budget_below_what_one_call_may_cost_stops_before_the_first(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, replies: list[Any]
) -> None:
    studio.record(count=3, concurrency=1)
    refused = Refused(
        budget="batch:batch-a",
        spent_nanousd=0,
        reserved_nanousd=0,
        limit_nanousd=1_000,
        maximum_nanousd=2_000,
    )
    replies += [refused] * 3

    state = run(studio, monkeypatch)

    assert (state.status, state.reason) == ("paused", "budget")
    assert not studio.events("batch-a", "call.started")
    said = studio.persona("batch", "wait", "batch-a")
    assert said.returncode == 75
    assert said.stderr.splitlines()[0] == (
        "one call may cost $0.000002, more than all of the batch's own budget of $0.000001"
    )


@pytest.mark.parametrize("kind", ["authentication", "quota_exhausted"])
def test_what_no_other_call_would_fare_better_with_pauses_the_batch_and_fails_nobody(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    studio.record(count=6, concurrency=2)

    state = run(studio, monkeypatch, PERSONA_SIMULATED_ERRORS=f"3={kind}")

    assert (state.status, state.reason) == ("paused", kind.replace("_", " "))
    assert state.counts.failed == 0
    (paused,) = studio.events("batch-a", "batch.pausing")
    assert "simulated" in paused.message
