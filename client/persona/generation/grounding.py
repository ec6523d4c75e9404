"""Which passages of a segment support a persona: its sentences, weighed, and chosen for variety."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec import Struct

from persona.generation.cues import CUES, FIELDS, Field, asked_for, strength
from persona.generation.language import stopwords
from persona.generation.model import Record, Segment
from persona.generation.standalone import dependence, private_names
from persona.generation.text import sentences, terms, without_marks
from persona.generation.voice import claim, plain, quoted, refusal

MOST_PASSAGES = 4_000
"""Of a larger segment the most typical participants' sentences are considered."""
WEIGHED = 400
"""Of those, the most relevant ones are weighed closely, which bounds the time a persona takes."""
WANTED = 4
ENOUGH = 2
ASIDE = 0.1
"""Below this relevance a sentence is about something else than its segment."""
ANSWERING = 3
"""How many sentences of an answer are taken to answer its question."""


class Passage(Struct, frozen=True):
    """A sentence, verbatim, and where it stands."""

    record: Record
    text: str
    stems: frozenset[str]
    relevance: float
    """How much it uses the words that mark its segment; about 0 to 1."""
    place: int
    """Which sentence of its record it is, from 0."""
    private: int
    """How many names are in it that nobody else in the segment mentions."""


class _Split(Struct, frozen=True):
    record: Record
    text: str
    place: int
    stems: frozenset[str]


class Claim(Struct, frozen=True):
    """A sentence about the persona and the passage that it rests on."""

    text: str
    passage: Passage


class Chosen(Struct, frozen=True):
    claims: dict[Field, tuple[Claim, ...]]
    quotes: tuple[Passage, ...]


def choose(segment: Segment, language: str) -> Chosen:
    """The passages for a persona's four lists and its quotes; none is used for two lists."""
    everything = passages(segment, language)
    closest = sorted(everything, key=lambda passage: -passage.relevance)[:WEIGHED]
    weighed = {id(passage) for passage in closest}
    found = [passage for passage in everything if id(passage) in weighed]
    used: list[Passage] = []
    claims: dict[Field, tuple[Claim, ...]] = dict.fromkeys(FIELDS, ())
    candidates = {field: _candidates(found, field, language) for field in FIELDS}
    for field in sorted(FIELDS, key=lambda field: (len(candidates[field]), FIELDS.index(field))):
        claims[field] = _claims(candidates[field], found, field, language, used)
        used += [one.passage for one in claims[field]]
    return Chosen(claims, _quotes(found, language, used))


def passages(segment: Segment, language: str) -> list[Passage]:
    """The segment's sentences that somebody said and that are neither questions nor redacted."""
    stop = stopwords(language)
    split: list[_Split] = []
    for record in segment.records:
        if record.kind != "speech":
            continue
        for place, sentence in enumerate(sentences(record.text)):
            if refusal(sentence) is None and words_in(sentence) >= 3:
                stems = frozenset(found for found, _ in terms(sentence, stop, language))
                split.append(_Split(record, sentence, place, stems))
        if len(split) >= MOST_PASSAGES:
            break
    users = _users(split)
    weights = _weights(users, segment, language)
    shared = frozenset(one for one, by in users.items() if len(by) > 1)
    return [
        Passage(
            one.record,
            one.text,
            one.stems,
            _relevance(one.stems, weights),
            one.place,
            private_names(one.text, shared, language),
        )
        for one in split
    ]


def words_in(text: str) -> int:
    """Words, or half the letters where a script has no spaces between them."""
    spaced = len(text.split())
    unspaced = sum(1 for letter in text if "\u3040" <= letter <= "\u9fff") // 2
    return max(spaced, unspaced)


def _users(split: Iterable[_Split]) -> dict[str, set[str]]:
    """Who uses each stem."""
    users: dict[str, set[str]] = defaultdict(set)
    for sentence in split:
        for one in sentence.stems:
            users[one].add(sentence.record.participant)
    return users


def _weights(users: dict[str, set[str]], segment: Segment, language: str) -> dict[str, float]:
    """The segment's terms weigh most, then what several of its participants speak of."""
    size = len(segment.participants)
    weights = {
        one: 0.5 * float(np.log(len(by)) / np.log(size)) if size > 1 else 0.0
        for one, by in users.items()
    }
    for rank, term in enumerate(segment.terms):
        for one in {found for found, _ in terms(without_marks(term), frozenset(), language)}:
            weights[one] = weights.get(one, 0.0) + 1.0 - 0.05 * rank
    return weights


def _relevance(stems: frozenset[str], weights: dict[str, float]) -> float:
    total = sum(sorted(weights.get(one, 0.0) for one in stems))
    return round(total / (3 + len(stems)), 6)


def _candidates(found: Sequence[Passage], field: Field, language: str) -> list[tuple[float, Claim]]:
    """Every passage that can be made a claim of this kind, with its worth."""
    result = []
    for passage in found:
        if language not in CUES:
            worth, text = passage.relevance, _as_said(passage, language)
        else:
            cues = _cues(passage, field, language)
            if not cues:
                continue
            others = max(_cues(passage, other, language) for other in FIELDS if other != field)
            worth = 1.5 * passage.relevance + 0.2 * min(cues, 3) - 0.1 * others
            text = claim(passage.text, field) if language == "en" else _as_said(passage, language)
            worth -= _cost(passage, field, language)
        if text is not None:
            result.append((worth - _awkwardness(text), Claim(text, passage)))
    return result


def _cues(passage: Passage, field: Field, language: str) -> float:
    """The strength of a passage's own words, and of having been asked for just this.

    What someone wants is often said without saying so (“A second lift at Central.”); for the
    other kinds an answer needs words of its own too, since talk soon leaves its question.
    """
    own = strength(passage.text, field, language)
    asked = passage.place < ANSWERING and asked_for(passage.record.question, field)
    if not asked or (not own and field != "goals"):
        return own
    return own + 1.0


def _cost(passage: Passage, field: Field | None, language: str) -> float:
    if language != "en":
        return 0.1 * passage.private
    aside = 0.2 if passage.relevance < ASIDE else 0.0
    return aside + 0.1 * passage.private + dependence(plain(passage.text), field)


def _as_said(passage: Passage, language: str) -> str | None:
    return quoted(passage.text, language) if 4 <= words_in(passage.text) <= 30 else None


def _awkwardness(text: str) -> float:
    """Short remarks lack context, and long ones ramble."""
    count = words_in(text)
    return 0.03 * max(0, 9 - count) + 0.015 * max(0, count - 20)


def _claims(
    candidates: Sequence[tuple[float, Claim]],
    found: Sequence[Passage],
    field: Field,
    language: str,
    used: Sequence[Passage],
) -> tuple[Claim, ...]:
    """Up to four claims; where fewer than two can be put cleanly, what was said is quoted."""
    free = [(worth, one) for worth, one in candidates if one.passage not in used]
    chosen = _varied(free, lambda one: one.passage, used, WANTED)
    if len(chosen) < ENOUGH and language == "en":
        taken = {id(passage) for passage in [*used, *(one.passage for one in chosen)]}
        said = [
            (passage.relevance, Claim(quoted(plain(passage.text), language), passage))
            for passage in found
            if id(passage) not in taken
            and _cues(passage, field, language)
            and 4 <= words_in(passage.text) <= 30
            and plain(passage.text) in " ".join(passage.text.split())
        ]
        taken_passages = [*used, *(one.passage for one in chosen)]
        chosen += _varied(said, lambda one: one.passage, taken_passages, ENOUGH - len(chosen))
    return tuple(chosen)


def _varied(
    candidates: Sequence[tuple[float, Claim]],
    passage_of: Callable[[Claim], Passage],
    used: Sequence[Passage],
    count: int,
) -> list[Claim]:
    """The best candidates, each chosen for worth less likeness to the chosen (maximal marginal
    relevance, Carbonell & Goldstein 1998), and from different people where possible."""
    chosen: list[Claim] = []
    shown = list(used)
    people = Counter(passage.record.participant for passage in used)
    remaining = sorted(candidates, key=lambda pair: -pair[0])[:200]
    while remaining and len(chosen) < count:
        scored = [
            (worth - _repetition(passage_of(one), shown, people), -at)
            for at, (worth, one) in enumerate(remaining)
        ]
        best, at = max(scored)
        if best < -1.0:
            break
        one = remaining.pop(-at)[1]
        chosen.append(one)
        shown.append(passage_of(one))
        people[passage_of(one).record.participant] += 1
    return chosen


def _repetition(passage: Passage, shown: Sequence[Passage], people: Counter[str]) -> float:
    likeness = max((_likeness(passage.stems, other.stems) for other in shown), default=0.0)
    near_copy = 2.0 if likeness > 0.6 else 0.0
    return 0.6 * likeness + near_copy + 0.12 * people[passage.record.participant]


def _likeness(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared stems over the smaller set, so that a part of a sentence is like the whole; over
    both together where there are too few stems to tell."""
    smaller = min(len(left), len(right))
    over = smaller if smaller >= 4 else len(left | right)
    return len(left & right) / over if over else 0.0


def _quotes(
    found: Sequence[Passage], language: str, used: Sequence[Passage]
) -> tuple[Passage, ...]:
    """Two to four sentences as they were said, preferably ones that no claim was made from."""
    taken = {id(passage) for passage in used}
    readable = [passage for passage in found if 6 <= words_in(passage.text) <= 40]
    weighed = [
        (_worth_quoting(passage, language) - (0.6 if id(passage) in taken else 0.0),
         Claim(passage.text, passage))
        for passage in readable or found
    ]  # fmt: skip
    return tuple(one.passage for one in _varied(weighed, lambda one: one.passage, (), WANTED))


def _worth_quoting(passage: Passage, language: str) -> float:
    count = words_in(passage.text)
    worth = 1.5 * passage.relevance - 0.02 * max(0, 10 - count) - 0.01 * max(0, count - 25)
    cues = sum(min(1, strength(passage.text, field, language)) for field in FIELDS)
    if language == "en":
        worth -= _cost(passage, None, language)
        worth -= 0.005 * (len(passage.text) - len(plain(passage.text)))
        worth -= 0.0 if passage.text[0].isupper() else 0.2
        worth -= 0.25 if claim(passage.text, "motivations") is None else 0.0
    return worth + 0.08 * min(cues, 2)
