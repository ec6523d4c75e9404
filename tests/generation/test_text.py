from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.generation.text import (
    Matrix,
    cosine,
    dot,
    most_common_spelling,
    normal,
    sentences,
    stem,
    terms,
    tfidf,
    transpose,
    unit,
    vector,
    without_marks,
    words,
)

DOCUMENTS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't take the N12, I walk.", ["I", "don't", "take", "the", "N12", "I", "walk"]),
        ("l’autobus à vélo", ["l’autobus", "à", "vélo"]),
        ("यात्रा करना कठिन है", ["यात्रा", "करना", "कठिन", "है"]),
        ("東京のバスは便利", ["東京", "バス", "便利"]),
        ("公共交通工具", ["公共", "共交", "交通", "通工", "工具"]),
        ("ありがと", ["あり", "りが", "がと"]),
        ("รถเมล์", ["รถเ", "ถเม", "เมล", "มล์"]),
        ("", []),
    ],
)
def test_words_are_found_in_any_script(text: str, expected: list[str]) -> None:
    assert list(words(text)) == expected


@pytest.mark.parametrize(
    "forms",
    [
        ("commute", "commuting", "commuted", "commutes"),
        ("delay", "delays", "delayed"),
        ("bus", "buses"),
        ("city", "cities"),
        ("stop", "stopped", "stopping"),
        ("pass", "passes", "passed"),
    ],
)
def test_forms_of_an_english_word_share_a_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form, "en") for form in forms}) == 1


def test_other_languages_share_a_words_beginning() -> None:
    assert stem("verspätung", "de") == stem("verspätungen", "de") == "verspät"
    assert stem("n12", "de") == "n12"


def test_normal_form_drops_case_elision_and_genitive() -> None:
    assert [normal(word) for word in ("L’autobus", "Driver's", "qu'elle")] == [
        "autobus",
        "driver",
        "elle",
    ]


def test_terms_leave_out_stop_words_numbers_and_single_letters() -> None:
    assert list(terms("The 42 is a late Bus x", frozenset({"the", "is", "a"}), "en")) == [
        ("lat", "late"),
        ("bus", "Bus"),
    ]


def test_marks_in_brackets_are_taken_out() -> None:
    assert without_marks("call [phone] now <laughs>").split() == ["call", "now"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is late. I wait!", ["It is late.", "I wait!"]),
        ("Mr. Smith left at 6.40 a.m. by bus. OK.", ["Mr. Smith left at 6.40 a.m. by bus.", "OK."]),
        ("I wait... and wait. Then go", ["I wait... and wait.", "Then go"]),
        ('"Really?" she said. "Yes."', ['"Really?" she said.', '"Yes."']),
        ("日本語です。次。", ["日本語です。", "次。"]),
        ("ठीक है। फिर।", ["ठीक है।", "फिर।"]),
        ("one\ntwo\n\nthree", ["one", "two", "three"]),
        ("   ", []),
    ],
)
def test_sentences_end_where_they_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text())
def test_every_sentence_is_verbatim_in_its_text_and_in_order(text: str) -> None:
    at = 0
    for sentence in sentences(text):
        at = text.index(sentence, at) + len(sentence)


def dense(matrix: Matrix) -> np.ndarray:
    result = np.zeros((matrix.height, matrix.width), dtype=np.float32)
    for row in range(matrix.height):
        columns, values = matrix.row(row)
        result[row, columns] = values
    return result


@given(DOCUMENTS)
def test_rows_of_tfidf_have_length_one_or_are_empty(documents: list[list[str]]) -> None:
    lengths = np.linalg.norm(dense(tfidf(documents).matrix), axis=1)
    assert all(
        np.isclose(length, 1.0, atol=1e-5) if document else length == 0
        for length, document in zip(lengths, documents, strict=True)
    )


@given(DOCUMENTS)
def test_sparse_products_equal_dense_ones(documents: list[list[str]]) -> None:
    matrix = tfidf(documents).matrix
    other = np.arange(matrix.width * 3, dtype=np.float32).reshape(matrix.width, 3)
    np.testing.assert_allclose(dot(matrix, other), dense(matrix) @ other, atol=1e-3)
    np.testing.assert_array_equal(dense(transpose(matrix)), dense(matrix).T)


def test_products_in_several_chunks_equal_one(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = tfidf([list("abc"), [], list("bcd"), list("a")]).matrix
    other = np.eye(matrix.width, dtype=np.float32)
    monkeypatch.setattr("persona.generation.text._CHUNK", 4)
    np.testing.assert_allclose(dot(matrix, other), dense(matrix))


def test_vocabulary_is_bounded_by_document_frequency() -> None:
    found = tfidf([list("abc"), list("abd"), list("ab"), list("a")], rarest=2, common=0.8, size=1)
    assert (found.vocabulary, found.frequency.tolist()) == (("b",), [3])


def test_unit_leaves_rows_of_zeros_alone() -> None:
    rows = unit(np.array([[3, 4], [0, 0]], dtype=np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])


def test_cosine_of_short_texts() -> None:
    weights = {"bus": 2.0, "late": 1.0, "tram": 1.0}
    left = vector(["bus", "late", "unknown"], weights)
    assert cosine(left, left) == pytest.approx(1.0)
    assert cosine(left, vector(["tram"], weights)) == 0
    assert cosine(vector(["bus"], weights), left) == pytest.approx(2 / 5**0.5)
    assert vector(["unknown"], weights) == {}


def test_spelling_prefers_the_commonest_then_lower_case() -> None:
    assert most_common_spelling(Counter({"Bus": 2, "bus": 1})) == "Bus"
    assert most_common_spelling(Counter({"Bus": 2, "bus": 2})) == "bus"
