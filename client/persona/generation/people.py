"""Who is who over all files: one pseudonym a person, and the names that stand for him."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec import Struct

from persona.generation.names import PARTICLES

_CODE = re.compile(r"(?P<letters>[^\W\d_]{1,5})[-_ .#]?0*(?P<number>\d{1,9})")
_OWN_PSEUDONYM = re.compile(r"p (\d{1,6})")
_LONG_NUMBER = re.compile(r"\d{5,}")
_FAMILY_FIRST = re.compile(r"[\u3400-\u9fff]{3}|[\uac00-\ud7a3]{3}")
"""A Chinese or Korean name: nearly always one character is the family's, and two are the own."""
_OPAQUE = re.compile(r"(?=.*\d)[0-9a-zA-Z_-]{10,}")


class Person(Struct, frozen=True, order=True):
    """Tells one person from all others. `file` is empty where the id holds in every file."""

    file: str
    key: str


def person(file: str, speaker: str | None, *, declared: bool) -> Person:
    """The person a label or id means.

    An id that the data declare (`P01`, an e-mail address, a long number, a full name) is the same
    person in every file; so is a label such as `P03`. A first name, `P1` before a colon and
    `Participant 2` are one file's own.
    """
    if speaker is None:
        return Person(file, "")
    key = " ".join(speaker.split()).casefold()
    if code := _CODE.fullmatch(key):
        key = f"{code['letters']} {code['number']}"
        padded = re.search(r"\d{2,}", speaker) is not None and len(code["letters"]) <= 3
        return Person("" if declared or padded else file, key)
    everywhere = declared and (
        "@" in key[1:]
        or len(key.split()) > 1
        or _LONG_NUMBER.fullmatch(key) is not None
        or _OPAQUE.fullmatch(key) is not None
    )
    return Person("" if everywhere else file, key)


def pseudonyms(people: Iterable[Person]) -> Mapping[Person, str]:
    """`P01`, `P02` … in the order of first appearance; who is `P07` in the data keeps that."""
    distinct = list(dict.fromkeys(people))
    given: dict[Person, str] = {}
    taken: set[int] = set()
    for each in distinct:
        own = _OWN_PSEUDONYM.fullmatch(each.key)
        if own and int(own[1]) not in taken:
            taken.add(int(own[1]))
            given[each] = _shown(int(own[1]))
    number = 1
    for each in distinct:
        if each not in given:
            while number in taken:
                number += 1
            taken.add(number)
            given[each] = _shown(number)
    return given


def _shown(number: int) -> str:
    return f"P{number:02d}"


class NameBook:
    """Whose each name and part of a name is, by file and over all files."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._owners: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def add(self, name: str, file: str, pseudonym: str) -> None:
        """Note a name in a file; `pseudonym` is empty for somebody who is no participant."""
        for part in name_parts(name):
            self._words.add(part)
            self._owners[file, part].add(pseudonym)

    def words(self) -> frozenset[str]:
        """Every form of every part of a name, as it would stand in a text."""
        return frozenset(self._words)

    def stands_for(self, word: str, file: str, pseudonym: str = "") -> str:
        """What replaces a name: the speaker's own pseudonym, else that of the only person so
        called in the file, else nothing (`[name]`)."""
        owners = self._owners.get((file, word), frozenset[str]())
        if pseudonym and pseudonym in owners:
            return pseudonym
        return next(iter(owners)) if len(owners) == 1 else ""


def name_parts(name: str) -> Iterable[str]:
    """`ANNA-LENA van der Berg` → `Anna-Lena`, `Anna`, `Lena`, `Berg`, each also in capitals;
    `王小明` → `王小明`, `小明`."""
    found: dict[str, None] = {}
    for word in name.replace(",", " ").replace("’", "'").split():
        pieces = [piece for piece in re.split(r"[-–]", word.strip(".'")) if piece]
        for piece in dict.fromkeys((word.strip(".'"), *pieces)):
            letters = piece.rstrip(".")
            if len(letters) < 2 or letters.casefold() in PARTICLES:
                continue
            if letters.upper() == letters.lower():
                found[letters] = None
                if _FAMILY_FIRST.fullmatch(letters):
                    found[letters[1:]] = None
                continue
            found |= dict.fromkeys((_capitalised(letters), letters.upper()))
            if not letters.islower():
                found[letters] = None
    return tuple(found)


def _capitalised(word: str) -> str:
    return "-".join(part[:1].upper() + part[1:].lower() for part in word.split("-"))
