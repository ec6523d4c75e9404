"""Tables, transcripts, pages and subtitles, whole and broken."""

from pathlib import Path

import pytest
from persona.generation.reading.delimited import sniff
from persona.generation.reading.formats import FORMATS
from persona.generation.sources import SourceError, read_sources

from .readings import broken, facts, read, said

GERMAN = (
    "Nr;Alter;Beruf;Note;Warum?\n"
    "1;34;Lehrerin;1,5;Ich finde, es ist schöner als früher\n"
    "2;41;Koch;2,0;Das ist, ehrlich gesagt, schwer zu sagen\n"
)


def test_every_format_of_the_documentation_is_registered() -> None:
    documented = ".csv .tsv .json .jsonl .md .txt .yaml .yml .html .htm .vtt .srt"
    assert " ".join(FORMATS) == documented


def test_a_german_survey_in_windows_1252(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", GERMAN.encode("cp1252"))
    file = reading.files[0]
    assert (file.encoding, file.delimiter, file.text_columns) == ("cp1252", ";", ("Warum?",))
    assert said(reading)[0] == (
        "P01", "row 2, column Warum?", "Warum?", "Ich finde, es ist schöner als früher",
    )  # fmt: skip
    assert facts(reading)[:3] == [
        ("P01", "Alter", "34"), ("P01", "Beruf", "Lehrerin"), ("P01", "Note", "1,5"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", (",", 2)),
        ("a;b\n1,5;2,5\n2,5;3,5\n", (";", 2)),
        ("a\tb\n1;2\t3\n", ("\t", 2)),
        ("a|b|c\n1|2|3\n", ("|", 3)),
        ('a,b\n"x;y;z",2\n"x;y;z",2\n', (",", 2)),
        ("why\nI like it, really\nIt is, well, ok\n", ("\x1f", 1)),
        ("Survey 2024\n\na;b;c\n1;2;3\n1;2;3\n1;2;3\n", (";", 3)),
    ],
)
def test_finds_the_delimiter(text: str, expected: tuple[str, int]) -> None:
    assert sniff(text.splitlines(keepends=True)) == expected


def test_excels_own_line_about_the_delimiter_is_heeded(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", "sep=|\nage|why\n3|I like it so much\n")
    assert reading.files[0].delimiter == "|"


def test_a_table_of_tabs_and_one_that_only_says_so(tmp_path: Path) -> None:
    assert read(tmp_path, "a.tsv", "age\twhy\n3\tI like it, so much\n").files[0].delimiter == "\t"
    assert read(tmp_path, "b.tsv", "age;why\n3;I like it so much\n").files[0].delimiter == ";"


def test_quoted_line_ends_count_in_rows_and_lines(tmp_path: Path) -> None:
    reading = read(
        tmp_path, "a.csv",
        'id,why\n1,"I like it\nso much"\n2,short\n3,"Not\n\nat all",extra\n'
        '4,No idea at all\n5,,,\n',
    )  # fmt: skip
    assert [(locator, text) for _, locator, _, text in said(reading)] == [
        ("row 2, column why", "I like it so much"),
        ("row 3, column why", "short"),
        ("row 5, column why", "No idea at all"),
    ]
    assert broken(reading) == [(5, "the row has 3 fields where the table has 2; it was left out")]


def test_an_unclosed_quotation_mark_costs_its_own_row(tmp_path: Path) -> None:
    rows = 'id,why\n1,"I never close\n2,I like it so much\n3,Not for me at all\n'
    reading = read(tmp_path, "a.csv", rows)
    assert [text for *_, text in said(reading)] == ["I like it so much", "Not for me at all"]
    assert broken(reading) == [(2, "a quotation mark is opened and never closed")]


def test_a_field_without_end_costs_a_row(tmp_path: Path) -> None:
    good = "".join(f"{n},I like number {n}\n" for n in range(500))
    endless = '1,"' + ("x" * 2_000 + "\n") * 600
    reading = read(tmp_path, "a.csv", f"id,why\n{good}{endless}7,Not for me at all\n")
    assert len(said(reading)) == 501
    assert broken(reading)[0][0] == 502


def test_many_broken_rows_are_summed_up(tmp_path: Path) -> None:
    rows = "".join(f"1\n2,Fine by me number {n}\n" for n in range(150))
    reading = read(tmp_path, "a.csv", f"id,why\n{rows}")
    assert len(reading.unreadable) == 101
    assert "more such places" in reading.unreadable[-1].reason


def test_doubled_and_empty_headings_are_told_apart(tmp_path: Path) -> None:
    text = "why,why,,why (2)\nI like it so much,Not for me at all,x,y\n"
    reading = read(tmp_path, "a.csv", text)
    assert [question for _, _, question, _ in said(reading)] == ["why", "why (3)"]
    assert [question for _, question, _ in facts(reading)] == ["column 3", "why (2)"]


def test_a_missing_heading_is_noticed(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", "34,I like it so much\n41,Not for me at all\n")
    assert [locator for _, locator, _, _ in said(reading)] == [
        "row 1, column column 2", "row 2, column column 2",
    ]  # fmt: skip


def test_a_file_of_empty_rows_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no row of a table"):
        read(tmp_path, "a.csv", ",,\n,,\n")


def test_wished_columns_are_taken(tmp_path: Path) -> None:
    text = "code,wer,x,y\n1,K1,yes,I like it so much\n2,K1,no,Not for me at all\n"
    reading = read(tmp_path, "a.csv", text, text_columns=("X",), participant_column="WER")
    assert said(reading) == [
        ("P01", "row 2, column x", "x", "yes"),
        ("P01", "row 3, column x", "x", "no"),
    ]
    assert ("P01", "y", "I like it so much") in facts(reading)


def test_closed_questions_addresses_and_clerical_columns_are_no_text(tmp_path: Path) -> None:
    rows = "".join(
        f"2024-01-0{n},{n}@x.de,I agree with this very much,Thought number {n} is this one\n"
        for n in range(1, 9)
    )
    reading = read(tmp_path, "a.csv", "Timestamp,E-Mail,Closed,Open\n" + rows)
    assert reading.files[0].text_columns == ("Open",)
    assert {question for _, question, _ in facts(reading)} == {"Closed"}


def test_very_short_answers_are_still_found(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", "x,y\n1,cheap good bus\n2,late dirty train\n")
    assert reading.files[0].text_columns == ("y",)


def test_few_namesakes_are_different_people_and_many_are_one(tmp_path: Path) -> None:
    wide = "name,why\nAnna,I like it so much\nAnna,Not for me at all\nBen,It is fine by me\n"
    assert read(tmp_path, "a.csv", wide).files[0].participants == 3
    long = wide + "Ben,I said it before\nAnna,And again I say\n"
    assert read(tmp_path, "b.csv", long).files[0].participants == 2
    parts = "first name,last name,why\nAnna,Klein,I like it so much\nAnna,Groß,Not for me at all\n"
    assert read(tmp_path, "c.csv", parts).files[0].participants == 2


def test_a_question_column_holds_the_questions(tmp_path: Path) -> None:
    text = (
        "participant,question,answer\nP1,How is it going now?,I like it so much\n"
        "P1,Why is that so then?,Not sure about it\n"
    )
    assert [question for _, _, question, _ in said(read(tmp_path, "a.csv", text))] == [
        "How is it going now?", "Why is that so then?",
    ]  # fmt: skip


def test_a_table_can_be_a_transcript(tmp_path: Path) -> None:
    text = "speaker,text\nInterviewer (Ruth),How is it going now?\nAnna,I like it so much\n"
    assert said(read(tmp_path, "a.csv", text)) == [
        ("P01", "row 3, column text", "How is it going now?", "I like it so much")
    ]


def test_interviewers_in_a_column_are_no_participants(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,interviewer,why\n1,Ruth Klein,I told Ruth all of it\n")
    assert read_sources(path).records[0].text == "I told [name] all of it"


def test_a_focus_group_in_text(tmp_path: Path) -> None:
    text = (
        "Moderator: Who starts?\n[00:01:02] Anna: I do.\nStill me, on the next line.\n\n"
        "And a new paragraph: mine too.\n\n**Ben (participant):** I agree.\n"
        "Moderator: Why?\nMore of it?\nBen (participant): Because.\nAnna [00:02:00]: Same here.\n"
    )
    assert said(read(tmp_path, "a.txt", text)) == [
        ("P01", "line 2", "Who starts?", "I do. Still me, on the next line."),
        ("P01", "line 5", "Who starts?", "And a new paragraph: mine too."),
        ("P02", "line 7", "Who starts?", "I agree."),
        ("P02", "line 10", "Why? More of it?", "Because."),
        ("P01", "line 11", "Why? More of it?", "Same here."),
    ]


def test_who_mostly_asks_is_the_interviewer(tmp_path: Path) -> None:
    text = "Ruth: How is it?\nAnna: Well.\nRuth: Why?\nAnna: It is so.\n"
    assert [(who, question) for who, _, question, _ in said(read(tmp_path, "a.txt", text))] == [
        ("P01", "How is it?"), ("P01", "Why?"),
    ]  # fmt: skip


def test_labels_above_their_words(tmp_path: Path) -> None:
    text = (
        "Ruth Klein 0:05\nHow is it?\n\nAnna Groß 0:09\nWell.\n\n"
        "Ruth Klein 0:15\nWhy?\n\nAnna Groß 1:00:09\nSo.\n"
    )
    assert said(read(tmp_path, "a.txt", text))[0] == ("P01", "line 4", "How is it?", "Well.")


def test_words_before_a_colon_are_no_speaker(tmp_path: Path) -> None:
    text = (
        "One thing: it is slow.\n\nNote: https://x.org\n\nHonestly: I don't know.\n\n"
        "- a bullet\n- another"
    )
    assert [text for *_, text in said(read(tmp_path, "a.txt", text))] == [
        "One thing: it is slow.", "Note: https://x.org", "Honestly: I don't know.",
        "a bullet", "another",
    ]  # fmt: skip


def test_header_lines_become_facts(tmp_path: Path) -> None:
    text = (
        "Transcript: 4\nParticipant: P03\nName: Anna Groß\nAge: 34\nDate: 2024-01-01\n"
        "Interviewer: Ruth\n\n"
        "Ruth: Why?\n\nAnna: Because.\n"
    )
    reading = read(tmp_path, "a.txt", text)
    assert said(reading) == [("P03", "line 10", "Why?", "Because.")]
    assert facts(reading) == [("P03", "Age", "34")]


def test_a_first_answer_is_no_header_line(tmp_path: Path) -> None:
    text = "Interviewer: Hello.\nParticipant: Good morning\nInterviewer: Hello\nParticipant: Yes\n"
    assert [text for *_, text in said(read(tmp_path, "a.txt", text))] == ["Good morning", "Yes"]


def test_markdown_headings_are_the_context(tmp_path: Path) -> None:
    text = (
        "---\nage: 34\n---\n# Interview with Anna Groß\n\n## Work <!-- x -->\n<!--\nhidden\n-->\n"
        "> I like my work.\n\n***\n\n## Home\n**I:** And at home?\n**P:** It is fine.\n"
    )
    reading = read(tmp_path, "a.md", text)
    assert facts(reading) == [("P01", "age", "34")]
    assert said(reading) == [("P01", "line 16", "And at home?", "It is fine.")]


def test_headings_without_speakers_are_the_questions(tmp_path: Path) -> None:
    assert said(read(tmp_path, "a.md", "# Work\nI like it.\n# Home\nIt is fine.\n")) == [
        ("P01", "line 2", "Work", "I like it."),
        ("P01", "line 4", "Home", "It is fine."),
    ]


def test_headings_that_are_ids_tell_participants_apart(tmp_path: Path) -> None:
    text = "## P03\nI like it.\n\n## P04\nIt is fine.\n"
    assert [who for who, *_ in said(read(tmp_path, "a.md", text))] == ["P03", "P04"]


def test_a_long_paragraph_is_broken_at_a_line(tmp_path: Path) -> None:
    text = "".join(f"Line {n} of a long paragraph.\n" for n in range(200))
    parts = [text for *_, text in said(read(tmp_path, "a.txt", text))]
    assert len(parts) > 1
    assert max(map(len, parts)) < 2_200


def test_html_without_scripts(tmp_path: Path) -> None:
    text = (
        "<html><head><title>t</title><style>p{}</style><body><nav>menu</nav><h2>Work</h2>\n"
        "<p>I <b>like</b><br>it &amp; more<script>x</script></p><ul><li>one</li></ul></html>"
    )
    assert said(read(tmp_path, "a.html", text)) == [
        ("P01", "line 2", "Work", "I like"),
        ("P01", "line 2 (2)", "Work", "it & more"),
        ("P01", "line 2 (3)", "Work", "one"),
    ]


def test_html_of_turns(tmp_path: Path) -> None:
    text = "<p><b>Interviewer:</b> How?</p><p><b>Anna:</b> So.</p>"
    assert said(read(tmp_path, "a.htm", text)) == [("P01", "line 1", "How?", "So.")]


def test_subtitles_with_voices(tmp_path: Path) -> None:
    text = (
        "\ufeffWEBVTT - x\n\nNOTE hello\nthere\n\nSTYLE\n::cue{}\n\nintro\n"
        "01:02.000 --> 01:03.000 align:start\n"
        "<v.loud Anna>I think &amp; <i>hope</i></v>\n\n"
        "00:01:03.000 --> 00:01:04.500\n<v Anna>that it works.\n\n"
        "00:01:05.5 --> 00:01:06.000\n<v Ben>Oh?</v> <v Anna>Yes.</v>\n"
    )
    assert said(read(tmp_path, "a.vtt", text)) == [
        ("P01", "cue 00:01:02.000", None, "I think & hope that it works."),
        ("P02", "cue 00:01:05.500", None, "Oh?"),
        ("P01", "cue 00:01:05.500 (2)", None, "Yes."),
    ]


def test_subtitles_with_names_before_the_words(tmp_path: Path) -> None:
    text = "".join(
        f"{n}\n00:00:0{n},000 --> 00:00:0{n},500\n{words}\n\n"
        for n, words in enumerate(
            ["I: How is it?", "Anna: It is", "so so.", "I: Why?", "Anna: Ok."], 1
        )
    )
    assert said(read(tmp_path, "a.srt", text)) == [
        ("P01", "cue 00:00:02.000", "How is it?", "It is so so."),
        ("P01", "cue 00:00:05.000", "Why?", "Ok."),
    ]


def test_broken_cues_are_named(tmp_path: Path) -> None:
    text = (
        "1\n\n2\n00:x --> 00:00:02,000\nlost\n\nloose words\n\n"
        "3\n00:00:03,000 --> 00:00:04,000\nkept\n"
    )
    reading = read(tmp_path, "a.srt", text)
    assert [text for *_, text in said(reading)] == ["kept"]
    assert [line for line, _ in broken(reading)] == [3, 7]
