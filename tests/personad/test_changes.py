"""What changes the ledger on request: appends, fences, leases, by a clock that is set."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from personad.changes import Context, expire
from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import MAX_EVENT_BYTES, Event
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Exported, Fence, Import, Read
from personad.leases import UNCLAIMED_MS, Leases
from personad.log import count_anomalies, last_seq
from personad.projections.states import NEVER_CLAIMED
from personad.questions import read
from personad.transaction import transaction

from .conftest import Core
from .facts import NOON, SPECIMENS, cost, fresh_id, happened, planned, queued, started


def claim(core: Core, runner: str = "r1", ttl_ms: int = 15_000) -> int:
    return core.do(b.Claim(batch="batch-a", runner=runner, ttl_ms=ttl_ms)).fence


def conflict(core: Core, request: Any) -> LedgerError:
    with pytest.raises(LedgerError) as refused:
        core.do(request)
    assert refused.value.code == "conflict"
    return refused.value


def start_call(**more: Any) -> c.StartCall:
    fields: dict[str, Any] = {
        "call": "call-1",
        "provider": "local",
        "model": "local",
        "max_input_tokens": 10,
        "max_output_tokens": 10,
        "batch": "batch-a",
    }
    return c.StartCall(**(fields | more))


class TestAppending:
    def test_new_events_get_the_next_numbers(self, core: Core) -> None:
        first = core.append(*planned())
        second = core.append(happened(b.PersonaGenerating))
        assert (first.first_seq, first.last_seq) == (1, 3)
        assert (second.first_seq, second.last_seq) == (4, 4)

    def test_nothing_gets_no_number(self, core: Core) -> None:
        assert core.append().first_seq is None

    def test_what_is_repeated_within_one_append_counts_once(self, core: Core) -> None:
        event = started()
        answer = core.append(event, event, event)
        assert (answer.last_seq, answer.duplicates) == (1, 2)

    def test_of_hundreds_the_known_ones_are_left_out(self, core: Core) -> None:
        events = [cost(f"call-{number}") for number in range(700)]
        core.append(*events[100:400])
        answer = core.append(*events)
        assert (answer.first_seq, answer.last_seq, answer.duplicates) == (301, 700, 300)

    def test_numbers_have_no_gaps_and_are_never_used_again(self, core: Core) -> None:
        core.append(*planned())
        core.db.execute("INSERT INTO dropped SELECT max(seq) FROM event; DELETE FROM event")
        assert core.append(cost()).first_seq == 4

    @pytest.mark.parametrize(
        "kind", [name for name, event in SPECIMENS.items() if event.DAEMON_ONLY]
    )
    def test_what_only_the_daemon_writes_is_refused_with_all_that_came_along(
        self, core: Core, kind: str
    ) -> None:
        with pytest.raises(LedgerError) as refused:
            core.append(started(), SPECIMENS[kind])
        assert refused.value.field == "$.events[1].type"
        assert kind in refused.value.message
        assert last_seq(core.db) == 0

    @pytest.mark.parametrize(
        "at",
        [
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
            datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))),
        ],
    )
    def test_a_time_that_utc_can_t_say_is_refused_by_name(self, core: Core, at: datetime) -> None:
        with pytest.raises(LedgerError) as refused:
            core.append(started(), cost(at=at))
        assert refused.value.field == "$.events[1].at"
        price = SPECIMENS["price.set"]
        fields = {name: getattr(price, name) for name in price.__struct_fields__}
        with pytest.raises(LedgerError, match="years") as refused:
            core.append(type(price)(**(fields | {"effective_from": at})))
        assert refused.value.field == "$.events[0].effective_from"

    def test_times_at_the_ends_of_what_is_taken_are_read_back(self, core: Core) -> None:
        core.append(started(at=datetime(2, 1, 1, tzinfo=UTC)))
        core.append(cost(at=datetime(9998, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14)))))
        found = read(core.db, Read(), core.now)
        assert [each.event.at.year for each in found.events] == [2, 9999]
        assert count_anomalies(core.db) == 1

    def test_an_event_that_no_reply_could_carry_is_refused_by_name(self, core: Core) -> None:
        segment = b.SegmentRef(digest="s", record_ids=["r" * MAX_EVENT_BYTES])
        whole = queued("p1", 1)
        fields = {name: getattr(whole, name) for name in whole.__struct_fields__}
        large = b.PersonaQueued(**(fields | {"segment": segment}))
        with pytest.raises(LedgerError) as refused:
            core.append(started(), large)
        assert (refused.value.code, refused.value.field) == ("too-large", "$.events[1]")
        assert last_seq(core.db) == 0

    def test_an_import_takes_the_daemon_s_own_events_back(self, core: Core) -> None:
        items = [Exported(event=event, derived=event.DAEMON_ONLY) for event in SPECIMENS.values()]
        assert core.do(Import(items=items)).last_seq == len(SPECIMENS)
        assert core.do(Import(items=items)).duplicates == len(SPECIMENS)


class TestReading:
    def test_pages_hold_everything_once(self, core: Core) -> None:
        core.append(*(cost(f"call-{number}") for number in range(25)))
        seqs, after, more = [], 0, True
        while more:
            page = read(core.db, Read(after_seq=after, limit=10), core.now)
            seqs += [each.seq for each in page.events]
            after, more = page.next_seq, page.more
        assert seqs == list(range(1, 26))
        assert read(core.db, Read(after_seq=99), core.now).next_seq == 99

    def test_some_kinds_of_some_batch(self, core: Core) -> None:
        core.append(*planned("batch-a"), *planned("batch-b"), cost(batch="batch-b"))
        asked = Read(types=["cost.recorded", "batch.started"], batch="batch-b")
        assert [each.seq for each in read(core.db, asked, core.now).events] == [4, 7]

    def test_a_batch_by_the_beginning_of_its_id(self, core: Core) -> None:
        core.append(*planned("batch-abc"))
        assert len(read(core.db, Read(batch="batch-ab"), core.now).events) == 3

    def test_what_fits_nowhere_is_found_by_its_batch_too(self, core: Core) -> None:
        core.append(happened(b.BatchPaused, "lost"))
        (found,) = read(core.db, Read(batch="lost"), core.now).events
        assert found.anomaly == "lost was never started"

    def test_an_unknown_kind_or_batch_says_what_there_is(self, core: Core) -> None:
        with pytest.raises(LedgerError, match="no event type 'x'") as refused:
            read(core.db, Read(types=["x"]), core.now)
        assert "cost.recorded" in str(refused.value.hint)
        with pytest.raises(LedgerError, match="no batch"):
            read(core.db, Read(batch="nope"), core.now)

    def test_a_page_is_cut_where_a_message_would_be_too_large(self, core: Core) -> None:
        segment = b.SegmentRef(digest="s", record_ids=["\x01" * 900_000])
        events = [
            b.PersonaQueued(
                id=fresh_id(), at=NOON, batch="a", persona=f"p{n}", index=n, segment=segment
            )
            for n in (1, 2, 3)
        ]
        core.append(*events)
        page = read(core.db, Read(), core.now)
        assert (len(page.events), page.more, page.next_seq) == (1, True, 1)


class TestCalls:
    def test_a_grant_is_recorded_once_however_often_it_is_asked_for(self, core: Core) -> None:
        core.append(*planned())
        assert core.do(start_call()) == core.do(start_call()) == c.Granted(reserved_nanousd=0)
        assert last_seq(core.db) == 4

    def test_no_call_starts_in_a_batch_that_is_to_stop(self, core: Core) -> None:
        core.append(*planned(), happened(b.BatchPaused))
        assert "no new call" in conflict(core, start_call()).message

    def test_what_was_granted_stays_so_when_the_answer_was_lost(self, core: Core) -> None:
        core.append(*planned())
        core.do(start_call())
        core.append(happened(b.BatchPaused))
        assert core.do(start_call()) == c.Granted(reserved_nanousd=0)

    def test_a_call_outside_a_batch_needs_none(self, core: Core) -> None:
        assert core.do(start_call(batch=None)) == c.Granted(reserved_nanousd=0)

    def test_a_stale_runner_gets_none(self, core: Core) -> None:
        core.append(*planned())
        fence = claim(core)
        core.do(start_call(fence=fence))
        assert "hold on batch-a was lost" in conflict(core, start_call(fence=fence + 1)).message


class TestLeases:
    def test_one_runner_a_batch(self, core: Core) -> None:
        core.append(*planned())
        assert claim(core) == claim(core) == 1
        refused = conflict(core, b.Claim(batch="batch-a", runner="r2"))
        assert "already run by r1" in refused.message

    def test_a_lease_that_runs_out_interrupts_and_leaves_open_calls_unresolved(
        self, core: Core
    ) -> None:
        core.append(*planned(), happened(b.PersonaGenerating))
        fence = claim(core)
        core.do(start_call())
        core.clock = 14.9
        core.keep_time()
        assert core.show().status == "running"
        core.clock = 15.1
        core.keep_time()
        shown = core.show()
        assert (shown.status, shown.reason) == ("interrupted", "lease lost")
        assert core.db.execute("SELECT state FROM open_call").get == "unresolved"
        conflict(core, Append(events=[cost()], fence=Fence(batch="batch-a", fence=fence)))
        conflict(core, b.Renew(batch="batch-a", runner="r1", fence=fence))

    def test_renewing_keeps_it(self, core: Core) -> None:
        core.append(*planned())
        fence = claim(core)
        core.clock = 10
        assert core.do(b.Renew(batch="batch-a", runner="r1", fence=fence)).status == "queued"
        core.clock = 20
        core.keep_time()
        assert core.show().status == "queued"
        conflict(core, b.Renew(batch="batch-a", runner="r2", fence=fence))

    def test_a_resumed_batch_waits_a_while_for_its_runner_and_no_longer(self, core: Core) -> None:
        core.append(*planned(), happened(b.BatchPaused))
        core.do(b.Resume(batch="batch-a"))
        core.clock = UNCLAIMED_MS / 1_000 - 1
        core.keep_time()
        assert core.show().status == "running"
        core.clock += 2
        core.keep_time()
        assert core.show().status == "interrupted"

    def test_a_queued_batch_that_nobody_claims_is_interrupted(self, core: Core) -> None:
        core.append(*planned())
        core.clock = UNCLAIMED_MS / 1_000
        core.keep_time()
        assert core.show().status == "queued"
        core.clock += 0.1
        core.keep_time()
        shown = core.show()
        assert (shown.status, shown.reason) == ("interrupted", NEVER_CLAIMED)
        core.do(b.Resume(batch="batch-a"))
        assert claim(core) == 1

    @pytest.mark.parametrize("word", [queued("p3", 3), cost("c9")], ids=["queued", "cost"])
    def test_whoever_still_plans_a_batch_is_waited_for(self, core: Core, word: Event) -> None:
        core.append(started(total=3))
        core.clock = 29
        core.append(word)
        core.clock = 58
        core.keep_time()
        assert core.show().status == "queued"
        core.clock = 60
        core.keep_time()
        assert core.show().status == "interrupted"

    def test_a_program_that_never_claims_works_as_slowly_as_it_likes(self, core: Core) -> None:
        core.append(*planned())
        core.append(happened(b.PersonaGenerating))
        core.clock = 10_000
        core.keep_time()
        assert core.show().status == "running"
        core.do(b.Pause(batch="batch-a"))
        core.do(b.Resume(batch="batch-a"))
        core.append(happened(b.PersonaCompleted))
        core.clock = 20_000
        core.keep_time()
        assert core.show().status == "running"

    def test_a_program_that_was_silent_for_long_goes_on_where_it_was(self, core: Core) -> None:
        core.append(*planned())
        core.clock = 100
        core.keep_time()
        assert core.show().status == "interrupted"
        assert core.do(start_call()) == c.Granted(reserved_nanousd=0)
        assert core.append(happened(b.PersonaGenerating)).anomalies == 0
        assert core.show().status == "running"
        core.clock = 10_000
        core.keep_time()
        assert core.append(happened(b.BatchFinished)).anomalies == 0
        assert core.show().status == "completed"

    def test_a_program_that_ends_without_having_begun_has_ended(self, core: Core) -> None:
        core.append(*planned())
        core.clock = 100
        core.keep_time()
        assert core.append(happened(b.BatchFinished, status="failed")).anomalies == 0
        assert core.show().status == "failed"

    def test_late_words_of_a_lost_runner_do_not_stand_in_for_a_new_one(self, core: Core) -> None:
        core.append(*planned(), happened(b.PersonaGenerating))
        claim(core)
        core.clock = 60
        core.keep_time()
        core.do(b.Resume(batch="batch-a"))
        core.append(happened(b.PersonaCompleted))
        core.clock += UNCLAIMED_MS / 1_000 + 1
        core.keep_time()
        assert (core.show().status, core.show().reason) == ("interrupted", "lease lost")

    def test_what_was_sent_twice_gives_no_batch_that_has_ended_a_deadline(self, core: Core) -> None:
        plan = planned()
        core.append(*plan, happened(b.BatchFinished))
        core.append(*plan)
        assert core.leases.deadlines == {}

    def test_after_an_interruption_another_runner_goes_on_with_another_fence(
        self, core: Core
    ) -> None:
        core.append(*planned())
        first = claim(core)
        core.clock = 60
        core.keep_time()
        core.do(b.Resume(batch="batch-a"))
        second = claim(core, "r2")
        assert second > first
        core.do(Append(events=[cost()], fence=Fence(batch="batch-a", fence=second)))

    def test_a_lease_that_was_released_meanwhile_interrupts_nothing(self, core: Core) -> None:
        core.append(*planned())
        fence = claim(core)
        core.append(happened(b.BatchFinished))
        core.do(b.Resign(batch="batch-a", runner="r1", fence=fence))
        core.clock = 60
        core.keep_time()
        assert core.show().status == "completed"

    def test_a_runner_that_dies_after_the_end_leaves_the_end(self, core: Core) -> None:
        core.append(*planned())
        claim(core)
        core.append(happened(b.BatchFinished))
        core.clock = 60
        core.keep_time()
        assert core.show().status == "completed"

    def test_a_cancelled_batch_has_no_runner(self, core: Core) -> None:
        core.append(*planned())
        fence = claim(core)
        core.do(b.Cancel(batch="batch-a"))
        conflict(core, b.Renew(batch="batch-a", runner="r1", fence=fence))
        assert core.leases.deadlines == {}

    def test_a_pause_that_was_taken_back_leaves_the_runner_in_place(self, core: Core) -> None:
        core.append(*planned(), happened(b.PersonaGenerating))
        fence = claim(core)
        core.do(b.Pause(batch="batch-a"))
        core.do(b.Resume(batch="batch-a"))
        conflict(core, b.Resign(batch="batch-a", runner="r1", fence=fence))
        assert core.do(b.Renew(batch="batch-a", runner="r1", fence=fence)).status == "running"

    def test_after_a_restart_every_lease_has_its_full_time_again(self, core: Core) -> None:
        core.append(*planned())
        claim(core, ttl_ms=5_000)
        core.append(*planned("batch-b"), happened(b.BatchPaused, "batch-b"))
        core.do(b.Resume(batch="batch-b"))
        core.append(*planned("batch-c"))
        core.append(*planned("batch-d"), happened(b.PersonaGenerating, "batch-d"))
        again = Leases()
        again.load(core.db, 100)
        unclaimed = 100 + UNCLAIMED_MS / 1_000
        assert again.deadlines == {"batch-a": 105, "batch-b": unclaimed, "batch-c": unclaimed}

    def test_looking_too_early_does_nothing(self, core: Core) -> None:
        core.append(*planned())
        claim(core)
        with transaction(core.book, last_seq(core.db), core.now) as txn:
            expire(txn, "batch-a", Context(core.leases, core.clock))
            expire(txn, "no-such", Context(core.leases, core.clock))
        assert core.show().status == "queued"
