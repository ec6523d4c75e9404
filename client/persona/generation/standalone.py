"""How well an English sentence stands on its own, out of the talk that it was part of."""

import re

from persona.generation.cues import Field
from persona.generation.text import normal, stem

_POINTS_ELSEWHERE = re.compile(
    r"\b(?:he|she|him|he's|she's|he'd|she'd|that's|that(?=[,.;]| first| too)|that one|this one|"
    r"those ones|it's because|the same thing|like that|like this|such a|do (?:it|that|this|so)|"
    r"(?:does|did|about|of|with|for|on|in) (?:it|that)\b|use it|got it|want it|"
    r"have it|had it|put it|took it|take it|see it|see is|in there|over there|either|the other|"
    r"the former|long story|whatever|to be fair|fine|anyway|actually|thing is)\b"
    r"|^(?:I|We|They) (?:do|did|don't|can|can't|have|haven't|am|was|would|could|will|might)\b[,.]",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"\b(?:was|were|had|did|didn't|went|took|got|came|said|told|asked|stood|left|paid|bought|"
    r"tried|missed|waited|walked|cried|counted|called|rang|\w{3,}ed)\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:I|I'm|I've|I'd|I'll|my|me|we|we're|our)\b")
_SUBJECT_FIRST = re.compile(
    r"^(?:(?:on|in|at|every|each|when|if|before|after|most|some|usually|normally|from|since|now)\b"
    r"[^,]{0,40},? )?(?:I|I'm|I've|I'd|I'll|we|my)\b",
    re.IGNORECASE,
)
_FINITE = re.compile(
    r"\b(?:is|are|am|was|were|be|has|have|had|do|does|did|can|could|will|would|should|must|may|"
    r"might|\w+n't|\w+'(?:s|re|ve|ll|d|m)|need|needs|want|wants|get|gets|go|goes|take|takes|make|"
    r"makes|come|comes|know|knows|let|give|put|show|tell|run|runs|stop|stops|cost|costs|use|wait|"
    r"leave|leaves|pay|work|works|feel|feels|keep|keeps|think|say|says|\w{3,}ed|I \w+|we \w+)\b",
    re.IGNORECASE,
)
_SECOND_PERSON = re.compile(r"\b(?:you|you're|your|you'd|you'll|you've)\b", re.IGNORECASE)
_COARSE = re.compile(
    r"\b(?:bloody|damn\w*|wretched|hell|crap\w*|shit\w*|fuck\w*|arse\w*|son|pal|mate|"
    r"love(?=,)|(?<=, )I do(?=,))\b",
    re.IGNORECASE,
)
_FRAGMENT_START = re.compile(
    r"^(?:and|or|but|so|because|which|not|no|yes|well|secondly|thirdly|then|plus|also|"
    r"\w+, (?:no|yes|so|and|but)\b|\w+(?: \w+)?,)",
    re.IGNORECASE,
)
_CAPITALISED = re.compile(r"(?<=[a-z,;:] )[A-Z][a-z]{2,}\b")


def dependence(sentence: str, field: Field | None) -> float:
    """What a reader would miss without the sentences around it; 0 is a sentence that is whole.

    `field` None judges a quote. The weights were set by reading what they let through.
    """
    cost = 0.16 * len(_POINTS_ELSEWHERE.findall(sentence))
    opening = " ".join(sentence.split()[:4])
    cost += 0.12 if re.search(r"\b(?:it|it's|this|that|these|those|one)\b", opening, re.I) else 0
    cost += 0.07 * max(0, sentence.count(",") - 1)
    cost += 0.06 * max(0, len(re.findall(r"\d+", sentence)) - 1)
    cost += 0.12 if _SECOND_PERSON.search(sentence) else 0
    cost += 0.2 if _COARSE.search(sentence) else 0
    cost += 0.2 if not _FINITE.search(sentence) else 0
    cost += 0.15 if _FRAGMENT_START.match(sentence) else 0
    return round(cost + _out_of_place(sentence, field), 6)


def _out_of_place(sentence: str, field: Field | None) -> float:
    """A habit is told in the present and by whoever has it; a quote says “I”."""
    subject = -0.12 if _SUBJECT_FIRST.match(sentence) else 0.0
    alone = 0.25 if not _FIRST_PERSON.search(sentence) else 0.0
    past = 0.15 if _PAST.search(sentence) else 0.0
    match field:
        case "behaviours":
            return subject + alone + past
        case "motivations":
            return subject + 0.6 * alone + 0.5 * past
        case "goals":
            return subject + past
        case "pain_points":
            return 0.3 * alone
        case None:
            return subject + 0.5 * alone


def private_names(sentence: str, shared: frozenset[str], language: str) -> int:
    """How many capitalised words inside the sentence only one person uses: somebody's name or
    a detail of one life, which should not stand for a group. `shared` holds stems.

    German capitalises every noun, so nothing is counted there.
    """
    if language == "de":
        return 0
    return sum(
        1 for word in _CAPITALISED.findall(sentence) if stem(normal(word), language) not in shared
    )
