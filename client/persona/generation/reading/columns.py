"""Rows with headings (tables, lists of objects): which column is what, and rows into records."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from msgspec import Struct

from persona.generation.reading import headers
from persona.generation.reading.found import Found, Layout, Named, Said, Wishes, clean, unnamed
from persona.generation.reading.speakers import Role, name_in, speaker_of

_SAMPLE_ROWS = 500
_FREE_TEXT_WORDS = 4.0
_TOLD_WORDS = 2.0
_FREE_TEXT_DISTINCT = 0.5
_LONG_TEXT_WORDS = 10.0
_LONG_TEXT_DISTINCT = 0.1
_MAX_ID_WORDS = 5.0
_MAX_FACT_CHARACTERS = 300
_EMPTY = frozenset({"", "-", "–", "—", "n/a", "na", "null", "none", "nan", "~", "k.a.", "k. a."})
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_NAMESAKES_DISTINCT = 0.6
_PART_OF_NAME = frozenset(headers.NAME) - {"name", "full name", "fullname", "participant name"}
_SPEAKING = frozenset({"speaker", "sprecher", "sprecherin", "who", "role", "person"})


class Row(Struct, frozen=True):
    locator: str
    """`row 17`, `item 3`: the column or field is added to it."""
    cells: Mapping[str, str]


class Roles(Struct, frozen=True):
    """What each column is for; every other column holds facts."""

    text: tuple[str, ...]
    participant: str | None
    question: str | None
    names: tuple[str, ...]
    interviewers: tuple[str, ...]
    unused: frozenset[str]
    speaking: bool
    """The participant column says who speaks in each row, the interviewer included."""


def read_rows(
    rows: Iterator[Row],
    columns: Sequence[str],
    wishes: Wishes,
    *,
    place: str,
    delimiter: str | None = None,
) -> Iterator[Found]:
    """Records of rows; the first 500 decide what the columns are. `place`: `column`, `field`."""
    sample = list(islice(rows, _SAMPLE_ROWS))
    # Objects in a list need not have the same fields: those of the sample in order of appearance.
    columns = columns or tuple(dict.fromkeys(name for row in sample for name in row.cells))
    roles = find_roles(columns, sample, wishes)
    notes = () if roles.text else ("no column holds free text; name one with --text-columns",)
    yield Layout(tuple(columns), roles.text, roles.participant, delimiter, notes)
    asked: str | None = None
    for row in chain(sample, rows):
        if roles.speaking and _asks(row, roles):
            asked = " ".join(_cell(row, column) for column in roles.text) or asked
            yield from _interviewer_names(row, roles)
            continue
        yield from _records(row, roles, asked, place)


def _records(row: Row, roles: Roles, asked: str | None, place: str) -> Iterator[Found]:
    identity = _cell(row, roles.participant) if roles.participant else ""
    who = identity if identity.casefold() not in _EMPTY else unnamed(row.locator)
    declared = who == identity and not roles.speaking
    yield from _names(row, roles, who, declared)
    given_question = _cell(row, roles.question) if roles.question else ""
    used = {*roles.text, *roles.names, *roles.interviewers, roles.participant, roles.question}
    for column in row.cells:
        text = _cell(row, column)
        if text.casefold() in _EMPTY:
            continue
        locator = f"{row.locator}, {place} {clean(column)}"
        if column in roles.text:
            question = given_question or asked or clean(column)
            yield Said(locator, text, who, question, declared=declared)
        elif column not in used and column not in roles.unused:
            fact = text[:_MAX_FACT_CHARACTERS]
            yield Said(locator, fact, who, clean(column), "fact", declared)


def _names(row: Row, roles: Roles, who: str, declared: bool) -> Iterator[Named]:
    full = [_cell(row, column) for column in roles.names]
    for value in dict.fromkeys((*full, " ".join(full).strip(), who)):
        label = speaker_of(value) if roles.speaking else None
        if name := (label.name if label else name_in(value)):
            yield Named(name, who, declared)
    yield from _interviewer_names(row, roles, only_columns=True)


def _interviewer_names(row: Row, roles: Roles, *, only_columns: bool = False) -> Iterator[Named]:
    for column in roles.interviewers:
        if name := name_in(_cell(row, column)):
            yield Named(name)
    if not only_columns and roles.participant:
        speaker = speaker_of(_cell(row, roles.participant))
        if speaker is not None and speaker.name:
            yield Named(speaker.name)


def _asks(row: Row, roles: Roles) -> bool:
    speaker = speaker_of(_cell(row, roles.participant)) if roles.participant else None
    return speaker is not None and speaker.role is Role.ASKS


def _cell(row: Row, column: str) -> str:
    return clean(row.cells.get(column, ""))


def find_roles(columns: Sequence[str], sample: Sequence[Row], wishes: Wishes) -> Roles:
    """What each column is for, from its heading, its values and what the user said."""
    values = {
        column: [cell for row in sample if (cell := _cell(row, column)).casefold() not in _EMPTY]
        for column in columns
    }
    plain = {column: headers.plain(column) for column in columns}
    participant = _wished(wishes.participant_column, columns) or _participant(
        plain, values, len(sample)
    )
    wished = tuple(
        dict.fromkeys(
            found for wish in wishes.text_columns if (found := _wished(wish, columns)) is not None
        )
    )
    text = wished or _text_columns(plain, values, participant)
    question = next((c for c in columns if plain[c] in headers.QUESTION and c not in text), None)
    if not wished and len(text) > 1 and question is None:
        question = next((c for c in text if plain[c] in headers.QUESTION), None)
        text = tuple(column for column in text if column != question)
    taken = {*text, participant, question}
    unused = frozenset(
        column
        for column in columns
        if plain[column] in headers.CONTACT
        or plain[column] in headers.CLERICAL
        or (plain[column] in headers.PARTICIPANT and not _is_telling(values[column]))
    )
    speaking = participant is not None and plain[participant] in _SPEAKING
    return Roles(
        text,
        participant,
        question,
        tuple(c for c in columns if plain[c] in headers.NAME and c not in text),
        tuple(c for c in columns if plain[c] in headers.INTERVIEWER and c not in taken),
        unused,
        speaking,
    )


def _wished(wish: str | None, columns: Iterable[str]) -> str | None:
    return None if wish is None else match_column(wish, columns)


def match_column(wish: str, columns: Iterable[str]) -> str | None:
    """The column that a user means: exactly, or without regard to case and spaces around."""
    listed = tuple(columns)
    if wish in listed:
        return wish
    folded = clean(wish).casefold()
    return next((column for column in listed if clean(column).casefold() == folded), None)


def _participant(
    plain: Mapping[str, str], values: Mapping[str, list[str]], rows: int
) -> str | None:
    ranked = {heading: rank for rank, heading in enumerate((*headers.PARTICIPANT, *headers.NAME))}
    candidates = sorted(
        (ranked[plain[column]], place, column)
        for place, column in enumerate(plain)
        if plain[column] in ranked
        and 2 * len(values[column]) >= rows > 0
        and _words(values[column]) <= _MAX_ID_WORDS
    )
    if not candidates:
        return None
    column = candidates[0][2]
    return column if _identifies(plain[column], plain, values[column]) else None


def _identifies(heading: str, plain: Mapping[str, str], values: list[str]) -> bool:
    """A name column says who a row is by, unless its few repetitions are mere namesakes."""
    if heading not in headers.NAME:
        return True
    if heading in _PART_OF_NAME and sum(other in headers.NAME for other in plain.values()) > 1:
        return False
    distinct = len(set(values))
    return distinct == len(values) or distinct <= _NAMESAKES_DISTINCT * len(values)


def _text_columns(
    plain: Mapping[str, str], values: Mapping[str, list[str]], participant: str | None
) -> tuple[str, ...]:
    barred = headers.CONTACT | headers.CLERICAL | frozenset(headers.NAME) | headers.INTERVIEWER
    open_to = [c for c in plain if c != participant and plain[c] not in barred and values[c]]
    found = tuple(column for column in open_to if _is_free_text(plain[column], values[column]))
    if found:
        return found
    # A survey of very short answers: the column whose answers differ most in words.
    told = [column for column in open_to if _is_telling(values[column])]
    return tuple(sorted(told, key=lambda column: -_words(values[column]))[:1])


def _is_free_text(heading: str, values: list[str]) -> bool:
    words, distinct = _words(values), len(set(values)) / len(values)
    if heading in headers.DEMOGRAPHIC:
        return words >= _LONG_TEXT_WORDS and distinct >= _FREE_TEXT_DISTINCT
    if any(part in headers.TELLING for part in (heading, *heading.split())):
        return words >= _TOLD_WORDS and distinct >= _LONG_TEXT_DISTINCT
    return (words >= _FREE_TEXT_WORDS and distinct >= _FREE_TEXT_DISTINCT) or (
        words >= _LONG_TEXT_WORDS and distinct >= _LONG_TEXT_DISTINCT
    )


def _is_telling(values: list[str]) -> bool:
    return bool(values) and _words(values) >= 3 and len(set(values)) > len(values) / 2


def _words(values: list[str]) -> float:
    """Average words of a value; two characters of a script without spaces count as a word."""
    if not values:
        return 0.0
    total = sum(max(len(value.split()), len(_CJK.findall(value)) // 2) for value in values)
    return total / len(values)
