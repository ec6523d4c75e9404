"""What the runner adds to the time that a provider takes."""

import time
from datetime import datetime

from personad.contract.batch import BatchShow

from .figure import Figure
from .house import EXAMPLES, PROGRAMS, daemon, house

PERSONAS, CONCURRENCY, CALL_S = 200, 20, 1.0
IDEAL_S = PERSONAS / CONCURRENCY * CALL_S
LIMIT = 1.1
WITHIN_S = 120.0


def measure() -> list[Figure]:
    """From the batch's start in the ledger to its end there; the runner's own start is in it."""
    command = [str(PROGRAMS / "persona"), "generate", "--from", str(EXAMPLES), "--detach"]
    command += ["-n", str(PERSONAS), "--concurrency", str(CONCURRENCY), "--provider", "simulated"]
    with house() as here, daemon(here), here.ledger() as ledger:
        latency = {"PERSONA_SIMULATED_LATENCY_MS": f"{CALL_S * 1_000:.0f}"}
        name = here.run(command, more=latency).decode().strip()
        returned = time.time()
        until = time.monotonic() + WITHIN_S
        while (state := ledger.ask(BatchShow(batch=name))).finished_at is None:
            if time.monotonic() > until:
                raise RuntimeError(f"{name} is {state.status} after {WITHIN_S:.0f} s")
            time.sleep(0.25)
        if state.status != "completed" or state.counts.completed != PERSONAS:
            raise RuntimeError(f"{name} is {state.status}: {state.counts}")
        events = list(ledger.read_all(batch=name))
    began, claimed, ended = (
        next(each.recorded_at for each in events if each.event.__struct_config__.tag == kind)
        for kind in ("batch.started", "persona.generating", "batch.finished")
    )
    took_s = (ended - began).total_seconds()
    return [
        Figure(
            name=f"{PERSONAS} personas at {CALL_S:.0f} s, {CONCURRENCY} at a time",
            value=took_s / IDEAL_S,
            limit=LIMIT,
            unit="×",
            peer=f"the ideal: {IDEAL_S:.1f} s",
            detail=f"{took_s:.2f} s from batch.started to batch.finished "
            f"({ended.timestamp() - returned:.2f} s from the command's return, "
            f"{_ratio(claimed, ended):.3f} × from the first persona.generating)",
        )
    ]


def _ratio(began: datetime, ended: datetime) -> float:
    return (ended - began).total_seconds() / IDEAL_S
