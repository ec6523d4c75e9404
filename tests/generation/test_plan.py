"""Planning: the same bytes give the same batch, whoever reads them."""

from pathlib import Path

import pytest
from persona.generation.plan import (
    RECORD_IDS_BYTES,
    Plan,
    Wanted,
    make_plan,
    queue_of,
    source_change,
    wanted_by,
)
from persona.generation.sources import SourceError

from personad.contract.base import MAX_EVENT_BYTES
from personad.contract.batch import BatchStarted
from personad.contract.codec import encode

from ..studio import Studio  # noqa: TID252


@pytest.fixture
def maker(house: Path) -> Studio:
    """Only its data: nothing here starts a daemon."""
    return Studio(house)


def plan_of(maker: Studio, count: int = 4, people: int = 12) -> tuple[Plan, BatchStarted]:
    plan = make_plan(Wanted(path=maker.survey(people), count=count, seed=3))
    return plan, maker.planned("batch-a", plan, seed=3)


def test_a_runner_plans_what_the_command_line_planned(maker: Studio) -> None:
    plan, started = plan_of(maker)

    again = make_plan(wanted_by(started))

    assert again.segments == plan.segments
    assert queue_of(started, again.segments) == queue_of(started, plan.segments)


def test_more_personas_than_participants_are_as_many_as_participants(maker: Studio) -> None:
    plan, started = plan_of(maker, count=50, people=6)

    assert plan.total == 6
    assert make_plan(wanted_by(started)).segments == plan.segments


def test_the_queue_is_in_the_order_of_the_segments(maker: Studio) -> None:
    plan, started = plan_of(maker)

    queue = queue_of(started, plan.segments)

    assert [each.index for each in queue] == [1, 2, 3, 4]
    assert [each.segment.digest for each in queue] == [s.digest for s in plan.segments]
    assert queue[0].segment.record_ids == [r.id for r in plan.segments[0].records]
    assert len({each.id for each in queue} | {each.persona for each in queue}) == 8


@pytest.mark.no_cover
def test_a_huge_segment_still_fits_into_an_event(house: Path, maker: Studio) -> None:
    rows = "".join(f"P{n},I want the thing number {n} to work for me.\n" for n in range(20_000))
    (house / "big.csv").write_text("who,what do you want\n" + rows)

    plan = make_plan(Wanted(path=house / "big.csv", count=1))
    (event,) = queue_of(maker.planned("batch-a", plan), plan.segments)

    assert len(encode(event)) < RECORD_IDS_BYTES * 1.5 < MAX_EVENT_BYTES
    assert len(event.segment.record_ids) > 1_000


def test_an_unchanged_source_has_no_change(maker: Studio) -> None:
    plan, started = plan_of(maker)

    assert source_change(started.source, plan.reading) is None


def test_a_grown_source_is_told_by_its_size(maker: Studio) -> None:
    _, started = plan_of(maker)
    reading = make_plan(Wanted(path=maker.survey(13), count=4)).reading

    change = source_change(started.source, reading)

    assert change == f"1 files of {started.source.bytes:,} bytes then, 1 of " + (
        f"{reading.size_bytes:,} now"
    )


def test_a_source_that_only_reads_otherwise_is_told_so(maker: Studio) -> None:
    _, started = plan_of(maker)
    path = Path(started.source.path)
    path.write_text(path.read_text().replace("hate", "love"))

    change = source_change(started.source, make_plan(wanted_by(started)).reading)

    assert change is not None
    assert "but others" in change


def test_a_source_under_another_name_is_told_that_it_keeps_its_own(maker: Studio) -> None:
    _, started = plan_of(maker)
    copy = maker.survey(12, name="copy.csv")

    change = source_change(started.source, make_plan(Wanted(path=copy, count=4)).reading)

    assert change is not None
    assert "it was survey.csv, and this is copy.csv" in change


def test_a_source_that_lies_elsewhere_is_the_same(maker: Studio, tmp_path: Path) -> None:
    _, started = plan_of(maker)
    copy = tmp_path / Path(started.source.path).name
    copy.write_bytes(Path(started.source.path).read_bytes())

    assert source_change(started.source, make_plan(Wanted(path=copy, count=4)).reading) is None


def test_a_source_that_is_gone_is_named(house: Path) -> None:
    with pytest.raises(SourceError, match="doesn't exist"):
        make_plan(Wanted(path=house / "gone", count=3))
