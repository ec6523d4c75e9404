import pytest
from persona.generation.cues import FIELDS, asked_for, strength
from persona.generation.standalone import dependence, private_names
from persona.generation.voice import claim, is_wish, plain, quoted, refusal


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("I take the 6:40 every day.", "They take the 6:40 every day."),
        ("I'm always late because my bus is.", "They're always late because their bus is."),
        ("Um, I've been left behind by three buses", "They've been left behind by three buses."),
        ("And I was really late for my shift.", "They were really late for their shift."),
        ("I never was late for my shift.", "They never were late for their shift."),
        ("At the stop was I the only one.", "At the stop were they the only one."),
        ("My driver shouted at me and at us.", "Their driver shouted at them and at them."),
        ("So, you know, the lift is, like, broken again.", "The lift is broken again."),
        ("We do it ourselves on our own bikes.", "They do it themselves on their own bikes."),
        ("Im tired and Ive had enough of this.", "They're tired and they've had enough of this."),
        ("The the ferry is is late again.", "The ferry is late again."),
        ("It takes me an hour to get home.", "It takes them an hour to get home."),
    ],
)
def test_english_is_told_in_the_third_person(said: str, told: str) -> None:
    assert claim(said, "behaviours") == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("I really want to know whether my lift works.", "Know whether their lift works."),
        ("I'd like to sit down for once.", "Sit down for once."),
        ("I'm trying to save my bus money.", "Save their bus money."),
        ("I just need a place to sit.", "They just need a place to sit."),
    ],
)
def test_a_wish_becomes_its_infinitive(said: str, told: str) -> None:
    assert claim(said, "goals") == told
    assert is_wish(said) is not told.startswith("They")


@pytest.mark.parametrize(
    "said",
    [
        "Why would I take the bus at night?",
        "I told them that they should stop.",
        "That is what I would want.",
        "He drives away and he laughs.",
        "I was late and was told off.",
        "My wife and I take the tram.",
        "I asked and you never answered me.",
        "“Fold it,” said the driver to me.",
        "I met P07 at the ferry today.",
        "I call [name] when it is late.",
        "Too late.",
        "I would take the bus but.",
        "I … well, I take the bus.",
    ],
)
def test_what_would_be_garbled_is_refused(said: str) -> None:
    assert claim(said, "behaviours") is None


def test_a_long_sentence_ends_with_a_clause() -> None:
    said = (
        "I take the ferry to the other side of the harbour every morning, and then I walk past "
        "the market hall and the theatre and the old school and the two churches to the office."
    )
    told = "They take the ferry to the other side of the harbour every morning."
    assert claim(said, "behaviours") == told


def test_a_long_sentence_without_clauses_stays_whole() -> None:
    said = "I walk " + "very " * 30 + "slowly to the ferry."
    assert claim(said, "behaviours") == "They walk very slowly to the ferry."
    said = "I walk " + " ".join(f"past house {at}" for at in range(12)) + "."
    assert claim(said, "behaviours") == said.replace("I walk", "They walk")


def test_openings_are_taken_off_until_none_is_left() -> None:
    assert plain("Well, um, so I think the bus is late.") == "The bus is late."
    assert plain("So far the bus is fine.") == "So far the bus is fine."


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "“Da.”"), ("de", "„Da.“"), ("fr", "« Da. »"), ("ja", "「Da.」")],
)
def test_quotation_marks_are_the_languages(language: str, expected: str) -> None:
    assert quoted('"Da."', language) == expected


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Is it late?", "question"),
        ("I met P07.", "pseudonym"),
        ("Call [phone].", "mark"),
        ("I walk.", None),
    ],
)
def test_what_is_no_good_even_as_a_quote(sentence: str, reason: str | None) -> None:
    assert refusal(sentence) == reason


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        (
            "en",
            (
                "I’d like to know before I leave.",
                "The lift is broken.",
                "I take it every day.",
                "It matters because I rely on it.",
            ),
        ),
        (
            "de",
            (
                "Ich möchte das wissen.",
                "Der Aufzug ist kaputt.",
                "Ich fahre jeden Tag.",
                "Es ist wichtig, weil ich arbeite.",
            ),
        ),
        (
            "fr",
            (
                "J'aimerais savoir.",
                "L'ascenseur est en panne.",
                "Je prends le tram chaque jour.",
                "C'est important parce que je vieillis.",
            ),
        ),
        (
            "es",
            (
                "Quiero saberlo.",
                "El ascensor está averiado.",
                "Tomo el bus todos los días.",
                "Es importante porque trabajo.",
            ),
        ),
    ],
)
def test_each_kind_of_statement_is_known_by_its_words(
    language: str, sentences: tuple[str, ...]
) -> None:
    for field, sentence in zip(FIELDS, sentences, strict=True):
        assert strength(sentence, field, language) > 0
        assert strength(sentence, field, "xx") == 0


def test_a_question_asks_for_one_kind_of_statement() -> None:
    assert asked_for("What would you change?", "goals")
    assert asked_for("What problems do you have?", "pain_points")
    assert not asked_for(None, "goals")


def test_a_sentence_that_leans_on_others_is_worth_less() -> None:
    whole = dependence("I take the ferry every morning.", "behaviours")
    for leaning in (
        "I do, like that, with it.",
        "He was late, and she was too, so there.",
        "You know it, bloody thing.",
        "Ferry, harbour, 17, 18, 19.",
    ):
        assert dependence(leaning, "behaviours") > whole


def test_a_habit_is_told_in_the_present() -> None:
    now = dependence("I take the ferry.", "behaviours")
    assert dependence("I missed the ferry.", "behaviours") > now
    assert dependence("I missed the ferry.", "pain_points") < 0.1


def test_names_that_only_one_person_uses_are_private() -> None:
    shared = frozenset({"millgat"})
    assert private_names("I met Isla at Millgate with Bex.", shared, "en") == 2
    assert private_names("Ich traf Isla am Bahnhof.", shared, "de") == 0
