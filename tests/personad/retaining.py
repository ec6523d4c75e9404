"""What a retention is tried on, what came of it, and what one can ask."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, get_args

import msgspec

from bench.history import Shape, history
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.admin import Retained
from personad.contract.base import Event
from personad.contract.cost import Estimate
from personad.contract.cost_rows import CostRows
from personad.contract.events import Appended, Exported, Import, Read
from personad.questions import ANSWERS
from personad.retention import open_beside, retain
from personad.store import open_for_reading

from .conftest import Core
from .facts import NOON, fresh_id

LONG_AGO = NOON - timedelta(days=30)
DAY = timedelta(days=1)


def keep(core: Core, days: int = 2, now: datetime = NOON, **more: Any) -> Retained:
    """One run, on the core's own connection."""
    with closing(open_beside(str(core.path))) as beside:
        told = {"clock_is_right": True} | more
        return retain(lambda work: work(core.book), beside, now, days, **told)


def take(core: Core, *events: Event) -> Appended:
    """Also what only the daemon writes."""
    return core.do(Import(items=[Exported(event=event) for event in events]))  # type: ignore[arg-type]


def filled(core: Core, events: int = 3_000, days: int = 10) -> Core:
    made = list(history(Shape(events, days, NOON)))
    for start in range(0, len(made), 300):
        core.append(*made[start : start + 300])
    return core


def corrected(call: str, nanousd: int, at: datetime = NOON) -> c.CostCorrected:
    return c.CostCorrected(
        id=fresh_id(), at=at, call=call, cost_nanousd=nanousd, reason="reconciled"
    )


def dropped(done: Retained) -> int:
    return sum(each.events for each in done.kinds)


def count(core: Core) -> int:
    return int(core.db.execute("SELECT count(*) FROM event").get)


def requests(core: Core, kind: type[Any]) -> Iterator[Any]:
    """Every way to ask that question which has no more than one field that must be given."""
    batches = [str(batch) for (batch,) in core.db.execute("SELECT batch FROM batch")]
    if kind is Estimate:
        yield Estimate(
            provider="anthropic", model="claude-x", input_tokens=[900], max_output_tokens=500
        )
        return
    given_fields = [each for each in msgspec.structs.fields(kind) if each.required]
    if not given_fields:
        yield kind()
        return
    (field,) = given_fields
    for value in batches if field.name == "batch" else get_args(field.type):
        yield kind(**{field.name: value})


OF_EVENTS = (Read, k.CostCalls, k.CostExplain, k.Repricing, CostRows)
"""Answered from the log itself: what has been dropped isn't listed any more."""


def answers(core: Core) -> list[bytes]:
    """What the ledger says to all that one can ask, at one moment."""
    with closing(open_for_reading(str(core.path))) as db:
        return [
            msgspec.json.encode(ANSWERS[kind](db, request, NOON))
            for kind in ANSWERS
            if kind not in OF_EVENTS
            for request in requests(core, kind)
        ]
