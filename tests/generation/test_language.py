"""Which language a text is in."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.generation import language
from persona.generation.language import UNSURE, detect, languages, stopwords


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I really think it is hard to find the time for this", "en"),
        ("Ich finde es wirklich schwer, die Zeit dafür zu finden", "de"),
        ("Je trouve que c'est vraiment difficile de trouver le temps", "fr"),
        ("Creo que es muy difícil encontrar tiempo para esto", "es"),
        ("Penso che sia molto difficile trovare il tempo per questo", "it"),
        ("Ik vind het heel moeilijk om hier tijd voor te vinden", "nl"),
        ("Acho que é muito difícil encontrar tempo para isso", "pt"),
        ("時間を見つけるのは本当に難しいです", "ja"),
        ("我觉得很难找到时间", "zh"),
        ("Мне очень трудно найти время", "ru"),
        ("Мені дуже важко знайти час, і їй також", "uk"),
        ("من الصعب جدا إيجاد الوقت", "ar"),
        ("समय निकालना बहुत मुश्किल है", "hi"),
        ("시간을 내기가 정말 어려워요", "ko"),
    ],
)
def test_recognises_a_sentence(text: str, language: str) -> None:
    assert detect([text]) == language


@pytest.mark.parametrize("texts", [[], [""], ["17"], ["Kraków Lisboa"], ["to je velmi těžké"]])
def test_says_that_it_is_unsure(texts: list[str]) -> None:
    assert detect(texts) == UNSURE


def test_the_commoner_language_of_a_mixed_set_wins() -> None:
    german = ["Ich finde es wirklich schwer, die Zeit dafür zu finden"] * 9
    assert detect([*german, "I think it is hard to find the time"]) == "de"


def test_function_words_of_a_region_are_those_of_the_language() -> None:
    assert stopwords("pt-BR") == stopwords("pt") == stopwords("PT_br")


def test_an_unknown_language_has_no_function_words() -> None:
    assert stopwords("tlh") == frozenset()


def test_every_list_is_of_a_sensible_length_and_in_lower_case() -> None:
    for code in languages():
        words = stopwords(code)
        assert 150 <= len(words) <= 400
        assert all(word == word.lower() for word in words)


@given(st.text(alphabet=st.sampled_from("aAzb'’ \n\t-0_é."), max_size=60))
def test_a_plain_texts_words_are_counted_as_any_others(text: str) -> None:
    small = text.lower().replace("’", "'")
    assert language._counted(small) == Counter(language._WORD.findall(small))
