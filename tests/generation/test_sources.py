"""A file or folder becomes one reading: what is read, what is named, who is who."""

import os
from pathlib import Path

import pytest
from persona.generation import sources
from persona.generation.model import Reading, Record
from persona.generation.reading import decoding
from persona.generation.sources import SourceError, read_sources

TALK = "Interviewer: How is it?\n\nAnna: It is hard to say.\n\nAnna: But I try.\n"


def put(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        write(folder / name.replace("__", "/").replace("_", "."), content)
    return folder


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def speech(reading: Reading) -> list[Record]:
    return [record for record in reading.records if record.kind == "speech"]


def reasons(reading: Reading) -> dict[str, str]:
    return {each.source: each.reason for each in reading.unreadable}


def test_reads_a_folder_in_the_order_of_names(tmp_path: Path) -> None:
    put(tmp_path, b_txt="Second words here.", a__c_txt="First words here.", c_md="Third words.")
    reading = read_sources(tmp_path)
    assert [file.source for file in reading.files] == ["a/c.txt", "b.txt", "c.md"]
    assert [record.participant for record in reading.records] == ["P01", "P02", "P03"]


def test_reads_a_single_file(tmp_path: Path) -> None:
    reading = read_sources(write(tmp_path / "talk.txt", TALK))
    assert [record.id for record in reading.records] == ["talk.txt#line 3", "talk.txt#line 5"]
    assert reading.records[0].question == "How is it?"


def test_record_ids_are_unique_though_locators_repeat(tmp_path: Path) -> None:
    cue = "00:01.000 --> 00:02.000\nHello there.\n\n"
    reading = read_sources(write(tmp_path / "x.vtt", f"WEBVTT\n\n{cue}{cue}"))
    assert [record.locator for record in reading.records] == [
        "cue 00:00:01.000",
        "cue 00:00:01.000 (2)",
    ]


def test_who_speaks_is_found_in_a_script_with_vowel_signs(tmp_path: Path) -> None:
    put(tmp_path, a_txt="राहुल: नाव देर से आती है।\nअनीता: राहुल, रुको।\nराहुल: क्यों?\nअनीता: बस।\n")
    reading = read_sources(tmp_path)
    assert [record.participant for record in reading.records] == ["P01", "P02", "P01", "P02"]
    assert reading.records[1].text == "P01, रुको।"


@pytest.mark.parametrize("label", ["{}：", "**{}：** ", "**{}**："])
def test_who_speaks_is_found_before_a_colon_as_wide_as_an_ideograph(
    tmp_path: Path, label: str
) -> None:
    turns = (
        ("聞き手", "普段の一日を教えてください。"),
        ("佐藤", "毎朝五時に起きて、駅まで歩きます。注意：電車は遅れます。"),
        ("鈴木", "小さなパン屋をやっています。"),
        ("聞き手", "他には？"),
        ("佐藤", "通知が多すぎます。"),
        ("鈴木", "予約を忘れる人が多いです。"),
    )
    put(tmp_path, a_txt="\n".join(f"{label.format(who)}{said}" for who, said in turns) + "\n")
    reading = read_sources(tmp_path)
    assert [record.participant for record in reading.records] == ["P01", "P02", "P01", "P02"]
    assert reading.records[0].text == turns[1][1]


def test_the_digest_depends_on_names_and_bytes_and_not_on_the_place(tmp_path: Path) -> None:
    one = read_sources(put(tmp_path / "one", a_txt=TALK))
    same = read_sources(put(tmp_path / "two", a_txt=TALK))
    renamed = read_sources(put(tmp_path / "three", b_txt=TALK))
    changed = read_sources(put(tmp_path / "four", a_txt=TALK + " "))
    assert one.digest == same.digest
    assert one.digest.startswith("sha256:")
    assert len({one.digest, renamed.digest, changed.digest}) == 3


def test_tells_progress_in_bytes(tmp_path: Path) -> None:
    put(tmp_path, a_txt="Some words.", b_txt="More words here.", c_xyz="?")
    told: list[tuple[int, int]] = []
    read_sources(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 28), (11, 28), (27, 28), (28, 28)]


def test_leaves_hidden_files_out_without_a_word(tmp_path: Path) -> None:
    put(tmp_path, a_txt="Some words.", _hidden_txt="x", _git__b_txt="y")
    reading = read_sources(tmp_path)
    assert [file.source for file in reading.files] == ["a.txt"]
    assert reading.unreadable == ()


def test_names_links_that_lead_out_loop_or_end_nowhere(tmp_path: Path) -> None:
    inside = put(tmp_path / "in", a_txt="Some words.", sub__b_txt="More words.")
    write(tmp_path / "out.txt", "Not to be read.")
    (inside / "l-out.txt").symlink_to(tmp_path / "out.txt")
    (inside / "l-none.txt").symlink_to(tmp_path / "none")
    (inside / "l-twice.txt").symlink_to(inside / "a.txt")
    (inside / "sub" / "loop").symlink_to(inside)
    (inside / "self.txt").symlink_to(inside / "self.txt")
    reading = read_sources(inside)
    assert [file.source for file in reading.files] == ["a.txt", "sub/b.txt"]
    why = reasons(reading)
    assert "out of the folder" in why["l-out.txt"]
    assert why["l-none.txt"] == "a link to nothing"
    assert "already read" in why["l-twice.txt"]
    assert "already read" in why["sub/loop"]
    assert "can't be opened" in why["self.txt"]


def test_names_what_is_no_text_or_has_no_known_ending(tmp_path: Path) -> None:
    put(tmp_path, a_txt="Some words.", b_pdf="%PDF-1.7", c_csv=b"PK\x03\x04....", d_txt=b"a\0b")
    put(tmp_path, e_txt="", f_txt=bytes(range(1, 32)) * 9, README="x", g_txt="  \n\n")
    os.mkfifo(tmp_path / "h.txt")
    (tmp_path / "i.csv").mkdir()
    why = reasons(read_sources(tmp_path))
    assert "ending in .pdf" in why["b.pdf"]
    assert "Word and Excel" in why["c.csv"]
    assert "zero bytes" in why["d.txt"]
    assert why["e.txt"] == "the file is empty"
    assert "control characters" in why["f.txt"]
    assert "without an ending" in why["README"]
    assert why["g.txt"] == "there is no text in it"
    assert why["h.txt"] == "a named pipe, not a file"
    assert "i.csv" not in why


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Schöne Grüße an alle hier".encode(), "utf-8"),
        ("Schöne Grüße an alle hier".encode("utf-8-sig"), "utf-8-sig"),
        ("Schöne Grüße an alle hier".encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + "Schöne Grüße an alle hier".encode("utf-16-be"), "utf-16"),
        ("Schöne Grüße an alle hier".encode("utf-32"), "utf-32"),
        ("Schöne Grüße an alle hier".encode("cp1252"), "cp1252"),
    ],
)
def test_finds_the_encoding(tmp_path: Path, content: bytes, encoding: str) -> None:
    reading = read_sources(write(tmp_path / "a.txt", content))
    assert reading.files[0].encoding == encoding
    assert reading.records[0].text == "Schöne Grüße an alle hier"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("gut\nÄÖÜß äöü\n".encode() + b"\xff", 3, "damaged UTF-8"),
        (b"ok\nab\x81\x8d cd", 2, "neither UTF-8"),
        (b"\xef\xbb\xbfok\n\xff", 2, "UTF-8-SIG"),
        (b"\xff\xfea", 1, "UTF-16"),
        (b"\xff\xfea\0\0\0", None, "zero characters"),
        (b"ende\n" + b"\xc3", None, None),
    ],
)
def test_names_what_it_cannot_decode(
    tmp_path: Path, content: bytes, line: int | None, reason: str | None
) -> None:
    put(tmp_path, a_txt="Some words.", b_txt=content)
    reading = read_sources(tmp_path)
    assert [(u.line, (reason or "") in u.reason) for u in reading.unreadable] == (
        [(line, True)] if reason else []
    )


@pytest.mark.no_cover
def test_refuses_a_file_beyond_the_limit_of_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", 1024 * 1024)
    put(tmp_path, a_json=b'["' + b"word " * 250_000 + b'"]', b_txt="word word.\n\n" * 100_000)
    reading = read_sources(tmp_path)
    assert [file.source for file in reading.files] == ["b.txt"]
    assert "larger than 1 MiB" in reasons(reading)["a.json"]


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    with write(tmp_path / "a.csv", "x").open("r+b") as sparse:
        sparse.truncate(decoding.MAX_STREAMED_BYTES + 1)
    with pytest.raises(SourceError, match="larger than 256 MiB"):
        read_sources(tmp_path)


def test_an_endless_line_is_named_and_what_came_before_stays(tmp_path: Path) -> None:
    write(
        tmp_path / "a.csv", "why\nI like it very much\n" + "x" * (decoding.MAX_LINE_CHARACTERS + 1)
    )
    with pytest.raises(SourceError) as caught:
        read_sources(tmp_path)
    assert (caught.value.source, caught.value.line) == ("a.csv", 3)


def test_too_many_records_are_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_RECORDS", 3)
    put(tmp_path, a_txt="One.\n\nTwo.\n\nThree.", b_txt="Four.")
    with pytest.raises(SourceError) as caught:
        read_sources(tmp_path)
    assert "more than 3 records" in caught.value.message
    assert caught.value.source == "b.txt"
    assert caught.value.hint is not None


def test_facts_beyond_their_limit_are_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_FACTS", 1)
    reading = read_sources(
        write(tmp_path / "a.csv", "age,why\n3,I like it so much\n4,Not at all for me\n")
    )
    assert [record.kind for record in reading.records].count("fact") == 1
    assert reading.files[0].notes == ("only the first 1 facts were kept",)


def test_an_empty_folder_a_missing_path_and_only_unreadable_files_are_errors(
    tmp_path: Path,
) -> None:
    with pytest.raises(SourceError, match="empty folder"):
        read_sources(tmp_path)
    with pytest.raises(SourceError, match="doesn't exist"):
        read_sources(tmp_path / "none")
    put(tmp_path, a_json="{", b_json="{", c_json="{", d_json="{")
    with pytest.raises(SourceError, match="and 1 more") as caught:
        read_sources(tmp_path)
    assert (caught.value.source, caught.value.line) == ("a.json", 1)


def test_a_survey_without_free_text_is_an_error_that_names_the_columns(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "age,city\n34,York\n41,Bath\n")
    with pytest.raises(SourceError, match="no free text") as caught:
        read_sources(tmp_path)
    assert "columns: age, city" in str(caught.value.hint)


def test_an_unknown_column_is_an_error_that_names_the_columns(tmp_path: Path) -> None:
    put(tmp_path, a_csv="age,why\n34,I like it so much\n", b_txt=TALK)
    with pytest.raises(SourceError, match="“reason”") as caught:
        read_sources(tmp_path, text_columns=("reason",))
    assert caught.value.hint == "columns: age, why"
    with pytest.raises(SourceError, match="“who”"):
        read_sources(tmp_path / "b.txt", participant_column="who")


def test_the_language_is_found_or_given(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "Ich finde es wirklich schwer, die Zeit zu finden.")
    assert read_sources(tmp_path).language == "de"
    assert read_sources(tmp_path, language="fr").language == "fr"


def test_an_id_is_one_participant_in_every_file_and_a_first_name_in_its_own(
    tmp_path: Path,
) -> None:
    put(
        tmp_path,
        a_txt="Interviewer: So?\n\nAnna: I think so.\n",
        b_txt="Interviewer: So?\n\nAnna: No.\n",
    )
    put(
        tmp_path,
        c_csv="participant,why\nP07,I like it so much\n",
        d_txt="P07: Me again.\n\nI: So?\n",
    )
    assert [record.participant for record in read_sources(tmp_path).records] == [
        "P01",
        "P02",
        "P07",
        "P07",
    ]


def test_a_full_name_that_a_table_ties_to_an_id_is_that_participant(tmp_path: Path) -> None:
    put(tmp_path, a_csv="participant_id,name,why\nP07,Anna Schmidt,I like it so much\n")
    put(tmp_path, b_vtt="WEBVTT\n\n00:01.000 --> 00:02.000\n<v Anna Schmidt>Well, yes.\n")
    assert {record.participant for record in read_sources(tmp_path).records} == {"P07"}


def test_names_leave_texts_questions_and_file_names(tmp_path: Path) -> None:
    put(tmp_path, **{"anna-schmidt_txt": (
        "Participant: Anna Schmidt\nInterviewer: Ruth Klein\n\n"
        "Ruth: Hello Anna, I'm Ruth. How was it?\n\n"
        "Anna: I told Ruth: Schmidt's here, anna@x.de or 0171 2345678. Annabel too.\n"
    )})  # fmt: skip
    put(tmp_path, b_txt="Anna told me about that.")
    reading = read_sources(tmp_path)
    assert [(r.source, r.question, r.text) for r in reading.records] == [
        (
            "P01.txt",
            "Hello P01, I'm [name]. How was it?",
            "I told [name]: P01's here, [email] or [phone]. Annabel too.",
        ),
        ("b.txt", None, "[name] told me about that."),
    ]
    assert reading.redactions == {"email": 1, "phone": 1, "name": 5}
    assert "anna" not in repr(reading.files).casefold()


def test_replaced_file_names_stay_apart(tmp_path: Path) -> None:
    put(tmp_path, anna_txt="My words.", anna_md="My words.", P01_txt="My words.")
    shown = [file.source for file in read_sources(tmp_path).files]
    assert len(set(shown)) == 3
    assert not any("anna" in name for name in shown)


def test_without_redaction_everything_stays_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "anna.txt", "Interviewer: Anna?\n\nAnna: I am Anna, a@b.de, 0171 2345678.\n")
    reading = read_sources(tmp_path, redact=False)
    assert reading.records[0].text == "I am Anna, a@b.de, 0171 2345678."
    assert reading.records[0].source == "anna.txt"
    assert reading.redactions == {"email": 0, "phone": 0, "name": 0}


def test_the_same_bytes_give_the_same_reading(tmp_path: Path) -> None:
    put(tmp_path, a_txt=TALK, b_csv="id,why\n1,I like it so much\n2,Not at all for me\n")
    assert read_sources(tmp_path) == read_sources(tmp_path)


def test_invisible_characters_hide_no_name_and_reach_no_terminal(tmp_path: Path) -> None:
    reading = read_sources(
        write(tmp_path / "a.txt", "Write a\u200b@b.de\x1b[31m, caf\u0065\u0301 now.")
    )
    assert reading.records[0].text == "Write [email] [31m, café now.".replace("] [", "][")
