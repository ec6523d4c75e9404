"""From what all files gave: who has which pseudonym, and which names have to go."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from msgspec import Struct

from persona.generation.names import GIVEN, NOT_IN_FILE_NAMES
from persona.generation.people import NameBook, Person, person, pseudonyms
from persona.generation.reading.findings import Findings
from persona.generation.reading.found import Named, Said
from persona.generation.redact import introduced_names, redact_contacts, redact_names

_FILE_WORD = re.compile(r"[^\W\d_]+")


class Cast(Struct, frozen=True):
    """Everybody in one reading."""

    given: Mapping[Person, str]
    aliases: Mapping[str, Person]
    book: NameBook
    names: frozenset[str]

    def pseudonym(self, file: str, said: Said) -> str:
        return self.given[_who(file, said, self.aliases)]

    def redacted(self, text: str, file: str, pseudonym: str, counts: Counter[str]) -> str:
        """The text without addresses, numbers and names; `pseudonym` is of him who speaks."""

        def stands_for(word: str) -> str:
            return self.book.stands_for(word, file, pseudonym)

        text = redact_contacts(text, counts)
        named = redact_names(text, self.names, stands_for, counts)
        return text if named == text else redact_contacts(named, counts)

    def without_names(self, file: str) -> str:
        """A file's name with the names of people in it replaced, whatever their case."""
        folded = {word.casefold(): word for word in self.names}
        parts: list[str] = []
        for part in PurePosixPath(file).parts:
            stem, dot, suffix = part.rpartition(".")
            stem, ending = (stem, dot + suffix) if stem else (part, "")
            words = [
                (found.span(), self.book.stands_for(folded[found[0].casefold()], file) or "name")
                for found in _FILE_WORD.finditer(stem)
                if found[0].casefold() in folded and found[0].casefold() not in NOT_IN_FILE_NAMES
            ]
            for (start, end), stands in reversed(words):
                stem = stem[:start] + stands + stem[end:]
            parts.append(_without_repetition(stem) + ending)
        return "/".join(parts)


def cast_of(read: Iterable[Findings]) -> Cast:
    """Give pseudonyms in the order of files and note every name that the files give away."""
    files = list(read)
    aliases = dict(_aliases(files))
    given = pseudonyms(_who(each.name, said, aliases) for each in files for said in each.said)
    book = NameBook()
    for each in files:
        for name, owner in _names(each, aliases):
            book.add(name, each.name, given.get(owner, "") if owner is not None else "")
    return Cast(given, aliases, book, book.words())


def _who(file: str, said: Said | Named, aliases: Mapping[str, Person]) -> Person:
    found = person(file, said.speaker, declared=said.declared)
    return aliases.get(found.key, found)


def _aliases(files: Iterable[Findings]) -> Iterator[tuple[str, Person]]:
    """Full names that the data tie to an id: whoever is so called elsewhere is that person."""
    for each in files:
        for named in each.names:
            key = named.name.casefold()
            owner = person(each.name, named.speaker, declared=named.declared)
            if named.declared and " " in key and owner.file == "" and owner.key != key:
                yield key, owner


def _names(
    findings: Findings, aliases: Mapping[str, Person]
) -> Iterator[tuple[str, Person | None]]:
    for named in findings.names:
        is_participant = named.of_file or named.speaker is not None
        yield named.name, _who(findings.name, named, aliases) if is_participant else None
    asked: set[str] = set()
    persons: dict[Person, None] = {}
    for said in findings.said:
        owner = _who(findings.name, said, aliases)
        persons[owner] = None
        for name in introduced_names(said.text) if said.kind == "speech" else ():
            yield name, owner
        if said.question is not None and said.question not in asked:
            asked.add(said.question)
            for name in introduced_names(said.question):
                yield name, None
    alone = next(iter(persons)) if len(persons) == 1 else None
    for name in _names_in_path(findings.name):
        yield name, alone


def _names_in_path(file: str) -> Iterator[str]:
    """A common given name in the file's name, and the word after it as the surname."""
    words = _FILE_WORD.findall(PurePosixPath(file).stem)
    for place, word in enumerate(words):
        if word.casefold() in GIVEN:
            yield word
            after = words[place + 1] if place + 1 < len(words) else ""
            if len(after) > 1 and after.casefold() not in NOT_IN_FILE_NAMES:
                yield f"{word} {after}"


def _without_repetition(stem: str) -> str:
    """`P03-P03` → `P03`: given name and surname stand for one person."""
    return re.sub(r"\b(P\d+|name)(?:[^\w]+|_)\1\b", r"\1", stem)
