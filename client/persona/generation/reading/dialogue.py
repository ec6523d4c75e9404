"""Turns of talk into answers with the question before them.

Every transcript format ends here: a reader yields turns, this room decides who asks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from msgspec import Struct, structs

from persona.generation.names import GIVEN
from persona.generation.reading.found import Found, Named, Said
from persona.generation.reading.speakers import Role, Speaker, speaker_of

_MAX_QUESTION_CHARACTERS = 500
_ASKING_SHARE = 0.6
_MIN_TURNS = 2


class Turn(Struct, frozen=True):
    locator: str
    text: str
    label: str | None = None
    """None: whoever spoke last goes on."""
    heading: str | None = None
    """The heading that the turn stands under."""


class Cast(Struct, frozen=True):
    """Who is who in one file, found by looking through all its turns."""

    speakers: dict[str, Speaker]
    """What each label that belongs to a speaker stands for."""
    person: str | None = None
    """The participant that the file itself names (`Participant: P03`)."""
    declared: bool = True
    """`person` is an id that holds in other files too."""


def cast(
    turns: Iterable[Turn],
    person: str | None = None,
    *,
    about: Iterable[Found] = (),
    trusted: bool = True,
    declared: bool = True,
) -> Cast:
    """Find the speakers among the labels.

    `about` is what the file says before them: whom it names as the interviewer asks. Where labels
    are only guessed from a colon (`trusted` False), one that occurs once and names
    no role counts only beside other speakers. Where nobody is said to be the interviewer, it is
    the one of several speakers most of whose turns are questions.
    """
    counts: Counter[str] = Counter()
    questions: Counter[str] = Counter()
    for turn in turns:
        if turn.label is not None:
            counts[turn.label] += 1
            questions[turn.label] += turn.text.rstrip("\"'”’) ").endswith(("?", "？"))
    if trusted:
        speakers = {
            label: speaker_of(label) or Speaker(Role.PERSON, label) for label in counts if label
        }
    else:
        heard = {label: who for label in counts if (who := speaker_of(label)) is not None}
        speakers = _without_chance_labels(heard, counts)
    speakers |= _named_as_asking(speakers, about)
    if not any(who.role is Role.ASKS for who in speakers.values()):
        speakers |= _asking(speakers, counts, questions)
    return Cast(speakers, person, declared)


def converse(turns: Iterable[Turn], known: Cast) -> Iterator[Found]:
    """Answers with their questions, and the names that the labels hold."""
    yield from _names(known)
    persons = _persons(known)
    # One label beside a header that names the participant: the label is that participant.
    alias = known.person if len(persons) == 1 else None
    speaker: Speaker | None = None
    asked, heading, asking = "", None, False
    for turn in turns:
        label = None if turn.label is None else known.speakers.get(turn.label)
        text = turn.text
        if turn.label is not None and label is None:
            text = f"{turn.label}: {text}"
        speaker = label or speaker
        if turn.heading != heading:
            heading, asked = turn.heading, ""
        if speaker is not None and speaker.role is Role.ASKS:
            asked = f"{asked} {text}" if asking else text
            asked, asking = asked.strip()[-_MAX_QUESTION_CHARACTERS:], True
            continue
        asking = False
        # What stands before the first turn of a transcript is nobody's answer.
        if text and (speaker is not None or not known.speakers):
            yield _said(turn.locator, text, speaker, asked or heading, known, alias)


def owned(about: Iterable[Found], known: Cast) -> Iterator[Found]:
    """What a file says about its participant (facts, his name), given to him.

    A group's facts are nobody's in particular and are left out.
    """
    persons = _persons(known)
    one = next(iter(persons)) if len(persons) == 1 else None
    who = known.person or one
    declared = known.declared and known.person is not None
    for each in about:
        match each:
            case Said(speaker=None):
                if who is not None or not persons:
                    yield structs.replace(each, speaker=who, declared=declared)
            case Named(of_file=True) if who is not None:
                yield Named(each.name, who, declared)
            case Named(of_file=True) if persons:
                yield Named(each.name)
            case _:
                yield each


def _persons(known: Cast) -> dict[str, None]:
    people = [who for who in known.speakers.values() if who.role is Role.PERSON]
    return {who.key: None for who in {each.key.casefold(): each for each in people}.values()}


def _said(
    locator: str,
    text: str,
    speaker: Speaker | None,
    question: str | None,
    known: Cast,
    alias: str | None,
) -> Said:
    named = speaker.key if speaker is not None and speaker.role is Role.PERSON else None
    who = known.person if named is None else alias or named
    declared = known.declared and who is not None and who == known.person
    return Said(locator, text, who, question, declared=declared)


def _names(known: Cast) -> Iterator[Named]:
    persons = _persons(known)
    for who in known.speakers.values():
        if who.name is None:
            continue
        if who.role is Role.ASKS:
            yield Named(who.name)
        elif known.person is not None and len(persons) == 1:
            yield Named(who.name, known.person, known.declared)
        else:
            yield Named(who.name, who.key)


def _named_as_asking(speakers: dict[str, Speaker], about: Iterable[Found]) -> dict[str, Speaker]:
    names = [
        set(each.name.casefold().split())
        for each in about
        if isinstance(each, Named) and each.speaker is None and not each.of_file
    ]
    return {
        label: Speaker(Role.ASKS, "", who.name)
        for label, who in speakers.items()
        if who.name is not None and any(set(who.name.casefold().split()) <= name for name in names)
    }


def _without_chance_labels(
    speakers: dict[str, Speaker], counts: Counter[str]
) -> dict[str, Speaker]:
    roles = {label for label, who in speakers.items() if who.role is not Role.PERSON}
    sure = roles | {label for label, who in speakers.items() if _surely(who, counts[label])}
    asked_only = all(speakers[label].role is Role.ASKS for label in sure)
    # `Honestly:` once is a word before a colon; where only an interviewer is known, it answers.
    return speakers if sure and asked_only else {label: speakers[label] for label in sure}


def _surely(who: Speaker, count: int) -> bool:
    if who.role is not Role.PERSON:
        return False
    if count > 1 or who.name is None:
        return True
    return who.name.split()[0].casefold() in GIVEN


def _asking(
    speakers: dict[str, Speaker], counts: Counter[str], questions: Counter[str]
) -> dict[str, Speaker]:
    turns: defaultdict[str, int] = defaultdict(int)
    asked: defaultdict[str, int] = defaultdict(int)
    for label, who in speakers.items():
        turns[who.key.casefold()] += counts[label]
        asked[who.key.casefold()] += questions[label]
    if len(turns) < 2:
        return {}
    share = {key: asked[key] / turns[key] for key in turns if turns[key] >= _MIN_TURNS}
    curious = [key for key, each in share.items() if each >= _ASKING_SHARE]
    if len(curious) != 1:
        return {}
    return {
        label: Speaker(Role.ASKS, "", who.name)
        for label, who in speakers.items()
        if who.key.casefold() == curious[0]
    }
