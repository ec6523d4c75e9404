"""Plain text and Markdown: header lines, headings, paragraphs and speaker turns."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from msgspec import Struct

from persona.generation.language import stopwords
from persona.generation.names import NOT_AFTER_I_AM, PARTICLES
from persona.generation.reading import headers
from persona.generation.reading.decoding import TextFile
from persona.generation.reading.dialogue import Turn, cast, converse, owned
from persona.generation.reading.found import Found, Named, Said, Wishes, clean
from persona.generation.reading.speakers import (
    MAX_LABEL_CHARACTERS,
    Role,
    is_id,
    name_in,
    speaker_of,
)

_MAX_PARAGRAPH_CHARACTERS = 2_000
_MAX_HEAD_LINES = 60
_MAX_FACT_WORDS = 12
_MAX_TITLE_WORDS = 8

_STAMP = r"(?:[\[(]?\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?[\])]?\s*[-–]?\s*)"
_LABEL = re.compile(
    rf"^{_STAMP}?(?:\*\*|__)?\s*{_STAMP}?"
    rf"(?P<label>[^\W_][^:：*_\n?!;]{{0,{MAX_LABEL_CHARACTERS - 1}}}?)\s*"
    rf"{_STAMP}?(?:[:：]\s*(?:\*\*|__)|(?:\*\*|__)\s*[:：]|[:：])(?!//)"
    r"(?:\s+|$|(?<=：))(?P<text>.*)$"
)
_LABEL_WITHOUT_SPACE = re.compile(r"^(?P<label>[^\W\d_]{1,12}\d{0,4}):(?!//)(?P<text>\S.*)$")
_LABEL_AND_CLOCK = re.compile(r"^(?P<label>[^\W\d_][^:?!;]{0,39}?)\s+\d{1,2}:\d{2}(?::\d{2})?$")
"""`Anna Schmidt 0:05` on a line of its own, the words below it."""
_HEADING = re.compile(r"^#{1,6}\s+(?P<text>.+?)\s*#*$")
_RULE = re.compile(r"^\s*(?:[-*_=]\s*){3,}$")
_BULLET = re.compile(r"^(?:[-*+•]|\d{1,3}[.)])\s+")
_QUOTED = re.compile(r"^(?:>\s?)+")
_INTERVIEW_WITH = re.compile(
    r"\b(?:interview|gespräch|session|entretien|entrevista|intervista|transcript|transkript)"
    r"(?:\s+(?:with|mit|avec|con|met|com|of|von)\s+|\s*[:–-]\s*)(?P<name>.+)$",
    re.IGNORECASE,
)


class Line(Struct, frozen=True):
    number: int
    text: str
    heading: bool = False

    @property
    def blank(self) -> bool:
        return not self.text


class Head(Struct, frozen=True):
    """What stands before the first turn or paragraph."""

    found: tuple[Found, ...]
    person: str | None
    last_line: int


def read_text(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.txt` file. Streams: read twice, held one paragraph at a time."""
    return read_lines(lambda: text_lines(file.lines()))


def read_markdown(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.md` file: as `.txt`, with headings."""
    return read_lines(lambda: text_lines(file.lines(), markdown=True))


def read_lines(lines: Callable[[], Iterator[Line]]) -> Iterator[Found]:
    """Records from lines; `lines` is called three times and must yield the same each time."""
    head = _head(lines())
    turns = _turns(lines(), head.last_line)
    known = cast(turns, head.person, about=head.found, trusted=False)
    yield from owned(head.found, known)
    labels = frozenset(known.speakers)
    yield from converse(_turns(lines(), head.last_line, labels=labels), known)


def text_lines(lines: Iterable[str], *, markdown: bool = False) -> Iterator[Line]:
    """Cleaned lines; `#` begins a heading in Markdown only, where comments are left out."""
    commented = False
    for number, raw in enumerate(lines, 1):
        text = clean(raw)
        if markdown:
            commented, text = _without_comment(text, commented)
            if heading := _HEADING.match(text):
                yield Line(number, heading["text"].strip("*_ "), heading=True)
                continue
            text = _QUOTED.sub("", text)
        yield Line(number, "" if _RULE.match(text) else text)


def _without_comment(text: str, commented: bool) -> tuple[bool, str]:
    if commented:
        return (True, "") if "-->" not in text else (False, text.partition("-->")[2].strip())
    before, opened, rest = text.partition("<!--")
    if not opened:
        return False, text
    return "-->" not in rest, (before + rest.partition("-->")[2]).strip()


def split_label(text: str) -> tuple[str, str] | None:
    """`Anna: yes` → (`Anna`, `yes`); None where no speaker's label can stand before a colon."""
    bare = _BULLET.sub("", text, count=1)
    found = _LABEL.match(bare) or _LABEL_WITHOUT_SPACE.match(bare)
    if found is None:
        found = _LABEL_AND_CLOCK.match(bare)
        text = ""
    else:
        text = found["text"].strip()
    if found is None or speaker_of(found["label"]) is None:
        return None
    return found["label"].strip(), text


def _turns(
    lines: Iterable[Line], after: int, labels: frozenset[str] | None = None
) -> Iterator[Turn]:
    """Paragraphs and turns; with `labels`, only these begin a turn."""
    heading: str | None = None
    label: str | None = None
    start, parts, size = 0, list[str](), 0
    for line in chain(lines, (Line(0, ""),)):
        split = None
        if not line.heading and not line.blank and line.number > after:
            split = split_label(line.text)
            if split is not None and labels is not None and split[0] not in labels:
                split = None
        breaks = line.heading or line.blank or split is not None or _BULLET.match(line.text)
        if parts and (breaks or size > _MAX_PARAGRAPH_CHARACTERS):
            yield Turn(f"line {start}", " ".join(parts).strip(), label, heading)
            parts, size, label = [], 0, None
        if line.heading:
            who = _person_in_heading(line.text)
            heading, label = (line.text, label) if who is None else (None, who)
        elif not line.blank and line.number > after:
            label, text = split or (label, line.text)
            start = start if parts else line.number
            parts.append(_BULLET.sub("", text, count=1))
            size += len(text)


def _head(lines: Iterator[Line]) -> Head:
    """Front matter or header lines such as `Age: 34`, up to the first line of another kind."""
    found: list[Found] = []
    person: str | None = None
    last, odd = 0, False
    for line in islice(lines, _MAX_HEAD_LINES):
        if line.blank and odd:
            break
        if line.blank:
            continue
        field = None if line.heading else _field(line.text)
        if line.heading or (field is None and line.number == 1 and _is_title(line.text)):
            person = person or _person_in_heading(line.text)
            found.extend(_name_in_heading(line.text))
            continue
        if field is None and _is_odd_field(line.text):
            # `Transcript: 1` is a header line where a known one follows it without a gap.
            odd = True
            continue
        if field is None:
            break
        odd = False
        last = line.number
        said, who = _header_line(line.number, *field)
        person = person or who
        found.extend(said)
    return Head(tuple(found), person, last)


def _field(text: str) -> tuple[str, str] | None:
    """`**Age:** 34` → (`Age`, `34`), where the heading is one that header lines have."""
    bare = _BULLET.sub("", text, count=1).replace("**", "").replace("__", "")
    heading, colon, value = bare.partition(":")
    value = value.strip().strip("\"'")
    if not colon or headers.plain(heading) not in headers.HEADER_LINES or not value:
        return None
    if len(value.split()) > _MAX_FACT_WORDS or value.endswith(("?", "!")):
        return None
    who = speaker_of(heading)
    turn_like = who is not None and who.role is not Role.PERSON
    if turn_like and not is_id(value) and not _looks_like_name(value):
        # `Participant: P03` heads a transcript, `Participant: I like it` is in one.
        return None
    return heading.strip(), value


def _looks_like_name(value: str) -> bool:
    words = [word for word in value.split() if word.casefold() not in PARTICLES]
    greets = any(word.strip(",.").casefold() in NOT_AFTER_I_AM for word in words)
    return (
        name_in(value) is not None
        and not greets
        and not value.endswith((".", ","))
        and all(word[0].isupper() or word[0].lower() == word[0].upper() for word in words)
        and not any(word.casefold() in stopwords(code) for word in words for code in ("en", "de"))
    )


def _is_title(text: str) -> bool:
    return len(text.split()) <= _MAX_TITLE_WORDS and text[-1] not in ".!?…:" and ": " not in text


def _is_odd_field(text: str) -> bool:
    heading, colon, value = text.partition(": ")
    who = speaker_of(heading)
    role = who is not None and who.role is not Role.PERSON
    return bool(colon) and not role and len(heading.split()) <= 3 and len(value.split()) <= 12


def _header_line(number: int, heading: str, value: str) -> tuple[list[Found], str | None]:
    what = headers.plain(heading)
    name = name_in(value)
    if what in headers.INTERVIEWER:
        return ([Named(name)] if name else []), None
    if what in headers.NAME or what in headers.PARTICIPANT:
        identity = value if what in headers.PARTICIPANT and is_id(value) else None
        return ([Named(name, of_file=True)] if name else []), identity
    if what in headers.CONTACT or what in headers.CLERICAL:
        return [], None
    return [Said(f"line {number}", value, None, heading, "fact")], None


def _person_in_heading(text: str) -> str | None:
    """`Interview P03`, `P03`: the id of the file's only participant."""
    words = text.replace(":", " ").split()
    ids = [word for word in words if is_id(word) and word[0].isalpha()]
    return ids[0] if len(ids) == 1 and len(words) <= 4 else None


def _name_in_heading(text: str) -> Iterator[Named]:
    if found := _INTERVIEW_WITH.search(text):
        name = name_in(found["name"].partition("(")[0].partition(",")[0])
        if name and all(word[0].isupper() for word in (name.split()[0], name.split()[-1])):
            yield Named(name, of_file=True)
