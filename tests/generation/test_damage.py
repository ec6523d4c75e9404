"""That the metrics measure something: each damage lowers its own, and leaves the others alone."""

from random import Random
from statistics import median

import pytest
from persona.generation.quality import METRICS
from persona.generation.quality import faithfulness as faithful
from persona.generation.quality.metric import Settings

from ..damage import (  # noqa: TID252
    Case,
    Damage,
    buzzword_soup,
    cases,
    contradicting_age,
    dropped_field,
    fabricated_quote,
    paraphrased_twin,
)

FALLS = 0.15
STAYS = 0.05
NEARLY_ALL = 0.95
DAMAGES: dict[Damage, str] = {
    fabricated_quote: "faithfulness",
    dropped_field: "completeness",
    paraphrased_twin: "distinctiveness",
    contradicting_age: "coherence",
    buzzword_soup: "authenticity",
}

RELATED = {paraphrased_twin: {"faithfulness"}}
"""Who says it in other words is farther from the words of the source."""


def changes(case: Case, damage: Damage) -> dict[str, float]:
    """By how much each metric falls."""
    damaged = damage(case, Random(f"{damage.__name__} {case.draft.name}"))
    beside = [case.draft] if damage is paraphrased_twin else []
    before, after = case.score().scores, case.score(damaged, *beside).scores
    return {metric: before[metric] - after[metric] for metric in METRICS}


@pytest.mark.no_cover
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damage_lowers_its_own_metric_and_leaves_the_others_alone(damage: Damage) -> None:
    own = DAMAGES[damage]
    found = [changes(case, damage) for case in cases()]
    assert len(found) > 50
    share = sum(each[own] >= FALLS for each in found) / len(found)
    assert share >= NEARLY_ALL, f"{own} falls clearly in {share:.0%}"
    for metric in METRICS.keys() - {own} - RELATED.get(damage, set()):
        still = sum(abs(each[metric]) < STAYS for each in found) / len(found)
        assert still >= NEARLY_ALL, f"{metric} is left alone in {still:.0%}"


def test_the_median_of_undamaged_personas_is_accepted() -> None:
    assert median(case.score().composite for case in cases()) >= 0.75


def test_a_persona_held_against_the_source_of_another_is_not_faithful() -> None:
    falls = [
        faithful.score(case.draft, case.segment, (), Settings()).value
        - faithful.score(case.draft, case.elsewhere, (), Settings()).value
        for case in cases()
    ]
    assert min(falls) >= 0.3
