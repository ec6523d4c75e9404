"""How a large ledger is made and kept, and what is told of the questions that it is asked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import msgspec
import pytest

from bench import filled
from bench.asking import QUESTIONS, Question, Window, growth, slowest
from bench.history import Shape
from personad import log
from personad.questions import ANSWERS
from personad.store import open_for_reading

UNTIL = datetime(2026, 11, 23, 22, tzinfo=UTC)
SMALL = Shape(events=600, days=40, until=UNTIL, experiments=3, batches=20)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[apsw.Connection]:
    filled.fill(tmp_path / "ledger.db", SMALL)
    db = open_for_reading(str(tmp_path / "ledger.db"))
    yield db
    db.close()


def test_a_filled_ledger_holds_the_history_without_an_anomaly(ledger: apsw.Connection) -> None:
    assert (log.last_seq(ledger), log.count_anomalies(ledger)) == (600, 0)


def test_what_a_ledger_was_filled_with_is_told(tmp_path: Path) -> None:
    told = filled.fill(tmp_path / "ledger.db", SMALL)

    assert (told.events, told.days, told.experiments, told.batches) == (600, 40, 3, 20)
    assert told.json_bytes > 600 * 200


def test_a_cached_ledger_is_made_once_and_copied(tmp_path: Path) -> None:
    cache, one, other = tmp_path / "cache", tmp_path / "one.db", tmp_path / "other.db"

    made = filled.from_cache(cache, one, SMALL)
    later = filled.from_cache(cache, other, SMALL._replace(until=UNTIL + timedelta(days=1)))

    assert later == made
    assert one.read_bytes() == other.read_bytes()


def test_a_cache_keeps_one_ledger_of_a_size(tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    filled.from_cache(cache, tmp_path / "one.db", SMALL)
    filled.from_cache(cache, tmp_path / "other.db", SMALL._replace(seed=2))

    assert sorted(file.suffix for file in cache.iterdir()) == [".db", ".json"]


def test_a_shape_comes_back_from_the_command_line() -> None:
    assert msgspec.json.decode(msgspec.json.encode(SMALL), type=Shape) == SMALL


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_every_question_that_is_measured_has_an_answer(
    question: Question, zone: str, ledger: apsw.Connection
) -> None:
    request = question.ask(Window(UNTIL - timedelta(days=30), UNTIL, zone))

    assert ANSWERS[type(request)](ledger, request, UNTIL) is not None


def test_the_slowest_question_is_what_counts() -> None:
    found = slowest("here", {"quick": [1.0] * 50, "slow": [2.0] * 48 + [9.0] * 2}, 8.0, "none")

    assert (found.value, found.verdict) == (9.0, "OVER")
    assert "slow" in found.detail


def test_growth_is_that_of_the_question_that_grew_the_most() -> None:
    found = growth({"one": [2.0], "two": [6.0]}, {"one": [2.0], "two": [3.0]})

    assert (found.value, found.verdict) == (2.0, "OVER")
    assert found.peer.startswith("two with ")
