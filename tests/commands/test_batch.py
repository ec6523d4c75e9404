"""`persona batch` against a real daemon."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from persona.client import Ledger
from persona.outcome import exit_status
from persona.program import run
from persona.render import plain
from persona.render.batches import batch_list

from personad.contract.admin import Status
from personad.contract.batch import BatchList, BatchShow
from personad.contract.events import AnyEvent

from .conftest import BATCH, failed, finished, made, paused, started

PERSONA = (sys.executable, "-m", "persona")
OTHER = "batch-2026-11-23-ffffff"


def test_an_empty_list_says_what_to_do_next(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["batch", "list"]) == 0

    shown = capsys.readouterr()
    assert shown.out.startswith("Batch  Experiment  Status")
    assert shown.err == "no batch yet; `persona generate --from PATH` makes one\n"


def test_an_empty_list_that_was_narrowed_says_so(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["batch", "list", "--status", "failed", "--status", "partial"]) == 0

    assert capsys.readouterr().err.startswith("no batch that is failed or partial;")


def test_list_as_json_has_exactly_the_fields_of_the_contract(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *made(), *failed(), *finished("partial")])

    assert run(["batch", "list", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == {
        "batches": [
            {
                "batch": BATCH,
                "experiment": "first",
                "status": "partial",
                "provider": "local",
                "model": "local-1",
                "total": 2,
                "completed": 1,
                "failed": 1,
                "started_at": "2026-11-23T12:00:00Z",
                "cost_usd": 0.0042,
            }
        ]
    }


def test_list_as_text(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.append([*started(), *made()])

    run(["batch", "list"])

    assert capsys.readouterr().out.splitlines() == [
        "Batch                    Experiment  Status   Provider  Model    Total  Completed  Failed"
        "  Started                 Cost",
        "batch-2026-11-23-a1b2c3  first       running  local     local-1      2          1       0"
        "  2026-11-23 12:00:00  $0.0042",
    ]


def test_a_narrow_list_tells_the_same_in_fewer_columns(ledger: Ledger) -> None:
    ledger.append([*started(), *made()])
    view = batch_list(ledger.ask(BatchList()))

    text = plain.render(view, 84)

    assert text.splitlines()[0].split() == [
        *("Batch", "Experiment", "Status", "Model", "Done", "Started", "Cost")
    ]
    assert text.splitlines()[1].split()[1:] == [
        *("first", "running", "local/local-1", "1/2", "2026-11-23", "$0.0042")
    ]


def test_list_is_narrowed_by_status_and_number(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *finished("cancelled"), *started(OTHER)])

    run(["batch", "list", "--status", "cancelled", "--json"])
    cancelled = json.loads(capsys.readouterr().out)["batches"]
    run(["batch", "list", "-L", "1", "--json"])
    one = json.loads(capsys.readouterr().out)["batches"]

    assert [row["batch"] for row in cancelled] == [BATCH]
    assert len(one) == 1


def test_list_in_the_other_formats_and_into_a_file(
    ledger: Ledger, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *made()])

    run(["batch", "list", "--format", "markdown"])
    run(["batch", "list", "--format", "csv", "-o", "list.csv"])
    run(["batch", "list", "-o", "list.txt"])
    run(["batch", "list", "--json", "-o", "list.json"])

    shown = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO((house / "work" / "list.csv").read_text())))
    assert shown.out.startswith("| Batch | Experiment |")
    assert rows[0]["Cost"] == "0.0042"
    assert rows[0]["Started"] == "2026-11-23T12:00:00Z"
    assert (house / "work" / "list.txt").read_text().startswith("Batch ")
    assert json.loads((house / "work" / "list.json").read_text())["batches"]


def test_show_as_json_has_the_fields_of_the_contract_in_their_order(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *made(), *failed()])

    assert run(["batch", "show", BATCH, "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    promised = (
        *("batch", "experiment", "status", "provider", "model", "total", "counts"),
        *("started_at", "finished_at", "elapsed_s", "slept_s", "eta_s", "cost", "personas"),
    )
    assert [field for field in document if field in promised] == list(promised)
    assert document["cost"]["spent_usd"] == 0.0042
    assert set(document["cost"]) == {
        f"{name}_usd" for name in ("spent", "reserved", "unresolved", "projected", "budget")
    }
    first, second = document["personas"]
    assert (first["name"], first["quality"], first["duration_s"]) == ("Anna", 0.82, 1.5)
    assert (first["accepted"], first["cost_usd"], first["attempts"]) == (True, 0.0042, 1)
    assert (second["status"], second["error"]["kind"]) == ("failed", "invalid_output")


def test_show_as_text_has_facts_personas_and_no_escape_codes(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *made(name="\x1b[31mAnna\x1b[0m [b]"), *failed()])

    run(["batch", "show", "last"])

    shown = capsys.readouterr().out
    assert "Personas    1 of 2 completed, 1 failed\n" in shown
    assert "Anna [b]" in shown
    assert "invalid_output: no JSON in it" in shown
    assert "\x1b" not in shown


def test_an_unknown_batch_is_named_with_the_nearest(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append(started())

    assert run(["batch", "show", "batch-2026-11-23-a1b2c4"]) == 64
    assert BATCH in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "logs", "wait", "watch"])
def test_every_verb_refuses_an_unknown_batch(ledger: Ledger, verb: str) -> None:
    assert run(["batch", verb, "nothing"]) == 64


def test_pausing_says_what_has_taken_effect_and_what_comes_next(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append(started())

    assert run(["batch", "pause", "last"]) == 0

    shown = capsys.readouterr()
    assert shown.out.startswith(f"{BATCH}: paus")
    assert ledger.ask(BatchShow(batch=BATCH)).status in ("paused", "pausing")


def test_steering_answers_in_json_where_asked(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append(started())

    assert run(["batch", "cancel", BATCH[:-2], "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["status"] == "cancelled"


def test_what_its_state_forbids_is_answered_no(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *finished("completed")])

    assert run(["batch", "cancel", "last"]) == 1
    assert capsys.readouterr().err.startswith("persona: ")


@pytest.mark.parametrize(
    ("end", "status"),
    [("completed", 0), ("partial", 1), ("failed", 1), ("cancelled", 1)],
)
def test_waiting_for_what_has_ended_answers_at_once(
    ledger: Ledger, end: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *finished(end)])  # type: ignore[arg-type]

    assert run(["batch", "wait", "last", "--json"]) == status
    assert json.loads(capsys.readouterr().out)["status"] == end


@pytest.mark.parametrize(("reason", "status"), [("budget", 75), ("breaker", 75), ("user", 130)])
def test_waiting_for_what_stands_still_says_how_to_go_on(
    ledger: Ledger, reason: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *made(), *paused(reason)])

    assert run(["batch", "wait", "last"]) == status
    assert f"`persona batch resume {BATCH}` goes on with it" in capsys.readouterr().err


def test_a_batch_that_goes_on_has_no_end_yet(ledger: Ledger) -> None:
    ledger.append([*started(), *made()])

    assert exit_status(ledger.ask(BatchShow(batch=BATCH))) is None


def test_logs_prints_what_the_runner_wrote_made_harmless(
    ledger: Ledger, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append(started())
    folder = house / "ledger" / "runs" / BATCH
    folder.mkdir(parents=True)
    (folder / "runner.log").write_text("one\n\x1b[2Jtwo\nthree\n")

    assert run(["batch", "logs", "last"]) == 0
    assert run(["batch", "logs", "last", "-n", "1"]) == 0

    assert capsys.readouterr().out == "one\ntwo\nthree\nthree\n"


def test_logs_of_a_batch_that_has_none_yet_says_where_they_would_be(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append(started())

    assert run(["batch", "logs", "last"]) == 0
    assert "runner.log" in capsys.readouterr().err


def test_logs_that_cannot_be_read_are_named(
    ledger: Ledger, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append(started())
    (house / "ledger" / "runs" / BATCH / "runner.log").mkdir(parents=True)

    assert run(["batch", "logs", "last"]) == 64
    assert "runner.log" in capsys.readouterr().err


def test_waiting_ends_when_the_batch_does(ledger: Ledger) -> None:
    ledger.append(started())
    with subprocess.Popen(
        [*PERSONA, "batch", "wait", "last", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + 30
        while ledger.ask(Status()).watchers == 0 and time.monotonic() < until:
            os.sched_yield()
        ledger.append([*made(), *failed(), *finished("partial")])
        shown, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert json.loads(shown)["counts"]["completed"] == 1


def test_interrupting_a_wait_leaves_the_batch_alone(ledger: Ledger) -> None:
    ledger.append(started())
    before = ledger.ask(BatchShow(batch=BATCH)).status
    with subprocess.Popen([*PERSONA, "batch", "wait", "last"]) as process:
        until = time.monotonic() + 30
        while ledger.ask(Status()).watchers == 0 and time.monotonic() < until:
            os.sched_yield()
        process.send_signal(signal.SIGINT)

    assert process.returncode == 130
    assert ledger.ask(BatchShow(batch=BATCH)).status == before


def test_a_batch_whose_source_is_gone_stays_paused(ledger: Ledger) -> None:
    ledger.append([*started(), *paused("user")])

    refused = subprocess.run(
        [*PERSONA, "batch", "resume", "last"], capture_output=True, text=True, check=False
    )

    assert refused.returncode == 65
    assert "doesn't exist" in refused.stderr
    assert ledger.ask(BatchShow(batch=BATCH)).status == "paused"


def test_with_more_words_the_ledger_is_named(
    ledger: Ledger, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["batch", "list", "-v", "--json"])
    loud = capsys.readouterr().err
    run(["batch", "list", "-q"])
    quiet = capsys.readouterr().err

    assert str(house / "ledger") in loud
    assert quiet == ""


def unpriced(index: int = 1) -> list[AnyEvent]:
    """A persona made by a model whose price nobody knows."""
    generating, cost, completed = made(index=index)
    changed = {"provider": "openai", "model": "nobody-1", "cost_nanousd": None}
    return [generating, msgspec.structs.replace(cost, **changed), completed]


def test_what_is_unpriced_is_never_shown_as_free(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *unpriced()])

    run(["batch", "show", "last"])
    shown = capsys.readouterr().out
    run(["batch", "list"])
    listed = capsys.readouterr().out
    run(["events", "tail"])
    told = capsys.readouterr().out

    assert "Cost        unpriced" in shown
    assert shown.splitlines()[-2].split()[-3:] == ["0.82", "unpriced", "–"]
    assert listed.splitlines()[1].endswith("unpriced")
    assert "unpriced" in told
    assert "$0.00" not in shown.splitlines()[-2] + listed + told


def test_what_is_priced_in_part_says_both(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.append([*started(), *unpriced(), *made(index=2)])

    run(["batch", "show", "last"])

    assert "Cost        $0.0042 + unpriced" in capsys.readouterr().out
