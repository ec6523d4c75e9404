import pytest
from persona.generation.demographics import demographics
from persona.generation.model import Record, Segment


def stated(*facts: tuple[str, str], said: str = "") -> dict[str, str]:
    """The demographics where each fact (heading, value) is another participant's."""
    records = [
        Record(f"f#{at}", f"P{at}", "f", f"row {at}", value, heading, "fact")
        for at, (heading, value) in enumerate(facts)
    ]
    if said:
        records.append(Record("s#1", "P99", "s", "line 1", said))
    participants = tuple(dict.fromkeys(record.participant for record in records))
    segment = Segment("d", tuple(records), participants, 1.0, ())
    return {trait: one.value for trait, one in demographics(segment).items()}


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        (["41"], "41"),
        (["41", "41"], "41"),
        (["30", "40"], "30–40"),
        (["20", "30", "35", "40", "90"], "30–40"),
        (["34 years", "36"], "34–36"),
        (["25-34", "25-34", "35-44"], "25-34"),
        (["65+"], "65+"),
        (["unknown", "n/a"], None),
    ],
)
def test_an_age_is_the_middle_half_of_those_stated(ages: list[str], expected: str | None) -> None:
    assert stated(*(("Age", age) for age in ages)).get("age") == expected


def test_the_commonest_occupation_and_place_are_taken() -> None:
    jobs = [("occupation", job) for job in ("nurse", "Nurse", "nurse", "baker")]
    assert stated(*jobs, ("district", "Millgate")) == {
        "occupation": "Nurse",
        "location": "Millgate",
    }


def test_freely_worded_occupations_are_told_by_their_commonest_word() -> None:
    jobs = ("baker at night", "art student", "student nurse, second year", "plumber")
    assert stated(*(("Beruf", job) for job in jobs)) == {"occupation": "Art student"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("I'm 34 and I work as a night nurse in town.", {"age": "34", "occupation": "Night nurse"}),
        ("I am 71 years old. I live in Upper Tarn.", {"age": "71", "location": "Upper Tarn"}),
        ("Ich bin 52 Jahre alt und ich wohne in Köln.", {"age": "52", "location": "Köln"}),
        ("J'ai 19 ans, j'habite à Lyon.", {"age": "19", "location": "Lyon"}),
        ("Tengo 45 años y trabajo como cocinera.", {"age": "45", "occupation": "Cocinera"}),
        ("I'm 34 minutes late, as I work as hard as I can.", {}),
    ],
)
def test_what_people_say_about_themselves_counts(said: str, expected: dict[str, str]) -> None:
    assert stated(said=said) == expected


def test_silence_redaction_and_essays_state_nothing() -> None:
    facts = [
        ("age", "-"),
        ("occupation", "prefer not to say"),
        ("city", "[name]"),
        ("job", "x" * 90),
        ("favourite colour", "red"),
    ]
    assert stated(*facts) == {}


def test_every_value_comes_with_the_words_that_state_it() -> None:
    records = (
        Record("f#1", "P1", "f", "row 1", "30", "age", "fact"),
        Record("f#2", "P1", "f", "row 2", "99", "age", "fact"),
        Record("s#1", "P2", "s", "line 1", "I'm 40."),
        Record("s#2", "P2", "s", "line 2", "I'm 41."),
    )
    found = demographics(Segment("d", records, ("P1", "P2"), 1.0, ()))["age"]
    assert found.value == "30–40"
    assert found.participants == 2
    assert [words in record.text for record, words in found.evidence] == [True, True]
