"""The research data that workloads are made from: the same bytes on every machine.

Interviews of people of three kinds, put together from sentences that such people might say; it is
text to work on, and says nothing about anybody.
"""

import random
from collections.abc import Iterator
from pathlib import Path

_KINDS: tuple[tuple[str, ...], ...] = (
    (
        "I count what every ticket costs me, because at the end of the month nothing is left.",
        "The monthly pass went up by 12 euros and nobody told us why.",
        "If there were a cheaper fare after nine, I would travel later.",
        "I walk 25 minutes in the evening to save the second bus.",
        "My daughter's school trip cost more than our food that week.",
        "I want to know in advance what a trip will cost me.",
        "I compared three fares on paper before I bought the yearly one.",
        "A refund for a cancelled train took me 6 weeks and four letters.",
        "I never use first class, not even when it is empty.",
        "I would share a taxi if I knew who pays what.",
    ),
    (
        "The 7:42 is late three times a week, and then I miss my shift.",
        "I leave 30 minutes early so that one delay does not cost me my job.",
        "When the app says on time and the train is not there, I feel fooled.",
        "I want to see where the bus really is, not where it should be.",
        "I waited 50 minutes on a cold platform without a single announcement.",
        "I always check two connections before I leave the house.",
        "My boss stopped believing me after the fourth delay in a month.",
        "At night there is one train an hour, so a missed one means a long walk.",
        "I keep a list of the delays in my phone, with the reasons they gave.",
        "I would rather have a slow train that comes than a fast one that does not.",
    ),
    (
        "The lift at my station has been broken since March, so I cannot get out there.",
        "I travel with a wheelchair, and two of five buses have no ramp that works.",
        "I ask the driver every time, and every time I feel that I am in the way.",
        "I need to know before I leave whether the lift works.",
        "The print on the timetable is so small that I photograph it and enlarge it.",
        "My sister comes along on 4 of 5 trips because I cannot do it alone.",
        "I plan a trip of 20 minutes for two hours.",
        "I would like one number to call when I am stuck somewhere.",
        "The announcement is the only thing I can follow, and it is too quiet.",
        "I know every station with a ramp by heart.",
    ),
)
_JOBS = ("nurse", "teacher", "electrician", "student", "pensioner", "cashier", "engineer", "cook")
_QUESTIONS = (
    "What was your last trip like?",
    "What bothers you most about it?",
    "What would you change?",
    "How do you prepare?",
)
_ROUNDS = 2
"""How often each question is asked."""


def interviews(size_bytes: int, seed: int) -> Iterator[tuple[str, str]]:
    """File names and texts, of at least so many bytes together."""
    rng = random.Random(seed)
    total, number = 0, 0
    while total < size_bytes or number < len(_KINDS) * 2:
        sentences = _KINDS[number % len(_KINDS)]
        text = _interview(number, sentences, rng)
        yield f"interview-{number:04}.txt", text
        total += len(text)
        number += 1


def _interview(number: int, sentences: tuple[str, ...], rng: random.Random) -> str:
    turns = "\n\n".join(
        f"Interviewer: {question}\n\nP{number:04}: {' '.join(rng.sample(sentences, 2))}"
        for question in _QUESTIONS * _ROUNDS
    )
    age, job = rng.randrange(18, 90), rng.choice(_JOBS)
    return f"Participant: P{number:04}\nAge: {age}\nOccupation: {job}\n\n{turns}\n"


def write(folder: Path, size_bytes: int, seed: int) -> None:
    """Writes them into a new folder. Raises OSError."""
    folder.mkdir(parents=True)
    for name, text in interviews(size_bytes, seed):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
