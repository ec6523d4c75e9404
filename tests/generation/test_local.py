import random
from pathlib import Path

import anyio
import pytest
from persona.generation.grounding import passages
from persona.generation.invented_names import invented_name, words_of
from persona.generation.model import Draft, Reading, Record, Segment
from persona.generation.prompts import build_prompt
from persona.generation.providers import provider
from persona.generation.providers.base import GenerationRequest, Usage
from persona.generation.providers.local import write, written
from persona.generation.segments import segment
from persona.generation.sources import read_sources

INTERVIEWS = Path(__file__).parents[2] / "examples" / "interviews"

ENGLISH = """I want to know whether the ferry sails before I leave the house.
I'd like to sit down on the ferry for once.
The ferry is late every single morning and nobody tells us.
The gangway of the ferry is broken and too steep for my bike.
I take the ferry every day and buy my ticket on the quay.
Most mornings I check the ferry app at six.
I love the ferry because I can read on the water.
The ferry matters to me because my mother lives across the harbour.
My bike gets wet on the open deck of the ferry when it rains.
I wait for the second ferry with the other cyclists on the quay."""
GERMAN = """Ich möchte vorher wissen, ob die Fähre fährt.
Die Fähre ist jeden zweiten Tag kaputt.
Ich fahre jeden Morgen mit der Fähre zur Arbeit.
Die Fähre ist mir wichtig, weil ich dort lesen kann."""
JAPANESE = """フェリーがいつも遅れて困っています。
毎朝フェリーで会社に通っています。
フェリーの時間を事前に知りたいです。
フェリーは静かで本が読めるから好きです。"""


def of(text: str, *facts: tuple[str, str, str], people: int = 3) -> Segment:
    """A segment in which each line is said by one of `people` in turn."""
    records = [
        Record(f"a.txt#line {at}", f"P{at % people:02d}", "a.txt", f"line {at}", line)
        for at, line in enumerate(text.splitlines())
    ]
    records += [
        Record(f"a.csv#{at}", who, "a.csv", f"row {at}", value, heading, "fact")
        for at, (who, heading, value) in enumerate(facts)
    ]
    participants = tuple(sorted({record.participant for record in records}))
    return Segment("sha256:1", tuple(records), participants, 0.5, ("ferry", "quay", "bike"))


def request(
    one: Segment, *peers: Segment, seed: int | None = 7, index: int = 1
) -> GenerationRequest:
    prompt = build_prompt(one, language="en")
    return GenerationRequest("p1", index, 1, prompt, one, "local-1", "en", seed, peers)


def assert_grounded(draft: Draft, source: Segment) -> None:
    said = {(record.source, record.locator): record.text for record in source.records}
    cited = {evidence.field for evidence in draft.evidence}
    for evidence in draft.evidence:
        assert evidence.quote in said[evidence.source, evidence.locator]
    for field in ("goals", "pain_points", "behaviours", "motivations", "quotes"):
        assert {f"{field}[{at}]" for at in range(len(getattr(draft, field)))} <= cited
    for quote in draft.quotes:
        assert any(quote in text for text in said.values())


def test_each_list_gets_the_sentences_that_belong_there() -> None:
    draft = write(of(ENGLISH), "Mara Wren", "en")
    assert "Know whether the ferry sails before they leave the house." in draft.goals
    assert "The gangway of the ferry is broken and too steep for their bike." in draft.pain_points
    assert "They take the ferry every day and buy their ticket on the quay." in draft.behaviours
    assert "They love the ferry because they can read on the water." in draft.motivations
    assert_grounded(draft, of(ENGLISH))


def test_no_passage_serves_two_lists_and_no_claim_is_repeated() -> None:
    draft = write(of(ENGLISH), "Mara Wren", "en")
    claims = [*draft.goals, *draft.pain_points, *draft.behaviours, *draft.motivations]
    assert len(set(claims)) == len(claims)


def test_near_copies_of_a_sentence_count_once() -> None:
    copies = "\n".join(["The ferry is late every morning and I hate it."] * 6)
    draft = write(of(copies, people=6), "Mara Wren", "en")
    claims = [*draft.goals, *draft.pain_points, *draft.behaviours, *draft.motivations]
    assert len(claims) == 1
    assert len(draft.quotes) == 1


def test_what_cannot_be_told_cleanly_is_quoted() -> None:
    text = "I wish they would tell me when the ferry is late.\nI wish they had a ferry for bikes."
    draft = write(of(text), "Mara Wren", "en")
    assert sorted(draft.goals) == [
        "“I wish they had a ferry for bikes.”",
        "“I wish they would tell me when the ferry is late.”",
    ]
    assert_grounded(draft, of(text))


@pytest.mark.parametrize(
    ("language", "text", "marks"), [("de", GERMAN, "„“"), ("ja", JAPANESE, "「」")]
)
def test_other_languages_are_quoted(language: str, text: str, marks: str) -> None:
    draft = write(of(text), "Mara Wren", language)
    claims = [*draft.goals, *draft.pain_points, *draft.behaviours, *draft.motivations]
    assert claims
    assert all(claim[0] == marks[0] and claim[-1] == marks[1] for claim in claims)
    assert_grounded(draft, of(text))


def test_german_statements_are_told_apart() -> None:
    draft = write(of(GERMAN), "Mara Wren", "de")
    assert draft.goals == ["„Ich möchte vorher wissen, ob die Fähre fährt.“"]
    assert draft.summary.startswith("Mara Wren steht für 3 von 6 Befragten (50 %)")


def test_the_summary_says_whom_the_persona_stands_for() -> None:
    facts = [("P00", "age", "34"), ("P01", "age", "40"), ("P02", "occupation", "Nurse")]
    draft = write(of(ENGLISH, *facts), "Mara Wren", "en")
    assert draft.summary == (
        "Mara Wren stands for 3 of the 6 participants (50%), who talk most of “ferry”, “quay” and "
        "“bike”. Most are aged 34–40. Above all, they want to sit down on the ferry for once."
    )


def test_a_summary_without_wishes_names_a_complaint() -> None:
    draft = write(of("The ferry is broken and nobody tells us a thing."), "Mara Wren", "en")
    assert draft.summary.endswith(
        "A typical complaint: the ferry is broken and nobody tells them a thing."
    )


def test_an_empty_segment_still_makes_a_draft() -> None:
    draft = write(Segment("sha256:0", (), (), 0.0, ()), "Mara Wren", "en")
    assert (draft.goals, draft.quotes, draft.evidence) == ([], [], [])


def test_questions_pseudonyms_and_redactions_are_never_used() -> None:
    text = "Is the ferry late every day?\nI met P07 on the ferry again.\nI wrote to [email] daily."
    assert passages(of(text), "en") == []


def test_a_very_large_segment_is_read_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona.generation.grounding.MOST_PASSAGES", 3)
    assert len(passages(of(ENGLISH), "en")) == 3


def test_the_same_request_gives_the_same_bytes() -> None:
    one = of(ENGLISH)
    assert written(request(one)) == written(request(one))
    assert written(request(one)) != written(request(one, seed=8))


def test_the_provider_answers_with_a_draft_that_costs_nothing() -> None:
    one, seen = of(ENGLISH), list[int]()
    local = provider("local", environment={})

    async def call() -> Draft:
        response = await local.generate(request(one), seen.append)
        await local.generate(request(one))
        await local.aclose()
        assert response.usage == Usage()
        return local.parse(response.body)

    assert anyio.run(call).goals
    assert len(seen) == 1
    assert local.name in local.models[0]


def test_names_of_a_batch_differ_and_none_is_anybodys() -> None:
    taken = words_of(of("Amara and Theo met Bell's aunt on the ferry."))
    names = [invented_name("en", 3, index, taken) for index in range(1, 3_000)]
    assert len(set(names)) == len(names)
    assert not {word.casefold() for name in names for word in name.split()} & taken
    assert {"amara", "theo", "bell"} <= taken


def test_names_come_from_the_language_or_a_neutral_list() -> None:
    assert invented_name("de", 1, 1, ()) != invented_name("fr", 1, 1, ())
    assert invented_name("ja", 1, 1, ()) == invented_name("hi", 1, 1, ())


def test_where_every_name_is_taken_the_persona_has_a_number() -> None:
    everybody = {
        word.casefold()
        for index in range(1, 200)
        for word in invented_name("en", 1, index, ()).split()
    }
    assert invented_name("en", 1, 4, everybody) == "Persona 4"


def test_peers_names_are_avoided_too() -> None:
    first = provider("local").parse(written(request(of(ENGLISH)))).name.split()[0]
    peer = Segment("sha256:2", of(f"I met {first} there.").records, ("P09",), 0.5, ())
    assert first not in provider("local").parse(written(request(of(ENGLISH), peer))).name


def test_the_examples_give_five_full_and_grounded_personas() -> None:
    found = segment(read_sources(INTERVIEWS), 5)
    for index, one in enumerate(found, 1):
        peers = tuple(other for other in found if other is not one)
        draft = provider("local").parse(written(request(one, *peers, index=index)))
        assert_grounded(draft, one)
        for field in ("goals", "pain_points", "behaviours", "motivations", "quotes"):
            assert 2 <= len(getattr(draft, field)) <= 4
        assert draft.age
        assert draft.occupation
        assert draft.location


def test_many_personas_are_written_from_many_records() -> None:
    chance = random.Random(2)
    lines = ENGLISH.splitlines()
    records = tuple(
        Record(f"a#{at}", f"P{at}", "a", f"row {at}", f"{chance.choice(lines)} Number {at} too.")
        for at in range(1_000)
    )
    found = segment(Reading("/a", "d", 1, (), (), records, "en", {}), 8)
    drafts = [
        provider("local").parse(written(request(one, *found[:at], *found[at + 1 :], index=at + 1)))
        for at, one in enumerate(found)
    ]
    assert len({draft.name for draft in drafts}) == 8
