"""Research data of any size, put together from the sentences of the example study."""

import csv
import random
import re
from pathlib import Path

from .house import EXAMPLES

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_QUESTIONS = ("What frustrates you most?", "Tell us about your last trip", "What would you change?")
_FACTS = ("age", "occupation", "district", "main_mode", "satisfaction")
_SENTENCES_A_RECORD = 3
_TURNS_A_FILE = 24


def survey(path: Path, records: int, seed: int = 1) -> None:
    """Writes a CSV file of so many rows, each somebody's facts and one answer of some sentences."""
    rows, sentences = _example()
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["respondent_id", *_FACTS, _QUESTIONS[-1]])
        for n in range(records):
            who = rng.choice(rows)
            answer = " ".join(rng.sample(sentences, _SENTENCES_A_RECORD))
            writer.writerow([f"P{n:06}", *(who[fact] for fact in _FACTS), answer])


def interviews(folder: Path, files: int, seed: int = 1) -> int:
    """Writes so many transcripts of the same shape and length; the bytes of all."""
    _, sentences = _example()
    rng = random.Random(seed)
    folder.mkdir()
    size_bytes = 0
    for n in range(files):
        turns = "\n\n".join(
            f"Interviewer: {_QUESTIONS[turn % 3]}\n\n"
            f"P{n:05}: {' '.join(rng.sample(sentences, _SENTENCES_A_RECORD))}"
            for turn in range(_TURNS_A_FILE)
        )
        text = f"Participant: P{n:05}\nAge: {rng.randrange(18, 90)}\n\n{turns}\n".encode()
        size_bytes += (folder / f"interview-{n:05}.txt").write_bytes(text)
    return size_bytes


def sentences_of_the_example() -> list[str]:
    """What was said in it, sentence by sentence."""
    return sorted(set(_example()[1]))


def _example() -> tuple[list[dict[str, str]], list[str]]:
    with (EXAMPLES / "survey.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sentences = [
        sentence
        for row in rows
        for question in _QUESTIONS
        for sentence in _SENTENCE_END.split(row[question] or "")
        if len(sentence) > 15
    ]
    return rows, sentences
