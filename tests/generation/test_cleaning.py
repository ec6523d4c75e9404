import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.generation.cleaning import (
    LINE_LENGTH,
    SLUG_LENGTH,
    clean_draft,
    clean_line,
    clean_text,
    slug,
)
from persona.generation.model import Draft, Evidence

HOSTILE = st.text(
    st.one_of(
        st.characters(codec=None),
        st.sampled_from("\x1b\x9b\x9d\x07[]m;0/\\.-\u202e\u2066\ud800\u200b\r\n\u2028"),
    )
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Anna Fischer", "anna-fischer"),
        ("Zoë Łukasz-Größe", "zoe-lukasz-grosse"),
        ("Ærøskøbing", "aeroskobing"),
        ("Þórður", "thordur"),
        ("İpek ışık", "ipek-isik"),
        ("O’Brien", "o-brien"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\con", "c-windows-con"),
        ("a\x00b", "ab"),
        ("\x1b[31mRed\x1b[0m", "red"),
        ("-rf", "rf"),
        ("Иван", "persona"),
        ("李 Anna", "anna"),
        ("...", "persona"),
        ("", "persona"),
    ],
)
def test_a_name_becomes_a_part_of_a_file_name(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_a_long_name_is_cut_between_words() -> None:
    assert slug("The very patient collector of loyalty points and receipts") == (
        "the-very-patient-collector-of-loyalty-points-and"
    )


def test_a_long_word_is_cut_where_it_must_be() -> None:
    assert slug("x" * 1000) == "x" * SLUG_LENGTH


@given(HOSTILE)
def test_whatever_the_name_the_slug_is_a_harmless_file_name(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug(name))
    assert len(slug(name)) <= SLUG_LENGTH


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x9b31mred", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice control\x1b\\text", "text"),
        ("\x1bcreset", "reset"),
        ("open\x1b]0;never closed", "open0;never closed"),
        ("bell\x07 and \x00nul", "bell and nul"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("\u2066isolated\u2069", "isolated"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("half \ud83d character", "half  character"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("tab\tstays", "tab\tstays"),
        ("👩‍💻 Zoë می‌خواهم", "👩‍💻 Zoë می‌خواهم"),
        (
            "[bold]markup[/bold] is the renderer's affair",
            "[bold]markup[/bold] is the renderer's affair",
        ),
    ],
)
def test_a_text_keeps_its_words_and_loses_what_is_not_for_people(text: str, expected: str) -> None:
    assert clean_text(text) == expected


@given(HOSTILE)
def test_a_clean_text_can_be_stored_and_shown(text: str) -> None:
    clean = clean_text(text)
    clean.encode()
    assert not [c for c in clean if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]


@given(HOSTILE)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_letters_figures_and_punctuation_stay(text: str) -> None:
    assert clean_text(text) == text


def test_unfinished_sequences_without_end_take_no_time() -> None:
    assert clean_text("\x9d\x1b]" * 100_000) == ""


def test_a_line_is_one_line_and_says_where_it_was_cut() -> None:
    assert clean_line("  two \n\n lines\t") == "two lines"
    assert clean_line("abcdef", 4) == "abc…"
    assert clean_line("abcd", 4) == "abcd"


def test_a_draft_is_cleaned_in_every_text() -> None:
    dirty = Draft(
        name="\x1b[31m Anna\nF.",
        age=" \x07 ",
        occupation="nurse\u202e",
        location="",
        summary=" first\r\n\r\nsecond\x00 ",
        goals=["to\x1b[0m rest"],
        evidence=[Evidence("goals[0]", "a\x07.md", "line\n3", " rest\x1b[0m ")],
    )
    assert clean_draft(dirty) == Draft(
        name="Anna F.",
        occupation="nurse",
        summary="first\n\nsecond",
        goals=["to rest"],
        evidence=[Evidence("goals[0]", "a.md", "line 3", "rest")],
    )


def test_evidence_follows_its_claim_when_an_empty_one_before_it_goes() -> None:
    draft = Draft(
        name="A",
        goals=["", "sleep", "\x00", "eat"],
        evidence=[
            Evidence("goals[0]", "a", "line 1", "nothing"),
            Evidence("goals[1]", "a", "line 2", "sleep"),
            Evidence("goals[3]", "a", "line 3", "eat"),
            Evidence("goals[9]", "a", "line 4", "no such goal"),
            Evidence("age", "a", "line 5", "forty"),
            Evidence("hobbies[1]", "a", "line 6", "kept as it is"),
            Evidence("age", "a", "line 7", "  "),
        ],
    )
    clean = clean_draft(draft)
    assert clean.goals == ["sleep", "eat"]
    assert [(item.field, item.quote) for item in clean.evidence] == [
        ("goals[0]", "sleep"),
        ("goals[1]", "eat"),
        ("age", "forty"),
        ("hobbies[1]", "kept as it is"),
    ]


def test_a_name_without_end_is_cut() -> None:
    assert len(clean_draft(Draft(name="n" * 100_000)).name) == LINE_LENGTH


def test_a_clean_draft_stays_as_it_is() -> None:
    draft = clean_draft(Draft(name="Anna", age="34", quotes=["“I never sleep”, he said."]))
    assert clean_draft(draft) == draft
