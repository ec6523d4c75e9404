"""Whatever is handed to `generate`: a clear error, its exit status, and nothing half-done."""

import json
import os
import threading
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from personad.contract.base import PROTOCOL, VERSION
from personad.contract.batch import BatchList

from .studio import WITHIN_S, Studio

Said = CompletedProcess[str]


def generate(studio: Studio, source: Path | str, *more: str, **environ: str) -> Said:
    return studio.persona("generate", "--from", str(source), *more, **environ)


def assert_refused(studio: Studio, said: Said, status: int, *words: str) -> None:
    """It ended with `status` and a short message holding `words`, and left nothing behind."""
    assert said.returncode == status, said.stderr
    message = said.stderr.strip()
    assert message.splitlines()[-1 if len(message.splitlines()) == 1 else -2].startswith("persona:")
    assert len(message.splitlines()) <= 3
    assert "Traceback" not in message
    for word in words:
        assert word in message, message
    assert said.stdout == ""
    assert studio.ledger.ask(BatchList()).batches == []
    assert not Path("outputs").exists()


def test_a_missing_path(studio: Studio) -> None:
    assert_refused(studio, generate(studio, "nowhere"), 65, "nowhere doesn't exist", "--from")


def test_an_empty_folder(studio: Studio) -> None:
    Path("empty").mkdir()

    assert_refused(studio, generate(studio, "empty"), 65, "empty is an empty folder", ".csv")


def test_an_unreadable_file(studio: Studio) -> None:
    source = studio.survey()
    source.chmod(0)

    said = studio.persona_without_privilege("generate", "--from", str(source))

    assert_refused(studio, said, 65, "survey.csv", "Permission denied")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, ("picture.txt",)),
        (
            "broken.json",
            b'[{"participant": "P1",\n "text": "I want"\n',
            ("broken JSON", "broken.json:3"),
        ),
        ("broken.yaml", b"a: b\n c: [d\n", ("broken.yaml",)),
        (
            "broken.csv",
            b'who,what\nP1,"it never ends\nP2,b\n',
            ("broken.csv:2", "a quotation mark is opened and never closed"),
        ),
        ("nothing.txt", b"", ("nothing.txt",)),
        ("data.xlsx", b"PK\x03\x04", ("data.xlsx", ".csv")),
    ],
)
def test_a_file_that_holds_no_research(
    studio: Studio, name: str, content: bytes, words: tuple[str, ...]
) -> None:
    Path(name).write_bytes(content)

    assert_refused(studio, generate(studio, name), 65, *words)


def test_a_file_of_200_megabytes(studio: Studio) -> None:
    with open("huge.txt", "wb") as huge:
        huge.truncate(200 << 20)

    said = generate(studio, "huge.txt")

    assert_refused(studio, said, 65, "reading 200.0 MB", "huge.txt", "binary")


def test_a_document_that_cannot_be_streamed_is_refused_with_the_limit(studio: Studio) -> None:
    with open("huge.json", "wb") as huge:
        huge.truncate(200 << 20)

    assert_refused(studio, generate(studio, "huge.json"), 65, "huge.json", "64 MiB", "200 MiB")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("-n", "0"), ("--count",)),
        (("-n", "100000"), ("--count", "9999")),
        (("--provider", "lokal"), ("no provider `lokal`", "`local`")),
        (("--seed", "-1"), ("--seed",)),
        (("--timeout", "nan"), ("--timeout",)),
        (("--retry-delay", "inf"), ("--retry-delay",)),
        (("--experiment", "x" * 201), ("$.experiment",)),
        (("--show-prompts",), ("--dry-run",)),
        (("--concurrency", "0"), ("--concurrency",)),
        (("--progress", "loud"), ("--progress",)),
        (("--experiment", "\udcff"), ("no valid UTF-8",)),
    ],
)
def test_a_wrong_option(studio: Studio, more: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert_refused(studio, generate(studio, studio.survey(), *more), 64, *words)


def test_a_column_that_is_not_there(studio: Studio) -> None:
    said = generate(studio, studio.survey(), "--text-columns", "opinion")

    assert_refused(studio, said, 65, "no column is called “opinion”", "columns: ")


def test_of_many_columns_the_first_are_named(studio: Studio) -> None:
    names = [f"item {n}" for n in range(900)]
    Path("wide.csv").write_text(",".join(names) + "\n" + ",".join("7" * 900) + "\n")

    said = generate(studio, "wide.csv")

    assert_refused(studio, said, 65, "item 0, item 1, ", "item 29 and 870 more")


def test_no_source(studio: Studio) -> None:
    assert_refused(studio, studio.persona("generate"), 64, "--from PATH is needed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PERSONA_SIMULATED_ERRORS", "timeout:often"),
        ("PERSONA_SIMULATED_LATENCY_MS", "soon"),
        ("PERSONA_GENERATE_CONCURRENCY", "many"),
    ],
)
def test_a_wrong_variable(studio: Studio, name: str, value: str) -> None:
    said = generate(studio, studio.survey(), "--provider", "simulated", **{name: value})

    assert_refused(studio, said, 78, name)


def test_an_output_folder_that_is_not_empty(studio: Studio) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("dear")

    assert_refused(
        studio, generate(studio, studio.survey(), "--output", "mine"), 64, "not empty", "thesis.txt"
    )
    assert [entry.name for entry in Path("mine").iterdir()] == ["thesis.txt"]


def test_an_output_folder_that_is_a_file(studio: Studio) -> None:
    Path("mine").write_text("dear")

    said = generate(studio, studio.survey(), "--output", "mine")

    assert_refused(studio, said, 64, "is a file", "--output")
    assert Path("mine").read_text() == "dear"


def test_an_output_folder_that_cannot_be_made(studio: Studio) -> None:
    said = generate(studio, studio.survey(), "--output", "/proc/mine")

    assert_refused(studio, said, 64, "/proc/mine", "--output")


def test_an_output_folder_that_cannot_be_written_to(studio: Studio) -> None:
    Path("mine").mkdir(mode=0o555)
    source = str(studio.survey())

    said = studio.persona_without_privilege("generate", "--from", source, "--output", "mine")

    assert_refused(studio, said, 64, "mine can't be written to: Permission denied", "--output")
    assert list(Path("mine").iterdir()) == []


def test_a_ledger_that_cannot_be_reached_leaves_no_folder(studio: Studio) -> None:
    said = generate(studio, studio.survey(), "--no-autostart", "--output", "made/for/it")

    assert_refused(studio, said, 69, "no personad answers", "start it with")
    assert not Path("made").exists()


def test_a_daemon_of_another_protocol_is_named_with_ours_and_left_alone(studio: Studio) -> None:
    other = studio.foreign_daemon(PROTOCOL + 1, "99.1.0")

    said = generate(studio, studio.survey(), "--output", "made/for/it")

    assert other.poll() is None
    stopped = studio.personad("stop")
    assert (stopped.returncode, other.wait(WITHIN_S)) == (0, 0), stopped.stderr
    assert_refused(
        studio,
        said,
        69,
        f"this daemon (99.1.0) speaks protocol {PROTOCOL + 1}",
        f"you ({VERSION}) speak {PROTOCOL}",
        "install the same version of both",
    )
    assert not Path("made").exists()


def test_a_ledger_folder_that_cannot_be_written_leaves_no_folder(studio: Studio) -> None:
    said = studio.persona(
        "--ledger", "/proc/ledger", "generate", "--from", str(studio.survey()), "--output", "made"
    )

    assert said.returncode in (64, 69, 75, 78)
    assert "Traceback" not in said.stderr
    assert "/proc/ledger" in said.stderr
    assert not Path("made").exists()


def test_two_at_once_into_one_folder_give_one_batch(studio: Studio) -> None:
    source, said = studio.survey(), list[Said]()

    def one() -> None:
        said.append(generate(studio, source, "-n", "2", "--output", "shared"))

    both = [threading.Thread(target=one) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()

    assert sorted(each.returncode for each in said) == [0, 64]
    (batch,) = studio.ledger.ask(BatchList()).batches
    assert (batch.status, batch.completed) == ("completed", 2)
    assert len(list(Path("shared/personas").glob("*.json"))) == 2


def test_a_working_folder_that_was_removed(studio: Studio, house: Path) -> None:
    source = studio.survey()
    gone = house / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    said = generate(studio, source, "-n", "1", "--detach", "--output", str(house / "out"))
    os.chdir(house)

    assert said.returncode == 0, said.stderr
    studio.until_status(said.stdout.strip(), "completed")


def test_a_relative_path_in_a_working_folder_that_was_removed(studio: Studio, house: Path) -> None:
    source = studio.survey()
    gone = house / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    said = generate(studio, source, "-n", "1")
    os.chdir(house)

    assert_refused(studio, said, 64, "the working folder was removed")


def test_no_home(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    source = studio.survey()
    monkeypatch.delenv("HOME")

    said = generate(studio, source, "-n", "1", "--output", "out")

    assert said.returncode == 0, said.stderr


def test_a_german_table_in_cp1252(studio: Studio) -> None:
    rows = ["Teilnehmer;Alter;Was ärgert Sie?"] + [
        f"T{n};{30 + n};Ich möchte die Übersicht Nummer {n} schneller öffnen können, weil mich "
        "das Warten jeden Tag ärgert."
        for n in range(6)
    ]
    Path("umfrage.csv").write_bytes("\r\n".join(rows).encode("cp1252"))

    said = generate(studio, "umfrage.csv", "-n", "2", "--output", "out")

    assert said.returncode == 0, said.stderr
    documents = [json.loads(path.read_bytes()) for path in Path("out/personas").glob("*.json")]
    quotes = " ".join(quote for document in documents for quote in document["quotes"])
    assert "möchte die Übersicht" in quotes


def test_forty_columns(studio: Studio) -> None:
    said = generate(studio, studio.survey(), "-n", "2", "--output", "out", COLUMNS="40")

    assert said.returncode == 0, said.stderr


def test_one_bad_file_among_good_ones_is_named_and_stops_nothing(studio: Studio) -> None:
    Path("data").mkdir()
    Path("data/survey.csv").write_bytes(studio.survey().read_bytes())
    Path("data/broken.json").write_text('{"a": ')

    said = generate(studio, "data", "-n", "2", "--output", "out")

    assert said.returncode == 0
    assert "not read: broken.json" in said.stderr


def test_one_who_speaks_is_one_persona(studio: Studio) -> None:
    said = generate(studio, studio.survey(1), "-n", "2", "--output", "out")

    assert said.returncode == 0
    assert "1 participant speaks in there, so 1 persona is made rather than 2" in said.stderr


def test_results_among_the_sources_are_no_source(studio: Studio) -> None:
    Path("survey.csv").write_bytes(studio.survey().read_bytes())

    first = generate(studio, ".", "-n", "2")
    second = generate(studio, ".", "-n", "2", "--json")

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert "not read" not in second.stderr
    show = [studio.ledger.ask(BatchList()).batches[at].batch for at in (0, 1)]
    sources = [studio.events(batch, "batch.started")[0].source for batch in show]
    assert sources[0] == sources[1]
