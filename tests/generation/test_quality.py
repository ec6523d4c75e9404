import sys
from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace
from persona.generation import quality
from persona.generation.model import (
    Draft,
    Evidence,
    Persona,
    Provenance,
    Record,
    Segment,
    SegmentOfPersona,
)
from persona.generation.quality import (
    METRICS,
    REQUIRED_FIELDS,
    SCORER,
    WEIGHTS,
    Score,
    Settings,
    completeness,
    faithfulness,
    score_persona,
)

from personad.contract.options import PersonaField, Quality

GOOD = Draft(
    name="Anna",
    age="34",
    summary="Works nights on a ward and sleeps by day.",
    goals=["Rest between shifts", "Know the roster early", "See her children"],
    pain_points=["Rosters change late", "Nobody asks her", "No canteen at night"],
    behaviours=["Swaps shifts by text", "Keeps a paper calendar"],
    motivations=["Her team", "Her children"],
    quotes=["I never sleep.", "They just told me"],
    evidence=[Evidence("goals[0]", "p03.md", "line 12", "I never sleep.")],
)


def segment(*texts: str, digest: str = "sha256:0") -> Segment:
    """One record a text, at p03.md, line 12 and the following."""
    records = tuple(
        Record(f"p03.md#line {n}", "P03", "p03.md", f"line {n}", text)
        for n, text in enumerate(texts, start=12)
    )
    return Segment(digest, records, ("P03",), 1.0, ())


SOURCE = segment(
    "Honestly, I never sleep. Not once. I work nights on a ward and I sleep by day, or try.",
    "They just told me that it was so. The rosters change so late, and nobody asks me.",
    "I'd like to know the roster early, rest between shifts and see my children.",
    "There is no canteen at night. I swap shifts by text, and keep a calendar of paper.",
    "What matters is my team.",
)
OTHER = Draft(name="Bo", summary="Drives a tram.", goals=["Brake softly on the hill"])


def test_a_good_persona_has_full_marks() -> None:
    scored = score_persona(GOOD, SOURCE, [OTHER])
    authenticity = scored.scores["authenticity"]
    assert scored.scores == dict.fromkeys(METRICS, 1.0) | {"authenticity": authenticity}
    assert 0.95 <= authenticity <= scored.composite
    assert scored.unsupported == scored.notes == scored.missing == ()
    assert scored.scorer == SCORER == "builtin/2"


def test_other_weights_or_required_fields_are_another_scorer() -> None:
    usual = score_persona(GOOD, SOURCE)
    heavier = score_persona(GOOD, SOURCE, weights=WEIGHTS | {"coherence": 0.5})
    stricter = score_persona(GOOD, SOURCE, required_fields=(*REQUIRED_FIELDS, "age"))
    assert len({usual.scorer, heavier.scorer, stricter.scorer}) == 3
    assert heavier.scorer.startswith(f"{SCORER}+")
    assert score_persona(GOOD, SOURCE, weights=dict(reversed(WEIGHTS.items()))).scorer == SCORER


def test_a_finished_persona_is_scored_as_its_draft_was() -> None:
    finished = Persona(
        id="persona-1",
        segment=SegmentOfPersona(share=1.0, size=1, terms=[]),
        quality={},
        provenance=Provenance("local", "m", "b", 1, "sha256:0", "sha256:1", datetime.now(UTC)),
        **asdict(GOOD),
    )
    assert score_persona(finished, SOURCE) == score_persona(GOOD, SOURCE)


def test_a_metric_that_is_missing_is_left_out_and_said() -> None:
    child = replace(GOOD, age="3", occupation="Nurse")
    scored = score_persona(child, SOURCE, weights={"coherence": 1, "charm": 3})
    assert scored.missing == ("charm", "distinctiveness")
    assert scored.reasons["charm"] == "there is no such metric"
    assert scored.composite == scored.scores["coherence"] < 1


def test_a_persona_without_others_is_scored_without_distinctiveness_and_it_is_said() -> None:
    scored = score_persona(replace(GOOD, quotes=["Made up"], evidence=[]), SOURCE)
    assert scored.missing == ("distinctiveness",)
    assert scored.reasons["distinctiveness"] == "there is no other persona before it in its batch"
    rest = {metric: weight for metric, weight in WEIGHTS.items() if metric in scored.scores}
    mean = sum(scored.scores[each] * rest[each] for each in rest) / sum(rest.values())
    assert scored.composite == pytest.approx(mean, abs=1e-4)


def test_weights_are_given_and_one_of_nothing_is_not_missed() -> None:
    scored = score_persona(
        replace(GOOD, quotes=[], evidence=[]),
        SOURCE,
        weights={"completeness": 2, "faithfulness": 2, "coherence": 0},
    )
    assert scored.missing == ("distinctiveness",)
    mean = (scored.scores["completeness"] + scored.scores["faithfulness"]) / 2
    assert scored.composite == pytest.approx(mean, abs=1e-4)


def test_without_any_weight_that_counts_the_composite_is_nothing() -> None:
    assert score_persona(GOOD, SOURCE, weights={"charm": 1}).composite == 0.0


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_cannot_be_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="the weight of coherence must be 0 or more"):
        score_persona(GOOD, SOURCE, weights={"coherence": weight})


def test_a_field_that_no_persona_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'golas' is no field of a persona: name, age, .*goals"):
        Settings(required_fields=("golas",))


def test_what_counts_by_default_is_what_the_configuration_says() -> None:
    assert Quality().required_fields == REQUIRED_FIELDS
    assert msgspec.to_builtins(Quality().weights) == WEIGHTS


def test_the_default_weights_are_of_the_whole() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert set(METRICS) == set(WEIGHTS)


@pytest.mark.parametrize(("name", "module"), METRICS.items())
def test_every_metric_of_the_registry_is_there_under_its_name(name: str, module: str) -> None:
    __import__(module)
    assert sys.modules[module].name == name
    assert isinstance(sys.modules[module].score(GOOD, SOURCE, [OTHER], Settings()), Score)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "…",
        "N/A",
        "n.a.",
        "TBD",
        "Unknown.",
        "(string)",
        "string",
        "string, string",
        "Lorem ipsum dolor sit amet,\nconsectetur",
        "[insert goal here]",
        "<name>",
        "{{ name }}",
        "Goal 1",
        "pain_point_2",
        "Your text here",
        "Not specified",
        "keine Angabe",
        "k. A.",
        "Non précisé",
    ],
)
def test_a_placeholder_is_recognised(text: str) -> None:
    assert completeness.is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        "Anna",
        "Unknown callers frighten her",
        "To be determined by nobody but herself",
        "[name] never calls back",
        "Goal 1 is to rest",
        "34",
        "未知の電話が怖い",
        "None of her colleagues knows the roster",
    ],
)
def test_what_says_something_is_no_placeholder(text: str) -> None:
    assert not completeness.is_placeholder(text)


def complete(draft: Draft, required: tuple[str, ...] = REQUIRED_FIELDS) -> Score:
    return completeness.score(draft, SOURCE, (), Settings(required_fields=required))


@pytest.mark.parametrize(
    "field", ["name", "summary", "goals", "pain_points", "behaviours", "motivations", "quotes"]
)
def test_each_field_that_is_dropped_lowers_completeness_clearly(field: str) -> None:
    empty: str | list[str] = "" if isinstance(getattr(GOOD, field), str) else []
    dropped = complete(replace(GOOD, **{field: empty}))
    assert dropped.parts[field] == 0.0
    assert dropped.value < 0.93


def test_a_required_field_counts_twice() -> None:
    assert complete(replace(GOOD, goals=["Rest"])).value == pytest.approx((11 + 2 / 3) / 13)
    assert complete(replace(GOOD, motivations=["Rest"])).value == pytest.approx((12 + 1 / 2) / 13)


def test_a_field_with_nothing_costs_more_still() -> None:
    assert complete(replace(GOOD, goals=[])).value == pytest.approx(0.85 * 11 / 13)
    assert complete(replace(GOOD, goals=[], motivations=[])).value == pytest.approx(
        0.85**2 * 10 / 13
    )


def test_facts_that_the_source_does_not_state_are_not_missed() -> None:
    bare = replace(GOOD, age=None, occupation=None, location=None)
    assert complete(bare).value == 1.0


def test_a_fact_that_is_required_is_missed() -> None:
    lacking = complete(replace(GOOD, age=None), (*REQUIRED_FIELDS, "age"))
    assert lacking.parts["age"] == 0.0
    assert complete(GOOD, (*REQUIRED_FIELDS, "age")).value == 1.0


def test_evidence_counts_where_it_is_required() -> None:
    assert "evidence" not in complete(GOOD).parts
    assert complete(GOOD, (*REQUIRED_FIELDS, "evidence")).parts["evidence"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("field", get_args(PersonaField))
def test_every_field_that_the_configuration_may_require_is_one_that_is_scored(field: str) -> None:
    assert set(complete(GOOD, (field,)).parts) >= {field}


def test_a_placeholder_in_a_fact_counts_against_it() -> None:
    assert complete(replace(GOOD, occupation="N/A")).value < 1.0


def test_too_few_items_count_in_part_and_repetitions_do_not_count() -> None:
    assert complete(replace(GOOD, goals=["Rest"])).parts["goals"] == pytest.approx(1 / 3)
    assert complete(replace(GOOD, goals=["Rest", "rest "])).parts["goals"] == pytest.approx(1 / 3)
    assert complete(replace(GOOD, goals=[*GOOD.goals, GOOD.goals[0]])).parts["goals"] == 1.0


def test_a_placeholder_among_enough_items_still_counts_against_them() -> None:
    assert complete(replace(GOOD, goals=[*GOOD.goals, "TBD"])).parts["goals"] == pytest.approx(0.75)


def test_a_summary_of_a_word_is_hardly_one() -> None:
    assert complete(replace(GOOD, summary="Tired")).parts["summary"] == pytest.approx(0.25)


def faithful(source: Segment, *quotes: str, evidence: tuple[Evidence, ...] = ()) -> Score:
    draft = Draft(name="Anna", quotes=list(quotes), evidence=list(evidence))
    return faithfulness.score(draft, source, (), Settings())


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("I never sleep. Not once.", "I never sleep."),
        ("I  never\n sleep", "I never sleep"),
        ("I don’t – ever…", "I don't - ever..."),
        ("He said “never” to me", 'said "never" to'),
        ("I never sleep", "“I never sleep”"),
        ("I never sleep", '"I never sleep"'),
        ("cafe\u0301 life", "caf\u00e9 life"),
        ("party art", "art"),
        ("私は決して眠らない。", "決して眠らない"),
        ("ฉันไม่เคยหลับ", "ไม่เคย"),
        ("I never\u200b sleep", "I never sleep"),
    ],
)
def test_a_quote_that_stands_in_the_source_is_found(text: str, quote: str) -> None:
    assert faithful(segment(text), quote).value == 1.0


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("I never sleep.", "I always sleep."),
        ("I never sleep.", "i never sleep"),
        ("a party for all", "art"),
        ("a party for all", "for al"),
        ("a party for all", "arty for"),
        ("I never sleep.", "I … sleep"),
        ("I never sleep.", "..."),
        ("I never sleep.", ""),
        ("I never sleep.", "“”"),
    ],
)
def test_a_quote_that_does_not_is_listed(text: str, quote: str) -> None:
    scored = faithful(segment(text), quote)
    assert scored.value == 0.0
    assert scored.unsupported == [f"quotes[0]: “{quote}” is not in the source"]


def test_a_quote_does_not_reach_from_one_record_into_the_next() -> None:
    assert faithful(segment("I never", "sleep."), "I never sleep.").value == 0.0
    record = segment("I never").records[0]
    both = replace(
        segment(digest="sha256:1"), records=(record, replace(record, id="b", text="sleep."))
    )
    at = Evidence("goals[0]", record.source, record.locator, "sleep.")
    assert faithful(both, "I never sleep.").value == 0.0
    assert faithful(both, evidence=(at,)).value == 1.0


def test_evidence_has_to_stand_at_its_locator() -> None:
    right = Evidence("goals[0]", "p03.md", "line 12", "I never sleep.")
    elsewhere = replace(right, locator="line 13")
    nowhere = replace(right, source="p99.md")
    scored = faithful(SOURCE, "I never sleep.", evidence=(right, elsewhere, nowhere))
    assert scored.value == pytest.approx(1 / 3)
    assert scored.parts == {"quotes": 1.0, "evidence": pytest.approx(1 / 3)}
    assert scored.unsupported == [
        "evidence for goals[0]: “I never sleep.” is not at p03.md, line 13",
        "evidence for goals[0]: “I never sleep.” is not at p99.md, line 12",
    ]


def test_without_quotes_or_claims_there_is_nothing_to_believe() -> None:
    assert faithful(SOURCE) == Score(value=0.0, unsupported=[faithfulness.NO_QUOTES])


def test_a_quote_said_ten_times_counts_once() -> None:
    assert faithful(SOURCE, *["I never sleep."] * 10, "Made up").value == 0.5


def test_a_long_invention_is_shown_shortened() -> None:
    (line,) = faithful(SOURCE, "made up " * 100).unsupported
    assert len(line) < 120
    assert "…" in line


def test_a_source_with_the_digest_of_another_is_still_its_own() -> None:
    assert faithful(segment("I never sleep."), "I never sleep.").value == 1.0
    assert faithful(segment("I always sleep."), "I never sleep.").value == 0.0


def test_many_segments_in_turn_are_told_apart() -> None:
    sources = [segment(f"I said {n}.", digest=f"sha256:{n}") for n in range(20)]
    for _ in range(2):
        assert [faithful(s, f"I said {n}.").value for n, s in enumerate(sources)] == [1.0] * 20


@given(st.text(min_size=1), st.data())
def test_every_run_of_whole_words_of_the_source_is_faithful(text: str, data: st.DataObject) -> None:
    words = faithfulness.normalised(text).split()
    start = data.draw(st.integers(0, len(words)))
    quote = " ".join(words[start : data.draw(st.integers(start, len(words)))])
    says_something = any(map(str.isalnum, quote))
    assert faithful(segment(text), quote).value == (1.0 if says_something else 0.0)


@given(st.lists(st.text()), st.lists(st.text()), st.text())
def test_whatever_the_texts_all_scores_are_from_0_to_1(
    quotes: list[str], goals: list[str], name: str
) -> None:
    scored = score_persona(Draft(name=name, quotes=quotes, goals=goals), SOURCE)
    assert all(0 <= score <= 1 for score in scored.scores.values())
    assert 0 <= scored.composite <= 1
    assert {*scored.scores, *scored.missing} == set(METRICS)


def test_metrics_that_were_loaded_before_score_as_ever_and_a_broken_one_is_said_by_each_score(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = score_persona(GOOD, SOURCE)
    monkeypatch.setattr(quality, "METRICS", {**quality.METRICS, "absent": "nowhere.at_all"})

    with caplog.at_level("INFO"):
        quality.load_metrics()

    assert "absent can't be loaded" in caplog.text
    after = score_persona(GOOD, SOURCE)
    assert after.scores == before.scores
    assert after.missing == (*before.missing, "absent")
