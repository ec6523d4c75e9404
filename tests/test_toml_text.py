"""Edits of a TOML file change what they should and nothing else."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.contract.toml_text import (
    CannotEditError,
    line_of,
    literal,
    statements,
    unfinished_line,
    with_value,
    without,
)

TEXT = """\
# about me
[generate]
concurrency = 4   # not #8
retry.retries = 3
  output = "a#b=c"
fields = [ # first
  1, # one
]  # last

# how it looks
[generate.progress]
mode = '''
quiet'''
[quality]
weights = { coherence = 0.5, "a=b" = 1 } # w
"""

names = st.one_of(st.sampled_from(["a", "b", "c", "d-1"]), st.text(max_size=3))
values = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False),
    st.text(),
    st.lists(st.one_of(st.integers(0, 9), st.text(max_size=3)), max_size=3),
)
tables = st.recursive(
    st.dictionaries(names, values, max_size=3),
    lambda below: st.dictionaries(names, st.one_of(values, below), max_size=3),
    max_leaves=6,
)


def written(table: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """A table as a file might have it: its own keys, then the tables below it."""
    own = [
        f"{literal(name)} = {literal(value)} # {index}\n"
        for index, (name, value) in enumerate(table.items())
        if not isinstance(value, dict)
    ]
    header = f"[{'.'.join(map(literal, path))}]\n" if path else ""
    below = [
        written(value, (*path, name)) for name, value in table.items() if isinstance(value, dict)
    ]
    return header + "".join(own) + "\n".join(below)


@given(tables)
def test_statements_joined_are_the_text(table: dict[str, Any]) -> None:
    text = written(table)

    assert "".join(statement.text for statement in statements(text)) == text


@given(st.text())
def test_a_text_is_written_so_that_it_reads_the_same(text: str) -> None:
    assert tomllib.loads(f"x = {literal(text)}") == {"x": text}


@given(table=tables, path=st.lists(names, min_size=1, max_size=3).map(tuple), value=values)
def test_a_key_that_was_set_is_read_again_and_the_rest_is_as_it_was(
    table: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    before = written(table)
    try:
        after = with_value(before, path, value)
    except CannotEditError:
        return

    found = tomllib.loads(after)
    for name in path[:-1]:
        found = found[name]
    assert found[path[-1]] == value
    assert stripped(without(after, path)) == stripped(without(before, path))


def stripped(text: str) -> Any:
    """What a text says, without empty tables."""

    def pruned(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        below = {name: pruned(item) for name, item in value.items()}
        return {name: item for name, item in below.items() if item != {}}

    return pruned(tomllib.loads(text))


@given(table=tables, path=st.lists(names, min_size=1, max_size=3).map(tuple))
def test_taking_out_what_is_not_there_changes_nothing(
    table: dict[str, Any], path: tuple[str, ...]
) -> None:
    once = without(written(table), path)

    assert without(once, path) == once


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("generate.concurrency", 8, "concurrency = 4   # not", "concurrency = 8   # not"),
        ("generate.output", 'ä"', '  output = "a#b=c"', '  output = "ä\\""'),
        (
            "generate.fields",
            [2],
            "fields = [ # first\n  1, # one\n]  # last",
            "fields = [2]  # last",
        ),
        ("generate.progress.mode", "json", "mode = '''\nquiet'''", 'mode = "json"'),
        ("generate.retry.retries", 5, "retry.retries = 3", "retry.retries = 5"),
        ("quality.weights.coherence", 0.25, "{ coherence = 0.5,", "{ coherence = 0.25,"),
        ("quality.weights.x", 2, '"a=b" = 1 }', '"a=b" = 1, x = 2 }'),
    ],
)
def test_a_value_is_changed_in_its_place(key: str, value: object, old: str, new: str) -> None:
    assert with_value(TEXT, tuple(key.split(".")), value) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("key", "after", "line"),
    [
        ("generate.model", "]  # last\n", "model = 1\n"),
        ("generate.retry.delay_s", "retry.retries = 3\n", "retry.delay_s = 1\n"),
        ("generate.progress.refresh_hz", "quiet'''\n", "refresh_hz = 1\n"),
        ("quality.accept", "# w\n", "accept = 1\n"),
        ("daemon.timezone", "# w\n", "\n[daemon]\ntimezone = 1\n"),
        ("generate.budget.x y", "# w\n", '\n[generate.budget]\n"x y" = 1\n'),
    ],
)
def test_a_new_key_stands_with_its_table(key: str, after: str, line: str) -> None:
    assert with_value(TEXT, tuple(key.split(".")), 1) == TEXT.replace(after, after + line)


def test_a_new_key_is_indented_like_its_neighbours() -> None:
    assert with_value("[a]\n\tb = 1", ("a", "c"), 2) == "[a]\n\tb = 1\n\tc = 2\n"


def test_a_new_key_stands_right_below_an_empty_tables_header() -> None:
    assert with_value("[a]\n# later\n[b]\n", ("a", "c"), 2) == "[a]\nc = 2\n# later\n[b]\n"


def test_line_ends_stay_as_they_are() -> None:
    edited = with_value("[a]\r\nb = 1\r\n", ("a", "c"), 2)

    assert edited == "[a]\r\nb = 1\r\nc = 2\r\n"


def test_a_file_is_begun_with_a_table() -> None:
    assert with_value("", ("a", "b"), True) == "[a]\nb = true\n"


@pytest.mark.parametrize(
    ("key", "gone"),
    [
        ("generate.concurrency", "concurrency = 4   # not #8\n"),
        ("generate.fields", "fields = [ # first\n  1, # one\n]  # last\n"),
        ("generate.retry", "retry.retries = 3\n"),
        ("generate.progress", "[generate.progress]\nmode = '''\nquiet'''\n"),
        ("quality.weights", 'weights = { coherence = 0.5, "a=b" = 1 } # w\n'),
        ("quality.weights.coherence", "coherence = 0.5, "),
        ("quality.weights.nothing", ""),
        ("nothing", ""),
    ],
)
def test_taking_out_a_key_or_table_leaves_every_other_line(key: str, gone: str) -> None:
    assert without(TEXT, tuple(key.split("."))) == TEXT.replace(gone, "")


def test_an_inline_table_that_becomes_empty_goes_with_its_last_key() -> None:
    assert without("a = { b = 1 }\nc = 2\n", ("a", "b")) == "c = 2\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[[a]]\nb = 1\n[[a]]\nb = 2\n", ("a", "b")),
        ("a = 1\n", ("a", "b")),
        ("a = { t = 2026-01-01 }\n", ("a", "b")),
    ],
)
def test_what_cannot_be_edited_safely_is_refused(text: str, path: tuple[str, ...]) -> None:
    with pytest.raises(CannotEditError):
        with_value(text, path, 1)


def test_taking_one_key_out_of_a_list_of_tables_is_refused() -> None:
    with pytest.raises(CannotEditError):
        without("[[a]]\nb = 1\n", ("a", "b"))


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("generate", 2),
        ("generate.concurrency", 3),
        ("generate.retry", 4),
        ("generate.fields", 6),
        ("generate.progress.mode", 12),
        ("quality.weights.coherence", 15),
        ("nothing", None),
    ],
)
def test_the_line_of_a_key_is_where_it_or_what_holds_it_begins(key: str, line: int | None) -> None:
    assert line_of(TEXT, tuple(key.split("."))) == line


def test_an_unfinished_statement_is_found_by_its_first_line() -> None:
    assert unfinished_line("a = 1\nb = [\n1,\n\n") == 2
