"""What a speaker label says about who speaks: who asks, who answers, and under which name."""

import re
from enum import Enum
from functools import lru_cache

from msgspec import Struct

from persona.generation.language import MARKS


class Role(Enum):
    ASKS = "asks"
    ANSWERS = "answers"
    """The file's own participant, not named by the label: `P:`, `Answer:`."""
    PERSON = "person"
    """Whoever the label names: `Anna:`, `P03:`, `Participant 2:`."""


class Speaker(Struct, frozen=True):
    role: Role
    key: str
    """Tells the speakers of one file apart; upper and lower case don't."""
    name: str | None = None
    """The person's name, where the label holds one."""


ASKING = frozenset(
    """interviewer interviewerin interviewers i int iv iw q question moderator moderatorin mod m
    researcher facilitator host ux uxr frage f forscher forscherin fragesteller fragestellerin
    enquêteur enquêtrice intervieweur intervieweuse animateur animatrice entrevistador
    entrevistadora moderador moderadora intervistatore intervistatrice moderatore moderatrice
    聞き手 インタビュアー 質問者 司会 साक्षात्कारकर्ता प्रश्नकर्ता
    onderzoeker vraag pregunta domanda pergunta pesquisador pesquisadora""".split()  # noqa: SIM905
)
ANSWERING = frozenset(
    """participant participants p r a answer b respondent respondents interviewee subject user
    customer client informant proband probandin teilnehmer teilnehmerin befragte befragter
    antwort kunde kundin nutzer nutzerin participante répondant répondante réponse interviewé
    interviewée enquêté enquêtée entrevistado entrevistada encuestado encuestada respuesta
    話し手 回答者 参加者 प्रतिभागी उत्तरदाता
    partecipante intervistato intervistata risposta deelnemer geïnterviewde antwoord resposta
    speaker sprecher sprecherin person guest patient tn""".split()  # noqa: SIM905
)
_NEVER = frozenset(
    """note notes nb ps date time place location topic topics theme summary example examples tip
    tips warning background context source sources transcript duration recording session project
    title subject-line file format version status todo agenda goal goals result results http https
    e.g i.e also however because so but and or then first second third finally fazit hinweis datum
    ort zeit dauer thema beispiel zusammenfassung fact problem idea reason pro con pros cons
    update edit key insight insights pain point points need needs behaviour behaviours behavior
    motivation motivations frustration frustrations quote quotes observation observations
    takeaway takeaways recommendation recommendations age name occupation job profession city
    country gender education alter beruf 注意 注 日時 日付 時間 場所 目的 テーマ 背景 概要 まとめ
    備考 補足 例 出典""".split()  # noqa: SIM905
)
_LETTERS = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{MARKS}])*")
_ID = re.compile(r"[A-Za-z]{0,5}[-_ .#]?\d{1,9}")
_NUMBERED = re.compile(r"(?P<role>[^\W\d_]+)\s*[-_#.]?\s*(?P<number>\d{1,4})")
_BRACKETS = re.compile(r"\s*[(\[](?P<inside>[^()\[\]]{1,40})[)\]]\s*")
_CLOCK = re.compile(r"[\d:.,\s]+")
_ARTICLE = re.compile(r"^(?:the|der|die|le|la|l'|el|il|de|het|o|a) (?=\w{2})", re.IGNORECASE)
_TITLE = re.compile(
    r"(?:dr|prof|mr|mrs|ms|miss|mx|herr|frau|m|mme|mlle|sr|sra|sig|dhr|mevr)\.?\s+", re.IGNORECASE
)
MAX_LABEL_CHARACTERS = 40


@lru_cache(maxsize=4_096)
def speaker_of(label: str) -> Speaker | None:
    """Who a label stands for; None when it can't be a speaker (`Note`, a whole clause)."""
    outside, inside = _without_brackets(label)
    plain = _ARTICLE.sub("", outside, count=1)
    for word, other in ((plain, inside), (inside, plain)):
        role = _role(word)
        if role is Role.ASKS:
            return Speaker(role, "", name_in(other))
        if role is Role.ANSWERS and other and _role(other) is None:
            # `Participant (Anna)`, `Anna (participant)`: the name tells who.
            return _person(other, other)
    if _role(plain) is Role.ANSWERS:
        return Speaker(Role.ANSWERS, "")
    if is_id(inside):
        return _person(inside, plain)
    if not _may_be_person(plain):
        return None
    return _person(plain, plain)


def is_id(text: str) -> bool:
    """`P03`, `R-12`, `17`: a code for a person rather than a name."""
    return bool(_ID.fullmatch(text.strip()))


def name_in(text: str) -> str | None:
    """The personal name in a label or cell, without its title; None when it is none."""
    text = text.strip().strip("\"'").strip()
    while title := _TITLE.match(text):
        text = text[title.end() :]
    words = text.replace(",", " ").split()
    if not 1 <= len(words) <= 5 or any(character.isdigit() for character in text):
        return None
    if not all(_is_name_word(word) for word in words) or _role(text) is not None:
        return None
    return " ".join(words)


def _is_name_word(word: str) -> bool:
    letters = re.sub(r"[-'’.]", "", word)
    return _LETTERS.fullmatch(letters) is not None and word[0] not in "-'’."


def _without_brackets(label: str) -> tuple[str, str]:
    """What is outside and inside of the label's brackets; after a comma counts as inside."""
    label = label.strip().strip("*_").strip()
    if found := _BRACKETS.search(label):
        outside = (label[: found.start()] + " " + label[found.end() :]).strip()
        inside = found["inside"].strip()
        # `Anna (00:12:03)`: a time says nothing about who speaks.
        return (outside, "") if _CLOCK.fullmatch(inside) else (outside or inside, inside)
    outside, _, inside = label.partition(",")
    return outside.strip(), inside.strip()


def _role(word: str) -> Role | None:
    word = _ARTICLE.sub("", word.strip(), count=1).casefold().rstrip(".")
    if numbered := _NUMBERED.fullmatch(word):
        # `Interviewer 2` still asks; `Participant 2` is one of several persons.
        return Role.ASKS if numbered["role"] in ASKING and len(numbered["role"]) > 1 else None
    if word in ASKING:
        return Role.ASKS
    return Role.ANSWERS if word in ANSWERING else None


def _person(key: str, name: str) -> Speaker:
    return Speaker(Role.PERSON, key.strip(), name_in(name))


def _may_be_person(label: str) -> bool:
    words = label.split()
    if not 1 <= len(words) <= 4 or len(label) > MAX_LABEL_CHARACTERS:
        return False
    if any(word.casefold().strip(".,") in _NEVER for word in words):
        return False
    if is_id(label) or _NUMBERED.fullmatch(label):
        return True
    caseless = label.upper() == label.lower()
    return name_in(label) is not None and (
        caseless or (words[0][0].isupper() and words[-1][0].isupper())
    )
