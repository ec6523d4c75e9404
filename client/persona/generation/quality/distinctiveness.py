"""How little a persona is like the nearest other one of its batch.

One minus the TF-IDF cosine over all that is said of the two, whatever the order and the small
words, so that a paraphrase under another name is no new persona. The others are those that were
finished before it: of two that are alike, the second is the one too many. For the first there is
nothing to measure. It needs words, not a language: stop words and stems are used where they are
known.
"""

from collections.abc import Sequence

from persona.generation.model import Segment
from persona.generation.quality.crowd import Peers, among
from persona.generation.quality.metric import NotMeasurable, Score, Scored, Settings

name = "distinctiveness"

LEAST = 8
"""With fewer different content words, anybody differs from anybody."""


def score(persona: Scored, segment: Segment, peers: Sequence[Scored], settings: Settings) -> Score:
    """`parts` has the likeness to the nearest."""
    if not peers:
        raise NotMeasurable("there is no other persona before it in its batch")
    found = peers if isinstance(peers, Peers) else among(peers, persona)
    if found.terms < LEAST:
        raise NotMeasurable("too little is said of the persona to tell it from others")
    return Score(value=1.0 - found.likeness, parts={"likeness": found.likeness})
