"""TOML as text: which line says what, and edits that leave every other line as it is.

A file is cut into its statements by parsing: lines are gathered until they are valid by themselves,
so that strings and lists over several lines need no grammar of our own.
"""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

KeyPath = tuple[str, ...]
"""A key's names from the top of the file: `("generate", "retry", "retries")`."""

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class CannotEditError(Exception):
    """The text is written in a way in which this key can't be changed line by line."""


class Statement(Struct, frozen=True):
    """One header, assignment, comment or empty line."""

    text: str
    """All its lines, with their ends."""
    line: int
    """The number of its first line, from 1."""
    table: KeyPath
    """The header that it stands under; a header's own path."""
    path: KeyPath | None = None
    """What an assignment sets; of no other statement."""
    value: object = None
    is_header: bool = False


def statements(text: str) -> Iterator[Statement]:
    """Cut a text that is valid TOML into its statements; joined, they give the text again."""
    table: KeyPath = ()
    chunk, first = "", 1
    *lines, last = text.split("\n")
    for number, line in enumerate([*(f"{line}\n" for line in lines), last], 1):
        chunk += line
        # A long list or string ends where one of these stands: other lines need no attempt.
        if number > first and not any(mark in line for mark in ("]", '"""', "'''")):
            continue
        if (parsed := _parsed(chunk)) is None:
            continue
        if parsed and chunk.lstrip().startswith("["):
            table = _only_path(parsed)
            yield Statement(chunk, first, table, is_header=True)
        elif parsed:
            key = _only_path(tomllib.loads(_up_to_value(chunk) + "0"))
            yield Statement(chunk, first, table, (*table, *key), _at(parsed, key))
        elif chunk:
            yield Statement(chunk, first, table)
        chunk, first = "", number + 1


def line_of(text: str, path: KeyPath) -> int | None:
    """The first line that sets `path`, something below it, or the inline table that holds it."""
    found = list(statements(text))
    for statement in found:
        full = statement.path or statement.table
        if (statement.path or statement.is_header) and full[: len(path)] == path:
            return statement.line
    holders = [s for s in found if s.path is not None and path[: len(s.path)] == s.path]
    return holders[0].line if holders else None


def unfinished_line(text: str) -> int:
    """Where the statement begins that is not complete when the text ends."""
    return 1 + sum(statement.text.count("\n") for statement in statements(text))


def with_value(text: str, path: KeyPath, value: object) -> str:
    """`text` with `path` set to `value`: in its place, else in its table, else at the end.

    Raises `CannotEditError`, and never returns a text that says anything else differently.
    """
    before = list(statements(text))
    after = _replaced(before, path, value) or _inserted(before, path, value)
    expected = _nested_set(tomllib.loads(text), path, value)
    return _verified("".join(after or _appended(before, path, value)), expected)


def without(text: str, path: KeyPath) -> str:
    """`text` without `path` and all below it; the same text where it does not say `path`.

    Raises `CannotEditError`, and never returns a text that says anything else differently.
    """
    kept: list[str] = []
    for statement in statements(text):
        full = statement.path or statement.table
        if (statement.path or statement.is_header) and full[: len(path)] == path:
            continue
        inside = path[len(full) :]
        if statement.path and path[: len(full)] == full and _holds(statement.value, inside):
            rest = _nested_removed(statement.value, inside)
            if rest:
                kept.append(_with_new_value(statement, rest))
        else:
            kept.append(statement.text)
    return _verified("".join(kept), _nested_removed(tomllib.loads(text), path))


def literal(value: object) -> str:
    """A value as TOML writes it, on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(map(literal, value))}]"
        case dict():
            pairs = (f"{_dotted((str(name),))} = {literal(item)}" for name, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case _:
            raise CannotEditError(f"a {type(value).__name__} can't be written again")


def _replaced(before: list[Statement], path: KeyPath, value: object) -> list[str] | None:
    """With the value put where the key, or the inline table that is to hold it, is assigned."""
    for index, statement in enumerate(before):
        at = statement.path
        if at is None or path[: len(at)] != at:
            continue
        new = value if at == path else _nested_set(statement.value, path[len(at) :], value)
        texts = [s.text for s in before]
        texts[index] = _with_new_value(statement, new)
        return texts
    return None


def _inserted(before: list[Statement], path: KeyPath, value: object) -> list[str] | None:
    """With a new line after the last one of the same table, spelt like that one."""
    parent = path[:-1]
    places = [
        index
        for index, statement in enumerate(before)
        if parent[: len(statement.table)] == statement.table
        and (
            (statement.path is not None and statement.path[: len(parent)] == parent)
            or (statement.is_header and statement.table == parent)
        )
    ]
    if not places:
        return None
    neighbour = before[places[-1]]
    texts = [s.text for s in before]
    texts[places[-1]] = _ended(neighbour.text)
    name = _dotted(path[len(neighbour.table) :])
    indent = neighbour.text[: len(neighbour.text) - len(neighbour.text.lstrip(" \t"))]
    texts.insert(places[-1] + 1, f"{indent}{name} = {literal(value)}{_line_end(texts)}")
    return texts


def _appended(before: list[Statement], path: KeyPath, value: object) -> list[str]:
    """With a new table at the end."""
    texts = [s.text for s in before]
    end = _line_end(texts)
    if texts:
        texts[-1] = _ended(texts[-1])
        texts.append(end)
    return [*texts, f"[{_dotted(path[:-1])}]{end}", f"{_dotted(path[-1:])} = {literal(value)}{end}"]


def _with_new_value(statement: Statement, value: object) -> str:
    """An assignment with another value; what stands before it and its comment stay."""
    start = _up_to_value(statement.text)
    rest = statement.text[len(start) :]
    space = rest[: len(rest) - len(rest.lstrip(" \t"))]
    for position, character in enumerate(rest):
        if character == "#" and _parsed(f"x = {rest[:position]}") == {"x": statement.value}:
            gap = rest[:position]
            return f"{start}{space}{literal(value)}{gap[len(gap.rstrip()) :]}{rest[position:]}"
    return f"{start}{space}{literal(value)}{rest[len(rest.rstrip()) :]}"


def _up_to_value(text: str) -> str:
    """An assignment's beginning, `=` included."""
    for position, character in enumerate(text):
        if character == "=" and _parsed(f"{text[: position + 1]}0") is not None:
            return text[: position + 1]
    raise CannotEditError(f"no key in {text!r}")


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _verified(text: str, expected: object) -> str:
    result = _parsed(text)
    if result is None or _pruned(result) != _pruned(expected):
        raise CannotEditError("another line would come to mean something else")
    return text


def _only_path(parsed: Mapping[str, Any]) -> KeyPath:
    """The one path in what a single header or key was parsed to."""
    path: list[str] = []
    at: Any = parsed
    while isinstance(at, dict) and at:
        [(name, at)] = at.items()
        path.append(name)
    return tuple(path)


def _at(table: Any, path: KeyPath) -> object:
    for name in path:
        table = table[name]
    return table


def _holds(value: object, path: KeyPath) -> bool:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


def _nested_set(table: object, path: KeyPath, value: object) -> dict[str, object]:
    if not isinstance(table, dict):
        raise CannotEditError("a value stands where a table should")
    name, *rest = path
    new = _nested_set(table.get(name, {}), tuple(rest), value) if rest else value
    return {**table, name: new}


def _nested_removed(table: object, path: KeyPath) -> object:
    if not isinstance(table, dict) or path[0] not in table:
        return table
    kept = {name: value for name, value in table.items() if name != path[0]}
    if path[1:]:
        kept = {
            name: _nested_removed(value, path[1:]) if name == path[0] else value
            for name, value in table.items()
        }
    return kept


def _pruned(value: object) -> object:
    """Without empty tables: a header with nothing below it says nothing."""
    if not isinstance(value, dict):
        return value
    pruned = {name: _pruned(item) for name, item in value.items()}
    return {name: item for name, item in pruned.items() if item != {}}


def _dotted(path: KeyPath) -> str:
    return ".".join(name if name and set(name) <= _BARE else literal(name) for name in path)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _line_end(texts: list[str]) -> str:
    return "\r\n" if texts and texts[0].endswith("\r\n") else "\n"
