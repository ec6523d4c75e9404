"""A ledger of format 1, kept in tests/data, is opened, led on, sound and read by every release."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import apsw
import msgspec
import pytest

from personad.contract.admin import Status
from personad.contract.base import VERSION
from personad.contract.events import Read, Recorded
from personad.contract.schema import tag
from personad.kinds import KINDS
from personad.log import last_seq, read
from personad.migrations import FORMAT, format_of
from personad.store import ledger_id, open_for_writing
from tests.ledgers import damage_of, is_sound
from tests.make_v1_ledger import ANSWERS, DATABASE, EVENTS, answers

from .conftest import Running
from .facts import cost

ESTIMATES = ("eta_ms", "projected_nanousd")
"""What a release may know better than the one before."""
RECORDED = [
    msgspec.json.decode(line, type=Recorded) for line in EVENTS.read_bytes().splitlines() if line
]


@pytest.fixture
def path(house: Path) -> Path:
    shutil.copy(DATABASE, house / "ledger.db")
    return house / "ledger.db"


@pytest.fixture
def opened(path: Path) -> Iterator[apsw.Connection]:
    with closing(open_for_writing(str(path))) as db:
        yield db


def test_it_was_made_by_format_1() -> None:
    with closing(apsw.Connection(str(DATABASE), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        assert format_of(db) == 1
    assert not DATABASE.with_name(f"{DATABASE.name}-wal").exists()


def test_it_has_an_event_of_every_kind_of_its_time() -> None:
    of_its_time = [kind for kind, code in KINDS.items() if code <= 50]
    assert {tag(type(each.event)) for each in RECORDED} == set(of_its_time)


def test_opening_leads_it_to_this_format_and_leaves_it_sound(
    path: Path, opened: apsw.Connection
) -> None:
    assert format_of(opened) == FORMAT
    assert ledger_id(opened) == "ledger-of-format-1"
    assert is_sound(path)


def test_every_event_is_read_as_it_was_recorded(opened: apsw.Connection) -> None:
    assert list(read(opened)) == RECORDED
    assert last_seq(opened) == len(RECORDED)


def test_its_tables_are_what_its_events_come_to(path: Path, opened: apsw.Connection) -> None:
    assert damage_of(path) is None


def test_every_question_is_answered_as_then(opened: apsw.Connection) -> None:
    then = [json.loads(line) for line in ANSWERS.read_bytes().splitlines() if line]
    now = [json.loads(answer) for answer in answers(opened)]
    assert len(now) == len(then)
    for asked, found in zip(then, now, strict=True):
        _holds(found, asked)


def _holds(found: Any, then: Any) -> None:
    """Fields may have been added since; none may say another thing, but for an estimate."""
    if isinstance(then, dict):
        for name, value in then.items():
            if name not in ESTIMATES:
                _holds(found[name], value)
    elif isinstance(then, list):
        assert len(found) == len(then)
        for one, other in zip(found, then, strict=True):
            _holds(one, other)
    else:
        assert found == then


@pytest.fixture
def of_format_1(stopped: Running) -> Running:
    stopped.paths.data_dir.mkdir(mode=0o700)
    shutil.copy(DATABASE, stopped.paths.database)
    stopped.paths.database.chmod(0o600)
    return stopped


@pytest.mark.parametrize("word", ["verify", "rebuild"])
def test_it_is_not_called_damaged_for_its_age(of_format_1: Running, word: str) -> None:
    said = of_format_1.command(word)
    assert (said.returncode, said.stdout) == (75, "")
    assert f"has format 1, and this personad {VERSION} works with format {FORMAT}" in said.stderr
    assert "`personad start`" in said.stderr
    of_format_1.start()
    assert of_format_1.command(word).returncode == 0


def test_a_daemon_goes_on_with_it(of_format_1: Running) -> None:
    stopped = of_format_1.start()
    assert stopped.ask(Read()).events == RECORDED
    assert stopped.ask(Status()).anomalies == sum(bool(each.anomaly) for each in RECORDED) > 0
    assert stopped.append(cost("afterwards", id=uuid4())).first_seq == len(RECORDED) + 1
