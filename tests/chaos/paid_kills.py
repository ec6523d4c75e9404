"""Kills runners and daemon in the midst of paid calls, and compares the ledger with the provider:
`python -m tests.chaos.paid_kills [--kills 200] [--personas 300] [--seed N]`.

The provider is a scripted server that writes down what it was paid; its prices are set in the
ledger, so both must come to the same nano-dollar.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from persona.identity import event_id, now

from personad.contract.batch import BatchInterrupted, BatchStarted
from personad.contract.budget import BudgetStatus, Prices, PriceSet
from personad.contract.cost import CallStarted, CostHistory, CostRecorded
from personad.contract.errors import LedgerError

from ..provider_server import Asked, Paid, ProviderServer, Turn  # noqa: TID252
from ..studio import WITHIN_S, Studio  # noqa: TID252

MODEL = "some-model"
CONCURRENCY = 4
EVENTS_A_PERSONA = 7
INPUT, OUTPUT, CACHED = 2_500, 300, 250
"""Nano-dollars a token."""
BATCH_WITHIN_S = 300.0
"""With all kills spent, the rest of a batch takes most of a minute, more on a busy machine."""


class Stock(Struct, frozen=True, kw_only=True):
    """What the kills came to; `wrong` says where a promise was broken."""

    kills: dict[str, int]
    batches: int
    calls: int
    """That were granted."""
    paid: int
    """Answers that the server billed."""
    answered: int
    """Those that the ledger has."""
    ledger_nanousd: int
    """Of calls with an answer."""
    server_nanousd: int
    """For the same calls."""
    unknown: int
    """Calls whose answer never came."""
    most_lost: int
    """By one kill, for good."""
    wrong: list[str]


def set_prices(studio: Studio) -> None:
    prices = Prices(
        input_nanousd=INPUT * 10**6,
        output_nanousd=OUTPUT * 10**6,
        cache_read_nanousd=CACHED * 10**6,
    )
    since = datetime(2020, 1, 1, tzinfo=UTC)
    studio.ledger.append(
        [
            PriceSet(
                id=event_id(),
                at=now(),
                provider="openai",
                model=MODEL,
                prices=prices,
                effective_from=since,
            )
        ]
    )


def nanousd(paid: Paid) -> int:
    return paid.input * INPUT + paid.output * OUTPUT + paid.cache_read * CACHED


def slowly(rng: random.Random) -> Any:
    """A provider's script: every answer takes its own time, to begin and to end."""

    def script(_: Asked) -> Turn:
        return Turn(delay_s=rng.uniform(0, 0.3), pieces=8, gap_s=rng.uniform(0, 0.12))

    return script


def ordered(studio: Studio, server: ProviderServer, batch: str, **about: Any) -> BatchStarted:
    """A batch in the ledger that is to be made by calls to `server`."""
    url = server.url("openai")
    return studio.record(batch, provider="openai", model=MODEL, base_url=url, **about)


def shake(studio: Studio, kills: int, personas: int, seed: int) -> Stock:
    """Kills so often while a batch of so many is made; where it ends too soon, while another is."""
    rng = random.Random(seed)
    set_prices(studio)
    counts: Counter[str] = Counter()
    names: list[str] = []
    wrong: list[str] = []
    most_lost = 0
    with ProviderServer(slowly(random.Random(seed))) as server:
        while not names or counts.total() < kills:
            started = ordered(
                studio, server, f"batch-{len(names)}", count=personas, concurrency=CONCURRENCY
            )
            names.append(started.batch)
            _until_completed(studio, started, kills, counts, rng)
            most_lost = max(most_lost, _most_lost(studio, started.batch))
            wrong += amiss(studio, started, server)
        paid = dict(server.paid)
    found = [event for name in names for event in studio.events(name, "cost.recorded")]
    answered = {event.request_id: event for event in found if event.outcome == "ok"}
    granted = [event.call for name in names for event in studio.events(name, "call.started")]
    history = studio.ledger.ask(CostHistory())
    unknown = history.coverage.unknown_calls
    server_nanousd = sum(nanousd(paid[each]) for each in answered)
    ledger_nanousd = history.total.cost_nanousd - history.coverage.unknown_max_nanousd
    if ledger_nanousd != server_nanousd:
        wrong.append(f"{ledger_nanousd} nano-dollars in the ledger, {server_nanousd} paid")
    if most_lost > CONCURRENCY:
        wrong.append(f"one kill lost {most_lost} calls")
    billed = {event.call for event in answered.values()}
    if len(set(granted) - billed) != unknown or history.coverage.unpriced_calls:
        wrong.append(f"{len(set(granted) - billed)} calls had no answer, {unknown} are unknown")
    if studio.ledger.ask(BudgetStatus()).unresolved_calls != unknown:
        wrong.append("what is unknown is not what is held back")
    if len(paid) - len(answered) > unknown:
        wrong.append(f"{len(paid) - len(answered)} bills are not in the ledger, {unknown} unknown")
    return Stock(
        kills=dict(counts),
        batches=len(names),
        calls=len(granted),
        paid=len(paid),
        answered=len(answered),
        ledger_nanousd=ledger_nanousd,
        server_nanousd=server_nanousd,
        unknown=unknown,
        most_lost=most_lost,
        wrong=wrong,
    )


def _until_completed(
    studio: Studio, started: BatchStarted, kills: int, counts: Counter[str], rng: random.Random
) -> None:
    while True:
        runner = studio.staged(started.batch)
        while counts.total() < kills and _at_a_chance_moment(
            studio, started, kills - counts.total(), rng
        ):
            if rng.random() < 0.5:
                runner.kill()
                counts["runner"] += 1
                break
            with suppress(LedgerError, ProcessLookupError):
                studio.kill_daemon()
                counts["daemon"] += 1
        runner.wait(BATCH_WITHIN_S)
        studio.resumed(started.batch)
        if studio.state(started.batch).status == "completed":
            return


def _most_lost(studio: Studio, batch: str) -> int:
    """The most calls that one runner's end lost for good: what it had on the disk and not yet in
    the ledger, its follower records."""
    lives: list[set[str]] = [set()]
    answered = set()
    for event in studio.events(batch, "call.started", "cost.recorded", "batch.interrupted"):
        match event:
            case BatchInterrupted():
                lives.append(set())
            case CallStarted():
                lives[-1].add(event.call)
            case CostRecorded(outcome="ok"):
                answered.add(event.call)
    return max(len(life - answered) for life in lives)


def _at_a_chance_moment(
    studio: Studio, started: BatchStarted, kills_left: int, rng: random.Random
) -> bool:
    """Some events from now, so that the rest of the batch takes the rest of the kills; False where
    the batch ends before."""
    state = studio.state(started.batch)
    ahead = (state.total - state.counts.completed) * EVENTS_A_PERSONA / kills_left
    target = state.seq + rng.uniform(0, 2 * ahead)
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        if state.status not in ("queued", "running"):
            return False
        if state.seq >= target and state.counts.generating:
            time.sleep(rng.uniform(0, 0.3))
            return True
        time.sleep(0.005)
        before, state = state, studio.state(started.batch)
        if state.seq > before.seq:
            # It may take its time, as long as it goes on.
            until = time.monotonic() + WITHIN_S
    raise AssertionError(f"{started.batch} stands still: {studio.log.read_text()[-4_000:]}")


def amiss(studio: Studio, started: BatchStarted, server: ProviderServer) -> list[str]:
    """What is wrong with the money of a batch."""
    found = []
    costs = [each for each in studio.events(started.batch, "cost.recorded") if each.outcome == "ok"]
    for cost in costs:
        paid = server.paid[cost.request_id]
        used = (cost.input_tokens, cost.output_tokens, cost.cache_read_tokens)
        if used != (paid.input, paid.output, paid.cache_read):
            found.append(f"{cost.call}: {used} recorded, {paid} paid")
    again = Counter(cost.persona for cost in costs)
    found += [f"{who} was received {times} times" for who, times in again.items() if times > 1]
    if len({cost.request_id for cost in costs}) != len(costs):
        found.append("one answer was recorded as two calls'")
    documents = list(Path(started.output, "personas").glob("*.json"))
    if studio.state(started.batch).status == "completed" and len(documents) != started.total:
        found.append(f"{len(documents)} files of {started.total}")
    return [f"{started.batch}: {each}" for each in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--personas", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    os.environ |= {"PERSONA_LEDGER": str(folder / "ledger"), "XDG_RUNTIME_DIR": str(folder)}
    os.environ.pop("OPENAI_API_KEY", None)
    studio = Studio(folder)
    try:
        stock = shake(studio, given.kills, given.personas, given.seed)
    finally:
        studio.close()
    print(f"seed {given.seed}: {stock}")
    if stock.wrong:
        print(f"what is left of it: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
