"""Spools of many real producers, while real daemons come and go."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from persona.identity import event_id, now
from persona.spool import Spool

from personad import launch
from personad.contract import spool as form
from personad.contract.admin import Status
from personad.contract.events import Read
from personad.contract.paths import Paths
from personad.contract.quality import GoalCleared
from tests.chaos.spools import storm
from tests.chaos.vitals import ledger

ROUNDS = 3


def goal(metric: str = "m") -> GoalCleared:
    return GoalCleared(id=event_id(), at=now(), metric=metric)


def backlog(paths: Paths) -> int:
    """What `personad status` says waits in the spools."""
    command = [sys.executable, "-m", "personad", "--ledger", str(paths.data_dir), "status"]
    said = subprocess.run([*command, "--json"], capture_output=True, check=True, timeout=60)
    found = json.loads(said.stdout)["spool_backlog"]
    assert isinstance(found, int)
    return found


def metrics(paths: Paths) -> list[str]:
    events = [each.event for each in launch.ask(paths, Read(limit=10_000)).events]
    return [event.metric for event in events if isinstance(event, GoalCleared)]


@pytest.mark.cold
def test_many_producers_spool_while_daemons_die_stop_and_can_not_write(house: Path) -> None:
    found = storm(house, ROUNDS, random.Random(20261123))
    assert found.is_good, found
    assert found.read_only == 1
    assert found.largest_backlog > 0


def test_status_tells_what_waits_until_its_producer_lets_go_of_it(house: Path) -> None:
    with ledger(house / "L") as (paths, _):
        with Spool(paths.spool_dir) as spool:
            spool.write([goal(), goal(), goal()])
            assert backlog(paths) == 3
        while backlog(paths):
            pass
        assert metrics(paths) == ["m", "m", "m"]


def test_what_was_spooled_before_there_was_a_ledger_is_taken_by_the_first_daemon(
    house: Path,
) -> None:
    folders = [house / "L" / "spool"] * 8
    spools = [Spool(folder) for folder in folders]
    for number, spool in enumerate(spools):
        spool.write([goal(f"m{number}")])
        spool.close()
    with ledger(house / "L") as (paths, _):
        while backlog(paths):
            pass
        assert metrics(paths) == [f"m{number}" for number in range(8)]


def test_a_torn_record_is_dropped_by_the_daemon_and_the_whole_ones_before_it_are_taken(
    house: Path,
) -> None:
    with Spool(house / "L" / "spool") as spool:
        file = spool.write([goal("first"), goal("second"), goal("torn")]).file
    os.truncate(file, file.stat().st_size - 1)
    with ledger(house / "L") as (paths, _):
        while file.exists():
            pass
        assert metrics(paths) == ["first", "second"]
        assert launch.ask(paths, Status()).quarantined == 0
        assert "torn=1" in paths.log_file.read_text()


def test_a_spool_that_is_put_back_after_it_was_taken_counts_once(house: Path) -> None:
    with Spool(house / "L" / "spool") as spool:
        file = spool.write([goal("a"), goal("b")]).file
    again = file.read_bytes()
    assert form.MARKER in again
    with ledger(house / "L") as (paths, _):
        for _ in range(3):
            while file.exists():
                pass
            file.write_bytes(again)
        while file.exists():
            pass
        assert metrics(paths) == ["a", "b"]


def test_a_ledger_that_can_not_be_written_leaves_the_spool_and_takes_it_later(house: Path) -> None:
    with ledger(house / "L") as (paths, _):
        other = apsw.Connection(str(paths.database))
        other.set_busy_timeout(10_000)
        other.execute("BEGIN IMMEDIATE")
        with Spool(paths.spool_dir) as spool:
            spool.write([goal("a")])
        while launch.ask(paths, Status(), 30).mode != "read-only":
            pass
        assert backlog(paths) == 1
        other.execute("ROLLBACK")
        other.close()
        while backlog(paths):
            pass
        assert metrics(paths) == ["a"]
        assert launch.ask(paths, Status()).mode == "normal"
