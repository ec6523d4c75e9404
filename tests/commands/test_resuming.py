"""Going on with batches: on other terms, from checkpoints, and with those that failed."""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from persona.identity import event_id, now

from personad.contract.budget import Prices, PriceSet

from ..provider_server import ProviderServer, Turn  # noqa: TID252
from ..studio import WITHIN_S, Said, Studio  # noqa: TID252

SLOW = {"PERSONA_SIMULATED_LATENCY_MS": "100"}


@pytest.fixture
def studio(house: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setenv("PERSONA_SIMULATED_LATENCY_MS", "1")
    found = Studio(house)
    yield found
    found.close()


@pytest.fixture
def source(studio: Studio) -> str:
    return str(studio.survey(12))


def last(studio: Studio) -> str:
    return json.loads(studio.persona("batch", "show", "last", "--json").stdout)["batch"]


def begun(studio: Studio, source: str, *more: str) -> str:
    """A batch that its provider has stopped with two personas made and the rest left."""
    command = ("generate", "--from", source, "-n", "9", "--provider", "simulated")
    ending = {"PERSONA_SIMULATED_ERRORS": "3/1=quota_exhausted"}
    said = studio.persona(*command, "--concurrency", "1", *more, **ending)
    assert said.returncode == 75, said.stderr
    return last(studio)


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "inf", "1e3", "0.0000000001", "abc", ""])
def test_what_is_no_amount_of_money_is_wrong_usage(
    studio: Studio, source: str, amount: str
) -> None:
    for option in ("--budget", "--max-cost"):
        said = studio.persona("generate", "--from", source, option, amount)

        assert said.returncode == 64
        assert option in said.stderr


@pytest.mark.parametrize(
    ("options", "budget_nanousd", "stops"),
    [
        (("--budget", "0.1"), 100_000_000, False),
        (("--budget", "$12.345678901", "--stop-on-budget"), 12_345_678_901, True),
        (("--max-cost", "2"), 2_000_000_000, True),
        ((), None, False),
    ],
)
def test_a_budget_is_kept_to_the_nano_dollar(
    studio: Studio, source: str, options: tuple[str, ...], budget_nanousd: int | None, stops: bool
) -> None:
    studio.persona("generate", "--from", source, "-n", "1", *options)

    (started,) = studio.events(last(studio), "batch.started")
    assert (started.budget_nanousd, started.stop_on_budget) == (budget_nanousd, stops)


def test_the_configuration_may_have_every_budget_stop(studio: Studio, source: str) -> None:
    studio.persona("config", "set", "generate.budget.enforcement", "stop")
    studio.persona("generate", "--from", source, "-n", "1", "--budget", "1")

    (started,) = studio.events(last(studio), "batch.started")
    assert started.stop_on_budget


@pytest.mark.parametrize(
    "options", [("--stop-on-budget",), ("--budget", "1", "--max-cost", "2")], ids="".join
)
def test_budget_options_that_mean_nothing_together_are_refused(
    studio: Studio, source: str, options: tuple[str, ...]
) -> None:
    assert studio.persona("generate", "--from", source, *options).returncode == 64


def test_a_resume_may_change_its_terms_and_the_runner_keeps_to_them(
    studio: Studio, source: str
) -> None:
    batch = begun(studio, source)

    said = studio.persona(
        *("generate", "--resume", batch, "--concurrency", "5", "--budget", "3"),
        *("--timeout", "60", "--retry-count", "1"),
        **SLOW,
    )

    assert said.returncode == 0, said.stderr
    state = studio.state(batch)
    assert (state.status, state.concurrency) == ("completed", 5)
    assert state.cost.budget_nanousd == 3_000_000_000
    (resumed,) = studio.events(batch, "batch.resumed")
    assert (resumed.changes.retry.retries, resumed.changes.timeout_ms) == (1, 60_000)


def test_a_changed_source_is_refused_by_name_and_taken_where_that_is_wanted(
    studio: Studio, source: str
) -> None:
    batch = begun(studio, source)
    text = Path(source).read_text().replace("number 3", "number three")
    Path(source).write_text(text)

    refused = studio.persona("generate", "--resume", batch)
    taken = studio.persona(
        *("generate", "--resume", batch, "--accept-changed-source", "--timeout", "60")
    )

    assert refused.returncode == 65
    assert "survey.csv has changed" in refused.stderr
    assert "--accept-changed-source" in refused.stderr
    assert taken.returncode == 0, taken.stderr
    assert studio.state(batch).counts.completed == 9


def test_a_retry_makes_the_failed_ones_again_and_nobody_else(studio: Studio, source: str) -> None:
    command = ("generate", "--from", source, "-n", "4", "--provider", "simulated")
    failing = {"PERSONA_SIMULATED_ERRORS": "2=bad_request", "PERSONA_SIMULATED_LATENCY_MS": "1"}
    partial = studio.persona(*command, "--progress", "quiet", **failing)
    batch = last(studio)
    assert partial.returncode == 1
    assert f"`persona batch show {batch}` says why they failed\n" in partial.stderr
    assert f"`persona batch retry {batch}` makes what failed again\n" in partial.stderr

    said = studio.persona("batch", "retry", batch, PERSONA_SIMULATED_LATENCY_MS="1")

    assert (said.returncode, said.stdout) == (0, f"{batch}: 1 failed persona made again\n")
    state = studio.until_status(batch, "completed")
    assert (state.counts.completed, state.counts.failed) == (4, 0)
    completed = [event.persona for event in studio.events(batch, "persona.completed")]
    assert len(completed) == len(set(completed)) == 4
    assert len(list((Path(state.output) / "personas").glob("*.json"))) == 4


def test_a_retry_of_what_has_nothing_failed_says_so(studio: Studio, source: str) -> None:
    studio.persona("generate", "--from", source, "-n", "1")

    said = studio.persona("batch", "retry", "last")

    assert said.returncode == 1
    assert "there is nothing to make again" in said.stderr


def test_a_retry_of_what_has_not_ended_says_when(studio: Studio, source: str) -> None:
    batch = begun(studio, source)

    said = studio.persona("batch", "retry", batch)

    assert said.returncode == 1
    assert "is paused: what failed is made again once it has ended" in said.stderr
    assert f"`persona batch resume {batch}`" in said.stderr


def test_a_checkpoint_goes_on_in_its_own_ledger_and_stays_up_to_date(
    studio: Studio, source: str
) -> None:
    file = studio.folder / "run.json"
    batch = begun(studio, source, "--checkpoint", str(file))
    before = json.loads(file.read_bytes())["checkpoint"]
    said = studio.persona("generate", "--resume", str(file), "--timeout", "60")

    assert said.returncode == 0, said.stderr
    after = json.loads(file.read_bytes())["checkpoint"]
    assert (before["batch"], before["status"]) == (batch, "paused")
    assert before["completed"] == len(
        [item for item in before["items"] if item["event"]["type"] == "persona.completed"]
    )
    assert (after["status"], after["completed"]) == ("completed", 9)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_that_can_not_be_written_any_more_is_told(studio: Studio, source: str) -> None:
    file = studio.folder / "kept" / "run.json"
    file.parent.mkdir()
    batch = begun(studio, source, "--checkpoint", str(file))
    shutil.rmtree(file.parent)

    said = studio.persona("generate", "--resume", batch, "--timeout", "60")

    assert said.returncode == 0, said.stderr
    assert f"{file} could not be written, and does not hold all of the batch" in said.stderr
    assert f"No such file or directory: '{file}'\n" in studio.persona("batch", "logs", batch).stdout


def test_personas_that_were_made_and_are_gone_are_told_and_not_made_again(
    studio: Studio, source: str
) -> None:
    batch = begun(studio, source)
    state = studio.state(batch)
    shutil.rmtree(Path(state.output) / "personas")

    said = studio.persona("generate", "--resume", batch, "--timeout", "60")

    made = state.counts.completed
    assert f"{made} of the completed personas are not in {state.output}/personas" in said.stderr
    assert len(list(Path(state.output).glob("personas/*.json"))) == 9 - made


def elsewhere(studio: Studio, *arguments: str) -> Said:
    """The program on another machine, as far as a ledger makes one."""
    ledger = str(studio.folder / "elsewhere")
    try:
        return studio.persona("--ledger", ledger, *arguments, PERSONA_LEDGER=ledger)
    finally:
        studio.python("-m", "personad", "--ledger", ledger, "stop")


def test_a_checkpoint_goes_on_where_nobody_knows_its_batch(studio: Studio, source: str) -> None:
    file, output = studio.folder / "run.json", studio.folder / "there"
    begun(studio, source, "--checkpoint", str(file), "--experiment", "tone")
    made = json.loads(file.read_bytes())["checkpoint"]["completed"]
    moved = studio.folder / "moved"
    moved.mkdir()
    shutil.copy(source, moved / "survey.csv")

    said = elsewhere(
        studio,
        *("generate", "--resume", str(file), "--from", str(moved / "survey.csv")),
        *("--output", str(output), "--timeout", "60", "--json"),
    )

    assert said.returncode == 0, said.stderr
    shown = json.loads(said.stdout)
    assert (shown["status"], shown["counts"]["completed"]) == ("completed", 9)
    assert len(list((output / "personas").glob("*.json"))) == 9 - made
    assert f"{made} of the completed personas are not in" in said.stderr


def test_calls_that_were_on_their_way_are_held_back_elsewhere_too(
    studio: Studio, source: str
) -> None:
    """What a dead runner asked for may have been paid for, on whatever machine the rest is made."""
    file = studio.folder / "run.json"
    with ProviderServer(lambda _: Turn(delay_s=60)) as server:
        words = (
            "--provider",
            "openai",
            "--model",
            "gpt-4o-mini",
            "--base-url",
            server.url("openai"),
        )
        studio.persona(
            *("generate", "--from", source, "-n", "9", "--detach", "-y", "--concurrency", "2"),
            *(*words, "--checkpoint", str(file)),
        )
        until = time.monotonic() + WITHIN_S
        while not file.exists() or file.read_bytes().count(b'"call.started"') < 2:
            assert time.monotonic() < until, "the calls never came into the checkpoint"
            time.sleep(0.05)
        for pid in studio.runners():
            os.kill(pid, signal.SIGKILL)
    held = [
        each["event"]["reserved_nanousd"]
        for each in json.loads(file.read_bytes())["checkpoint"]["items"]
        if each["event"]["type"] == "call.started"
    ]

    said = elsewhere(
        studio,
        *("generate", "--resume", str(file), "--output", str(studio.folder / "there")),
        *("--max-cost", f"{max(held) * 1.5 / 10**9:.6f}", "--json"),
    )

    assert len(held) == 2
    assert said.returncode == 75, said.stderr
    shown = json.loads(said.stdout)
    assert shown["cost"]["unresolved_usd"] == pytest.approx(sum(held) / 10**9)
    assert shown["reason"] == "budget"


def test_a_checkpoint_without_its_source_says_how_to_name_it(studio: Studio, source: str) -> None:
    file = studio.folder / "run.json"
    begun(studio, source, "--checkpoint", str(file))
    other = studio.survey(20, "other.csv")

    said = elsewhere(studio, "generate", "--resume", str(file), "--from", str(other))

    assert said.returncode == 65
    assert "this is not the source" in said.stderr
    assert "--from PATH" in said.stderr


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace('"total":9', '"total":8'), "was changed after it was written"),
        (lambda text: text[:400], "no checkpoint, or only a part of one"),
        (lambda text: text.replace('"version":1', '"version":2'), "of version 2"),
        (lambda text: "", "no checkpoint, or only a part of one"),
        (lambda text: "[1, 2]", "no checkpoint, or only a part of one"),
    ],
    ids=["edited", "truncated", "other version", "empty", "something else"],
)
def test_a_spoilt_checkpoint_is_bad_input(
    studio: Studio, source: str, spoil: "object", said: str
) -> None:
    file = studio.folder / "run.json"
    begun(studio, source, "--checkpoint", str(file))
    file.write_text(spoil(file.read_text()))  # type: ignore[operator]

    refused = studio.persona("generate", "--resume", str(file))

    assert refused.returncode == 65
    assert said in refused.stderr
    assert str(file) in refused.stderr


def rewritten(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """By somebody who knows how: the digest is that of the changed one."""
    found = json.loads(file.read_bytes())
    change(found["checkpoint"])
    body = json.dumps(found["checkpoint"])
    head = {name: found[name] for name in ("format", "version")}
    head["sha256"] = hashlib.sha256(body.encode()).hexdigest()
    file.write_text(json.dumps(head)[:-1] + f', "checkpoint": {body}}}')


def test_a_checkpoint_brings_in_nothing_but_its_batch(studio: Studio, source: str) -> None:
    def lift_the_budget(checkpoint: dict[str, Any]) -> None:
        cleared = {"type": "budget.cleared", "scope": "monthly"}
        event = cleared | {"id": str(event_id()), "at": now().isoformat()}
        checkpoint["items"].append({"event": event, "receipt": None, "derived": False})

    file = studio.folder / "run.json"
    begun(studio, source, "--checkpoint", str(file))
    rewritten(file, lift_the_budget)

    said = elsewhere(studio, "generate", "--resume", str(file))

    assert said.returncode == 65
    assert "a `budget.cleared` in it is no part of batch-" in said.stderr


def test_a_checkpoint_from_elsewhere_says_where_its_calls_go(studio: Studio, source: str) -> None:
    def point_elsewhere(checkpoint: dict[str, Any]) -> None:
        checkpoint["items"][0]["event"]["base_url"] = "https://models.example/v1"

    file = studio.folder / "run.json"
    begun(studio, source, "--checkpoint", str(file))
    rewritten(file, point_elsewhere)

    said = elsewhere(studio, "generate", "--resume", str(file), "--timeout", "60")

    assert said.returncode == 0, said.stderr
    assert "sends calls, and the key for simulated, to models.example" in said.stderr


def test_a_checkpoint_takes_no_other_files_place(studio: Studio, source: str) -> None:
    file = studio.folder / "notes.txt"
    file.write_text("mine")

    said = studio.persona("generate", "--from", source, "--checkpoint", str(file))

    assert said.returncode == 64
    assert file.read_text() == "mine"


def test_of_two_resumes_at_once_one_goes_on_and_the_other_says_so(
    studio: Studio, source: str
) -> None:
    batch = begun(studio, source)
    # With time enough: by its old limit it would soon stand still again, and could be resumed.
    words = ("generate", "--resume", batch, "--timeout", "600", "--detach")
    first = studio.persona(*words, PERSONA_SIMULATED_LATENCY_MS="5000")
    second = studio.persona("generate", "--resume", batch)

    assert (first.returncode, second.returncode) == (0, 1)
    assert f"{batch} is running already" in second.stderr


def test_a_budget_says_when_it_is_nearly_and_when_it_is_wholly_spent(
    studio: Studio, source: str
) -> None:
    studio.ledger.append(
        [
            PriceSet(
                id=event_id(),
                at=now(),
                provider="openai",
                model="m",
                prices=Prices(input_nanousd=0, output_nanousd=1_000_000_000),
                effective_from=now() - timedelta(days=1),
            )
        ]
    )
    with ProviderServer(lambda asked: Turn(delay_s=0.02)) as server:
        command = ("generate", "--from", source, "-n", "4", "--concurrency", "1", "--model", "m")
        model = ("--provider", "openai", "--base-url", server.url("openai"))
        said = studio.persona(*command, *model, "--budget", "0.0008")

    assert said.returncode == 0, said.stderr
    spent = studio.state(last(studio)).cost.spent_nanousd
    assert spent == sum(paid.output for paid in server.paid.values()) * 1_000
    warned = [line for line in said.stderr.splitlines() if "budget of" in line]
    assert "% of the budget of $0.0008" in warned[0]
    assert warned[-1].endswith("is spent: over the budget of $0.0008")
