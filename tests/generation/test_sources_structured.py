"""JSON, JSON lines and YAML, whole and broken."""

import json
from pathlib import Path

import pytest
from persona.generation.sources import SourceError

from .readings import broken, facts, read, said


def test_json_rows_with_nested_fields(tmp_path: Path) -> None:
    rows = [
        {
            "participant": "P1",
            "profile": {"age": 34, "tags": ["a", "b"]},
            "why": "I like it so much",
            "ok": True,
        },
        {"participant": "P2", "why": "Not for me at all", "more": [{"x": "y"}, "z"], "none": None},
    ]
    reading = read(tmp_path, "a.json", json.dumps(rows))
    assert said(reading)[1] == ("P02", "item 2, field why", "why", "Not for me at all")
    assert facts(reading) == [
        ("P01", "profile.age", "34"), ("P01", "profile.tags", "a; b"), ("P01", "ok", "yes"),
        ("P02", "more.1.x", "y"), ("P02", "more.2", "z"),
    ]  # fmt: skip


def test_json_transcripts(tmp_path: Path) -> None:
    turns = [{"speaker": "Interviewer", "text": "Why?"}, {"speaker": "Anna", "text": "Because."}]
    one = {
        "participant": "P5",
        "age": 3,
        "interviewer": "Ruth",
        "name": "Anna Groß",
        "turns": turns,
    }
    reading = read(tmp_path, "a.json", json.dumps(one))
    assert said(reading) == [("P05", "turn 2", "Why?", "Because.")]
    assert facts(reading) == [("P05", "age", "3")]
    asked = {
        "qa": [{"question": "Why?", "answer": "Because."}, {"question": "So?", "answer": "No."}]
    }
    nested = {"interviews": [asked, {"turns": ["Only this.", " "]}]}
    assert said(read(tmp_path, "b.json", json.dumps(nested))) == [
        ("P01", "item 1, turn 1", "Why?", "Because."),
        ("P01", "item 1, turn 2", "So?", "No."),
        ("P02", "item 2, turn 1", None, "Only this."),
    ]
    assert said(read(tmp_path, "c.json", json.dumps(turns))) == [
        ("P01", "item 2", "Why?", "Because.")
    ]


def test_other_shapes_of_json(tmp_path: Path) -> None:
    people = {"Anna": {"why": "I like it so much"}, "Ben": {"why": "Not for me at all"}}
    assert [who for who, *_ in said(read(tmp_path, "a.json", json.dumps(people)))] == ["P01", "P02"]
    assert said(read(tmp_path, "b.json", '["I like it.", "", null, "No."]')) == [
        ("P01", "item 1", None, "I like it."), ("P02", "item 4", None, "No."),
    ]  # fmt: skip
    assert (
        said(read(tmp_path, "c.json", '{"why": "I like it so much"}'))[0][1] == "item 1, field why"
    )
    assert said(read(tmp_path, "d.json", '"Just this."')) == [("P01", "item 1", None, "Just this.")]
    mixed = read(tmp_path, "e.json", '["I like it.", [1], 2]')
    assert [reason for _, reason in broken(mixed)] == [
        "item 2 is a list where an object or a text was expected",
        "item 3 is a number where an object was expected",
    ]


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("a.json", '{"a":\n [1,}', 2, "broken JSON"),
        ("a.json", "[" * 100_000, None, "nested too deep"),
        ("a.json", "[" + "1" * 5_000 + "]", None, "endless number"),
        ("a.json", "null", None, "the document is empty"),
        ("a.json", "[]", None, "no text"),
        ("a.json", '[{"a":' * 70 + "1" + "}]" * 70, None, "deeper than 60 levels"),
        ("a.yaml", "a: 1\nb: [1\nc: 2", 3, "broken YAML"),
        ("a.yaml", "a: \x07", 1, "control character"),
        ("a.yaml", "a: &a [*a]", 1, "inside of"),
        ("a.yaml", "[" * 100, 1, "nested deeper"),
        ("a.yaml", "? [a]\n: b", 1, "broken YAML"),
        ("a.html", "<p>x<![foo[x]]>", 1, "broken HTML"),
    ],
)
def test_a_document_that_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, name: str, content: str, line: int | None, reason: str
) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        read(tmp_path, name, content)
    assert caught.value.line == line


def test_a_bad_line_of_json_lines_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = (
        '{"why": "I like it so much"}\n{bad\n\n'
        + "[" * 100_000
        + '\n{"why": "Not for me at all"}\n'
    )
    reading = read(tmp_path, "a.jsonl", text)
    assert [locator for _, locator, _, _ in said(reading)] == [
        "line 1, field why",
        "line 5, field why",
    ]
    assert [line for line, _ in broken(reading)] == [2, 4]


def test_yaml_keeps_every_scalar_as_it_is_written(tmp_path: Path) -> None:
    text = (
        "- id: 1\n  share: 1,5\n  smoker: no\n"
        "  why: I like it so much\n- &b {id: 2, why: Not for me at all}\n"
    )
    reading = read(tmp_path, "a.yml", text)
    assert facts(reading) == [("P01", "share", "1,5"), ("P01", "smoker", "no")]
    several = read(tmp_path, "b.yaml", "why: I like it so much\n---\nwhy: Not for me at all\n")
    assert len(said(several)) == 2


def test_a_yaml_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )
    with pytest.raises(SourceError, match="stands for more than 2,000,000 values"):
        read(tmp_path, "a.yaml", bomb)
