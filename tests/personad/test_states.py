"""The two tables of states: every pair of state and event, and every pair of state and request."""

import itertools
from collections.abc import Callable
from typing import Any, get_args

import pytest

from personad.contract import batch as b
from personad.contract.errors import LedgerError
from personad.contract.events import Exported, Import
from personad.projections import states

from .conftest import Core
from .facts import fresh_id, happened, planned

BATCH_STATES: tuple[b.BatchStatus, ...] = get_args(b.BatchStatus)
PERSONA_STATES: tuple[b.PersonaStatus, ...] = tuple(
    each for each in get_args(b.PersonaStatus) if each != "paused"
)
ENDED = ("completed", "partial", "failed", "cancelled")

FACTS: dict[str, Any] = {
    "persona.generating": b.PersonaGenerating,
    "batch.pausing": b.BatchPausing,
    "batch.paused": b.BatchPaused,
    "batch.resumed": b.BatchResumed,
    "batch.interrupted": b.BatchInterrupted,
    "persona.validating": b.PersonaValidating,
    "persona.retrying": b.PersonaRetrying,
    "persona.completed": b.PersonaCompleted,
    "persona.failed": b.PersonaFailed,
}

REACH_BATCH: dict[b.BatchStatus, list[Any]] = {
    "queued": [],
    "running": [("persona.generating", {})],
    "pausing": [("persona.generating", {}), ("batch.pausing", {})],
    "paused": [("batch.paused", {})],
    "interrupted": [("batch.interrupted", {"reason": states.NEVER_CLAIMED})],
    **{each: [("batch.finished", {"status": each})] for each in ENDED},  # type: ignore[dict-item]
}
REACH_PERSONA: dict[b.PersonaStatus, list[str]] = {
    "pending": [],
    "generating": ["persona.generating"],
    "validating": ["persona.generating", "persona.validating"],
    "retrying": ["persona.generating", "persona.retrying"],
    "completed": ["persona.generating", "persona.completed"],
    "failed": ["persona.failed"],
}


def put(core: Core, line: str, **more: Any) -> int:
    """Adds a fact, the daemon's own included, and gives the anomalies it made."""
    name, _, status = line.partition(" ")
    kind = FACTS.get(name, b.BatchFinished)
    event = happened(kind, **(more | ({"status": status} if status else {})))
    return core.do(Import(items=[Exported(event=event)])).anomalies


def in_batch_state(core: Core, status: b.BatchStatus) -> None:
    core.append(*planned())
    for line, more in REACH_BATCH[status]:
        put(core, line, **more)
    assert core.show().status == status


@pytest.mark.parametrize(
    ("status", "line"), list(itertools.product(BATCH_STATES, states.BATCH)), ids="-".join
)
def test_each_fact_in_each_state_of_a_batch(core: Core, status: b.BatchStatus, line: str) -> None:
    in_batch_state(core, status)
    anomalies = put(core, line, persona="p2")
    expected = states.BATCH[line].get(status)
    assert core.show().status == (expected or status)
    # A persona's event is that persona's own; the batch's state never makes it an anomaly.
    assert anomalies == (expected is None and not line.startswith("persona."))


@pytest.mark.parametrize(
    ("status", "line"), list(itertools.product(PERSONA_STATES, states.PERSONA)), ids="-".join
)
def test_each_fact_in_each_state_of_a_persona(
    core: Core, status: b.PersonaStatus, line: str
) -> None:
    core.append(*planned())
    for each in REACH_PERSONA[status]:
        put(core, each)
    assert core.show().personas[0].status == status
    anomalies = put(core, line)
    expected = states.PERSONA[line].get(status)
    shown = core.show()
    assert anomalies == (expected is None)
    assert shown.personas[0].status == (expected or status)
    assert shown.counts.completed == (shown.personas[0].status == "completed")
    assert shown.counts.failed == (shown.personas[0].status == "failed")


def test_no_state_of_the_contract_is_missing_from_the_tables() -> None:
    reached = {to for line in states.BATCH.values() for to in line.values()}
    assert reached | {"queued"} == set(BATCH_STATES)
    reached_personas = {to for line in states.PERSONA.values() for to in line.values()}
    assert reached_personas | {"pending"} == set(PERSONA_STATES)


def claim(core: Core) -> int:
    return core.do(b.Claim(batch="batch-a", runner="r1")).fence


PAUSE: dict[str, str | None] = {
    "queued": "paused",
    "running": "paused",
    "pausing": "pausing",
    "paused": "paused",
}
RESUME: dict[str, str | None] = {
    "queued": "running",
    "pausing": "running",
    "paused": "running",
    "interrupted": "running",
}
RETRY: dict[str, str | None] = {"partial": "running", "failed": "running"}
CANCEL: dict[str, str | None] = dict.fromkeys(
    ("queued", "running", "pausing", "paused", "interrupted", "cancelled"), "cancelled"
)


@pytest.mark.parametrize("status", BATCH_STATES)
@pytest.mark.parametrize(
    ("request_type", "allowed"),
    [(b.Pause, PAUSE), (b.Resume, RESUME), (b.RetryFailed, RETRY), (b.Cancel, CANCEL)],
    ids=["pause", "resume", "retry", "cancel"],
)
def test_each_request_in_each_state(
    core: Core,
    status: b.BatchStatus,
    request_type: Callable[..., Any],
    allowed: dict[str, str | None],
) -> None:
    in_batch_state(core, status)
    asked = request_type(batch="batch-a", id=fresh_id())
    if status in allowed:
        assert core.do(asked).status == allowed[status]
        assert core.do(asked).status == allowed[status]
        assert core.rows()["anomaly"] == []
    else:
        with pytest.raises(LedgerError) as refused:
            core.do(asked)
        assert refused.value.code == "conflict"
        assert core.show().status == status


def test_a_retry_makes_the_failed_ones_wait_again_and_leaves_the_others(core: Core) -> None:
    core.append(*planned())
    put(core, "persona.failed", persona="p1")
    put(core, "persona.generating", persona="p2")
    put(core, "persona.completed", persona="p2")
    put(core, "batch.finished partial")
    request = b.RetryFailed(batch="batch-a", id=fresh_id())

    for state in (core.do(request), core.do(request)):
        assert state.status == "running"
        assert [row.status for row in state.personas[:2]] == ["pending", "completed"]
        assert (state.counts.failed, state.counts.completed) == (0, 1)
        assert state.personas[0].error is None
    assert core.do(b.Claim(batch="batch-a", runner="r1")).status == "running"


def test_what_a_resume_changes_is_shown(core: Core) -> None:
    in_batch_state(core, "paused")
    changes = b.Changes(budget_nanousd=5_000, concurrency=7)

    state = core.do(b.Resume(batch="batch-a", id=fresh_id(), changes=changes))

    assert (state.cost.budget_nanousd, state.concurrency) == (5_000, 7)


def test_nothing_of_a_cancelled_batch_is_in_flight(core: Core) -> None:
    in_batch_state(core, "running")
    state = core.do(b.Cancel(batch="batch-a", id=fresh_id()))

    assert state.counts.generating == 0
    assert {row.status for row in state.personas} == {"pending"}
    assert state.counts.pending == state.total


def test_a_batch_that_somebody_runs_is_pausing_until_that_runner_is_done(core: Core) -> None:
    in_batch_state(core, "running")
    claim(core)
    assert core.do(b.Pause(batch="batch-a")).status == "pausing"


def test_a_request_repeated_late_does_not_undo_what_came_after_it(core: Core) -> None:
    in_batch_state(core, "running")
    pause = b.Pause(batch="batch-a", id=fresh_id())
    core.do(pause)
    core.do(b.Resume(batch="batch-a", id=fresh_id()))
    assert core.do(pause).status == "running"


@pytest.mark.parametrize("status", BATCH_STATES)
def test_a_batch_can_be_claimed_where_it_is_to_go_on(core: Core, status: b.BatchStatus) -> None:
    in_batch_state(core, status)
    if status in ("queued", "running"):
        assert claim(core) == 1
    else:
        with pytest.raises(LedgerError, match="can't be claimed"):
            claim(core)


@pytest.mark.parametrize("status", BATCH_STATES)
def test_a_runner_resigns_where_its_batch_is_not_to_go_on(
    core: Core, status: b.BatchStatus
) -> None:
    core.append(*planned())
    fence = claim(core)
    for line, more in REACH_BATCH[status]:
        put(core, line, **more)
    resign = b.Resign(batch="batch-a", runner="r1", fence=fence)
    if status in ("queued", "running"):
        with pytest.raises(LedgerError, match="has to go on"):
            core.do(resign)
    else:
        after = core.do(resign).status
        assert after == ("paused" if status == "pausing" else status)


def test_requests_about_a_batch_that_is_not_there_say_so(core: Core) -> None:
    core.append(*planned())
    claimed = b.Claim(batch="nope", runner="r")
    for asked in (b.Pause(batch="nope"), claimed, b.Cancel(batch="batch")):
        with pytest.raises(LedgerError) as refused:
            core.do(asked)
        assert refused.value.code == "not-found"


@pytest.mark.parametrize("line", ["persona.generating", "persona.failed"])
def test_a_batch_that_a_runner_lost_is_not_run_by_what_that_runner_still_says(
    core: Core, line: str
) -> None:
    core.append(*planned())
    put(core, "batch.interrupted", reason="lease lost")
    assert put(core, line) == 0
    assert core.show().status == "interrupted"
