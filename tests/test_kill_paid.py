"""What the provider was paid, and what the ledger says, after runners were killed in mid-call."""

import random
from pathlib import Path

from .provider_server import Asked, ProviderServer, Turn
from .studio import Studio

PERSONAS, CONCURRENCY, KILLS = 24, 4, 4


def test_every_answer_that_was_received_is_paid_once_and_recorded_as_billed(
    studio: Studio,
) -> None:
    chance = random.Random(11)

    def slowly(asked: Asked) -> Turn:
        return Turn(delay_s=chance.uniform(0, 0.05), pieces=8, gap_s=chance.uniform(0, 0.02))

    with ProviderServer(slowly) as server:
        base_url = server.url("openai")
        started = studio.record(
            count=PERSONAS,
            provider="openai",
            model="some-model",
            base_url=base_url,
            concurrency=CONCURRENCY,
        )
        for kill in range(1, KILLS + 1):
            runner = studio.staged("batch-a")
            studio.until(
                "batch-a",
                lambda state, least=kill * 4: state.counts.completed >= least,  # type: ignore[misc]
                f"persona {kill * 4}",
            )
            runner.kill()
            runner.wait()
            studio.resumed("batch-a")
        studio.staged("batch-a")
        state = studio.until_status("batch-a", "completed")

    costs = studio.events("batch-a", "cost.recorded")
    answered = {cost.request_id: cost for cost in costs if cost.outcome == "ok"}
    assert len(answered) == PERSONAS == state.counts.completed
    for request_id, cost in answered.items():
        paid = server.paid[request_id]
        assert (cost.input_tokens, cost.output_tokens, cost.cache_read_tokens) == (
            paid.input,
            paid.output,
            paid.cache_read,
        )
    begun = {event.call for event in studio.events("batch-a", "call.started")}
    lost = begun - {cost.call for cost in costs}
    assert len(server.paid) - len(answered) <= len(lost) <= KILLS * CONCURRENCY
    assert len(list(Path(started.output, "personas").glob("*.json"))) == PERSONAS
