"""`persona events` against a real daemon."""

import io
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from persona.client import Ledger
from persona.program import run

from personad.contract.admin import Retention
from personad.contract.batch import BatchShow
from personad.contract.events import AnyEvent
from tests.personad.facts import cost

from .conftest import BATCH, failed, finished, made, started

Captured = pytest.CaptureFixture[str]

FULL = [*started(), *made(), *failed(), *finished("partial")]


def lines(events: list[AnyEvent]) -> bytes:
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_empty_ledger_says_what_makes_the_first_event(ledger: Ledger, capsys: Captured) -> None:
    assert run(["events", "tail"]) == 0

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "persona generate" in shown.err


def test_tail_shows_a_line_an_event_with_what_is_worth_knowing(
    ledger: Ledger, capsys: Captured
) -> None:
    ledger.append(FULL)

    run(["events", "tail"])

    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(FULL)
    assert shown[0].split() == [
        *("2026-11-23", "12:00:00", "1", "batch.started", BATCH),
        *("2", "from", "/data", "with", "local/local-1"),
    ]
    assert "Anna: 0.82, accepted, 1.5s" in shown[5]
    assert "after 4 attempts: invalid_output: no JSON in it" in shown[6]


@pytest.mark.parametrize(
    ("arguments", "seqs"),
    [
        (["-n", "2"], [7, 8]),
        (["-n", "0"], []),
        (["--from-seq", "7"], [7, 8]),
        (["--from-seq", "0", "--type", "persona.queued"], [2, 3]),
        (["--type", "batch.started", "-n", "1"], [1]),
        (["--type", "persona.queued", "--type", "batch.finished"], [2, 3, 8]),
        (["--batch", "last", "-n", "1"], [8]),
    ],
)
def test_tail_shows_the_newest_that_were_asked_for(
    ledger: Ledger, arguments: list[str], seqs: list[int], capsys: Captured
) -> None:
    ledger.append(FULL)

    assert run(["events", "tail", "--json", *arguments]) == 0

    assert [line["seq"] for line in documents(capsys.readouterr().out)] == seqs


def test_an_anomaly_is_shown_as_not_counted(ledger: Ledger, capsys: Captured) -> None:
    ledger.append([*finished("completed")])

    run(["events", "tail"])

    assert "not counted: " in capsys.readouterr().out


def test_tail_goes_on_with_what_comes_in(ledger: Ledger) -> None:
    ledger.append(started())
    with subprocess.Popen(
        [sys.executable, "-m", "persona", "events", "tail", "-f", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        before = [json.loads(process.stdout.readline())["seq"] for _ in range(3)]
        ledger.append(made())
        after = [json.loads(process.stdout.readline())["seq"] for _ in range(3)]
        process.send_signal(2)
        _, told = process.communicate(timeout=30)

    assert (before, after) == ([1, 2, 3], [4, 5, 6])
    assert (process.returncode, told) == (130, "persona: interrupted\n")


def test_an_export_can_be_taken_back_by_another_ledger(
    ledger: Ledger, house: Path, capsys: Captured
) -> None:
    ledger.append(FULL)
    before = ledger.ask(BatchShow(batch=BATCH))
    run(["events", "export", "-o", "all.jsonl"])
    other = ["--ledger", str(house / "other")]

    try:
        status = run([*other, "events", "import", "all.jsonl"])
        capsys.readouterr()
        run([*other, "batch", "show", "last", "--json"])
        run(["batch", "show", "last", "--json"])
    finally:
        subprocess.run([sys.executable, "-m", "personad", *other, "stop"], check=True)

    theirs, ours = documents(capsys.readouterr().out)[:2]
    assert status == 0
    assert theirs.pop("as_of") != ours.pop("as_of")
    assert theirs == ours
    assert before.status == "partial"


def test_an_export_has_a_line_an_event(ledger: Ledger, capsys: Captured) -> None:
    ledger.append(FULL)

    assert run(["events", "export"]) == 0

    shown = capsys.readouterr()
    exported = documents(shown.out)
    assert [line["event"]["type"] for line in exported][:2] == ["batch.started", "persona.queued"]
    assert set(exported[0]) == {"event", "receipt", "derived"}
    assert shown.err == f"{len(FULL)} events exported\n"


def test_an_export_says_what_retention_has_dropped(ledger: Ledger, capsys: Captured) -> None:
    ledger.append(FULL)
    ledger.append([cost("old", at=datetime(2020, 1, 1, tzinfo=UTC), batch=None)])
    ledger.ask(Retention())

    assert run(["events", "export"]) == 0

    shown = capsys.readouterr()
    assert len(documents(shown.out)) == len(FULL)
    assert "not among them: 1 event that retention has dropped" in shown.err
    assert "`personad backup FILE`" in shown.err


def test_an_export_that_fails_leaves_the_file_as_it_was(
    ledger: Ledger, house: Path, capsys: Captured
) -> None:
    (house / "work" / "all.jsonl").write_text("before")
    subprocess.run([sys.executable, "-m", "personad", "stop"], check=True, capture_output=True)

    status = run(["--no-autostart", "events", "export", "-o", "all.jsonl"])

    subprocess.run([sys.executable, "-m", "personad", "start"], check=True, capture_output=True)
    assert status == 69
    assert os.listdir(house / "work") == ["all.jsonl"]
    assert (house / "work" / "all.jsonl").read_text() == "before"


def test_an_export_into_a_folder_that_is_not_there_is_64(ledger: Ledger, capsys: Captured) -> None:
    assert run(["events", "export", "-o", "nowhere/all.jsonl"]) == 64
    assert "nowhere" in capsys.readouterr().err


def test_an_export_may_go_to_a_device(ledger: Ledger, capsys: Captured) -> None:
    ledger.append(started())

    assert run(["events", "export", "-o", "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()


def test_importing_twice_does_no_harm(ledger: Ledger, house: Path, capsys: Captured) -> None:
    (house / "work" / "events.jsonl").write_bytes(lines(FULL))

    first = run(["events", "import", "events.jsonl", "--json"])
    second = run(["events", "import", "events.jsonl", "--json"])

    one, two = documents(capsys.readouterr().out)
    assert (first, second) == (0, 0)
    assert (one["imported"], one["duplicates"]) == (len(FULL), 0)
    assert (two["imported"], two["duplicates"]) == (0, len(FULL))


def test_import_reads_bare_events_from_standard_input(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    text = b"\xef\xbb\xbf" + lines(started()).replace(b"\n", b"\r\n\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    assert run(["events", "import", "-"]) == 0
    assert capsys.readouterr().out == "3 events imported\n"


def test_a_bad_line_is_named_and_stops_nothing_good(
    ledger: Ledger, house: Path, capsys: Captured
) -> None:
    one, two, three = lines(started()).splitlines(keepends=True)
    negative = two.replace(b'"index":1', b'"index":-1')
    broken = (
        one + b"{broken\n" + negative + b'{"type":"batch.exploded"}\n' + two + b"\xff\n" + three
    )
    (house / "work" / "events.jsonl").write_bytes(broken)

    status = run(["events", "import", "events.jsonl"])

    shown = capsys.readouterr()
    assert status == 1
    assert shown.out == "3 events imported, 4 bad lines\n"
    told = shown.err.splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        f"events.jsonl:{number}" for number in (2, 3, 4, 6)
    ]
    assert "$.index" in told[1]


def test_a_strict_import_takes_nothing_after_the_first_bad_line(
    ledger: Ledger, house: Path, capsys: Captured
) -> None:
    one, two, three = lines(started()).splitlines(keepends=True)
    (house / "work" / "events.jsonl").write_bytes(one + two + b"{\n" + three)

    assert run(["events", "import", "--strict", "events.jsonl"]) == 65
    assert capsys.readouterr().out == "2 events imported, 1 bad line\n"


def test_a_file_without_a_good_line_is_bad_data(
    ledger: Ledger, house: Path, capsys: Captured
) -> None:
    (house / "work" / "events.jsonl").write_bytes(b"no JSON\n" * 25)

    assert run(["events", "import", "events.jsonl"]) == 65

    told = capsys.readouterr().err.splitlines()
    assert len(told) == 21
    assert told[-1] == "… and 5 more bad lines"


def test_an_import_shows_how_far_it_is_where_somebody_looks(ledger: Ledger, house: Path) -> None:
    (house / "work" / "events.jsonl").write_bytes(lines(FULL))
    ours, theirs = pty.openpty()

    ended = subprocess.run(
        [sys.executable, "-m", "persona", "events", "import", "events.jsonl"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
    )

    assert os.read(ours, 1_000) == f"\r{len(FULL)} events imported\r\x1b[K".encode()
    assert ended.stdout == f"{len(FULL)} events imported\n".encode()
    os.close(ours)
    os.close(theirs)


def test_a_file_that_is_not_there_is_named(ledger: Ledger, capsys: Captured) -> None:
    assert run(["events", "import", "nowhere.jsonl"]) == 65
    assert capsys.readouterr().err.startswith("persona: no such file or directory (nowhere.jsonl)")
