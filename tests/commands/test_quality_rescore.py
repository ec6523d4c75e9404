"""`persona quality rescore`: personas of an older scorer, scored anew."""

import json
from pathlib import Path
from typing import Any

import pytest

from personad.contract.batch import BatchList
from personad.contract.quality import QualityScored

from ..studio import Studio  # noqa: TID252


@pytest.fixture
def made(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of three personas that were made while more fields were required."""
    monkeypatch.setenv("PERSONA_QUALITY_REQUIRED_FIELDS", "name,location,motivations")
    source = str(studio.survey())
    options = ("--concurrency", "1", "--output", "out")
    said = studio.persona("generate", "--from", source, "-n", "3", *options)
    assert said.returncode == 0, said.stderr
    monkeypatch.delenv("PERSONA_QUALITY_REQUIRED_FIELDS")
    return Path("out/personas")


def rescored(studio: Studio, *arguments: str) -> Any:
    said = studio.persona("quality", "rescore", *arguments, "--json")
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def scores(studio: Studio) -> list[QualityScored]:
    (batch,) = studio.ledger.ask(BatchList(limit=1)).batches
    return studio.events(batch.batch, "quality.scored")


@pytest.mark.usefixtures("made")
def test_a_dry_run_shows_what_would_change_and_records_nothing(studio: Studio) -> None:
    found = rescored(studio, "--dry-run")
    assert (found["personas"], found["already"], found["left_out"]) == (3, 0, {})
    assert found["scorer"] == "builtin/2"
    assert [was.startswith("builtin/2+") for was in found["was"]] == [True]
    rows = {row["metric"]: row for row in found["rows"]}
    assert rows["completeness"]["was"] < rows["completeness"]["would_be"]
    for metric in ("coherence", "faithfulness", "distinctiveness", "authenticity"):
        assert rows[metric]["was"] == pytest.approx(rows[metric]["would_be"], abs=1e-4)
    assert rows["distinctiveness"]["n"] == 2
    assert len(scores(studio)) == 3

    shown = studio.persona("quality", "rescore", "--dry-run").stdout
    assert "Would be" in shown
    assert "nothing is recorded; --apply does" in shown


@pytest.mark.usefixtures("made")
def test_applied_it_is_recorded_beside_what_was_and_only_once(studio: Studio) -> None:
    assert rescored(studio, "--apply", "--batch", "last")["applied"]
    assert rescored(studio, "--apply")["personas"] == 0
    assert rescored(studio, "--dry-run")["already"] == 3

    before, after = scores(studio)[:3], scores(studio)[3:]
    assert [event.scorer for event in after] == ["builtin/2"] * 3
    assert [event.persona for event in after] == [event.persona for event in before]
    (batch,) = studio.ledger.ask(BatchList(limit=1)).batches
    completed = studio.events(batch.batch, "persona.completed")
    assert [event.at for event in after] == [event.at for event in completed]
    assert not studio.anomalies(batch.batch)
    said = studio.persona("quality", "trends", "--no-plot")
    assert "builtin/2+" in said.stdout
    assert "the scorer changed: builtin/2 from " in said.stdout


def test_files_that_are_gone_or_changed_are_left_out_and_said(studio: Studio, made: Path) -> None:
    first, second, _ = sorted(made.glob("*.json"))
    first.unlink()
    second.write_text(second.read_text().replace("name", "title"))
    found = rescored(studio, "--dry-run")
    assert found["personas"] == 1
    assert found["left_out"] == {"the file is gone": 1, "the file was changed": 1}
    assert "distinctiveness is measured without those that are left out" in found["note"]


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("gone", [False, True])
def test_without_the_source_they_were_made_from_none_is_scored(studio: Studio, gone: bool) -> None:
    source = studio.survey()
    if gone:
        source.unlink()
    else:
        source.write_text(source.read_text() + "\n")
    found = rescored(studio, "--apply")
    assert (found["personas"], found["applied"]) == (0, False)
    assert found["left_out"] == {"the source is gone or has changed": 3}
    told = studio.persona("quality", "rescore", "--apply").stderr
    assert "there is nothing to score anew" in told


def test_it_is_said_which_of_the_two_is_wanted(studio: Studio) -> None:
    assert studio.persona("quality", "rescore").returncode == 64
    assert studio.persona("quality", "rescore", "--apply", "--dry-run").returncode == 64
    assert studio.persona("quality", "rescore", "--apply", "--batch", "nothing").returncode == 64
