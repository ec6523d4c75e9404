"""No event that the contract lets in makes a request fail, or a table another than its fold."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from personad.contract.alerts import CostAlerts
from personad.contract.asking import Range
from personad.contract.budget import AlertRaised, BudgetCleared, BudgetSet
from personad.contract.codec import encode, reply_codec
from personad.contract.cost import CostBreakdown, CostHistory
from personad.contract.cost_rows import CostRows
from personad.contract.errors import LedgerError
from personad.contract.events import Exported, Import
from personad.contract.optimise import CostOptimise
from personad.log import read
from personad.projections import budgets
from personad.questions import ANSWERS
from personad.tidy import all_at_once
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, SPECIMENS, fresh_id, planned

MAX = 2**63 - 1
INTEGERS = (0, 1, 10**16, 10**16 + 1, 2**53 + 1, MAX // 1_000, MAX - 1, MAX)
FLOATS = (0.0, -0.0, 5e-324, 1.0, 1.7e308, -1.7e308)
TEXTS = ("a", "p1", "batch-a", "call-1", "\x00", "é" * 200, "𝄞", "'; --", "local")
TIMES = (
    NOON,
    NOON + timedelta(hours=23),
    datetime(2, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, tzinfo=UTC),
    datetime(9_997, 1, 1, tzinfo=UTC),
)


def _strange(draw: st.DrawFn, value: Any) -> Any:
    """The same shape with other contents, here and there."""
    match value:
        case dict():
            return {key: _strange(draw, each) for key, each in value.items()}
        case list():
            return [_strange(draw, each) for each in value][: draw(st.integers(0, 3))]
        case _ if not draw(st.booleans()):
            return value
        case bool():
            return draw(st.booleans())
        case int():
            return draw(st.sampled_from(INTEGERS))
        case float():
            return draw(st.sampled_from(FLOATS))
        case str():
            return draw(st.sampled_from(TEXTS))
        case _:
            return value


@st.composite
def extremes(draw: st.DrawFn) -> Any:
    """An event that the contract takes, of which nearly anything may be at its end."""
    name = draw(st.sampled_from([*SPECIMENS, "cost.recorded", "cost.recorded", "cost.corrected"]))
    specimen = SPECIMENS[name]
    of: dict[str, Any] = {"batch": "batch-a", "persona": "p1", "call": "call-1"}
    usual = {key: value for key, value in of.items() if key in specimen.__struct_fields__}
    built: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(specimen, **usual))
    fields = {
        key: value if key == "type" else _strange(draw, value) for key, value in built.items()
    }
    if draw(st.booleans()):
        fields.pop("cost_nanousd" if name == "cost.recorded" else "", None)
    fields |= {"id": str(fresh_id()), "at": draw(st.sampled_from(TIMES)).isoformat()}
    try:
        event = msgspec.convert(fields, type(specimen), strict=False)
        if isinstance(event, BudgetSet | BudgetCleared):
            budgets.check(event, "$")
    except (msgspec.ValidationError, LedgerError):
        event = msgspec.structs.replace(specimen, id=fresh_id(), at=NOON)
    return event


@pytest.mark.parametrize(
    ("threshold", "percent"), [(-1.7e308, 0), (0.8, 80), (10.0, 1_000), (1.7e308, 1_000)]
)
def test_alerts_that_were_taken_back_can_be_asked_for_whatever_they_say(
    open_core: Callable[[], Core], threshold: float, percent: int
) -> None:
    core = open_core()
    raised = AlertRaised(
        id=fresh_id(),
        at=NOON,
        alert="a",
        kind="cost",
        scope="all",
        level="warning",
        value=0.0,
        threshold=threshold,
        message="m",
        spent_nanousd=0,
        limit_nanousd=1,
    )
    core.do(Import(items=[Exported(event=raised)]))
    told = ANSWERS[CostAlerts](core.db, CostAlerts(), core.now)
    assert [alert.percent for alert in told.alerts] == [percent]


@pytest.mark.no_cover
@given(st.lists(extremes(), max_size=12), st.integers(1, 5))
@settings(
    max_examples=100,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_the_contract_takes_is_kept_folded_and_asked_for(
    open_core: Callable[[], Core], events: list[Any], at_once: int
) -> None:
    core = open_core()
    core.append(*planned())
    for start in range(0, len(events), at_once):
        items = [Exported(event=event) for event in events[start : start + at_once]]
        core.do(Import(items=items))
    assert [each.event for each in read(core.db, after=3)] == events
    assert damage_of(core.path) is None
    all_at_once(core.book)
    assert damage_of(core.path) is None
    for request in (
        CostHistory(range=Range(days=2)),
        CostBreakdown(by="experiment", range=Range(since="2026-11-20")),
        CostOptimise(range=Range(since="2026-10-20"), calls=3),
        CostRows(range=Range(since="2026-11-20")),
    ):
        told = ANSWERS[type(request)](core.db, request, core.now)
        assert reply_codec(type(request)).decode(encode(told)) == told
    core.show()
