"""How far batches agree: the laws of it, and how often chance is taken for more."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from persona.consistency import agreement, report
from persona.consistency.compared import Compared, language_of, style_of, text_of
from persona.generation.model import Persona, Provenance, SegmentOfPersona

WORLDS = (
    "the night bus never comes and I wait in the rain with my shopping bags",
    "tickets are confusing, so I buy the wrong zone and pay a fine at the station",
    "my bicycle is stolen twice a year, which is why I lock it inside the kitchen",
    "the lift at the platform is broken and my wheelchair stays downstairs again",
    "trains are packed with students in the morning, and nobody gives up a seat",
)


def persona(text: str, *, name: str = "Ana", goals: int = 2, **more: object) -> Persona:
    found = Persona(
        id=f"persona-{abs(hash((text, name, goals))):x}",
        name=name,
        age="34",
        occupation="nurse",
        location=None,
        summary=text,
        goals=[f"{text} goal {n}" for n in range(goals)],
        pain_points=[text],
        behaviours=[text],
        motivations=[],
        quotes=[f"I say {text}."],
        segment=SegmentOfPersona(share=0.2, size=2, terms=[]),
        evidence=[],
        quality={},
        provenance=Provenance(
            provider="local",
            model="local-1",
            batch="batch-a",
            seed=1,
            prompt_digest="p",
            source_digest="s",
            created_at=datetime(2026, 11, 23, tzinfo=UTC),
        ),
    )
    return msgspec.structs.replace(found, **more)


def batch(
    name: str, texts: tuple[str, ...] = WORLDS, composite: float = 0.8, **more: object
) -> Compared:
    personas = tuple(persona(text, name=f"{name} {at}") for at, text in enumerate(texts))
    scores = {
        each.id: {"faithfulness": composite, "composite": composite + at / 1_000}
        for at, each in enumerate(personas)
    }
    found = Compared(batch=name, provider="local", model="m", personas=personas, scores=scores)
    return msgspec.structs.replace(found, **more)


def test_a_batch_agrees_with_itself_in_any_order() -> None:
    found = report.compare([batch("a"), batch("b", WORLDS[::-1])], "builtin/1")
    (pair,) = found.pairs
    assert pair.structural == 1
    assert pair.semantic == pytest.approx(1, abs=1e-6)
    assert pair.quality == pytest.approx(1, abs=1e-3)
    assert pair.overall == pytest.approx(
        (pair.structural + pair.semantic + (pair.quality or 0)) / 3
    )
    assert found.themes.jaccard == 1
    assert found.themes.only == {"a": [], "b": []}
    assert not any(each.significant for each in found.differences)
    assert found.kind == "reproducibility"
    assert "one run is enough" in found.recommendation


def test_personas_without_a_partner_count_as_unlike_everything() -> None:
    (pair,) = report.compare([batch("a"), batch("b", WORLDS[:3])], None).pairs
    assert (pair.matched, pair.personas) == (3, 5)
    assert pair.semantic == pytest.approx(3 / 5, abs=0.02)


def test_a_run_that_says_something_else_in_the_same_form_is_no_reason_for_one_run() -> None:
    others = tuple(f"cooking soup {n} with my grandmother's copper pot and thyme" for n in range(5))
    found = report.compare([batch("a"), batch("b", others)], "builtin/1")
    assert found.kind == "reproducibility"
    assert found.pairs[0].overall > 0.6
    assert found.recommendation.startswith("another run gives other personas")
    found = report.compare([batch("a"), batch("b", WORLDS[:3])], "builtin/1")
    assert found.recommendation.startswith("the batches have different numbers of personas")


def test_batches_of_two_models_and_sizes_are_not_said_to_tell_different_stories() -> None:
    few = batch("b", WORLDS[:2], model="x")
    found = report.compare([batch("a"), few], "builtin/1")
    assert found.recommendation.startswith("the batches have different numbers of personas")
    assert "the same stories" in found.recommendation


def test_partners_are_those_that_are_most_alike_in_all() -> None:
    space = agreement.space_of([batch("a"), batch("b", WORLDS[::-1])], "en")
    found = agreement.matched(space.of(0), space.of(1))
    assert [(row, column) for row, column, _ in found] == [(n, 4 - n) for n in range(5)]


def test_structure_is_what_is_filled_and_how_long_lists_are() -> None:
    one = persona(WORLDS[0])
    assert agreement.structural(one, one) == 1
    longer = persona(WORLDS[0], goals=3)
    # One of four lists is longer by more than a tenth.
    assert agreement.structural(one, longer) == pytest.approx((1 + 1 + 3 / 4) / 3)
    without = persona(WORLDS[0], age=None)
    assert agreement.structural(one, without) == pytest.approx((6 / 7 + 1 + 1) / 3)
    # Twenty and twenty-two are within a tenth, twenty and twenty-three are not.
    long, close, far = (persona(WORLDS[0], goals=n) for n in (20, 22, 23))
    assert agreement.structural(long, close) == 1
    assert agreement.structural(long, far) < 1


def test_quality_is_one_less_the_mean_difference_of_metrics() -> None:
    found = agreement.quality(batch("a", composite=0.8), batch("b", composite=0.6))
    assert found == pytest.approx(0.8)
    assert agreement.quality(batch("a"), batch("b", WORLDS, scores={})) is None


def test_better_beyond_chance_is_recommended_and_else_the_cheapest() -> None:
    good = batch("a", composite=0.9, model="good", cost_per_persona_nanousd=20)
    bad = batch("b", composite=0.5, model="bad", cost_per_persona_nanousd=10)
    found = report.compare([good, bad], "builtin/1")
    assert [each.measure for each in found.differences if each.significant] == [
        "faithfulness",
        "composite",
    ]
    assert found.recommendation.startswith("local/good scores higher beyond chance")
    alike = batch("b", model="bad", cost_per_persona_nanousd=10)
    found = report.compare([batch("a", model="good", cost_per_persona_nanousd=20), alike], "x")
    assert found.recommendation.endswith("local/bad is the cheapest")


def test_other_stories_are_found_beyond_chance() -> None:
    others = tuple(f"cooking soup {n} with my grandmother's copper pot and thyme" for n in range(9))
    mine = tuple(f"the tram {n} was late and the heating in it was broken" for n in range(9))
    found = report.compare([batch("a", mine, model="x"), batch("b", others)], None)
    assert found.pairs[0].semantic < 0.2
    assert any(each.measure == report.CONTENT and each.significant for each in found.differences)
    assert not set(found.themes.shared) - {"goal", "nurse", "goals"}


def test_chance_alone_is_taken_for_a_difference_in_five_percent() -> None:
    rng = np.random.default_rng(3)
    tests = 600
    false = sum(
        agreement.rarity_of_means(rng.normal(size=6).tolist(), rng.normal(size=8).tolist()) <= 0.05
        for _ in range(tests)
    )
    assert 0.025 < false / tests < 0.08
    false = 0
    for _ in range(tests // 2):
        rows = rng.random((12, 30)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        false += agreement.rarity_of_contents(rows[:6], rows[6:]) <= 0.05
    assert 0.015 < false / (tests // 2) < 0.1


def test_several_tests_hold_together_as_holm_says() -> None:
    assert agreement.holm([0.01, 0.04, 0.03]) == [True, False, False]
    assert agreement.holm([0.01, 0.02, 0.04]) == [True, True, True]
    assert agreement.holm([]) == []


@pytest.mark.parametrize(
    ("summary", "language", "share"),
    [
        ("I wait for my bus", "en", 2 / 5),
        ("Ich warte auf meinen Bus", "de", 2 / 5),
        ("バスを待っています", "ja", None),
    ],
)
def test_first_person_is_told_where_its_words_are_known(
    summary: str, language: str, share: float | None
) -> None:
    one = persona("", summary=summary, goals=0, pain_points=[], behaviours=[], quotes=[])
    one = msgspec.structs.replace(one, occupation=None, age=None)
    told = style_of(one, language)
    assert told.get("first_person") == (pytest.approx(share) if share is not None else None)
    assert told["words"] > 0
    assert text_of(one) == summary


def test_a_single_persona_each_says_nothing_of_contents() -> None:
    found = report.compare([batch("a", WORLDS[:1]), batch("b", WORLDS[1:2])], None)
    assert all(each.measure != report.CONTENT for each in found.differences)
    assert language_of(batch("a").personas) == "en"
