"""A model's answer that tries to drive the terminal: it never gets further than letters."""

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import hostile_model
from .render.live_terminal import Program
from .studio import Said, Studio

MALLORY = "Mallory [bold red]Red[/bold red] |<b>B</b>](http://e)"
EVE = "[/] [link=http://e]Eve[/link] W"
GENERATE = ("generate", "-n", "3", "--provider", "hostile", "--retry-count", "1")


@pytest.fixture
def hostile(studio: Studio, house: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A studio where the hostile provider is installed."""
    hostile_model.installed(house / "site")
    monkeypatch.setenv("PYTHONPATH", str(house / "site"))
    return studio


def arguments(studio: Studio) -> list[str]:
    source = str(studio.survey())
    return [*GENERATE, "--retry-delay", "0", "--from", source, "--output", "out"]


@pytest.fixture
def made(hostile: Studio) -> Said:
    """What the command said that made a batch of such answers."""
    return hostile.persona(*arguments(hostile))


def assert_harmless(text: str) -> None:
    """Nothing in there is obeyed by a terminal, hidden, or turns round what stands beside it."""
    unseen = {one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Cs")}
    assert unseen <= {"\n"}, text
    assert "31m" not in text
    assert "owned" not in text


def texts(value: object) -> Iterator[str]:
    """Every text in a JSON document as it is meant: an escape sequence is no backslash there."""
    match value:
        case str():
            yield value
        case dict():
            yield from texts([*value, *value.values()])
        case list():
            for each in value:
                yield from texts(each)


def assert_document_harmless(text: str) -> None:
    for each in texts(json.loads(text)):
        assert_harmless(each)


def test_the_command_shows_letters_and_says_what_was_no_name(made: Said) -> None:
    assert made.returncode == 1
    assert made.stdout.startswith("2 of 3 personas completed, 1 failed")
    assert MALLORY in made.stderr
    assert EVE in made.stderr
    assert "invalid_output: the answer has no name" in made.stderr
    assert_harmless(made.stdout + made.stderr)


def test_files_keep_letters_under_harmless_names(made: Said) -> None:
    files = sorted(path for path in Path("out").rglob("*") if path.is_file())

    personas = [path.name for path in files if path.parent.name == "personas"]
    assert personas == [
        f"0{index}-{name}.{ending}"
        for index, name in (
            (1, "mallory-bold-red-red-bold-red-b-b-b-http-e"),
            (2, "link-http-e-eve-link"),
        )
        for ending in ("json", "md")
    ]
    for path in files:
        assert_harmless(path.read_text())
        if path.suffix == ".json":
            assert_document_harmless(path.read_text())
    first = json.loads(Path(f"out/personas/{personas[0]}").read_bytes())
    assert [first[field] for field in ("name", "occupation", "summary")] == [
        MALLORY,
        MALLORY,
        MALLORY.replace(" |", "\n|"),
    ]
    assert Path(f"out/personas/{personas[1]}").read_text().startswith("# Mallory \\[bold red\\]")


def test_the_ledger_keeps_letters(made: Said, hostile: Studio) -> None:
    exported = hostile.persona("events", "export")

    completed = {
        line["event"]["name"]
        for line in map(json.loads, exported.stdout.splitlines())
        if line["event"]["type"] == "persona.completed"
    }
    assert MALLORY in completed
    (cut,) = completed - {MALLORY}
    assert cut.startswith(EVE)
    assert len(cut) == 200
    for line in exported.stdout.splitlines():
        assert_document_harmless(line)


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_every_form_of_batch_show_is_letters(made: Said, hostile: Studio, form: str) -> None:
    shown = hostile.persona("batch", "show", "last", "--format", form)

    assert shown.returncode == 0, shown.stderr
    assert "Mallory" in shown.stdout
    assert_harmless(shown.stdout)
    if form == "json":
        assert_document_harmless(shown.stdout)


@pytest.mark.parametrize("columns", [100, 40])
@pytest.mark.parametrize("colour", [{"NO_COLOR": "1"}, {"NO_COLOR": ""}])
def test_a_terminal_of_any_width_shows_them_as_they_are_made(
    hostile: Studio, columns: int, colour: dict[str, str]
) -> None:
    program = Program(
        ["-m", "persona", *arguments(hostile), "--yes"], columns=columns, rows=30, environ=colour
    )

    try:
        assert program.end() == 1
        shown = program.screen.text
    finally:
        program.close()
    assert "Mallory [bold red]" in shown
    assert "[/] [link=http" in shown
    assert_harmless(shown)
    assert max(map(len, shown.splitlines())) <= columns


def test_a_name_of_a_file_is_letters_too(studio: Studio) -> None:
    Path("data").mkdir()
    Path("data/survey.csv").write_bytes(studio.survey().read_bytes())
    Path("data/\x1b]0;owned\x07\x1b[31mred.exe").write_text("x")
    program = Program(["-m", "persona", "generate", "--from", "data", "-n", "1"])

    try:
        assert program.end() == 0
        shown = program.screen.text
    finally:
        program.close()
    assert "not read: red.exe: files ending in .exe aren't read" in shown
    assert_harmless(shown)


@pytest.mark.parametrize("columns", [100, 40])
def test_a_terminal_of_any_width_shows_them_afterwards(
    made: Said, hostile: Studio, columns: int
) -> None:
    program = Program(
        ["-m", "persona", "batch", "show", "last"],
        columns=columns,
        rows=80,
        environ={"NO_COLOR": "", "PAGER": "cat"},
    )

    try:
        assert program.end() == 0
        shown = program.screen.text
    finally:
        program.close()
    assert "red]" in shown
    assert_harmless(shown)
