"""What a persona's age goes with: the ages that a text states, and those that a stage of life has.

Digits are read in any script; words are known in English, German, French, Spanish, Italian, Dutch,
Portuguese, Japanese and Hindi. What is said in other words contradicts nothing.
"""

import re

from persona.generation.text import sentences

OLDEST = 115
WORKING_FROM = 14
"""Nobody younger has an occupation, but for pupils and children."""

_STATED = re.compile(
    r"\b(?:is|are|aged?|ages) (?P<en>\d{1,3}(?:\s?[–-]\s?\d{1,3})?)(?=[.,;)]|\s*$)"
    r"|\baged (?P<aged>\d{1,3}(?:\s?[–-]\s?\d{1,3})?)\b"
    r"|\b(?P<years>\d{1,3})[- ]years?[- ]old\b"
    r"|\b(?P<de>\d{1,3})(?:-jährig|jährig| Jahre alt)|\bAlter: (?P<alter>\d{1,3}(?:–\d{1,3})?)"
    r"|\b(?:a|âgée? de) (?P<fr>\d{1,3}) ans\b|\bâge[^:.]{0,20}: (?P<age>\d{1,3}(?:–\d{1,3})?)"
    r"|\btiene (?P<es>\d{1,3}) años|\b(?P<edad>\d{1,3}) años de edad"
    r"|\bedad[^:.]{0,20}: (?P<comun>\d{1,3}(?:–\d{1,3})?)"
    r"|\bha (?P<it>\d{1,3}) anni\b|\b(?P<nl>\d{1,3})(?: jaar oud|-jarige)\b"
    r"|\b(?P<pt>\d{1,3}) anos de idade\b"
    r"|(?P<ja>\d{1,3})\s?[歳才]|(?P<hi>\d{1,3}) ?(?:वर्षीय|(?:साल|वर्ष) (?:का|की|के))",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,4}")
_DECADE = re.compile(r"\b(\d0)['’]?s\b", re.IGNORECASE)

_STAGES: tuple[tuple[str, int, int, re.Pattern[str]], ...] = tuple(
    (name, low, high, re.compile(pattern, re.IGNORECASE))
    for name, low, high, pattern in (
        (
            "retired",
            40,
            OLDEST,
            r"\b(?:retired|retiree|pensioner|emeritus|rentner(?:in)?|pensioniert|im ruhestand|"
            r"retraitée?|à la retraite|jubilad[oa]|pensionista|pensionat[oa]|gepensioneerd\w*|"
            r"aposentad[oa])\b|定年退職|年金生活|सेवानिवृत्त|पेंशनभोगी",
        ),
        (
            "a grandparent",
            33,
            OLDEST,
            r"\b(?:grand(?:mother|father|parent|dad|ma|pa)s?|großmutter|großvater|oma|opa|"
            r"grand-mère|grand-père|abuel[oa])\b|祖父|祖母|दादी|दादा|नानी",
        ),
        (
            "a pupil",
            4,
            21,
            r"\b(?:school ?(?:boy|girl|child)|pupil|sixth[- ]?former|high[- ]school student|"
            r"schüler(?:in)?|écoli(?:er|ère)|lycéen(?:ne)?|collégien(?:ne)?|escolar|scholier)\b"
            r"|高校生|中学生|小学生",
        ),
        ("a teenager", 11, 20, r"\b(?:teenager|teenage (?:boy|girl))\b"),
        ("an elderly person", 58, OLDEST, r"\b(?:elderly (?:man|woman|person)|octogenarian)\b"),
        ("middle-aged", 35, 66, r"\bmiddle-aged (?:man|woman|person)\b"),
        ("a doctoral student", 20, 80, r"\b(?:phd|doctoral) (?:student|candidate)\b"),
    )
)
_ANOTHERS = re.compile(
    r"\b(?:of|for|to|with|and|von|für|de|d'|pour|para|con)\s+(?:\w+ )?$",
    re.IGNORECASE,
)
"""Before a word, it says that this is somebody else: the mother *of a* teenager."""
_CHILD = re.compile(
    r"pupil|school|child|kid|toddler|baby|schüler|kind|écol|collég|enfant|alumn|niñ|escolar|scholier"
    r"|小学|中学|生徒|बच्च|छात्र|विद्यार्थी|student",
    re.IGNORECASE,
)


def age_range(age: str) -> tuple[int, int] | None:
    """`34` → 34 to 34, `30s` → 30 to 39, `60+` → 60 on; None where no number is in it."""
    decade = _DECADE.search(age)
    if decade:
        return int(decade[1]), int(decade[1]) + 9
    numbers = [int(number) for number in _NUMBER.findall(age)]
    if not numbers:
        return None
    if re.search(r"[+>]|\b(?:over|above|über|plus)\b", age, re.IGNORECASE):
        return min(numbers), max(*numbers, OLDEST)
    if re.search(r"<|\b(?:under|below|unter|moins)\b", age, re.IGNORECASE):
        return 0, max(numbers)
    return min(numbers), max(numbers)


def contradictions(age: str | None, occupation: str | None, summary: str) -> list[str]:
    """What the age does not go with, each as a line for people."""
    years = age_range(age) if age else None
    if years is None:
        return []
    low, high = years
    if low > OLDEST or high <= 0:
        return [f"nobody is {age}"]
    found = []
    for stated in _STATED.finditer(summary) if _NUMBER.search(summary) else ():
        other = age_range(next(group for group in stated.groups() if group))
        if other is not None and (other[0] > high + 1 or other[1] < low - 1):
            found.append(f"aged {age} in one place, and {stated[0].strip()} in another")
            break
    if occupation and high < WORKING_FROM and not _CHILD.search(occupation):
        found.append(f"aged {age} with the occupation {occupation}")
        return found
    # Further on, a summary speaks of others, too.
    for text in filter(None, (occupation, *sentences(summary)[:1])):
        for name, youngest, oldest, words in _STAGES:
            if (high < youngest or low > oldest) and _is_called(words, text):
                found.append(f"aged {age}, and {name}")
                return found
    return found


def _is_called(words: re.Pattern[str], text: str) -> bool:
    """Whether the persona is called so, and not somebody that it has to do with."""
    return any(not _ANOTHERS.search(text[: each.start()]) for each in words.finditer(text))
