"""Personas as other tools write them down."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.generation.foreign import Mapped, mapped
from persona.generation.model import Draft, Evidence
from persona.generation.persona_files import find

TINY = {
    "type": "TinyPerson",
    "persona": {
        "name": "Lisa Carter",
        "age": 28,
        "nationality": "Canadian",
        "occupation": {"title": "Data Scientist", "organization": "a large office"},
        "behaviors": {"general": ["Asks for the reason", "Writes notes by hand"]},
    },
}
CAMEL = {
    "fullName": "Bob Ray",
    "demographics": {"ageRange": {"min": 30, "max": 40}, "jobTitle": "IT manager", "income": 3},
    "bio": "Bob takes the train.\nHe is late.",
    "needs": [{"text": "A seat", "priority": "high"}, {"description": "A refund"}],
    "painPoints": "- never a seat\n- dirty; loud",
    "Key Quotes": ["I stand."],
    "avatar": "x.png",
}


def of(found: dict[str, object]) -> Mapped:
    read = mapped(found)
    assert read is not None
    return read


def test_a_persona_of_ours_is_read_as_it_is() -> None:
    draft = Draft(
        name="Anna",
        age="34",
        goals=["Sleep"],
        quotes=["I never sleep."],
        evidence=[Evidence("goals[0]", "a.md", "line 1", "I never sleep.")],
    )
    document = msgspec.to_builtins(draft) | {"id": "p", "quality": {"composite": 1}, "segment": {}}
    assert of(document) == Mapped(draft, {}, [])


def test_fields_of_a_tiny_person_are_found_inside_it() -> None:
    read = of(TINY)
    assert read.draft == Draft(
        name="Lisa Carter",
        age="28",
        occupation="Data Scientist",
        behaviours=["Asks for the reason", "Writes notes by hand"],
    )
    assert read.renamed["behaviours"] == "persona.behaviors"
    assert read.unmapped == ["persona.nationality", "type"]


def test_other_spellings_shapes_and_names_are_mapped_and_said() -> None:
    read = of(CAMEL)
    assert read.draft == Draft(
        name="Bob Ray",
        age="30–40",
        occupation="IT manager",
        summary="Bob takes the train.\nHe is late.",
        goals=["A seat", "A refund"],
        pain_points=["never a seat", "dirty", "loud"],
        quotes=["I stand."],
    )
    assert read.renamed["pain_points"] == "painPoints"
    assert read.unmapped == ["avatar", "demographics.income"]


def test_what_is_of_no_use_is_listed_and_not_guessed() -> None:
    read = of(
        {"name": "Anna", "goals": True, "quotes": [None, 3, ["deep"], ""], "summary": "Tired."}
    )
    assert read.draft.goals == []
    assert read.draft.quotes == ["3", "deep"]
    assert read.unmapped == ["goals"]


def test_two_names_of_a_list_are_put_together_and_of_a_text_the_surer_counts() -> None:
    read = of({"goals": ["A"], "needs": ["B"], "bio": "Short.", "background": "Long ago."})
    assert read.draft.goals == ["A", "B"]
    assert read.draft.summary == "Short."
    assert read.unmapped == ["background"]


@pytest.mark.parametrize("nothing", [{}, {"id": 3}, {"title": "x"}, {"name": "only"}])
def test_what_describes_nobody_is_no_persona(nothing: dict[str, object]) -> None:
    assert mapped(nothing) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "goals", "bio", "persona", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["name", "age", "goals", "quotes", "persona"]), JSON))
def test_whatever_an_object_holds_it_is_read_or_it_is_none(found: dict[str, object]) -> None:
    read = mapped(found)
    assert read is None or all(map(str.strip, read.draft.goals))


def test_files_are_found_read_and_told_apart(tmp_path: Path) -> None:
    anna = {"name": "Anna", "goals": ["Sleep"]}
    (tmp_path / "a.json").write_bytes(msgspec.json.encode({"personas": [anna, anna, {"x": 1}]}))
    (tmp_path / "b.jsonl").write_bytes(msgspec.json.encode(anna) + b"\n\n")
    (tmp_path / "c.yaml").write_text("name: Ida\ngoals:\n- sleep\n")
    (tmp_path / "d.json").write_text("{")
    (tmp_path / "e.json").write_text("[" * 100_000)
    (tmp_path / "f.json").write_bytes(b"\xff\xfe")
    (tmp_path / "g.json").write_text('{"x": 1}')
    (tmp_path / "notes.md").write_text("# no persona file")
    (tmp_path / ".hidden.json").write_bytes(msgspec.json.encode(anna))

    found, skipped = find(tmp_path)

    assert [each.file for each in found] == ["a.json#1", "a.json#2", "b.jsonl", "c.yaml"]
    reasons = {each.file: each.reason for each in skipped}
    assert set(reasons) == {"a.json", "d.json", "e.json", "f.json", "g.json"}
    assert reasons["a.json"] == "1 of its 3 entries are no personas"
    assert reasons["g.json"] == "it has none, or says only one, of the fields of a persona"


def test_of_json_lines_the_good_ones_are_read_and_a_bad_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"name": "Anna", "goals": ["Sleep"]}\n{"name": NaN}\n\n{"name": "Bo", "age": 4}\n'
    )
    found, skipped = find(tmp_path)
    assert [each.mapped.draft.name for each in found] == ["Anna", "Bo"]
    (bad,) = skipped
    assert bad.file == "a.jsonl:2"
    assert "malformed" in bad.reason


@pytest.mark.parametrize(
    "document",
    [
        {"results": {"personas": [{"name": "Anna", "goals": ["Sleep"]}, {"name": "Bo", "age": 4}]}},
        {"Anna": {"age": 3, "goals": ["Sleep"]}, "Bo": {"age": 4, "goals": []}},
        {"1": {"name": "Anna", "goals": ["Sleep"]}, "2": {"name": "Bo", "goals": ["Drive"]}},
    ],
)
def test_several_personas_in_an_object_are_told_apart(
    tmp_path: Path, document: dict[str, object]
) -> None:
    (tmp_path / "a.json").write_bytes(msgspec.json.encode(document))
    found, skipped = find(tmp_path)
    assert [each.mapped.draft.name for each in found] == ["Anna", "Bo"]
    assert skipped == []


def test_the_sections_of_one_persona_are_not_taken_for_several(tmp_path: Path) -> None:
    sections = {"about": {"name": "Anna", "age": 3}, "needs": {"goals": ["Sleep"], "pains": ["x"]}}
    (tmp_path / "a.json").write_bytes(msgspec.json.encode(sections))
    found, _ = find(tmp_path)
    assert [each.mapped.draft.name for each in found] == ["Anna"]


def test_a_persona_whose_fields_hold_nothing_is_one_all_the_same() -> None:
    blank = of({"name": None, "goals": [], "pain_points": "", "quotes": [None]})
    assert blank.draft == Draft(name="")


def test_of_an_output_folder_the_personas_are_read_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "01-anna.json").write_text('{"name": "Anna", "goals": ["Sleep"]}')
    (tmp_path / "batch.json").write_text('{"batch": "b", "name": "x", "summary": "y"}')
    found, skipped = find(tmp_path)
    assert [each.file for each in found] == ["personas/01-anna.json"]
    assert skipped == []


def test_a_file_of_another_kind_is_skipped_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Anna")
    found, (skipped,) = find(tmp_path / "a.md")
    assert found == []
    assert skipped.reason == "personas are read from .json, .jsonl, .ndjson, .yaml, .yml"


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "b.json").symlink_to("/dev/zero")
    found, skipped = find(tmp_path)
    assert found == []
    assert {each.reason for each in skipped} == {"it is no regular file"}
