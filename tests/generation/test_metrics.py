"""What coherence, distinctiveness, authenticity and the claims' faithfulness measure."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from persona.generation.model import Draft, Record, Segment
from persona.generation.quality import METRICS, Score, Settings, score_persona
from persona.generation.quality import authenticity as authentic
from persona.generation.quality import coherence as coherent
from persona.generation.quality import faithfulness as faithful
from persona.generation.quality.crowd import Crowd, among
from persona.generation.quality.life_stages import age_range, contradictions
from persona.generation.quality.stems import stems

NO_SOURCE = Segment("sha256:none", (), (), 0.0, ())
NURSE = Draft(
    name="Anna Falk",
    age="34",
    occupation="Nurse",
    summary="Anna works nights on a ward and sleeps by day.",
    goals=["Get home after the night shift without an hour's wait", "Know the roster early"],
    pain_points=["The first bus leaves before her shift ends", "Rosters change late"],
    behaviours=["Waits at the hospital stop", "Swaps shifts by text message"],
    motivations=["She wants to see her children before school"],
    quotes=["I stand there for an hour, in the cold.", "They just told me it was so."],
)
DRIVER = Draft(
    name="Bo Lind",
    summary="Drives a tram and grows tomatoes on an allotment.",
    goals=["Brake softly on the steep hill", "Finish his route without complaints"],
    pain_points=["Cars park on the rails", "Tourists ask him for change"],
    quotes=["We never get a break at the terminus."],
)


def source(*texts: str) -> Segment:
    records = tuple(
        Record(f"a.md#line {n}", "P01", "a.md", f"line {n}", text)
        for n, text in enumerate(texts, 1)
    )
    return Segment(f"sha256:{hash(texts)}", records, ("P01",), 1.0, ())


def coherence(persona: Draft, segment: Segment = NO_SOURCE) -> Score:
    return coherent.score(persona, segment, (), Settings())


def authenticity(persona: Draft, segment: Segment = NO_SOURCE) -> Score:
    return authentic.score(persona, segment, (), Settings())


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("34", (34, 34)),
        ("34–50", (34, 50)),
        ("30s", (30, 39)),
        ("60+", (60, 115)),
        ("under 25", (0, 25)),
        ("३४", (34, 34)),
        ("unknown", None),
    ],
)
def test_an_age_is_read_however_it_is_put(age: str, years: tuple[int, int] | None) -> None:
    assert age_range(age) == years


@pytest.mark.parametrize(
    ("age", "occupation", "summary"),
    [
        ("8", "Nurse", ""),
        ("300", None, ""),
        ("19", "Retired teacher", ""),
        ("72", "High-school student", ""),
        ("24", None, "Anna is 61 years old and lives alone."),
        ("24–30", None, "Ada stands for 3 of 9. Most are aged 51–60."),
        ("21", "Rentnerin", ""),
        ("61", None, "Eine 24-jährige Krankenschwester."),
        ("24", None, "Anne a 61 ans et vit seule."),
        ("24", None, "Ana tiene 61 años."),
        ("24", None, "花子は61歳の看護師です。"),
        ("२४", None, "सीता 61 वर्षीय नर्स है।"),
    ],
)
def test_an_age_that_goes_with_nothing_else_is_a_contradiction(
    age: str, occupation: str | None, summary: str
) -> None:
    assert len(contradictions(age, occupation, summary)) == 1
    told = replace(NURSE, age=age, occupation=occupation, summary=summary or NURSE.summary)
    assert coherence(told).value == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("age", "occupation", "summary"),
    [
        ("34", "Nurse", "Anna is 34 and works nights."),
        ("42–67", "Retired coder", ""),
        ("16", "Schülerin", ""),
        ("9", "Primary school pupil", ""),
        ("47", "Pensions actuary", ""),
        ("42", "Mum of a teenager", ""),
        ("24", "Carer for two retired sisters", ""),
        ("24", "Nurse", "Anna has worked for 30 years. Her teenage boy waits 40 minutes."),
        (None, "Retired", "Aged 24."),
        ("about this old", "Nurse", ""),
    ],
)
def test_an_age_that_may_be_is_none(age: str | None, occupation: str, summary: str) -> None:
    assert contradictions(age, occupation, summary) == []


def test_what_is_affirmed_and_denied_contradicts_and_is_named() -> None:
    said = coherence(
        replace(
            NURSE,
            behaviours=[
                "Takes the night bus home from work",
                "Never takes the night bus home from work",
            ],
        )
    )
    assert said.parts["consistency"] == pytest.approx(0.6)
    assert "takes the night bus" in said.notes[0]


def test_to_want_what_one_lacks_is_coherent_and_to_want_what_one_suffers_is_not() -> None:
    lacks = replace(
        NURSE,
        goals=["A seat on the morning train"],
        pain_points=["Never a seat on the morning train"],
    )
    suffers = replace(lacks, pain_points=["A seat on the morning train"])
    assert coherence(lacks).parts["consistency"] == 1.0
    assert coherence(suffers).parts["consistency"] == pytest.approx(0.6)


def test_statements_that_repeat_another_lower_coherence() -> None:
    again = replace(NURSE, behaviours=[NURSE.pain_points[0], "Swaps shifts by text messages"])
    assert coherence(again).parts["repetition"] == pytest.approx(8 / 9)
    assert coherence(replace(NURSE, quotes=NURSE.quotes * 2)).parts["repetition"] < 0.9


def test_quotes_by_somebody_else_are_another_voice() -> None:
    told = replace(NURSE, quotes=["Anna stands there for an hour.", "She is told that it is so."])
    assert coherence(told).parts["voice"] == 0.0
    assert coherence(told).value == pytest.approx(0.8)
    assert coherence(replace(NURSE, quotes=["She told me that it was so."])).parts["voice"] == 1.0


def test_another_persona_is_distinct_and_the_same_under_another_name_is_not() -> None:
    assert among([DRIVER], NURSE).likeness < 0.2
    assert among([DRIVER, NURSE], replace(NURSE, name="Mia Berg", age="41")).likeness > 0.99


def test_a_paraphrase_is_no_new_persona() -> None:
    twin = replace(
        NURSE,
        name="Mia Berg",
        summary="By day Mia sleeps, and by night she is working on a ward.",
        goals=["Early knowledge of rosters", "No waiting for an hour when night shifts are over"],
        pain_points=["Late changes of the roster", "Her shift ends after the first bus has left"],
        behaviours=["She texts to swap a shift", "Waiting at the stop of the hospital"],
        motivations=["To see the children before they are at school"],
        quotes=["An hour I stand there in the cold."],
    )
    assert among([DRIVER, NURSE], twin).likeness > 0.6
    assert among([DRIVER, NURSE], DRIVER).likeness > 0.99


def test_where_hardly_anything_is_said_nothing_can_contradict_or_tell_it_from_others() -> None:
    scored = score_persona(Draft(name="Ida", goals=["Sleep"]), source("I want sleep."), [DRIVER])
    assert set(scored.missing) == {"coherence", "distinctiveness"}
    assert scored.scores["faithfulness"] == 1.0
    assert scored.composite < 0.75


def test_who_joins_again_takes_his_place_and_is_not_compared_with_himself() -> None:
    crowd = Crowd()
    assert len(crowd.join(1, NURSE)) == 0
    assert list(crowd.join(2, DRIVER)) == [NURSE]
    again = crowd.join(1, replace(NURSE, name="Mia"))
    assert list(again) == [DRIVER]
    assert again.likeness < 0.2
    assert [each.name for each in crowd.join(3, DRIVER)] == ["Mia", "Bo Lind"]


def test_the_nearest_of_many_is_found_among_all() -> None:
    crowd, words = Crowd(), [f"word{n}" for n in range(2_000)]
    for n in range(400):
        goals = [" ".join(words[n * 5 : n * 5 + 30])]
        crowd.join(n, Draft(name=str(n), goals=goals))
    twin = Draft(name="twin", goals=[" ".join(words[35:65])])
    assert crowd.join("twin", twin).likeness == pytest.approx(1.0)


def test_personas_that_join_from_many_threads_are_all_there() -> None:
    crowd = Crowd()
    with ThreadPoolExecutor(8) as threads:
        sizes = list(threads.map(lambda n: len(crowd.join(n, NURSE)), range(100)))
    assert sorted(sizes) == list(range(100))


def test_peers_are_a_sequence_without_oneself() -> None:
    crowd = Crowd()
    for name in "abc":
        peers = crowd.join(name, replace(DRIVER, name=name))
    middle = crowd.join("b", replace(DRIVER, name="b"))
    assert [each.name for each in peers] == ["a", "b"]
    assert [each.name for each in middle] == ["a", "c"]
    assert [each.name for each in middle[::-1]] == ["c", "a"]
    assert middle[-1].name == "c"
    with pytest.raises(IndexError):
        middle[2]


BROCHURE = (
    "A tech-savvy go-getter who leverages seamless, holistic and innovative best-in-class "
    "solutions to unlock synergies and empower stakeholders in a fast-paced ecosystem."
)


def test_the_language_of_brochures_lowers_authenticity() -> None:
    plain, soup = authenticity(NURSE), authenticity(replace(NURSE, summary=BROCHURE))
    assert plain.parts["plain"] == 1.0
    assert soup.parts["plain"] < 0.1
    assert plain.value - soup.value > 0.3


def test_what_the_source_calls_so_is_no_brochures_word() -> None:
    told = replace(NURSE, summary="She wants a holistic view of the roster.")
    assert authenticity(told).parts["plain"] < 1.0
    assert authenticity(told, source("They gave me a holistic view.")).parts["plain"] == 1.0


@pytest.mark.parametrize(
    ("language", "text", "soup"),
    [
        (
            "de",
            "Sie wartet nach der Nachtschicht eine Stunde auf den Bus, und das ärgert sie sehr.",
            "Sie nutzt ganzheitliche, innovative und nahtlose Lösungen mit Mehrwert und Synergien.",
        ),
        (
            "hi",
            "रात की पाली के बाद वह एक घंटे तक बस का इंतज़ार करती है और ठंड में खड़ी रहती है।",
            "वह समग्र और अभिनव समाधान से निर्बाध अनुभव और अत्याधुनिक तालमेल चाहती है।",
        ),
        (
            "ja",
            "夜勤のあと、彼女は寒い中で一時間もバスを待っていて、とても疲れています。",
            "彼女は革新的で包括的なソリューションとシームレスな付加価値を求めています。",
        ),
    ],
    ids=["de", "hi", "ja"],
)
def test_other_languages_are_measured_as_english_is(language: str, text: str, soup: str) -> None:
    spoken = {
        "de": "Ich warte immer auf den Bus, das ist kalt und es nervt mich.",
        "hi": "मैं हर रात बस का इंतज़ार करती हूँ।",
        "ja": "私は毎晩バスを待っています。",
    }[language]
    persona = Draft(
        name="Sita Rao",
        age="34",
        summary=text,
        goals=[text],
        pain_points=[spoken],
        quotes=[spoken],
    )
    segment = source(text, spoken)
    other = Draft(name="Bo", summary=soup, goals=[soup])
    scored = score_persona(persona, segment, [other])
    assert set(scored.scores) == set(METRICS)
    assert scored.scores["faithfulness"] == 1.0
    assert scored.scores["authenticity"] > 0.85
    assert scored.scores["distinctiveness"] > 0.6
    assert scored.scores["coherence"] > 0.85
    assert (
        authenticity(replace(persona, summary=soup), segment).value
        < scored.scores["authenticity"] - 0.15
    )
    assert score_persona(persona, source(soup, soup + soup), [other]).scores["faithfulness"] < 0.3
    assert not scored.notes


def test_a_language_that_is_not_known_is_measured_as_far_as_can_be_and_it_is_said() -> None:
    text = "Ea așteaptă autobuzul după tura de noapte"
    others = ["Drumul spre casă este întunecat", "Nimeni nu îi spune orarul"]
    persona = Draft(name="Ioana", goals=[text], pain_points=others, quotes=[text])
    scored = score_persona(persona, source(text, *others))
    assert scored.scores["faithfulness"] == 1.0
    assert scored.scores["authenticity"] > 0.8
    assert any("no words of brochures are known for `und`" in note for note in scored.notes)
    assert any("no words of negation are known for `und`" in note for note in scored.notes)


def test_a_persona_in_another_language_than_its_source_is_held_against_quotes_only() -> None:
    german = source("Ich warte nach der Nachtschicht eine Stunde auf den Bus, und das nervt mich.")
    english = replace(NURSE, quotes=["das nervt mich"])
    scored = faithful.score(english, german, (), Settings())
    assert scored.value == 1.0
    assert set(scored.parts) == {"quotes"}
    assert "`en`" in scored.notes[0]
    assert "`de`" in scored.notes[0]
    assert "own words" not in authenticity(english, german).parts


HELD = source(
    "After the night shift I stand at the hospital stop for an hour.",
    "The first bus leaves at 5:40, and my shift ends at six.",
    "They change the roster late, I hear of it by text.",
)


@pytest.mark.parametrize(
    "claim",
    [
        "Waits at the hospital stop after the night shift",
        "The first bus leaves before her shift ends",
        "Learns late about changes of the roster",
        "Misses the first bus, at 5:40",
    ],
)
def test_a_claim_is_borne_out_by_a_passage_that_says_about_the_same(claim: str) -> None:
    scored = faithful.score(Draft(name="Anna", goals=[claim]), HELD, (), Settings())
    assert scored.parts["claims"] > 0.6
    assert scored.unsupported == []


@pytest.mark.parametrize(
    ("claim", "lacks"),
    [
        ("Dreams of a garden with tomatoes", "is like nothing in the source"),
        ("The first bus leaves at 7:15", "has 7, which the source has not"),
        ("Waits at the hospital stop with Gunnar", "has Gunnar, which the source has not"),
        ("It is what it is", "says nothing that a source could bear out"),
    ],
)
def test_a_claim_that_is_not_is_listed_with_what_it_lacks(claim: str, lacks: str) -> None:
    scored = faithful.score(Draft(name="Anna", goals=[claim]), HELD, (), Settings())
    assert scored.parts["claims"] <= 0.5
    assert scored.unsupported == [f"goals[0]: “{claim}” {lacks}"]


def test_without_a_source_faithfulness_is_left_out_and_the_rest_is_measured() -> None:
    scored = score_persona(NURSE, NO_SOURCE)
    assert scored.reasons["faithfulness"] == "there is no source to hold it against"
    assert {"coherence", "completeness", "authenticity"} <= set(scored.scores)
    assert any("without a source" in note for note in scored.notes)


@pytest.mark.parametrize(
    "name", ["", "User 7", "The busy mom", "Budget shopper", "N/A", "anna", "x" * 90, "🙂"]
)
def test_a_name_that_nobody_has_is_no_name(name: str) -> None:
    assert authenticity(replace(NURSE, name=name)).parts["name"] == 0.0


@pytest.mark.parametrize(
    "name", ["Anna", "Mei", "佐藤 花子", "सीता राव", "Jean-Luc de la Tour", "O'Neil"]
)
def test_a_name_of_any_script_is_one(name: str) -> None:
    assert authenticity(replace(NURSE, name=name)).parts["name"] == 1.0


@pytest.mark.parametrize(
    "quote",
    ["Goal: reduce waiting time", "# My day", "- waits an hour", "SHE WAITS AN HOUR HERE"],
)
def test_what_nobody_says_is_no_speech(quote: str) -> None:
    assert authenticity(replace(NURSE, quotes=[quote])).parts["speech"] == 0.0


@given(st.text())
def test_stems_are_found_in_any_text(text: str) -> None:
    for language in ("en", "de", "ja", "und"):
        assert all(stems(text, language))
        assert stems(text, language) == stems(text, language)


@given(st.text(alphabet=st.sampled_from("ab c.d,\\|\t\n\x1c(1)-é"), max_size=40))
def test_a_plain_text_falls_into_the_same_words_as_any_other(text: str) -> None:
    """One letter beyond ASCII, apart from all words, has it read in the other way."""
    assert stems(f"{text} …", "en") == stems(text, "en")


def test_a_persona_of_very_many_statements_is_judged_by_the_first_and_it_is_said() -> None:
    many = Draft(
        name="Anna", goals=[f"Reach stop number {n} of the long line" for n in range(3_000)]
    )
    told = coherence(many)
    assert (
        f"coherence: only the first {coherent.MOST} of 3000 statements are looked at" in told.notes
    )
