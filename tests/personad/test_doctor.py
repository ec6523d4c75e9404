"""`personad doctor`: what it finds, and how it says to mend it."""

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace
from persona.spool import Spool

from personad import doctor, fetched_prices, price_data
from personad.contract.batch import BatchPaused
from personad.contract.paths import Paths
from personad.doctor import Finding, examine
from personad.migrations import FORMAT

from .conftest import Running
from .facts import happened, planned


def test_a_healthy_ledger(daemon: Running) -> None:
    said = daemon.command("doctor")
    assert said.returncode == 0, said.stdout
    # How old the installed price list is depends on the day of this test.
    lines = [line for line in said.stdout.splitlines() if "price list" not in line]
    assert "warning" not in "\n".join(lines).replace("disk room", "")


def test_nothing_there_yet(paths: Paths) -> None:
    found = {each.what: each for each in examine(paths)}
    assert found["schema"].verdict == "ok"
    assert found["daemon"].verdict == "warning"


def test_a_price_list_that_is_old_or_damaged(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_data, "STALE_AFTER_DAYS", 100_000)
    assert price_list(paths).verdict == "ok"
    monkeypatch.setattr(price_data, "STALE_AFTER_DAYS", -1)
    found = price_list(paths)
    assert found.verdict == "warning"
    assert "genai-prices 0." in found.message
    assert "persona cost prices update" in str(found.mend)
    paths.data_dir.mkdir()
    (paths.data_dir / fetched_prices.FILE).write_text("{")
    assert "can't be used" in price_list(paths).message


def price_list(paths: Paths) -> Finding:
    return next(each for each in examine(paths) if each.what == "price list")


def test_what_is_wrong_is_said_with_its_mend(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.append(happened(BatchPaused, "lost"))
    (daemon.paths.quarantine_dir / "x.quarantine").write_text("{}")
    daemon.paths.data_dir.chmod(0o755)
    monkeypatch.setattr(doctor, "DISK_WARNING_BYTES", 2**62)
    monkeypatch.setattr(doctor, "SQLITE_FLOOR", (99,))
    found = {each.what: each for each in examine(daemon.paths)}
    daemon.paths.data_dir.chmod(0o700)
    assert "chmod 700" in str(found["permissions"].mend)
    assert found["disk room"].verdict == "warning"
    assert found["SQLite"].verdict == "failed"
    assert "1 events fit nowhere" in found["daemon"].message
    assert found["quarantine"].verdict == "warning"


def test_a_ledger_of_another_format_from_another_clock(
    daemon: Running, sqlite: Callable[[Path], apsw.Connection]
) -> None:
    daemon.append(*planned())
    daemon.stop()
    db = sqlite(daemon.paths.database)
    db.execute("UPDATE event SET delay = delay + ?", (10 * 365 * 86_400 * 10**6,))
    db.pragma("user_version", FORMAT + 1)
    found = {each.what: each for each in examine(daemon.paths)}
    assert "yet to come" in found["clock"].message
    assert found["schema"].verdict == "failed"


def test_spools_that_wait_and_a_unit_that_is_installed(paths: Paths, house: Path) -> None:
    unit = house / "home" / ".config" / "systemd" / "user" / "personad.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    with Spool(paths.spool_dir) as spool:
        spool.write(planned())  # type: ignore[arg-type]
        found = {each.what: each for each in examine(paths)}
    assert found["spool"].message == "3 events wait to be taken in"
    assert found["systemd"].message == f"{unit} is installed"


def test_a_socket_s_path_that_is_too_long(paths: Paths, house: Path) -> None:
    long = replace(paths, live_socket=house / ("long" * 30))
    found = {each.what: each for each in examine(long)}
    assert found["socket"].verdict == "failed"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_somebody_else_s_folder(paths: Paths) -> None:
    paths.data_dir.mkdir(mode=0o700)
    os.chown(paths.data_dir, 65_534, -1)
    found = {each.what: each for each in examine(paths)}
    assert "belongs to user 65534" in found["permissions"].message


def test_a_file_in_the_ledger_s_place(paths: Paths) -> None:
    paths.data_dir.write_text("mine")
    found = {each.what: each for each in examine(paths)}
    assert found["permissions"].message == f"{paths.data_dir} is no folder"
    assert Running(paths).command("doctor").returncode == 1


def test_a_damaged_database_is_a_finding_and_no_crash(paths: Paths) -> None:
    paths.data_dir.mkdir(mode=0o700)
    paths.database.write_bytes(b"garbage" * 1_000)
    found = {each.what: each.verdict for each in examine(paths)}
    assert found["schema"] == "failed"


def test_a_full_disk_and_a_clock_that_stands(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISK_FAILED_BYTES", 2**62)
    monkeypatch.setattr(doctor, "CLOCK_FLOOR", doctor.datetime.max.replace(tzinfo=doctor.UTC))
    found = {each.what: each.verdict for each in examine(paths)}
    assert (found["disk room"], found["clock"]) == ("failed", "failed")
