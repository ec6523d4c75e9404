"""`persona quality score`: files that anything may have made."""

import json
from pathlib import Path
from typing import Any

import pytest
from persona.client import Ledger
from persona.generation.quality import METRICS
from persona.program import run

from personad.contract.quality import QualityTrends

SAID = (
    "After the night shift I stand at the hospital stop for an hour.",
    "The first bus leaves at 5:40, and my shift ends at six.",
    "They change the roster late, I hear of it by text.",
)
ANNA = {
    "fullName": "Anna Falk",
    "bio": "Anna works nights on a ward and waits for the first bus.",
    "needs": ["A bus after the night shift", "To know the roster early"],
    "frustrations": ["The first bus leaves before her shift ends"],
    "quotes": ["I stand at the hospital stop for an hour."],
    "shoeSize": 38,
}
BO = {
    "name": "Bo Lind",
    "summary": "Bo drives a tram and grows tomatoes on an allotment.",
    "goals": ["Brake softly on the steep hill"],
    "pain_points": ["Cars park on the rails"],
    "quotes": ["We never get a break at the terminus."],
}


@pytest.fixture
def files(house: Path) -> Path:
    folder = house / "work" / "made"
    folder.mkdir()
    (folder / "anna.json").write_text(json.dumps(ANNA))
    (folder / "others.json").write_text(json.dumps([BO]))
    (folder / "broken.json").write_text("{")
    (house / "work" / "said.txt").write_text("\n\n".join(SAID))
    return folder


def scored(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert run(["quality", "score", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_persona_is_scored_against_the_source_and_beside_the_others(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scored(capsys, files, "--source", files.parent / "said.txt")
    anna, bo = found["personas"]
    assert (anna["file"], anna["name"]) == ("anna.json", "Anna Falk")
    assert set(anna["scores"]) == set(bo["scores"]) == set(METRICS)
    assert anna["scores"]["faithfulness"] > 0.7
    assert bo["scores"]["faithfulness"] == 0
    assert "is not in the source" in bo["unsupported"][0]
    assert anna["renamed"]["pain_points"] == "frustrations"
    assert anna["unmapped"] == ["shoeSize"]
    assert [each["file"] for each in found["skipped"]] == ["broken.json"]
    assert found["recorded"] == 0


def test_a_quote_is_held_against_the_redacted_source_unless_it_was_made_without(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = files.parent / "said.txt"
    source.write_text("Write to anna@example.org, I answer after the shift.\n")
    for quote, flags, faithfulness in (
        ("Write to [email], I answer", (), 1),
        ("Write to anna@example.org, I answer", (), 0),
        ("Write to anna@example.org, I answer", ("--no-redact",), 1),
    ):
        made = files / "one.json"
        made.write_text(json.dumps({"name": "Anna", "quotes": [quote]}))
        (told,) = scored(capsys, made, "--source", source, *flags)["personas"]
        assert told["scores"]["faithfulness"] == faithfulness


def test_without_a_source_faithfulness_is_left_out_and_said(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (anna,) = scored(capsys, files / "anna.json")["personas"]
    assert set(anna["left_out"]) == {"faithfulness", "distinctiveness"}
    assert run(["quality", "score", str(files / "anna.json")]) == 0
    shown = capsys.readouterr().out
    assert "faithfulness of 1 persona: there is no source to hold it against" in shown
    assert "distinctiveness of 1 persona: there is no other persona" in shown
    assert "bio as summary" in shown
    assert "shoeSize" in shown


@pytest.mark.parametrize("format_", ["csv", "markdown"])
def test_other_formats_have_a_row_a_persona(
    files: Path, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    assert run(["quality", "score", str(files), "--format", format_]) == 0
    shown = capsys.readouterr().out
    assert "Anna Falk" in shown
    assert "Bo Lind" in shown
    assert "Composite" in shown


def test_more_is_said_on_demand(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-v", "quality", "score", str(files / "anna.json")]) == 0
    assert "Anna Falk, completeness" in capsys.readouterr().out


def test_how_many_fields_more_were_read_or_not_is_said(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {f"field{number}": "x" for number in range(20)}
    (files / "odd.json").write_text(json.dumps({"goals": ["Sleep"], **odd}))
    assert run(["quality", "score", "made"]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("not mapped")]
    assert line.endswith(" and 5 more")
    assert "odd.json     –  " in out
    assert run(["quality", "score", "made", "-v"]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("not mapped")]
    assert all(field in line for field in odd)


def test_what_is_recorded_counts_once_and_has_a_trend(
    files: Path, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    for recorded in (2, 0):
        found = scored(capsys, files, "--record", "--provider", "acme", "--experiment", "trial")
        assert found["recorded"] == recorded
    assert run(["quality", "score", str(files), "--record", "--provider", "other"]) == 0
    assert "2 had been recorded by builtin/2 before, and count as then" in capsys.readouterr().err
    reply = ledger.ask(QualityTrends())
    assert {row.metric: row.n for row in reply.metrics}["composite"] == 2
    assert {row.scorer for row in reply.metrics} == {"builtin/2"}


def test_personas_of_this_program_are_not_recorded_twice(
    files: Path, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    provenance = {"batch": "b", "prompt_digest": "sha256:1", "source_digest": "sha256:2"}
    (files / "anna.json").write_text(json.dumps(ANNA | {"provenance": provenance}))
    assert run(["quality", "score", str(files), "--record"]) == 0
    told = capsys.readouterr().err
    assert "recorded 1 as other/unknown, by builtin/2" in told
    assert "`persona quality rescore` scores those anew" in told


def test_where_there_is_no_persona_it_is_said_with_the_reason(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["quality", "score", str(files / "broken.json")]) == 65
    told = capsys.readouterr().err
    assert "there is no persona in" in told
    assert "JSON" in told
    assert run(["quality", "score", str(files / "nowhere")]) == 64
    assert run(["quality", "score", str(files), "--record", "--provider", ""]) == 64
