"""What a run costs is said before it starts, and agreed to where that is much."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from personad.contract.batch import BatchList

from ..provider_server import KEY, ProviderServer  # noqa: TID252
from ..render.live_terminal import Program  # noqa: TID252
from ..studio import Studio  # noqa: TID252


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with ProviderServer(key=KEY) as found:
        yield found


@pytest.fixture
def command(studio: Studio, server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a model with a public price, at a server of ours."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return [
        *("generate", "--from", str(studio.survey()), "-n", "2", "--output", "out"),
        *("--provider", "openai", "--model", "gpt-4o-mini", "--base-url", server.url("openai")),
    ]


def batches(studio: Studio) -> int:
    return len(studio.ledger.ask(BatchList()).batches)


def test_a_dry_run_estimates_and_records_nothing(
    studio: Studio, command: list[str], server: ProviderServer
) -> None:
    shown = studio.persona(*command, "--dry-run")
    document = json.loads(studio.persona(*command, "--dry-run", "--json").stdout)

    assert shown.returncode == 0, shown.stderr
    assert "expected, $0.00" in shown.stdout
    assert "openai/gpt-4o-mini, prices from genai-prices" in shown.stdout
    assert "a rule of thumb" in shown.stdout
    estimate = document["estimate"]
    assert 0 < estimate["low_usd"] < estimate["expected_usd"] < estimate["high_usd"]
    tokens = estimate["input_tokens"]["expected"], estimate["output_tokens"]["expected"]
    assert tokens == (document["prompt_tokens"], 3_000)
    # 0.15 and 0.60 dollars per million tokens.
    assert round(estimate["expected_usd"] * 10**9) == tokens[0] * 150 + tokens[1] * 600
    assert batches(studio) == 0
    assert not server.asked


def test_a_dry_run_of_what_has_no_price_says_so(studio: Studio, command: list[str]) -> None:
    shown = studio.persona(*command, "--model", "my-own", "--dry-run")

    assert "Estimate    unpriced: nobody knows what openai/my-own costs" in shown.stdout
    assert "$0" not in shown.stdout


def test_a_dry_run_without_a_daemon_says_that_it_estimates_nothing(
    studio: Studio, command: list[str]
) -> None:
    shown = studio.persona(*command, "--dry-run", PERSONA_AUTOSTART="0")

    assert shown.returncode == 0
    assert "no estimate of its cost" in shown.stderr
    assert "Segments" in shown.stdout


def test_a_paid_run_says_its_estimate_first_and_the_next_one_knows_better(
    studio: Studio, command: list[str]
) -> None:
    said = studio.persona(*command)
    again = studio.persona(*command, "--dry-run", "--json")

    assert said.returncode == 0, said.stderr
    assert "Estimate    $" in said.stderr
    assert "Start it?" not in said.stderr
    estimate = json.loads(again.stdout)["estimate"]
    assert (estimate["history_batches"], estimate["history_personas"]) == (1, 2)
    assert estimate["output_tokens"]["expected"] == sum(
        each.output_tokens for each in _costs(studio)
    )


def _costs(studio: Studio) -> list[object]:
    (batch,) = studio.ledger.ask(BatchList()).batches
    return studio.events(batch.batch, "cost.recorded")


def test_a_free_run_is_not_estimated(studio: Studio) -> None:
    said = studio.persona("generate", "--from", str(studio.survey()), "-n", "2")

    assert said.returncode == 0
    assert "Estimate" not in said.stderr


@pytest.mark.parametrize(("key", "status", "recorded"), [("n", 1, 0), ("y", 0, 1)])
def test_a_dear_run_is_asked_about_on_a_terminal(
    studio: Studio, command: list[str], key: str, status: int, recorded: int
) -> None:
    program = Program(
        ["-m", "persona", *command], environ={"PERSONA_GENERATE_CONFIRM_ABOVE_USD": "0"}
    )
    try:
        program.until("Start it? [y/N]:")
        assert batches(studio) == 0
        program.press(f"{key}\r")
        assert program.end() == status
    finally:
        program.close()
    assert batches(studio) == recorded
    assert Path("out").exists() == bool(recorded)


@pytest.mark.parametrize("more", [["-y"], []])
def test_nobody_is_asked_who_said_yes_or_whose_run_is_cheap(
    studio: Studio, command: list[str], more: list[str]
) -> None:
    limit = "0" if more else "1"
    program = Program(
        ["-m", "persona", *command, *more],
        environ={"PERSONA_GENERATE_CONFIRM_ABOVE_USD": limit},
    )
    try:
        program.until("Estimate")
        assert program.end() == 0
    finally:
        program.close()
    assert batches(studio) == 1


def test_a_budget_below_one_call_is_refused_before_there_is_a_batch(
    studio: Studio, command: list[str], server: ProviderServer
) -> None:
    said = studio.persona(*command, "--max-cost", "0.000001")
    dry = studio.persona(*command, "--max-cost", "0.000001", "--dry-run")

    assert said.returncode == 75
    assert "nothing was started: one call may cost $0.0" in said.stderr
    assert "more than all of the batch's own budget of $0.000001" in said.stderr
    assert "give it more with --budget or --max-cost" in said.stderr
    assert dry.returncode == 0
    assert "it would not start: one call may cost" in dry.stderr
    assert batches(studio) == 0
    assert not server.asked
    assert not Path("out").exists()


def test_a_standing_budget_without_room_refuses_with_its_figures(
    studio: Studio, command: list[str]
) -> None:
    studio.persona("cost", "budget", "set", "--monthly", "0.000001", "--action", "stop")

    said = studio.persona(*command)

    assert said.returncode == 75
    assert "more than all of the monthly budget of $0.000001" in said.stderr
    assert "`persona cost budget status` shows what stands" in said.stderr
    assert batches(studio) == 0


def test_who_limits_what_has_no_price_is_told_how_to_say_it(
    studio: Studio, command: list[str]
) -> None:
    unpriced = [*command, "--model", "mystery-9"]

    said = studio.persona(*unpriced, "--max-cost", "1")

    assert said.returncode == 75
    assert "nobody knows what a call costs" in said.stderr
    assert "`persona cost prices set PROVIDER/MODEL --input USD" in said.stderr
    assert "give it more" not in said.stderr


def test_a_budget_that_only_warns_refuses_nothing(studio: Studio, command: list[str]) -> None:
    assert studio.persona(*command, "--budget", "0.000001").returncode == 0


def test_what_is_left_of_a_batch_is_said_and_asked_about(
    studio: Studio, command: list[str], server: ProviderServer
) -> None:
    paused = studio.persona(*command, "--timeout", "0.001")
    assert paused.returncode == 75, paused.stderr
    program = Program(
        ["-m", "persona", "generate", "--resume", "last", "--timeout", "60"],
        environ={"PERSONA_GENERATE_CONFIRM_ABOVE_USD": "0"},
    )
    try:
        program.until("2 personas to go, about $0.00")
        program.until("Go on? [y/N]:")
        program.press("n\r")
        assert program.end() == 1
    finally:
        program.close()
    assert studio.ledger.ask(BatchList()).batches[0].status == "paused"
    again = studio.persona("generate", "--resume", "last", "--timeout", "60")
    assert again.returncode == 0, again.stderr
    assert "to go, about" in again.stderr
