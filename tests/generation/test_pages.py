from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from msgspec.structs import replace
from persona.generation.cleaning import clean_line
from persona.generation.model import Evidence, Persona, Provenance, SegmentOfPersona
from persona.generation.pages import escape, index_markdown, persona_markdown

ANNA = Persona(
    id="persona-d4e5f6",
    name="Anna Fischer",
    age="34",
    occupation=None,
    location="Leeds",
    summary="Works nights.\n\nSleeps by day.",
    goals=["Rest between shifts"],
    pain_points=["Rosters change late"],
    behaviours=[],
    motivations=["Her team"],
    quotes=["I never sleep.", "They just told me."],
    segment=SegmentOfPersona(share=0.234, size=4, terms=["roster", "night"]),
    evidence=[
        Evidence("quotes[0]", "p03.md", "line 12", "I never sleep."),
        Evidence("goals[0]", "survey.csv", "row 7, column why", "a bit of rest"),
        Evidence("home_town", "p03.md", "", "in Leeds"),
    ],
    quality={"faithfulness": 1.0, "composite": 0.8125, "completeness": 0.5},
    provenance=Provenance(
        provider="local",
        model="extractive-1",
        batch="batch-2026-11-23-a1b2c3",
        seed=7,
        prompt_digest="sha256:0",
        source_digest="sha256:1",
        created_at=datetime(2026, 11, 23, 9, 45, tzinfo=UTC),
    ),
)

PAGE = """\
# Anna Fischer

Works nights.

Sleeps by day.

- **Age:** 34
- **Place:** Leeds
- **Segment:** 23 % (4 participants)
- **Typical words:** roster, night

## Goals

- Rest between shifts

## Pain points

- Rosters change late

## Motivations

- Her team

## Quotes

> I never sleep.
>
> — p03.md, line 12

> They just told me.
>
> — where it stands is not known

## Evidence

- Goal 1: “a bit of rest” — survey.csv, row 7, column why
- Home town: “in Leeds” — p03.md

## Quality

| Metric | Score |
| --- | ---: |
| Completeness | 0.50 |
| Faithfulness | 1.00 |
| Composite | 0.81 |

*persona-d4e5f6 · local/extractive-1 · batch-2026-11-23-a1b2c3 · 2026-11-23*
"""

HOSTILE = st.text(
    st.one_of(
        st.sampled_from("#*_`~>|<&[]()!\\-+=:.1 \n\t\x1b$w/htps\"'"),
        st.characters(categories=["L", "P", "S"]),
    )
)


def parse(page: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(page)


def shape(tokens: list[Token]) -> list[str]:
    return [token.type for token in tokens]


def test_a_page_can_be_pasted_into_a_report() -> None:
    assert persona_markdown(ANNA) == PAGE


def test_a_persona_without_anything_still_has_a_page() -> None:
    bare = replace(
        ANNA,
        name="",
        age=None,
        location=None,
        summary="",
        goals=[],
        pain_points=[],
        motivations=[],
        quotes=[],
        evidence=[],
        quality={},
        segment=SegmentOfPersona(share=1.0, size=1, terms=[]),
    )
    assert persona_markdown(bare) == (
        "# Unnamed persona\n\n- **Segment:** 100 % (1 participant)\n\n"
        "*persona-d4e5f6 · local/extractive-1 · batch-2026-11-23-a1b2c3 · 2026-11-23*\n"
    )


@given(HOSTILE)
def test_an_escaped_text_shows_exactly_its_characters(text: str) -> None:
    line = clean_line(text)
    tokens = parse(escape(line))
    assert shape(tokens) == (["paragraph_open", "inline", "paragraph_close"] if line else [])
    inside = [child for token in tokens for child in token.children or []]
    assert {child.type for child in inside} <= {"text", "text_special"}
    assert "".join(child.content for child in inside) == line


@given(HOSTILE)
def test_no_text_changes_the_shape_of_a_page(text: str) -> None:
    text = f"x{text}"
    hostile = replace(
        ANNA,
        name=text,
        age=text,
        summary=f"{clean_line(text)}\n\n{clean_line(text)}",
        goals=[text],
        quotes=[text, text],
        segment=SegmentOfPersona(share=0.2, size=4, terms=[text, text]),
        evidence=[replace(item, source=text, quote=text) for item in ANNA.evidence],
    )
    assert shape(parse(persona_markdown(hostile))) == shape(parse(persona_markdown(ANNA)))


@given(HOSTILE)
def test_no_text_changes_the_shape_of_the_index(text: str) -> None:
    plain = index_markdown([(1, ANNA, "01-anna")], batch="b", total=1)
    hostile = replace(ANNA, name=text, goals=[f"x{text}"])
    page = index_markdown([(1, hostile, "01-anna")], batch="b", total=1)
    assert shape(parse(page)) == shape(parse(plain))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[click](http://evil)", "\\[click\\](http\\://evil)"),
        ("see www.evil.example", "see www\\.evil.example"),
        ("![x](a.png)", "!\\[x\\](a.png)"),
        ("a | b", "a \\| b"),
        ("1. first", "1\\. first"),
        ("- item\n+ item\n    code", "\\- item\n\\+ item\ncode"),
        ("title\n===", "title\n\\==="),
        ("rent is -5 and 3.5 = 4", "rent is -5 and 3.5 = 4"),
    ],
)
def test_what_has_a_meaning_in_markdown_loses_it(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_the_index_is_a_table_with_links() -> None:
    unscored = replace(ANNA, name="B | C", goals=[], quality={})
    page = index_markdown(
        [(1, ANNA, "01-anna-fischer"), (3, unscored, "03-b-c")], batch="batch-7", total=3
    )
    assert page == (
        "# Personas of batch-7\n\n2 of 3 personas.\n\n"
        "| # | Name | Share | Goal | Quality | Data |\n"
        "| ---: | --- | ---: | --- | ---: | --- |\n"
        "| 1 | [Anna Fischer](personas/01-anna-fischer.md) | 23 % | Rest between shifts | 0.81 "
        "| [JSON](personas/01-anna-fischer.json) |\n"
        "| 3 | [B \\| C](personas/03-b-c.md) | 23 % | – | – | [JSON](personas/03-b-c.json) |\n"
    )


def test_one_persona_is_not_several() -> None:
    assert "1 of 1 persona." in index_markdown([(1, ANNA, "01-a")], batch="b", total=1)
