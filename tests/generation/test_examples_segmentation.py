"""The segments that were put into examples/interviews are found again."""

import csv
import json
import re
from collections import Counter
from math import comb
from pathlib import Path

import pytest
from persona.generation.model import Reading
from persona.generation.segments import segment
from persona.generation.sources import read_sources

ROOT = Path(__file__).parents[2]
INTERVIEWS = ROOT / "examples" / "interviews"


def adjusted_rand_index(left: list[str], right: list[str]) -> float:
    """Hubert & Arabie 1985: 1 for the same grouping, about 0 for an unrelated one."""
    pairs = sum(comb(n, 2) for n in Counter(zip(left, right, strict=True)).values())
    of_left = sum(comb(n, 2) for n in Counter(left).values())
    of_right = sum(comb(n, 2) for n in Counter(right).values())
    expected = of_left * of_right / comb(len(left), 2)
    return (pairs - expected) / ((of_left + of_right) / 2 - expected)


@pytest.fixture(scope="module")
def interviews() -> Reading:
    return read_sources(INTERVIEWS)


@pytest.fixture(scope="module")
def truth(interviews: Reading) -> dict[str, str]:
    """Each speaking participant's segment, by the file or row that he or she comes from."""
    stated = json.loads((ROOT / "tests" / "data" / "truth.json").read_text())["participants"]
    with (INTERVIEWS / "survey.csv").open(newline="") as file:
        respondents = [row["respondent_id"] for row in csv.DictReader(file)]
    found: dict[str, str] = {}
    for record in interviews.records:
        segment_of = stated[record.source]
        if isinstance(segment_of, dict):
            row = re.search(r"row (\d+)", record.locator)
            assert row is not None
            segment_of = segment_of[respondents[int(row[1]) - 2]]
        if record.kind == "speech":
            found[record.participant] = segment_of
    return found


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4, 5])
def test_the_five_segments_of_the_examples_are_recovered(
    interviews: Reading, truth: dict[str, str], seed: int | None
) -> None:
    found = segment(interviews, 5, seed=seed)
    group = {who: one.digest for one in found for who in one.participants}
    people = sorted(truth)
    index = adjusted_rand_index([truth[who] for who in people], [group[who] for who in people])
    assert index >= 0.85


def test_the_index_is_one_for_the_same_grouping_and_low_for_another() -> None:
    assert adjusted_rand_index(list("aabbcc"), list("xxyyzz")) == 1.0
    assert adjusted_rand_index(list("aabbcc"), list("xyxyxy")) < 0.1
