"""The benchmark's own arithmetic and tables; what it measures is measured by running it."""

import os
import random
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from persona.generation.sources import read_sources

from bench import __main__ as program
from bench import corpus, process, reading, watching
from bench import machine as machines
from bench.events import costs, made, queued, whole_batch
from bench.figure import Figure, Interval, beside
from bench.house import house
from bench.machine import Machine, machine, wait_until_quiet
from bench.page import page
from bench.registry import MEASUREMENTS
from bench.report import Report, as_text
from bench.rows import INSERT, bare_database, rows_of
from bench.sampling import percentile, ratio_interval, ratio_of_medians, spread
from personad import log
from personad.projections.book import Book
from personad.store import open_for_writing
from personad.transaction import transaction

BENCH = Path(program.__file__).parent
TIMES = st.lists(st.floats(0.001, 1_000), min_size=1, max_size=50)


def figure(value: float = 1.0, limit: float | None = 2.0, **more: object) -> Figure:
    told = {"name": "a thing", "unit": "ms", "peer": "another: 1 ms", "detail": "of 3"}
    return msgspec.convert(told | {"value": value, "limit": limit} | more, Figure)


def report(*figures: Figure) -> Report:
    where = Machine(
        cpu="Test CPU",
        cores=2,
        memory_gb=1.0,
        system="Linux 6",
        python="CPython 3.11",
        sqlite="3.50",
        disk="ext4 on /dev/vda",
        load=0.1,
        commit="abc123",
    )
    began_at = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
    return Report(machine=where, began_at=began_at, took_s=61.4, figures=list(figures))


def test_every_measurement_in_the_folder_is_registered() -> None:
    with_function = {
        f"bench.{file.stem}"
        for file in BENCH.glob("*.py")
        if "\ndef measure() -> list[Figure]:" in file.read_text(encoding="utf-8")
    }

    assert {each.measure.__module__ for each in MEASUREMENTS.values()} == with_function


def test_every_measurement_says_what_it_asks() -> None:
    assert all(each.question.endswith("?") for each in MEASUREMENTS.values())


def test_a_figure_at_its_limit_is_within_it() -> None:
    assert figure(2.0, 2.0).verdict == "ok"


def test_a_figure_past_its_limit_is_over() -> None:
    assert figure(2.001, 2.0).verdict == "OVER"


def test_a_figure_at_the_least_that_is_good_is_within_it() -> None:
    assert figure(2.0, 2.0, at_least=True).verdict == "ok"


def test_a_figure_that_does_not_reach_the_least_that_is_good_is_under() -> None:
    assert figure(1.999, 2.0, at_least=True).verdict == "UNDER"


def test_a_figure_without_a_limit_has_no_verdict() -> None:
    assert figure(1e9, None).verdict == ""


def test_a_peer_is_shown_with_how_many_times_it_the_figure_is() -> None:
    assert beside("a bare loop", 2.0, 5.0, "ms") == "a bare loop: 2 ms, 2.5 ×"


def test_a_peer_that_took_nothing_is_shown_without_a_ratio() -> None:
    assert beside("nothing", 0.0, 5.0, "%") == "nothing: 0 %"


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 5), (90, 9), (99, 10), (100, 10), (10, 1), (0.1, 1)]
)
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(
    percent: float, expected: float
) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == expected


@pytest.mark.parametrize("percent", [0, -1, 100.5])
def test_a_percentile_outside_its_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="not above 0 and at most 100"):
        percentile([1.0], percent)


def test_an_empty_sample_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="without values"):
        percentile([], 50)


@given(sample=TIMES, percent=st.floats(0.1, 100))
def test_a_percentile_is_one_of_the_sample_and_covers_its_share(
    sample: Sequence[float], percent: float
) -> None:
    found = percentile(sample, percent)

    assert found in sample
    assert sum(value <= found for value in sample) >= len(sample) * percent / 100 - 1e-9


def test_a_ratio_is_of_the_medians() -> None:
    assert ratio_of_medians([30, 10, 1_000], [10, 20, 30]) == 1.5


def test_the_interval_of_a_ratio_holds_the_ratio_and_narrows_with_the_noise() -> None:
    rng = random.Random(7)
    peer = [rng.gauss(50, 2) for _ in range(40)]
    quiet = [rng.gauss(100, 2) for _ in range(40)]
    noisy = [rng.gauss(100, 20) for _ in range(40)]

    narrow, wide = (ratio_interval(each, peer, random.Random(1)) for each in (quiet, noisy))

    assert narrow.low <= ratio_of_medians(quiet, peer) <= narrow.high
    assert narrow.high - narrow.low < wide.high - wide.low


def test_the_interval_of_a_ratio_is_blind_to_what_slows_both_down() -> None:
    peer = [10.0, 20.0, 40.0, 80.0]

    found = ratio_interval([2 * value for value in peer], peer, random.Random(1), resamples=100)

    assert found == Interval(2.0, 2.0)


def test_samples_of_different_lengths_have_no_interval() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio_interval([1.0, 2.0], [1.0], random.Random(1))


@given(sample=TIMES)
def test_a_spread_holds_the_median(sample: Sequence[float]) -> None:
    found = spread(sample)

    assert found.low <= median(sample) <= found.high


def test_a_delay_ends_when_a_number_or_a_later_one_is_seen() -> None:
    sent = [(1, 1_000_000), (2, 3_000_000), (5, 9_000_000)]
    seen = [(2, 4_000_000), (7, 12_000_000)]

    assert watching.delays_ms(sent, seen) == [3.0, 1.0, 3.0]


def test_a_number_that_was_never_seen_is_an_error() -> None:
    with pytest.raises(ValueError, match="never saw 3"):
        watching.delays_ms([(3, 0)], [(2, 1)])


def test_a_report_shows_the_machine_each_figure_its_limit_and_its_peer() -> None:
    shown = as_text(report(figure(1.234, 2.0, interval={"low": 1.0, "high": 1.5})))

    assert "Test CPU" in shown
    assert "2026-11-23 10:30:00 UTC, 61 s" in shown
    (line,) = (line for line in shown.splitlines() if line.startswith("a thing"))
    assert " ".join(line.split()) == "a thing 1.23 ms 1.00 to 1.50 ≤ 2 ms ok another: 1 ms of 3"
    assert shown.endswith("every figure is within its limit\n")


def test_a_report_names_what_is_over_and_what_is_under() -> None:
    slow, weak = figure(3.0, name="a slow thing"), figure(1.0, name="a weak one", at_least=True)

    shown = as_text(report(figure(1.0), slow, weak, figure(9.0, None)))

    assert shown.endswith("not within the limit: a slow thing, a weak one\n")


def test_a_report_shows_on_which_side_of_the_limit_it_is_good() -> None:
    shown = as_text(report(figure(1.0, 2.0), figure(1.0, 0.3, at_least=True)))

    assert "≤ 2 ms" in shown
    assert "≥ 0.3 ms" in shown


@pytest.mark.parametrize(
    ("value", "written"), [(0.0123, "0.01"), (34.56, "34.6"), (345.6, "346"), (22_926.0, "22,926")]
)
def test_an_amount_is_written_with_as_many_digits_as_it_deserves(
    value: float, written: str
) -> None:
    assert f" {written} ms " in as_text(report(figure(value, None)))


def test_the_page_has_the_figures_and_says_what_each_measurement_means() -> None:
    shown = page(report(figure(1.234), figure(3.0, name="a slow thing")))

    assert "| a slow thing | 3.00 ms | – | ≤ 2 ms | OVER |" in shown
    assert all(f"**{name}**: {each.question}" in shown for name, each in MEASUREMENTS.items())


def test_the_page_says_when_the_machine_was_busy() -> None:
    quiet = report(figure())
    busy = msgspec.structs.replace(quiet, machine=msgspec.structs.replace(quiet.machine, load=3.2))

    assert "at other work" in page(busy)
    assert "at other work" not in page(quiet)


def test_a_report_comes_back_from_its_document() -> None:
    one = report(figure(1.0, interval={"low": 0.5, "high": 1.5}), figure(2.0, None))

    assert msgspec.json.decode(msgspec.json.encode(one), type=Report) == one


def test_the_machine_is_described() -> None:
    found = machine()

    assert found.cores >= 1
    assert found.memory_gb > 0
    assert " on " in found.disk


def test_a_quiet_machine_is_waited_for_no_longer_than_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machines, "LOOK_S", 0.02)

    assert 0 <= wait_until_quiet(0) <= 1


def test_this_process_has_memory_a_peak_and_time_on_a_core() -> None:
    assert 0 < process.resident_mb(os.getpid()) <= process.peak_mb(os.getpid())
    assert process.cpu_s(os.getpid()) > 0


def test_what_a_thread_took_counts_when_it_has_ended() -> None:
    def work() -> None:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass

    before = process.cpu_s(os.getpid())
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert process.cpu_s(os.getpid()) - before >= 0.05


def test_a_process_that_has_ended_has_no_memory() -> None:
    with pytest.raises(ProcessLookupError):
        process.resident_mb(2**22 + 1)
    with pytest.raises(ProcessLookupError):
        process.cpu_s(2**22 + 1)


def test_a_house_sees_nothing_of_the_environment_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERSONA_LEDGER", "/somewhere/else")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    with house() as here:
        folder = here.folder
        assert not [name for name in here.environment if name.startswith(("PERSONA", "PYTHON"))]
        assert here.paths.database.is_relative_to(folder)
        assert here.paths.api_socket.is_relative_to(folder)

    assert not folder.exists()


def test_the_made_up_events_fit_each_other(tmp_path: Path) -> None:
    events = [*whole_batch(1, total=3), *queued(2, total=2), *made(2, 1), *costs(50, seed=1)]
    now = datetime(2026, 11, 23, tzinfo=UTC)
    db = open_for_writing(str(tmp_path / "ledger.db"))

    with transaction(Book(db, ZoneInfo("UTC")), 0, now) as txn:
        txn.add(events)
    found = len(list(log.read(db))), log.count_anomalies(db)
    db.close()

    assert found == (len(events), 0)


def test_bare_rows_hold_what_the_log_would_hold(tmp_path: Path) -> None:
    events = list(costs(5, seed=1))
    db = bare_database(tmp_path / "bare.db")

    words: dict[str, int] = {}
    db.executemany(INSERT, rows_of(events, words))
    db.executemany("INSERT INTO word (text, key) VALUES (?, ?)", list(words.items()))
    found = [each.event for each in log.read(db)]
    modes = db.pragma("journal_mode"), db.pragma("synchronous")
    db.close()

    assert found == events
    assert modes == ("wal", 2)


def test_a_made_up_survey_has_as_many_records_as_asked(tmp_path: Path) -> None:
    corpus.survey(tmp_path / "survey.csv", 40)

    found = read_sources(tmp_path / "survey.csv")

    assert len({record.participant for record in found.records}) == 40


def test_made_up_interviews_are_all_read_and_of_about_equal_size(tmp_path: Path) -> None:
    size_bytes = corpus.interviews(tmp_path / "many", 6)
    sizes = [file.stat().st_size for file in (tmp_path / "many").iterdir()]

    found = read_sources(tmp_path / "many")

    assert len(found.files) == 6
    assert sum(sizes) == size_bytes
    assert max(sizes) < 1.5 * min(sizes)


def test_the_files_that_memory_is_measured_with_grow_tenfold() -> None:
    _, some, many = reading.FILES

    assert many == 10 * some


def test_the_program_lists_what_it_can_measure() -> None:
    told = CliRunner().invoke(program.main, ["--list"])

    assert told.exit_code == 0
    assert [line.split()[0] for line in told.output.splitlines()] == list(MEASUREMENTS)


def test_the_program_refuses_what_it_does_not_know() -> None:
    told = CliRunner().invoke(program.main, ["wings"])

    assert told.exit_code == 2
    assert "'wings' is not one of" in told.output
