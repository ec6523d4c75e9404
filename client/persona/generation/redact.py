"""E-mail addresses, telephone numbers and names out of texts.

Everything here is idempotent: a text that was redacted once is not changed by doing it again.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache

from persona.generation.language import MARKS, languages, stopwords
from persona.generation.names import ALSO_WORDS, GIVEN, NOT_AFTER_I_AM, PARTICLES

EMAIL, PHONE, NAME = "[email]", "[phone]", "[name]"

_AT = r"(?:@|\s?[(\[]\s?(?:at|ät)\s?[)\]]\s?)"
_DOT = r"(?:\.|\s?[(\[]\s?(?:dot|punkt)\s?[)\]]\s?)"
_EMAIL = re.compile(
    rf"(?<![\w.+%'-])(?P<lead>[.'-]*)[\w.+%'-]+{_AT}[\w-]+(?:{_DOT}[\w-]+)+", re.IGNORECASE
)

_UNIT = r"(?:[€$£¥₹%]|(?:EUR|USD|CHF|GBP|euros?|dollars?|pounds?|million)\b)"
_AMOUNT = r"(?!0\d)(?:\d{1,3}(?:[.,' ]\d{3})+|\d+)(?:[.,]\d{1,2})?(?!\d)"
_DATE = (
    r"(?<![\d.,/-])(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}"
    r"|\d{1,2}[-./]\s?\d{1,2}[-./]\s?(?:\d{4}|\d{2}))(?!\d|[-./]\d)"
)
_AFTER_CURRENCY = r"(?:(?<=[€$£¥₹])|(?<=[€$£¥₹]\s)|(?<=(?:EUR|USD|CHF|GBP)\s))"
_PRICE = rf"{_AFTER_CURRENCY}{_AMOUNT}|(?<!\d)(?<!\d[ .,-]){_AMOUNT}\s?{_UNIT}"
_NUMBER = r"(?<!\w)(?:\+\s?|\(\+?)?\d(?:[ ().\-–/]{0,3}\d)*(?!\w)"
_NUMBERS = re.compile(rf"(?P<kept>{_DATE}|{_PRICE})|(?P<number>{_NUMBER})")
_NUMBER_START = re.compile(r"[\d+(]")
_DIGIT = re.compile(r"\d")
_MIN_DIGITS, _LOCAL_DIGITS, _LONG_DIGITS = 6, 7, 9
_ANNOUNCED = re.compile(
    r"(?<!\[)\b(?:phone|telephone|call|tel|mobile|cell|fax|handy|handynummer|mobil|telefon"
    r"|telefonnummer|rufnummer|whatsapp|téléphone|teléfono|telefono|telefoon|telefone|ring"
    r"|(?:my|his|her|our|their|the) number|nummer|durchwahl)\b\W{0,4}(?:\w+\W{1,2}){0,3}$",
    re.IGNORECASE,
)
_ANNOUNCED_CHARACTERS = 40

_NAME_WORDS = r"[^\W\d_]+(?:[-'’][^\W\d_]+)*(?: (?:(?:van|von|de|der|da|di|del) ){0,2}"
_A_NAME = rf"(?P<name>{_NAME_WORDS}[^\W\d_]+(?:[-'’][^\W\d_]+)*){{0,2}})(?![\w@])"
_INTRODUCED = re.compile(
    r"\b(?i:my name(?:'s|’s| is)|my (?:first|full|last) name is|call me|they call me|i am called"
    r"|mein name(?: ist|:)|ich heiße|ich heisse|nenn(?:t|en sie)? mich|je m['’]appelle"
    r"|mon nom est|me llamo|mi nombre es|mi chiamo|il mio nome è|ik heet|mijn naam is"
    r"|meu nome é|(?:eu )?me chamo|chamo-me) " + _A_NAME
)
_I_AM = re.compile(r"\b(?:I['’]m|I am) " + _A_NAME)
_I_AM_GIVEN = re.compile(
    r"\b(?i:this is|hier (?:ist|spricht)|ich bin(?: die| der|'s|’s)?|je suis|(?:yo )?soy"
    r"|(?:io )?sono|ik ben|(?:eu )?sou) " + _A_NAME
)

_INTRODUCTIONS = (
    (
        _INTRODUCED,
        (
            "name",
            "call",
            "heiße",
            "heisse",
            "nenn",
            "appelle",
            "nom ",
            "llamo",
            "nombre",
            "chiamo",
            "nome",
            "heet",
            "naam",
            "chamo",
        ),
        False,
        False,
    ),
    (_I_AM, ("i'm", "i’m", "i am"), True, False),
    (
        _I_AM_GIVEN,
        ("this is", "hier ", "ich bin", "je suis", "soy", "sono", "ik ben", "sou "),
        True,
        True,
    ),
)
"""Pattern, what must be in a text (in lower case) for it to match, strict, common names only."""

_SIGNS = rf"[^\W_]+(?:[{MARKS}]+[^\W_]*)*"
_LETTERS = rf"[^\W\d_]+(?:[{MARKS}]+[^\W\d_]*)*"
_TOKEN = re.compile(rf"\[(?:email|phone|name)\]|{_SIGNS}(?:[-'’]{_LETTERS})*")
_JOINED = re.compile(
    r"[\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff々\uac00-\ud7a3"
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+"
)
"""Ideographs and kana, Hangul, Thai, Lao, Burmese and Khmer: words stand without spaces between
them, or with particles on them."""
_BETWEEN = re.compile(rf"(?:[ -]|\. )(?:(?:{'|'.join(sorted(PARTICLES))}) )*")
_SENTENCE_START = re.compile(r"(?:^|[.!?…:;]|\n)[\s\"'“”„‘’«»(\[–—-]*$")
_SURELY_NAME_AFTER = re.compile(r"['’]s\b|,| (?:and|und|et|y|e|en) (?:I\b|ich\b)| (?:says|said)\b")
_FUNCTION_WORDS = frozenset(word for code in languages() for word in stopwords(code)) - GIVEN
_AMBIGUOUS = ALSO_WORDS | _FUNCTION_WORDS
_MONTHS = frozenset({"april", "may", "mai", "june", "august", "january", "july", "juli"})
_OF_TIME = re.compile(
    r"\b(?:in|of|since|until|till|by|last|next|during|early|late|from|im|seit|bis|ab|en|de) $",
    re.IGNORECASE,
)


def redact_contacts(text: str, counts: Counter[str] | None = None) -> str:
    """Replace e-mail addresses and telephone numbers; dates, times, amounts and years stay."""
    counts = Counter() if counts is None else counts
    if "@" in text or "(" in text or "[" in text:
        text = _until_still(text, lambda each: _sub_emails(each, counts))
    if _DIGIT.search(text):
        text = _until_still(text, lambda each: _sub_phones(each, counts))
    return text


def _until_still(text: str, change: Callable[[str], str]) -> str:
    # What was replaced may bring its neighbours closer to each other.
    while (changed := change(text)) != text:
        text = changed
    return text


def _sub_emails(text: str, counts: Counter[str]) -> str:
    text, found = _EMAIL.subn(rf"\g<lead>{EMAIL}", text)
    counts["email"] += found
    return text


def _sub_phones(text: str, counts: Counter[str]) -> str:
    parts: list[str] = []
    copied = at = 0
    # Looking for a first character beforehand is ten times as fast as trying at every place.
    while start := _NUMBER_START.search(text, at):
        found = _NUMBERS.match(text, start.start())
        at = found.end() if found else start.end()
        number = found["number"] if found else None
        before = text[max(0, start.start() - _ANNOUNCED_CHARACTERS) : start.start()]
        if number is not None and is_phone(number, before):
            counts["phone"] += 1
            # `(030) 1234` takes its bracket along, `(030 1234)` leaves both.
            opened = "(" if number[0] == "(" and ")" not in number else ""
            parts += (text[copied : start.start()], opened, PHONE)
            copied = at
    return "".join((*parts, text[copied:])) if parts else text


def is_phone(number: str, before: str = "") -> bool:
    """Whether digits with their separators are a telephone number; `before` is what precedes.

    International forms (`+`, `00`), forms with the leading 0 of an area code, North American
    ones, and any other grouping of 9 or more digits; a plain run of 7 to 9 digits only where a
    word such as `call` announces it. Years and thousands aren't.
    """
    groups: list[str] = re.findall(r"\d+", number)
    digits = "".join(groups)
    if len(digits) < _MIN_DIGITS:
        return False
    if number.lstrip("(").startswith("+") or digits.startswith("00"):
        return len(digits) >= _LOCAL_DIGITS
    if all(len(group) == 1 for group in groups) or _are_years(groups):
        return False
    if groups[0].startswith("0"):
        return len(groups[0]) > 1
    if _ANNOUNCED.search(before) and len(digits) >= _LOCAL_DIGITS:
        return True
    if len(groups) == 1:
        return len(digits) > _LONG_DIGITS
    if [len(group) for group in groups] == [3, 4]:
        return groups[0][0] > "1"
    thousands = len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    if thousands and ("." in number or len(digits) < _LONG_DIGITS):
        return False
    decimal = "." in number and len(groups) == 2
    round_numbers = all(group.endswith("00") for group in groups)
    if decimal or round_numbers:
        return False
    pairs = len(groups) == 4 and all(len(group) == 2 for group in groups)
    return pairs or len(digits) >= _LONG_DIGITS


def _are_years(groups: list[str]) -> bool:
    return all(len(group) == 4 and group[:2] in ("18", "19", "20") for group in groups)


def introduced_names(text: str) -> Iterator[str]:
    """The names by which people introduce themselves: `my name is X`, `ich heiße X`, `I'm X`."""
    small = text.lower()
    for pattern, cues, strict, only_given in _INTRODUCTIONS:
        if not any(cue in small for cue in cues):
            continue
        for found in pattern.finditer(text):
            words = _leading_name(found["name"].split(), strict=strict)
            if words and (not only_given or words[0].casefold() in GIVEN):
                yield " ".join(words)


def _leading_name(words: list[str], *, strict: bool) -> list[str]:
    """The words up to the first that can't be part of a name."""
    taken: list[str] = []
    for word in words:
        small = word.casefold()
        if word in PARTICLES and taken:
            taken.append(word)
            continue
        plain = word[0].isupper() and (not word.isupper() or len(word) > 4 or not strict)
        barred = small in NOT_AFTER_I_AM and (strict or small not in ALSO_WORDS)
        function_word = small in _FUNCTION_WORDS and small not in ALSO_WORDS
        if not plain or len(word) < 2 or barred or function_word or small.startswith(("i'", "i’")):
            break
        taken.append(word)
    while taken and taken[-1] in PARTICLES:
        taken.pop()
    return taken


def redact_names(
    text: str, names: frozenset[str], stands_for: Callable[[str], str], counts: Counter[str]
) -> str:
    """Replace names as whole words, upper and lower case heeded, possessives included.

    `stands_for(word)` is a pseudonym, or empty for `[name]`. Parts of one person's name that
    stand next to each other become one. A name that is also a word stays where a capital means
    nothing: at the beginning of a sentence.
    """
    spans: list[tuple[int, int, str]] = []
    for token in _TOKEN.finditer(text) if names else ():
        for start, end, word in _pieces(token, names):
            if _spared(word, text, start, end):
                continue
            stands = stands_for(word) or NAME
            if spans and spans[-1][2] == stands and _BETWEEN.fullmatch(text, spans[-1][1], start):
                spans[-1] = (spans[-1][0], end, stands)
            else:
                spans.append((start, end, stands))
                counts["name"] += 1
    parts: list[str] = []
    copied = 0
    for start, end, stands in spans:
        parts += (text[copied:start], stands)
        copied = end
    return "".join((*parts, text[copied:]))


@lru_cache(maxsize=4)
def _joined_sizes(names: frozenset[str]) -> tuple[int, ...]:
    """How many characters names have that may stand in such a run, the most first; one of a single
    character would be found in words, too, and stays."""
    sizes = {len(name) for name in names if _JOINED.fullmatch(name)} - {1}
    return tuple(sorted(sizes, reverse=True))


def _within(word: str, start: int, names: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    """The names in a run that is written without spaces (`田中さんは`, `김민수가`), the longest
    first."""
    sizes = _joined_sizes(names)
    at = 0
    while sizes and at + sizes[-1] <= len(word):
        for size in sizes:
            part = word[at : at + size]
            if len(part) == size and part in names and _JOINED.fullmatch(part):
                yield start + at, start + at + size, part
                at += size
                break
        else:
            at += 1


def _pieces(token: re.Match[str], names: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    """The names that a token is or is put together of: `Anna`, `Anna's`, `Annas`, `Anna-Lena`."""
    word, start = token[0].replace("’", "'"), token.start()
    if word in names:
        yield start, token.end(), word
        return
    if word[0] == "[":
        return
    if not word.isascii() and _JOINED.search(word):
        yield from _within(word, start, names)
        return
    if "-" not in word and "'" not in word and "’" not in word:
        base = word[:-1]
        genitive = len(word) > 4 and word[-1] == "s" and base.casefold() not in _AMBIGUOUS
        if genitive and base in names:
            yield start, token.end() - 1, base
        return
    for part in re.finditer(r"[^-'’]+", word):
        if part[0] in names:
            yield start + part.start(), start + part.end(), part[0]


def _spared(word: str, text: str, start: int, end: int) -> bool:
    small = word.casefold()
    if small not in _AMBIGUOUS:
        return False
    if not word[0].isupper():
        return True
    if small in _MONTHS and _OF_TIME.search(text[max(0, start - 12) : start]):
        return True
    if _SENTENCE_START.search(text[max(0, start - 12) : start]) is None:
        return False
    return _SURELY_NAME_AFTER.match(text, end) is None
