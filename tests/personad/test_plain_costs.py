"""Costs that a fold afresh makes no events of come to what the events would."""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personad import refold
from personad.contract import cost as c
from personad.contract.batch import BatchInterrupted
from personad.projections import charts, costs, plain_costs, quality, sketches
from personad.projections.costs import COST_MAX
from personad.refold import BESIDE, Refold
from personad.store import open_for_reading
from tests.ledgers import UTC, work_in

from .conftest import Core
from .facts import NOON, cost, happened, started
from .retaining import corrected, take
from .streams import Stream, producers, together
from .test_costs import call_started
from .test_laws import LAW

TABLES = (*costs.TABLES, *quality.TABLES, *charts.TABLES, "sketch_quarter")
CALLS = st.sampled_from([f"call-{n}" for n in range(5)])
TOLD = st.one_of(
    st.builds(cost, CALLS, st.sampled_from((None, 3, COST_MAX + 1)), at=st.just(NOON)),
    st.builds(cost, CALLS, st.just(5), persona=st.just("p2"), experiment=st.just("tone")),
    st.builds(cost, CALLS, st.none(), outcome=st.just("unknown"), output_tokens=st.just(0)),
    st.builds(cost, CALLS, st.just(5), at=st.just(NOON + timedelta(days=3))),
    st.builds(call_started, CALLS),
    st.builds(corrected, CALLS, st.integers(0, 9)),
    CALLS.map(lambda call: happened(c.CallAbandoned, call=call)),
    st.builds(lambda: happened(BatchInterrupted, reason="it is gone")),
)


def folded(core: Core, name: str, *, is_half: bool) -> dict[str, list[Any]]:
    path = core.path.with_name(f"{name}.db")
    with (
        closing(open_for_reading(str(core.path))) as live,
        closing(Refold(live, path, UTC, BESIDE if is_half else None)) as fold,
    ):
        while fold.advance():
            pass
        work_in(fold.db)
        sketches.work_in(fold.db, 1_000_000)
        every = "SELECT * FROM {}".format
        found: dict[str, list[Any]] = {
            each: sorted(fold.db.execute(every(each)), key=repr) for each in TABLES
        }
        kinds = dict(live.execute("SELECT seq, kind FROM event"))
        found["misfit"] = [
            (seq, why) for seq, why in sorted(fold.misfits.items()) if kinds[seq] in range(20, 24)
        ]
    path.unlink()
    return found


def assert_alike(core: Core, slice_events: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(refold, "CHUNK_EVENTS", slice_events)
        assert folded(core, "half", is_half=True) == folded(core, "whole", is_half=False)


@example(told=[cost("call-1", COST_MAX + 1)], slice_events=2)
@example(
    told=[cost("call-1", 3), cost("call-2", 5, persona="p2"), cost("call-2", COST_MAX + 1)],
    slice_events=5,
)
@given(told=st.lists(TOLD, max_size=14), slice_events=st.sampled_from((2, 5, 20)))
@LAW
def test_whatever_is_told_of_a_few_calls(
    open_core: Callable[[], Core], told: list[Any], slice_events: int
) -> None:
    core = open_core()
    take(core, started(), *told)
    assert_alike(core, slice_events)


@pytest.mark.no_cover
@given(data=st.data(), streams=producers())
@LAW
def test_whatever_producers_tell(
    open_core: Callable[[], Core], data: st.DataObject, streams: list[Stream]
) -> None:
    core = open_core()
    for commit in data.draw(together(streams)):
        take(core, *commit)
    assert_alike(core, data.draw(st.sampled_from((3, 50))))


def test_most_costs_are_plain_and_what_is_told_twice_is_not(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(core, started(), *(cost(f"call-{n}", n) for n in range(9)), cost("call-3", 9))
    apply, seqs = plain_costs.apply, []

    def spied(book: Any, plain: Any, text: Any) -> None:
        seqs.extend(row[0] for row in plain)
        apply(book, plain, text)

    monkeypatch.setattr(plain_costs, "apply", spied)
    folded(core, "half", is_half=True)
    assert seqs == [2, 3, 4, 6, 7, 8, 9, 10]
