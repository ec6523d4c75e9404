"""`persona generate`, as somebody types it: the real program, daemon, runner and files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from personad.contract.admin import Hello
from personad.contract.batch import BatchList, Pause

from ..studio import WITHIN_S, Studio  # noqa: TID252

PLANTED = ("greta.lindqvist@example.org", "0171 2345678", "Lindqvist")


@pytest.fixture
def source(studio: Studio) -> str:
    return str(studio.survey())


def last(studio: Studio) -> str:
    return studio.ledger.ask(BatchList(limit=1)).batches[0].batch


def test_personas_are_made_and_told(studio: Studio, source: str) -> None:
    said = studio.persona("generate", "--from", source, "-n", "3", "--output", "out")

    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("3 of 3 personas completed")
    names = sorted(path.name[:2] for path in Path("out/personas").glob("*.json"))
    assert names == ["01", "02", "03"]
    document = json.loads(Path("out/batch.json").read_bytes())
    assert (document["status"], document["completed"]) == ("completed", 3)
    assert document["finished_at"] is not None
    assert Path("out/index.md").exists()


def test_json_is_one_document_as_batch_show(studio: Studio, source: str) -> None:
    said = studio.persona("generate", "--from", source, "-n", "2", "--json")
    show = studio.persona("batch", "show", "last", "--json")

    assert said.returncode == 0
    made, shown = json.loads(said.stdout), json.loads(show.stdout)
    assert made.keys() == shown.keys()
    assert (made["status"], made["counts"]["completed"]) == ("completed", 2)


def test_a_detached_start_prints_the_batch_and_goes_on_alone(studio: Studio, source: str) -> None:
    said = studio.persona("generate", "--from", source, "-n", "2", "--detach")

    batch = said.stdout.strip()
    assert (said.returncode, batch) == (0, last(studio))
    assert f"persona batch watch {batch}" in said.stderr
    assert studio.until_status(batch, "completed").counts.completed == 2


def test_a_detached_start_is_one_document_where_that_is_asked(studio: Studio, source: str) -> None:
    said = studio.persona("generate", "--from", source, "-n", "1", "--detach", "--json")

    assert json.loads(said.stdout)["batch"] == last(studio)


def test_whoever_reads_no_further_is_not_told_that_all_is_done(studio: Studio, source: str) -> None:
    program = f"{sys.executable} -m persona generate --from {source} -n 9 --provider simulated"
    ended = subprocess.run(
        ["bash", "-c", f"{program} --progress json | head -c 10; exit ${{PIPESTATUS[0]}}"],
        env={**os.environ, "PERSONA_SIMULATED_LATENCY_MS": "300"},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )

    assert ended.returncode == 130
    assert f"nobody reads on; `persona batch watch {last(studio)}` shows" in ended.stderr


def test_a_start_takes_no_changed_source(studio: Studio, source: str) -> None:
    said = studio.persona("generate", "--from", source, "-n", "1", "--accept-changed-source")

    assert said.returncode == 64
    assert "--accept-changed-source goes with --resume" in said.stderr


def test_a_dry_run_touches_no_ledger_and_no_folder(
    studio: Studio, source: str, house: Path
) -> None:
    said = studio.persona("generate", "--from", source, "-n", "3", "--dry-run")

    assert said.returncode == 0, said.stderr
    assert "Segments" in said.stdout
    assert "Calls       3" in said.stdout
    assert not (house / "ledger").exists()
    assert not Path("outputs").exists()


def test_a_dry_run_as_json_shows_prompts_only_when_asked(studio: Studio, source: str) -> None:
    command = ("generate", "--from", source, "-n", "2", "--dry-run", "--json")

    plain = json.loads(studio.persona(*command).stdout)
    shown = json.loads(studio.persona(*command, "--show-prompts").stdout)

    assert [each["prompt"] for each in plain["segments"]] == [None, None]
    assert all("I hate the" in each["prompt"]["source"] for each in shown["segments"])


def test_more_personas_than_participants_is_said(studio: Studio) -> None:
    said = studio.persona("generate", "--from", str(studio.survey(4)), "-n", "9")

    assert said.returncode == 0
    assert "4 participants speak in there, so 4 personas are made rather than 9" in said.stderr
    assert said.stdout.startswith("4 of 4 personas")


@pytest.mark.parametrize(
    ("errors", "status", "ends"),
    [("server_error:1", 1, "failed"), ("1=bad_request", 1, "partial"), ("", 0, "completed")],
)
def test_how_it_ends_is_its_exit_status(
    studio: Studio, source: str, errors: str, status: int, ends: str
) -> None:
    said = studio.persona(
        *("generate", "--from", source, "-n", "2", "--provider", "simulated"),
        *("--retry-count", "1", "--retry-delay", "0"),
        PERSONA_SIMULATED_ERRORS=errors,
    )

    assert said.returncode == status
    assert studio.state(last(studio)).status == ends
    if status:
        assert errors.partition(":")[0].rpartition("=")[2] in said.stderr


def test_a_time_limit_ends_with_try_later(studio: Studio, source: str) -> None:
    said = studio.persona(
        *("generate", "--from", source, "-n", "9", "--provider", "simulated"),
        *("--timeout", "0.3", "--concurrency", "1"),
        PERSONA_SIMULATED_LATENCY_MS="100",
    )

    assert said.returncode == 75
    assert (studio.state(last(studio)).reason, "resume" in said.stderr) == ("time", True)


def test_resume_last_makes_the_rest(studio: Studio, source: str) -> None:
    slow = {"PERSONA_SIMULATED_LATENCY_MS": "100"}
    command = ("generate", "--from", source, "-n", "9", "--provider", "simulated")
    studio.persona(*command, "--timeout", "0.3", "--concurrency", "1", **slow)
    batch = last(studio)
    # Of the limit that stopped it, a run has the whole again.
    while (said := studio.persona("generate", "--resume", "last", **slow)).returncode == 75:
        assert studio.state(batch).reason == "time"

    assert said.returncode == 0, said.stderr
    completed = studio.events(batch, "persona.completed")
    assert len({each.persona for each in completed}) == len(completed) == 9


def test_resuming_what_has_ended_shows_it(studio: Studio, source: str) -> None:
    studio.persona("generate", "--from", source, "-n", "1")

    said = studio.persona("generate", "--resume", "last")

    assert (said.returncode, said.stdout) == (0, "")
    assert "has ended: it is completed" in said.stderr


def test_resuming_what_runs_is_refused_with_the_way_to_see_it(studio: Studio, source: str) -> None:
    studio.persona(
        *("generate", "--from", source, "-n", "9", "--provider", "simulated", "--detach"),
        PERSONA_SIMULATED_LATENCY_MS="1000",
    )
    studio.until_status(last(studio), "running")

    said = studio.persona("generate", "--resume", "last")

    assert said.returncode == 1
    assert f"{last(studio)} is running already" in said.stderr
    assert "persona batch watch" in said.stderr


def test_resuming_from_a_changed_source_is_refused(studio: Studio, source: str) -> None:
    studio.persona(
        *("generate", "--from", source, "-n", "9", "--provider", "simulated"),
        *("--timeout", "0.2", "--concurrency", "1"),
        PERSONA_SIMULATED_LATENCY_MS="100",
    )
    with open(source, "a") as file:
        file.write("P99,41,I want something else altogether.\n")

    said = studio.persona("generate", "--resume", "last")

    assert said.returncode == 65
    assert "the source has changed" in said.stderr
    assert source in said.stderr
    assert studio.state(last(studio)).status == "paused"


@pytest.mark.parametrize("more", [("-n", "5"), ("--from", "x"), ("--seed", "2")])
def test_resume_takes_nothing_that_was_decided_at_the_start(
    studio: Studio, more: tuple[str, ...]
) -> None:
    said = studio.persona("generate", "--resume", "last", *more)

    assert said.returncode == 64
    assert "--resume goes without" in said.stderr


def test_resuming_what_is_not_there_names_it(studio: Studio) -> None:
    said = studio.persona("generate", "--resume", "batch-none")

    assert said.returncode == 64
    assert "batch-none" in said.stderr or "no batch yet" in said.stderr


def started(studio: Studio, source: str, **environ: str) -> subprocess.Popen[bytes]:
    """A run without a terminal, as soon as it works."""
    command = [sys.executable, "-m", "persona", "generate", "--from", source, "-n", "9"]
    process = subprocess.Popen(
        [*command, "--provider", "simulated", "--concurrency", "2"],
        env=os.environ | {"PERSONA_SIMULATED_LATENCY_MS": "300"} | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + WITHIN_S
    while not studio.ledger.ask(BatchList(statuses=["running"])).batches:
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


def test_without_a_terminal_the_death_of_the_command_pauses(studio: Studio, source: str) -> None:
    process = started(studio, source)

    process.kill()
    process.wait()

    assert studio.until_status(last(studio), "paused").reason == "terminal"


def test_an_interrupt_pauses_and_ends_with_its_status(studio: Studio, source: str) -> None:
    process = started(studio, source)

    process.send_signal(signal.SIGINT)

    assert process.wait(WITHIN_S) == 130
    assert studio.until_status(last(studio), "paused").reason == "user"


def test_an_interrupt_before_anything_is_shown_pauses_too(studio: Studio, source: str) -> None:
    command = [sys.executable, "-m", "persona", "generate", "--from", source, "-n", "9"]
    studio.ledger.ask(Hello())
    process = subprocess.Popen(
        [*command, "--provider", "simulated", "--concurrency", "2"],
        env=os.environ | {"PERSONA_SIMULATED_LATENCY_MS": "300"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + WITHIN_S
    while not studio.ledger.ask(BatchList()).batches:
        assert time.monotonic() < until
        time.sleep(0.005)

    process.send_signal(signal.SIGINT)

    assert process.wait(WITHIN_S) == 130
    state = studio.until_status(last(studio), "paused")
    assert (state.reason, state.counts.failed) == ("user", 0)


@pytest.mark.cold
def test_keys_stay_with_the_runner(studio: Studio, source: str, house: Path) -> None:
    keys = {"ANTHROPIC_API_KEY": "sk-ant-planted-1", "OPENAI_API_KEY": "sk-planted-2"}

    studio.persona("generate", "--from", source, "-n", "2", "--output", "out", **keys)

    daemon = studio.ledger.ask(Hello()).pid
    assert b"planted" not in Path(f"/proc/{daemon}/environ").read_bytes()
    for path in [*(house / "ledger").rglob("*"), *Path("out").rglob("*")]:
        if path.is_file():
            assert b"planted" not in path.read_bytes(), path


def test_redaction_reaches_everything(studio: Studio, house: Path) -> None:
    folder = house / "data"
    folder.mkdir()
    for n in range(4):
        (folder / f"greta-lindqvist-{n}.txt").write_text(
            "Participant: Greta Lindqvist\n\n"
            f"Greta Lindqvist: I hate the booking number {n}, write to {PLANTED[0]} or call "
            f"{PLANTED[1]}. Greta Lindqvist says it takes far too long every single time.\n"
        )
    command = ("generate", "--from", str(folder), "-n", "2", "--output", "out")

    shown = studio.persona(*command, "--dry-run", "--show-prompts")
    said = studio.persona(*command)

    assert said.returncode == 0, said.stderr
    for text in (shown.stdout, shown.stderr, said.stdout, said.stderr):
        assert not [planted for planted in PLANTED if planted in text]
    for path in [*(house / "ledger").rglob("*"), *Path("out").rglob("*")]:
        assert "lindqvist" not in path.name.casefold()
        if path.is_file():
            content = path.read_bytes().lower()
            assert not [p for p in PLANTED if p.lower().encode() in content], path


def test_a_hostile_name_is_harmless_in_files_and_on_screen(studio: Studio, house: Path) -> None:
    (house / "survey.csv").write_text(
        "who,what annoys you\n"
        + "".join(
            f"P{n},I [bold red]hate[/] the \x1b[31mbooking\x1b[0m number {n} since it is slow.\n"
            for n in range(4)
        )
    )

    said = studio.persona(
        "generate", "--from", str(house / "survey.csv"), "-n", "2", "--output", "out", COLUMNS="40"
    )

    assert said.returncode == 0, said.stderr
    assert "\x1b" not in said.stdout + said.stderr
    for path in Path("out").rglob("*.*"):
        assert b"\x1b" not in path.read_bytes()


def test_where_no_run_folder_can_be_made_nothing_is_started(
    studio: Studio, source: str, house: Path
) -> None:
    studio.ledger.ask(Hello())
    (house / "ledger" / "runs").write_text("in the way")

    said = studio.persona("generate", "--from", source, "-n", "1")

    assert said.returncode == 64
    assert str(house / "ledger" / "runs") in said.stderr
    assert studio.ledger.ask(BatchList(limit=1)).batches == []
    assert not Path("outputs").exists()


def test_a_runner_that_cannot_begin_leaves_a_batch_that_stands_still(
    studio: Studio, house: Path
) -> None:
    started = studio.record()
    studio.ledger.ask(Pause(batch=started.batch))
    (house / "ledger" / "runs" / started.batch / "runner.log").mkdir(parents=True)

    said = studio.persona("generate", "--resume", started.batch)

    assert said.returncode == 64
    assert f"persona generate --resume {started.batch}" in said.stderr
    state = studio.state(started.batch)
    assert (state.status, state.reason) == ("paused", "error")


def test_the_same_seed_gives_the_same_personas_and_the_same_figures(
    studio: Studio, source: str
) -> None:
    made = []
    for folder in ("one", "other", "third"):
        told = ("--from", source, "-n", "8", "--seed", "5", "--concurrency", "4")
        assert studio.persona("generate", *told, "--output", folder).returncode == 0
        files = sorted(Path(folder, "personas").glob("*.json"))
        documents = [json.loads(file.read_text()) for file in files]
        own = ("id", "provenance")
        made.append([{k: v for k, v in each.items() if k not in own} for each in documents])
    assert made[0] == made[1] == made[2]
    assert len(made[0]) == 8
