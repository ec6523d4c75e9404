"""How good a persona is, without a model: metrics from 0 to 1 and their weighted mean."""

import functools
import hashlib
import importlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from persona.generation.cleaning import clean_line
from persona.generation.model import Segment
from persona.generation.quality.metric import (
    REQUIRED_FIELDS,
    WEIGHTS,
    Metric,
    NotMeasurable,
    Score,
    Scored,
    Settings,
)
from persona.generation.quality.plugins import installed

__all__ = [
    "METRICS",
    "REQUIRED_FIELDS",
    "SCORER",
    "WEIGHTS",
    "Metric",
    "NotMeasurable",
    "Score",
    "Scored",
    "Scores",
    "Settings",
    "score_persona",
    "scorer_of",
]

SCORER = "builtin/2"
"""The version of all metrics together: it changes when one of them measures differently."""

logger = logging.getLogger(__name__)

METRICS: dict[str, str] = {
    "coherence": "persona.generation.quality.coherence",
    "faithfulness": "persona.generation.quality.faithfulness",
    "completeness": "persona.generation.quality.completeness",
    "distinctiveness": "persona.generation.quality.distinctiveness",
    "authenticity": "persona.generation.quality.authenticity",
}
"""Each metric's module; others join by entry points of the group `persona.metrics`, and run in
processes of their own."""

COMPOSITE = "composite"
"""What no metric can be called: it stands among the scores in a persona's file."""

DIGITS = 4
"""The ledger stores scores as integers × 10⁴: what is written elsewhere shall be equal to it."""


class Scores(Struct, frozen=True, kw_only=True):
    """What all metrics say about one persona."""

    scores: dict[str, float]
    composite: float
    """The weighted mean of the metrics that there are; 0 where there is none."""
    missing: tuple[str, ...] = ()
    """Metrics that were left out; the weights of the rest then make up the whole."""
    reasons: dict[str, str] = {}
    """Why, for each of `missing`."""
    unsupported: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What contradicts, and what a metric could not judge and left out."""
    parts: dict[str, dict[str, float]] = {}
    scorer: str = SCORER


def score_persona(
    persona: Scored,
    segment: Segment,
    peers: Sequence[Scored] = (),
    *,
    weights: Mapping[str, float] = WEIGHTS,
    required_fields: Sequence[str] = REQUIRED_FIELDS,
    answered: Scored | None = None,
) -> Scores:
    """Score one persona by every metric there is; `peers` are the batch's others.

    `answered` is the persona before what it invented was taken out: faithfulness is that one's.

    A metric that can't be loaded, raises, or answers with something that is no score is left out
    and said. Raises ValueError for a weight or field that can't be.
    """
    settings = Settings(weights=dict(weights), required_fields=tuple(required_fields))
    found: dict[str, Score] = {}
    weighty = [name for name, weight in settings.weights.items() if weight]
    reasons = dict.fromkeys(weighty, "there is no such metric")
    for name, outcome in _measured(persona, segment, peers, settings, answered):
        if isinstance(outcome, Score):
            found[name] = outcome
            reasons.pop(name, None)
        else:
            reasons[name] = clean_line(outcome, 200)
    scores = {name: round(score.value, DIGITS) for name, score in found.items()}
    return Scores(
        scores=scores,
        composite=_composite(scores, settings.weights),
        missing=tuple(reasons),
        reasons=reasons,
        unsupported=tuple(
            clean_line(line) for score in found.values() for line in score.unsupported
        ),
        notes=tuple(clean_line(line) for score in found.values() for line in score.notes),
        parts={name: score.parts for name, score in found.items()},
        scorer=scorer_of(settings),
    )


def scorer_of(settings: Settings) -> str:
    """The scorer's name: with other weights or required fields it is another scorer."""
    if settings == Settings():
        return SCORER
    told = f"{sorted(settings.weights.items())} {sorted(settings.required_fields)}"
    return f"{SCORER}+{hashlib.sha256(told.encode()).hexdigest()[:6]}"


def _composite(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    parts = [(weights[name], value) for name, value in scores.items() if name in weights]
    whole = math.fsum(weight for weight, _ in parts)
    if whole == 0:
        return 0.0
    return round(math.fsum(weight * value for weight, value in parts) / whole, DIGITS)


def _measured(
    persona: Scored,
    segment: Segment,
    peers: Sequence[Scored],
    settings: Settings,
    answered: Scored | None,
) -> Iterator[tuple[str, Score | str]]:
    """Of each metric its score, or why there is none; a name of ours can't be taken over."""
    for name, module in METRICS.items():
        scored = answered if answered is not None and name == "faithfulness" else persona
        try:
            yield name, _load(module).score(scored, segment, peers, settings)
        except NotMeasurable as nothing:
            yield name, str(nothing)
        except Exception as error:  # noqa: BLE001 - a batch does not stop for it; it is reported
            yield name, f"{type(error).__name__}: {error}"
    for name, plugin in installed().items():
        if name == COMPOSITE:
            yield name, "a metric can't be called so: it is the weighted mean of them all"
        elif name not in METRICS:
            yield name, plugin.score(persona, segment, peers, settings)


def load_metrics() -> None:
    """Loads what the first score would else have to wait for, a tenth of a second."""
    for name, module in METRICS.items():
        try:
            _load(module)
        except Exception as error:  # noqa: BLE001 - every score says so
            logger.info("%s can't be loaded: %s", name, error)
    installed()


@functools.cache
def _load(module: str) -> Metric:
    metric = importlib.import_module(module)
    if not isinstance(metric, Metric):
        raise TypeError(f"{module} has no `name` and `score`")
    return metric
