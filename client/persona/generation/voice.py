"""From what somebody said to a sentence about them: English is put into the third person.

“They” keeps the verb that followed “I” (I take, they take), so only *am* and *was* change and no
verb has to be conjugated. A sentence that this would garble is refused, and is then quoted.
"""

import functools
import re
from typing import Literal

from persona.generation.cues import Field

_OPENING = re.compile(
    r"^(?:(?:and|but|or|um+|uh+|erm*|er|mm+|hm+|oh|ah|yeah|yep|okay|ok|anyway|basically|honestly|"
    r"obviously|frankly|actually|i mean|you know|to be (?:honest|fair)|i'd say|i guess|"
    r"i suppose|i must say)\b[,:–—-]*|"
    r"(?:so|well|no|yes|look|see|right|sure|like|now|then|also|plus|still|sorry|listen|true|"
    r"luckily|sadly|first|firstly|secondly|god|gosh|however|though|of course|for example|fine|"
    r"exactly|same here|personally|mind you|i think|i feel|i find|in the end|the thing is|"
    r"what happens is|as i said|like i said|funnily enough|oddly enough)[,:]|"
    r"(?:so|i (?:just |really )?think(?: that)?|i feel like|i find that|i'd say that|secondly|"
    r"i guess(?: that)?|i suppose(?: that)?)(?= (?!far\b|much\b|many\b|long\b|about\b|of\b)\w))"
    r"\s*",
    re.IGNORECASE,
)
_INNER = re.compile(
    r",? ?(?<![\w'])(?:um+|uh+|erm+|er)(?![\w'])[,…]?(?= )"
    r"|, (?:you know|i mean|i think|i suppose|i guess|honestly|to be (?:honest|fair)|actually|"
    r"basically|obviously|frankly|literally|like|well|of course|you see|kind of|sort of|yeah|"
    r"right|apparently|mind you|i'd say|let's say|i must say)(?=[,.!])(?:,(?= ))?",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^[\s\"'“”‘’(–—-]+")
_DANGLING = re.compile(
    r"^(?:that|this|those|these|it|it's|it'll|it'd|he|she|he's|she's|they|they're|they've|them|"
    r"his|her|which|who|whose|because|cause|'cause|or|nor|not|only|same|neither|both|either|"
    r"another|one|ones|some|such|than|until|except|especially|including|whereas|unless|"
    r"maybe|perhaps|sometimes it|then|there|here|what|whatever|fair|else|like|as if|as though|"
    r"though|although|when it|if it|if they|when they|for which|do|did|does|don't|won't|"
    r"thank|thanks|let's|see|imagine|guess|ask|tell)\b",
    re.IGNORECASE,
)
_FINE_OPENING = re.compile(
    r"^(?:it (?:would|takes me|costs me|means i)|it's (?:hard|difficult|impossible|easier|cheaper|"
    r"not (?:safe|fair|worth)|important|my )|there(?:'s| is| are| should| was| were| isn't)\b|"
    r"what i\b|only (?:the|my)|when it (?:rains|snows|is dark|gets dark|'s dark)|"
    r"not (?:being|having|knowing)|because (?:i|my|of|the)\b.{12,}, |"
    r"one (?:of|day|time|thing|lift|bus|train)|some (?:of the|days|drivers|people)|"
    r"both (?:the|my)|if they (?:cancel|close))",
    re.IGNORECASE,
)
_UNCLEAR = re.compile(
    r"[?\"“”«»…\[\]<>|{}*_#]|\.\.|--| - |—\s*$"
    r"|\b(?:you asked|your question|you see|thank you|you'll laugh|"
    r"you said|if you like|as you|you'd (?:think|be)|do you|don't you|isn't it|aren't they|"
    r"mentioned|earlier|said before|this interview|this survey|as above|etc|lol|haha)\b"
    r"|(?<!\w)'\w[^']{2,}'(?!\w)",
    re.IGNORECASE,
)
_SECOND_PERSON = re.compile(r"\b(?:you|you're|you've|you'd|you'll|your|yours|yourself)\b", re.I)
_FIRST_PERSON = re.compile(r"\b(?:I|I'm|I've|I'd|I'll|my|me|we|our|us|mine|myself|we're|we've)\b")
_THIRD_PERSON = re.compile(r"\b(?:they|they're|they've|they'd|they'll|them|their|theirs)\b", re.I)
_GARBLED = re.compile(
    r"\b(?:am|me and my|and me|I and|let us|you and I)\b|^(?:My|Our|The|A) \w+ and (?:I|me)\b"
)
_CONJOINED_WAS = re.compile(
    r"\bthey\b[^,;]*(?:,| and| but| or| so)(?: \w+ly| then| just| still)? (?:was|wasn't|am)\b", re.I
)
_PSEUDONYM = re.compile(r"\bP\d{1,6}\b")

_PRONOUNS = {
    "i": "they", "i'm": "they're", "i've": "they've", "i'd": "they'd", "i'll": "they'll",
    "my": "their", "mine": "theirs", "me": "them", "myself": "themselves", "we": "they",
    "we're": "they're", "we've": "they've", "we'd": "they'd", "we'll": "they'll", "us": "them",
    "our": "their", "ours": "theirs", "ourselves": "themselves",
}  # fmt: skip
_PRONOUN = re.compile(
    r"\b(?:(?P<be>(?:am|was|wasn't) I|I(?P<between> (?:always|never|just|only|still|really|once|"
    r"often|actually|usually|probably|also|then|definitely|already|almost))? (?:am|was|wasn't))"
    r"|(?P<pronoun>I'm|I've|I'd|I'll|I|[Mm]y(?:self)?|[Mm]ine|[Mm]e|[Ww]e(?:'re|'ve|'d|'ll)?|us|Us|"
    r"[Oo]ur(?:s|selves)?))(?![\w'-])"
)
_PLURAL = {"am": "are", "was": "were", "wasn't": "weren't"}
_WISH = re.compile(
    r"^They(?:'d| would| just| only| really| mostly)* "
    r"(?:want|like|love|hope|prefer|'re trying|'re hoping) to (?P<rest>.+)$"
    r"|^They're (?:trying|hoping) to (?P<tried>.+)$"
)

LONGEST = 30
SHORTEST = 5


def claim(sentence: str, field: Field) -> str | None:
    """An English sentence about the speaker, or None where it can't be put so cleanly.

    A goal that starts “I want to …” becomes its infinitive. The words stay the speaker's own.
    """
    text = plain(sentence)
    if not _usable(text):
        return None
    text = _shortened(text)
    speaks = _FIRST_PERSON.search(text) is not None
    if speaks and (_THIRD_PERSON.search(text) or _GARBLED.search(text)):
        return None
    if speaks and _SECOND_PERSON.search(text):
        return None
    told = _PRONOUN.sub(_third_person, text)
    if _CONJOINED_WAS.search(told):
        return None
    wish = _WISH.match(told) if field == "goals" else None
    if wish:
        told = wish["rest"] or wish["tried"]
    told = told[0].upper() + told[1:]
    return told.rstrip(" ,;:–—-.!") + "."


def is_wish(sentence: str) -> bool:
    """Whether `claim` makes an infinitive of this goal."""
    return _WISH.match(_PRONOUN.sub(_third_person, _shortened(plain(sentence)))) is not None


@functools.lru_cache(maxsize=2_048)
def plain(sentence: str) -> str:
    """The sentence without what people say while they think: openings and fillers."""
    text = " ".join(sentence.replace("’", "'").replace("‘", "'").split())
    text = _INNER.sub("", _opened(re.sub(r"\bI(ve|m)\b", r"I'\1", text)))
    text = _opened(text)
    text = re.sub(r"\b(\w+)(,? \1)+\b", r"\1", text, flags=re.IGNORECASE)
    return text[:1].upper() + text[1:]


def _opened(text: str) -> str:
    before = None
    while before != text:
        before = text
        text = _LEAD.sub("", _OPENING.sub("", text))
    return text


def _usable(text: str) -> bool:
    return (
        SHORTEST <= len(text.split()) <= 2 * LONGEST
        and not _UNCLEAR.search(text)
        and not _PSEUDONYM.search(text)
        and (not _DANGLING.match(text) or _FINE_OPENING.match(text) is not None)
        and not re.search(r"\b(?:and|but|or|so|because|the|a|to|of|with)[.!,;:]*$", text, re.I)
    )


def _shortened(text: str) -> str:
    """A long sentence up to the last clause that ends within `LONGEST` words."""
    if len(text.split()) <= LONGEST:
        return text
    cut = text
    for clause in re.finditer(r"(?:;|:|,? –|,? —|, (?:and|but|so|which|because|then))\s", text):
        if SHORTEST + 3 <= len(text[: clause.start()].split()) <= LONGEST:
            cut = text[: clause.start()]
    return cut


def _third_person(match: re.Match[str]) -> str:
    if match["be"]:
        words = match["be"].split()
        verb = next(word for word in words if word in _PLURAL)
        they = "They" if match.start() == 0 else "they"
        if words[0] in _PLURAL:
            return f"{_PLURAL[verb]} they"
        return f"{they}{match['between'] or ''} {_PLURAL[verb]}"
    word = match["pronoun"]
    told = _PRONOUNS[word.lower()]
    return told[0].upper() + told[1:] if match.start() == 0 else told


def refusal(sentence: str) -> Literal["question", "pseudonym", "mark"] | None:
    """Why a sentence is no good even as a quote, if it is none."""
    if "?" in sentence or "？" in sentence:
        return "question"
    if _PSEUDONYM.search(sentence):
        return "pseudonym"
    return "mark" if re.search(r"[\[\]<>{}|]", sentence) else None


_QUOTATION = {
    "de": ("„", "“"),
    "es": ("«", "»"),
    "fr": ("« ", " »"),
    "it": ("«", "»"),
    "ja": ("「", "」"),
    "zh": ("「", "」"),
}


def quoted(sentence: str, language: str) -> str:
    """The sentence in its language's quotation marks, without marks of its own around it."""
    opening, closing = _QUOTATION.get(language, ("“", "”"))
    return opening + sentence.strip(' "“”„«»「」') + closing
