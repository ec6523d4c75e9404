import random
from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from persona.generation.model import Reading, Record
from persona.generation.segments import segment

THEMES = {
    "rail": "train delay platform office season ticket refund carriage commute seat",
    "night": "shift midnight dark hospital taxi lamp guard cleaner dawn shelter",
    "pram": "buggy toddler nursery lift nappy pushchair school twins bay kids",
}


def reading(texts: list[tuple[str, str]], language: str = "en") -> Reading:
    records = tuple(
        Record(f"a.csv#row {at}", who, "a.csv", f"row {at}", text)
        for at, (who, text) in enumerate(texts)
    )
    return Reading("/a.csv", "sha256:0", 1, (), (), records, language, {})


def themed(participants: int, seed: int = 1) -> Reading:
    chance = random.Random(seed)
    names = sorted(THEMES)
    return reading(
        [
            (f"P{at:02d}", " ".join(chance.sample(THEMES[names[at % 3]].split(), 6)) + ".")
            for at in range(participants)
            for _ in range(2)
        ]
    )


def test_people_who_speak_of_the_same_things_come_together() -> None:
    found = segment(themed(30), 3)
    groups = [{int(participant[1:]) % 3 for participant in one.participants} for one in found]
    assert sorted(map(tuple, groups)) == [(0,), (1,), (2,)]


def test_segments_are_ordered_by_share_and_cover_everybody_once() -> None:
    found = segment(themed(31), 4)
    shares = [one.share for one in found]
    everybody = [participant for one in found for participant in one.participants]
    assert shares == sorted(shares, reverse=True)
    assert isclose(sum(shares), 1.0)
    assert sorted(everybody) == [f"P{at:02d}" for at in range(31)]


def test_the_same_seed_gives_the_same_segments_whatever_the_default() -> None:
    assert segment(themed(30), 4, seed=3) == segment(themed(30), 4, seed=3)
    assert segment(themed(30), 4) == segment(themed(30), 4)


def test_terms_are_what_marks_a_segment_off() -> None:
    for one in segment(themed(30), 3):
        theme = sorted(THEMES)[int(one.participants[0][1:]) % 3]
        assert one.terms
        assert set(one.terms) <= set(THEMES[theme].split())


def test_terms_hold_no_pseudonym_and_no_redaction_mark() -> None:
    texts = [
        (f"P{at}", f"P{at} and P1's friend told [name] of P2’s ferry and [email]")
        for at in range(5)
    ]
    (one,) = segment(reading(texts), 1)
    assert {term.casefold() for term in one.terms} <= {"friend", "told", "ferry"}


def test_a_pseudonym_with_a_particle_on_it_is_no_term() -> None:
    texts = [(f"P{at}", f"P{at}가 자전거를 탑니다. P2는 지하철로 갑니다.") for at in range(5)]
    (one,) = segment(reading(texts), 1)
    assert one.terms
    assert not any(term.startswith(("P", "p")) for term in one.terms)


def test_fewer_participants_than_asked_give_one_segment_each() -> None:
    found = segment(themed(3), 10)
    assert [len(one.participants) for one in found] == [1, 1, 1]


def test_people_who_say_the_same_are_not_split_into_copies() -> None:
    texts = [(f"P{at}", "The  bus is late.") for at in range(6)] + [("P9", "The tram is late.")]
    assert [len(one.participants) for one in segment(reading(texts), 5)] == [6, 1]


def test_facts_neither_steer_nor_count_but_are_kept() -> None:
    speech = reading([("P1", "The ferry is late."), ("P2", "The tram is full.")])
    fact = Record("f#1", "P1", "f", "1", "34", "age", "fact")
    silent = Record("f#2", "P3", "f", "2", "51", "age", "fact")
    both = Reading("/", "d", 1, (), (), (fact, *speech.records, silent), "en", {})
    found = segment(both, 5)
    assert sorted(one.participants for one in found) == [("P1",), ("P2",)]
    assert fact in next(one for one in found if one.participants == ("P1",)).records


def test_the_most_typical_participant_comes_first() -> None:
    texts = [(f"P{at}", "ferry harbour quay crossing") for at in range(4)]
    texts = [(who, f"{text} {who}x") for who, text in texts] + [("P9", "ferry breakfast music sun")]
    others = [(f"Q{at}", f"tunnel metro escalator token {at}y") for at in range(5)]
    found = segment(reading([texts[-1], *texts[:-1], *others]), 2)
    ferry = next(one for one in found if "P9" in one.participants)
    assert ferry.participants[-1] == "P9"
    assert ferry.records[-1].participant == "P9"


def test_the_digest_tells_texts_apart_and_not_orders() -> None:
    texts = [("P1", "The ferry is late."), ("P1", "I swim.")]
    (one,) = segment(reading(texts), 1)
    (changed,) = segment(reading([texts[0], ("P1", "I sink.")]), 1)
    turned = Reading("/", "d", 1, (), (), tuple(reversed(reading(texts).records)), "en", {})
    assert one.digest.startswith("sha256:")
    assert segment(turned, 1)[0].digest == one.digest
    assert changed.digest != one.digest


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ["the and of", "it is what it is", "to be or not", "you and I"]),
        ("en", ["42", "!!!", "7 8 9", "…"]),
        ("ja", ["電車が遅れる", "夜のバスが怖い", "駅のエレベーター", "学生の定期券が高い"]),
        ("hi", ["बस देर से आती है", "रात में डर लगता है", "टिकट महँगा है", "लिफ्ट बंद है"]),
    ],
)
def test_texts_that_give_little_to_go_by_are_still_segmented(
    language: str, texts: list[str]
) -> None:
    found = segment(reading([(f"P{at}", text) for at, text in enumerate(texts)], language), 2)
    assert [len(one.participants) > 0 for one in found] == [True, True]


def test_japanese_is_grouped_by_its_words() -> None:
    texts = [
        "電車の遅延が多い",
        "遅延で電車に乗れない",
        "夜勤の帰りが怖い",
        "夜勤は帰りのバスがない",
    ]
    found = segment(reading([(f"P{at}", text) for at, text in enumerate(texts)], "ja"), 2)
    assert sorted(tuple(sorted(one.participants)) for one in found) == [("P0", "P1"), ("P2", "P3")]


def test_nobody_who_speaks_gives_no_segment() -> None:
    assert segment(reading([("P1", "  ")]), 3) == ()


def test_fewer_than_one_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        segment(themed(3), 0)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text("abc de", min_size=1, max_size=12), min_size=1, max_size=20),
    st.integers(1, 25),
)
def test_any_texts_are_shared_out_completely(texts: list[str], count: int) -> None:
    source = reading([(f"P{at}", text) for at, text in enumerate(texts)])
    speakers = sorted(record.participant for record in source.records if record.text.strip())
    found = segment(source, count)
    assert sorted(who for one in found for who in one.participants) == speakers
    assert all(one.participants for one in found)
    assert len(found) <= count


@pytest.mark.no_cover
def test_a_large_survey_gives_as_many_segments_as_asked() -> None:
    chance = random.Random(4)
    vocabulary = [f"word{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(600)]
    texts = [(f"P{at}", " ".join(chance.choices(vocabulary, k=20))) for at in range(6_000)]
    found = segment(reading(texts), 40)
    assert len(found) == 40
    assert sum(len(one.participants) for one in found) == 6_000
