"""What another process has made of an append comes to what the append itself would."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.appending import append, prepared
from personad.changes import Context
from personad.contract import cost as c
from personad.contract.base import MAX_EVENT_BYTES
from personad.contract.codec import encode
from personad.contract.events import Append, Appended, Fence
from personad.log import last_seq, read
from personad.prepared import MOST_PLACES, Prepared
from personad.preparer import Preparer
from personad.projections import counted, sketches
from personad.projections.costs import COST_MAX
from personad.store import open_for_reading
from personad.transaction import Ready, transaction
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, cost, fresh_id, happened, queued, started
from .retaining import take
from .streams import Stream, producers, together
from .test_costs import call_started
from .test_laws import LAW, sums

_decode = msgspec.msgpack.Decoder(Prepared).decode
CALLS = st.sampled_from([f"call-{n}" for n in range(9)])
TOLD = st.one_of(
    st.builds(cost, CALLS, st.sampled_from((None, 3, COST_MAX + 1)), at=st.just(NOON)),
    st.builds(cost, CALLS, st.just(5), batch=st.none(), persona=st.just("p2")),
    st.builds(
        cost, CALLS, st.just(7), experiment=st.sampled_from((None, "tone")), ttft_ms=st.just(4)
    ),
    st.builds(cost, CALLS, st.just(7), outcome=st.just("error"), error_kind=st.just("timeout")),
    st.builds(cost, CALLS, st.none(), outcome=st.just("unknown"), output_tokens=st.just(0)),
    st.builds(cost, CALLS, st.just(5), at=st.just(NOON + timedelta(days=3))),
    st.builds(cost, CALLS, st.just(5), at=st.just(NOON - timedelta(days=90))),
    st.builds(queued, st.just("p1"), st.just(1)),
)


class Kitchen:
    """A ledger, and one who prepares for it as another process would."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.db = open_for_reading(str(core.path))
        self.preparer = Preparer(self.db)
        self.taken = 0
        """Appends that were taken as they had been prepared."""

    def ready(self, *events: Any) -> Ready | None:
        request = Append(events=list(events))
        made = self.preparer.prepare(encode(request))
        return (
            None if made is None else Ready(_decode(msgspec.msgpack.encode(made)), lambda: request)
        )

    def append(self, *lots: Sequence[Any]) -> list[Appended]:
        """Each an append, all in one commit."""
        return self.commit([(self.ready(*lot), lot) for lot in lots])

    def commit(self, some: Sequence[tuple[Ready | None, Sequence[Any]]]) -> list[Appended]:
        core = self.core
        context = Context(core.leases, core.clock)
        with transaction(core.book, last_seq(core.db), core.now) as txn:
            answers: list[Any] | None = None
            if all(ready is not None for ready, _ in some):
                answers = prepared(txn, [ready for ready, _ in some], context)  # type: ignore[assignment, misc]
            if answers is None:
                answers = [append(txn, Append(events=list(lot)), context) for _, lot in some]
            else:
                self.taken += len(some)
            txn.fold()
            replies = [answer() for answer in answers]
        core.txn = txn
        return replies


@pytest.fixture
def open_kitchen(open_core: Callable[[], Core]) -> Any:
    opened: list[Kitchen] = []

    def open_one() -> Kitchen:
        opened.append(Kitchen(open_core()))
        return opened[-1]

    yield open_one
    for each in opened:
        each.db.close()


@pytest.fixture
def kitchen(open_kitchen: Callable[[], Kitchen]) -> Kitchen:
    return open_kitchen()


def state(core: Core) -> dict[str, Any]:
    """All that was folded, with noted values worked in, and the log."""
    log = [
        (each.seq, each.event, each.anomaly, each.cost_nanousd, each.receipt)
        for each in read(core.db)
    ]
    core.book.counted.work_in()
    return {"log": log, **core.rows(), **sums(core)}


def costs(*names: str, **more: Any) -> list[c.CostRecorded]:
    return [cost(name, **more) for name in names]


@given(
    lots=st.lists(st.lists(TOLD, min_size=1, max_size=6), min_size=1, max_size=5),
    opened=st.lists(st.builds(call_started, CALLS), max_size=1),
    cut=st.data(),
)
@LAW
def test_whatever_is_appended(
    open_core: Callable[[], Core],
    open_kitchen: Callable[[], Kitchen],
    lots: list[list[Any]],
    opened: list[Any],
    cut: st.DataObject,
) -> None:
    kitchen, plain = open_kitchen(), open_core()
    before = [started(), *opened]
    for each in (kitchen.core, plain):
        take(each, *before)
    replies: list[Appended] = []
    commits = [commit for commit in cut.draw(together([lots])) if commit]
    for commit in commits:
        replies += kitchen.append(*commit)
    assert replies == [plain.append(*lot) for commit in commits for lot in commit]
    assert state(kitchen.core) == state(plain)
    assert damage_of(kitchen.core.path) is None


@pytest.mark.no_cover
@given(data=st.data(), streams=producers())
@LAW
def test_whatever_producers_tell(
    open_core: Callable[[], Core],
    open_kitchen: Callable[[], Kitchen],
    data: st.DataObject,
    streams: list[Stream],
) -> None:
    kitchen, plain = open_kitchen(), open_core()
    for commit in data.draw(together(streams)):
        if any(event.DAEMON_ONLY for event in commit):
            take(kitchen.core, *commit)
            take(plain, *commit)
        else:
            kitchen.append(commit)
            plain.append(*commit)
    assert state(kitchen.core) == state(plain)
    assert damage_of(kitchen.core.path) is None


def test_bills_of_new_calls_are_taken_as_they_were_prepared(kitchen: Kitchen) -> None:
    lots = [costs("a", "b"), costs("c", batch=None, experiment=None), costs("d", persona=None)]
    first, *others = kitchen.append(*lots)
    assert kitchen.taken == 3
    assert first == Appended(first_seq=1, last_seq=2, duplicates=0, anomalies=0, quarantined=0)
    assert [each.first_seq for each in others] == [3, 4]
    assert kitchen.core.txn is not None
    assert [entry[2] for entry in kitchen.core.txn.entries] == [
        event for lot in lots for event in lot
    ]


@pytest.mark.parametrize(
    "lot",
    [
        [],
        [started()],
        [*costs("a"), queued("p1", 1)],
        costs("a", "a"),
        costs("a", outcome="unknown"),
        costs("a", persona="x" * (MAX_EVENT_BYTES + 1)),
        costs("a", input_tokens=COST_MAX + 1),
        [cost(f"call-{n}", COST_MAX) for n in range(2**63 // COST_MAX + 1)],
        [cost(f"call-{n}", batch=f"batch-{n}") for n in range(MOST_PLACES + 1)],
        costs("a", at=datetime(1, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2)))),
    ],
    ids=[
        "nothing",
        "a batch",
        "two kinds",
        "a call twice",
        "unknown",
        "large",
        "too many tokens",
        "a sum that is too large",
        "batches",
        "a time that no event can have",
    ],
)
def test_what_is_to_be_looked_at_is_left(kitchen: Kitchen, lot: list[Any]) -> None:
    assert kitchen.ready(*lot) is None


def test_what_is_no_plain_append_is_left(kitchen: Kitchen) -> None:
    fenced = Append(events=[cost("a")], fence=Fence(batch="batch-a", fence=1))
    for message in (b"", b"\xc1", b"{}", encode(fenced), encode(Append(events=[cost("a")]))[:-1]):
        assert kitchen.preparer.prepare(message) is None


def test_as_many_batches_as_can_be_told_apart(kitchen: Kitchen) -> None:
    lot = [cost(f"call-{n}", batch=f"batch-{n}") for n in range(MOST_PLACES)]
    kitchen.append(lot)
    assert kitchen.taken == 1
    assert [each.event for each in read(kitchen.core.db)] == lot


@pytest.mark.parametrize(
    "before",
    [costs("a"), [call_started("a")], [happened(c.CallStarted, call="a", batch=None)]],
    ids=["billed", "started", "granted to nobody"],
)
def test_a_call_that_something_was_told_of_is_looked_at(
    kitchen: Kitchen, before: list[Any]
) -> None:
    take(kitchen.core, *before)
    kitchen.append(costs("a", "b"))
    assert kitchen.taken == 0


def test_a_call_in_two_appends_of_a_commit_is_looked_at(kitchen: Kitchen) -> None:
    kitchen.append(costs("a"), costs("a"))
    assert kitchen.taken == 0


def test_a_name_with_a_zero_is_looked_at(kitchen: Kitchen) -> None:
    kitchen.append(costs("a\0b", "c"))
    assert kitchen.taken == 0
    assert kitchen.core.db.execute(f"SELECT count(*) FROM {counted.ALL}").get == 2  # noqa: S608


def test_an_event_that_was_there_is_not_added_again(kitchen: Kitchen) -> None:
    known = cost("a")
    kitchen.core.append(known)
    again = msgspec.structs.replace(known, call="other")
    (reply,) = kitchen.append([again, cost("b")])
    assert (reply.duplicates, reply.first_seq, reply.last_seq, kitchen.taken) == (1, 2, 2, 0)
    twice = cost("c")
    (reply,) = kitchen.append([twice, msgspec.structs.replace(twice, call="d")])
    assert (reply.duplicates, reply.first_seq, kitchen.taken) == (1, 3, 0)


def test_what_happens_too_far_ahead_is_looked_at(kitchen: Kitchen) -> None:
    (reply,) = kitchen.append([*costs("a"), *costs("b", at=NOON + timedelta(days=2))])
    assert (reply.anomalies, kitchen.taken) == (1, 0)


def test_what_is_too_old_for_the_log_is_put_aside(kitchen: Kitchen) -> None:
    kitchen.core.db.execute("INSERT INTO pruned VALUES (1767225600000000)")  # 2026
    old = costs("a", at=NOON.replace(year=2025))
    (reply,) = kitchen.append([*old, *costs("b")])
    assert (reply.quarantined, reply.first_seq, kitchen.taken) == (1, 1, 0)
    kitchen.append(costs("c"))
    assert kitchen.taken == 1


class TestPrices:
    def test_what_says_no_cost_is_priced_with_its_receipt(
        self, open_core: Callable[[], Core], kitchen: Kitchen
    ) -> None:
        lot = [
            *costs("a", "b", cost_nanousd=None, provider="openai", model="gpt-4o"),
            *costs("c", cost_nanousd=None, provider="nobody", model="none"),
            *costs("d"),
        ]
        kitchen.append(lot)
        assert kitchen.taken == 1
        plain = open_core()
        plain.append(*lot)
        assert state(kitchen.core) == state(plain)
        priced = [each.receipt is not None for each in read(plain.db)]
        assert priced == [True, True, False, False]

    def test_prices_that_were_set_meanwhile_hold(self, kitchen: Kitchen) -> None:
        lot = costs("a", cost_nanousd=None, input_tokens=1_000_000, output_tokens=0)
        ready = kitchen.ready(*lot)
        kitchen.core.append(price_set())
        kitchen.commit([(ready, lot)])
        assert kitchen.taken == 0
        kitchen.append(costs("b", cost_nanousd=None, input_tokens=1_000_000, output_tokens=0))
        assert kitchen.taken == 1
        told = [each.cost_nanousd for each in read(kitchen.core.db, after=1)]
        assert told == [7_000, 7_000]

    def test_what_says_its_cost_needs_no_prices(self, kitchen: Kitchen) -> None:
        lot = costs("a")
        ready = kitchen.ready(*lot)
        kitchen.core.append(price_set())
        kitchen.commit([(ready, lot)])
        assert kitchen.taken == 1


def price_set() -> Any:
    from personad.contract.budget import Prices, PriceSet

    return PriceSet(
        id=fresh_id(),
        at=NOON,
        provider="local",
        model="local",
        prices=Prices(input_nanousd=7_000, output_nanousd=0),
        effective_from=NOON - timedelta(days=1),
    )


def test_what_was_taken_back_can_be_added_once_more(
    open_core: Callable[[], Core], kitchen: Kitchen
) -> None:
    lots = [costs("a", "b"), costs("c", "d")]
    readies = [kitchen.ready(*lot) for lot in lots]
    core = kitchen.core
    with suppress(ZeroDivisionError), transaction(core.book, 0, core.now) as txn:
        assert prepared(txn, readies, Context(core.leases, core.clock))  # type: ignore[arg-type]
        raise ZeroDivisionError
    kitchen.commit([*zip(readies, lots, strict=True)])
    assert kitchen.taken == 2
    plain = open_core()
    for lot in lots:
        plain.append(*lot)
    assert state(core) == state(plain)


def test_a_queued_batch_that_is_spoken_of_gets_another_while_to_be_claimed(
    kitchen: Kitchen,
) -> None:
    core = kitchen.core
    core.append(started())
    before = core.leases.deadlines["batch-a"]
    core.clock = before - 1
    kitchen.append(costs("a"))
    assert kitchen.taken == 1
    assert core.leases.deadlines["batch-a"] > before


def test_noted_values_are_those_of_the_calls(kitchen: Kitchen) -> None:
    kitchen.append([cost("a", duration_ms=5, ttft_ms=2), cost("b", duration_ms=7)])
    sketches.work_in(kitchen.core.db, 100)
    kinds = [kind for (kind,) in kitchen.core.db.execute("SELECT measure FROM series ORDER BY 1")]
    assert kinds == ["duration_ms", "ttft_ms"]
