"""What one persona's making does with answers that nobody would want; in this process."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from persona.client import Ledger
from persona.generation import books
from persona.generation.books import Books
from persona.generation.gate import Gate
from persona.generation.making import make
from persona.generation.model import Draft
from persona.generation.pace import Pace
from persona.generation.plan import Wanted, make_plan
from persona.generation.providers.base import (
    GenerationRequest,
    Progress,
    ProviderError,
    Response,
    Usage,
    draft_from_json,
)
from persona.generation.quality import Settings
from persona.generation.quality.crowd import Crowd
from persona.generation.responses import Responses, Saved, load
from persona.generation.retry import StoppedByProvider
from persona.generation.shop import Piece, Shop
from persona.generation.standing import HoldLost, Standing

from personad.contract.batch import BatchStarted, Cancel, Claim, Pause, Resume, Retry
from personad.contract.budget import BudgetStatus
from personad.contract.cost import StartCall

from ..studio import Studio  # noqa: TID252

Answer = Callable[[GenerationRequest], bytes]
GOOD = msgspec.json.encode(Draft(name="Ada Moor", summary="She waits."))


class Scripted:
    """A provider that answers what a test says."""

    name = "simulated"
    models = ("simulated-1",)
    parse = staticmethod(draft_from_json)

    def __init__(self, answer: Answer, usage: Usage = Usage(10, 5)) -> None:  # noqa: B008
        self._answer = answer
        self._usage = usage
        self.asked: list[int] = []

    async def generate(
        self, request: GenerationRequest, on_progress: Progress | None = None
    ) -> Response:
        self.asked.append(request.attempt)
        await asyncio.sleep(0)
        return Response(self._answer(request), self._usage, request_id="r" * 500)

    async def aclose(self) -> None:
        """Nothing is held open."""


class Workshop:
    """A claimed batch of one persona, and what to make it with."""

    def __init__(self, studio: Studio, provider: Any, /, **changes: Any) -> None:
        self.studio = studio
        self.provider = provider
        self.started: BatchStarted = studio.record(count=1, **changes)
        self.standing = Standing()
        self.calls_dir = studio.paths.runs_dir / "batch-a" / "calls"

    def make(self, *saved: Saved, attempts: int = 0, then: Any = None) -> bool:
        return anyio.run(self._make, saved, attempts, then)

    async def _make(self, saved: tuple[Saved, ...], attempts: int, then: Any) -> bool:
        ledger = Books(self.studio.paths, "batch-a", "test")
        try:
            await ledger.claim()
            plan = make_plan(Wanted(path=Path(self.started.source.path), count=1))
            (row,) = (await ledger.show()).personas
            shop = Shop(
                started=self.started,
                source_digest=plan.reading.digest,
                language="en",
                segments=plan.segments,
                provider=self.provider,
                books=ledger,
                scoring=Settings(weights={"completeness": 1.0}, required_fields=("name",)),
                crowd=Crowd(),
                left_out=[],
                accept=0.75,
                rng=lambda: 0.0,
                gate=Gate(Pace(1, 5), self.standing),
                rest=self.standing.rest,
                without_secrets=lambda text: text.replace("sk-1234", "[KEY]"),
            )
            piece = Piece(index=1, persona=row.persona, attempts=attempts, saved=saved)
            return await (then(shop, piece) if then else make(shop, piece))
        finally:
            await self.provider.aclose()
            ledger.close()

    def events(self, *types: str) -> list[Any]:
        return self.studio.events("batch-a", *types)


def kept(workshop: Workshop, body: bytes, call: str = "call-old") -> Saved:
    """A response that an earlier run has received."""
    (row,) = workshop.studio.state("batch-a").personas
    saved = Saved(
        call=call, persona=row.persona, attempt=1, body=body, usage=Usage(7, 3), duration_ms=5
    )
    earlier = Responses(workshop.calls_dir)
    earlier.keep([saved])
    earlier.close()
    return saved


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b'{"name": "\\u001b[31m\\u0007"}', b'{"a":' + b"[" * 100_000]
)
def test_an_answer_that_holds_no_persona_fails_it_after_its_retries(
    studio: Studio, body: bytes
) -> None:
    workshop = Workshop(studio, Scripted(lambda request: body))

    assert not workshop.make()

    (failed,) = workshop.events("persona.failed")
    assert (failed.attempts, failed.error.kind) == (3, "invalid_output")
    assert workshop.provider.asked == [1, 2, 3]
    assert not load(workshop.calls_dir).saved


def test_figures_that_make_no_sense_do_not_stop_the_batch(studio: Studio) -> None:
    provider = Scripted(lambda request: GOOD, Usage(-5, -1, -1, -1))
    workshop = Workshop(studio, provider)

    assert workshop.make()

    (cost,) = workshop.events("cost.recorded")
    assert (cost.input_tokens, cost.output_tokens, len(cost.request_id)) == (0, 0, 200)


def test_an_endless_name_is_cut_in_the_ledger(studio: Studio) -> None:
    endless = msgspec.json.encode(Draft(name="Ada " * 5_000))
    workshop = Workshop(studio, Scripted(lambda request: endless))

    assert workshop.make()

    (completed,) = workshop.events("persona.completed")
    assert len(completed.name) <= 200


def test_a_kept_response_is_used_and_nobody_is_asked(studio: Studio) -> None:
    workshop = Workshop(studio, Scripted(lambda request: GOOD))

    assert workshop.make(kept(workshop, GOOD), attempts=1)

    assert workshop.provider.asked == []
    (completed,) = workshop.events("persona.completed")
    assert (completed.name, completed.attempt) == ("Ada Moor", 1)
    assert not load(workshop.calls_dir).saved


def test_a_kept_response_that_is_unusable_is_paid_for_and_asked_for_again(studio: Studio) -> None:
    workshop = Workshop(studio, Scripted(lambda request: GOOD))

    assert workshop.make(kept(workshop, b"half"), attempts=1)

    assert workshop.provider.asked == [2]
    assert [cost.input_tokens for cost in workshop.events("cost.recorded")] == [7, 10]
    assert not load(workshop.calls_dir).saved


def test_a_provider_that_breaks_leaves_a_call_whose_answer_is_unknown(studio: Studio) -> None:
    def broken(request: GenerationRequest) -> bytes:
        raise KeyError("usage")

    workshop = Workshop(studio, Scripted(broken))

    with pytest.raises(KeyError):
        workshop.make()

    (cost,) = workshop.events("cost.recorded")
    assert (cost.outcome, cost.error_kind) == ("unknown", "stopped")


def test_a_provider_that_never_answers_is_given_up_in_time(studio: Studio) -> None:
    class Mute(Scripted):
        async def generate(
            self, request: GenerationRequest, on_progress: Progress | None = None
        ) -> Response:
            self.asked.append(request.attempt)
            await anyio.sleep_forever()
            raise AssertionError

    workshop = Workshop(studio, Mute(lambda request: GOOD), call_timeout_ms=10)

    assert not workshop.make()

    assert [cost.outcome for cost in workshop.events("cost.recorded")] == ["unknown"] * 3
    (failed,) = workshop.events("persona.failed")
    assert (failed.error.kind, failed.error.message) == ("timeout", "no answer within 0.01 s")


def test_a_key_is_taken_out_of_an_error_before_it_is_cut(studio: Studio) -> None:
    def refused(request: GenerationRequest) -> bytes:
        raise ProviderError("authentication", "x" * 494 + " sk-1234")

    with pytest.raises(StoppedByProvider, match=r"x \[KEY…?"):
        Workshop(studio, Scripted(refused)).make()


def test_an_error_is_told_without_the_key_in_it(studio: Studio) -> None:
    def refused(request: GenerationRequest) -> bytes:
        raise ProviderError("authentication", "bad key \x1b[31msk-1234\nsee the manual")

    workshop = Workshop(studio, Scripted(refused))

    with pytest.raises(StoppedByProvider, match=r"^bad key \[KEY\] see the manual$"):
        workshop.make()

    assert workshop.events("persona.failed") == []
    (cost,) = workshop.events("cost.recorded")
    assert (cost.outcome, cost.cost_nanousd) == ("error", 0)


def test_a_sleep_of_the_machine_ends_the_call_and_counts_against_nobody(studio: Studio) -> None:
    shops: list[Shop] = []

    class Dozing(Scripted):
        async def generate(
            self, request: GenerationRequest, on_progress: Progress | None = None
        ) -> Response:
            if len(self.asked) < 2:
                self.asked.append(request.attempt)
                shops[0].gate.woke()
                await anyio.sleep_forever()
            return await super().generate(request, on_progress)

    workshop = Workshop(studio, Dozing(lambda request: GOOD), retry=Retry(retries=0))

    async def dozing(shop: Shop, piece: Piece) -> bool:
        shops.append(shop)
        return await make(shop, piece)

    assert workshop.make(then=dozing)
    outcomes = [cost.outcome for cost in workshop.events("cost.recorded")]
    assert outcomes == ["unknown", "unknown", "ok"]
    assert workshop.provider.asked == [1, 2, 3]


def test_a_response_that_cannot_be_kept_is_counted_all_the_same(studio: Studio) -> None:
    workshop = Workshop(studio, Scripted(lambda request: GOOD))
    workshop.calls_dir.parent.mkdir(parents=True)
    workshop.calls_dir.write_text("in the way")

    with pytest.raises(OSError, match=r"exists|Not a directory"):
        workshop.make()

    (cost,) = workshop.events("cost.recorded")
    assert (cost.outcome, cost.input_tokens) == ("ok", 10)
    assert not workshop.events("persona.completed")


def test_no_call_is_made_for_a_batch_that_is_pausing(studio: Studio) -> None:
    workshop = Workshop(studio, Scripted(lambda request: GOOD))

    async def paused(shop: Shop, piece: Piece) -> bool:
        await shop.books.ask(Pause(batch="batch-a"))
        return await make(shop, piece)

    with pytest.raises(HoldLost):
        workshop.make(then=paused)

    assert workshop.provider.asked == []
    assert workshop.events("persona.generating") == []


def test_what_was_received_is_recorded_though_the_batch_was_cancelled(studio: Studio) -> None:
    def cancelled(request: GenerationRequest) -> bytes:
        studio.ledger.ask(Cancel(batch="batch-a"))
        return GOOD

    workshop = Workshop(studio, Scripted(cancelled))

    with pytest.raises(HoldLost):
        workshop.make()

    (cost,) = workshop.events("cost.recorded")
    assert (cost.outcome, cost.input_tokens) == ("ok", 10)


def test_a_call_that_was_granted_and_not_sent_is_abandoned(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(studio, Scripted(lambda request: GOOD))
    ask = Ledger.ask

    def granted_then_lost(self: Ledger, request: Any, **about: Any) -> Any:
        reply = ask(self, request, **about)
        if isinstance(request, StartCall):
            workshop.standing.now_is(ask(self, Cancel(batch="batch-a")).status)
        return reply

    monkeypatch.setattr(Ledger, "ask", granted_then_lost)
    with pytest.raises(HoldLost):
        workshop.make()

    assert workshop.provider.asked == []
    started = [e.event for e in studio.ledger.read_all(0, ["call.started"])]
    abandoned = [e.event for e in studio.ledger.read_all(0, ["call.abandoned"])]
    assert [e.call for e in abandoned] == [e.call for e in started]


def test_a_call_that_was_not_sent_is_not_held_back_where_the_runner_was_called_dead(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(studio, Scripted(lambda request: GOOD), provider="openai")
    ask = Ledger.ask
    held = []

    def granted_then_missed(self: Ledger, request: Any, **about: Any) -> Any:
        reply = ask(self, request, **about)
        if isinstance(request, StartCall):
            studio.until_status("batch-a", "interrupted")
            held.append(studio.ledger.ask(BudgetStatus()).unresolved_calls)
            workshop.standing.now_is("interrupted")
        return reply

    monkeypatch.setattr(Ledger, "ask", granted_then_missed)
    monkeypatch.setattr(books.b, "Claim", partial(Claim, ttl_ms=3_000))
    with pytest.raises(HoldLost):
        workshop.make()

    assert workshop.provider.asked == []
    assert (held, studio.ledger.ask(BudgetStatus()).unresolved_calls) == ([1], 0)


def test_a_lost_hold_keeps_the_fact_that_was_to_be_recorded(studio: Studio) -> None:
    workshop = Workshop(studio, Scripted(lambda request: GOOD))

    async def lost(shop: Shop, piece: Piece) -> bool:
        pausing, resumed = Pause(batch="batch-a"), Resume(batch="batch-a")
        await shop.books.ask(pausing)
        await shop.books.resign()
        await shop.books.ask(resumed)
        cost = kept(workshop, GOOD)
        return await make(shop, msgspec.structs.replace(piece, saved=(cost,)))

    with pytest.raises(HoldLost):
        workshop.make(then=lost)

    (cost,) = workshop.events("cost.recorded")
    assert cost.call == "call-old"
    assert [each.call for each in load(workshop.calls_dir).saved] == ["call-old"]
