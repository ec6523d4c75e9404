"""E-mail addresses, telephone numbers and names leave no text."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.generation.people import NameBook
from persona.generation.redact import introduced_names, redact_contacts, redact_names

EMAILS = [
    "anna.schmidt@example.com",
    "a@b.de",
    "o'brien+tag@mail.example.co.uk",
    "anna_1@exämple.de",
    "x" * 80 + "@example.org",
    "anna (at) example (dot) com",
    "anna[at]example.com",
]
PHONES = [
    "+49 171 2345678",
    "+49 (0)30 1234567",
    "+1-555-123-4567",
    "0049 30 123456",
    "0171 2345678",
    "0171/2345678",
    "030-123 456",
    "(030) 12345678",
    "(555) 123-4567",
    "555-123-4567",
    "555.123.4567",
    "555-1234",
    "5551234567",
    "06 12 34 56 78",
    "06.12.34.56.78",
    "020 7946 0958",
    "612 345 678",
    "+33 6 12 34 56 78",
]
NOT_PHONES = [
    "2019",
    "2019-2023",
    "2019 2020 2021",
    "12.05.2023",
    "12. 5. 2023",
    "2023-05-12",
    "12/05/2023",
    "12:30",
    "1,250,000",
    "1.250.000,50",
    "1 250 000",
    "€ 1 250 000",
    "250000000 EUR",
    "0171 €",
    "1234567",
    "1 2 3 4 5 6 7",
    "0.1234567",
    "3.141592653",
    "100000-150000",
    "10-12",
    "99.5 %",
]


@pytest.mark.parametrize("email", EMAILS)
def test_replaces_an_email_address(email: str) -> None:
    counts: Counter[str] = Counter()
    assert redact_contacts(f"Write to {email}, please", counts) == "Write to [email], please"
    assert counts["email"] == 1


def test_keeps_quotation_marks_and_dots_around_an_email_address() -> None:
    assert redact_contacts("well...a@b.de. 'c@d.de'") == "[email]. '[email]'"


@pytest.mark.parametrize("phone", PHONES)
def test_replaces_a_telephone_number(phone: str) -> None:
    counts: Counter[str] = Counter()
    assert redact_contacts(f"Reach me: {phone}, thanks", counts) == "Reach me: [phone], thanks"
    assert counts["phone"] == 1


@pytest.mark.parametrize("number", NOT_PHONES)
def test_leaves_other_numbers(number: str) -> None:
    assert redact_contacts(f"It was {number} then") == f"It was {number} then"


@pytest.mark.parametrize("before", ["call me on", "Handynummer:", "my number is", "Tel."])
def test_a_short_number_is_a_telephone_number_where_a_word_announces_it(before: str) -> None:
    assert redact_contacts(f"{before} 2345678") == f"{before} [phone]"


def test_leaves_brackets_balanced() -> None:
    assert redact_contacts("(030 12345678)") == "([phone])"


WORDS = st.sampled_from(
    ["I", "call", "Anna", "Will", "will", "on", "my name is", "I'm", "ich heiße", "Schmidt", "5",
     "2019", "12.05.2023", "€ 5", "0171 2345678", "2345678", "a@b.de", "(", ")", ".", ",",
     "[phone]",
     "Anna's", "Annas", "Mark", "May", "in", "and", "P01", "[name]", "+", "-", "said"]
)  # fmt: skip
MESSY = st.one_of(st.text(), st.lists(WORDS, max_size=14).map(" ".join))


@given(MESSY)
def test_redacting_contacts_twice_changes_nothing(text: str) -> None:
    once = redact_contacts(text)
    assert redact_contacts(once) == once


FILLER = st.text(
    alphabet=st.characters(exclude_categories=["Nd", "Nl", "No", "Sc", "Po"]), max_size=30
)


@given(FILLER, st.sampled_from(EMAILS[:5]), FILLER)
def test_no_planted_email_address_survives(before: str, email: str, after: str) -> None:
    assert email not in redact_contacts(f"{before} {email} {after}")


@given(FILLER, st.sampled_from(PHONES), FILLER)
def test_no_planted_telephone_number_survives(before: str, phone: str, after: str) -> None:
    assert phone not in redact_contacts(f"{before} {phone} {after}")


def book(*names: str) -> NameBook:
    made = NameBook()
    for number, name in enumerate(names, 1):
        made.add(name, "file", f"P{number:02d}")
    return made


def redacted(text: str, *names: str) -> str:
    known = book(*names)
    return redact_names(text, known.words(), lambda word: known.stands_for(word, "file"), Counter())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna said so", "P01 said so"),
        ("I asked Anna Schmidt.", "I asked P01."),
        ("I asked Schmidt, Anna.", "I asked P01, P01."),
        ("Anna's bag, Anna’s bag, Annas Tasche", "P01's bag, P01’s bag, P01s Tasche"),
        ("ANNA! Annabel, Joanna, anna", "P01! Annabel, Joanna, anna"),
        ("Anna-Schmidt and Anna_x", "P01 and P01_x"),
        ("Frau Dr. Schmidt", "Frau Dr. P01"),
    ],
)
def test_replaces_a_name_as_a_whole_word(text: str, expected: str) -> None:
    assert redacted(text, "Anna Schmidt") == expected


def test_particles_belong_to_the_name_around_them() -> None:
    assert redacted("Ask Jan van der Berg now", "Jan van der Berg") == "Ask P01 now"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Will it rain? I will.", "Will it rain? I will."),
        ("I asked Will about it", "I asked P01 about it"),
        ("Will's idea was this", "P01's idea was this"),
        ("He said so. Will, come here", "He said so. P01, come here"),
    ],
)
def test_a_name_that_is_a_word_goes_where_its_capital_tells(text: str, expected: str) -> None:
    assert redacted(text, "Will") == expected


def test_a_month_after_a_word_of_time_is_no_name() -> None:
    assert redacted("Last May, and in May, I met May", "May") == "Last May, and in May, I met P01"


def test_a_name_of_two_persons_stands_for_neither() -> None:
    assert redacted("Anna Klein and Anna", "Anna Schmidt", "Anna Klein") in (
        "[name] P02 and [name]",
    )


def test_a_name_in_a_script_without_spaces_is_replaced_as_a_word() -> None:
    assert redacted("私は 田中 です", "田中") == "私は P01 です"
    assert (
        redacted("佐藤さん、田中一郎と佐藤です。", "佐藤", "田中一郎") == "P01さん、P02とP01です。"
    )
    assert redacted("マリアが森を見た", "マリア", "森") == "P01が森を見た"


def test_a_name_is_replaced_where_particles_are_written_onto_it_or_no_spaces_beside_it() -> None:
    assert redacted("김민수가 이영희는 몰라도", "김민수", "이영희") == "P01가 P02는 몰라도"
    assert redacted("คุณสมชายบอกว่าดี", "สมชาย") == "คุณP01บอกว่าดี"
    assert redacted("Lisa田中さん", "Li", "田中") == "LisaP02さん"


def test_a_given_name_after_the_family_s_is_replaced_by_itself_too() -> None:
    assert redacted("王小明说，小明比我早到。", "王小明") == "P01说，P01比我早到。"
    assert redacted("민수 씨는 버스를 탑니다", "김민수") == "P01 씨는 버스를 탑니다"


def test_a_name_with_vowel_signs_is_one_word() -> None:
    assert redacted("अनीता शर्मा ने कहा, अनीताजी", "अनीता शर्मा") == "P01 ने कहा, अनीताजी"


@given(MESSY)
def test_redacting_names_twice_changes_nothing(text: str) -> None:
    names = ("Anna Schmidt", "Will", "May Mark", "Phone Name")
    once = redacted(text, *names)
    assert redacted(once, *names) == once


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Hello, my name is Priyanka Rao and I work", ["Priyanka Rao"]),
        ("My name's Will.", ["Will"]),
        ("Also ich heiße Jörg", ["Jörg"]),
        ("mein Name ist Eva von Hagen, hallo", ["Eva von Hagen"]),
        ("I'm Zuleika, I live here", ["Zuleika"]),
        ("Je m'appelle Chloé", ["Chloé"]),
        ("Ich bin die Anna", ["Anna"]),
        ("Ich bin Krankenschwester", []),
        ("I'm German and I'm Catholic", []),
        ("I'm tired. I am CEO. I'm I'm", []),
        ("my name is not important", []),
        ("call me Monday", []),
        ("This is Important", []),
    ],
)
def test_finds_the_name_in_an_introduction(text: str, names: list[str]) -> None:
    assert list(introduced_names(text)) == names
