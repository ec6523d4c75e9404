"""What a whole run does when its provider is jammed, down, or takes the key no longer."""

from collections import Counter
from functools import partial

import anyio
import pytest
from persona.generation import pace
from persona.generation.runner import Runner
from persona.generation.steering import mind_sleep

from personad.contract.batch import BatchState, Retry
from personad.contract.options import DEFAULTS

from ..provider_server import Asked, ProviderServer, Turn  # noqa: TID252
from ..studio import Studio  # noqa: TID252


def recorded(studio: Studio, server: ProviderServer, retries: int, count: int = 8) -> None:
    studio.record(
        count=count,
        provider="openai",
        model="some-model",
        base_url=server.url("openai"),
        concurrency=4,
        retry=Retry(retries=retries, delay_ms=1, jitter=False),
    )


def resumed(studio: Studio) -> BatchState:
    anyio.run(Runner(studio.paths, DEFAULTS, "batch-a", tied=False).run)
    return studio.state("batch-a")


def test_a_run_without_retries_survives_any_number_of_rate_limits(studio: Studio) -> None:
    def jammed(asked: Asked) -> Turn:
        return Turn(status=429, retry_after="0.1") if asked.number % 3 else Turn()

    with ProviderServer(jammed) as server:
        recorded(studio, server, retries=0)
        state = resumed(studio)

    assert (state.status, state.counts.failed) == ("completed", 0)
    assert len(server.paid) == state.total
    assert not [e for e in studio.events("batch-a", "batch.held") if e.reason == "breaker"]


def test_an_outage_fails_nobody_and_the_run_goes_on_by_itself(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PROBE_MIN_S", 0.01)
    monkeypatch.setattr(pace, "PROBE_MAX_S", 0.05)
    monkeypatch.setattr("persona.generation.gate.TELL_S", 1e-6)

    def down(asked: Asked) -> Turn:
        return Turn(status=503) if asked.number <= 30 else Turn()

    with ProviderServer(down) as server:
        recorded(studio, server, retries=5)
        state = resumed(studio)

    assert (state.status, state.counts.failed) == ("completed", 0)
    held = [event.reason for event in studio.events("batch-a", "batch.held")]
    assert held[0] == "breaker"
    assert held[-1] is None
    assert state.reason is None
    assert len(server.paid) == state.total


def test_a_key_that_is_taken_no_longer_pauses_and_a_resume_makes_the_rest(studio: Studio) -> None:
    def revoked(asked: Asked) -> Turn:
        return Turn(status=401) if asked.number == 4 else Turn(delay_s=0.05)

    with ProviderServer(revoked) as server:
        recorded(studio, server, retries=2)
        paused = resumed(studio)
        studio.resumed("batch-a")
        state = resumed(studio)

    assert (paused.status, paused.reason, paused.counts.failed) == ("paused", "authentication", 0)
    assert paused.counts.completed < paused.total
    assert (state.status, state.counts.completed) == ("completed", state.total)
    assert len(server.paid) == state.total


def test_a_sleep_of_the_machine_costs_the_calls_in_flight_and_nothing_else(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProviderServer(lambda asked: Turn(delay_s=60.0 if asked.number <= 4 else 0.0)) as server:

        def asleep_s() -> float:
            """It sleeps once four calls are under way."""
            return 600.0 if len(server.asked) >= 4 else 0.0

        monkeypatch.setattr("persona.generation.steering.SLEEP_LOOK_S", 0.05)
        monkeypatch.setattr(
            "persona.generation.steering.mind_sleep", partial(mind_sleep, clock=asleep_s)
        )
        recorded(studio, server, retries=0)
        state = resumed(studio)

    assert (state.status, state.counts.failed, state.slept_ms) == ("completed", 0, 600_000)
    outcomes = Counter(cost.outcome for cost in studio.events("batch-a", "cost.recorded"))
    assert outcomes == {"ok": state.total, "unknown": 4}
    retried = studio.events("batch-a", "persona.retrying")
    assert {event.error.message for event in retried} == {"the machine slept during the call"}
