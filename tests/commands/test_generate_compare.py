"""`persona generate --compare`: a batch a model, from the same segments."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from personad.contract.batch import BatchList, BatchStarted, PersonaQueued

from ..provider_server import KEY, ProviderServer  # noqa: TID252
from ..studio import Studio  # noqa: TID252

TWO = "local/local-1,simulated/simulated-1"


def started(studio: Studio) -> list[BatchStarted]:
    batches = studio.ledger.ask(BatchList()).batches
    return [event for each in batches[::-1] for event in studio.events(each.batch, "batch.started")]


def command(studio: Studio, models: str, *more: str) -> list[str]:
    return ["generate", "--from", str(studio.survey()), "-n", "2", "--compare", models, *more]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ProviderServer(key=KEY) as found:
        yield found


def test_each_model_has_its_batch_and_folder_and_all_have_the_same_segments(
    studio: Studio,
) -> None:
    said = studio.persona(*command(studio, TWO, "--output", "out"))

    assert said.returncode == 0, said.stderr
    assert "1 of 2: local/local-1" in said.stderr
    assert said.stdout.count("2 of 2 personas completed") == 2
    first, second = started(studio)
    assert [(each.provider, each.model) for each in (first, second)] == [
        ("local", "local-1"),
        ("simulated", "simulated-1"),
    ]
    digests = []
    for each in (first, second):
        queued = studio.events(each.batch, "persona.queued")
        digests.append([q.segment.digest for q in queued if isinstance(q, PersonaQueued)])
    assert digests[0] == digests[1]
    folders = sorted(path.name for path in Path("out").iterdir())
    assert folders == ["local-local-1", "simulated-simulated-1"]


def test_one_document_holds_all_batches(studio: Studio) -> None:
    said = studio.persona(*command(studio, TWO, "--json"))
    document = json.loads(said.stdout)
    assert [each["provider"] for each in document["batches"]] == ["local", "simulated"]
    assert {each["status"] for each in document["batches"]} == {"completed"}


def test_the_worst_status_counts(studio: Studio) -> None:
    said = studio.persona(
        *command(studio, TWO, "--retry-count", "0"), PERSONA_SIMULATED_ERRORS="1=bad_request"
    )
    assert said.returncode == 1


def test_a_dry_run_tells_of_each_and_makes_nothing(studio: Studio) -> None:
    said = studio.persona(*command(studio, TWO, "--dry-run"))
    assert said.returncode == 0
    assert said.stdout.count("Segments") == 2
    document = json.loads(studio.persona(*command(studio, TWO, "--dry-run", "--json")).stdout)
    assert [each["provider"] for each in document["batches"]] == ["local", "simulated"]
    assert started(studio) == []


def test_a_batch_that_stops_names_those_that_are_not_begun(studio: Studio) -> None:
    models = "simulated/simulated-1,local/local-1"
    said = studio.persona(*command(studio, models), PERSONA_SIMULATED_ERRORS="1=quota_exhausted")
    assert said.returncode == 75
    assert "not begun: local/local-1" in said.stderr
    assert len(started(studio)) == 1


def test_a_model_that_can_not_be_called_stops_all_before_they_begin(studio: Studio) -> None:
    said = studio.persona(*command(studio, "local/local-1,openai/gpt-4o-mini"))
    assert said.returncode == 78
    assert "openai needs a key" in said.stderr
    assert started(studio) == []


def test_each_estimate_and_their_sum_are_said_and_no_budget_that_has_no_room_is_passed(
    studio: Studio, server: ProviderServer
) -> None:
    paid = "openai/gpt-4o-mini,openai/gpt-4o"
    said = studio.persona(*command(studio, paid, "--max-cost", "0.000001"))
    assert said.returncode == 75
    assert "nothing was started: one call may cost" in said.stderr
    assert started(studio) == []


def test_what_one_batch_has_spent_the_next_has_no_more(studio: Studio) -> None:
    from persona.commands.generate_compare import _with_what_is_left
    from persona.planning import Options

    fields = dict.fromkeys(Options.__struct_fields__)
    asked = Options(**fields | {"max_cost": 100})  # type: ignore[arg-type]
    assert (_with_what_is_left(asked, 40) or asked).max_cost == 60
    assert _with_what_is_left(asked, 100) is None
    warned = Options(**fields | {"budget": 100})  # type: ignore[arg-type]
    assert (_with_what_is_left(warned, 150) or warned).budget == 1
    free = Options(**fields)  # type: ignore[arg-type]
    assert _with_what_is_left(free, 10**9) == free


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("local/local-1",), "needs two models at least"),
        (("local/local-1,local/local-1",), "names local/local-1 twice"),
        (("local,simulated",), "'local' is none"),
        ((TWO, "--provider", "local"), "leave out --provider"),
        ((TWO, "--checkpoint", "c.json"), "leave out --checkpoint"),
        ((TWO, "--detach", "--max-cost", "1"), "leave it out, or set a standing budget"),
        (("local/local-1,nobody/x",), "nobody"),
        (("ollama/a:b,ollama/a-b", "--output", "out"), "would both be written to out/ollama-a-b"),
    ],
)
def test_what_can_t_be_compared_is_wrong_usage(
    studio: Studio, arguments: tuple[str, ...], said: str
) -> None:
    models, *more = arguments
    done = studio.persona(*command(studio, models, *more))
    assert done.returncode == 64
    assert said in done.stderr
    assert started(studio) == []


def test_a_resume_is_of_one_batch(studio: Studio) -> None:
    done = studio.persona("generate", "--resume", "last", "--compare", TWO)
    assert done.returncode == 64
    assert "--resume goes without --compare" in done.stderr


def test_detached_all_are_one_document_where_that_is_asked(studio: Studio) -> None:
    said = studio.persona(*command(studio, TWO, "--detach", "--json"))

    assert len(json.loads(said.stdout)["batches"]) == 2


def test_detached_all_begin_and_the_command_ends(studio: Studio) -> None:
    said = studio.persona(*command(studio, TWO, "--detach"))
    assert said.returncode == 0, said.stderr
    names = [each.batch for each in started(studio)]
    assert len(names) == 2
    for name in names:
        assert name in said.stdout
        studio.until_status(name, "completed")


def test_ctrl_c_pauses_the_one_that_runs_and_names_the_rest(studio: Studio) -> None:
    models = "simulated/simulated-1,local/local-1"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "persona",
            *command(studio, models, "-n", "9"),
            "--concurrency",
            "2",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ) | {"PERSONA_SIMULATED_LATENCY_MS": "500"},
    )
    try:
        while not (begun := started(studio)):
            assert process.poll() is None
        studio.until(begun[0].batch, lambda state: state.counts.generating > 0)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "not begun: local/local-1" in said
    assert f"--resume {begun[0].batch}" in said
    assert len(started(studio)) == 1
