"""The example study is what its README promises, and its truth is complete and kept apart."""

import csv
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
INTERVIEWS = EXAMPLES / "interviews"
FREE_TEXT = (
    "What frustrates you most?",
    "Tell us about your last trip",
    "What would you change?",
)
# Ranges that the British regulator keeps free for fiction.
FICTIONAL_NUMBER = re.compile(
    r"(?:\+44 ?20 ?|020 ?)7946 ?0\d{3}|01632 ?960 ?\d{3}|07700 ?900 ?\d{3}"
)
PHONE_LIKE = re.compile(r"(?<![\d:.£])(?:\+44|0)[\d ]{9,14}\d")
ADDRESS = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)")


class Truth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    segments: list[str]
    participants: dict[str, str | dict[str, str]]

    def of_transcripts(self) -> dict[str, str]:
        return {name: of for name, of in self.participants.items() if isinstance(of, str)}

    def of_survey(self) -> dict[str, str]:
        survey = self.participants["survey.csv"]
        assert isinstance(survey, dict)
        return survey


@pytest.fixture(scope="module")
def truth() -> Truth:
    return msgspec.json.decode((ROOT / "tests/data/truth.json").read_bytes(), type=Truth)


@pytest.fixture(scope="module")
def survey() -> list[dict[str, str]]:
    with (INTERVIEWS / "survey.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    files = sorted(path for path in EXAMPLES.rglob("*") if path.is_file())
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def test_truth_names_a_segment_for_every_transcript_and_no_other(truth: Truth) -> None:
    transcripts = {path.name for path in INTERVIEWS.iterdir()} - {"survey.csv"}

    assert set(truth.of_transcripts()) == transcripts


def test_truth_names_a_segment_for_every_respondent_and_no_other(
    truth: Truth, survey: list[dict[str, str]]
) -> None:
    respondents = [row["respondent_id"] for row in survey]

    assert len(set(respondents)) == len(respondents) >= 340
    assert set(truth.of_survey()) == set(respondents)


def test_each_of_the_five_segments_has_transcripts_and_respondents(truth: Truth) -> None:
    transcripts = Counter(truth.of_transcripts().values())
    respondents = Counter(truth.of_survey().values())

    assert len(truth.segments) == 5
    assert set(transcripts) == set(respondents) == set(truth.segments)
    assert min(transcripts.values()) >= 3
    assert min(respondents.values()) >= 50


def test_transcripts_come_in_three_formats_and_at_conversation_length() -> None:
    transcripts = [path for path in INTERVIEWS.iterdir() if path.name != "survey.csv"]
    words = {path.name: len(path.read_text(encoding="utf-8").split()) for path in transcripts}

    assert min(Counter(path.suffix for path in transcripts).values()) >= 5
    assert {path.suffix for path in transcripts} == {".md", ".txt", ".vtt"}
    assert min(words.values()) >= 600


def test_no_two_survey_answers_are_the_same(survey: list[dict[str, str]]) -> None:
    answers = Counter(row[column] for row in survey for column in FREE_TEXT if row[column])

    assert [answer for answer, times in answers.items() if times > 1] == []


def test_respondents_of_one_segment_do_not_stand_together(
    truth: Truth, survey: list[dict[str, str]]
) -> None:
    segments = [truth.of_survey()[row["respondent_id"]] for row in survey]
    neighbours = sum(a == b for a, b in pairwise(segments))

    assert neighbours < len(segments) / 3


def test_the_examples_do_not_give_the_truth_away(truth: Truth, texts: dict[str, str]) -> None:
    told = [
        (name, segment)
        for name, text in texts.items()
        for segment in truth.segments
        if segment in text.casefold()
    ]

    assert told == []


def test_addresses_and_numbers_in_the_examples_reach_nobody(texts: dict[str, str]) -> None:
    everything = "\n".join(texts.values())
    hosts = set(ADDRESS.findall(everything))
    numbers = PHONE_LIKE.findall(everything)

    assert hosts == {"example.com", "example.org"}
    assert numbers
    assert [number for number in numbers if not FICTIONAL_NUMBER.fullmatch(number)] == []


def test_the_examples_say_that_they_are_synthetic_and_stay_small(texts: dict[str, str]) -> None:
    assert "synthetic" in texts["README.md"]
    assert sum(len(text.encode()) for text in texts.values()) < 600_000
