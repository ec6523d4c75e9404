"""`python -m bench.scored_crowd N`: scores N personas of one batch, and says what that took."""

import json
import os
import random
import sys
import time

from persona.generation.model import Draft, Record, Segment
from persona.generation.quality import score_persona
from persona.generation.quality.crowd import Crowd

from .corpus import sentences_of_the_example
from .process import peak_mb

RECORDS, SENTENCES = 8, 3
WARM = 20


def crowd(size: int, seed: int = 1) -> list[tuple[Draft, Segment]]:
    """Personas and what each was made from: 24 sentences by 8 people, 18 of them in the persona."""
    sentences, rng = sentences_of_the_example(), random.Random(seed)
    return [_one(at, rng.sample(sentences, RECORDS * SENTENCES)) for at in range(size)]


def _one(at: int, said: list[str]) -> tuple[Draft, Segment]:
    records = tuple(
        Record(
            f"{at}.md#line {n}",
            f"P{n}",
            f"{at}.md",
            f"line {n}",
            " ".join(said[n * SENTENCES : (n + 1) * SENTENCES]),
        )
        for n in range(RECORDS)
    )
    draft = Draft(
        name=f"Ada Number{at}",
        age=str(20 + at % 50),
        occupation="Nurse",
        summary=f"She is one of many. {said[0]} {said[1]}",
        goals=said[2:6],
        pain_points=said[6:10],
        behaviours=said[10:12],
        motivations=said[12:14],
        quotes=said[14:18],
    )
    return draft, Segment(f"sha256:{at}", records, ("P0",), 1.0, ())


def main(size: int) -> None:
    personas = crowd(size)
    for draft, segment in personas[:WARM]:
        score_persona(draft, segment)
    together = Crowd()
    began, cpu = time.perf_counter(), time.process_time()
    scored = [
        score_persona(draft, segment, together.join(at, draft))
        for at, (draft, segment) in enumerate(personas)
    ]
    took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    metrics = min(len(each.scores) for each in scored[1:])
    sys.stdout.write(json.dumps({**took, "peak_mb": peak_mb(os.getpid()), "metrics": metrics}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
