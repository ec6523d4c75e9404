"""JSON, JSON lines and YAML: lists of objects, transcripts, and both nested in each other."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from persona.generation.reading import headers
from persona.generation.reading.columns import Row, match_column, read_rows
from persona.generation.reading.decoding import TextFile
from persona.generation.reading.dialogue import Turn, cast, converse, owned
from persona.generation.reading.found import (
    Broken,
    Found,
    Layout,
    Named,
    ReadProblem,
    Said,
    Wishes,
    clean,
    unnamed,
)
from persona.generation.reading.speakers import name_in

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

_MAX_DEPTH = 60
_TURNS = frozenset(
    """turns transcript messages conversation dialogue dialog segments utterances entries exchanges
    transcription gespräch interview lines cues qa q&a questions answers responses""".split()  # noqa: SIM905
)
_WHO = ("speaker", "role", "who", "from", "author", "sender", "name", "participant", "person")
_WORDS = ("text", "content", "utterance", "message", "words", "said", "answer", "response", "body")
_ASKED = ("question", "q", "prompt", "frage")
_ANSWERED = ("answer", "a", "response", "antwort", "text")


def read_json(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.json` file; needs the whole file in memory. Raises ReadProblem with the line."""
    try:
        value: Value = json.loads(file.text().removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise ReadProblem(
            f"broken JSON: {error.msg} (column {error.colno})", error.lineno
        ) from error
    except (RecursionError, ValueError) as error:
        raise ReadProblem("the JSON is nested too deep or holds an endless number") from error
    yield from _document(value, wishes)


def read_jsonl(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.jsonl` file. Streams; a broken line is named and the rest goes on."""
    broken: list[Broken] = []
    items = _lines(file, broken)
    for found in _items(items, wishes):
        yield from broken
        broken.clear()
        yield found
    yield from broken


def read_yaml(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.yaml` file, of one or several documents; every scalar stays the text that it is."""
    from persona.generation.reading.yaml_text import load

    documents = load(file.text())
    yield from _document(documents[0] if len(documents) == 1 else documents, wishes)


def _lines(file: TextFile, broken: list[Broken]) -> Iterator[tuple[str, Value]]:
    for number, line in enumerate(file.lines(), 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except json.JSONDecodeError as error:
            broken.append(Broken(f"broken JSON: {error.msg} (column {error.colno})", number))
        except (RecursionError, ValueError):
            broken.append(Broken("the JSON is nested too deep or holds an endless number", number))


def _document(value: Value, wishes: Wishes) -> Iterator[Found]:
    """A whole document: a list of items, one transcript, a wrapper around lists, or one item."""
    match value:
        case list():
            yield from _items(((f"item {n}", each) for n, each in enumerate(value, 1)), wishes)
        case dict() if _turns_of(value) is not None:
            yield from _transcript("", value)
        case dict():
            lists = {key: each for key, each in value.items() if _is_list_of_objects(each)}
            if lists:
                for key, each in lists.items():
                    yield from _items(_numbered(key, each, len(lists) > 1), wishes)
            elif len(value) > 1 and all(isinstance(each, dict) for each in value.values()):
                yield from _items(_keyed(value), wishes)
            else:
                yield from _items(iter([("item 1", value)]), wishes)
        case None | "":
            raise ReadProblem("the document is empty")
        case _:
            yield Said("item 1", clean(_scalar(value)))


def _numbered(key: str, value: Value, named: bool) -> Iterator[tuple[str, Value]]:
    for number, each in enumerate(value if isinstance(value, list) else [], 1):
        yield (f"{clean(key)}, item {number}" if named else f"item {number}"), each


def _keyed(value: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    # The keys may be names, so they don't stand in the locators.
    for number, (key, each) in enumerate(value.items(), 1):
        yield f"item {number}", _with_id(key, each)


def _with_id(key: str, value: Value) -> Value:
    if not isinstance(value, dict) or any(headers.plain(k) in headers.PARTICIPANT for k in value):
        return value
    return {"participant": key, **value}


def _items(items: Iterable[tuple[str, Value]], wishes: Wishes) -> Iterator[Found]:
    """Items of a list: transcripts and plain strings at once, flat objects as rows of a table.

    A list of turns is itself one transcript.
    """
    items = iter(items)
    first = next(items, None)
    if first is None:
        return
    listed = _chain(first, items)
    if _is_turn(first[1]):
        yield from _conversation(listed, None, False)
        return
    others: list[Found] = []
    for found in read_rows(_rows(listed, others), (), wishes, place="field"):
        yield from others
        others.clear()
        if not (isinstance(found, Layout) and not found.columns):
            yield found
    yield from others


def _chain(
    first: tuple[str, Value], rest: Iterator[tuple[str, Value]]
) -> Iterator[tuple[str, Value]]:
    yield first
    yield from rest


def _rows(items: Iterable[tuple[str, Value]], others: list[Found]) -> Iterator[Row]:
    """Flat rows; what isn't one (transcripts, strings) goes to `others`."""
    for locator, value in items:
        match value:
            case dict() if _turns_of(value) is not None:
                others.extend(_transcript(locator, value))
            case dict():
                yield Row(locator, dict(_flat(value)))
            case str() if value.strip():
                others.append(Said(locator, clean(value), unnamed(locator)))
            case None | "" | [] | str():
                continue
            case list():
                others.append(Broken(f"{locator} is a list where an object or a text was expected"))
            case _:
                others.append(Broken(f"{locator} is a number where an object was expected"))


def _flat(
    value: Mapping[str, Value], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Nested objects as dotted keys; a list of plain values as one text."""
    if depth > _MAX_DEPTH:
        raise ReadProblem(f"objects are nested deeper than {_MAX_DEPTH} levels")
    for key, each in value.items():
        path = f"{prefix}{key}"
        match each:
            case dict():
                yield from _flat(each, f"{path}.", depth + 1)
            case list() if any(isinstance(part, dict | list) for part in each):
                for number, part in enumerate(each, 1):
                    inner = part if isinstance(part, dict) else {"": part}
                    yield from _flat(inner, f"{path}.{number}.", depth + 1)
            case list():
                yield path, "; ".join(_scalar(part) for part in each)
            case _:
                yield path.removesuffix("."), _scalar(each)


def _transcript(locator: str, value: Mapping[str, Value]) -> Iterator[Found]:
    """`{participant, age, …, turns: [{speaker, text}]}`."""
    key = _turns_of(value) or ""
    person: str | None = None
    about = {k: v for k, v in _flat({k: v for k, v in value.items() if k != key}) if v.strip()}
    for field in about:
        if headers.plain(field) in headers.PARTICIPANT:
            person = person or clean(about[field])
    # Each transcript of a list is a file of its own: its unnamed participant is told by its place.
    who, declared = (person, True) if person else (unnamed(locator) if locator else None, False)
    turns = value[key]
    prefix = f"{locator}, " if locator else ""
    numbered = (
        (f"{prefix}turn {n}", each)
        for n, each in enumerate(turns if isinstance(turns, list) else [], 1)
    )
    facts = [each for field, text in about.items() for each in _about(locator, field, clean(text))]
    yield from _conversation(numbered, who, declared, facts)


def _about(locator: str, field: str, text: str) -> Iterator[Found]:
    what = headers.plain(field)
    name = name_in(text)
    if what in headers.INTERVIEWER:
        if name:
            yield Named(name)
    elif what in headers.PARTICIPANT or what in headers.NAME:
        if name:
            yield Named(name, of_file=True)
    elif what not in headers.CONTACT and what not in headers.CLERICAL:
        place = f"{locator}, field {clean(field)}" if locator else f"field {clean(field)}"
        yield Said(place, text, None, clean(field), "fact")


def _conversation(
    turns: Iterable[tuple[str, Value]],
    person: str | None,
    declared: bool,
    about: Sequence[Found] = (),
) -> Iterator[Found]:
    said = [turn for locator, value in turns for turn in _turn(locator, value)]
    known = cast(said, person, about=about, declared=declared)
    yield from owned(about, known)
    yield from converse(said, known)


def _turn(locator: str, value: Value) -> Iterator[Turn]:
    match value:
        case str() if value.strip():
            yield Turn(locator, clean(value))
        case dict():
            asked, answered = _field(value, _ASKED), _field(value, _ANSWERED)
            if asked and _field(value, _WHO) is None:
                yield Turn(locator, asked, "Interviewer")
                if answered:
                    yield Turn(locator, answered, "Participant")
            elif words := _field(value, _WORDS):
                yield Turn(locator, words, _field(value, _WHO))
        case _:
            return


def _field(value: Mapping[str, Value], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        if (found := match_column(key, value)) is not None:
            each = value[found]
            if isinstance(each, str | int | float) and (text := clean(_scalar(each))):
                return text
    return None


def _turns_of(value: Mapping[str, Value]) -> str | None:
    """The key of the list of turns, where there is one."""
    for key, each in value.items():
        if isinstance(each, list) and each and all(_is_turn(part) for part in each):
            return key
        strings = isinstance(each, list) and each and all(isinstance(part, str) for part in each)
        if strings and headers.plain(key) in _TURNS:
            return key
    return None


def _is_turn(value: Value) -> bool:
    if not isinstance(value, dict):
        return False
    if _field(value, _ASKED) and _field(value, _ANSWERED) and len(value) <= 4:
        return not any(headers.plain(key) in headers.PARTICIPANT for key in value)
    who = _field(value, ("speaker", "role", "from", "who", "sender"))
    return who is not None and _field(value, _WORDS) is not None and len(value) <= 8


def _is_list_of_objects(value: Value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(e, dict) for e in value)


def _scalar(value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)
